"""Where a token stands: fixed sinusoids, a learned table, rotations, linear biases and learned biases.

Two places to say it. ``SinusoidalPositions`` and ``LearnedPositions`` are added to the tokens, once. The *schemes* at
the end of this file act inside every self-attention: they are called with its query and key, after the projections.
"""

import math

import torch
from torch import Tensor, nn


def sinusoidal_encoding(length: int, d_model: int, base: float = 10000.0) -> Tensor:
    """A vector for each position, made of sines and cosines of falling frequency (Vaswani et al. 2017, §3.5).

    PE(pos, 2i) = sin(pos / base^(2i/D)), PE(pos, 2i+1) = cos(pos / base^(2i/D)).

    Args:
        length: number of positions (T).
        d_model: width (D); an odd one ends on a sine.
        base: sets the longest wavelength, 2π·base.

    Returns:
        float [T, D], sines on the even columns.
    """
    position = torch.arange(length, dtype=torch.float64)[:, None]  # [T, 1]
    exponent = torch.arange(0, d_model, 2, dtype=torch.float64) / d_model
    angle = position * torch.exp(-math.log(base) * exponent)  # [T, ceil(D/2)]
    table = torch.empty(length, d_model, dtype=torch.float64)
    table[:, 0::2] = angle.sin()
    table[:, 1::2] = angle.cos()[:, : d_model // 2]
    return table.float()


class SinusoidalPositions(nn.Module):
    """Add the fixed table of ``sinusoidal_encoding``; it is a buffer, not a parameter.

    Raises:
        ValueError: a sequence longer than ``max_len``.
    """

    def __init__(self, max_len: int, d_model: int, encoding=sinusoidal_encoding) -> None:
        super().__init__()
        self.register_buffer("table", encoding(max_len, d_model), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """Add row t of the table to token t: [B, T, D] -> [B, T, D]."""
        return x + _rows(self.table, x)


class LearnedPositions(nn.Module):
    """Add a learned vector for each position (as BERT and GPT-2 do).

    Args:
        max_len: number of positions there are vectors for.
        d_model: width (D).
    """

    def __init__(self, max_len: int, d_model: int) -> None:
        super().__init__()
        self.table = nn.Parameter(torch.randn(max_len, d_model) * 0.02)

    def forward(self, x: Tensor) -> Tensor:
        """Add row t of the table to token t: [B, T, D] -> [B, T, D].

        Raises:
            ValueError: T is larger than ``max_len``.
        """
        return x + _rows(self.table, x)


def _rows(table: Tensor, x: Tensor) -> Tensor:
    length, max_len = x.shape[1], table.shape[0]
    if length > max_len:
        raise ValueError(f"a sequence of {length} tokens is longer than max_len={max_len}")
    return table[:length]


def apply_rotary(x: Tensor, positions: Tensor, base: float = 10000.0) -> Tensor:
    """Turn each pair of features (2i, 2i+1) by the angle position · base^(-2i/D) (Su et al. 2021, eq. 34).

    The dot product of two vectors turned this way depends on the distance of their positions only.

    Args:
        x: [..., T, D] with an even D.
        positions: integer [T].

    Returns:
        [..., T, D]: (a, b) becomes (a cos - b sin, a sin + b cos).

    Raises:
        ValueError: an odd D.
    """
    d = x.shape[-1]
    if d % 2:
        raise ValueError(f"d={d} is odd: rotary positions turn pairs of features")
    exponent = torch.arange(0, d, 2, dtype=torch.float64, device=positions.device) / d
    angle = positions.to(torch.float64)[:, None] * torch.exp(-math.log(base) * exponent)  # [T, D/2]
    # A pair (a, b) is the complex number a + ib, and turning it is one product: with cos + i sin.
    turn = torch.polar(torch.ones_like(angle), angle)
    exact = x.to(torch.promote_types(x.dtype, torch.float32))
    pairs = torch.view_as_complex(exact.unflatten(-1, (-1, 2)).contiguous())  # [..., T, D/2]
    turned = pairs * turn.to(pairs.dtype).to(x.device)
    return torch.view_as_real(turned).flatten(-2).to(x.dtype)  # [..., T, D]


def alibi_bias(n_heads: int, t_q: int, t_k: int) -> Tensor:
    """A penalty for distance, with a slope of its own for each head (Press et al. 2022, §3).

    Args:
        n_heads: number of heads (H); head h = 1…H has the slope 2^(-8h/H).
        t_q: number of queries (Tq).
        t_k: number of keys (Tk); the last key stands at the last query's position.

    Returns:
        float [H, Tq, Tk]: -slope · |i + Tk - Tq - j|. It masks nothing.
    """
    slopes = 2.0 ** (-8.0 * torch.arange(1, n_heads + 1) / n_heads)  # [H]
    distance = (torch.arange(t_q)[:, None] + t_k - t_q - torch.arange(t_k)).abs()  # [Tq, Tk]
    return -slopes[:, None, None] * distance


def relative_bucket(distance: Tensor, causal: bool, n_buckets: int = 32, max_distance: int = 128) -> Tensor:
    """Sort distances into few buckets: one each for near ones, ever wider ones further off (Raffel et al. 2020, §2.1).

    Half of the buckets hold one distance each; the other half grow logarithmically up to ``max_distance``, and the last
    one holds everything beyond.

    Args:
        distance: integers, position of the key minus position of the query, of any shape.
        causal: keys ahead do not occur and share bucket 0; otherwise they have half of the buckets to themselves.
        n_buckets: number of buckets, a multiple of 4.
        max_distance: from here on all distances share a bucket.

    Returns:
        int64, the shape of ``distance``, from 0 to n_buckets - 1.
    """
    first = torch.zeros_like(distance)
    if causal:
        steps = (-distance).clamp(min=0)
    else:
        n_buckets //= 2
        first, steps = (distance > 0) * n_buckets, distance.abs()
    exact = n_buckets // 2
    growth = torch.log(steps.clamp(min=1) / exact) / math.log(max_distance / exact)  # 0 at `exact`, 1 at `max_distance`
    wide = (exact + (growth * (n_buckets - exact)).long()).clamp(max=n_buckets - 1)
    return first + torch.where(steps < exact, steps, wide)


# --- schemes: what a self-attention is handed ------------------------------------------------------------------------


class RotaryPositions(nn.Module):
    """Turn every query and key by its position (Su et al. 2021); it learns nothing.

    Args:
        rotate: the function that turns them, called as ``rotate(x, positions)``.
    """

    def __init__(self, rotate=apply_rotary) -> None:
        super().__init__()
        self.rotate = rotate

    def forward(self, query: Tensor, key: Tensor) -> tuple[Tensor, Tensor, None]:
        """Queries [B, H, Tq, Dh] and keys [B, H, Tk, Dh], turned; no bias. The last query stands at the last key."""
        t_q, t_k = query.shape[-2], key.shape[-2]
        positions = torch.arange(t_k)
        return self.rotate(query, positions[t_k - t_q :]), self.rotate(key, positions), None


class AlibiPositions(nn.Module):
    """Lower each score by slope times distance (Press et al. 2022); it learns nothing.

    Args:
        bias: the function that gives the table, called as ``bias(n_heads, t_q, t_k)``.
    """

    def __init__(self, bias=alibi_bias) -> None:
        super().__init__()
        self.bias = bias

    def forward(self, query: Tensor, key: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Query and key as they were, and the bias [H, Tq, Tk]."""
        n_heads, t_q, t_k = query.shape[1], query.shape[-2], key.shape[-2]
        return query, key, self.bias(n_heads, t_q, t_k).to(query.device)


class RelativePositions(nn.Module):
    """Add a learned number for each head and each bucket of distances to the scores (Raffel et al. 2020, §2.1: T5).

    T5 has one table for all layers of a stack; here each layer has its own, as in Shaw et al. 2018.

    Args:
        n_heads: number of heads (H).
        causal: whether queries see no keys ahead of them; these then need no buckets.
        n_buckets: of distances; see ``relative_bucket``.
    """

    def __init__(self, n_heads: int, causal: bool, n_buckets: int = 32) -> None:
        super().__init__()
        self.causal, self.n_buckets = causal, n_buckets
        self.table = nn.Parameter(torch.zeros(n_heads, n_buckets))

    def forward(self, query: Tensor, key: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Query and key as they were, and the bias [H, Tq, Tk]; the last query stands at the last key."""
        t_q, t_k = query.shape[-2], key.shape[-2]
        positions = torch.arange(t_k, device=self.table.device)
        distance = positions - positions[t_k - t_q :, None]  # [Tq, Tk]
        return query, key, self.table[:, relative_bucket(distance, self.causal, self.n_buckets)]
