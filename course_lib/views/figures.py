"""What every slider view is made of: one matplotlib figure that is kept and updated, controls, and errors one can see.

A figure is drawn once. When a control moves, only the artists registered as `live` are drawn again over the kept
background, and the result is sent as PNG bytes to an `ipywidgets.Image`. No figure is ever registered with pyplot, so
nothing stays open behind the learner's back.
"""

import html
import io
from contextlib import contextmanager
from functools import lru_cache

import ipywidgets as widgets
import matplotlib
import matplotlib.style
from matplotlib import font_manager
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image

from .palette import ACCENT, GRID, GROUND, HEADS, INK, MUTED

BLUE, ORANGE, GREEN = HEADS[0], HEADS[4], HEADS[2]
WIDTH, HEIGHT = 344, 232  # of one picture among several: three in a row in a wide window, two in a narrow one

# Fonts with Chinese glyphs, the usual one of each system first. matplotlib knows a .ttc by its first face ("… JP").
CJK_FONTS = (
    "Noto Sans CJK SC", "Noto Sans SC", "Noto Sans CJK JP", "Source Han Sans SC", "Source Han Sans CN", "PingFang SC",
    "Hiragino Sans GB", "Heiti SC", "Microsoft YaHei", "SimHei", "WenQuanYi Micro Hei", "WenQuanYi Zen Hei",
    "Droid Sans Fallback", "Arial Unicode MS", "Noto Serif CJK SC", "Noto Serif CJK JP",
)  # fmt: skip

CSS = """<style>
.workshop-view { max-width: 1280px; padding: 4px 0; overflow: visible; }
.workshop-view .widget-toggle-buttons { display: flex; flex-flow: row wrap; align-items: center; width: auto;
  margin-right: 18px; }
.workshop-view .widget-toggle-buttons > .widget-label { margin-right: 8px; }
.workshop-view .widget-slider, .workshop-view .widget-text { margin-right: 16px; }
.workshop-view .widget-inline-hbox .widget-label { min-width: 0; width: auto; margin-right: 12px; }
.workshop-view .widget-inline-hbox .widget-readout { min-width: 46px; }
.workshop-title { font-size: 1.15em; font-weight: 600; line-height: 1.5; }
.workshop-text { line-height: 1.5; max-width: 80ch; white-space: normal; }
.workshop-caption { line-height: 1.45; white-space: normal; font-size: .95em; }
.workshop-error { border-left: 4px solid #d55e00; padding: 4px 10px; font-family: monospace; white-space: pre-wrap; }
.workshop-table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
.workshop-table th, .workshop-table td { padding: 3px 10px; text-align: left; border-bottom: 1px solid #8888; }
img.workshop-picture { border-radius: 6px; background: #fff; }
</style>"""


# ---- fonts ----------------------------------------------------------------------------------------------------------


@lru_cache(maxsize=1)
def chinese_fonts():
    """Returns the names of the installed fonts that have Chinese glyphs, best first (an empty tuple: none)."""
    installed = set(font_manager.get_font_names())
    return tuple(name for name in CJK_FONTS if name in installed)


def readable(words):
    """Returns `words` as matplotlib can show them: unchanged, or in pinyin where no Chinese font is installed."""
    if chinese_fonts() or not any(any(_is_chinese(letter) for letter in word) for word in words):
        return list(words)
    from course_lib.corpora.grammar import pinyin

    return [pinyin(word) if any(_is_chinese(letter) for letter in word) else word for word in words]


def _is_chinese(letter):
    return "\u3400" <= letter <= "\u9fff" or "\uf900" <= letter <= "\ufaff"


def _style():
    """The look of every picture, whatever style the learner has set for pyplot."""
    return {
        "font.family": ["DejaVu Sans", *chinese_fonts()[:1]], "font.size": 9.0, "axes.titlesize": 9.5,
        "axes.labelsize": 8.5, "xtick.labelsize": 8.0, "ytick.labelsize": 8.0, "legend.fontsize": 8.0,
        "text.color": INK, "axes.labelcolor": INK,
        "xtick.color": MUTED, "ytick.color": MUTED, "xtick.labelcolor": INK, "ytick.labelcolor": INK,
        "axes.edgecolor": MUTED, "axes.titlecolor": INK, "axes.titlelocation": "left", "axes.grid": False,
        "grid.color": GRID, "grid.linewidth": 0.8, "axes.spines.top": False, "axes.spines.right": False,
        "figure.facecolor": GROUND, "axes.facecolor": GROUND, "axes.axisbelow": True, "axes.unicode_minus": True,
        "legend.frameon": False, "image.interpolation": "nearest", "lines.linewidth": 1.8,
    }  # fmt: skip


# ---- numbers --------------------------------------------------------------------------------------------------------


