"""What training minimises."""

import torch
from torch import Tensor

CHUNK = 2**21  # logits that are there at the same time


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


def linear_cross_entropy(states: Tensor, weight: Tensor, targets: Tensor, smoothing: float) -> Tensor:
    """The smoothed cross-entropy of the logits ``states @ weight.T``, summed, without keeping the logits.

    The logits are much the largest tensor of a training step: tokens times vocabulary. Here they are made and used a
    chunk of tokens at a time, and their gradient, softmax(logits) - target distribution, is worked out on the way.

    Args:
        states: what the decoder says [N, D], of tokens that count.
        weight: the output's weight [V, D].
        targets: ids [N].
        smoothing: ε, from 0 to below 1.

    Returns:
        A 0-dim tensor: N times what ``smoothed_cross_entropy`` gives, in nats.
    """
    return _LinearCrossEntropy.apply(states, weight, targets, smoothing)


class _LinearCrossEntropy(torch.autograd.Function):
    @staticmethod
    def forward(ctx, states: Tensor, weight: Tensor, targets: Tensor, smoothing: float) -> Tensor:
        device, vocab_size = states.device.type, len(weight)
        precision = torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else weight.dtype
        total = weight.new_zeros(())
        states_gradient, weight_gradient = torch.empty_like(states), torch.zeros_like(weight)
        with torch.autocast(device, enabled=False):
            low_weight = weight.to(precision)
            size = max(1, CHUNK // vocab_size)
            for start in range(0, len(targets), size):
                rows = slice(start, start + size)
                some, right = states[rows].to(precision), targets[rows, None]  # [n, D], [n, 1]
                logits = (some @ low_weight.T).to(weight.dtype)  # [n, V]
                log_z = logits.logsumexp(-1, keepdim=True)  # [n, 1]
                total += (log_z - (1 - smoothing) * logits.gather(-1, right)).sum()
                total -= smoothing * logits.mean(-1).sum()
                # The gradient takes the logits' own memory: softmax(logits) - ε/V, and 1 - ε less at the right token.
                slopes = logits.sub_(log_z).exp_().sub_(smoothing / vocab_size)
                slopes.scatter_add_(-1, right, torch.full_like(log_z, smoothing - 1))
                slopes = slopes.to(precision)
                states_gradient[rows] = slopes @ low_weight
                weight_gradient += slopes.T @ some
        ctx.save_for_backward(states_gradient, weight_gradient)
        return total

    @staticmethod
    def backward(ctx, slope: Tensor):
        states_gradient, weight_gradient = ctx.saved_tensors
        return slope * states_gradient, slope * weight_gradient, None, None
