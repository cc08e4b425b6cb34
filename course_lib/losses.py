"""What training minimises."""

from torch import Tensor


def shift_right(ids: Tensor, bos_id: int) -> Tensor:
    """What the decoder reads while it predicts ``ids``: each row moved right by one, ``bos_id`` in front.

    Args:
        ids: target ids [B, T].
        bos_id: the id that begins a sequence.

    Returns:
        [B, T]: position t holds the token that came before position t's.
    """
    shifted = ids.roll(1, dims=1)
    shifted[:, 0] = bos_id
    return shifted


def smoothed_cross_entropy(logits: Tensor, targets: Tensor, smoothing: float, pad_id: int) -> Tensor:
    """Cross-entropy against a target that keeps 1 - smoothing for the right token and spreads the rest evenly.

    -(1 - ε) log p(target) - ε/V · Σ_v log p(v), averaged over the tokens that are not padding
    (Szegedy et al. 2016, §7; Vaswani et al. 2017, §5.4).

    Args:
        logits: [B, T, V].
        targets: ids [B, T].
        smoothing: ε, from 0 to below 1.
        pad_id: targets with this id do not count.

    Returns:
        A 0-dim tensor, in nats a token.
    """
    log_p = logits.log_softmax(dim=-1)  # [B, T, V]
    loss = -log_p.gather(-1, targets[..., None]).squeeze(-1)  # [B, T]
    if smoothing:
        loss = (1 - smoothing) * loss - smoothing * log_p.mean(dim=-1)
    is_token = targets != pad_id  # [B, T]
    return (loss * is_token).sum() / is_token.sum()
