"""Losses, schedules, searches and scores against independent authorities: PyTorch, sacreBLEU, exhaustive search."""

import itertools
import math

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from sacrebleu.metrics import BLEU

from course_lib import losses
from course_lib.decoding import (
    batched_beam_search,
    beam_search,
    greedy_decode,
    next_distribution,
    sample_decode,
    top_k_filter,
    top_p_filter,
)
from course_lib.evaluation import alignment_error_rate, bleu, corpus_scores, perplexity
from course_lib.losses import linear_cross_entropy, smoothed_cross_entropy
from course_lib.schedules import noam_rate, warmup_linear_rate

BOS, EOS, V = 1, 2, 7


@pytest.mark.parametrize("smoothing", [0.0, 0.1, 0.4])
def test_loss_equals_torch(smoothing):
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(3, 5, V, generator=generator, requires_grad=True)
    targets = torch.randint(0, V, (3, 5), generator=generator)
    ours = smoothed_cross_entropy(logits, targets, smoothing, 0)
    theirs = F.cross_entropy(logits.flatten(0, 1), targets.flatten(), ignore_index=0, label_smoothing=smoothing)
    torch.testing.assert_close(ours, theirs)
    torch.testing.assert_close(*(torch.autograd.grad(loss, logits)[0] for loss in (ours, theirs)))
    assert ours.dim() == 0


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("precision", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("n", [0, 1, 11])
def test_loss_without_the_logits_is_the_same(n, precision, smoothing, monkeypatch):
    monkeypatch.setattr(losses, "CHUNK", 4 * V)  # 11 tokens: chunks of 4, 4 and 3
    generator = torch.Generator().manual_seed(0)
    states, weight = (torch.randn(size, 16, generator=generator, requires_grad=True) for size in (n, V))
    targets = torch.randint(1, V, (n,), generator=generator)
    with torch.autocast("cpu", torch.bfloat16, enabled=precision == torch.bfloat16):
        ours = linear_cross_entropy(states, weight, targets, smoothing)
        logits = (states @ weight.T).float()
    theirs = smoothed_cross_entropy(logits[None], targets[None], smoothing, 0) * n if n else logits.sum()
    tolerance = dict(atol=1e-5, rtol=1e-4) if precision == torch.float32 else dict(atol=0.05, rtol=0.02)
    torch.testing.assert_close(ours, theirs, **tolerance)
    for mine, other in zip(*(torch.autograd.grad(3 * loss, (states, weight)) for loss in (ours, theirs)), strict=True):
        torch.testing.assert_close(mine, other, **tolerance)


def test_schedules():
    assert noam_rate(4000, 512, 4000) == pytest.approx(6.99e-4, rel=1e-3)
    assert max(range(1, 300), key=lambda step: noam_rate(step, 64, 100)) == 100
    rates = [warmup_linear_rate(step, (step - 1) / 100, 1.0, 10) for step in range(1, 101)]
    assert rates[0] == 0.1 and max(rates) == rates[9] == pytest.approx(0.91) and rates[-1] == pytest.approx(0.01)
    assert warmup_linear_rate(5, 0.5, 1.0, 0) == 0.5 and warmup_linear_rate(5, 1.2, 1.0, 0) == 0.0


def language_model(seed: int):
    """A step function whose logits depend on the whole prefix; no ties."""

    def step(ids: list[int]) -> torch.Tensor:
        generator = torch.Generator().manual_seed(hash((seed, *ids)) % 2**31)
        logits = torch.randn(V, generator=generator) * 2
        logits[[0, BOS]] = -20.0
        return logits

    return step


def score(step, ids: list[int], penalty: float) -> float:
    log_p = sum(float(step([BOS, *ids[:i]]).double().log_softmax(-1)[token]) for i, token in enumerate(ids))
    return log_p / len(ids) ** penalty


def plain_beam_search(step, beam_size, max_len, penalty):
    """The contract once more, by brute force over every token: another way of writing the same search."""
    live, pool = [([], 0.0)], []
    for _ in range(max_len):
        extensions = {}
        for ids, log_p in live:
            for token, p in enumerate(step([BOS, *ids]).double().log_softmax(-1).tolist()):
                extensions[(*ids, token)] = log_p + p
        best = sorted(extensions.items(), key=lambda item: -item[1])[:beam_size]
        pool += [item for item in best if item[0][-1] == EOS]
        live = [item for item in best if item[0][-1] != EOS]
        if not live:
            break
    return list(max(pool + live, key=lambda item: item[1] / len(item[0]) ** penalty)[0])


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 5), st.integers(1, 6), st.sampled_from([0.0, 0.6, 1.0, 2.0]))
def test_searches_agree(seed, beam_size, max_len, penalty):
    step = language_model(seed)
    found = beam_search(step, BOS, EOS, beam_size, max_len, penalty)
    assert found == plain_beam_search(step, beam_size, max_len, penalty)
    if beam_size == 1:
        assert found == greedy_decode(step, BOS, EOS, max_len)

    steps = [language_model(seed), language_model(seed + 1), language_model(seed + 2)]

    def together(prefix, owner, parent):
        if together.before is not None:
            assert torch.equal(prefix[:, :-1], together.before[parent]), "parent names the row that is continued"
        together.before = prefix
        return torch.stack([steps[o](ids) for ids, o in zip(prefix.tolist(), owner.tolist(), strict=True)])

    together.before = None
    limits = [max_len, 1, max_len + 2]
    batched = batched_beam_search(together, 3, BOS, EOS, beam_size, limits, penalty)
    alone = [beam_search(s, BOS, EOS, beam_size, limit, penalty) for s, limit in zip(steps, limits, strict=True)]
    assert batched == alone


