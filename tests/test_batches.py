"""Padding and bucketed batches."""

import time

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn.utils.rnn import pad_sequence

from course_lib.batches import Example, bucketed_batches, encode_pairs, pad_batch, padding_share
from course_lib.corpora.pairs import Pair
from course_lib.tokenizer import Tokenizer

busy = settings(deadline=None, max_examples=60)  # no time limit: the machine may be busy

PAD, BOS, EOS = 0, 1, 2
IDS = {"pad_id": PAD, "bos_id": BOS, "eos_id": EOS}


def example(source_length, target_length, first=10):
    return Example([*range(first, first + source_length - 1), EOS], list(range(first, first + target_length)))


lengths = st.lists(st.tuples(st.integers(1, 30), st.integers(0, 30)), max_size=60)


def numbered(lengths):
    """Examples that can be told apart: number i is written in the first token of the source and of the target."""
    return [Example([100 + i] * s + [EOS], [100 + i] * (t + 1)) for i, (s, t) in enumerate(lengths)]


def numbers(batch):
    return (batch.source[:, 0] - 100).tolist()


@busy
@given(st.lists(st.lists(st.integers(1, 99), min_size=1, max_size=9), min_size=1, max_size=7), st.integers(-1, 0))
def test_pad_batch_equals_torch(sequences, pad_id):
    ids, sizes = pad_batch(sequences, pad_id)
    expected = pad_sequence([torch.tensor(s) for s in sequences], batch_first=True, padding_value=pad_id)
    assert torch.equal(ids, expected) and ids.dtype == torch.int64
    assert sizes.tolist() == [len(s) for s in sequences] and sizes.dtype == torch.int64


def test_pad_batch_of_nothing_and_of_empty_sequences():
    ids, sizes = pad_batch([], PAD)
    assert ids.shape == (0, 0) and sizes.shape == (0,)
    ids, sizes = pad_batch([[], [5, 6], []], 7)
    assert ids.tolist() == [[7, 7], [5, 6], [7, 7]] and sizes.tolist() == [0, 2, 0]


def test_pad_batch_leaves_its_arguments_alone():
    sequences = [[1, 2, 3], [4]]
    ids, _ = pad_batch(sequences, PAD)
    ids[0, 0] = 99
    assert sequences == [[1, 2, 3], [4]]


def test_a_batch_predicts_the_next_token():
    (batch,) = bucketed_batches([Example([7, 8, EOS], [5, 6]), Example([9, EOS], [4])], 100, **IDS, shuffle=False)
    rows = {tuple(row) for row in torch.cat([batch.source, batch.target_in, batch.target_out], 1).tolist()}
    assert rows == {(7, 8, EOS, BOS, 5, 6, 5, 6, EOS), (9, EOS, PAD, BOS, 4, PAD, 4, EOS, PAD)}
    assert batch.n_tokens == 5  # 5 6 EOS and 4 EOS


@busy
@given(lengths, st.integers(32, 200), st.integers(0, 3), st.booleans())
def test_every_example_once_and_never_too_many_tokens(lengths, max_tokens, seed, shuffle):
    examples = numbered(lengths)
    batches = list(bucketed_batches(examples, max_tokens, **IDS, seed=seed, shuffle=shuffle))
    assert sorted(i for batch in batches for i in numbers(batch)) == list(range(len(examples)))
    for batch in batches:
        assert batch.source.numel() <= max_tokens and batch.target_in.numel() <= max_tokens
        assert batch.target_in.shape == batch.target_out.shape
        assert batch.n_tokens == int((batch.target_out != PAD).sum()) == int((batch.target_in != PAD).sum())
        for row, i in enumerate(numbers(batch)):
            source, target = examples[i].source_ids, examples[i].target_ids
            assert batch.source[row, : len(source)].tolist() == source
            assert batch.target_in[row, : len(target) + 1].tolist() == [BOS, *target]
            assert batch.target_out[row, : len(target) + 1].tolist() == [*target, EOS]


def test_the_limit_is_reached_and_not_passed():
    for side in ((7, 2), (2, 7)):  # the longer side decides
        batches = bucketed_batches([example(side[0], side[1] - 1)] * 9, 28, **IDS)
        assert sorted(len(batch.source) for batch in batches) == [1, 4, 4]
        batches = bucketed_batches([example(side[0], side[1] - 1)] * 9, 27, **IDS)
        assert [len(batch.source) for batch in batches] == [3, 3, 3]


@busy
@given(lengths.filter(lambda it: len(it) >= 8), st.integers(1, 8), st.integers(0, 2))
def test_parts_share_out_each_batch(lengths, parts, epoch):
    batches = bucketed_batches(numbered(lengths), 100, **IDS, seed=3, epoch=epoch)
    for index, batch in enumerate(batches):
        shares = [batches.part(index, part, parts) for part in range(parts)]
        rows = [row for share in shares if share.n_tokens for row in numbers(share)]
        assert sorted(rows) == sorted(numbers(batch))
        assert sum(share.n_tokens for share in shares) == batch.n_tokens == batches.n_tokens(index)
        assert all((share.target_out != IDS["pad_id"]).sum() == share.n_tokens for share in shares)


