"""Additive attention, the decoder that looks back, and the toy task on letters."""

import pytest
import torch
from torch import nn

from course_lib import additive, letters
from course_lib.additive import AdditiveAttention, AttentionSeq2Seq
from course_lib.recording import record_attention
from course_lib.recurrent import BottleneckSeq2Seq


@pytest.fixture(autouse=True)
def seeded():
    torch.manual_seed(0)


# ---- scores ----------------------------------------------------------------------------------------------------------
def test_additive_scores_are_those_of_a_loop():
    b, t_k, d_q, d_k, d_a = 2, 5, 3, 4, 6
    query, keys = torch.randn(b, d_q), torch.randn(b, t_k, d_k)
    w_q, w_k, v = torch.randn(d_q, d_a), torch.randn(d_k, d_a), torch.randn(d_a)
    scores = additive.additive_scores(query, keys, w_q, w_k, v)
    for i in range(b):
        for j in range(t_k):
            hidden = [
                torch.tanh((query[i] * w_q[:, a]).sum() + (keys[i, j] * w_k[:, a]).sum()).item() for a in range(d_a)
            ]
            assert scores[i, j].item() == pytest.approx(sum(x * y for x, y in zip(hidden, v.tolist())), abs=1e-5)


def test_dot_and_general_scores():
    query, keys, w = torch.randn(2, 3), torch.randn(2, 5, 4), torch.randn(3, 4)
    torch.testing.assert_close(additive.general_scores(query, keys, w), torch.einsum("bq,qk,bjk->bj", query, w, keys))
    query = torch.randn(2, 4)
    torch.testing.assert_close(additive.dot_scores(query, keys), (query[:, None] * keys).sum(-1))


def test_masked_softmax_is_a_softmax_of_what_is_allowed():
    scores = 3 * torch.randn(4, 3, 5)
    mask = torch.rand(3, 5) > 0.4
    mask[1], mask[2, 0] = False, True
    weights = additive.masked_softmax(scores, mask)
    assert (weights[:, 1] == 0).all()
    for i in (0, 2):
        torch.testing.assert_close(weights[:, i, mask[i]], scores[:, i, mask[i]].softmax(-1))
        assert (weights[:, i, ~mask[i]] == 0).all()
    torch.testing.assert_close(additive.masked_softmax(scores), scores.softmax(-1))


def test_masked_softmax_of_nothing_has_no_gradient_and_no_nan():
    scores = torch.randn(2, 4, requires_grad=True)
    mask = torch.tensor([[False] * 4, [True] * 4])
    (additive.masked_softmax(scores, mask) * torch.randn(2, 4)).sum().backward()
    assert (scores.grad[0] == 0).all() and scores.grad[1].abs().sum() > 0


# ---- one attention ---------------------------------------------------------------------------------------------------
def test_attention_is_a_weighted_sum_of_the_keys():
    module = AdditiveAttention(d_query=3, d_keys=4, d_attention=6)
    query, keys = torch.randn(2, 3), torch.randn(2, 5, 4)
    mask = torch.tensor([[True] * 5, [True, True, False, True, False]])
    with record_attention(module) as maps:
        context = module(query, keys, mask)
    weights = maps[""]
    assert weights.shape == (2, 1, 1, 5) and (weights[~mask[:, None, None]] == 0).all()
    torch.testing.assert_close(weights.sum(-1), torch.ones(2, 1, 1))
    torch.testing.assert_close(context, (weights[:, 0, 0, :, None] * keys).sum(1))
    scores = additive.additive_scores(query, keys, module.w_q, module.w_k, module.v)
    torch.testing.assert_close(weights[:, 0, 0], additive.masked_softmax(scores, mask))


def test_padding_changes_nothing_and_nobody_gets_zeros():
    module = AdditiveAttention(3, 4, 6)
    query, keys = torch.randn(2, 3), torch.randn(2, 5, 4)
    keep = torch.arange(5).expand(2, 5) < 3
    torch.testing.assert_close(module(query, keys, keep), module(query, keys[:, :3]))
    assert (module(query, keys, torch.zeros(2, 5, dtype=torch.bool)) == 0).all()


def test_without_tanh_the_query_would_cancel():
    query, keys, v = torch.randn(2, 1, 6), torch.randn(1, 5, 6), torch.randn(6)
    one, other = ((query + keys) @ v).softmax(-1)
    torch.testing.assert_close(one, other)
    one, other = (torch.tanh(query + keys) @ v).softmax(-1)
    assert (one - other).abs().max() > 1e-3


