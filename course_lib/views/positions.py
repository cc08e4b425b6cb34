"""The sinusoid explorer: the table of positions, its wavelengths, its dot products, and the formula that loses them."""

from functools import lru_cache

import ipywidgets as widgets
import numpy as np

from course_lib.positions import sinusoidal_encoding

from .figures import BLUE, GRID, INK, MUTED, ORANGE, Picture, Prediction, View, choice, panels, say, slider, text
from .palette import SIGNED, colormap

WIDTHS = (8, 16, 32, 64, 128, 256, 512)
RIGHT, DOCUMENT = "right", "document"
CLOSE = 0.01  # two positions nearer than this are called a collision


def document_001_encoding(length, d_model, base=10000.0):
    """Returns what document 001, §3.3, prints (E048), float64 [T, D]: the same number in all columns of a row.

    P(pos) = sin(pos / base^(2/D)) + cos(pos / base^(2/D)): sine and cosine are added, and the column index is missing.
    """
    angle = np.arange(length) / base ** (2 / d_model)
    return np.repeat((np.sin(angle) + np.cos(angle))[:, None], d_model, axis=1)


def wavelengths(d_model, base=10000.0):
    """Returns the wavelength of each pair of columns in positions, [D/2]: 2π · base^(2i/D)."""
    return 2 * np.pi * base ** (np.arange(0, d_model, 2) / d_model)


def nearest_distances(table):
    """Returns how far each row of `table` [T, D] is from the row most like it, and how many pairs of rows collide.

    The distance is the root mean square over the columns, [T]; a collision is a distance below 0.01.
    """
    squares = (table**2).mean(1)  # [T]
    distances = squares[:, None] + squares - 2 * table @ table.T / table.shape[1]  # [T, T], squared
    np.fill_diagonal(distances, np.inf)
    return np.sqrt(distances.min(1).clip(min=0)), int((distances < CLOSE**2).sum()) // 2


@lru_cache(maxsize=8)
def _tables(length, d_model, base):
    """Both tables [T, D] with their `nearest_distances`."""
    right = sinusoidal_encoding(length, d_model, base).double().numpy()
    wrong = document_001_encoding(length, d_model, base)
    return {RIGHT: right, DOCUMENT: wrong}, {RIGHT: nearest_distances(right), DOCUMENT: nearest_distances(wrong[:, :1])}


