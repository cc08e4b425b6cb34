"""The fixed-vector bottleneck: accuracy against length, and what each model makes of a word of the learner's own."""

import html
from statistics import fmean

import ipywidgets as widgets
import torch

from course_lib import letters

from .figures import BLUE, GREEN, INK, MUTED, ORANGE, Picture, Prediction, View, panels, say, slider, text

COLORS, MARKERS = (ORANGE, BLUE, GREEN, INK), "sodv"
SHORTEST_WORD, LONGEST_WORD = 2, 24


def bottleneck_explorer(models, measured, *, trained_to, task=letters.reverse, word="transformer", predict=True):
    """Shows how many letters each model gets right by length, and lets them write a word of the learner's own.

    models: dict name -> model(source [B, T], target_in [B, T]) -> logits [B, T, V]; at most four.
    measured: dict of the same names -> list of what `letters.accuracy` gives, one dict {length: share} for each seed.
    trained_to: the longest words that the models were trained on: a line in the picture.
    task: what is to be written: `letters.reverse` or `letters.copy`.
    word: the word to begin with.
    predict: ask for a prediction before the view appears.

    Returns a `View`; `view.numbers` holds `length`, `means` (name -> mean share at the length measured next to it, of
    all seeds) and `answers` (name -> (what the model wrote, number of letters that are right)).

    Raises ValueError where names differ or lengths do.
    """
    lengths = _lengths(models, measured)
    means = {name: {n: fmean(run[n] for run in runs) for n in lengths} for name, runs in measured.items()}
    controls = {
        "word": widgets.Text(value=word, description="your word", continuous_update=True,
                             style={"description_width": "initial"}, layout=widgets.Layout(width="360px")),
        "length": slider(widgets.IntSlider, "a random word of length", len(word), min=SHORTEST_WORD, max=LONGEST_WORD),
    }  # fmt: skip
    picture = Picture(width=600, height=330)
    mark = _curves(picture, means, measured, lengths, trained_to)
    message, numbers, last = text(), {}, {"length": len(word)}

    def draw(word, length):
        if length != last["length"]:  # the slider was moved: it draws a word, and the text box follows
            word = letters.to_word(letters.random_words(1, length, torch.Generator().manual_seed(length))[0].tolist())
            controls["word"].value = word
        word = word.strip().lower()
        if len(word) <= LONGEST_WORD:
            controls["length"].value = max(len(word), SHORTEST_WORD)
        last["length"] = controls["length"].value
        try:
            source = letters.to_ids(word)
        except ValueError as error:
            return say(message, html.escape(f"{error}."))
        if len(word) > LONGEST_WORD:
            return say(message, f"{len(word)} letters: up to {LONGEST_WORD}, please.")
        target = letters.to_word(task(source[None])[0].tolist())
        near = min(lengths, key=lambda n: abs(n - len(word)))
        written = {name: letters.write(model, word) for name, model in models.items()}
        right = {name: sum(a == b for a, b in zip(wrote, target)) for name, wrote in written.items()}
        numbers.update(
            length=near,
            means={name: by_length[near] for name, by_length in means.items()},
            answers={name: (written[name], right[name]) for name in models},
        )
        say(message, _table(word, target, numbers["answers"]))
        mark(near)
        shares = "; ".join(f"{name} {share:.0%}" for name, share in numbers["means"].items())
        beyond = " No model was trained on words that long." if near > trained_to else ""
        picture.show(f"Letters right, by length of the word. At {near} letters: {shares}. Guessing: 4%.{beyond}")

    view = View(
        "The bottleneck: accuracy against length", controls, [message, panels(picture)], draw,
        prediction=_prediction(means, lengths, trained_to) if predict else None,
    )  # fmt: skip
    view.numbers, view.picture, view.message = numbers, picture, message
    return view


def _lengths(models, measured):
    if list(models) != list(measured) or not 1 <= len(models) <= len(COLORS):
        raise ValueError(f"models are {list(models)} and measured are {list(measured)}: the same names, one to four")
    lengths = {tuple(run) for runs in measured.values() for run in runs}
    if len(lengths) != 1:
        raise ValueError(f"every run must be measured at the same lengths, not at {sorted(lengths)}")
    return sorted(lengths.pop())


