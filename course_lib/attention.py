"""Attention: a softmax over scores, a weighted sum of values, and many of them side by side."""

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from course_lib.recording import AttentionTap


def softmax(x: Tensor) -> Tensor:
    """Turn the last axis into positive weights that sum to 1.

    Subtracting the largest score changes nothing in exact arithmetic and keeps exp from overflowing:
    softmax(x)_j = exp(x_j - max x) / sum_k exp(x_k - max x).
    """
    exponentials = (x - x.amax(dim=-1, keepdim=True)).exp()
    return exponentials / exponentials.sum(dim=-1, keepdim=True)


def attention_weights(
    query: Tensor,
    key: Tensor,
    mask: Tensor | None = None,
    bias: Tensor | None = None,
    softmax: Callable[[Tensor], Tensor] = softmax,
) -> Tensor:
    """How much of each key's value each query takes: softmax(QKᵀ/√d_k + bias), rows summing to 1.

    Args:
        query: [..., Tq, D].
        key: [..., Tk, D].
        mask: bool, broadcastable to [..., Tq, Tk]; True where query i may attend to key j. None allows all.
        bias: float, added to the scaled scores (a position bias, for instance).
        softmax: the function that normalises the last axis.

    Returns:
        [..., Tq, Tk]. A query that may attend to nothing has a row of zeros.
    """
    scores = query @ key.transpose(-2, -1) / math.sqrt(query.shape[-1])  # [..., Tq, Tk]
    if bias is not None:
        scores = scores + bias
    if mask is None:
        return softmax(scores)
    # The lowest finite score instead of -inf: a row without any key would turn into NaN, and so would its gradient.
    scores = scores.masked_fill(~mask, torch.finfo(scores.dtype).min)
    return softmax(scores).masked_fill(~mask, 0.0)


def scaled_dot_product_attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    mask: Tensor | None = None,
    softmax: Callable[[Tensor], Tensor] = softmax,
) -> Tensor:
    """Attention(Q, K, V) = softmax(QKᵀ/√d_k) V  (Vaswani et al. 2017, eq. 1).

    Args:
        query: [..., Tq, D].
        key: [..., Tk, D].
        value: [..., Tk, Dv].
        mask: bool, broadcastable to [..., Tq, Tk]; True where query i may attend to key j. None allows all.
        softmax: the function that normalises the last axis.

    Returns:
        [..., Tq, Dv]: for each query the weighted sum of the values; zeros where it may attend to nothing.
    """
    return attention_weights(query, key, mask, softmax=softmax) @ value


def fused_attention(query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None = None) -> Tensor:
    """The same by PyTorch's fused operator; ``mask`` may also be a float tensor that is added to the scores.

    On a CPU it computes in float32: there the operator's gradient is many times slower in bfloat16.
    """
    if query.device.type == "cpu" and query.dtype == torch.bfloat16:
        with torch.autocast("cpu", enabled=False):
            return fused_attention(query.float(), key.float(), value.float(), mask)
    if mask is not None and mask.is_floating_point():
        mask = mask.to(query.dtype)
    return F.scaled_dot_product_attention(query, key, value, mask)


