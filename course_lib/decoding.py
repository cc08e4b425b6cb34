"""From a model's next-token logits to a sequence: greedy search, beam search, sampling.

Nothing in here knows a model. ``greedy_decode``, ``beam_search`` and ``sample_decode`` write one sequence through a
function ``step(ids) -> logits``, where ids is a list that begins with bos; ``batched_beam_search`` finds the sequences
of ``beam_search`` for many sentences at once, through a function over tensors.
"""

from collections.abc import Callable

import torch
from torch import Tensor

Hypothesis = tuple[float, list[int]]  # log p and the produced ids


def greedy_decode(step: Callable[[list[int]], Tensor], bos_id: int, eos_id: int, max_len: int) -> list[int]:
    """Take the likeliest token again and again, until it is eos or there are ``max_len`` of them.

    Args:
        step: from the ids so far (bos first) to the next token's logits [V].
        max_len: most tokens produced; eos counts, bos does not.

    Returns:
        The produced ids: without bos, with eos if it was reached.
    """
    ids = [bos_id]
    while len(ids) <= max_len:
        ids.append(int(step(list(ids)).argmax()))
        if ids[-1] == eos_id:
            break
    return ids[1:]


def beam_search(
    step: Callable[[list[int]], Tensor],
    bos_id: int,
    eos_id: int,
    beam_size: int,
    max_len: int,
    length_penalty: float,
    observe: Callable[[list[Hypothesis], list[Hypothesis]], None] | None = None,
) -> list[int]:
    """Keep the ``beam_size`` likeliest beginnings instead of one.

    Each step extends every live hypothesis by every token and keeps the ``beam_size`` best extensions by log p. Those
    that end are set aside and free their place. When none is live, or at ``max_len``, all compete by
    log p / length ** length_penalty, where the length counts eos and not bos.

    Args:
        step: from the ids so far (bos first) to the next token's logits [V].
        max_len: most tokens produced; eos counts, bos does not.
        observe: called after each step with the extensions that were compared, best first, and those that were kept.

    Returns:
        The best hypothesis: without bos, with eos if it was reached.
    """
    live: list[Hypothesis] = [(0.0, [])]
    ended: list[Hypothesis] = []
    for _ in range(max_len):
        extensions = []
        for log_p, ids in live:
            next_log_p = step([bos_id, *ids]).double().log_softmax(-1)
            best = next_log_p.topk(min(beam_size, len(next_log_p)))
            extensions += [(log_p + p, [*ids, token]) for p, token in zip(*map(Tensor.tolist, best), strict=True)]
        extensions.sort(key=lambda extension: extension[0], reverse=True)
        kept = extensions[:beam_size]
        if observe is not None:
            observe(extensions, kept)
        ended += [hypothesis for hypothesis in kept if hypothesis[1][-1] == eos_id]
        live = [hypothesis for hypothesis in kept if hypothesis[1][-1] != eos_id]
        if not live:
            break
    return max(ended + live, key=lambda hypothesis: hypothesis[0] / len(hypothesis[1]) ** length_penalty)[1]


def top_k_filter(probabilities: Tensor, k: int) -> Tensor:
    """Keep the ``k`` likeliest tokens (Fan et al. 2018): probabilities [V] -> [V], 0 elsewhere, summing to 1.

    Raises:
        ValueError: ``k`` is less than 1.
    """
    if k < 1:
        raise ValueError(f"top_k={k}: at least 1 token must be kept")
    best = probabilities.topk(min(k, len(probabilities))).indices
    kept = torch.zeros_like(probabilities).scatter(0, best, probabilities[best])
    return kept / kept.sum()


def top_p_filter(probabilities: Tensor, p: float) -> Tensor:
    """Keep the smallest set of tokens whose probabilities add up to ``p`` or more (Holtzman et al. 2020, eq. 2).

    Args:
        probabilities: [V], summing to 1.
        p: 0 < p ≤ 1.

    Returns:
        [V]: what was kept, divided by its sum; 0 elsewhere.

    Raises:
        ValueError: ``p`` is out of range.
    """
    if not 0.0 < p <= 1.0:
        raise ValueError(f"top_p={p} must be above 0 and at most 1")
    best_first, order = probabilities.sort(descending=True, stable=True)
    mass_before = best_first.cumsum(0).roll(1)  # of the tokens that are likelier
    mass_before[0] = 0.0
    kept = torch.zeros_like(probabilities).scatter(0, order, best_first * (mass_before < p))
    return kept / kept.sum()


