"""The mask explorer: what a mask does to the scores and to the weights, number by number."""

import html
from itertools import chain

import ipywidgets as widgets
import torch
from matplotlib.colors import to_hex

from course_lib.attention import attention_weights
from course_lib.masks import causal_mask, combine_masks, padding_mask, to_torch_mask

from .figures import Prediction, View, choice, panels, say, slider, text
from .palette import ACCENT, GROUND, INK, MUTED, SEQUENTIAL, SIGNED, colormap

LONGEST, PAD_ID, D_HEAD = 8, 0, 8
SENTENCES = (
    "the little cat sees a big black dog".split(),
    "we often read old books in the evening".split(),
    "my friend drinks warm tea every winter day".split(),
)
_VOCABULARY = {word: number for number, word in enumerate(dict.fromkeys(chain(*SENTENCES)), start=4)}

COURSE, TORCH, MIXED = "course", "torch", "mixed"
_BLOCKED = "background:repeating-linear-gradient(135deg,#e4e7eb 0 3px,#f6f8fa 3px 7px)"
_CSS = f"""<style>
.mask-card {{ background: {GROUND}; color: {INK}; border: 1px solid #d1d9e0; border-radius: 6px; padding: 6px 10px;
  font-size: 12px; line-height: 1.4; overflow-x: auto; }}
.mask-card h4 {{ margin: 0 0 2px; font-size: 14px; font-weight: 600; color: {INK}; }}
.mask-card p {{ margin: 0 0 6px; color: {MUTED}; font-size: 12px; line-height: 1.4; }}
.mask-card table {{ border-collapse: separate; border-spacing: 1px; font-variant-numeric: tabular-nums; margin: 0; }}
.mask-card td {{ width: 34px; min-width: 34px; height: 26px; padding: 0; text-align: center; border-radius: 3px;
  box-shadow: inset 0 0 0 1px #0001; }}
.mask-card th {{ font-weight: 400; font-size: 12px; padding: 0 4px; text-align: right; color: {INK};
  white-space: nowrap; line-height: 1.15; }}
.mask-card thead th {{ text-align: center; vertical-align: bottom; }}
.mask-card .nothing th, .mask-card .nothing td:last-child {{ color: #b34700; font-weight: 600; }}
.mask-card td.note {{ width: auto; box-shadow: none; text-align: left; font-size: 12px; padding-left: 6px;
  white-space: nowrap; }}
</style>"""