def composition(batches):
    return [numbers(batch) for batch in batches]


def test_seed_and_epoch_decide_everything():
    examples = numbered([(i % 7 + 1, i % 11) for i in range(500)])

    def plan(seed, epoch):
        return composition(bucketed_batches(examples, 60, **IDS, seed=seed, epoch=epoch))

    assert plan(1, 2) == plan(1, 2)
    for other in (plan(1, 3), plan(2, 2)):
        assert other != plan(1, 2)
        assert {frozenset(b) for b in other} != {frozenset(b) for b in plan(1, 2)}  # not only the order changes


def test_not_always_the_same_sentences_meet():
    examples = numbered([(3, i) for i in range(200)])  # without ties, sorting alone would give the same neighbours
    first, second = (
        {frozenset(b) for b in composition(bucketed_batches(examples, 400, **IDS, epoch=epoch))} for epoch in (0, 1)
    )
    assert len(first - second) > len(first) / 5


def test_without_shuffling_lengths_rise():
    examples = numbered([(i % 7 + 1, (i * 13) % 29) for i in range(200)])
    widths = [batch.target_in.shape[1] for batch in bucketed_batches(examples, 90, **IDS, shuffle=False)]
    assert widths == sorted(widths)
    shuffled = [batch.target_in.shape[1] for batch in bucketed_batches(examples, 90, **IDS)]
    assert shuffled != sorted(shuffled)


def test_lengths_of_a_batch_are_alike():
    generator = torch.Generator().manual_seed(0)
    sizes = torch.randint(3, 40, (5000,), generator=generator)
    noise = torch.randint(-2, 3, (5000,), generator=generator)
    examples = numbered(list(zip(sizes.tolist(), (sizes + noise).tolist())))
    share = padding_share(bucketed_batches(examples, 1000, **IDS))
    in_order = padding_share(
        batch for i in range(0, 5000, 25) for batch in bucketed_batches(examples[i : i + 25], 10**6, **IDS)
    )
    assert share < 0.08 < 0.3 < in_order


def test_padding_share_counts_both_sides():
    (batch,) = bucketed_batches([example(5, 2), example(2, 4)], 100, **IDS)
    # source: 10 places, 3 of them padding; target: 2 rows of 5 places, 2 of them padding
    assert padding_share([batch]) == pytest.approx(5 / 20)
    assert padding_share([]) == 0.0


def test_batches_know_their_number_and_can_be_read_twice():
    batches = bucketed_batches(numbered([(3, 3)] * 20), 20, **IDS)
    assert len(batches) == len(list(batches)) == 5
    assert composition(batches) == composition(batches)
    assert numbers(batches[-1]) == composition(batches)[-1]
    with pytest.raises(IndexError):
        batches[5]


def test_what_cannot_be_done_is_named():
    with pytest.raises(ValueError, match=r"example 1 has 41 tokens: more than max_tokens=40"):
        bucketed_batches([example(3, 3), example(3, 40)], 40, **IDS)
    assert len(bucketed_batches([example(40, 39)], 40, **IDS)) == 1
    assert list(bucketed_batches([], 40, **IDS)) == []


def test_encode_pairs_adds_the_end_and_counts_what_is_too_long():
    tokenizer = Tokenizer.train_words(["a b c d e", "v w x y z"])
    pairs = [Pair("a b", "v w x"), Pair("a b c d e", "v"), Pair("a", "v w x y z"), Pair("a b c", "v w x")]
    pairs += [Pair("a b c d", "v"), Pair("a", "v w x y")]  # one too long, with the end token
    examples, dropped = encode_pairs(pairs, tokenizer, max_len=4)
    assert dropped == 4
    assert examples == [
        Example([*tokenizer.encode("a b"), EOS], tokenizer.encode("v w x")),
        Example([*tokenizer.encode("a b c"), EOS], tokenizer.encode("v w x")),
    ]
    assert encode_pairs([], tokenizer, max_len=4) == ([], 0)


def test_a_batch_moves_as_a_whole_and_is_frozen():
    (batch,) = bucketed_batches([example(3, 3)], 40, **IDS)
    moved = batch.to("meta")
    assert {t.device.type for t in (moved.source, moved.target_in, moved.target_out)} == {"meta"}
    assert moved.n_tokens == batch.n_tokens
    with pytest.raises(AttributeError):
        batch.source = batch.target_in


def test_planning_costs_next_to_nothing_beside_the_tensors():
    examples = numbered([(i % 30 + 1, (i * 7) % 30) for i in range(29_000)])
    start = time.process_time()
    batches = bucketed_batches(examples, 1000, **IDS)
    planned = time.process_time()
    list(batches)
    assert planned - start < max(0.5, time.process_time() - planned)