def test_a_wide_beam_finds_the_best_sequence_of_all():
    step = language_model(2)
    tokens = range(3, V)
    everything = [[*ids, EOS] for n in range(4) for ids in itertools.product(tokens, repeat=n)]
    everything += [list(ids) for ids in itertools.product(tokens, repeat=4)]
    best = max(everything, key=lambda ids: score(step, ids, 1.0))
    assert beam_search(step, BOS, EOS, 1000, 4, 1.0) == best
    assert greedy_decode(step, BOS, EOS, 4) != best, "choose a seed for which greedy decoding misses it"


def test_decoding_stops_at_max_len_and_counts_eos():
    def never(ids):
        return torch.tensor([0.0, 0.0, -9.0, 5.0, 1.0, 0.5, 0.2])

    assert greedy_decode(never, BOS, EOS, 3) == [3, 3, 3]
    assert beam_search(never, BOS, EOS, 2, 3, 1.0) == [3, 3, 3]
    at_once = torch.tensor([0.0, 0.0, 9.0, 5.0, 1.0, 0.5, 0.2])
    assert greedy_decode(lambda ids: at_once, BOS, EOS, 3) == [EOS]


def test_a_beam_can_be_watched():
    seen = []
    step = language_model(2)
    found = beam_search(step, BOS, EOS, 3, 5, 0.0, lambda *lists: seen.append(lists))
    assert found == beam_search(step, BOS, EOS, 3, 5, 0.0)
    for extensions, kept in seen:
        assert extensions[: len(kept)] == kept and len(kept) == 3
        assert extensions == sorted(extensions, key=lambda e: -e[0])
        for log_p, ids in kept:
            assert log_p == pytest.approx(score(step, ids, 0.0))