def sinusoid_explorer(predict=True):
    """Shows sinusoidal positions: table, wavelengths, dot products against distance, a pair of columns as a rotation.

    The learner moves d_model, base and length, picks a position, a shift and a pair of columns, and switches to the
    formula that document 001 prints, in which positions collide.

    predict: ask the learner for a prediction before the view appears.

    Returns a `View`; `view.numbers` holds the figures printed: `shortest` and `longest` wavelength, `turns` (pairs that
    complete a turn within the length), `similarity` of the two positions chosen, `nearest`, `collisions`.
    """
    controls = {
        "formula": choice("formula", [("sine and cosine columns", RIGHT), ("document 001, §3.3", DOCUMENT)], RIGHT),
        "d_model": slider(widgets.SelectionSlider, "d_model", 64, options=[(str(d), d) for d in WIDTHS]),
        "base": slider(
            widgets.FloatLogSlider, "base", 10000.0, base=10, min=1, max=6, step=0.25, readout_format=",.0f"
        ),
        "length": slider(widgets.IntSlider, "length", 128, min=16, max=512, step=16),
        "position": slider(widgets.IntSlider, "position p", 20, min=0, max=127),
        "shift": slider(widgets.IntSlider, "shift k", 3, min=-32, max=32),
        "pair": slider(widgets.IntSlider, "pair of columns i", 4, min=0, max=31),
    }  # fmt: skip
    for name in list(controls)[1:]:
        controls[name].layout.width = "270px"
    pictures = [Picture() for _ in range(6)]
    table_picture, waves, products, curves, circle, nearest = pictures
    movers = [
        _table(table_picture), _waves(waves), _products(products), _curves(curves), _circle(circle), _nearest(nearest)
    ]  # fmt: skip
    message, numbers = text(), {}

    def draw(formula, d_model, base, length, position, shift, pair):
        for name, limit in (("position", length - 1), ("pair", d_model // 2 - 1)):
            controls[name].max = limit
        position, pair = controls["position"].value, controls["pair"].value
        other = min(max(position + shift, 0), length - 1)
        tables, gaps = _tables(length, d_model, base)
        shown = tables[formula]  # [T, D]
        lengths = wavelengths(d_model, base)
        if formula == DOCUMENT:
            lengths = np.full(1, 2 * np.pi * base ** (2 / d_model))
        similarities = shown @ shown[position] / d_model  # [T]
        numbers.update(
            shortest=float(lengths[0]), longest=float(lengths[-1]), turns=int((lengths <= length).sum()),
            similarity=float(similarities[other]), nearest=float(gaps[formula][0].min()), collisions=gaps[formula][1],
        )  # fmt: skip
        columns = (2 * pair, 2 * pair + 1)
        chosen = shown[:, columns]  # [T, 2]
        angle = shift * 2 * np.pi / lengths[min(pair, len(lengths) - 1)]

        movers[0](shown, position, columns, formula)
        table_picture.show(
            f"Row {position}, columns {columns[0]} and {columns[1]}: {chosen[position, 0]:.2f} and "
            f"{chosen[position, 1]:.2f}." + (" Every column holds the same number." if formula == DOCUMENT else ""),
            layout=(formula, d_model, length),
        )  # fmt: skip
        movers[1](lengths, length, pair, d_model)
        waves.show(_waves_text(formula, numbers, lengths, length, pair), layout=d_model)
        movers[2](similarities, position, other, formula)
        products.show(
            f"PE({position})·PE({other}) / d_model = {similarities[other]:.2f}, at distance {other - position}. "
            + ("It depends on the distance only: move p, the curve stays." if formula == RIGHT
               else "It depends on p itself: move p, and the curve changes."), layout=(formula, _reach(length)),
        )  # fmt: skip
        span = int(min(max(64, 6 * lengths[min(pair, len(lengths) - 1)]), length))
        window = (position // span * span, span)
        movers[3](chosen, position, formula, window)
        same = int((np.abs(chosen[:, 0] - chosen[position, 0]) < CLOSE).sum()) - 1
        curves.show(
            f"At position {position}: sine {chosen[position, 0]:.2f}, cosine {chosen[position, 1]:.2f}; one turn takes "
            f"{_count(lengths[pair])} positions." if formula == RIGHT else
            f"P({position}) = {chosen[position, 0]:.2f}; {same} other position{'s have' if same != 1 else ' has'} "
            f"the same number to within {CLOSE}.", layout=(formula, window),
        )  # fmt: skip
        circle.widget.layout.display = None if formula == RIGHT else "none"
        movers[4](tables[RIGHT][:, columns], position, other, pair, d_model, base)
        circle.show(
            f"From position {position} to {position + shift}: a turn by {shift} × "
            f"{1 / (base ** (2 * pair / d_model)):.3g} = {angle:.2f} rad ({np.degrees(angle):.0f}°), wherever p is."
        )  # fmt: skip
        movers[5](gaps)
        nearest.show(
            f"Nearest two positions: {gaps[RIGHT][0].min():.2g} apart with the right formula, "
            f"{gaps[DOCUMENT][0].min():.2g} with the document's.", layout=_reach(length),
        )  # fmt: skip
        say(message, _message(formula, numbers, d_model, length, base))

    view = View(
        "Sinusoidal positions", controls, [message, panels(*pictures)], draw,
        prediction=_prediction() if predict else None,
    )  # fmt: skip
    view.numbers, view.pictures, view.message = numbers, pictures, message
    return view


def _prediction():
    return Prediction(
        "At d_model = 512 and base 10,000, the first pair of columns repeats after 2π ≈ 6.3 positions. After how many "
        "does the last pair repeat?",
        [
            ("512", "The width only says how many wavelengths there are, not how long they get."),
            ("10,000", "The base sets the scale, but a full turn is 2π of it."),
            ("about 61,000", "2π · 10,000^(510/512) = 60,611: the last exponent is 2·255/512, just below 1."),
            ("never", "Every sine repeats; this one only after far more positions than a sentence has."),
        ],
        correct=2,
    )  # fmt: skip


def _count(value):
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def _waves_text(formula, numbers, lengths, length, pair):
    if formula == DOCUMENT:
        return f"One wavelength for everything: {numbers['shortest']:.2f} positions. Then the values come round again."
    return (
        f"Pair {pair}: {_count(lengths[pair])} positions. From {_count(numbers['shortest'])} to "
        f"{_count(numbers['longest'])}; {numbers['turns']} of {len(lengths)} pairs complete a turn within "
        f"{length} positions."
    )


def _message(formula, numbers, d_model, length, base):
    if formula == RIGHT:
        return (
            f"Each pair of columns is a clock hand of its own speed: <b>{d_model // 2} wavelengths</b> from "
            f"{_count(numbers['shortest'])} to {_count(numbers['longest'])} positions. Among {length} positions, "
            f"<b>{numbers['collisions']}</b> pairs are closer than {CLOSE}."
        )
    return (
        f"<b>E048.</b> Document 001 adds sine and cosine and drops the column index: one number a position, with "
        f"period 2π·{base:,.0f}<sup>2/{d_model}</sup> = <b>{numbers['shortest']:.2f}</b> positions. Among {length} "
        f"positions, <b>{numbers['collisions']:,}</b> pairs are closer than {CLOSE}; and adding one number to every "
        "feature is exactly what a LayerNorm takes away again."
    )


# Each of these draws what stands still, registers what moves, and returns the function that moves it.


def _reach(length):
    """Where an axis of this length ends: a power of two, so that it seldom has to be drawn anew."""
    return 2 ** (length - 1).bit_length()


def _table(picture):
    with picture.drawing() as figure:
        axes = figure.add_axes([0.15, 0.19, 0.66, 0.69])
        axes.set(title="The table PE(position, column)", xlabel="column", ylabel="position")
        image = axes.imshow(np.zeros((2, 2)), cmap=colormap(SIGNED, "signed"), vmin=-1, vmax=1, aspect="auto")
        bar = figure.colorbar(image, cax=figure.add_axes([0.84, 0.19, 0.03, 0.69]), ticks=[-1, 0, 1])
        bar.outline.set_visible(False)
        row = axes.axhline(0, color=INK, linewidth=1)
        lines = [
            axes.axvline(0, color=color, linewidth=1.5, linestyle=style)
            for color, style in ((BLUE, "-"), (ORANGE, "--"))
        ]
        picture.live(image, row, *lines)

    def move(table, position, columns, formula):
        length, d_model = table.shape
        limit = 1.0 if formula == RIGHT else 1.5
        image.set_data(table)
        image.set_clim(-limit, limit)
        bar.set_ticks([-1, 0, 1] if formula == RIGHT else [-1.4, 0, 1.4])
        image.set_extent((-0.5, d_model - 0.5, length - 0.5, -0.5))
        row.set_ydata([position, position])
        for line, column in zip(lines, columns):
            line.set_xdata([column, column])

    return move


def _waves(picture):
    with picture.drawing() as figure:
        axes = figure.add_axes([0.15, 0.19, 0.82, 0.69])
        axes.set(title="Wavelength of each pair of columns", xlabel="pair i (columns 2i, 2i + 1)", ylabel="positions",
                 yscale="log", ylim=(3, 2e7))  # fmt: skip
        axes.minorticks_off()
        axes.grid(color=GRID)
        (points,) = axes.plot([], [], color=BLUE, marker="o", markersize=3, linewidth=1)
        within = axes.axhline(1, color=MUTED, linestyle="--", linewidth=1)
        label = axes.text(
            0.99, 1, "", transform=axes.get_yaxis_transform(), ha="right", va="bottom", color=MUTED, fontsize=8
        )
        (chosen,) = axes.plot([], [], color=INK, marker="o", markersize=10, fillstyle="none", markeredgewidth=1.8)
        picture.live(points, within, label, chosen)

    def move(lengths, length, pair, d_model):
        pairs = d_model // 2
        axes.set_xlim(-0.04 * pairs, pairs * 1.02)
        every = lengths if len(lengths) > 1 else np.repeat(lengths, pairs)
        points.set_data(np.arange(pairs), every)
        points.set_markersize(3 if pairs <= 64 else 1.5)
        within.set_ydata([length, length])
        label.set_y(length * 1.1)
        label.set_text(f"length: {length}")
        chosen.set_data([pair], [every[pair]])

    return move


def _products(picture):
    with picture.drawing() as figure:
        axes = figure.add_axes([0.17, 0.19, 0.8, 0.69])
        axes.set(title="Dot product with position p", xlabel="distance from p", ylabel="PE(p)·PE(j) / d_model")
        axes.grid(color=GRID)
        axes.axhline(0, color=MUTED, linewidth=0.8)
        (curve,) = axes.plot([], [], color=BLUE)
        (chosen,) = axes.plot([], [], color=INK, marker="o", markersize=10, fillstyle="none", markeredgewidth=1.8)
        picture.live(curve, chosen)

    def move(similarities, position, other, formula):
        length = len(similarities)
        reach = _reach(length) if formula == RIGHT else min(_reach(length), 64)
        axes.set_xlim(-reach, reach)
        axes.set_ylim(*((-0.3, 0.58) if formula == RIGHT else (-2.3, 2.3)))
        curve.set_data(np.arange(length) - position, similarities)
        chosen.set_data([other - position], [similarities[other]])

    return move


def _curves(picture):
    with picture.drawing() as figure:
        axes = figure.add_axes([0.13, 0.19, 0.84, 0.69])
        axes.set(xlabel="position")
        axes.grid(color=GRID)
        title = axes.set_title("")
        (sine,) = axes.plot([], [], color=BLUE, label="2i: sine")
        (cosine,) = axes.plot([], [], color=ORANGE, linestyle="--", label="2i + 1: cosine")
        (points,) = axes.plot([], [], color=INK, marker="o", linestyle="none", markersize=7, fillstyle="none")
        here = axes.axvline(0, color=INK, linewidth=1)
        legend = axes.legend(loc="upper right", ncols=2, borderaxespad=0.1, columnspacing=1.2)
        picture.live(sine, cosine, points, here)

    def move(chosen, position, formula, window):
        right = formula == RIGHT
        start, span = window
        axes.set_xlim(start - 1, start + span)
        axes.set_ylim(*((-1.15, 1.6) if right else (-1.6, 1.6)))
        title.set_text("The two columns of pair i" if right else "P(position), the same in all columns")
        legend.set_visible(right)
        where = np.arange(len(chosen))
        marker = "o" if span <= 128 else ""  # positions are whole numbers: dots, where they can be told apart
        for line, values in ((sine, chosen[:, 0]), (cosine, chosen[:, 1])):
            line.set_data(where, values)
            line.set(marker=marker, markersize=3, linewidth=1.2)
        cosine.set_visible(right)
        same = [position] if right else where[np.abs(chosen[:, 0] - chosen[position, 0]) < CLOSE]
        points.set_data(*((np.repeat(same, 2), chosen[same].ravel()) if right else (same, chosen[same, 0])))
        here.set_xdata([position, position])

    return move


def _circle(picture):
    with picture.drawing() as figure:
        axes = figure.add_axes([0.05, 0.08, 0.9, 0.8])
        axes.set(
            title="The pair as a clock hand: sine →, cosine ↑", xlim=(-2.05, 2.05), ylim=(-1.28, 1.28), aspect="equal"
        )
        axes.axis("off")
        turn = np.linspace(0, 2 * np.pi, 200)
        axes.plot(np.sin(turn), np.cos(turn), color=GRID, linewidth=1.5)
        (dots,) = axes.plot([], [], color=MUTED, marker=".", linestyle="none", markersize=3, alpha=0.6)
        (arc,) = axes.plot([], [], color=INK, linewidth=2)
        hands = [axes.plot([], [], color=color, marker="o", markevery=[1], markersize=6, linestyle=style)[0]
                 for color, style in ((BLUE, "-"), (ORANGE, "--"))]  # fmt: skip
        names = [
            axes.text(0, 0, "", color=color, fontweight="bold", ha="center", va="center") for color in (BLUE, ORANGE)
        ]
        picture.live(dots, arc, *hands, *names)

    def move(chosen, position, other, pair, d_model, base):
        dots.set_data(chosen[:, 0], chosen[:, 1])
        speed = base ** (-2 * pair / d_model)
        swept = np.linspace(position, other, 200) * speed
        arc.set_data(0.35 * np.sin(swept), 0.35 * np.cos(swept))
        for hand, name, place in zip(hands, names, (position, other)):
            x, y = np.sin(place * speed), np.cos(place * speed)
            hand.set_data([0, x], [0, y])
            name.set_position((1.22 * x + 0.12 * np.sign(x), 1.14 * y))
            name.set_text(str(place))

    return move


def _nearest(picture):
    with picture.drawing() as figure:
        axes = figure.add_axes([0.16, 0.19, 0.81, 0.69])
        axes.set(title="Distance to the most similar position", xlabel="position", ylabel="distance (RMS)",
                 yscale="log", ylim=(1e-8, 3))  # fmt: skip
        axes.minorticks_off()
        axes.grid(color=GRID)
        (right,) = axes.plot([], [], color=BLUE, label="sine and cosine columns")
        (wrong,) = axes.plot([], [], color=ORANGE, linestyle="--", linewidth=1.2, label="document 001, §3.3")
        axes.axhline(CLOSE, color=MUTED, linewidth=0.8)
        axes.legend(loc="lower left")
        picture.live(right, wrong)

    def move(gaps):
        for line, formula in ((right, RIGHT), (wrong, DOCUMENT)):
            line.set_data(np.arange(len(gaps[formula][0])), gaps[formula][0])
        axes.set_xlim(-1, _reach(len(gaps[RIGHT][0])))

    return move
