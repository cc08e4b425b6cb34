"""What BLEU sees: the n-grams that a translation shares with its reference, and what they are made into."""

import html
import math
from collections import Counter

import ipywidgets as widgets

from course_lib.evaluation import bleu

from .figures import View, say, text
from .palette import HEADS

MATCHED, MISSED = HEADS[2], "#8c959f"
CSS = f"""<style>
.workshop-bleu {{ background: #fff; color: #1f2328; padding: 8px 12px; border-radius: 6px; overflow-x: auto; }}
.workshop-bleu .row {{ display: grid; grid-template-columns: 140px 1fr; margin: 4px 0; line-height: 1.4; }}
.workshop-bleu .grams {{ display: flex; flex-wrap: wrap; gap: 4px; }}
.workshop-bleu b {{ font-weight: 600; }}
.workshop-bleu span {{ padding: 0 6px; border: 1px dashed {MISSED}; border-radius: 4px; color: #59636e;
  font-size: 13px; }}
.workshop-bleu span.yes {{ border: 1.5px solid {MATCHED}; background: #e6f5ef; color: #1f2328; }}
</style>"""


def matches(hypothesis, reference, n):
    """The n-grams of a hypothesis in order, as pairs (tokens, whether BLEU counts it as right).

    Of those that the hypothesis has more often than the reference, the last ones are wrong.
    """
    left = Counter(zip(*(reference[i:] for i in range(n))))
    found = []
    for gram in zip(*(hypothesis[i:] for i in range(n))):
        found.append((gram, left[gram] > 0))
        left[gram] -= 1
    return found


def bleu_explorer(examples):
    """Shows BLEU of one sentence while its words are edited: n-grams right and wrong, precisions, brevity penalty.

    examples: dict from a name to (hypothesis, reference), words between spaces; the first one is shown.

    Returns a `View`; `view.numbers` holds `precisions` [4], each (matches, total), `brevity` and `bleu`.
    """
    first = next(iter(examples.values()))
    wide = {"style": {"description_width": "80px"}, "layout": widgets.Layout(width="98%", max_width="760px")}
    controls = {
        "example": widgets.Dropdown(options=list(examples), description="Example", **wide),
        "hypothesis": widgets.Text(value=first[0], description="Translation", **wide),
        "reference": widgets.Text(value=first[1], description="Reference", **wide),
    }
    board, message, numbers = widgets.HTML(), text(), {}
    shown = [next(iter(examples))]

    def draw(example, hypothesis, reference):
        if example != shown[0]:
            shown[0] = example
            controls["hypothesis"].value, controls["reference"].value = hypothesis, reference = examples[example]
        ours, theirs = hypothesis.split(), reference.split()
        rows = {n: matches(ours, theirs, n) for n in range(1, 5)}
        precisions = [(sum(right for _, right in row), len(row)) for row in rows.values()]
        brevity = math.exp(min(0.0, 1 - len(theirs) / len(ours))) if ours else 0.0
        score = bleu([ours], [theirs])
        numbers.update(precisions=precisions, brevity=brevity, bleu=score)
        lines = [_line(f"{n}-grams: {right} of {total}", rows[n]) for n, (right, total) in enumerate(precisions, 1)]
        alt = _alt(precisions)
        board.value = f'{CSS}<div class="workshop-bleu" role="img" aria-label="{alt}">{"".join(lines)}</div>'
        product = " · ".join(f"{right}/{total}" for right, total in precisions)
        say(
            message,
            f"Length {len(ours)} against {len(theirs)}: brevity penalty <b>{brevity:.3f}</b>. "
            f"BLEU = 100 · {brevity:.3f} · ({product})<sup>1/4</sup> = <b>{score:.1f}</b>",
        )

    arrange = [widgets.VBox(list(controls.values()), layout=widgets.Layout(overflow="visible", width="100%"))]
    view = View("What BLEU sees", controls, [board, message], draw, arrange=arrange)
    view.numbers, view.board, view.message = numbers, board, message
    return view


def _line(name, row):
    chips = (
        f'<span class="yes">{_words(gram)} ✓</span>' if right else f"<span>{_words(gram)}</span>" for gram, right in row
    )
    return f'<div class="row"><b>{name}</b><div class="grams">{"".join(chips)}</div></div>'


def _words(gram):
    return html.escape(" ".join(gram))


def _alt(precisions):
    counts = ", ".join(f"{right} of {total} {n}-grams" for n, (right, total) in enumerate(precisions, 1))
    return f"{counts} are also in the reference"
