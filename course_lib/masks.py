"""Who may attend to whom. Masks are boolean, and True means *may attend*."""

import torch
from torch import Tensor


def causal_mask(t_q: int, t_k: int | None = None, device: torch.device | str | None = None) -> Tensor:
    """Allow each query its own position and everything before it.

    The last query is aligned with the last key, so that the mask also serves when earlier keys are cached
    (Vaswani et al. 2017, §3.2.3).

    Args:
        t_q: number of queries (Tq).
        t_k: number of keys (Tk); as many as queries if left out.

    Returns:
        bool [Tq, Tk], True where query i may attend to key j: j <= i + Tk - Tq.
    """
    t_k = t_q if t_k is None else t_k
    return torch.ones(t_q, t_k, dtype=torch.bool, device=device).tril(t_k - t_q)


def padding_mask(ids: Tensor, pad_id: int) -> Tensor:
    """Allow every query all keys that are tokens, and none that is padding.

    Args:
        ids: token ids [B, Tk].
        pad_id: the id of padding.

    Returns:
        bool [B, 1, 1, Tk], ready to broadcast over heads and queries.
    """
    return (ids != pad_id)[:, None, None, :]  # [B, 1, 1, Tk]


def combine_masks(*masks: Tensor | None) -> Tensor | None:
    """Allow only what every mask allows; None stands for "no restriction"."""
    combined = None
    for mask in masks:
        if mask is not None:
            combined = mask if combined is None else combined & mask
    return combined


def to_torch_mask(mask: Tensor) -> Tensor:
    """Turn a mask around for ``torch.nn.MultiheadAttention`` and ``torch.nn.Transformer``, where True *blocks*."""
    return ~mask
