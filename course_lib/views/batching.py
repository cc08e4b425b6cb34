"""Batches as rectangles: every sentence a bar, and what is left of the rectangle is padding."""

from collections.abc import Mapping, Sequence

import ipywidgets as widgets
import numpy as np

from course_lib.batches import Example, bucketed_batches
from course_lib.views.figures import Picture, View, choice, say, slider, text

WIDTH, HEIGHT = 1000, 460  # of the picture, in CSS pixels
PLACE, ROW, GAP = 4, 3, 9  # pixels of a place, of a row where there is room, and between two rectangles
TOKEN_COLOUR, PADDING_COLOUR, GROUND_COLOUR = (0, 114, 178), (245, 190, 130), (255, 255, 255)
ORDERS = {
    "random": "as they come, in random order",
    "bucketed": "sorted within a pool, batches shuffled (the course’s)",
    "sorted": "sorted by length, never shuffled",
}
Lengths = tuple[np.ndarray, np.ndarray]  # of the source and of the target, one for each row of a batch


def batch_explorer(examples: Mapping[str, Sequence[Example]], max_tokens: int = 512) -> View:
    """Shows the batches that different orders of the same sentences give, and how much of them is padding.

    The learner chooses corpus, order, side and the number of places that a batch may have. `view.numbers` holds for
    each order the share of padding of both sides, between 0 and 1, and the number of batches.

    Args:
        examples: a few hundred pairs of each corpus, by its name.
        max_tokens: the number of places at first.

    Raises:
        ValueError: a corpus without examples, or with one that is too long for the largest batch.
    """
    smallest, largest = 64, 2048
    for name, pairs in examples.items():
        if not pairs:
            raise ValueError(f"the corpus {name} has no examples")
        longest = max(_longest(pair) for pair in pairs)
        if longest > largest:
            raise ValueError(f"an example of {name} has {longest} places; the largest batch shown has {largest}")
    picture = Picture(WIDTH, HEIGHT)
    with picture.drawing() as figure:
        axes = figure.add_axes((0, 0, 1, 1))
        axes.set_axis_off()
        image = picture.live(axes.imshow(np.full((HEIGHT, WIDTH, 3), 255, np.uint8), aspect="auto"))
    table, message, numbers, known = text(), text(), {}, {}
    controls = {
        "corpus": choice("corpus", [(name, name) for name in examples], next(iter(examples))),
        "order": choice("order", [(name, name) for name in ORDERS], "random"),
        "side": choice("side", [("source", 0), ("target", 1)], 1),
        "places": slider(
            widgets.IntSlider, "places in a batch", max_tokens, min=smallest, max=largest, step=32
        ),
    }  # fmt: skip

    def arranged(corpus: str, order: str, places: int) -> list[Lengths]:
        key = corpus, order, places
        if key not in known:
            known[key] = arrange(examples[corpus], order, places)
        return known[key]

    def draw(corpus: str, order: str, side: int, places: int) -> None:
        places = max(places, max(_longest(pair) for pair in examples[corpus]))
        for name in ORDERS:
            batches = arranged(corpus, name, places)
            numbers[name] = {"padding": padding(batches), "batches": len(batches)}
        batches = arranged(corpus, order, places)
        tallest = max(len(batch[0]) for name in ORDERS for batch in arranged(corpus, name, places))
        pixels, shown = paint([batch[side] for batch in batches], tallest)
        image.set_data(pixels)
        what, share = ("source", "target")[side], padding(batches, side)
        part = f"All {shown}" if shown == len(batches) else f"The first {shown} of {len(batches)}"
        picture.show(
            alt=f"{part} batches, {what} side: each rectangle is a batch, each of its rows a sentence, longest first; "
            f"blue are tokens, orange is padding: {share:.1%} of the {what} side."
        )
        rows = "".join(
            f"<tr><td>{'<b>' if name == order else ''}{name}{'</b>' if name == order else ''}</td><td>{note}</td>"
            f"<td style='text-align:right'>{numbers[name]['batches']}</td>"
            f"<td style='text-align:right'><b>{numbers[name]['padding']:.1%}</b></td></tr>"
            for name, note in ORDERS.items()
        )
        say(
            table,
            "<table class='workshop-table'><tr><th>order</th><th>how</th><th>batches</th><th>padding, both sides</th>"
            f"</tr>{rows}</table>",
        )
        n, share = len(examples[corpus]), numbers[order]["padding"]
        say(
            message,
            f"{n} sentence pairs, at most {places} places a side. Of 100 places that the model computes, "
            f"{100 * share:.0f} are padding: {1 / (1 - share):.2f} times the work that the tokens need.",
        )

    view = View("Batches and their padding", controls, [message, picture.widget, table], draw)
    view.numbers = numbers
    return view