def scientific(value):
    """Returns a positive number as people write it: "0.35", "120", and "1.3 × 10⁻¹¹" where it is small or large."""
    if value == 0 or 0.01 <= value < 1000:
        return f"{value:.2g}" if value < 100 else f"{value:.0f}"
    factor, power = f"{value:.1e}".split("e")
    return f"{factor}\u00a0×\u00a010{str(int(power)).translate(str.maketrans('-0123456789', '⁻⁰¹²³⁴⁵⁶⁷⁸⁹'))}"


# ---- one picture ----------------------------------------------------------------------------------------------------


class Picture:
    """One matplotlib figure kept for life, shown as an image with its text alternative below.

    width, height: size in CSS pixels; the picture is drawn at twice that for sharp screens.
    alt: one sentence that says what the picture shows; `show(alt=…)` replaces it when the numbers change.
    announce: whether screen readers read the text out when it changes; not for a picture that changes by itself.

    Attributes: `figure`, the matplotlib figure; `image`, the `ipywidgets.Image`; `widget`, the image with its text.
    """

    SCALE = 1.5

    def __init__(self, width=WIDTH, height=HEIGHT, alt="", announce=True):
        with matplotlib.style.context(["default", _style()]):
            self.figure = Figure(figsize=(width / 100, height / 100), dpi=100 * self.SCALE)
            FigureCanvasAgg(self.figure)
        # Never without a picture: JupyterLab's Image widget breaks where an empty value is followed by an update.
        blank = _png(Image.new("RGB", self.figure.canvas.get_width_height(), GROUND))
        self.image = widgets.Image(
            value=blank, format="png", layout=widgets.Layout(width=f"{width}px", max_width="100%")
        )
        self.image.add_class("workshop-picture")
        self.caption = widgets.HTML(layout=widgets.Layout(width=f"{width}px", max_width="100%"))
        self.widget = widgets.VBox(
            [self.image, self.caption],
            layout=widgets.Layout(max_width="100%", margin="0 12px 8px 0", overflow="visible"),
        )
        self._live, self._background, self._layout, self._sent = [], None, None, None
        self._role = 'role="note" aria-live="polite"' if announce else 'role="note"'
        self.alt = alt

    @property
    def alt(self):
        """The text alternative: it stands below the picture."""
        return self._alt

    @alt.setter
    def alt(self, text):
        self._alt = text
        self.caption.value = f'<div class="workshop-caption" {self._role}>{html.escape(text)}</div>'

    @contextmanager
    def drawing(self):
        """All artists are added inside this context, so that the learner's pyplot style leaves the figure alone."""
        with matplotlib.style.context(["default", _style()]):
            yield self.figure
        self._background = None

    def live(self, *artists):
        """Registers artists that change from one move to the next; returns them (the only one bare)."""
        for artist in artists:
            artist.set_animated(True)
        self._live += artists
        return artists[0] if len(artists) == 1 else artists

    def show(self, alt=None, layout=None):
        """Draws and sends the picture.

        alt: the new text alternative, where the numbers in it have changed.
        layout: whatever decides over axis limits, ticks and titles: when it differs from the last call's, what is not
            live is drawn again, too.
        """
        if alt is not None:
            self.alt = alt
        self._draw(full=layout != self._layout)
        self._layout = layout
        pixels = self.figure.canvas.buffer_rgba().tobytes()
        if pixels == self._sent:
            return
        self._sent = pixels
        size = self.figure.canvas.get_width_height()
        self.image.value = _png(Image.frombuffer("RGBA", size, pixels, "raw", "RGBA", 0, 1).convert("RGB"))

    def _draw(self, full=False):
        canvas = self.figure.canvas
        if full or self._background is None:
            with matplotlib.rc_context(_style()):  # ticks are made while drawing
                canvas.draw()
            self._background = canvas.copy_from_bbox(self.figure.bbox)
        else:
            canvas.restore_region(self._background)
        renderer = canvas.get_renderer()
        for artist in self._live:
            artist.draw(renderer)


def _png(image):
    buffer = io.BytesIO()
    image.save(buffer, "png", compress_level=1)
    return buffer.getvalue()


# ---- controls that redraw -------------------------------------------------------------------------------------------