def next_distribution(logits: Tensor, temperature: float = 1.0, top_k: int | None = None, top_p: float = 1.0) -> Tensor:
    """What a sampler draws from: softmax(logits / temperature), then top-k, then top-p; logits [V] -> [V].

    A temperature below 1 sharpens, one above 1 flattens.

    Raises:
        ValueError: an argument is out of range.
    """
    if not temperature > 0.0:
        raise ValueError(f"temperature={temperature} must be positive; for its limit 0 there is greedy_decode")
    probabilities = (logits / temperature).softmax(-1)
    if top_k is not None:
        probabilities = top_k_filter(probabilities, top_k)
    return top_p_filter(probabilities, top_p)


def sample_decode(
    step: Callable[[list[int]], Tensor],
    bos_id: int,
    eos_id: int,
    max_len: int,
    temperature: float = 1.0,
    top_k: int | None = None,
    top_p: float = 1.0,
    generator: torch.Generator | None = None,
) -> list[int]:
    """Draw each next token at random from ``next_distribution``; otherwise as ``greedy_decode``."""
    ids = [bos_id]
    while len(ids) <= max_len:
        probabilities = next_distribution(step(list(ids)), temperature, top_k, top_p)
        ids.append(int(torch.multinomial(probabilities, 1, generator=generator)))
        if ids[-1] == eos_id:
            break
    return ids[1:]


def batched_beam_search(
    step: Callable[[Tensor, Tensor, Tensor], Tensor],
    n_sentences: int,
    bos_id: int,
    eos_id: int,
    beam_size: int,
    max_lens: list[int],
    length_penalty: float,
) -> list[list[int]]:
    """``beam_search`` for many sentences at once; every sentence gets what it would get alone.

    A sentence is done early only where that cannot change its result: when the best live hypothesis could not beat
    the best ended one even if all its further tokens were certain.

    Args:
        step: from prefixes [N, T] (bos first), the sentence each belongs to [N], and the row of the step before that
            each continues [N] (for a cache), to next-token logits [N, V].
        n_sentences: how many sentences are searched for.
        max_lens: for each sentence the most tokens produced.

    Returns:
        For each sentence the ids: without bos, with eos if it was reached.
    """
    best: list[tuple[float, list[int]]] = [(-torch.inf, [])] * n_sentences
    owner = torch.arange(n_sentences)  # [N] the sentence of each live hypothesis, in order of sentence and log p
    log_p = torch.zeros(n_sentences, dtype=torch.float64)  # [N]
    prefix = torch.full((n_sentences, 1), bos_id)  # [N, T]
    parent = torch.arange(n_sentences)  # [N]

    for length in range(1, max(max_lens) + 1):
        logits = step(prefix, owner, parent)
        k = min(beam_size, logits.shape[-1])
        top, token = logits.topk(k)  # [N, k]
        top = (top - logits.logsumexp(-1, keepdim=True)).cpu()  # log p of these alone: V is large, k is small
        top, token = log_p[:, None] + top, token.cpu()

        # Sort all extensions by sentence, then by log p, and keep the first beam_size of each sentence.
        flat_owner, flat_p = owner.repeat_interleave(k), top.flatten()
        order = flat_p.argsort(descending=True, stable=True)
        order = order[flat_owner[order].argsort(stable=True)]
        sorted_owner = flat_owner[order]
        first = torch.searchsorted(sorted_owner, sorted_owner)  # where each sentence's extensions begin
        kept = order[torch.arange(len(order)) - first < beam_size]

        owner, log_p, parent = flat_owner[kept], flat_p[kept], kept // k
        prefix = torch.cat([prefix[parent], token.flatten()[kept, None]], dim=1)
        score = log_p / length**length_penalty
        max_len = torch.tensor([max_lens[sentence] for sentence in owner.tolist()])
        finished = (prefix[:, -1] == eos_id) | (max_len <= length)
        for row in finished.nonzero().flatten().tolist():
            sentence = int(owner[row])
            if score[row] > best[sentence][0]:
                best[sentence] = (float(score[row]), prefix[row, 1:].tolist())

        # The highest score a live hypothesis can still reach: its log p at the greatest length.
        reachable = log_p / max_len.double() ** length_penalty
        leading = torch.tensor([best[sentence][0] for sentence in owner.tolist()], dtype=torch.float64)
        hopeful = torch.zeros(n_sentences, dtype=torch.bool)
        hopeful[owner[~finished & (reachable > leading)]] = True
        live = ~finished & hopeful[owner]
        if not live.any():
            break
        owner, log_p, prefix, parent = owner[live], log_p[live], prefix[live], parent[live]
    return [ids for _, ids in best]
