"""Positions inside the attention: pairs that turn (rotary), slopes (ALiBi), each method's score by distance."""

import math
from functools import cache

import ipywidgets as widgets
import numpy as np
import torch

from course_lib.positions import RelativePositions, alibi_bias, apply_rotary, sinusoidal_encoding

from .figures import BLUE, GRID, INK, MUTED, ORANGE, Picture, Prediction, View, choice, panels, say, slider, text
from .palette import SEQUENTIAL, SIGNED, colormap

# ---- rotary ---------------------------------------------------------------------------------------------------------

D_ROTARY, TURNS = 8, 64  # features of the vectors that turn, and positions on offer


@cache
def _query_and_key():
    generator = torch.Generator().manual_seed(4)
    return torch.randn(2, D_ROTARY, generator=generator, dtype=torch.float64)  # query, key


def rotary_score(m, n):
    """Returns the score of the query, turned to position m, with the key, turned to n, and the share of each pair."""
    query, key = (apply_rotary(x[None], torch.tensor([p]))[0] for x, p in zip(_query_and_key(), (m, n)))
    shares = (query * key).view(-1, 2).sum(-1) / math.sqrt(D_ROTARY)
    return shares.sum().item(), shares.tolist()


def added_score(m, n):
    """Returns the score of the same two vectors when the sinusoids of their positions are added instead."""
    table = sinusoidal_encoding(2 * TURNS, D_ROTARY).double()
    query, key = _query_and_key()
    return ((query + table[m]) @ (key + table[n])).item() / math.sqrt(D_ROTARY)


def rotary_explorer(predict=True):
    """Shows a query and a key that are turned by their positions, pair by pair, and what becomes of their score.

    The learner moves both positions, and both together: the angle between the two hands of a pair, and so the score,
    depends on the distance only.

    predict: ask the learner for a prediction before the view appears.

    Returns a `View`; `view.numbers` holds `score` (rotary), `shares` (of it, by pair) and `added` (the score with
    sinusoids added instead).
    """
    controls = {
        "query": slider(widgets.IntSlider, "query at m", 5, min=0, max=TURNS - 1),
        "key": slider(widgets.IntSlider, "key at n", 2, min=0, max=TURNS - 1),
        "shift": slider(widgets.IntSlider, "move both by", 0, min=0, max=TURNS - 1),
    }
    hands, moved, distances = Picture(690, 235), Picture(336, 240), Picture(336, 240)
    movers = _hands(hands), _moved(moved), _distances(distances)
    message, numbers = text(), {}

    def draw(query, key, shift):
        m, n = query + shift, key + shift
        score, shares = rotary_score(m, n)
        numbers.update(score=score, shares=shares, added=added_score(m, n))
        movers[0](m, n)
        hands.show(f"Query turned to position {m} (blue), key to {n} (orange); each pair's share of the score: "
                   + ", ".join(f"{share:.2f}" for share in shares) + ".")  # fmt: skip
        movers[1](query, key, shift)
        moved.show(f"Both moved by {shift}: rotary score {score:.3f}, with sinusoids added {numbers['added']:.3f}.")
        movers[2](m - n)
        distances.show(f"At distance m - n = {m - n} the score is {score:.3f}.")
        say(message, f"Score of a query at {m} with a key at {n}: <b>{score:.3f}</b>, the sum of the four pairs. Only "
                     f"m - n "
                     f"= <b>{m - n}</b> matters: move both, and no angle <i>between</i> the hands "
                     f"changes.")  # fmt: skip

    prediction = Prediction(
        "A query stands at position 5 and a key at 2, and both are turned by their positions. Both move 20 places to "
        "the "
        "right. What becomes of their score?",
        [
            ("it shrinks", "Nothing shrinks: a rotation keeps lengths."),
            ("it stays the same", "Both hands of a pair turn on by the same angle, so the angle between them stays."),
            ("it becomes another one", "That is what happens when sinusoids are added. Look at the second picture."),
        ],
        correct=1,
    )
    view = View(
        "Rotary positions", controls, [message, panels(hands), panels(moved, distances)], draw,
        prediction=prediction if predict else None,
    )  # fmt: skip
    view.numbers, view.pictures, view.message = numbers, (hands, moved, distances), message
    return view


