"""Attention in stages: q·k, ÷ √d_k, mask, softmax, and every number behind one cell."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from course_lib.attention import attention_weights
from course_lib.views.frames import HtmlView, page, significant

MAX_TOKENS, MAX_FEATURES = 16, 64  # what fits on a page with its numbers


def attention_stages(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    mask: Tensor | None = None,
    query_tokens: Sequence[str] | None = None,
    key_tokens: Sequence[str] | None = None,
    *,
    start: tuple[int, int] | None = None,
    predict: bool = False,
) -> HtmlView:
    """Shows the maps of one attention after each of its steps, and opens the chosen cell into its numbers.

    The steps are those of softmax(QKᵀ/√d_k) V (Vaswani et al. 2017, eq. 1), in the numbers' own precision.

    Args:
        query: [Tq, D]; leading axes of size 1 are dropped.
        key: [Tk, D].
        value: [Tk, Dv].
        mask: bool, broadcastable to [Tq, Tk]; True where query i may attend to key j. None allows all.
        query_tokens, key_tokens: the labels of rows and columns; the keys' are the queries' where they are left out.
        start: the cell (i, j) that is open at first; without it the largest weight.
        predict: ask for a guess of the weight before it is shown.

    Raises:
        ValueError: shapes or numbers of tokens do not fit together, or are too many to show.
    """
    query, key, value = (_matrix(name, x) for name, x in (("query", query), ("key", key), ("value", value)))
    (t_q, d), (t_k, d_value) = query.shape, value.shape
    if tuple(key.shape) != (t_k, d):
        raise ValueError(f"key is {list(key.shape)}; query {[t_q, d]} and value {[t_k, d_value]} need {[t_k, d]}")
    if max(t_q, t_k) > MAX_TOKENS or max(d, d_value) > MAX_FEATURES:
        raise ValueError(
            f"{t_q} queries, {t_k} keys, {d} and {d_value} features: the view shows up to {MAX_TOKENS} tokens and "
            f"{MAX_FEATURES} features; take a shorter sentence or one head"
        )
    if query_tokens is None:
        query_tokens = [f"q{i}" for i in range(t_q)]
        key_tokens = key_tokens or [f"k{j}" for j in range(t_k)]
    key_tokens = query_tokens if key_tokens is None else key_tokens
    if (len(query_tokens), len(key_tokens)) != (t_q, t_k):
        raise ValueError(f"{len(query_tokens)} and {len(key_tokens)} tokens for {t_q} queries and {t_k} keys")
    allowed = torch.ones(t_q, t_k, dtype=torch.bool)
    if mask is not None:
        if mask.dtype != torch.bool:
            raise ValueError(f"mask is {mask.dtype}; it must be torch.bool, True where a query may attend")
        while mask.dim() > 2 and len(mask) == 1:
            mask = mask[0]
        try:
            allowed = mask.detach().cpu().broadcast_to(t_q, t_k)
        except RuntimeError:
            raise ValueError(f"mask is {list(mask.shape)}; it must broadcast to {[t_q, t_k]}") from None
    scores = query @ key.T  # [Tq, Tk]
    weights = attention_weights(query, key, allowed)  # [Tq, Tk]
    i, j = start or divmod(int(weights.argmax()), t_k)
    if not (0 <= i < t_q and 0 <= j < t_k):
        raise ValueError(f"start={start} lies outside the {t_q} queries and {t_k} keys")
    numbers = dict(query=query, key=key, value=value, scores=scores, scaled=scores / math.sqrt(d), weights=weights,
                   output=weights @ value)  # fmt: skip
    data = {name: significant(x) for name, x in numbers.items()} | {
        "allowed": allowed.tolist(), "masked": mask is not None, "rows": list(query_tokens), "cols": list(key_tokens),
        "start": [i, j], "predict": predict,
    }  # fmt: skip
    alt = (
        f"Attention of {t_q} queries over {t_k} keys in four maps: query·key, divided by √{d}, masked, softmax; "
        "a chosen cell opens into its numbers."
    )
    return page("stages", data, alt=alt, height=760 + 26 * (t_q + t_k))


def _matrix(name: str, x: Tensor) -> Tensor:
    while x.dim() > 2 and len(x) == 1:
        x = x[0]
    if x.dim() != 2:
        raise ValueError(f"{name} is {list(x.shape)}; one sentence and one head, [T, D], can be opened")
    if not x.isfinite().all():
        raise ValueError(f"{name} holds numbers that are not finite")
    return x.detach().cpu()
