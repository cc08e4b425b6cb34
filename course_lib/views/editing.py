"""Edit a token and see which outputs of self-attention move, under which mask, and through which of its three parts."""

import html

import ipywidgets as widgets
import torch

from course_lib.attention import attention_weights
from course_lib.masks import causal_mask

from .figures import ACCENT, BLUE, INK, MUTED, Picture, Prediction, View, choice, panels, readable, say, slider, text
from .palette import GRID, SEQUENTIAL, colormap

WORDS = tuple("the little cat sees a dog".split())
WIDTH = 8  # features of a token
PARTS = {"token": "the token", "query": "its query only", "key": "its key only", "value": "its value only"}
MASKS = {"none": "no mask", "causal": "causal", "own": "own position only"}
MOVED = 1e-5  # an output that has moved by less has not moved
FURTHEST = 2.1  # where the axis of the bars ends


def edit_explorer(words=WORDS, predict=True):
    """Shows how far each output of a self-attention moves when one of its tokens is edited.

    words: what the tokens are called; their vectors and the projections are random and always the same.
    predict: ask the learner for a prediction before the view appears.

    Returns a `View`; `view.numbers` holds `moved`, how far each output has moved [T], and `weights`, those after the
    edit [T, T].
    """
    words = list(words)
    tokens, *projections = _random_layer(len(words))
    edit = torch.randn(WIDTH, generator=torch.Generator().manual_seed(7))
    before = dict(zip(("query", "key", "value"), (tokens @ w for w in projections)))  # each [T, D]
    controls = {
        "edited": slider(widgets.IntSlider, "edit token", min(2, len(words) - 1), min=0, max=len(words) - 1),
        "amount": slider(widgets.FloatSlider, "by", 1.0, min=0.0, max=1.0, step=0.1),
        "part": choice("what is edited", [(label, part) for part, label in PARTS.items()], "token"),
        "mask": choice("mask", [(label, mask) for mask, label in MASKS.items()], "none"),
    }
    controls["edited"].layout.width = controls["amount"].layout.width = "270px"
    map_picture = Picture(width=360, height=320)
    bar_picture = Picture(width=290, height=320)
    draw_map = _map(map_picture, readable(words))
    draw_bars = _bars(bar_picture, readable(words))
    message, numbers = text(), {}

    def outputs(parts, allowed):
        weights = attention_weights(parts["query"], parts["key"], allowed)  # [T, T]
        return weights, weights @ parts["value"]  # [T, D]

    def draw(edited, amount, part, mask):
        allowed = {
            "none": torch.ones(len(words), len(words), dtype=torch.bool),
            "causal": causal_mask(len(words)),
            "own": torch.eye(len(words), dtype=torch.bool),
        }[mask]
        changed = tokens.clone()
        changed[edited] += amount * edit
        after = {
            name: changed @ w if part in ("token", name) else before[name]
            for name, w in zip(("query", "key", "value"), projections)
        }
        (_, old), (weights, new) = outputs(before, allowed), outputs(after, allowed)
        moved = (new - old).norm(dim=-1)  # [T]
        numbers.update(moved=moved, weights=weights)
        reached = [i for i, far in enumerate(moved.tolist()) if far > MOVED]
        draw_map(weights.tolist(), allowed.tolist(), edited)
        draw_bars(moved.tolist(), edited)
        sees = int(allowed[:, edited].sum())
        map_picture.show(f"Weights after the edit; column {edited} is seen by {sees} of {len(words)} queries.")
        bar_picture.show(f"{len(reached)} of {len(words)} outputs have moved; the furthest by {moved.max():.2f}.")
        say(message, _message(words, edited, amount, part, mask, reached))

    view = View(
        "Edit a token: which outputs change?", controls, [message, panels(map_picture, bar_picture)], draw,
        prediction=_prediction() if predict else None,
    )  # fmt: skip
    view.numbers, view.pictures, view.message = numbers, [map_picture, bar_picture], message
    return view


def _random_layer(t):
    """Tokens [T, D] and the three projections [D, D], such that weights are neither equal nor all on one key."""
    generator = torch.Generator().manual_seed(3)
    tokens = torch.randn(t, WIDTH, generator=generator)
    return tokens, *(torch.randn(3, WIDTH, WIDTH, generator=generator) / WIDTH**0.5)


def _prediction():
    return Prediction(
        "A causal mask: every token sees itself and what stands before it. You edit the third of six tokens. Which "
        "outputs change?",
        [
            ("all six", "Without a mask, yes. Here the first two may not see the third."),
            ("only the third", "Then nobody could learn anything of it."),
            ("the third and the three after it", "They are the queries that may see its key and its value."),
            ("the first three", "The other way round: those before it are the ones that may not see it."),
        ],
        correct=2,
    )  # fmt: skip


