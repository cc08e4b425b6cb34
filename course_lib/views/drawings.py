"""Drawings that need no plotting library: a map of concepts, and a timeline of the literature."""

import html
from collections.abc import Collection, Sequence

from course_lib.views.palette import GROUND, HEADS, INK, MUTED

Edge = tuple[str, str, str]  # from, relation, to

WIDTH, BOX, LEVEL = 940, 40, 92  # pixels: the picture, the height of a box, from one level to the next
DASHED = "has the kind"
PAPERS = (  # month of the first public version, title, who and what
    ("1997-11", "Long Short-Term Memory", "Hochreiter, Schmidhuber. A recurrent network that can remember."),
    (
        "2014-09",
        "Neural Machine Translation by Jointly Learning to Align and Translate",
        "Bahdanau, Cho, Bengio. Attention.",
    ),
    (
        "2014-09",
        "Sequence to Sequence Learning with Neural Networks",
        "Sutskever, Vinyals, Le. One LSTM reads, one writes.",
    ),
    ("2017-06", "Attention Is All You Need", "Vaswani and others. The Transformer: attention without recurrence."),
    (
        "2018-06",
        "Improving Language Understanding by Generative Pre-Training",
        "Radford and others. GPT: pretrain, fine-tune.",
    ),
    (
        "2018-10",
        "BERT: Pre-training of Deep Bidirectional Transformers for Language Understanding",
        "Devlin and others.",
    ),
    (
        "2019-02",
        "Language Models are Unsupervised Multitask Learners",
        "Radford and others. GPT-2: tasks without examples.",
    ),
    (
        "2019-02",
        "Parameter-Efficient Transfer Learning for NLP",
        "Houlsby and others. Adapters: train a few new weights.",
    ),
    (
        "2021-06",
        "LoRA: Low-Rank Adaptation of Large Language Models",
        "Hu and others. Train a small correction of a matrix.",
    ),
    ("2023-03", "Adaptive Budget Allocation for Parameter-Efficient Fine-Tuning", "Zhang and others. AdaLoRA."),
)


def concept_map(edges: Sequence[Edge], marked: Collection[str] = (), alt: str = ""):
    """Draws concepts as boxes, level by level, each level below everything that leads to it.

    Args:
        edges: (from, relation, to); the relation "has the kind" is drawn dashed, any other one solid.
        marked: names of boxes that are filled, and marked with a tick.
        alt: one sentence that says what the picture shows.

    Raises:
        ValueError: the edges go round in a circle.
    """
    places = _places(edges)
    height = LEVEL * max(level for _, level in places.values()) + BOX + 46
    lines = "".join(_line(places[a], places[b], relation) for a, relation, b in edges)
    boxes = "".join(_box(name, *place, name in marked) for name, place in places.items())
    relations = list(dict.fromkeys(relation for _, relation, _ in edges))
    legend = "".join(
        f'<line x1="{12 + 190 * i}" x2="{52 + 190 * i}" y1="{height - 12}" y2="{height - 12}" {_stroke(relation)}/>'
        f'<text x="{60 + 190 * i}" y="{height - 8}" font-size="13">{html.escape(relation)}</text>'
        for i, relation in enumerate(relations)
        if len(relations) > 1
    )
    picture = (
        f'<svg viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" style="max-width:100%;height:auto" role="img" '
        f'aria-label="{html.escape(alt)}" font-family="sans-serif" fill="{INK}">'
        f'<defs><marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto">'
        f'<path d="M0 0L8 4L0 8z" fill="{MUTED}"/></marker></defs>{lines}{boxes}{legend}</svg>'
    )
    return _card(picture, alt)


