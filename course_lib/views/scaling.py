"""The √d_k explorer: why attention scores are divided by the square root of the key size."""

from functools import lru_cache

import ipywidgets as widgets
import numpy as np
import torch

from course_lib.attention import softmax

from .figures import (
    BLUE,
    GRID,
    GROUND,
    INK,
    MUTED,
    ORANGE,
    Picture,
    Prediction,
    View,
    choice,
    panels,
    say,
    slider,
    text,
)

SIZES = (4, 8, 16, 32, 64, 128, 256, 512, 1024)
N_QUERIES, N_KEYS = 256, 16
BITS = np.log2(N_KEYS)  # the entropy of equal weights
NOTHING, ROOT, FREE = "nothing", "root", "free"
RAW_LIMIT, SCALED_LIMIT = 110, 8


@lru_cache(maxsize=1)
def dot_products(seed=0):
    """Returns q·k for 256 random queries with 16 keys each, at every size of `SIZES`: float64 [len(SIZES), 256, 16].

    The components of q and k are independent, with mean 0 and variance 1. A larger size keeps the components of the
    smaller ones and adds new ones.
    """
    generator, total, sums, done = torch.Generator().manual_seed(seed), 0.0, [], 0
    for d_k in SIZES:
        query = torch.randn(N_QUERIES, 1, d_k - done, generator=generator)
        key = torch.randn(N_QUERIES, N_KEYS, d_k - done, generator=generator)
        total, done = total + (query * key).sum(-1).double(), d_k
        sums.append(total)
    return torch.stack(sums)


def entropy(weights):
    """Entropy of each row of `weights` [..., Tk] in bits: log2(Tk) for equal weights, 0 for a single one."""
    return -torch.xlogy(weights, weights).sum(-1) / np.log(2)


def softmax_gradient(weights):
    """How strongly a softmax passes a gradient on: the Frobenius norm of ∂weights/∂scores = diag(p) − p pᵀ, [...]."""
    jacobian = torch.diag_embed(weights) - weights[..., :, None] * weights[..., None, :]  # [..., Tk, Tk]
    return jacobian.norm(dim=(-2, -1))


@lru_cache(maxsize=64)
def _curves(divisor):
    """Entropy (mean) and gradient (quartiles, median in the middle) at every size; `divisor`: a number, or ROOT."""
    scores = dot_products() / (torch.tensor(SIZES).sqrt().double()[:, None, None] if divisor == ROOT else divisor)
    weights = softmax(scores)
    gradient = softmax_gradient(weights).quantile(torch.tensor([0.25, 0.5, 0.75]).double(), dim=-1)
    return entropy(weights).mean(-1).numpy(), gradient.numpy()


