"""What stands around attention: normalisation, the feed-forward network, residuals, and the two layers."""

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from course_lib.attention import MultiHeadAttention

PLACEMENTS = ("pre", "post")


class LayerNorm(nn.Module):
    """Give every token's vector mean 0 and variance 1, then a learned gain and bias (Ba et al. 2016, eq. 4).

    LN(x) = gain · (x - mean) / √(variance + eps) + bias, mean and (biased) variance over the features.
    """

    def __init__(self, d_model: int, eps: float = 1e-5) -> None:
        super().__init__()
        self.eps = eps
        self.gain = nn.Parameter(torch.ones(d_model))
        self.bias = nn.Parameter(torch.zeros(d_model))

    def forward(self, x: Tensor) -> Tensor:
        """Normalise the last axis of ``x`` [..., D]."""
        variance, mean = torch.var_mean(x, dim=-1, correction=0, keepdim=True)  # [..., 1]
        return (x - mean) * torch.rsqrt(variance + self.eps) * self.gain + self.bias


class FusedLayerNorm(LayerNorm):
    """The same layer normalisation by PyTorch's fused operator."""

    def forward(self, x: Tensor) -> Tensor:
        """Normalise the last axis of ``x`` [..., D]."""
        return F.layer_norm(x, self.gain.shape, self.gain, self.bias, self.eps)


class Dropout(nn.Module):
    """Set each number to zero with probability ``p`` while training, and scale the others by 1/(1 - p).

    Srivastava et al. 2014. On a CPU the random numbers are most of the work, so 16 random bits decide: ``p`` is
    rounded to a multiple of 2⁻¹⁶.
    """

    def __init__(self, p: float) -> None:
        super().__init__()
        self.p = p

    def forward(self, x: Tensor) -> Tensor:
        """``x`` of any shape."""
        if not self.training or not self.p:
            return x
        if x.device.type != "cpu":
            return F.dropout(x, self.p)
        bits = torch.empty((x.numel() + 3) // 4, dtype=torch.int64).random_(-(2**63), None).view(torch.int16)
        dropped = min(round(self.p * 2**16), 2**16 - 1)  # one of them is always kept: nothing is divided by zero
        keep = (bits[: x.numel()] >= dropped - 2**15).view(x.shape)
        return x * (keep.to(x.dtype) / (1 - dropped / 2**16))


def gelu(x: Tensor) -> Tensor:
    """The Gaussian error linear unit x·Φ(x) = x/2 · (1 + erf(x/√2)) (Hendrycks and Gimpel 2016)."""
    return x / 2 * (1 + torch.erf(x / math.sqrt(2)))


class FeedForward(nn.Module):
    """Two linear maps with a ReLU between them, applied to each position alone (Vaswani et al. 2017, eq. 2).

    FFN(x) = max(0, x W_1 + b_1) W_2 + b_2, wide inside (``d_ff``) and ``d_model`` outside.
    """

    def __init__(self, d_model: int, d_ff: int) -> None:
        super().__init__()
        self.expand = nn.Linear(d_model, d_ff)
        self.contract = nn.Linear(d_ff, d_model)

    def forward(self, x: Tensor) -> Tensor:
        """[..., D] -> [..., D]."""
        return self.contract(self.expand(x).relu())


class Residual(nn.Module):
    """Add a sub-layer's output to its input; the one place where the norm's placement is decided.

    "pre":  x + Dropout(Sublayer(norm(x)))     (Xiong et al. 2020)
    "post": norm(x + Dropout(Sublayer(x)))     (Vaswani et al. 2017, §3.1)

    Args:
        norm: "pre" or "post".
        dropout: probability with which the sub-layer's output is zeroed while training.

    Raises:
        ValueError: ``norm`` is neither.
    """

    def __init__(self, norm: str, dropout: float = 0.0) -> None:
        super().__init__()
        if norm not in PLACEMENTS:
            raise ValueError(f'norm={norm!r} is neither "pre" nor "post"')
        self.placement = norm
        self.dropout = Dropout(dropout)

    def forward(self, x: Tensor, norm: Callable[[Tensor], Tensor], sublayer: Callable[[Tensor], Tensor]) -> Tensor:
        """``x`` [B, T, D] and what ``sublayer`` makes of it, added; ``norm`` goes where the placement says."""
        if self.placement == "pre":
            return x + self.dropout(sublayer(norm(x)))
        return norm(x + self.dropout(sublayer(x)))


class EncoderLayer(nn.Module):
    """Self-attention, then a feed-forward network, each with residual and norm (Vaswani et al. 2017, §3.1).

    Args:
        d_model, n_heads, d_ff: the sizes, as in ``ModelConfig``.
        norm: "pre" or "post".
        dropout: on each sub-layer's output.
        attention, feed_forward, layer_norm: what the parts are made with, called with their sizes.

    Raises:
        ValueError: another ``norm``, or heads that do not divide the width.
    """

    def __init__(
        self,
        d_model: int,
        n_heads: int,
        d_ff: int,
        norm: str = "pre",
        *,
        dropout: float = 0.0,
        attention: Callable[..., nn.Module] = MultiHeadAttention,
        feed_forward: Callable[..., nn.Module] = FeedForward,
        layer_norm: Callable[..., nn.Module] = LayerNorm,
    ) -> None:
        super().__init__()
        self.attention = attention(d_model, n_heads)
        self.feed_forward = feed_forward(d_model, d_ff)
        self.norm_1 = layer_norm(d_model)
        self.norm_2 = layer_norm(d_model)
        self.residual = Residual(norm, dropout)

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """``x`` [B, T, D], ``mask`` True where query i may attend to key j -> [B, T, D]."""
        x = self.residual(x, self.norm_1, lambda y: self.attention(y, y, y, mask))
        return self.residual(x, self.norm_2, self.feed_forward)


class DecoderLayer(nn.Module):
    """Masked self-attention, cross-attention to the encoder's output, feed-forward (Vaswani et al. 2017, §3.1).

    The memory enters as keys and values of the cross-attention only, and is never normalised here.

    Args: as in ``EncoderLayer``.
    """

    def __init__(
        self,
        d_model: int,
        n_heads: int,
        d_ff: int,
        norm: str = "pre",
        *,
        dropout: float = 0.0,
        attention: Callable[..., nn.Module] = MultiHeadAttention,
        feed_forward: Callable[..., nn.Module] = FeedForward,
        layer_norm: Callable[..., nn.Module] = LayerNorm,
    ) -> None:
        super().__init__()
        self.self_attention = attention(d_model, n_heads)
        self.cross_attention = attention(d_model, n_heads)
        self.feed_forward = feed_forward(d_model, d_ff)
        self.norm_1 = layer_norm(d_model)
        self.norm_2 = layer_norm(d_model)
        self.norm_3 = layer_norm(d_model)
        self.residual = Residual(norm, dropout)

    def forward(
        self, x: Tensor, memory: Tensor, self_mask: Tensor | None = None, memory_mask: Tensor | None = None
    ) -> Tensor:
        """``x`` [B, Tt, D] attends to itself and to ``memory`` [B, Ts, D] -> [B, Tt, D].

        ``self_mask`` [.., Tt, Tt] and ``memory_mask`` [.., Tt, Ts] are True where query i may attend to key j.
        """
        x = self.residual(x, self.norm_1, lambda y: self.self_attention(y, y, y, self_mask))
        x = self.residual(x, self.norm_2, lambda y: self.cross_attention(y, memory, memory, memory_mask))
        return self.residual(x, self.norm_3, self.feed_forward)