def _prediction(means, lengths, trained_to):
    first, *others = means
    length = min(lengths, key=lambda n: abs(n - trained_to))
    share = means[first][length]
    bounds = (0.0, 0.15, 0.35, 0.65, 0.9, 1.01)
    correct = next(i for i, top in enumerate(bounds[1:]) if share < top)
    reason = f"Measured: {share:.0%}, against {', '.join(f'{means[o][length]:.0%} with {o}' for o in others)}."
    remarks = (
        "That would be guessing: a letter is right by chance once in 26 times.",
        "A few letters at one end.",
        "About every second letter. The vector keeps a part of the word and loses another.",
        "Most of them.",
        "Then one vector would hold the whole word, and nothing would be missing.",
    )
    names = ("below 15%", "15% to 35%", "35% to 65%", "65% to 90%", "above 90%")
    return Prediction(
        f"Both models were trained on words of 2 to {trained_to} letters. On words of {length} letters, how many of "
        f"the letters does the model with {html.escape(first)} get right?",
        [(name, f"{'' if i == correct else remark} {reason}") for i, (name, remark) in enumerate(zip(names, remarks))],
        correct,
    )  # fmt: skip


def _marked(wrote, target):
    """Wrong letters are underlined, bold and coloured: not by colour alone."""
    return "".join(
        a if a == b else f'<b style="color:#d55e00;text-decoration:underline">{html.escape(a)}</b>'
        for a, b in zip(wrote, target)
    )


def _table(word, target, answers):
    spaced = "font-family:monospace;font-size:1.15em;letter-spacing:.12em"
    lines = [("the word", html.escape(word), ""), ("to be written", html.escape(target), "")]
    lines += [
        (name, _marked(wrote, target), f"{right} of {len(target)} right") for name, (wrote, right) in answers.items()
    ]
    rows = "".join(
        f'<tr><th scope="row">{html.escape(name)}</th><td style="{spaced}">{letters_}</td><td>{note}</td></tr>'
        for name, letters_, note in lines
    )
    return f'<table class="workshop-table" style="margin-bottom:10px">{rows}</table>'


def _curves(picture, means, measured, lengths, trained_to):
    with picture.drawing() as figure:
        axes = figure.add_axes([0.09, 0.15, 0.88, 0.75])
        axes.set(
            title="letters right, mean of the seeds (bands: lowest to highest)", xlabel="letters in the word",
            xlim=(lengths[0] - 0.5, lengths[-1] + 0.5), ylim=(0, 1.12),
        )  # fmt: skip
        axes.set_xticks(lengths)
        axes.set_yticks([0, 0.25, 0.5, 0.75, 1], ["0", "25%", "50%", "75%", "100%"])
        axes.grid(axis="y")
        axes.axvline(trained_to, color=MUTED, linewidth=1, linestyle=":")
        axes.text(trained_to + 0.1, 0.07, "longer than in training →", color=MUTED, fontsize=8)
        axes.axhline(1 / 26, color=MUTED, linewidth=1, linestyle="--")
        axes.text(lengths[0] - 0.4, 1 / 26 + 0.025, "guessing", color=MUTED, fontsize=8)
        points = []
        for (name, by_length), color, marker in zip(means.items(), COLORS, MARKERS):
            runs = [[run[n] for run in measured[name]] for n in lengths]
            axes.fill_between(lengths, [min(r) for r in runs], [max(r) for r in runs], color=color, alpha=0.18, lw=0)
            axes.plot(lengths, [by_length[n] for n in lengths], color=color, marker=marker, markersize=5, label=name)
            (ring,) = axes.plot([], [], color=color, marker="o", markersize=12, fillstyle="none", markeredgewidth=2)
            number = axes.text(0, 0, "", color=INK, ha="center", va="bottom", fontsize=9, fontweight="bold")
            points.append((by_length, ring, number))
            picture.live(ring, number)
        axes.legend(loc="center left" if len(means) > 2 else (0.02, 0.25))

    def mark(length):
        best = max(by_length[length] for by_length, _, _ in points)
        for by_length, ring, number in points:
            share = by_length[length]
            ring.set_data([length], [share])
            number.set_position((length, share + (0.035 if share == best else -0.115)))  # above the best, below others
            number.set_text(f"{share:.0%}")

    return mark
