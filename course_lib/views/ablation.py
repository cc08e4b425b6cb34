"""Heads switched off in a grid, and what becomes of the translation."""

import html
import time
from collections.abc import Mapping, Sequence

import ipywidgets as widgets

from course_lib.config import DecodeConfig
from course_lib.corpora.pairs import Pair
from course_lib.errors import CourseError
from course_lib.evaluation import corpus_scores
from course_lib.interpretation import heads_off
from course_lib.recording import attention_modules
from course_lib.translator import Translator

from .figures import View, say, text

GREEDY = DecodeConfig(beam_size=1)


def head_ablation(
    translator: Translator,
    pairs: Sequence[Pair],
    sentences: Sequence[str],
    errors: Mapping[str, Sequence[float]] | None = None,
):
    """A grid of all heads to switch off, with some translations and the BLEU of some pairs as they become then.

    Args:
        translator: its model may be built from a learner's parts.
        pairs: on which BLEU is measured, greedily; 50 take about half a second.
        sentences: whose translations are shown; one more can be typed.
        errors: each cross-attention head's alignment error (`head_alignment_errors`), written on its button.

    Returns:
        A `View`; `view.numbers` holds `bleu`, `exact` (the share of pairs that are right), `seconds` and `off`.
    """
    names = list(attention_modules(translator.model))
    n_heads, errors = translator.model.config.n_heads, errors or {}
    keys = {f"{name} {head}": (name, head) for name in names for head in range(n_heads)}
    controls = {}
    for key, (name, head) in keys.items():
        controls[key] = widgets.ToggleButton(
            tooltip=f"switch off head {head} of {name}", layout=widgets.Layout(width="98px")
        )
    controls["own"] = widgets.Text(
        placeholder="a sentence of your own, then Enter", continuous_update=False, layout=widgets.Layout(width="420px")
    )
    message, table, numbers, known = text(), widgets.HTML(), {}, {}
    references = [translator.finish(pair.target) for pair in pairs]

    def measured(off: dict) -> tuple[float, float]:
        """BLEU and the share of right ones; computed once for each set of heads."""
        key = frozenset((name, head) for name, heads in off.items() for head in heads)
        if key not in known:
            outputs = translator.translate_all([pair.source for pair in pairs], GREEDY)
            bleu = corpus_scores(outputs, references, translator.target_language)["bleu"]["score"]
            known[key] = bleu, sum(a == b for a, b in zip(outputs, references)) / len(pairs)
        return known[key]

    def translations(own: str) -> list[str]:
        return translator.translate_all([*sentences, *([own] if own else [])], GREEDY)

    def draw(own, **pressed):
        off = {}
        for key, (name, head) in keys.items():
            controls[key].button_style = "warning" if pressed[key] else ""
            note = f" · AER {errors[name][head]:.2f}".replace("0.", ".") if name in errors else ""
            controls[key].description = f"{head} off" if pressed[key] else f"{head}{note}"
            if pressed[key]:
                off.setdefault(name, []).append(head)
        n_off = sum(map(len, off.values()))
        say(message, "Computing: up to a second …")
        began = time.perf_counter()
        try:
            before = translations(own.strip())
            with heads_off(translator.model, off):
                after = translations(own.strip())
                bleu, exact = measured(off)
        except CourseError as error:
            say(message, html.escape(str(error)))
            return
        numbers.update(bleu=bleu, exact=exact, off=off, seconds=time.perf_counter() - began)
        whole = known.get(frozenset())
        compared = f" (all heads: {whole[0]:.1f})" if whole and off else ""
        say(
            message,
            f"<b>{n_off} of {len(keys)} heads off.</b> BLEU on {len(pairs)} unseen sentences: <b>{bleu:.1f}</b>"
            f"{compared}; "
            f"<b>{exact:.0%}</b> exactly right. Computed in {numbers['seconds']:.1f} s.",
        )
        table.value = _table([*sentences, own.strip()], before, after)

    def row(name: str) -> widgets.HBox:
        everything = widgets.Button(description="all", layout=widgets.Layout(width="52px"))
        own = [key for key in keys if keys[key][0] == name]

        def turn(_):
            value = not all(controls[key].value for key in own)
            view.set(**dict.fromkeys(own, value))

        everything.on_click(turn)
        label = widgets.HTML(f'<div style="width:176px;white-space:nowrap">{_title(name)}</div>')
        return widgets.HBox(
            [label, *(controls[key] for key in own), everything], layout=widgets.Layout(flex_flow="row wrap")
        )

    grid = widgets.VBox([*(row(name) for name in names), controls["own"]])
    title = "Switch heads off (0 to 3 of each attention): a pressed button is a head whose output is set to 0"
    view = View(title, controls, [message, table], draw, arrange=[grid])
    view.numbers, view.message, view.table = numbers, message, table
    return view


def _title(name: str) -> str:
    """ "decoder.layers.1.cross_attention" -> "decoder layer 1, cross" """
    stack, _, layer, kind = name.split(".")
    return f"{stack} layer {layer}, {'cross' if 'cross' in kind else 'self'}"


def _table(sentences: Sequence[str], before: Sequence[str], after: Sequence[str]) -> str:
    rows = ""
    for sentence, one, other in zip(sentences, before, after):
        mark = "as before" if one == other else f"<b>{html.escape(other) or '(nothing)'}</b>"
        rows += f"<tr><td>{html.escape(sentence)}</td><td>{html.escape(one)}</td><td>{mark}</td></tr>"
    return (
        '<table class="workshop-table"><tr><th scope="col">source</th><th scope="col">all heads</th>'
        f'<th scope="col">with these heads off</th></tr>{rows}</table>'
    )
