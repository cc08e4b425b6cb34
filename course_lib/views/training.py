"""Watching a model train: learning-rate schedules, the live dashboard, and the curves of a finished run.

A cell that trains keeps the kernel busy. Pictures still reach the page while it runs, but a press on a button would be
read only when the cell has ended, in JupyterLab (tried with 4.6 and ipykernel 7.4, subshells and all) as in Colab. So
the dashboard has no stop button: it says how to interrupt the kernel, which the training loop answers by saving and
ending.
"""

import html
import json
import sys
import time
from pathlib import Path

import ipywidgets as widgets
import numpy as np

from course_lib.schedules import noam_rate, warmup_linear_rate

from .figures import BLUE, CSS, GREEN, GRID, MUTED, ORANGE, Picture, Prediction, View, panels, say, slider, text

MOST_POINTS = 600  # of a curve that are drawn
D_MODELS = (64, 128, 256, 512, 1024)


# ---- learning-rate schedules ----------------------------------------------------------------------------------------


def schedule_view(predict=True):
    """Shows two learning-rate schedules: the Transformer paper's (Noam), and warm-up followed by a line to zero.

    The learner moves d_model, both warm-ups, the peak and the number of steps.

    predict: ask the learner for a prediction before the view appears.

    Returns a `View`; `view.numbers` holds the figures printed: `noam_peak`, `noam_peak_step`, `linear_peak`,
    `linear_peak_step`.
    """
    controls = {
        "d_model": slider(widgets.SelectionSlider, "d_model", 256, options=[(str(d), d) for d in D_MODELS]),
        "noam_warmup": slider(widgets.IntSlider, "Noam warm-up", 400, min=50, max=4000, step=50),
        "peak": slider(widgets.FloatLogSlider, "peak", 1.5e-3, min=-4, max=-2, step=0.02, readout_format=".1e"),
        "warmup": slider(widgets.IntSlider, "linear warm-up", 300, min=0, max=2000, step=50),
        "steps": slider(widgets.IntSlider, "steps", 4000, min=500, max=10000, step=500),
    }  # fmt: skip
    picture, message, numbers = Picture(520, 260), text(), {}
    with picture.drawing() as figure:
        axes = figure.add_axes([0.12, 0.17, 0.85, 0.72])
        axes.set(title="Learning rate", xlabel="step")
        axes.yaxis.set_major_formatter(_rate_text)
        axes.grid(color=GRID)
        (noam,) = axes.plot([], [], color=BLUE, label="Noam")
        (linear,) = axes.plot([], [], color=ORANGE, linestyle="--", label="warm-up, then to zero")
        tops = [
            axes.plot([], [], color=color, marker="o", markersize=7, linestyle="none")[0] for color in (BLUE, ORANGE)
        ]
        axes.legend(loc="upper right")
        picture.live(noam, linear, *tops)

    def draw(d_model, noam_warmup, peak, warmup, steps):
        where = np.unique(np.r_[np.linspace(1, steps, 400).astype(int), noam_warmup, max(warmup, 1)])
        where = where[where <= steps]
        curves = (
            np.array([noam_rate(int(step), d_model, noam_warmup) for step in where]),
            np.array([warmup_linear_rate(int(step), (step - 1) / steps, peak, warmup) for step in where]),
        )
        for line, top, curve in zip((noam, linear), tops, curves):
            line.set_data(where, curve)
            top.set_data([where[curve.argmax()]], [curve.max()])
        for name, curve in zip(("noam", "linear"), curves):
            numbers[f"{name}_peak"], numbers[f"{name}_peak_step"] = float(curve.max()), int(where[curve.argmax()])
        height = _round_up(1.05 * max(curve.max() for curve in curves))
        axes.set(xlim=(0, steps), ylim=(0, height))
        picture.show(
            f"Noam peaks at {numbers['noam_peak']:.2e} at step {numbers['noam_peak_step']:,}; warm-up and line to zero "
            f"at {numbers['linear_peak']:.2e} at step {numbers['linear_peak_step']:,}.", layout=(steps, height),
        )  # fmt: skip
        say(message, (
            f"Noam's peak is (d_model · warm-up)<sup>−½</sup> = ({d_model} · {noam_warmup})<sup>−½</sup> = "
            f"<b>{(d_model * noam_warmup) ** -0.5:.2e}</b>: "
            + ("it is reached, and never chosen." if noam_warmup <= steps else "not reached within these steps.")
            + " The other schedule lets you choose the peak, and knows its end."
        ))  # fmt: skip

    question = Prediction(
        "The Noam schedule has no peak to set, only a warm-up. You make it four times as long. The peak becomes…",
        [
            ("four times as high", "It rises for longer, but more slowly: the slope is d_model^−½ · warm-up^−1.5."),
            ("the same", "The slope during warm-up depends on its length, and so does the peak."),
            ("half as high", "The peak is (d_model · warm-up)^−½: four times the warm-up, half the peak."),
            ("a quarter", "The peak falls with the square root of the warm-up."),
        ],
        correct=2,
    )  # fmt: skip
    view = View(
        "Learning-rate schedules", controls, [message, panels(picture)], draw, prediction=question if predict else None
    )
    view.numbers, view.pictures, view.message = numbers, [picture], message
    return view


