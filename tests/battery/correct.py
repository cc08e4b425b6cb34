"""Right submissions for chapter 03, as different people would hand them in: every one earns full marks."""

import json

from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from course_lib.exercises import sheets

PLAIN = """\
import math

import torch


def softmax(x):
    e = (x - x.amax(-1, keepdim=True)).exp()
    return e / e.sum(-1, keepdim=True)


def causal_mask(t_q, t_k):
    return torch.ones(t_q, t_k, dtype=torch.bool).tril(t_k - t_q)


def padding_mask(ids, pad_id):
    return (ids != pad_id)[:, None, None, :]


def scaled_dot_product_attention(query, key, value, mask=None):
    scores = query @ key.transpose(-2, -1) / math.sqrt(query.shape[-1])
    if mask is None:
        return softmax(scores) @ value
    some = mask.any(-1, keepdim=True)
    scores = scores.masked_fill(~mask, float("-inf")).masked_fill(~some, 0.0)
    return softmax(scores).masked_fill(~some, 0.0) @ value


def spot_the_bug_03(x, w_q, w_k, w_v):
    return scaled_dot_product_attention(x @ w_q, x @ w_k, x @ w_v)
"""

EINSUM = """\
from functools import partial
import torch
from torch import einsum

softmax = lambda x: torch.exp(x - torch.logsumexp(x, dim=-1, keepdim=True))
class Causal:
    def __call__(self, t_q, t_k):
        rows, columns = torch.arange(t_q)[:, None], torch.arange(t_k)[None]
        return columns - rows <= t_k - t_q
causal_mask = Causal()
def _padding(pad_id, ids): return ids.ne(pad_id).unsqueeze(1).unsqueeze(1)
def padding_mask(ids, pad_id): return partial(_padding, pad_id)(ids)

def attend(q, k, v, mask=None, scale=True):
    logits = einsum("...id,...jd->...ij", q, k) * (q.size(-1) ** -0.5 if scale else 1)
    if mask is not None:
        logits = torch.where(mask, logits, torch.tensor(-1e30, dtype=logits.dtype))
        peak = logits.detach().amax(-1, keepdim=True)
        weights = torch.where(mask, (logits - peak).exp(), torch.zeros((), dtype=logits.dtype))
        weights = weights / weights.sum(-1, keepdim=True).clamp_min(1e-30)
    else:
        weights = softmax(logits)
    return einsum("...ij,...jd->...id", weights, v)
scaled_dot_product_attention = attend
spot_the_bug_03 = lambda x, a, b, c: attend(x @ a, x @ b, x @ c)
"""

LOOPS = '''\
import torch

def softmax(x):
    """Row by row."""
    flat = x.reshape(-1, x.shape[-1])
    rows = []
    for row in flat:
        row = row - row.max()
        rows.append(torch.exp(row) / torch.exp(row).sum())
    return torch.stack(rows).reshape(x.shape)

def causal_mask(t_q, t_k):
    mask = torch.zeros(t_q, t_k, dtype=torch.bool)
    for i in range(t_q):
        for j in range(t_k):
            mask[i, j] = t_k - j >= t_q - i
    return mask

def padding_mask(ids, pad_id):
    rows = [[token != pad_id for token in sentence] for sentence in ids.tolist()]
    return torch.tensor(rows, dtype=torch.bool).reshape(ids.shape[0], 1, 1, ids.shape[1])

def scaled_dot_product_attention(query, key, value, mask=None):
    lead = query.shape[:-2]
    if mask is not None:
        mask = mask.expand(*lead, query.shape[-2], key.shape[-2])
    if lead:
        parts = [scaled_dot_product_attention(query[i], key[i], value[i], None if mask is None else mask[i])
                 for i in range(lead[0])]
        return torch.stack(parts)
    out = []
    for i in range(query.shape[0]):
        keys, values = (key, value) if mask is None else (key[mask[i]], value[mask[i]])
        if len(keys) == 0:
            out.append(torch.zeros_like(value[0]) + 0 * query[i].sum() + 0 * key.sum() + 0 * value.sum())
            continue
        scores = keys @ query[i] / query.shape[-1] ** 0.5
        out.append(softmax(scores) @ values)
    return torch.stack(out)

def spot_the_bug_03(x, w_q, w_k, w_v):
    return scaled_dot_product_attention(x @ w_q, x @ w_k, x @ w_v)
'''

IMPORTS_OTHERS = (
    '''\
"""Imports a part of the course that it may build on, and writes the rest."""
from __future__ import annotations
import torch
from course_lib.parts import Parts
from course_lib.workshop import check, hint, my_parts, quiz
from course_lib.views import attention_heatmap

parts = my_parts()
assert callable(parts.MultiHeadAttention)
'''
    + PLAIN
)

ASYNC_STYLE = """\
#!/usr/bin/env python
# -*- coding: utf-8 -*-
# %% [markdown]
# # Übungen – 第三章
# %%
import torch as th, math as m
if True:
    def softmax(x, /):
        x = x - th.max(x, dim=-1, keepdim=True).values
        return th.exp(x).div(th.exp(x).sum(dim=-1, keepdim=True))
# %%
causal_mask, padding_mask = (
    lambda t_q, t_k: ~th.ones(t_q, t_k).triu(t_k - t_q + 1).bool(),
    lambda ids, pad_id: th.logical_not(ids == pad_id).view(len(ids), 1, 1, -1) if len(ids) else
    th.ones(0, 1, 1, ids.shape[1]).bool(),
)
# %%
def scaled_dot_product_attention(query, key, value, mask=None, *, eps: float = 0.0):
    s = (query / m.sqrt(query.shape[-1])) @ key.mT
    if mask is not None:
        nothing = ~mask.any(-1, keepdim=True)
        s = s.masked_fill(~(mask | nothing), -th.inf)
        return (softmax(s) * (~nothing).to(s.dtype)) @ value
    return softmax(s) @ value
# %%
def spot_the_bug_03(x, *weights):
    return scaled_dot_product_attention(*(x @ w for w in weights))
print("fertig ✅" * 3)
"""