def timeline(events: Sequence[tuple[str, str, str]] = PAPERS):
    """Draws dated events below one another, with the time that passed between them.

    Args:
        events: (date as "2014-09", what, what it brought), in any order; the papers behind the Transformer if left out.
    """
    rows, before = [], None
    for date, what, why in sorted(events):
        if before is not None and (gap := _months(date) - _months(before)):
            years = round(gap / 12)
            time = f"{years} year{'s' * (years > 1)}" if gap >= 12 else f"{gap} month{'s' * (gap > 1)}"
            rows.append(
                f'<div style="margin-left:84px;border-left:2px solid {MUTED};padding:{min(gap, 60) // 6}px 14px;'
                f'color:{MUTED};font-size:12px">{time} later</div>'
            )
        style = "flex:none;width:62px;text-align:right;font-variant-numeric:tabular-nums"
        rows.append(
            f'<div style="display:flex;gap:10px;align-items:baseline"><span style="{style}">{html.escape(date)}</span>'
            f'<span style="color:{HEADS[0]}">●</span>'
            f"<span><b>{html.escape(what)}</b><br>{html.escape(why)}</span></div>"
        )
        before = date
    alt = f"From {min(events)[0]} to {max(events)[0]}. The dates are those of the first public version."
    return _card(f'<div style="line-height:1.4">{"".join(rows)}</div>', alt)


def _places(edges: Sequence[Edge]) -> dict[str, tuple[float, int]]:
    """For each concept the centre of its box, x, and its level: the length of the longest way that leads to it."""
    names = list(dict.fromkeys(name for a, _, b in edges for name in (a, b)))
    level = dict.fromkeys(names, 0)
    for _ in names:
        for a, _, b in edges:
            level[b] = max(level[b], level[a] + 1)
    if max(level.values()) >= len(names):
        raise ValueError("the edges go round in a circle: a concept would stand below itself")
    rows = [[name for name in names if level[name] == i] for i in range(max(level.values()) + 1)]
    return {name: ((i + 0.5) * WIDTH / len(row), depth) for depth, row in enumerate(rows) for i, name in enumerate(row)}


def _stroke(relation: str) -> str:
    dashes = ' stroke-dasharray="6 4"' if relation == DASHED else ""
    return f'stroke="{MUTED}" stroke-width="1.6" fill="none"{dashes}'


def _line(start: tuple[float, int], end: tuple[float, int], relation: str) -> str:
    (x1, level1), (x2, level2) = start, end
    y1, y2 = LEVEL * level1 + BOX + 4, LEVEL * level2 + 1
    middle = (y1 + y2) / 2
    return (
        f'<path d="M{x1:.0f} {y1} C{x1:.0f} {middle:.0f} {x2:.0f} {middle:.0f} {x2:.0f} {y2}" {_stroke(relation)} '
        f'marker-end="url(#tip)"/>'
    )


def _box(name: str, x: float, level: int, is_marked: bool) -> str:
    words, lines = name.split(), [""]
    for word in words:
        if len(lines[-1]) + len(word) > 17:
            lines.append("")
        lines[-1] = f"{lines[-1]} {word}".strip()
    if is_marked:
        lines[-1] += " ✓"
    width, y = 8.0 * max(map(len, lines)) + 18, LEVEL * level + 3
    first = y + BOX / 2 + 5 - 8 * (len(lines) - 1)
    text = "".join(
        f'<text x="{x:.0f}" y="{first + 16 * i:.0f}" text-anchor="middle" font-size="13">{html.escape(line)}</text>'
        for i, line in enumerate(lines)
    )
    fill, edge = ("#deebf7", HEADS[0]) if is_marked else (GROUND, MUTED)
    return (
        f'<rect x="{x - width / 2:.0f}" y="{y}" width="{width:.0f}" height="{BOX}" rx="7" fill="{fill}" '
        f'stroke="{edge}" stroke-width="1.4"/>{text}'
    )


def _months(date: str) -> int:
    year, _, month = date.partition("-")
    return 12 * int(year) + int(month or 1)


def _card(content: str, alt: str):
    """White ground in light and dark themes, and the text alternative below the picture."""
    from IPython.display import HTML

    return HTML(
        f'<div style="background:{GROUND};color:{INK};padding:10px;border-radius:6px;max-width:{WIDTH}px">{content}'
        f'<p style="margin:8px 0 0;color:{MUTED};font-size:13px">{html.escape(alt)}</p></div>'
    )