def test_filters_keep_what_they_should():
    p = torch.tensor([0.125, 0.5, 0.25, 0.125])
    assert top_p_filter(p, 0.75).tolist() == pytest.approx([0, 2 / 3, 1 / 3, 0])
    assert (top_p_filter(p, 0.76) > 0).sum() == 3 and top_p_filter(p, 1e-9).tolist() == [0, 1, 0, 0]
    assert torch.equal(top_p_filter(p, 1.0), p)
    assert top_k_filter(p, 2).tolist() == pytest.approx([0, 2 / 3, 1 / 3, 0]) and torch.equal(top_k_filter(p, 9), p)
    assert top_p_filter(p.double(), 0.5).dtype == torch.float64
    for p_wrong in (0.0, 1.1, math.nan):
        with pytest.raises(ValueError, match=f"top_p={p_wrong}"):
            top_p_filter(p, p_wrong)
    with pytest.raises(ValueError, match="top_k=0"):
        top_k_filter(p, 0)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10**6), st.floats(0.01, 1.0))
def test_the_nucleus_is_the_smallest_set(seed, p):
    probabilities = torch.randn(9, generator=torch.Generator().manual_seed(seed)).double().softmax(-1)
    kept = top_p_filter(probabilities, p) > 0
    assert probabilities[kept].sum() >= p - 1e-9
    assert kept.all() or probabilities[kept].min() >= probabilities[~kept].max()
    assert probabilities[kept].sum() - probabilities[kept].min() < p


def test_next_distribution_takes_temperature_then_k_then_p():
    logits = torch.tensor([2.0, 1.0, 0.0, -1.0])
    torch.testing.assert_close(next_distribution(logits), logits.softmax(-1))
    torch.testing.assert_close(next_distribution(logits, 2.0), (logits / 2).softmax(-1))
    both = next_distribution(logits, 2.0, 3, 0.6)
    torch.testing.assert_close(both, top_p_filter(top_k_filter((logits / 2).softmax(-1), 3), 0.6))
    with pytest.raises(ValueError, match="temperature=0"):
        next_distribution(logits, 0)


def test_samples_follow_the_distribution_and_repeat_with_their_generator():
    step = language_model(4)
    cold = sample_decode(step, BOS, EOS, 6, temperature=1e-4)
    assert cold == greedy_decode(step, BOS, EOS, 6) == sample_decode(step, BOS, EOS, 6, top_k=1)
    draws = [sample_decode(step, BOS, EOS, 6, generator=torch.Generator().manual_seed(s)) for s in (1, 1, 2)]
    assert draws[0] == draws[1] and all(len(d) == 6 or d[-1] == EOS for d in draws)
    generator = torch.Generator().manual_seed(0)
    first = torch.tensor([sample_decode(step, BOS, EOS, 1, generator=generator)[0] for _ in range(4000)])
    wanted = step([BOS]).softmax(-1)
    torch.testing.assert_close(first.bincount(minlength=V) / 4000, wanted, atol=0.03, rtol=0)


words = st.lists(st.sampled_from("a b c d e f".split()), min_size=1, max_size=9)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(words, words), min_size=1, max_size=4))
def test_bleu_equals_sacrebleu_on_tokens(pairs):
    hypotheses, references = zip(*pairs, strict=True)
    theirs = BLEU(tokenize="none", smooth_method="none", force=True).corpus_score(
        [" ".join(h) for h in hypotheses], [[" ".join(r) for r in references]]
    )
    assert bleu(hypotheses, references) == pytest.approx(theirs.score, abs=1e-6)


def test_scores_carry_their_signature():
    scores = corpus_scores(["A dog runs ."], ["a dog runs ."], "en")
    assert scores["bleu"]["lowercase_score"] == pytest.approx(100.0) and scores["bleu"]["score"] < 100.0
    assert "tok:13a" in scores["bleu"]["signature"]
    assert "tok:zh" in corpus_scores(["好"], ["好"], "zh")["bleu"]["signature"]
    assert perplexity(math.log(8)) == pytest.approx(8)


def test_alignment_error_rate():
    assert alignment_error_rate({(0, 0), (1, 2)}, {(0, 0), (1, 1), (2, 2)}) == pytest.approx(1 - 2 / 5)
    assert alignment_error_rate(set(), set()) == 0.0 and alignment_error_rate({(0, 0)}, set()) == 1.0
