"""From a model's next-token logits to a sequence: greedy and beam search.

Nothing in here knows a model. ``greedy_decode`` and ``beam_search`` search for one sequence through a function
``step(ids) -> logits``, where ids is a list that begins with bos; ``batched_beam_search`` finds the same sequences for
many sentences at once, through a function over tensors.
"""

from collections.abc import Callable

import torch
from torch import Tensor


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
) -> list[int]:
    """Keep the ``beam_size`` likeliest beginnings instead of one.

    Each step extends every live hypothesis by every token and keeps the ``beam_size`` best extensions by log p. Those
    that end are set aside and free their place. When none is live, or at ``max_len``, all compete by
    log p / length ** length_penalty, where the length counts eos and not bos.

    Args:
        step: from the ids so far (bos first) to the next token's logits [V].
        max_len: most tokens produced; eos counts, bos does not.

    Returns:
        The best hypothesis: without bos, with eos if it was reached.
    """
    live: list[tuple[float, list[int]]] = [(0.0, [])]  # log p and the produced ids
    ended: list[tuple[float, list[int]]] = []
    for _ in range(max_len):
        extensions = []
        for log_p, ids in live:
            next_log_p = step([bos_id, *ids]).double().log_softmax(-1)
            best = next_log_p.topk(min(beam_size, len(next_log_p)))
            extensions += [(log_p + p, [*ids, token]) for p, token in zip(*map(Tensor.tolist, best), strict=True)]
        extensions.sort(key=lambda extension: extension[0], reverse=True)
        kept = extensions[:beam_size]
        ended += [hypothesis for hypothesis in kept if hypothesis[1][-1] == eos_id]
        live = [hypothesis for hypothesis in kept if hypothesis[1][-1] != eos_id]
        if not live:
            break
    return max(ended + live, key=lambda hypothesis: hypothesis[0] / len(hypothesis[1]) ** length_penalty)[1]


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
        top, token = logits.double().log_softmax(-1).topk(k)  # [N, k]
        top, token = log_p[:, None] + top.cpu(), token.cpu()

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
