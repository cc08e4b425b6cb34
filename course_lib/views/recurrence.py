"""How far a recurrence can learn: the gradient that comes back over a distance; and what a layer costs by length."""

from functools import lru_cache

import ipywidgets as widgets
import numpy as np
import torch

from course_lib.recurrent import LSTM, RNN, layer_costs, receptive_field

from .figures import (
    BLUE,
    GREEN,
    GRID,
    INK,
    MUTED,
    ORANGE,
    Picture,
    Prediction,
    View,
    choice,
    panels,
    say,
    scientific,
    slider,
    text,
)

D_IN, D_STATE, LONGEST = 6, 24, 100
FLOOR, CEILING = 1e-26, 1e12  # what is smaller or larger is drawn there
STYLES = {
    "rnn": ("RNN", BLUE, "-"),
    "lstm": ("LSTM, fresh", ORANGE, "--"),
    "forget": ("LSTM, forget bias set", GREEN, "-."),
}


@lru_cache(maxsize=256)
def influence(kind, setting, bend, length, seed):
    """How much the last state still depends on each input: |dh_T/dx_t| / |dh_T/dx_T| by distance T - t, [length].

    Args:
        kind: one of `STYLES`.
        setting: of the RNN the factor of its recurrent matrix, which is orthogonal otherwise, so that all of its
            eigenvalues have this size; of the LSTM with forget bias that bias.
        bend: whether the RNN has its tanh.
        length, seed: of the random input, and of the weights.

    The norm is Frobenius': the root of the sum of squares over all features of h_T and of x_t.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        inputs = torch.randn(1, LONGEST, D_IN, dtype=torch.float64)[:, :length]
        if kind == "rnn":
            model = RNN(D_IN, D_STATE).double()
            with torch.no_grad():
                model.cell.weight_hh.copy_(setting * torch.linalg.qr(torch.randn(D_STATE, D_STATE).double())[0])
        else:
            model = LSTM(D_IN, D_STATE, setting if kind == "forget" else None).double()
    if kind == "rnn" and not bend:  # a linear recurrence: the same factor W_h for every step
        gradient = [torch.linalg.matrix_power(model.cell.weight_hh, k) @ model.cell.weight_ih for k in range(length)]
        norms = torch.stack([part.detach().norm() for part in gradient])
        return (norms / norms[0]).numpy()
    copies = inputs.expand(D_STATE, -1, -1).clone().requires_grad_()  # one copy for each feature of h_T
    states, _ = model(copies)
    (gradient,) = torch.autograd.grad(states[:, -1].diagonal().sum(), copies)  # [feature of h_T, T, D]
    norms = gradient.square().sum((0, 2)).sqrt().flip(0)  # by distance
    return (norms / norms[0]).numpy()


def gradient_explorer(predict=True):
    """Shows how much of a gradient is left after a distance: RNN, LSTM, and LSTM with a forget bias, on a log axis.

    The learner sets the size of the recurrent matrix, takes the tanh away, moves the forget bias, the length and the
    distance at which the numbers are read.

    predict: ask the learner for a prediction before the view appears.

    Returns a `View`; `view.numbers` holds `rnn`, `lstm` and `forget`: what `influence` gives.
    """
    controls = {
        "radius": slider(widgets.FloatSlider, "size of W_h", 0.9, min=0.5, max=1.5, step=0.05),
        "bend": choice("state", [("tanh", True), ("linear", False)], True),
        "forget_bias": slider(widgets.FloatSlider, "forget bias", 4.0, min=-2, max=6, step=0.5),
        "length": slider(widgets.IntSlider, "length", LONGEST, min=10, max=LONGEST, step=10),
        "distance": slider(widgets.IntSlider, "read at distance", 50, min=1, max=LONGEST - 1),
        "seed": slider(widgets.IntSlider, "weights: seed", 0, min=0, max=9),
    }
    for name in ("radius", "forget_bias", "length", "distance", "seed"):
        controls[name].layout.width = "260px"
    picture = Picture(820, 330)
    move = _curves(picture)
    message, numbers = text(), {}

    def draw(radius, bend, forget_bias, length, distance, seed):
        controls["distance"].max = length - 1  # moves the distance along where it is too large
        distance = controls["distance"].value
        numbers["rnn"] = influence("rnn", radius, bend, length, seed)
        numbers["lstm"] = influence("lstm", None, True, length, seed)
        numbers["forget"] = influence("forget", forget_bias, True, length, seed)
        move(numbers, distance)
        read = "; ".join(f"{STYLES[kind][0]}: {scientific(numbers[kind][distance])}" for kind in STYLES)
        picture.show(f"What is left of the gradient at distance {distance}. {read}.", layout=length)
        say(message, _gradient_message(numbers, radius, bend, forget_bias, distance))

    view = View(
        "How far back does a gradient reach?", controls, [message, panels(picture)], draw,
        prediction=_gradient_prediction() if predict else None,
    )  # fmt: skip
    view.numbers, view.picture, view.message = numbers, picture, message
    return view


def _gradient_message(numbers, radius, bend, forget_bias, distance):
    rnn, keep = numbers["rnn"][distance], 1 / (1 + np.exp(-forget_bias))
    left = scientific(rnn)
    if not bend:
        start = f"Without tanh each step multiplies by {radius:.2f}: {radius:.2f}<sup>{distance}</sup> = {left}."
    elif rnn < 1e-4:
        start = f"RNN: {left} is left. Vanished: what stands {distance} steps back teaches it nothing."
    elif rnn > 10:
        start = f"RNN: {left}, more than there was: exploding. One training step would throw the weights far away."
    else:
        start = f"RNN: {left} is left at distance {distance}. Move “size of W_h” a little: is there a good value?"
    return (
        f"{start} LSTM with forget bias {forget_bias:g}: its gate starts at σ({forget_bias:g}) = {keep:.3f}, and "
        f"<b>{scientific(numbers['forget'][distance])}</b> is left."
    )


def _gradient_prediction():
    return Prediction(
        "A network reads 100 words. A fresh <code>torch.nn.LSTM</code>, as PyTorch initialises it: how much of the "
        "gradient arrives 50 words back, compared with a simple RNN?",
        [
            ("nearly all: LSTMs were made for this",
             "They were. But the forget gate of a fresh one stands at about one half, and 0.5 to the power of 50 is "
             "nearly nothing. Look at the dashed curve; then move the forget bias."),
            ("about a thousandth",
             "Much less: its forget gate stands at about one half, and 0.5 to the power of 50 is nearly nothing. Look "
             "at the dashed curve."),
            ("as good as nothing, as in the RNN",
             "A fresh forget gate stands at about one half, and 0.5 to the power of 50 is nearly nothing. It is the "
             "bias of that gate that makes the difference: move it."),
        ],
        correct=2,
    )  # fmt: skip


def _curves(picture):
    """Prepares the three curves; returns the mover."""
    lines, dots, labels = {}, {}, {}
    with picture.drawing() as figure:
        axes = figure.add_axes([0.085, 0.14, 0.70, 0.76])
        axes.set_yscale("log")
        axes.set(
            title="What is left of the gradient", xlabel="distance: steps between input and last state",
            ylabel=r"$|\partial h_T/\partial x_t| \;/\; |\partial h_T/\partial x_T|$", ylim=(FLOOR, CEILING),
        )  # fmt: skip
        axes.set_yticks([10.0**power for power in range(-24, 13, 6)])
        axes.grid(color=GRID)
        axes.axhline(1, color=MUTED, linewidth=0.8)
        cursor = axes.axvline(0, color=MUTED, linewidth=1, linestyle=":")
        for row, (kind, (name, color, style)) in enumerate(STYLES.items()):
            (lines[kind],) = axes.plot([], [], color=color, linestyle=style, linewidth=2.2)
            (dots[kind],) = axes.plot([], [], "o", color=color, markersize=6)
            height = 0.80 - 0.17 * row
            figure.text(0.80, height, f"{name}", color=color, fontsize=8.5, fontweight="bold")
            figure.lines.append(_stroke(figure, height + 0.055, color, style))
            labels[kind] = figure.text(0.80, height - 0.06, "", color=INK, fontsize=10)
        picture.live(cursor, *lines.values(), *dots.values(), *labels.values())

    def move(numbers, distance):
        length = len(numbers["rnn"])
        axes.set_xlim(0, length - 1)
        cursor.set_xdata([distance, distance])
        for kind, values in numbers.items():
            shown = np.clip(values, FLOOR, CEILING)
            lines[kind].set_data(np.arange(length), shown)
            dots[kind].set_data([distance], [shown[distance]])
            labels[kind].set_text(scientific(values[distance]))

    return move


def _stroke(figure, height, color, style):
    from matplotlib.lines import Line2D

    return Line2D(
        [0.80, 0.86], [height, height], color=color, linestyle=style, linewidth=2.2, transform=figure.transFigure
    )


# ---- cost -----------------------------------------------------------------------------------------------------------

WIDTHS = (64, 256, 512, 1024)
LENGTHS = np.union1d(np.logspace(1, 5, 81).round().astype(int), WIDTHS)  # 10 to 100,000
KINDS = {"recurrent": ("recurrent", BLUE, "-"), "convolution": ("convolution", ORANGE, "--"),
         "attention": ("attention", GREEN, "-.")}  # fmt: skip


def cost_explorer(predict=True):
    """Shows operations, steps that wait for each other, and longest path of the three kinds of layer, by length.

    The learner moves the length n, the width d and the kernel size, and finds where attention becomes the dearest.

    predict: ask the learner for a prediction before the view appears.

    Returns a `View`; `view.numbers` holds what `layer_costs` gives.
    """
    controls = {
        "n": widgets.SelectionSlider(
            options=[(f"{n:,}", n) for n in LENGTHS.tolist()], value=10, description="length n",
            continuous_update=True, style={"description_width": "initial"},
            layout=widgets.Layout(width="380px", max_width="100%"),
        ),
        "d": choice("width d", [(str(d), d) for d in WIDTHS], 64),
        "kernel_size": slider(widgets.IntSlider, "kernel size", 3, min=2, max=9),
    }  # fmt: skip
    controls["n"].value = int(LENGTHS[np.abs(LENGTHS - 32).argmin()])
    controls["kernel_size"].layout.width = "240px"
    picture = Picture(520, 300)
    move = _costs(picture)
    table = widgets.HTML(layout=widgets.Layout(max_width="100%", overflow="visible", margin="8px 0"))
    message, numbers = text(), {}

    def draw(n, d, kernel_size):
        numbers.clear()
        numbers.update(layer_costs(n, d, kernel_size))
        move(n, d, kernel_size)
        read = ", ".join(f"{kind} {scientific(row['operations'])}" for kind, row in numbers.items())
        picture.show(f"Operations in one layer at n = {n:,}: {read}. The curves of recurrence and attention cross at "
                     f"n = d = {d}.", layout=(d, kernel_size))  # fmt: skip
        table.value = _cost_table(numbers)
        say(message, _cost_message(n, d, kernel_size, numbers))

    view = View(
        "What one layer costs", controls, [message, panels(picture, table)], draw,
        prediction=_cost_prediction() if predict else None,
    )  # fmt: skip
    view.numbers, view.picture, view.message, view.table = numbers, picture, message, table
    return view


def _cost_message(n, d, kernel_size, numbers):
    ratio = numbers["attention"]["operations"] / numbers["recurrent"]["operations"]
    if n == d:
        cost = "n = d: attention and recurrence take exactly as many operations."
    elif n < d:
        cost = f"n is below d: attention takes {ratio:.2g} times the operations of the recurrence, that is fewer."
    else:
        cost = f"n is above d: attention takes <b>{ratio:,.1f} times</b> the operations of the recurrence."
    layers = numbers["convolution"]["path"]
    return (
        f"{cost} But the recurrence does them in {n:,} steps that wait for each other, attention in 1. A convolution "
        f"needs {layers:,} layer{'s' if layers > 1 else ''} (receptive field {receptive_field(kernel_size, layers):,}) "
        "to carry the first input to the last output."
    )


def _cost_table(numbers):
    head = "".join(
        f"<th>{name}</th>" for name in ("one layer", "operations", "steps that wait", "first input → last output")
    )
    rows = "".join(
        f'<tr><th style="color:inherit">{name}</th><td>{numbers[kind]["operations"]:,}</td>'
        f"<td>{numbers[kind]['steps']:,}</td><td>{numbers[kind]['path']:,}</td></tr>"
        for kind, (name, _, _) in KINDS.items()
    )
    return f'<table class="workshop-table"><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>'


def _cost_prediction():
    return Prediction(
        "Width 64. A sequence becomes twice as long: 2,048 words instead of 1,024. What happens to the operations?",
        [
            ("recurrent and attention: both double",
             "The recurrence does. In attention there are four times as many pairs of words."),
            ("the recurrence doubles, attention quadruples",
             "n steps of the same size on one side, n · n pairs on the other. Move n, and read the table."),
            ("the recurrence quadruples, attention doubles",
             "That is what document 004 suggests (E109). It is the other way round: move n, and read the table."),
        ],
        correct=1,
    )  # fmt: skip


def _costs(picture):
    """Prepares operations by length, both on a log axis; returns the mover."""
    lines, dots = {}, {}
    with picture.drawing() as figure:
        axes = figure.add_axes([0.125, 0.15, 0.855, 0.75])
        axes.set(
            xscale="log", yscale="log", title="Operations in one layer", xlabel="length n", ylabel="operations",
            xlim=(LENGTHS[0], LENGTHS[-1]), ylim=(1e4, 1e14),
        )  # fmt: skip
        axes.grid(color=GRID)
        crossing = axes.axvline(1, ymax=0.62, color=MUTED, linewidth=1)
        where = axes.text(0, 2.5e4, "", fontsize=8, color=MUTED)
        cursor = axes.axvline(1, ymax=0.62, color=MUTED, linewidth=1, linestyle=":")
        for kind, (name, color, style) in KINDS.items():
            (lines[kind],) = axes.plot([], [], color=color, linestyle=style, linewidth=2.2, label=name)
            (dots[kind],) = axes.plot([], [], "o", color=color, markersize=6)
        axes.legend(loc="upper left", handlelength=3.5)
        picture.live(crossing, where, cursor, *lines.values(), *dots.values())

    def move(n, d, kernel_size):
        by_length = [layer_costs(int(m), d, kernel_size) for m in LENGTHS]
        now = layer_costs(n, d, kernel_size)
        crossing.set_xdata([d, d])
        where.set_text(f" n = d = {d}")
        where.set_x(d)
        cursor.set_xdata([n, n])
        for kind, line in lines.items():
            line.set_data(LENGTHS, [costs[kind]["operations"] for costs in by_length])
            dots[kind].set_data([n], [now[kind]["operations"]])

    return move