# ---- the decoder -----------------------------------------------------------------------------------------------------
def test_seq2seq_is_the_equations_step_by_step():
    model = AttentionSeq2Seq(source_vocab=9, target_vocab=11, d_model=6)
    source, target_in = torch.tensor([[3, 5, 8, 2, 0], [4, 2, 6, 7, 5]]), torch.tensor([[1, 4, 9], [1, 10, 3]])
    with record_attention(model) as maps:
        logits = model(source, target_in)
    assert logits.shape == (2, 3, 11) and set(maps) == {"decoder.cross_attention"}
    alignment = maps["decoder.cross_attention"]
    assert alignment.shape == (2, 1, 3, 5) and (alignment[0, ..., -1] == 0).all() and (alignment[1] > 0).all()

    decoder, attend = model.decoder, model.decoder.cross_attention
    memory, last = model.encoder(source)
    state = torch.tanh(decoder.start(last))
    for i in range(3):
        scores = additive.additive_scores(state, memory, attend.w_q, attend.w_k, attend.v)
        weights = scores.masked_fill(source == 0, -torch.inf).softmax(-1)
        torch.testing.assert_close(alignment[:, 0, i], weights)
        context = torch.einsum("bj,bjd->bd", weights, memory)
        token = decoder.embedding(target_in[:, i])
        state = decoder.cell(torch.cat([token, context], -1), state)
        torch.testing.assert_close(logits[:, i], decoder.output(torch.cat([state, context, token], -1)))


def test_seq2seq_is_causal_and_ignores_padding():
    model = AttentionSeq2Seq(9, 11, 6)
    source, target_in = torch.tensor([[3, 5, 8, 2]]), torch.tensor([[1, 4, 9, 6, 2]])
    logits = model(source, target_in)
    other = target_in.clone()
    other[0, 3] = 8
    moved = (model(source, other) - logits).abs().amax(-1)[0]
    assert (moved[:3] == 0).all() and (moved[3:] > 0).all()
    padded = torch.cat([source, torch.zeros(1, 3, dtype=torch.long)], 1)
    torch.testing.assert_close(model(padded, target_in), logits)


def test_every_parameter_learns():
    model = AttentionSeq2Seq(9, 11, 6)
    model(torch.tensor([[3, 5, 8, 2]]), torch.tensor([[1, 4, 9]])).square().sum().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in model.parameters())


# ---- words spelled backwards -----------------------------------------------------------------------------------------
def test_words_and_ids():
    assert letters.to_word(letters.to_ids("planet").tolist()) == "planet"
    assert letters.to_ids("az").tolist() == [2, 27] and letters.to_word([1, 2, 0]) == "·a·"
    ids = letters.to_ids("abc")[None]
    assert letters.to_word(letters.reverse(ids)[0].tolist()) == "cba" and letters.copy(ids) is ids
    assert letters.shifted(ids).tolist() == [[1, 2, 3]]
    words = letters.random_words(300, 7, torch.Generator().manual_seed(0))
    assert words.shape == (300, 7) and words.unique().tolist() == list(range(2, letters.VOCAB_SIZE))


@pytest.mark.parametrize(("word", "message"), [("", "one letter or more"), ("Ab c", "not ' A'")])
def test_what_is_no_word_is_named(word, message):
    with pytest.raises(ValueError, match=message):
        letters.to_ids(word)


class Oracle(nn.Module):
    """Writes every word backwards."""

    def forward(self, source, target_in):
        target = source.flip(1)[:, : target_in.shape[1]]
        return nn.functional.one_hot(target, letters.VOCAB_SIZE).float()


def test_accuracy_and_writing_of_a_perfect_model():
    assert letters.accuracy(Oracle(), (2, 5)) == {2: 1.0, 5: 1.0}
    assert letters.write(Oracle(), "planet") == "tenalp"
    copied = letters.accuracy(Oracle(), (9,), letters.copy)[9]
    assert 1 / 9 <= copied < 0.2  # the letter in the middle, and chance


@pytest.mark.parametrize("kind", [BottleneckSeq2Seq, AttentionSeq2Seq])
def test_short_words_are_learned(kind):
    model = letters.train(kind(letters.VOCAB_SIZE, letters.VOCAB_SIZE, 24), longest=3, steps=150)
    assert letters.accuracy(model, (2,))[2] > 0.8
    assert not model.training


def test_training_is_repeatable():
    runs = []
    for seed in (3, 3, 4):
        torch.manual_seed(3)
        model = letters.train(AttentionSeq2Seq(letters.VOCAB_SIZE, letters.VOCAB_SIZE, 8), steps=4, seed=seed)
        runs.append(torch.cat([p.flatten() for p in model.parameters()]))
    assert torch.equal(runs[0], runs[1]) and not torch.equal(runs[0], runs[2])