def scaling_explorer(predict=True):
    """Shows what dividing by √d_k does: spread of q·k, weights of one query, entropy and gradient against d_k.

    The learner moves d_k, switches the division off or chooses a divisor of their own, and looks at single queries.

    predict: ask the learner for a prediction before the view appears.

    Returns a `View`; `view.numbers` holds the figures printed: `variance` of q·k, `scaled_variance`, `weights` of the
    query shown [16], its `entropy` in bits, the `mean_entropy` and the median `gradient` at this d_k.
    """
    controls = {
        "d_k": slider(widgets.SelectionSlider, "d_k", 64, options=[(str(d), d) for d in SIZES]),
        "scale": choice("divide by", [("nothing", NOTHING), ("√d_k", ROOT), ("my divisor", FREE)], NOTHING),
        "divisor": slider(
            widgets.FloatLogSlider, "my divisor", 8.0, base=2, min=-1, max=10, step=0.25, readout_format=".2f"
        ),
        "query": slider(widgets.IntSlider, "query", 1, min=1, max=N_QUERIES),
    }
    for name in ("d_k", "query"):
        controls[name].layout.width = "270px"
    pictures = [Picture() for _ in range(5)]
    raw, scaled, bars, spread, gradient = pictures
    draw_raw = _histogram(raw, RAW_LIMIT, 110, "The dot products q·k", "q·k (line: normal, variance d_k)")
    draw_scaled = _histogram(scaled, SCALED_LIMIT, 64, "The scores that enter the softmax", "q·k / divisor")
    draw_bars = _bars(bars)
    draw_spread = _against_size(
        spread,
        "Entropy of the weights",
        "bits",
        [_curves(1.0)[0]],
        [_curves(ROOT)[0]],
        (-0.15, 4.4),
    )
    draw_gradient = _against_size(
        gradient, "Gradient through the softmax", "‖∂weights / ∂scores‖", _curves(1.0)[1],
        _curves(ROOT)[1], (1e-9, 3), log=True,
    )  # fmt: skip
    message, numbers = text(), {}

    def draw(d_k, scale, divisor, query):
        controls["divisor"].layout.display = None if scale == FREE else "none"
        divisor = {NOTHING: 1.0, ROOT: d_k**0.5, FREE: divisor}[scale]
        products = dot_products()[SIZES.index(d_k)]  # [256, 16]
        scores = products / divisor
        weights = softmax(scores)
        one = weights[query - 1]
        mean_entropy, gradients = _curves(ROOT if scale == ROOT else float(divisor))
        place = SIZES.index(d_k)
        numbers.update(
            variance=products.var().item(), scaled_variance=scores.var().item(), weights=one.numpy(),
            entropy=entropy(one).item(), mean_entropy=float(mean_entropy[place]), gradient=float(gradients[1][place]),
        )  # fmt: skip
        draw_raw(products, d_k)
        raw.show(f"Variance of q·k: {numbers['variance']:.1f} measured on {products.numel():,} pairs; d_k = {d_k}.")
        beyond = (scores.abs() > SCALED_LIMIT).double().mean().item()
        draw_scaled(scores, d_k / divisor**2)
        scaled.show(
            f"Divided by {_short(divisor)}: variance {_short(numbers['scaled_variance'])}"
            + (f"; {beyond:.0%} of the scores lie beyond this axis." if beyond >= 0.005 else ".")
        )
        draw_bars(numbers["weights"])
        bars.show(
            f"Query {query}: largest weight {one.max():.2f}, entropy {numbers['entropy']:.2f} of {BITS:.0f} bits, "
            f"as if it looked at {2 ** numbers['entropy']:.1f} of {N_KEYS} keys."
        )
        own = scale == FREE
        draw_spread([mean_entropy] if own else None, place, numbers["mean_entropy"])
        spread.show(
            f"At d_k = {d_k}: {numbers['mean_entropy']:.2f} of {BITS:.0f} bits, divided by {_short(divisor)}: "
            f"the mean of {N_QUERIES} queries."
        )
        draw_gradient(gradients if own else None, place, numbers["gradient"])
        gradient.show(
            f"At d_k = {d_k}: median gradient {numbers['gradient']:.2g}, divided by {_short(divisor)}. "
            "Shaded: the middle half of the queries."
        )
        say(message, _message(d_k, scale, divisor, numbers))

    view = View(
        "√d_k explorer: what the size of the keys does to the softmax", controls, [message, panels(*pictures)], draw,
        prediction=_prediction() if predict else None,
    )  # fmt: skip
    view.numbers, view.pictures, view.message = numbers, pictures, message
    return view


def _prediction():
    return Prediction(
        "The components of q and k are independent, with mean 0 and variance 1. What is the variance of q·k at "
        "d_k = 64?",
        [
            ("1", "That is the variance of a single product q<sub>i</sub>k<sub>i</sub>; q·k adds 64 of them."),
            ("8", "8 = √64 is the standard deviation; the variance is its square."),
            ("64", "Each product q<sub>i</sub>k<sub>i</sub> has variance 1, and variances of independent terms add up: "
                   "d_k of them. The standard deviation is √64 = 8, which is what the scores are divided by."),
            ("4096", "64² would be the variance of 64 times <i>one</i> product; different products partly cancel."),
        ],
        correct=2,
    )  # fmt: skip


def _message(d_k, scale, divisor, numbers):
    variance = numbers["scaled_variance"]
    if scale == ROOT:
        return f"Divided by √{d_k} = {d_k**0.5:.2f}, the scores have variance <b>{variance:.2f}</b>, whatever d_k is."
    if scale == NOTHING:
        return (
            f"Without division the scores have variance <b>{variance:.1f}</b>, about d_k = {d_k}. The larger d_k, the "
            "more the softmax picks a single key and the less gradient it passes back. Move d_k, then divide by √d_k."
        )
    return (
        f"Divided by {_short(divisor)}, the scores have variance {d_k}/{_short(divisor)}² ≈ <b>{_short(variance)}</b>. "
        f"Which divisor gives 1? Does the same one serve every d_k?"
    )


def _short(value):
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}" if value >= 0.01 else f"{value:.1e}"