def mask_explorer(predict=True):
    """Shows causal, padding and combined masks, and the scores and weights before and after them.

    The learner moves the number of queries and keys (the causal mask stays aligned at the bottom right), the lengths of
    three padded sentences, and the convention in which the mask is written down, one of which is the classic mix-up.
    Queries that may attend to nothing are pointed out.

    predict: ask the learner for a prediction before the view appears.

    Returns a `View`; `view.state` holds the tensors shown: `mask` as the course writes it, `passed` as it is handed
    over, `scores`, `masked_scores`, `free_weights` (without a mask), `weights` (with it), all [Tq, Tk].
    """
    controls = {
        "kind": choice("mask", [("causal", "causal"), ("padding", "padding"), ("both", "combined")], "causal"),
        "t_q": slider(widgets.IntSlider, "queries t_q", 6, min=1, max=LONGEST),
        "t_k": slider(widgets.IntSlider, "keys t_k", 6, min=1, max=LONGEST),
        "convention": choice(
            "written as", [("True = may attend (the course)", COURSE),
                           ("True = blocked (nn.MultiheadAttention)", TORCH), ("mixed up: the bug", MIXED)], COURSE),
        "sentence": choice("sentence shown", [("1", 0), ("2", 1), ("3", 2)], 0),
        **{f"length_{n + 1}": slider(widgets.IntSlider, f"length of {n + 1}", length, min=0, max=6)
           for n, length in enumerate((4, 6, 2))},
    }  # fmt: skip
    batch_controls = [controls[name] for name in ("sentence", "length_1", "length_2", "length_3")]
    batch_row = widgets.HBox(batch_controls, layout=widgets.Layout(flex_flow="row wrap", overflow="visible"))
    for control in batch_controls[1:]:
        control.layout.width = "230px"
    cards = [
        widgets.HTML(layout=widgets.Layout(margin="0 12px 10px 0", overflow="visible", max_width="100%"))
        for _ in range(6)
    ]
    message = text()
    state = {}

    def draw(kind, t_q, t_k, convention, sentence, **lengths):
        for name in lengths:
            controls[name].max = t_k
        lengths = [controls[name].value for name in lengths]
        uses_padding = kind != "causal"
        batch_row.layout.display = None if uses_padding else "none"
        cards[0].layout.display = None if uses_padding else "none"

        ids = torch.tensor([  # [B, Tk]
            [_VOCABULARY[word] for word in words[:length]] + [PAD_ID] * (t_k - length)
            for words, length in zip(SENTENCES, lengths)
        ])  # fmt: skip
        causal = causal_mask(t_q, t_k) if kind != "padding" else None  # [Tq, Tk]
        padding = padding_mask(ids, PAD_ID)[sentence, 0] if uses_padding else None  # [1, Tk]
        mask = combine_masks(causal, padding).expand(t_q, t_k)  # [Tq, Tk]
        query, key = _vectors(sentence if uses_padding else 0, t_q, t_k)
        scores = query @ key.T / D_HEAD**0.5  # [Tq, Tk]
        obeyed = to_torch_mask(mask) if convention == MIXED else mask
        state.update(
            ids=ids, mask=mask, passed=mask if convention == COURSE else to_torch_mask(mask), scores=scores,
            masked_scores=scores.masked_fill(~obeyed, -torch.inf), free_weights=attention_weights(query, key),
            weights=attention_weights(query, key, obeyed),
        )  # fmt: skip

        words = SENTENCES[sentence if uses_padding else 0]
        used = lengths[sentence] if uses_padding else t_k
        keys = [word if j < used else "[pad]" for j, word in enumerate(words[:t_k])]
        offset = t_k - t_q
        queries = [_query_name(i, i + offset, keys if kind != "padding" else None) for i in range(t_q)]
        empty = ~obeyed.any(-1)  # [Tq]
        axes = dict(rows=queries, columns=keys, blocked=~obeyed, empty=empty)

        cards[0].value = _batch_card(ids, lengths, sentence)
        cards[1].value = _mask_card(
            state["passed"], convention, kind, offset, rows=queries, columns=keys, blocked=~mask
        )
        cards[2].value = _card(
            "Scores before the mask", "q·k / √d_k", _signed(scores), **axes | {"blocked": None, "empty": None}
        )
        cards[3].value = _card("Scores after the mask", "blocked cells become −∞", _signed(scores), hidden="−∞", **axes)
        cards[4].value = _card(
            "Weights without the mask", "softmax of each row: rows sum to 1", _weights(state["free_weights"]),
            **axes | {"blocked": None, "empty": None},
        )  # fmt: skip
        cards[5].value = _card(
            "Weights with the mask", "blocked cells get exactly 0, the others share the 1", _weights(state["weights"]),
            hidden="0", note=[None if not e else "← no key: zeros" for e in empty.tolist()], **axes,
        )  # fmt: skip
        say(message, _message(kind, t_q, t_k, convention, mask, empty))

    view = View(
        "Mask explorer: who may attend to whom", controls,
        [widgets.HTML(_CSS), batch_row, message, panels(*cards)], draw,
        arrange=[controls[name] for name in ("kind", "t_q", "t_k", "convention")],
        prediction=_prediction() if predict else None,
    )  # fmt: skip
    view.state, view.cards, view.message = state, cards, message
    return view


def _vectors(sentence, t_q, t_k):
    """Queries [Tq, D] and keys [Tk, D] that stay the same whatever the sizes: the last query is the last position's."""
    generator = torch.Generator().manual_seed(20 + sentence)
    query, key = torch.randn(2, LONGEST, D_HEAD, generator=generator) * 1.2
    return query[LONGEST - t_q :], key[:t_k]


def _query_name(i, position, keys):
    if keys is None:
        return f"q{i}"
    if position < 0:
        return f"q{i} · pos. −{-position}"
    return f"q{i} · {keys[position]}"


def _prediction():
    return Prediction(
        "Two new queries look at five keys (t_q = 2, t_k = 5): the three earlier tokens are in a cache. How many of "
        "the ten cells does a causal mask allow?",
        [
            ("3", "That is the mask aligned at the top left: the newest token would see only two of the five keys."),
            ("7", "The second query is the last token and sees all five keys; the first one sees all but the last."),
            ("9", "The last query stands at the last key and sees all 5; the one before it sees 4: aligned at the "
                  "bottom right."),
            ("10", "One cell is in the future: the first query must not see the last key."),
        ],
        correct=2,
    )  # fmt: skip


