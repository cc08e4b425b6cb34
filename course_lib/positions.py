"""Where a token stands: fixed sinusoids, a learned table, rotations and linear biases."""

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
    frequency = torch.exp(-math.log(base) * torch.arange(0, d, 2, dtype=torch.float64, device=x.device) / d)
    angle = positions.to(torch.float64)[:, None] * frequency  # [T, D/2]
    cos, sin = angle.cos().to(x.dtype), angle.sin().to(x.dtype)
    a, b = x[..., 0::2], x[..., 1::2]
    return torch.stack([a * cos - b * sin, a * sin + b * cos], dim=-1).flatten(-2)  # [..., T, D]


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