class View(widgets.VBox):
    """Controls, what they drive, and a line for what went wrong.

    title: shown above the controls.
    controls: dict name -> widget; `draw` is called with their values as keywords, at once and after every move.
    body: list of widgets below the controls.
    draw: callable(**values). It may move controls itself (a slider whose range depends on another): this does not
        call it again.
    arrange: list of widgets to show instead of all controls in a row (a control may be left out and placed elsewhere).
    prediction: a `Prediction` that stands first; the rest appears when the learner has committed to an answer.

    An exception in `draw` is shown in the view, kept in `failure`, and raised again, so that it fails a test and a
    notebook run and is seen by a learner. A slider sends its next value only when the last one was answered: moves do
    not pile up.
    """

    def __init__(self, title, controls, body, draw, arrange=None, prediction=None):
        self.controls, self.failure, self._draw, self._quiet = controls, None, draw, False
        self.prediction = prediction
        self.error = widgets.HTML()
        row = widgets.HBox(
            arrange if arrange is not None else list(controls.values()),
            layout=widgets.Layout(flex_flow="row wrap", align_items="center", overflow="visible"),
        )
        heading = widgets.HTML(f'{CSS}<div class="workshop-title">{html.escape(title)}</div>')
        everything = [heading, self.error, row, *body]
        super().__init__(everything if prediction is None else [heading, self.error, prediction])
        if prediction is not None:
            everything.insert(1, prediction)
            prediction.when_answered = lambda: setattr(self, "children", everything)
        self.add_class("workshop-view")
        for control in controls.values():
            control.observe(self._moved, "value")
        self.redraw()

    @property
    def values(self):
        """The controls' values by name."""
        return {name: control.value for name, control in self.controls.items()}

    def set(self, **values):
        """Moves several controls at once, with one redraw: `view.set(d_k=64, divisor=8)`."""
        unknown = values.keys() - self.controls.keys()
        if unknown:
            raise ValueError(f"no control named {', '.join(sorted(unknown))}; there are {', '.join(self.controls)}")
        self._quiet = True
        try:
            for name, value in values.items():
                self.controls[name].value = value
        finally:
            self._quiet = False
        self.redraw()

    def redraw(self):
        """Draws for the controls' present values."""
        self._quiet = True
        try:
            self._draw(**self.values)
        except Exception as exception:
            self.failure = exception
            text = html.escape(f"{type(exception).__name__}: {exception}")
            self.error.value = f'<div class="workshop-error" role="alert">This view could not be drawn. {text}</div>'
            raise
        finally:
            self._quiet = False
        self.failure, self.error.value = None, ""

    def _moved(self, change):
        if not self._quiet:
            self.redraw()


def slider(kind, label, value, **options):
    """Returns an ipywidgets slider that moves the view while it is dragged, with room for its label."""
    return kind(
        value=value, description=label, continuous_update=True, style={"description_width": "initial"},
        layout=widgets.Layout(width="320px", max_width="100%"), **options,
    )  # fmt: skip


def choice(label, options, value):
    """Returns a row of toggle buttons; `options`: list of (text, value)."""
    control = widgets.ToggleButtons(
        options=options, value=value, description=label,
        style={"description_width": "initial", "button_width": "auto"}, layout=widgets.Layout(max_width="100%"),
    )  # fmt: skip
    return control


def panels(*pictures):
    """Returns pictures (or widgets) side by side; they wrap where the page is narrow."""
    return widgets.HBox(
        [picture.widget if isinstance(picture, Picture) else picture for picture in pictures],
        layout=widgets.Layout(flex_flow="row wrap", align_items="flex-start", overflow="visible"),
    )


def text(value=""):
    """Returns an HTML line in the view's text style; set its content with `say`."""
    line = widgets.HTML()
    say(line, value)
    return line


def say(line, value):
    """Replaces the content of a `text` line; `value` is HTML."""
    line.value = f'<div class="workshop-text" aria-live="polite">{value}</div>'


class Prediction(widgets.VBox):
    """A question that the learner commits to before a view is shown.

    question: HTML. options: list of (answer, what to say to whoever chose it); correct: index of the right one.
    `answer(index)` chooses from code; `chosen` is the first choice, None before.
    """

    def __init__(self, question, options, correct):
        self.options, self.correct, self.chosen, self.when_answered = options, correct, None, lambda: None
        self.buttons = [
            widgets.Button(description=answer, layout=widgets.Layout(width="auto", min_width="70px"))
            for answer, _ in options
        ]
        for index, button in enumerate(self.buttons):
            button.on_click(lambda _, index=index: self.answer(index))
        self.reply = text()
        row = widgets.HBox(self.buttons, layout=widgets.Layout(flex_flow="row wrap", overflow="visible"))
        super().__init__([text(f"<b>Predict first.</b> {question}"), row, self.reply])

    def answer(self, index):
        """Commits to the option at `index`: says what is right about it or wrong, and lets the view appear."""
        answer, why = self.options[index]
        verdict = "✓ Right" if index == self.correct else "✗ Not quite"
        say(self.reply, f"<b>{verdict}</b> ({html.escape(answer)}). {why}")
        for number, button in enumerate(self.buttons):
            button.button_style = "success" if number == self.correct else "warning" if number == index else ""
        if self.chosen is None:
            self.chosen = index
            self.when_answered()


__all__ = [
    "ACCENT", "BLUE", "CJK_FONTS", "CSS", "GREEN", "GRID", "GROUND", "INK", "MUTED", "ORANGE", "Picture", "Prediction",
    "View", "chinese_fonts", "choice", "panels", "readable", "say", "scientific", "slider",
    "text",
]  # fmt: skip