def _message(kind, t_q, t_k, convention, mask, empty):
    parts = [f"<b>{int(mask.sum())} of {t_q * t_k}</b> cells allowed by the {kind} mask."]
    if kind != "padding" and t_q < t_k:
        parts.append(
            f"The last query is aligned with the last key: q0 is position {t_k - t_q}, as when {t_k - t_q} earlier "
            f"{'key is' if t_k - t_q == 1 else 'keys are'} cached."
        )
    if kind != "padding" and t_q > t_k:
        parts.append(f"More queries than keys: the first {t_q - t_k} stand before every key.")
    if kind == "padding":
        parts.append("Padding blocks whole columns: it says which <i>keys</i> exist, the same for every query.")
    if convention == MIXED:
        parts.append(
            "<b>Mixed up:</b> the mask was written for one convention and read in the other, so exactly the forbidden "
            "cells are used. No error is raised, and every row still sums to 1 where it has a cell."
        )
    names = [f"q{i}" for i in empty.nonzero().flatten().tolist()]
    if names:
        listed = names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
        parts.append(
            f"<b style='color:{ACCENT}'>▲ {listed} may attend to nothing.</b> A softmax over nothing but −∞ is "
            "0/0 = NaN; the course gives zeros, and so a zero output."
        )
    return " ".join(parts)


def _hex(colors):
    return [to_hex(color) for color in colors]


def _signed(scores, limit=4.0):
    """Text and colour of each score: orange below 0, purple above, white at 0."""
    return _cells(scores, "{:.1f}", colormap(SIGNED, "signed"), (scores / limit).clamp(-1, 1) / 2 + 0.5)


def _weights(weights):
    return _cells(weights, "{:.2f}", colormap(SEQUENTIAL), weights)


def _cells(values, form, cmap, shade):
    rows = []
    for numbers, shades in zip(values.tolist(), shade.numpy()):
        colors = cmap(shades)
        light = colors[:, :3] @ [0.299, 0.587, 0.114]
        rows.append(
            [
                (
                    form.format(number).replace("-", "−"),
                    f"background:{background};color:{INK if bright > 0.5 else '#fff'}",
                )
                for number, background, bright in zip(numbers, _hex(colors), light)
            ]
        )
    return rows


def _mask_card(passed, convention, kind, offset, rows, columns, blocked):
    title = {
        COURSE: "The mask: True = may attend",
        TORCH: "to_torch_mask(mask): True = blocked",
        MIXED: "~mask, read as True = may attend",
    }[convention]
    hint = {
        "causal": f"causal_mask: j ≤ i + {offset}" if offset >= 0 else f"causal_mask: j ≤ i − {-offset}",
        "padding": "padding_mask: key j is a token",
        "combined": "causal_mask & padding_mask",
    }[kind]
    blocked = ~blocked if convention == MIXED else blocked
    cells = [[(str(value), "background:#cfe3f7") for value in row] for row in passed.tolist()]
    return _card(
        title, f"{hint}. Striped: blocked.", cells, rows=rows, columns=columns, blocked=blocked, keep_text=True
    )


def _batch_card(ids, lengths, sentence):
    cells = [[(str(i), "background:#cfe3f7") for i in row] for row in ids.tolist()]
    rows = [f"{'▸ ' if n == sentence else ''}sentence {n + 1}" for n in range(len(lengths))]
    columns = [f"j={j}" for j in range(ids.shape[1])]
    note = [f"{length} token{'s' * (length != 1)}" for length in lengths]
    return _card(
        "The padded batch: token ids",
        "striped: padding, id 0",
        cells,
        rows,
        columns,
        ids == PAD_ID,
        note=note,
        keep_text=True,
    )


def _card(title, hint, cells, rows, columns, blocked=None, empty=None, hidden=None, note=None, keep_text=False):
    """One table as HTML. `cells`: rows of (text, style); where `blocked`, striped, and `hidden` instead of the text."""
    head = "".join(f'<th scope="col">{html.escape(name)}</th>' for name in columns)
    lines = []
    for i, (name, row) in enumerate(zip(rows, cells)):
        line = []
        for j, (value, style) in enumerate(row):
            if blocked is not None and blocked[i, j]:
                value, style = value if keep_text else hidden, f"{_BLOCKED};color:{MUTED}"
            line.append(f'<td style="{style}">{value}</td>')
        if note is not None and note[i] is not None:
            line.append(f'<td class="note">{html.escape(note[i])}</td>')
        mark = ' class="nothing"' if empty is not None and empty[i] else ""
        lines.append(f'<tr{mark}><th scope="row">{html.escape(name)}</th>{"".join(line)}</tr>')
    return (
        f'<div class="mask-card"><h4>{title}</h4><p>{hint}</p><table aria-label="{html.escape(title)}">'
        f"<thead><tr><th></th>{head}</tr></thead><tbody>{''.join(lines)}</tbody></table></div>"
    )
