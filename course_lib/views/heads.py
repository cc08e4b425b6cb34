"""Heads side by side: all maps of one layer in small, two of them pinned in large, and what a single query gets."""

import html

import ipywidgets as widgets
import numpy as np
from torch import Tensor

from .attention import check_weights
from .figures import ACCENT, INK, MUTED, Picture, Prediction, View, panels, readable, say, slider, text
from .palette import HEADS, SEQUENTIAL, colormap

MAX_HEADS = 16
NUMBERS_UP_TO = 8  # tokens: with more, only the numbers of the chosen query stand in the cells


def overlap(first, second):
    """The part of two rows of weights that they share: 1 where they are the same, 0 where no key is in both."""
    return float(np.minimum(first, second).sum())


def heads_side_by_side(weights, tokens, keys=None, *, pinned=(0, 1), query=0, predict=True):
    """Shows the attention maps of all heads of one layer, two of them pinned, and compares what a query gets from them.

    weights: Tensor [H, Tq, Tk] or [1, H, Tq, Tk], as `record_attention` collects it; at most 16 heads.
    tokens: what stands at the queries; keys: what stands at the keys (the same, if left out).
    pinned: the two heads that are shown large at first; query: the row that is compared at first.
    predict: ask the learner for a prediction before the view appears.

    Returns a `View`; `view.numbers` holds `left` and `right`, the rows compared [Tk], their `overlap` (1: the same) and
    `all_heads`, the row of every head [H, Tk].

    Raises ValueError where the maps do not fit the tokens or are no weights, or where a pinned head or the query is
    out of range.
    """
    tokens, keys = list(tokens), list(tokens if keys is None else keys)
    maps = _maps(weights, tokens, keys)
    n_heads = len(maps)
    for head in pinned:
        if not 0 <= head < n_heads:
            raise ValueError(f"pinned={pinned}: there are heads 0 to {n_heads - 1}")
    if not 0 <= query < len(tokens):
        raise ValueError(f"query={query}: there are queries 0 to {len(tokens) - 1}")
    controls = {
        "left": slider(widgets.IntSlider, "left head", pinned[0], min=0, max=n_heads - 1),
        "right": slider(widgets.IntSlider, "right head", pinned[1], min=0, max=n_heads - 1),
        "query": slider(
            widgets.SelectionSlider, "query", query, options=[(_name(i, t, "{} {}"), i) for i, t in enumerate(tokens)]
        ),
    }
    for control in controls.values():
        control.layout.width = "270px"
    across = min(n_heads, 4)
    down = -(-n_heads // across)
    grid = Picture(width=172 * across, height=18 + 160 * down, announce=False)
    large = [Picture(width=336, height=336) for _ in pinned]
    mark_grid = _grid(grid, maps, across, down)
    draw_large = [_large(picture, maps, readable(tokens), readable(keys)) for picture in large]
    message, numbers, shown = text(), {}, [None, None]

    def draw(left, right, query):
        rows = maps[left, query], maps[right, query]
        numbers.update(left=rows[0], right=rows[1], overlap=overlap(*rows), all_heads=maps[:, query])
        mark_grid((left, right), query)
        grid.show(f"All {n_heads} heads of the layer in small; frames: {left} (left) and {right} (right).")
        for place, (head, row) in enumerate(zip((left, right), rows)):
            if shown[place] == (head, query):
                continue
            shown[place] = head, query
            draw_large[place](head, query)
            best = int(row.argmax())
            who, whom = f"query {_name(query, tokens[query])}", f"key {_name(best, keys[best])}"
            large[place].show(f"Head {head}: {who} gives most to {whom}: {row[best]:.2f}.")
        say(message, _message(left, right, tokens[query], numbers["overlap"]))

    view = View(
        "Heads side by side: one layer, one sentence, several ways to look",
        controls, [message, panels(*large), panels(grid)], draw, prediction=_prediction() if predict else None,
    )  # fmt: skip
    view.numbers, view.pictures, view.message = numbers, [*large, grid], message
    return view


def _name(place, token, form="{} “{}”"):
    """A place and its token; where the tokens are numbers of places, the place alone."""
    return str(place) if token == str(place) else form.format(place, token)


def _maps(weights, tokens, keys):
    if not isinstance(weights, Tensor):
        raise ValueError(f"weights: expected a tensor [H, Tq, Tk], got {type(weights).__name__}")
    if weights.dim() == 4 and len(weights) == 1:
        weights = weights[0]
    if weights.dim() != 3:
        raise ValueError(f"weights: expected [H, Tq, Tk], one sentence, got {list(weights.shape)}")
    check_weights("weights", weights, tokens, keys)
    if len(weights) > MAX_HEADS:
        raise ValueError(f"weights: {len(weights)} heads; the view shows up to {MAX_HEADS}")
    return weights.detach().cpu().double().numpy()


def _message(left, right, token, share):
    token = html.escape(token)
    if left == right:
        return "Twice the same head: move one of the two."
    how = "look almost alike" if share > 0.8 else "look at different things" if share < 0.3 else "agree in part"
    return f"For the query “{token}” heads {left} and {right} share <b>{share:.0%}</b> of their weight: they {how}."


def _prediction():
    return Prediction(
        "All heads of a layer read the same vectors. What makes their maps different?",
        [
            ("each reads the output of the one before",
             "Then they would be layers. The heads of one layer work side by side (E006)."),
            ("each has its own projections",
             "W<sup>Q</sup> and W<sup>K</sup> give each head other queries and keys, so that it compares the same "
             "tokens in another respect."),
            ("each sees another part of the sentence",
             "Every head sees every position; only the features are divided (E086)."),
        ],
        correct=1,
    )  # fmt: skip


def _grid(picture, maps, across, down):
    """Draws all maps once; returns a function that frames the two pinned heads and marks the query's row."""
    frames, rows = [], []
    with picture.drawing() as figure:
        for head, weights in enumerate(maps):
            row, column = divmod(head, across)
            left, width = (column + 0.06) / across, 0.88 / across
            axes = figure.add_axes([left, 1 - (row + 0.97) / down, width, 0.80 / down])
            axes.imshow(weights, cmap=colormap(SEQUENTIAL), vmin=0, vmax=1, aspect="auto")
            axes.set(xticks=[], yticks=[])
            axes.set_title(f"head {head}", color=INK, fontsize=8.5, pad=3)
            for side in axes.spines.values():
                side.set(visible=True, color=MUTED, linewidth=0.8)
            t_q, t_k = weights.shape
            frame = axes.add_patch(_box(-0.5, -0.5, t_k, t_q, HEADS[0], 4))
            line = axes.add_patch(_box(-0.5, -0.5, t_k, 1, ACCENT, 1.2))
            picture.live(frame, line)
            frames.append(frame)
            rows.append(line)

    def mark(pinned, query):
        for head, (frame, line) in enumerate(zip(frames, rows)):
            frame.set_visible(head in pinned)
            line.set_y(query - 0.5)

    return mark


def _large(picture, maps, tokens, keys):
    t_q, t_k = len(tokens), len(keys)
    every = max(t_q, t_k) <= NUMBERS_UP_TO
    longest = max(map(len, [*tokens, *keys]))
    with picture.drawing() as figure:
        room = min(0.11 + 0.014 * longest, 0.32)
        axes = figure.add_axes([room, 0.03, 0.97 - room, 0.94 - room])
        image = axes.imshow(maps[0], cmap=colormap(SEQUENTIAL), vmin=0, vmax=1, aspect="auto")
        axes.set_yticks(range(t_q), tokens)
        axes.set_xticks(range(t_k), keys, rotation=90 if longest > 3 else 0)
        axes.tick_params(top=True, labeltop=True, bottom=False, labelbottom=False, length=0)
        line = axes.add_patch(_box(-0.5, -0.5, t_k, 1, ACCENT, 2))
        size = 8 if max(t_q, t_k) <= 8 else 6.5
        labels = [
            [axes.text(j, i, "", ha="center", va="center", fontsize=size) for j in range(t_k)]
            for i in range(t_q if every else 1)
        ]
        title = figure.text(0.02, 0.985, "", ha="left", va="top", fontsize=11, fontweight="bold")
        picture.live(image, line, title, *(label for row in labels for label in row))

    def draw(head, query):
        image.set_data(maps[head])
        line.set_y(query - 0.5)
        title.set_text(f"head {head}")
        for i, row in enumerate(labels):
            for j, label in enumerate(row):
                weight = maps[head, i if every else query, j]
                label.set_y(i if every else query)
                label.set_text(f"{weight:.2f}".lstrip("0") if weight >= 0.005 else "0")
                label.set_color("white" if weight > 0.55 else INK)

    return draw


def _box(x, y, width, height, color, line):
    from matplotlib.patches import Rectangle

    return Rectangle((x, y), width, height, fill=False, edgecolor=color, linewidth=line)