def _hands(picture):
    lengths = torch.stack(list(_query_and_key())).view(2, -1, 2).norm(dim=-1)  # [2, pairs]
    size = 1.25 * lengths.max().item()
    with picture.drawing() as figure:
        moving = []
        for i in range(D_ROTARY // 2):
            axes = figure.add_axes([0.01 + 0.25 * i, 0.02, 0.23, 0.82])
            axes.set(xlim=(-size, size), ylim=(-size, size), aspect="equal", xticks=[], yticks=[])
            axes.set_title(f"pair {i}: {10000 ** (-2 * i / D_ROTARY):g} rad a step")
            for spine in axes.spines.values():
                spine.set_visible(False)
            turn = np.linspace(0, 2 * np.pi, 100)
            for length in lengths[:, i].tolist():
                axes.plot(length * np.cos(turn), length * np.sin(turn), color=GRID, linewidth=1)
            for x, color, style, name in zip(_query_and_key(), (BLUE, ORANGE), ("-", "--"), ("q", "k")):
                a, b = x.view(-1, 2)[i].tolist()
                axes.plot([0, a], [0, b], color=color, linewidth=1, linestyle=style, alpha=0.35)
                hand = axes.plot([], [], color=color, linestyle=style, marker="o", markevery=[1], markersize=6)[0]
                label = axes.text(0, 0, name, color=color, fontweight="bold", ha="center", va="center")
                moving.append((hand, label))
        picture.live(*(artist for pair in moving for artist in pair))

    def move(m, n):
        turned = [apply_rotary(x[None], torch.tensor([p]))[0].view(-1, 2).tolist()
                  for x, p in zip(_query_and_key(), (m, n))]  # fmt: skip
        for index, (hand, label) in enumerate(moving):
            a, b = turned[index % 2][index // 2]
            hand.set_data([0, a], [0, b])
            far = 1 + 0.2 * size / max(math.hypot(a, b), 0.2)
            label.set_position((a * far, b * far))

    return move


def _moved(picture):
    with picture.drawing() as figure:
        axes = figure.add_axes([0.16, 0.2, 0.81, 0.68])
        axes.set(
            title="The same distance, moved along", xlabel="moved by", ylabel="score", xlim=(-1, TURNS), ylim=(-3, 4)
        )
        axes.grid(color=GRID)
        (turned,) = axes.plot([], [], color=BLUE, label="turned (rotary)")
        (added,) = axes.plot([], [], color=ORANGE, linestyle="--", label="sinusoids added")
        (here,) = axes.plot([], [], color=INK, marker="o", markersize=9, fillstyle="none", linestyle="none")
        axes.legend(loc="upper right", ncols=2, columnspacing=1.2)
        picture.live(turned, added, here)

    def move(query, key, shift):
        where = range(TURNS)
        flat = [rotary_score(query, key)[0]] * TURNS
        turned.set_data(where, flat)
        added.set_data(where, [added_score(query + s, key + s) for s in where])
        here.set_data([shift, shift], [flat[0], added_score(query + shift, key + shift)])

    return move


def _distances(picture):
    reach = np.arange(-TURNS + 1, TURNS)
    scores = [rotary_score(max(d, 0), max(-d, 0))[0] for d in reach.tolist()]
    with picture.drawing() as figure:
        axes = figure.add_axes([0.16, 0.2, 0.81, 0.68])
        axes.set(title="Rotary score against distance", xlabel="distance m - n", ylabel="score", xlim=(-TURNS, TURNS))
        axes.grid(color=GRID)
        axes.plot(reach, scores, color=BLUE)
        (here,) = axes.plot([], [], color=INK, marker="o", markersize=9, fillstyle="none", linestyle="none")
        picture.live(here)

    def move(distance):
        here.set_data([distance], [scores[distance + TURNS - 1]])

    return move


# ---- ALiBi ----------------------------------------------------------------------------------------------------------


def alibi_explorer(predict=True):
    """Shows ALiBi: the slope of each head, its bias matrix, and how far a head looks when nothing else decides.

    The learner chooses the number of heads, a head, the number of queries and keys, and a causal mask.

    predict: ask the learner for a prediction before the view appears.

    Returns a `View`; `view.numbers` holds `slope`, `halving` (tokens until a weight is halved) and `near` (what the
    last query gives to itself and the three keys before it).
    """
    controls = {
        "n_heads": slider(widgets.SelectionSlider, "heads H", 8, options=[(str(n), n) for n in (1, 2, 4, 8, 12, 16)]),
        "head": slider(widgets.IntSlider, "head h", 1, min=1, max=8),
        "keys": slider(widgets.IntSlider, "keys Tk", 8, min=2, max=40),
        "queries": slider(widgets.IntSlider, "queries Tq", 8, min=1, max=8),
        "causal": choice("mask", [("causal", True), ("none", False)], True),
    }
    slopes, matrix, weights = Picture(336, 270), Picture(336, 270), Picture(336, 270)
    movers = _slopes(slopes), _bias(matrix), _reach(weights)
    message, numbers = text(), {}

    def draw(n_heads, head, keys, queries, causal):
        controls["head"].max, controls["queries"].max = n_heads, keys
        head, queries = controls["head"].value, controls["queries"].value
        bias = alibi_bias(n_heads, queries, keys).double()  # [H, Tq, Tk]
        slope = 2 ** (-8 * head / n_heads)
        shares = alibi_bias(n_heads, 1, keys).double()[:, 0].softmax(-1)  # [H, Tk]; the last query sees all keys
        numbers.update(slope=slope, halving=math.log(2) / slope, near=shares[head - 1, -4:].sum().item())
        movers[0](n_heads, head)
        slopes.show(f"Head {head} of {n_heads}: slope 2^(-8·{head}/{n_heads}) = {slope:.4g}.", layout=n_heads)
        ahead = np.triu(np.ones((queries, keys), dtype=bool), 1 + keys - queries) if causal else None
        movers[1](bias[head - 1].numpy(), ahead)
        matrix.show(
            f"The last query (row {queries - 1}) stands at the last key: bias 0; {bias[head - 1, -1, 0]:.3g} at key 0."
            + (" Grey: masked." if causal else ""), layout=(queries, keys, n_heads, head),
        )  # fmt: skip
        movers[2](shares.numpy(), head)
        weights.show(f"Last query, all content scores equal: {numbers['near']:.0%} of head {head}'s weight is on the "
                     f"nearest "
                     f"{min(4, keys)} keys.", layout=keys)  # fmt: skip
        say(message, f"Head {head} takes <b>{slope:.4g}</b> off the score for every step of distance, so that a weight "
                     f"is "
                     f"halved every <b>{numbers['halving']:.3g}</b> tokens.")  # fmt: skip

    prediction = Prediction(
        "Eight heads have the slopes 1/2, 1/4 … 1/256. All content scores are equal. After how many tokens has a "
        "weight of "
        "the first head fallen to half?",
        [
            ("after about 1.4", "e^(-d/2) = 1/2 for d = 2 ln 2 = 1.39."),
            ("after 2", "After two tokens the score has fallen by 1, and the weight by a factor of e = 2.7."),
            ("never: it is a bias, no mask", "It never reaches 0, but it falls."),
        ],
        correct=0,
    )
    view = View(
        "Attention with linear biases", controls, [message, panels(slopes, matrix, weights)], draw,
        prediction=prediction if predict else None,
    )  # fmt: skip
    view.numbers, view.pictures, view.message = numbers, (slopes, matrix, weights), message
    return view


def _slopes(picture):
    with picture.drawing() as figure:
        axes = figure.add_axes([0.175, 0.2, 0.795, 0.68])
        axes.set(title="The slope of each head", xlabel="head h", ylabel="slope", ylim=(2**-9, 1.5))
        axes.set_yscale("log", base=2)
        axes.grid(color=GRID)
        (points,) = axes.plot([], [], color=BLUE, marker="o", markersize=5, linewidth=1)
        (chosen,) = axes.plot([], [], color=INK, marker="o", markersize=11, fillstyle="none", markeredgewidth=1.8)
        picture.live(points, chosen)

    def move(n_heads, head):
        axes.set_xlim(0.5, n_heads + 0.5)
        axes.set_xticks(range(1, n_heads + 1))
        heads = np.arange(1, n_heads + 1)
        points.set_data(heads, 2.0 ** (-8 * heads / n_heads))
        chosen.set_data([head], [2.0 ** (-8 * head / n_heads)])

    return move


def _bias(picture):
    with picture.drawing() as figure:
        axes = figure.add_axes([0.14, 0.16, 0.63, 0.72])
        axes.set(title="The bias of this head", xlabel="key j", ylabel="query i")
        axes.locator_params(integer=True, min_n_ticks=1)
        axes.set_facecolor("#d1d1d1")
        image = axes.imshow(np.zeros((2, 2)), cmap=colormap(SIGNED, "signed"), vmin=-1, vmax=1, aspect="auto")
        bar = figure.colorbar(image, cax=figure.add_axes([0.8, 0.16, 0.035, 0.72]))
        bar.outline.set_visible(False)
        cells = [axes.text(0, 0, "", ha="center", va="center", fontsize=8) for _ in range(100)]
        picture.live(image, *cells)

    def move(bias, ahead):
        t_q, t_k = bias.shape
        limit = max(-bias.min(), 1e-6)
        shown = bias if ahead is None else np.ma.masked_array(bias, ahead)
        image.set_data(shown)
        image.set_clim(-limit, limit)
        image.set_extent((-0.5, t_k - 0.5, t_q - 0.5, -0.5))
        bar.set_ticks([-limit, 0])
        bar.set_ticklabels([f"{-limit:.3g}", "0"])
        bar.ax.set_ylim(-limit, 0)
        spots = [(i, j) for i in range(t_q) for j in range(t_k)] if t_q * t_k <= len(cells) and t_k <= 10 else []
        for cell in cells[len(spots) :]:
            cell.set_text("")
        for cell, (i, j) in zip(cells, spots):
            masked = ahead is not None and ahead[i, j]
            cell.set_position((j, i))
            cell.set_text("" if masked else f"{bias[i, j] + 0.0:.2g}" if bias[i, j] else "0")
            cell.set_color("#ffffff" if bias[i, j] < -0.6 * limit else INK)

    return move


def _reach(picture):
    with picture.drawing() as figure:
        axes = figure.add_axes([0.175, 0.2, 0.795, 0.68])
        axes.set(title="Weights of the last query, equal content", xlabel="key j", ylabel="weight", ylim=(0, 1.02))
        axes.locator_params(axis="x", integer=True, min_n_ticks=1)
        axes.grid(color=GRID)
        others = [axes.plot([], [], color=MUTED, linewidth=0.8, alpha=0.6)[0] for _ in range(16)]
        (chosen,) = axes.plot([], [], color=BLUE, marker="o", markersize=4)
        picture.live(*others, chosen)

    def move(shares, head):
        axes.set_xlim(-0.5, shares.shape[1] - 0.5)
        for index, line in enumerate(others):
            line.set_data(*((range(shares.shape[1]), shares[index]) if index < len(shares) else ([], [])))
        chosen.set_data(range(shares.shape[1]), shares[head - 1])

    return move


# ---- score against distance, for every method ------------------------------------------------------------------------

LENGTH, D_SCORES = 64, 32
METHODS = (
    ("none", "none"), ("sinusoids added", "sinusoidal"), ("learned table", "learned"), ("rotary", "rotary"),
    ("ALiBi", "alibi"), ("T5's bias", "relative"),
)  # fmt: skip


@cache
def scores_by_method(method):
    """Returns the scores [T, T] of one head when all tokens are the same word, so that only position tells them apart.

    The word, the projections, the learned table and T5's table are random: nothing here has been trained.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        word = torch.randn(D_SCORES).expand(LENGTH, -1)  # [T, D]
        to_query, to_key = torch.randn(2, D_SCORES, D_SCORES) / math.sqrt(D_SCORES)
        table = torch.randn(LENGTH, D_SCORES) / math.sqrt(2)
        biases = RelativePositions(1, causal=False)
        torch.nn.init.normal_(biases.table)
    added = {"sinusoidal": sinusoidal_encoding(LENGTH, D_SCORES), "learned": table}.get(method, 0)
    query, key = (word + added) @ to_query, (word + added) @ to_key
    positions, bias = torch.arange(LENGTH), 0
    if method == "rotary":
        query, key = apply_rotary(query, positions), apply_rotary(key, positions)
    if method == "alibi":
        bias = alibi_bias(4, LENGTH, LENGTH)[0]
    if method == "relative":
        bias = biases(query[None, None], key[None, None])[2][0].detach()
    return (query @ key.T / math.sqrt(D_SCORES) + bias).double().numpy()


def diagonal_spread(scores):
    """Returns how much the scores [T, T] at one distance differ, at most: 0 when only the distance counts."""
    diagonals = [np.diagonal(scores, d) for d in range(-len(scores) + 1, len(scores))]
    return max(float(diagonal.max() - diagonal.min()) for diagonal in diagonals)


def distance_explorer(predict=True):
    """Shows, for each method, the score of a query with a key against their distance, wherever the query stands.

    All tokens are the same word, so that only position tells them apart. The learner picks a method and moves the
    query: the curve of a relative method stays where it is.

    predict: ask the learner for a prediction before the view appears.

    Returns a `View`; `view.numbers` holds `spread`, the largest difference between two scores at the same distance.
    """
    controls = {
        "method": choice("positions", list(METHODS), "sinusoidal"),
        "position": slider(widgets.IntSlider, "query at p", 20, min=0, max=LENGTH - 1),
    }
    curves, matrix = Picture(352, 280), Picture(320, 280)
    movers = _curves_by_distance(curves), _score_matrix(matrix)
    message, numbers = text(), {}

    def draw(method, position):
        scores = scores_by_method(method)
        numbers["spread"] = diagonal_spread(scores)
        movers[0](scores, position)
        relative = numbers["spread"] < 1e-4
        curves.show(
            f"Query at {position}: score {scores[position, position]:.2f} with itself, {scores[position].min():.2f} to "
            f"{scores[position].max():.2f} with all keys.", layout=method,
        )  # fmt: skip
        movers[1](scores, position)
        matrix.show(
            f"Along every diagonal, one distance, the scores are {'equal' if relative else 'not equal'}: they differ "
            f"by at most {numbers['spread']:.2g}.", layout=method,
        )  # fmt: skip
        what = {
            True: "<b>Relative:</b> only the distance counts, and all curves lie on top of each other.",
            False: "<b>Absolute:</b> the same distance has different scores at different places.",
        }[relative]
        if method == "none":
            what = "<b>No positions:</b> every key gets the same score, near or far."
        say(message, f"{what} Scores at the same distance differ by at most <b>{numbers['spread']:.2g}</b>.")

    prediction = Prediction(
        "All tokens are the same word. A query at position 10 compares itself with the key three to its left, and so "
        "does "
        "a query at 50. With which method do both get the same score?",
        [
            ("sinusoids added", "Dot products of two rows of the table depend on distance alone; but words and "
             "projections "
                                "come in between."),
            ("a learned table", "Its rows are anything: nothing ties rows 10 and 7 to rows 50 and 47."),
            ("rotary, ALiBi, T5’s bias", "These look at the distance only."),
        ],
        correct=2,
    )  # fmt: skip
    view = View(
        "Score against distance", controls, [message, panels(curves, matrix)], draw,
        prediction=prediction if predict else None,
    )  # fmt: skip
    view.numbers, view.pictures, view.message = numbers, (curves, matrix), message
    return view


def _curves_by_distance(picture):
    with picture.drawing() as figure:
        axes = figure.add_axes([0.14, 0.17, 0.83, 0.72])
        axes.set(title="Score of the query at p with the key at j", xlabel="distance j - p", ylabel="score")
        axes.grid(color=GRID)
        others = [axes.plot([], [], color=MUTED, linestyle=style, linewidth=1.2, label=f"p = {p}")[0]
                  for p, style in ((5, ":"), (58, "--"))]  # fmt: skip
        (chosen,) = axes.plot([], [], color=BLUE, label="your p")
        axes.legend(loc="upper right", ncols=3, columnspacing=1)
        picture.live(*others, chosen)

    def move(scores, position):
        low, high = scores.min(), scores.max()
        room = max(high - low, 1.0)
        axes.set_xlim(-LENGTH, LENGTH)
        axes.set_ylim(low - 0.1 * room, high + 0.3 * room)
        for line, p in zip((*others, chosen), (5, 58, position)):
            line.set_data(np.arange(LENGTH) - p, scores[p])

    return move


def _score_matrix(picture):
    with picture.drawing() as figure:
        axes = figure.add_axes([0.14, 0.17, 0.66, 0.72])
        axes.set(title="All scores", xlabel="key j", ylabel="query p")
        image = axes.imshow(np.zeros((LENGTH, LENGTH)), cmap=colormap(SEQUENTIAL), aspect="auto")
        bar = figure.colorbar(image, cax=figure.add_axes([0.83, 0.17, 0.035, 0.72]))
        bar.outline.set_visible(False)
        row = axes.axhline(0, color=ORANGE, linewidth=1.2)
        picture.live(row)

    def move(scores, position):
        image.set_data(scores)
        image.set_clim(scores.min() - 1e-9, max(scores.max(), scores.min() + 0.01))
        row.set_ydata([position, position])

    return move