def _histogram(picture, limit, n_bins, title, label):
    """Prepares a histogram over [-limit, limit]; returns a function that moves it to other values."""
    edges = np.linspace(-limit, limit, n_bins + 1)
    grid = np.linspace(-limit, limit, 1101)
    with picture.drawing() as figure:
        axes = figure.add_axes([0.05, 0.2, 0.9, 0.66])
        axes.set(title=title, xlabel=label, xlim=(-limit, limit), ylim=(0, 1.3), yticks=[])
        axes.spines["left"].set_visible(False)
        steps = axes.stairs(np.zeros(n_bins), edges, fill=True, color=BLUE, alpha=0.35)
        (curve,) = axes.plot(grid, 0 * grid, color=INK, linewidth=1.2)
        (width,) = axes.plot([], [], color=ORANGE, linewidth=2.5, solid_capstyle="butt")
        note = axes.text(0, 1.13, "", color=ORANGE, ha="center", va="bottom", fontsize=8.5)
        picture.live(steps, curve, width, note)

    def draw(values, variance):
        counts, _ = np.histogram(values.numpy(), edges)
        density = counts / values.numel() / (edges[1] - edges[0])
        normal = np.exp(-(grid**2) / 2 / variance) / np.sqrt(2 * np.pi * variance)
        top = max(
            density.max(), normal.max()
        )  # heights relative to the highest: the shape and the width are what counts
        steps.set_data(density / top)
        curve.set_ydata(normal / top)
        deviation = values.std().item()
        width.set_data([max(-deviation, -limit), min(deviation, limit)], [1.1, 1.1])
        note.set_text(f"±1 standard deviation: ±{_short(deviation)}")

    return draw


def _bars(picture):
    with picture.drawing() as figure:
        axes = figure.add_axes([0.1, 0.2, 0.88, 0.66])
        axes.set(
            title="Weights of one query",
            xlabel="key",
            xlim=(0.3, N_KEYS + 0.7),
            ylim=(0, 1.12),
            xticks=range(1, N_KEYS + 1),
        )
        axes.tick_params(axis="x", length=0, labelsize=7.5)
        keys = np.arange(1, N_KEYS + 1)
        bars = axes.bar(keys, 0 * keys, color=BLUE, width=0.75)
        labels = [axes.text(key, 0, "", ha="center", va="bottom", fontsize=7) for key in keys]
        picture.live(*bars, *labels)

    def draw(weights):
        for bar, label, weight in zip(bars, labels, weights):
            bar.set_height(weight)
            label.set_y(weight + 0.012)
            label.set_text(f"{weight:.2f}".lstrip("0") if weight >= 0.005 else "0")

    return draw


def _against_size(picture, title, label, unscaled, rooted, limits, log=False):
    """Prepares curves against d_k (one line each, or lower quartile, median, upper quartile); returns the mover."""
    with picture.drawing() as figure:
        axes = figure.add_axes([0.165, 0.2, 0.805, 0.66])
        axes.set_xscale("log", base=2)
        axes.set(title=title, xlabel="d_k", ylabel=label, xlim=(3.5, 1180), ylim=limits)
        axes.set_xticks(SIZES, [str(size) for size in SIZES])
        axes.minorticks_off()
        axes.tick_params(axis="x", labelsize=7)
        axes.grid(color=GRID)
        if log:
            axes.set_yscale("log")
        else:
            axes.axhline(BITS, color=MUTED, linewidth=1, linestyle="--")
            axes.text(4, BITS + 0.06, "all keys equal", color=MUTED, fontsize=8)
        for curves, color, marker, name in (
            (unscaled, ORANGE, "s", "no division"),
            (rooted, BLUE, "o", "divided by √d_k"),
        ):
            axes.plot(SIZES, curves[len(curves) // 2], color=color, marker=marker, markersize=4, label=name)
            if len(curves) == 3:
                axes.fill_between(SIZES, curves[0], curves[2], color=color, alpha=0.15, linewidth=0)
        (own,) = axes.plot([], [], color=INK, linewidth=1.4, linestyle=":")
        (place,) = axes.plot([], [], color=INK, marker="o", markersize=9, fillstyle="none", markeredgewidth=1.8)
        value = axes.text(0, 0, "", ha="left", va="bottom", fontsize=8.5, fontweight="bold")
        value.set_bbox({"facecolor": GROUND, "alpha": 0.8, "linewidth": 0, "pad": 1})
        axes.legend(loc="lower left" if log else "center right")
        picture.live(own, place, value)

    def draw(own_curves, index, number):
        own.set_data(*((SIZES, own_curves[len(own_curves) // 2]) if own_curves is not None else ([], [])))
        height = float(np.clip(number, *limits))
        place.set_data([SIZES[index]], [height])
        last = index >= len(SIZES) - 2
        value.set_horizontalalignment("right" if last else "left")
        value.set_position((SIZES[index] * (0.85 if last else 1.18), height * 1.6 if log else height + 0.1))
        value.set_text(f"{number:.2g}" if log else f"{number:.2f}")

    return draw