def split_heads(x: Tensor, n_heads: int) -> Tensor:
    """Cut the features into ``n_heads`` consecutive blocks: [B, T, D] -> [B, H, T, Dh].

    Raises:
        ValueError: the width is not divisible by the number of heads.
    """
    b, t, d_model = x.shape
    if d_model % n_heads:
        raise ValueError(f"d_model={d_model} is not divisible by n_heads={n_heads}")
    return x.view(b, t, n_heads, d_model // n_heads).transpose(1, 2)  # [B, H, T, Dh]


def merge_heads(x: Tensor) -> Tensor:
    """Put the heads' features side by side again: [B, H, T, Dh] -> [B, T, D]."""
    return x.transpose(1, 2).flatten(2)  # [B, T, D]


class MultiHeadAttention(nn.Module):
    """Several attentions side by side, each on its own block of features (Vaswani et al. 2017, §3.2.2).

    MultiHead(Q, K, V) = Concat(head_1 … head_H) W^O with head_h = Attention(QW_h^Q, KW_h^K, VW_h^V).

    Args:
        d_model: width of queries, keys, values and output (D).
        n_heads: number of heads (H); must divide ``d_model``.
        attend: the attention of one head, called as ``attend(query, key, value, mask)``. PyTorch's fused operator
            if left out; it computes the same as ``scaled_dot_product_attention``.
        positions: for self-attention, a module that knows where tokens stand (chapter 04). Called with query and key
            [B, H, T, Dh], it gives both back, rotated or as they were, and a float bias [H, Tq, Tk] or None.

    Raises:
        ValueError: ``d_model`` is not divisible by ``n_heads``.
    """

    def __init__(
        self,
        d_model: int,
        n_heads: int,
        *,
        attend: Callable[..., Tensor] | None = None,
        positions: nn.Module | None = None,
    ) -> None:
        super().__init__()
        if d_model % n_heads:
            raise ValueError(f"d_model={d_model} is not divisible by n_heads={n_heads}")
        self.n_heads = n_heads
        self.attend = attend or fused_attention
        self.positions = positions
        self.query = nn.Linear(d_model, d_model)
        self.key = nn.Linear(d_model, d_model)
        self.value = nn.Linear(d_model, d_model)
        self.output = nn.Linear(d_model, d_model)
        self.tap = AttentionTap()

    def forward(self, q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None = None) -> Tensor:
        """Attend from ``q`` [B, Tq, D] to ``k``, ``v`` [B, Tk, D]; ``mask`` broadcasts to [B, H, Tq, Tk], True = may.

        Returns:
            [B, Tq, D]; a query that may attend to nothing gives the output projection's bias.
        """
        query = split_heads(self.query(q), self.n_heads)  # [B, H, Tq, Dh]
        key = split_heads(self.key(k), self.n_heads)  # [B, H, Tk, Dh]
        value = split_heads(self.value(v), self.n_heads)  # [B, H, Tk, Dh]
        if self.tap.is_open:
            placed_query, placed_key, bias = self._place(query, key)
            self.tap.record(attention_weights(placed_query, placed_key, mask, bias))
        return self.combine(query, key, value, mask)

    def combine(self, query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None = None) -> Tensor:
        """What follows the projections: heads [B, H, T, Dh] attend and are put together again -> [B, Tq, D].

        The last query stands at the last key, so that keys of earlier steps may have been kept.
        """
        query, key, bias = self._place(query, key)
        if bias is None:
            heads = self.attend(query, key, value, mask)
        elif self.attend is fused_attention:
            heads = self.attend(query, key, value, _as_float_mask(mask, bias))
        else:
            heads = self.attend(*_as_features(query, key, bias), value, mask)
        return self.output(merge_heads(heads))

    def _place(self, query: Tensor, key: Tensor) -> tuple[Tensor, Tensor, Tensor | None]:
        return (query, key, None) if self.positions is None else self.positions(query, key)


def _as_float_mask(mask: Tensor | None, bias: Tensor) -> Tensor:
    """PyTorch's operator takes one float tensor that is added to the scores: the bias, and -inf where one may not."""
    return bias if mask is None else torch.where(mask, bias, -torch.inf)


def _as_features(query: Tensor, key: Tensor, bias: Tensor) -> tuple[Tensor, Tensor]:
    """Write a bias into queries and keys, for an attention function that has no argument for it.

    Each query gets its row of the bias as Tk more features, and key j a 1 in the j-th of them, so that their product is
    the bias. The division by the square root of the new width is made good beforehand.
    """
    (t_k, d_head), (b, n_heads, t_q, _) = key.shape[-2:], query.shape
    width = d_head + t_k
    rows = (bias * math.sqrt(width)).to(query.dtype).expand(b, n_heads, t_q, t_k)
    ones = torch.eye(t_k, dtype=key.dtype, device=key.device).expand(b, n_heads, t_k, t_k)
    return (
        torch.cat([query * math.sqrt(width / d_head), rows], dim=-1),  # [B, H, Tq, Dh + Tk]
        torch.cat([key, ones], dim=-1),  # [B, H, Tk, Dh + Tk]
    )