def _rate_text(rate, _position=None):
    return f"{rate:.1e}" if rate else "0"


def _round_up(value):
    """The next of 1, 1.5, 2, 3, 4, 5, 6, 8, 10 … at or above `value`: an axis limit that seldom moves."""
    if not value > 0:
        return 1.0
    power = 10.0 ** np.floor(np.log10(value))
    return float(
        power * next(step for step in (1, 1.5, 2, 3, 4, 5, 6, 8, 10, 20) if step * power >= value * (1 - 1e-9))
    )


# ---- curves of a run ------------------------------------------------------------------------------------------------


class _History:
    """What a run has reported so far, by step."""

    def __init__(self):
        self.steps, self.validations, self.bleu = [], [], None

    def add(self, event, record):
        if event == "step":
            speed = record.get("tokens_per_second")
            self.steps.append(
                (record["step"], record["loss"], record.get("lr", np.nan), np.nan if speed is None else speed)
            )
        elif record.get("val_loss") is not None and "step" in record:
            self.validations.append((record["step"], record["val_loss"]))
        if record.get("bleu") is not None:
            bleu = record["bleu"]
            self.bleu = bleu["score"] if isinstance(bleu, dict) else bleu


class _Curves:
    """The pictures of a run: loss; learning rate above tokens a second."""

    def __init__(self):
        self.loss, self.rate = Picture(440, 260, announce=False), Picture(260, 260, announce=False)
        with self.loss.drawing() as figure:
            self.loss_axes = figure.add_axes([0.1, 0.16, 0.87, 0.74])
            self.loss_axes.set(title="Loss in nats a token", xlabel="step")
            self.loss_axes.grid(color=GRID)
            (self.train_line,) = self.loss_axes.plot([], [], color=BLUE, linewidth=1.4, label="training")
            (self.val_line,) = self.loss_axes.plot(
                [], [], color=ORANGE, linestyle="--", marker="s", markersize=5, label="validation", clip_on=False
            )
            self.val_note = self.loss_axes.text(0, 0, "", color=ORANGE, fontweight="bold", va="bottom")
            self.val_note.set_bbox({"facecolor": "white", "alpha": 0.8, "linewidth": 0, "pad": 1})
            self.loss_axes.legend(loc="lower right", bbox_to_anchor=(1, 0.99), ncols=2, borderaxespad=0)
            self.loss.live(self.train_line, self.val_line, self.val_note)
        with self.rate.drawing() as figure:
            self.lr_axes = figure.add_axes([0.22, 0.59, 0.74, 0.3])
            self.lr_axes.set(title="Learning rate")
            self.lr_axes.yaxis.set_major_formatter(_rate_text)
            self.lr_axes.tick_params(labelbottom=False)
            self.speed_axes = figure.add_axes([0.22, 0.16, 0.74, 0.3])
            self.speed_axes.set(title="Target tokens a second", xlabel="step")
            for axes in (self.lr_axes, self.speed_axes):
                axes.grid(color=GRID)
            (self.lr_line,) = self.lr_axes.plot([], [], color=GREEN, linewidth=1.6)
            (self.speed_line,) = self.speed_axes.plot([], [], color=MUTED, linewidth=1.6)
            self.rate.live(self.lr_line, self.speed_line)

    def draw(self, history, total_steps=None):
        if not history.steps:
            return
        every = -(-len(history.steps) // MOST_POINTS)
        step, loss, lr, speed = np.array(
            history.steps[::-1][::every][::-1], dtype=float
        ).T  # the newest is always drawn
        validations = np.array(history.validations, dtype=float).reshape(-1, 2)
        last = float(total_steps or max(100, _round_up(step[-1])))
        highest = max(loss.max(), validations[:, 1].max(initial=0))
        tops = [
            float(np.ceil(highest)),
            _round_up(np.nanmax(lr, initial=0)),
            _round_up(np.nanmax(speed, initial=0) * 1.05),
        ]
        for axes, top in zip((self.loss_axes, self.lr_axes, self.speed_axes), tops):
            axes.set(xlim=(0, last), ylim=(0, top))
        self.train_line.set_data(step, loss)
        self.train_line.set_marker("o" if len(step) == 1 else "")
        self.val_line.set_data(*validations.T)
        self.lr_line.set_data(step, lr)
        self.speed_line.set_data(step, speed)
        if len(validations):
            below = validations[-1, 1] > 0.2 * tops[0]  # the training loss is usually above
            self.val_note.set_position((validations[-1, 0], validations[-1, 1] + (-0.05 if below else 0.05) * tops[0]))
            self.val_note.set_verticalalignment("top" if below else "bottom")
            self.val_note.set_text(f"{validations[-1, 1]:.3f}")
            self.val_note.set_horizontalalignment("right" if validations[-1, 0] > 0.8 * last else "left")
        validation = (
            f", validation loss {validations[-1, 1]:.3f} (step {validations[-1, 0]:,.0f})" if len(validations) else ""
        )
        self.loss.show(
            f"Step {step[-1]:,.0f}: training loss {loss[-1]:.3f}{validation}. The training loss is "
            "taken with dropout and the recipe's label smoothing, the validation loss without.", layout=(last, tops[0]),
        )  # fmt: skip
        self.rate.show(
            f"Step {step[-1]:,.0f}: learning rate {lr[-1]:.2e}, {speed[-1]:,.0f} target tokens a second.",
            layout=(last, *tops[1:]),
        )


def plot_metrics(path):
    """Shows the curves of a run from its `metrics.jsonl`, also while it is still being written.

    path: the file, or the folder of the run.

    Raises FileNotFoundError where there is none, and ValueError where no training step is recorded yet.
    """
    path = Path(path)
    path = path / "metrics.jsonl" if path.is_dir() else path
    history = _History()
    lines = path.read_text("utf-8").splitlines()
    for number, line in enumerate(lines, start=1):
        try:
            record = json.loads(line)
        except json.JSONDecodeError:
            if number == len(lines):
                break  # the run is writing this line now
            raise ValueError(f"{path}, line {number} is no JSON: {line[:60]!r}") from None
        history.add(record.get("event", "step" if "loss" in record else "validation"), record)
    if not history.steps:
        raise ValueError(f"{path} records no training step yet")
    curves = _Curves()
    curves.draw(history)
    view = widgets.VBox([widgets.HTML(CSS), panels(curves.loss, curves.rate)])
    view.add_class("workshop-view")
    view.pictures, view.history = [curves.loss, curves.rate], history
    return view


def plot_scores_by_time(scores):
    """Shows what longer training is worth: a point for each run, and a line through the means.

    scores: for each training time in minutes the BLEU scores of the runs that took so long, as in
        ``{5: [35.9], 10: [40.1, 40.5, 39.7]}``. Equal steps to the right multiply the time alike.

    Raises ValueError for no run, or a time that is not positive.
    """
    if not scores or min(scores) <= 0 or not all(scores.values()):
        raise ValueError("scores must have at least one run, and times above 0 minutes")
    minutes = sorted(scores)
    means = [sum(scores[time]) / len(scores[time]) for time in minutes]
    picture = Picture(520, 280)
    with picture.drawing() as figure:
        axes = figure.add_axes([0.11, 0.17, 0.85, 0.72])
        axes.set(title="BLEU and time to train", xlabel="minutes", xscale="log")
        axes.set_xticks(minutes, [f"{time:g}" for time in minutes])
        axes.set_xticks([], minor=True)
        axes.grid(color=GRID)
        axes.plot(minutes, means, color=BLUE, linewidth=1.6)
        for time, mean in zip(minutes, means):
            axes.plot([time] * len(scores[time]), scores[time], color=BLUE, marker="o", markersize=6, linestyle="none")
            axes.annotate(f"{mean:.1f}", (time, mean), (5, -6), textcoords="offset points", ha="left", va="top")
        axes.margins(x=0.08, y=0.16)
    runs = "; ".join(f"{time:g} minutes {mean:.1f}" for time, mean in zip(minutes, means))
    picture.show(f"Mean BLEU after {runs}. Each point is a run of its own, whose learning rate reaches zero then.")
    view = widgets.VBox([widgets.HTML(CSS), picture.widget])
    view.add_class("workshop-view")
    view.picture = picture
    return view


# ---- while it trains ------------------------------------------------------------------------------------------------


class TrainingDashboard:
    """Shows a run while it trains: `train(…, callbacks=[TrainingDashboard()])`.

    It is called as `dashboard(event, record)` with the events "start", "step", "validation", "samples" and "end"; or
    use `on_step(record)`, `on_samples(samples)` and `close()` from a loop of your own. A record must have `step` and
    `loss`, and may have the rest.

    every: seconds between two redraws, at least.
    max_share: redraws may take this share of the time: where they are slow, they become rarer.
    front_end: whether there is a page to draw on; found out if left out. Without one, a line of text is printed now and
        then.
    text_every: seconds between two such lines.

    Attributes: `view` (the widget), `history`, `share` (the share of the time that the dashboard itself has taken).
    """

    def __init__(self, *, every=0.5, max_share=0.02, front_end=None, text_every=10.0):
        self.every, self.max_share, self.text_every = every, max_share, text_every
        self.front_end = _has_front_end() if front_end is None else front_end
        self.history, self.last, self.about, self.samples = _History(), {}, {}, []
        self.running, self.seconds_drawing, self.redraws = False, 0.0, 0
        self.began = self.ended = self._next = time.perf_counter()
        self._shown = False
        self.view = None
        if self.front_end:
            self.curves, self.table, self.status, self.sample_table = _Curves(), widgets.HTML(), text(), widgets.HTML()
            self.view = widgets.VBox(
                [widgets.HTML(f'{CSS}<div class="workshop-title">Training</div>'), self.table, self.status,
                 panels(self.curves.loss, self.curves.rate), self.sample_table]
            )  # fmt: skip
            self.view.add_class("workshop-view")

    def __call__(self, event, record):
        """Takes one event of a training run."""
        if event == "start":
            self._start(record)
        elif event == "step":
            self.on_step(record)
        elif event == "validation":
            self._take("validation", record)
            self._draw(force=True)  # rare, and dearer than a redraw
        elif event == "samples":
            self.on_samples(record["samples"])
        elif event == "end":
            self.last |= {name: value for name, value in record.items() if value is not None}
            self.history.add("end", {"bleu": record.get("bleu")})
            self.close(stopped=record.get("interrupted", False))
        else:
            raise ValueError(f"unknown event {event!r}: expected start, step, validation, samples or end")

    def on_step(self, record):
        """Takes a step's report: `step`, `loss`; if known `epoch, lr, tokens_per_second, seconds, val_loss, bleu`."""
        if not self.running:
            self._start({})
        self._take("step", record)
        self._draw()

    def on_samples(self, samples):
        """Takes sample translations: a list of (source, reference, hypothesis), or of dicts with these keys."""
        keys = ("source", "reference", "hypothesis")
        self.samples = [tuple(s[key] for key in keys) if isinstance(s, dict) else tuple(s) for s in samples]
        self.samples_step = self.last.get("step")
        if self.front_end:
            self._timed(self._draw_samples)
        else:
            for source, reference, hypothesis in self.samples:
                print(f"    {source}\n      → {hypothesis}\n      = {reference}", flush=True)

    def close(self, stopped=False):
        """Draws the last state; the dashboard then stays as the record of the run."""
        if self.running:
            self.running, self.ended = False, time.perf_counter()
        if not self.front_end:
            print(self._line(), flush=True)
            return
        self._timed(self._redraw)
        verdict = "Stopped by you; a checkpoint was saved." if stopped else "Finished."
        say(self.status, f"{verdict} The dashboard took {self.share:.1%} of the time.")

    @property
    def share(self):
        """The share of the run's time that went into the dashboard."""
        elapsed = (time.perf_counter() if self.running else self.ended) - self.began
        return self.seconds_drawing / elapsed if elapsed > 0 else 0.0

    def _ipython_display_(self):
        self._show()

    def _show(self):
        if self.front_end and not self._shown:
            from IPython.display import display

            display(self.view)
            self._shown = True

    def _start(self, record):
        self.about, self.running = dict(record), True
        self.began = self._next = time.perf_counter()
        self.seconds_drawing = 0.0
        self._show()
        if self.front_end:
            say(
                self.status,
                "To stop early, interrupt the kernel: ■ in the toolbar; in Colab, ■ beside the cell."
                + (" Training ends after the step at hand and saves a checkpoint." if record else ""),
            )

    def _take(self, event, record):
        self.last |= {name: value for name, value in record.items() if value is not None}
        self.history.add(event, record)
        if event == "step" and record.get("val_loss") is not None:
            self.history.add("validation", record)

    def _draw(self, force=False):
        """Redraws if it is time to: not too often, and not at too high a price."""
        now = time.perf_counter()
        if now < self._next and not force:
            return
        if self.front_end:
            self._timed(self._redraw)
            self._next = max(now + self.every, self.began + self.seconds_drawing / self.max_share)
        else:
            print(self._line(), flush=True)
            self._next = now + self.text_every

    def _timed(self, function):
        began = time.perf_counter()
        function()
        self.seconds_drawing += time.perf_counter() - began
        self.redraws += 1

    def _redraw(self):
        self.table.value = self._table()
        self.curves.draw(self.history, self.about.get("total_steps"))

    def _figures(self):
        """What the table and the text line say: (name, value) pairs."""
        last, bleu = self.last, self.history.bleu
        val_loss = self.history.validations[-1][1] if self.history.validations else None
        seconds = last.get("seconds", (time.perf_counter() if self.running else self.ended) - self.began)
        speed = last.get("tokens_per_second", last.get("target_tokens_per_second"))
        known = [
            ("step", f"{last['step']:,}" if "step" in last else None),
            ("epoch", f"{last['epoch'] + 1}" if "epoch" in last else None),
            ("loss", f"{last['loss']:.3f}" if "loss" in last else None),
            ("validation", None if val_loss is None else f"{val_loss:.3f}"),
            ("BLEU", None if bleu is None else f"{bleu:.1f}"),
            ("learning rate", f"{last['lr']:.2e}" if "lr" in last else None),
            ("tokens/s", None if speed is None else f"{speed:,.0f}"),
            ("time", f"{int(seconds) // 60}:{int(seconds) % 60:02}"),
        ]
        return [(name, value) for name, value in known if value is not None]

    def _line(self):
        return " · ".join(f"{name} {value}" for name, value in self._figures())

    def _progress(self):
        if self.about.get("total_steps"):
            return self.last.get("step", 0) / self.about["total_steps"]
        if self.about.get("minutes"):
            return self.last.get("seconds", 0) / 60 / self.about["minutes"]
        return None

    def _table(self):
        figures = self._figures()
        head = "".join(f'<th scope="col">{name}</th>' for name, _ in figures)
        row = "".join(f"<td>{value}</td>" for _, value in figures)
        done = self._progress()
        if done is None:
            bar = ""
        else:
            done = 1.0 if done > 1 else done
            bar = f'<progress value="{done:.3f}" max="1" style="width:320px;max-width:70%"></progress> {done:.0%}'
        return f'<table class="workshop-table"><tr>{head}</tr><tr>{row}</tr></table>{bar}'

    def _draw_samples(self):
        rows = "".join(
            "<tr>"
            + "".join(f"<td>{html.escape(cell)}</td>" for cell in (source, hypothesis or "(nothing)", reference))
            + "</tr>"
            for source, reference, hypothesis in self.samples
        )
        when = f" at step {self.samples_step:,}" if self.samples_step is not None else ""
        self.sample_table.value = (
            f'<table class="workshop-table"><tr><th scope="col">source</th><th scope="col">the model{when}</th>'
            f'<th scope="col">reference</th></tr>{rows}</table>'
        )


def _has_front_end():
    """Whether this code runs in a notebook's kernel."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython else None
    return getattr(shell, "kernel", None) is not None


__all__ = ["TrainingDashboard", "plot_metrics", "plot_scores_by_time", "schedule_view"]
