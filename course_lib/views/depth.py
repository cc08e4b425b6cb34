"""What residuals and norms do: gradient, sameness and size by depth; and layer normalisation, feature by feature."""

from functools import lru_cache

import ipywidgets as widgets
import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from course_lib.blocks import EncoderLayer, LayerNorm

from .figures import (
    BLUE,
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
from .palette import HEADS

VARIANTS = {
    "pre": "pre-norm",
    "post": "post-norm",
    "residual": "residual, no norm",
    "norm": "norm, no residual",
    "neither": "neither",
}
COLORS = {name: HEADS[number] for number, name in zip((0, 1, 2, 3, 4), VARIANTS)}
MARKERS = dict(zip(VARIANTS, "osD^v"))
SIZES = {"d_model": 32, "n_heads": 4, "d_ff": 128}
N_SENTENCES, N_TOKENS, N_CLASSES = 4, 10, 12
DEEPEST = 24
FLOOR = 1e-18  # what is smaller is drawn here


class Stack(nn.Module):
    """`depth` encoder layers and a classifier for each position; `variant` is one of `VARIANTS`.

    "pre" and "post" are the library's layers; the others are the same parts, put together without residuals or norms.
    As usual, the pre-norm stack ends with one more norm.
    """

    def __init__(self, variant, depth):
        super().__init__()
        if variant not in VARIANTS:
            raise ValueError(f"variant={variant!r} is not one of {', '.join(VARIANTS)}")
        self.variant = variant
        norm = variant if variant in ("pre", "post") else "pre"
        self.layers = nn.ModuleList(EncoderLayer(**SIZES, norm=norm) for _ in range(depth))
        self.final_norm = LayerNorm(SIZES["d_model"]) if variant == "pre" else nn.Identity()
        self.read = nn.Linear(SIZES["d_model"], N_CLASSES)

    def layer(self, layer, x):
        """One layer, x [B, T, D] -> [B, T, D]."""
        if self.variant in ("pre", "post"):
            return layer(x)
        if self.variant == "residual":
            x = x + layer.attention(x, x, x)
            return x + layer.feed_forward(x)
        if self.variant == "norm":
            x = layer.norm_1(layer.attention(x, x, x))
            return layer.norm_2(layer.feed_forward(x))
        return layer.feed_forward(layer.attention(x, x, x))

    def states(self, x):
        """The stream after each layer, a list of [B, T, D]."""
        found = []
        for layer in self.layers:
            x = self.layer(layer, x)
            found.append(x)
        return found

    def forward(self, x):
        return self.read(self.final_norm(self.states(x)[-1]))


def sameness(x):
    """How much of x [B, T, D] all tokens of a sentence have in common: 0 for nothing, 1 where all tokens are equal."""
    return 1 - ((x - x.mean(1, keepdim=True)).norm() / x.norm()).item()


@lru_cache(maxsize=4)
def _random(norm, seed):
    """Random input [B, T, D] with its classes [B, T], and the deepest stack."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        x = torch.randn(N_SENTENCES, N_TOKENS, SIZES["d_model"])
        return x, torch.randint(N_CLASSES, (N_SENTENCES, N_TOKENS)), Stack(norm, DEEPEST)


@lru_cache(maxsize=10)
def _forward(variant, seed):
    """The deepest stack, its states after each layer, and the classes: a shallower stack is the beginning of it."""
    x, classes, drawn = _random("post" if variant == "post" else "pre", seed)
    with torch.random.fork_rng(devices=[]):
        stack = Stack(variant, 0)
    stack.layers, stack.read = drawn.layers, drawn.read
    return stack, stack.states(x), classes


@lru_cache(maxsize=512)
def measure(variant, depth, seed):
    """What one backward pass through a fresh stack shows, layer by layer: arrays [depth].

    Returns a dict: `gradient`, the norm of the gradient of each layer's first feed-forward matrix; `spread`, how far
    the tokens of a sentence are apart after each layer, relative to their size; `size`, the root mean square of the
    stream. Input, classes and weights are random, and the same for every variant and depth.
    """
    stack, states, classes = _forward(variant, seed)
    states = states[:depth]
    logits = stack.read(stack.final_norm(states[-1]))
    loss = F.cross_entropy(logits.flatten(0, 1), classes.flatten())
    weights = [layer.feed_forward.expand.weight for layer in stack.layers[:depth]]
    gradients = torch.autograd.grad(loss, weights, retain_graph=True)
    return {
        "gradient": np.array([g.norm().item() for g in gradients]),
        "spread": np.array([1 - sameness(state.detach()) for state in states]),
        "size": np.array([state.detach().square().mean().sqrt().item() for state in states]),
    }


def depth_explorer(predict=True):
    """Shows gradient, difference between tokens, and size of the stream by layer, with and without residuals and norms.

    The learner moves the depth, chooses the variant that is picked out, and draws other initial weights.

    predict: ask the learner for a prediction before the view appears.

    Returns a `View`; `view.numbers` holds, for each of `VARIANTS`, what `measure` gives.
    """
    controls = {
        "depth": slider(widgets.IntSlider, "layers", 12, min=2, max=DEEPEST, step=2),
        "variant": choice("pick out", [(label, name) for name, label in VARIANTS.items()], "neither"),
        "seed": slider(widgets.IntSlider, "initial weights", 0, min=0, max=9),
    }
    for name in ("depth", "seed"):
        controls[name].layout.width = "270px"
    pictures = [Picture(width=336, height=270) for _ in range(3)]
    movers = [
        _by_layer(pictures[0], "Gradient that reaches each layer", "norm of the gradient", (FLOOR / 3, 10)),
        _by_layer(pictures[1], "How far the tokens are apart", "relative to their size", (1e-9, 3), "center right", -1),
        _by_layer(pictures[2], "Size of the stream", "root mean square", (1e-3, 1e3), "upper right", -1),
    ]
    message, numbers = text(), {}

    def draw(depth, variant, seed):
        numbers.update({name: measure(name, depth, seed) for name in VARIANTS})
        mine = numbers[variant]
        apart = scientific(mine["spread"][-1])
        texts = (
            f"{VARIANTS[variant]}, {depth} layers: gradient {scientific(mine['gradient'][0])} in the first layer, "
            f"{scientific(mine['gradient'][-1])} in the last.",
            f"{VARIANTS[variant]}: after the last layer the tokens differ by {apart} of their size.",
            f"{VARIANTS[variant]}: the stream has size {mine['size'][0]:.2g} after the first layer, "
            f"{mine['size'][-1]:.2g} after the last.",
        )
        for picture, move, what, alt in zip(pictures, movers, ("gradient", "spread", "size"), texts):
            move({name: numbers[name][what] for name in VARIANTS}, variant)
            picture.show(alt)
        ratio = numbers["pre"]["gradient"][0] / max(mine["gradient"][0], 1e-300)
        say(message, _depth_message(variant, depth, ratio, mine))

    view = View(
        "Depth explorer: what residuals and norms are for", controls, [message, panels(*pictures)], draw,
        prediction=_depth_prediction() if predict else None,
    )  # fmt: skip
    view.numbers, view.pictures, view.message = numbers, pictures, message
    return view


def _depth_message(variant, depth, ratio, mine):
    if variant == "pre":
        return (
            f"Pre-norm, {depth} layers: the first layer gets as much gradient as the last. The stream grows slowly, "
            "since it is only ever added to."
        )
    if variant == "post":
        return (
            "Post-norm: the tokens stay apart, and the stream has size 1 after every layer. Compare the gradient of "
            "the first layer with that of the last, and move the depth."
        )
    if variant == "residual":
        return "Residuals alone: gradients arrive, but nothing holds the size. Move the depth, watch the third picture."
    gone = f"the tokens differ by <b>{scientific(mine['spread'][-1])}</b> of their size: the sentence is gone."
    if variant == "norm":
        return (
            f"Norms alone: size and gradient are kept. But attention averages in every layer, and after {depth} {gone}"
        )
    return f"The first layer’s gradient is <b>{scientific(ratio)} times</b> smaller than with pre-norm, and {gone}"


def _depth_prediction():
    return Prediction(
        "Twelve layers of attention and feed-forward networks, without residual connections and without norms, as "
        "document 000 lists them. Compared with a real encoder, how large is the gradient that reaches the first "
        "layer?",
        [
            ("about as large", "It has to pass 24 sub-layers, and each of them shrinks it."),
            ("a tenth", "Each sub-layer shrinks it, and there are 24 of them: factors multiply."),
            ("less than a millionth",
             "Each sub-layer takes its share, and 24 shares multiply. Pick out “neither”, and read the number."),
        ],
        correct=2,
    )  # fmt: skip


def _by_layer(picture, title, label, limits, legend="lower right", spoken=0):
    """Prepares one curve for each variant against the layer; returns the mover. `spoken`: the layer with a number."""
    lines, top = {}, limits[1]
    with picture.drawing() as figure:
        axes = figure.add_axes([0.2, 0.165, 0.78, 0.715])
        axes.set_yscale("log")
        axes.set(title=title, xlabel="layer", ylabel=label, xlim=(0.5, DEEPEST + 0.5), ylim=limits)
        axes.grid(color=GRID)
        for name, shown in VARIANTS.items():
            (lines[name],) = axes.plot([], [], color=COLORS[name], marker=MARKERS[name], markersize=4, label=shown)
        style = {"color": INK, "fontsize": 8.5, "fontweight": "bold"}
        value = axes.annotate("", (1, 1), (0, 0), textcoords="offset points", **style)
        axes.legend(loc=legend, fontsize=7)
        picture.live(*lines.values(), value)

    def move(curves, variant):
        depth = len(curves[variant])
        layers = np.arange(1, depth + 1)
        for name, line in lines.items():
            line.set_data(layers, np.clip(curves[name], limits[0], top))
            line.set(linewidth=3 if name == variant else 1.1, alpha=1 if name == variant else 0.55)
        mine = np.clip(curves[variant], limits[0], top)
        value.xy = layers[spoken], mine[spoken]
        value.set_text(scientific(curves[variant][spoken]))
        if mine[1] > 3 * mine[0] if spoken == 0 else depth <= DEEPEST - 8:  # the place to the right is free
            value.set(position=(6, 0), ha="left", va="center")
        else:
            value.set(position=(0, -8), ha="right" if spoken else "left", va="top")

    return move


# ---- layer normalisation --------------------------------------------------------------------------------------------
FEATURES = np.array([1.0, -0.5, 2.0, 0.3, -1.2, 0.8])


def layer_norm_explorer(predict=True):
    """Shows one token on its way through layer normalisation: as it is, centred, divided, with gain and bias.

    The learner multiplies the token, shifts it, gives one feature an outlier, and moves ε, gain and bias.

    predict: ask the learner for a prediction before the view appears.

    Returns a `View`; `view.numbers` holds `x`, `centred`, `normalised` and `output` [6], and `mean`, `deviation`.
    """
    controls = {
        "scale": slider(widgets.FloatLogSlider, "times", 1.0, base=10, min=-4, max=3, step=0.25, readout_format=".2g"),
        "shift": slider(widgets.FloatSlider, "plus", 0.0, min=-20, max=20, step=0.5),
        "outlier": slider(widgets.IntSlider, "feature 3 plus", 0, min=0, max=50),
        "eps": slider(widgets.FloatLogSlider, "ε", 1e-5, base=10, min=-8, max=1, step=0.5, readout_format=".0e"),
        "gain": slider(widgets.FloatSlider, "gain", 1.0, min=-2, max=2, step=0.1),
        "bias": slider(widgets.FloatSlider, "bias", 0.0, min=-2, max=2, step=0.1),
    }
    for control in controls.values():
        control.layout.width = "250px"
    titles = ("The token x", "x − mean", "÷ √(variance + ε)", "· gain + bias")
    pictures = [Picture(width=264, height=200) for _ in titles]
    movers = [
        _bars(picture, title, color) for picture, title, color in zip(pictures, titles, (MUTED, MUTED, BLUE, ORANGE))
    ]
    message, numbers = text(), {}

    def draw(scale, shift, outlier, eps, gain, bias):
        x = torch.tensor(FEATURES)
        x[2] += outlier
        x = scale * x + shift
        norm = LayerNorm(len(x), eps=eps).double()
        normalised = norm(x).detach()
        nn.init.constant_(norm.gain, gain)
        nn.init.constant_(norm.bias, bias)
        output = norm(x).detach()
        mean, deviation = x.mean().item(), x.std(correction=0).item()
        numbers.update(
            x=x.numpy(), centred=(x - mean).numpy(), normalised=normalised.numpy(), output=output.numpy(), mean=mean,
            deviation=deviation,
        )  # fmt: skip
        alts = (
            f"Six features, mean {_short(mean)}, standard deviation {_short(deviation)}.",
            f"The mean is 0 now; the standard deviation is still {_short(deviation)}.",
            f"Divided by {_short(float(np.sqrt(deviation**2 + eps)))}: standard deviation "
            f"{normalised.std(correction=0).item():.3f}.",
            f"Times gain {gain:.1f}, plus bias {bias:.1f}: mean {round(output.mean().item(), 2) + 0.0:.2f}, "
            f"standard deviation {output.std(correction=0).item():.2f}.",
        )
        for picture, move, values, alt in zip(pictures, movers, (x, x - mean, normalised, output), alts):
            picture.show(alt, layout=move(values.numpy()))
        say(message, _norm_message(scale, outlier, deviation, eps))

    view = View(
        "Layer normalisation of one token", controls, [message, panels(*pictures)], draw,
        prediction=_norm_prediction() if predict else None,
    )  # fmt: skip
    view.numbers, view.pictures, view.message = numbers, pictures, message
    return view


def _norm_message(scale, outlier, deviation, eps):
    if deviation**2 < 10 * eps:
        return (
            f"The variance, {_short(deviation**2)}, is not much larger than ε = {eps:.0e}: ε now decides, and the "
            "result is smaller than 1. Without it, equal features would give 0/0."
        )
    if outlier > 10:
        return "One large feature makes the standard deviation large, so that all the others are pressed towards 0."
    if scale != 1:
        return "The third picture stays as it was: the standard deviation has been multiplied, too, and cancels."
    return "Multiply the token by 100, or shift it: what happens to the third picture? Then give feature 3 an outlier."


def _norm_prediction():
    return Prediction(
        "A token’s vector is doubled before it is normalised. What happens to the result?",
        [
            ("it doubles", "The standard deviation doubles as well, and the result is divided by it."),
            ("it is halved", "It is divided by twice as much, but it is also twice as much."),
            ("nothing",
             "Mean and standard deviation double, too, and cancel. So LayerNorm(X + X), which document 004, §4.1, "
             "computes, is LayerNorm(X) (E120)."),
        ],
        correct=2,
    )  # fmt: skip


def _bars(picture, title, color):
    places = np.arange(1, len(FEATURES) + 1)
    with picture.drawing() as figure:
        axes = figure.add_axes([0.15, 0.21, 0.83, 0.66])
        axes.set(title=title, xticks=places, xlabel="feature")
        axes.axhline(0, color=INK, linewidth=0.8)
        bars = axes.bar(places, 0 * places, color=color, width=0.7)
        labels = [axes.text(place, 0, "", ha="center", fontsize=8) for place in places]
        picture.live(*bars, *labels)

    def move(values):
        """Returns the axis limit that it has chosen: a power of two, so that the axis rarely moves."""
        limit = float(2.0 ** np.ceil(np.log2(max(1.25 * np.abs(values).max(), 2.0**-12))))
        axes.set_ylim(-limit, limit)
        for bar, label, value in zip(bars, labels, values):
            bar.set_height(value)
            shown = f"{value:.2g}" if 0.01 <= abs(value) < 100 else _short(value)
            label.set_text(shown.replace("-", "−"))
            label.set_y(value + (0.03 if value >= 0 else -0.03) * limit)
            label.set_va("bottom" if value >= 0 else "top")
        return limit

    return move


def _short(value):
    if abs(value) < 5e-13:
        return "0"
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}" if abs(value) >= 0.001 else f"{value:.0e}"
