"""Sentence pairs as tensors: padding, and batches of pairs of like length."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from course_lib.corpora.pairs import Pair
from course_lib.tokenizer import SubwordSampler, Tokenizer

POOL = 32_768  # examples sorted by length together


def pad_batch(sequences: Sequence[Sequence[int]], pad_id: int) -> tuple[Tensor, Tensor]:
    """Sequences of different lengths as one rectangle, padded on the right.

    Returns ids [B, T] and lengths [B], both int64; T is the longest length.
    """
    lengths = np.array([len(sequence) for sequence in sequences], dtype=np.int64)
    width = lengths.max(initial=0)
    ids = np.full((len(sequences), width), pad_id, dtype=np.int64)
    for row, sequence in zip(ids, sequences):
        row[: len(sequence)] = sequence
    return torch.from_numpy(ids), torch.from_numpy(lengths)


@dataclass(frozen=True)
class Example:
    """One pair as ids: the source ends with the end token; the target has neither beginning nor end."""

    source_ids: list[int]
    target_ids: list[int]


@dataclass(frozen=True, eq=False)
class Batch:
    """What one training step needs; int64, padded on the right.

    The decoder reads `target_in` (beginning, then the words) and must predict `target_out` (the words, then end), so
    that at every place its answer is the token that comes next.
    """

    source: Tensor  # [B, Ts]
    target_in: Tensor  # [B, Tt]
    target_out: Tensor  # [B, Tt]
    n_tokens: int  # tokens to predict: those of target_out that are not padding

    def to(self, device: torch.device | str) -> "Batch":
        """The same batch on another device."""
        return Batch(self.source.to(device), self.target_in.to(device), self.target_out.to(device), self.n_tokens)


def encode_pairs(
    pairs: Sequence[Pair], tokenizer: Tokenizer | SubwordSampler, max_len: int
) -> tuple[list[Example], int]:
    """Pairs as examples, and how many were left out because a side is longer than `max_len`, its end token counted."""
    sources = tokenizer.encode_batch([pair.source for pair in pairs])
    targets = tokenizer.encode_batch([pair.target for pair in pairs])
    examples = [
        Example([*source, tokenizer.eos_id], target)
        for source, target in zip(sources, targets)
        if len(source) < max_len and len(target) < max_len
    ]
    return examples, len(pairs) - len(examples)


class BucketedBatches(Sequence[Batch]):
    """The batches of one epoch: their number is known at once, their tensors are made when asked for."""

    def __init__(self, examples: Sequence[Example], rows: Sequence[np.ndarray], pad_id: int, bos_id: int, eos_id: int):
        self._examples, self._rows = examples, rows
        self._pad_id, self._bos_id, self._eos_id = pad_id, bos_id, eos_id

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, index: int) -> Batch:
        return self._batch(self._rows[index])

    def part(self, index: int, part: int, parts: int) -> Batch:
        """One of the ``parts`` that batch ``index`` falls into, counted from 0: they share its rows out among them.

        A part that gets none is a row without a token to predict, so that every part can be computed alike.
        """
        rows = self._rows[index][part::parts]
        if len(rows):
            return self._batch(rows)
        nothing = torch.full((1, 1), self._pad_id)
        return Batch(nothing, torch.full((1, 1), self._bos_id), nothing, 0)

    def n_tokens(self, index: int) -> int:
        """How many tokens batch ``index`` predicts."""
        return sum(len(self._examples[i].target_ids) + 1 for i in self._rows[index])

    def _batch(self, rows: np.ndarray) -> Batch:
        chosen = [self._examples[i] for i in rows]
        source, _ = pad_batch([example.source_ids for example in chosen], self._pad_id)
        target_in, lengths = pad_batch([[self._bos_id, *example.target_ids] for example in chosen], self._pad_id)
        target_out, _ = pad_batch([[*example.target_ids, self._eos_id] for example in chosen], self._pad_id)
        return Batch(source, target_in, target_out, int(lengths.sum()))

    def __iter__(self) -> Iterator[Batch]:
        return (self[i] for i in range(len(self)))


def bucketed_batches(
    examples: Sequence[Example],
    max_tokens: int,
    *,
    pad_id: int,
    bos_id: int,
    eos_id: int,
    seed: int = 0,
    epoch: int = 0,
    shuffle: bool = True,
) -> BucketedBatches:
    """Every example once, in batches of like lengths: neither side of a batch has more than `max_tokens` places.

    Places are counted with the padding: rows times the longest row. The examples are shuffled, sorted by length within
    large pools, cut, and the batches shuffled; half of them, chosen anew each time, are sorted as if their target were
    one longer, so that not always the same sentences meet. `seed` and `epoch` decide it all. Without `shuffle` the
    batches come in order of length.

    Raises ValueError for an example that is longer than `max_tokens`.
    """
    source = np.array([len(example.source_ids) for example in examples], dtype=np.int64)
    target = np.array([len(example.target_ids) for example in examples], dtype=np.int64) + 1  # with bos, or eos
    longest = np.maximum(source, target)
    if len(examples) and longest.max() > max_tokens:
        raise ValueError(f"example {longest.argmax()} has {longest.max()} tokens: more than max_tokens={max_tokens}")

    random = np.random.default_rng([seed, epoch])
    order, sort_length = np.arange(len(examples)), target
    if shuffle:
        order, sort_length = random.permutation(order), target + random.integers(0, 2, len(target))
    pool_size = POOL if shuffle else max(1, len(examples))
    rows = []
    for start in range(0, len(order), pool_size):
        pool = order[start : start + pool_size]
        # Sources go up and down in turn, so that a batch with targets of two lengths still has like sources.
        zigzag = np.where(sort_length[pool] % 2, source[pool], -source[pool])
        rows += _cut(pool[np.lexsort((zigzag, sort_length[pool]))], source, target, max_tokens)
    if shuffle:
        rows = [rows[i] for i in random.permutation(len(rows))]
    return BucketedBatches(examples, rows, pad_id, bos_id, eos_id)


def _cut(order: np.ndarray, source: np.ndarray, target: np.ndarray, max_tokens: int) -> list[np.ndarray]:
    rows, start, widest = [], 0, 0
    for i, (s, t) in enumerate(zip(source[order].tolist(), target[order].tolist())):
        widest_with = max(widest, s, t)
        if (i + 1 - start) * widest_with > max_tokens:
            rows.append(order[start:i])
            start, widest_with = i, max(s, t)
        widest = widest_with
    if start < len(order):
        rows.append(order[start:])
    return rows


def padding_share(batches: Iterable[Batch], pad_id: int = 0) -> float:
    """The share of places in source and target that are padding, between 0 and 1."""
    places = padding = 0
    for batch in batches:
        for ids in (batch.source, batch.target_out):
            places += ids.numel()
            padding += int((ids == pad_id).sum())
    return padding / places if places else 0.0