def arrange(examples: Sequence[Example], order: str, max_tokens: int) -> list[Lengths]:
    """The lengths of source and target (end token counted in both) in each batch that `order` gives."""
    if order == "random":
        return _cut(examples, np.random.default_rng(0).permutation(len(examples)), max_tokens)
    ids = {"pad_id": -1, "bos_id": 1, "eos_id": 2}  # no token has the id −1
    batches = bucketed_batches(examples, max_tokens, shuffle=order == "bucketed", **ids)
    return [tuple((side != -1).sum(1).numpy() for side in (batch.source, batch.target_out)) for batch in batches]


def padding(batches: Sequence[Lengths], *sides: int) -> float:
    """The share of places that are padding, of both sides or of one (0 or 1)."""
    lengths = [batch[side] for batch in batches for side in sides or (0, 1)]
    places = sum(len(rows) * rows.max() for rows in lengths)
    return float(1 - sum(rows.sum() for rows in lengths) / places)


def paint(batches: Sequence[np.ndarray], tallest: int) -> tuple[np.ndarray, int]:
    """A picture [height, width, 3] of as many batches as it has room for, in rows from the top, and their number.

    A batch of `tallest` sentences still fits, so that pictures with the same number have the same scale.
    """
    row = min(ROW, (HEIGHT - 2 * GAP) / tallest)
    pixels = np.full((HEIGHT, WIDTH, 3), GROUND_COLOUR, np.uint8)
    x, y, deepest = GAP, GAP, 0
    for shown, lengths in enumerate(batches):
        height, width = max(1, int(row * len(lengths))), PLACE * int(lengths.max())
        if x + width > WIDTH - GAP:
            x, y, deepest = GAP, y + deepest + GAP, 0
        if y + height > HEIGHT:
            return pixels, shown
        longest_first = np.sort(lengths)[::-1]
        bars = longest_first[(np.arange(height) / row).astype(int)]  # the length behind each line of pixels
        real = (np.arange(width) < PLACE * bars[:, None])[..., None]
        block = np.where(real, TOKEN_COLOUR, PADDING_COLOUR).astype(np.uint8)
        if row == ROW:
            block[ROW - 1 :: ROW] = block[ROW - 1 :: ROW] // 2 + 127  # a pale line parts the bars
        pixels[y : y + height, x : x + width] = block
        x, deepest = x + width + GAP, max(deepest, height)
    return pixels, len(batches)


def _longest(example: Example) -> int:
    return max(len(example.source_ids), len(example.target_ids) + 1)


def _cut(examples: Sequence[Example], order: Sequence[int], max_tokens: int) -> list[Lengths]:
    """Batches of consecutive examples, as many as fit."""
    batches, batch, widest = [], [], 0
    for i in order:
        widest = max(widest, _longest(examples[i]))
        if batch and (len(batch) + 1) * widest > max_tokens:
            batches.append(batch)
            batch, widest = [], _longest(examples[i])
        batch.append((len(examples[i].source_ids), len(examples[i].target_ids) + 1))
    return [tuple(np.array(batch).T) for batch in [*batches, batch]]