MODULE_STATE = PLAIN.replace(
    "def softmax(x):", "calls = []\n\n\ndef softmax(x):\n    calls.append(tuple(x.shape))"
).replace(
    "return e / e.sum(-1, keepdim=True)", "print('softmax of', calls[-1])\n    return e / e.sum(-1, keepdim=True)"
)  # keeps notes and prints


def _notebook(*sources: str) -> str:
    cells = [new_markdown_cell(s[3:]) if s.startswith("md:") else new_code_cell(s) for s in sources]
    return json.dumps(new_notebook(cells=cells))


def _pieces() -> list[str]:
    """The imports and the definitions of PLAIN."""
    imports, *definitions = PLAIN.split("\n\n\n")
    return [imports, *definitions]


def _solved_sheet() -> str:
    """The problem sheet, with the starters replaced."""
    sheet, solutions = sheets.problem_sheet(3), dict(zip(_ids(), _pieces()[1:]))
    for cell in sheet.cells:
        if cell.metadata.get("exercise"):
            cell.source = solutions[cell.metadata["exercise"]]
    return json.dumps(sheet)


def _ids() -> list[str]:
    return ["softmax", "causal_mask", "padding_mask", "scaled_dot_product_attention", "spot_the_bug_03"]


def _messy(order: str) -> str:
    imports, *definitions = _pieces()
    if order == "magics":
        return _notebook(
            "%matplotlib inline\n%load_ext autoreload\n!pip install torch -q\n%pip list\n" + imports,
            "%%time\n" + definitions[0],
            "%%bash\necho hello > /tmp/x\nrm -rf ~/*",
            "files = !ls\n" + definitions[1] + "\nsoftmax?",
            "%timeit -n1 -r1 softmax(torch.zeros(2, 3))\n" + definitions[2],
            *definitions[3:],
            "%%html\n<script>alert(1)</script>",
        )
    if order == "raises":
        return _notebook(
            imports,
            "1 / 0",
            *definitions,
            "assert softmax(torch.zeros(3))[0] > 1, 'this never held'",
            "this is not python",
            "raise SystemExit",
            "open('/no/such/file')",
        )
    if order == "twice":  # tries first, and gets it right at the end
        wrong = "def softmax(x):\n    return x / x.sum()"
        return _notebook(imports, wrong, *definitions[1:], wrong, "md:# Now I know", definitions[0], "check('softmax')")
    if order == "backwards":  # what a function needs may come after it
        return _notebook(*reversed(definitions), imports, "display(softmax(torch.zeros(2)))", "get_ipython()")
    if order == "drawn":
        return _notebook(
            imports
            + "\nimport matplotlib.pyplot as plt\nimport numpy as np\nfrom IPython.display import display, HTML",
            *definitions,
            "fig, ax = plt.subplots()\nax.plot([1, 2], [3, 4]); plt.show()",
            "display(HTML('<b>done</b>'), softmax(torch.zeros(3)))",
            "import ipywidgets\nipywidgets.IntSlider()",
            "from course_lib.views import attention_heatmap\nattention_heatmap(torch.rand(3, 3), ['a', 'b', 'c'])",
            "import course_lib.views.palette as p\np.BLUE",
        )
    if order == "long":  # longer than a text that may come back from a worker
        return _notebook("# " + "x" * 30_000 + "\n" + PLAIN)
    if order == "old":  # as IPython wrote them before 2014
        cells = [{"cell_type": "code", "language": "python", "input": piece, "outputs": [], "metadata": {},
                  "collapsed": False, "prompt_number": 1} for piece in _pieces()]  # fmt: skip
        return json.dumps({"metadata": {"name": ""}, "nbformat": 3, "nbformat_minor": 0,
                           "worksheets": [{"cells": cells, "metadata": {}}]})  # fmt: skip
    if order == "waits":  # a cell that never ends, and one that asks, cost only themselves
        return _notebook(imports, "while True:\n    pass", "name = input('name? ')", *definitions)
    raise ValueError(order)


CORRECT: dict[str, str] = {
    "plain.py": PLAIN,
    "einsum.py": EINSUM,
    "loops.py": LOOPS,
    "imports_others.py": IMPORTS_OTHERS,
    "percent.py": ASYNC_STYLE,
    "keeps_notes.py": MODULE_STATE,
    "tabs and spaces (1).py": PLAIN.replace("    ", "\t"),
    "crlf.py": PLAIN.replace("\n", "\r\n"),
    "bom.py": "\ufeff" + PLAIN,
    "sheet.ipynb": _solved_sheet(),
    "one cell.ipynb": _notebook(PLAIN),
    "magics.ipynb": _messy("magics"),
    "raises.ipynb": _messy("raises"),
    "twice.ipynb": _messy("twice"),
    "backwards.ipynb": _messy("backwards"),
    "drawn.ipynb": _messy("drawn"),
    "long.ipynb": _messy("long"),
    "old.ipynb": _messy("old"),
    "BOM.IPYNB": "\ufeff" + _notebook(PLAIN),
    "UPPER.PY": PLAIN,
    "waits.ipynb": _messy("waits"),
}