def _message(words, edited, amount, part, mask, reached):
    word = html.escape(words[edited])
    if amount == 0:
        return f"Nothing is edited: move “by”, and “{word}” becomes another vector."
    names = ", ".join(f"{i} {html.escape(words[i])}" for i in reached) or "none"
    if part == "query" and mask == "causal" and edited == 0:
        return f"<b>0 of {len(words)}</b> outputs move: the first token has a single key, and gives it a weight of 1."
    why = {
        ("token", "none"): "every query sees its key and its value",
        ("token", "causal"): "those before it may not see it",
        ("token", "own"): "nobody sees anybody else: attention returns the values as they are",
        ("query", "none"): "a query decides over its own row alone",
        ("query", "causal"): "a query decides over its own row alone",
        ("query", "own"): "with a single key the weight is 1, whatever the query",
        ("key", "none"): "every query compares itself with it, and in every row all weights shift",
        ("key", "causal"): "only it and those after it compare themselves with it; the first token has no other key",
        ("key", "own"): "with a single key the weight is 1, whatever the key",
        ("value", "none"): "every output has some of its value in it; no weight has changed",
        ("value", "causal"): "only it and those after it take some of its value",
        ("value", "own"): "only its own output is made of its value",
    }[part, mask]
    return f"<b>{len(reached)} of {len(words)}</b> outputs move ({names}): {why}."


def _map(picture, words):
    """Draws the frame of the map once; returns a function that fills in the weights and marks the edited token."""
    from matplotlib.patches import Rectangle

    t, shades = len(words), colormap(SEQUENTIAL)
    with picture.drawing() as figure:
        axes = figure.add_axes([0.17, 0.03, 0.77, 0.77])
        image = axes.imshow([[0.0] * t] * t, cmap=shades, vmin=0, vmax=1, aspect="auto")
        axes.set_xticks(range(t), [f"{j} {word}" for j, word in enumerate(words)], rotation=35, ha="left")
        axes.set_yticks(range(t), [f"{i} {word}" for i, word in enumerate(words)])
        axes.tick_params(top=True, labeltop=True, bottom=False, labelbottom=False, length=0)
        figure.text(0.02, 0.985, "weights: query (row) × key (column)", ha="left", va="top", fontsize=9.5)
        frame = {"fill": False, "edgecolor": ACCENT, "linewidth": 2}
        row = axes.add_patch(Rectangle((-0.5, 0), t, 1, **frame))
        column = axes.add_patch(Rectangle((0, -0.5), 1, t, **frame))
        cells = [[axes.text(j, i, "", ha="center", va="center", fontsize=8.5) for j in range(t)] for i in range(t)]
        picture.live(image, row, column, *(cell for line in cells for cell in line))

    def draw(weights, allowed, edited):
        image.set_data(weights)
        row.set_y(edited - 0.5)
        column.set_x(edited - 0.5)
        for line, numbers, free in zip(cells, weights, allowed):
            for cell, weight, seen in zip(line, numbers, free):
                cell.set_text(f"{weight:.2f}" if seen else "–")
                cell.set_color(MUTED if not seen else "white" if weight > 0.55 else INK)

    return draw


def _bars(picture, words):
    """Draws empty bars once; returns a function that says how far each output has moved."""
    t = len(words)
    with picture.drawing() as figure:
        axes = figure.add_axes([0.21, 0.03, 0.65, 0.77])
        bars = axes.barh(range(t), [0.0] * t, height=0.6)
        axes.set(xlim=(0, FURTHEST), ylim=(t - 0.5, -0.5), xticks=[])
        axes.set_yticks(range(t), [f"{i} {word}" for i, word in enumerate(words)])
        axes.tick_params(length=0)
        axes.spines["bottom"].set_visible(False)
        axes.spines["left"].set_color(GRID)
        figure.text(0.02, 0.985, "how far each output has moved", ha="left", va="top", fontsize=9.5)
        labels = [axes.text(0, i, "", ha="left", va="center", fontsize=9) for i in range(t)]
        picture.live(*bars, *labels)

    def draw(moved, edited):
        for i, (bar, label, far) in enumerate(zip(bars, labels, moved)):
            bar.set_width(min(far, FURTHEST))
            bar.set_facecolor(ACCENT if i == edited else BLUE)
            label.set_x(min(far, FURTHEST) + 0.03)
            label.set_text(f"{far:.2f}" if far > MOVED else "0")

    return draw
