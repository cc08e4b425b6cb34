"""Looking inside: rollout, heads off, edited attention, words left out, gradients, snapshots of a training."""

from pathlib import Path

import pytest
import torch
from torch import nn

from course_lib.attention import attention_weights, merge_heads, split_heads
from course_lib.commands.train import train as command
from course_lib.config import PRESETS, DecodeConfig, ModelConfig
from course_lib.corpora import load_corpus
from course_lib.corpora.pairs import Corpus
from course_lib.errors import CourseError
from course_lib.incremental import can_cache
from course_lib.interpretation import (
    attention_rollout,
    edit_attention,
    gradient_times_input,
    heads_off,
    integrate_words,
    integrated_gradients,
    log_probabilities,
    occlude_words,
    occlusion,
    rank_correlation,
)
from course_lib.parts import REFERENCE, Parts
from course_lib.recording import attention_modules, record_attention
from course_lib.snapshots import SNAPSHOTS, STEPS, SnapshotTaker, read_snapshots, shipped_snapshots
from course_lib.training import train
from course_lib.transformer import Transformer
from course_lib.translator import Translator, head_alignment_errors

CONFIG = ModelConfig(vocab_size=30, d_model=16, n_heads=4, d_ff=24, n_layers=2, max_len=40)
SOURCE, TARGET = torch.tensor([[4, 5, 6, 7, 2], [8, 9, 2, 0, 0]]), torch.tensor([[1, 5, 6], [1, 7, 8]])
SENTENCE = "Jack ran in the park yesterday ."


class OwnAttention(nn.Module):
    """As a learner might write it: no tap, other argument names, weights in a closure."""

    def __init__(self, d_model, n_heads):
        super().__init__()
        self.h = n_heads
        self.query, self.key, self.value, self.output = (nn.Linear(d_model, d_model) for _ in range(4))

    def forward(self, a, b, c, allowed=None):
        q, k, v = (split_heads(f(x), self.h) for f, x in ((self.query, a), (self.key, b), (self.value, c)))
        return self.output(merge_heads(attention_weights(q, k, allowed) @ v))


@pytest.fixture(params=[REFERENCE, Parts(MultiHeadAttention=OwnAttention)], ids=["library", "own"])
def model(request):
    torch.manual_seed(0)
    return Transformer(CONFIG, request.param).eval()


@pytest.fixture(scope="module")
def shipped():
    return Translator.shipped()


# ---- functions ------------------------------------------------------------------------------------------------------


def test_rollout_by_paths():
    """The weight of all paths from an output down to an input, each step along attention or the residual."""
    maps = [torch.rand(2, 3, 3, generator=torch.Generator().manual_seed(s)).softmax(-1).double() for s in range(2)]
    mixed = [(m.mean(0) + torch.eye(3, dtype=torch.float64)) / 2 for m in maps]
    want = [[sum(mixed[1][i, k] * mixed[0][k, j] for k in range(3)) for j in range(3)] for i in range(3)]
    torch.testing.assert_close(attention_rollout(maps), torch.tensor(want, dtype=torch.float64))
    with pytest.raises(ValueError, match="no maps to roll out"):
        attention_rollout([])


def test_occlusion_takes_numbers_and_tensors():
    assert occlusion(sum, [3, 1, 3]) == [3, 1, 3] and occlusion(sum, []) == []
    found = occlusion(lambda ids: torch.tensor([len(ids), sum(ids)]), (5, 7))
    assert [row.tolist() for row in found] == [[1, 5], [1, 7]]


def test_integrated_gradients_are_complete_and_exact_for_a_line():
    torch.manual_seed(0)
    weight, x, baseline = torch.randn(5), torch.randn(5), torch.randn(5)
    torch.testing.assert_close(integrated_gradients(lambda v: weight @ v, x, baseline, 1), weight * (x - baseline))
    f = lambda v: (v**3).sum() + (v @ weight).tanh()  # noqa: E731
    shares = integrated_gradients(f, x, baseline, 200)
    torch.testing.assert_close(shares.sum(), f(x) - f(baseline), atol=1e-3, rtol=1e-3)


def test_rank_correlation():
    a = torch.tensor([0.1, 5.0, 2.0, 3.0])
    assert rank_correlation(a, a.exp()) == pytest.approx(1) and rank_correlation(a, -a) == pytest.approx(-1)
    assert rank_correlation(torch.tensor([1.0, 2.0, 3.0]), torch.tensor([1.0, 3.0, 2.0])) == pytest.approx(0.5)


# ---- interventions --------------------------------------------------------------------------------------------------


@torch.no_grad()
def test_a_head_that_is_off_gives_nothing(model):
    """The same logits as with attention weights of 0 in that head, and everything as before afterwards."""
    name = "decoder.layers.1.cross_attention"
    state = {key: value.clone() for key, value in model.state_dict().items()}
    usual = model(SOURCE, TARGET)
    with heads_off(model, {name: [1, 3], "encoder.layers.0.attention": [0]}):
        off = model(SOURCE, TARGET)
    zero = lambda heads: lambda w: w * torch.tensor([float(h not in heads) for h in range(4)])[:, None, None]  # noqa: E731
    with edit_attention(model, {name: zero([1, 3]), "encoder.layers.0.attention": zero([0])}):
        edited = model(SOURCE, TARGET)
    torch.testing.assert_close(off, edited, atol=1e-5, rtol=1e-4)
    assert (off - usual).abs().max() > 1e-3
    assert all(torch.equal(value, state[key]) for key, value in model.state_dict().items())
    assert torch.equal(model(SOURCE, TARGET), usual)


def test_heads_are_on_again_after_an_error(model):
    name = "encoder.layers.1.attention"
    weight = model.get_submodule(name).output.weight.detach().clone()
    with pytest.raises(KeyError), heads_off(model, {name: range(4)}):
        assert (model.get_submodule(name).output.weight == 0).all()
        raise KeyError
    assert torch.equal(model.get_submodule(name).output.weight, weight)
    for off, message in (({name: [4]}, "no head 4: there are heads 0 to 3"), ({"x": [0]}, "no attention module 'x'")):
        with pytest.raises(ValueError, match=message), heads_off(model, off):
            pass


@torch.no_grad()
def test_edited_attention_is_used(model):
    usual, names = model(SOURCE, TARGET), list(attention_modules(model))
    assert len(names) == 6
    with edit_attention(model, dict.fromkeys(names, lambda w: w)):
        torch.testing.assert_close(model(SOURCE, TARGET), usual, atol=1e-5, rtol=1e-4)
        with record_attention(model) as maps:  # recording goes on: what was computed, not what is used
            pass
    assert not maps
    name = "decoder.layers.0.cross_attention"
    shapes = []
    with edit_attention(model, {name: lambda w: shapes.append(list(w.shape)) or w.flip(-1)}):
        edited = model(SOURCE, TARGET)
    assert shapes == [[2, 4, 3, 5]] and (edited - usual).abs().max() > 1e-3
    assert torch.equal(model(SOURCE, TARGET), usual)
    with pytest.raises(ValueError, match="no attention module 'y'"), edit_attention(model, {"y": lambda w: w}):
        pass


def test_edited_attention_reaches_decoding(shipped):
    """The cache would go past the hooks: it steps aside."""
    name, greedy = "decoder.layers.1.cross_attention", DecodeConfig(beam_size=1)
    usual = shipped.translate(SENTENCE, greedy)
    with edit_attention(shipped.model, {name: lambda w: w * 0}):
        assert not can_cache(shipped.model)
        edited = shipped.translate(SENTENCE, greedy)
    with heads_off(shipped.model, {name: range(4)}):
        assert can_cache(shipped.model) and shipped.translate(SENTENCE, greedy) == edited != usual
    assert can_cache(shipped.model) and shipped.translate(SENTENCE, greedy) == usual


# ---- of a translation -----------------------------------------------------------------------------------------------


def test_words_are_left_out_one_at_a_time(shipped):
    words, tokens, worth = occlude_words(shipped, SENTENCE)
    assert words == SENTENCE.lower().split() and tokens[-1] == "[EOS]" and worth.shape == (len(tokens), len(words))
    ids = [*shipped.tokenizer.encode(" ".join(tokens[:-1])), shipped.tokenizer.eos_id]
    whole = log_probabilities(shipped, shipped.encode(SENTENCE), ids)
    without = log_probabilities(shipped, shipped.encode("Jack ran in the park ."), ids)
    torch.testing.assert_close(worth[:, 5], whole - without)
    assert worth[tokens.index("昨天")].argmax() == 5 and worth[tokens.index("杰克")].argmax() == 0


def test_gradient_times_input_is_the_slope_of_shrinking_a_word(shipped):
    """Against a difference quotient: one word's vector a little smaller, in the embedding table itself."""
    _, tokens, worth = gradient_times_input(shipped, SENTENCE)
    ids = [*shipped.tokenizer.encode(" ".join(tokens[:-1])), shipped.tokenizer.eos_id]
    source = shipped.encode(SENTENCE)
    row = shipped.model.embedding.weight.data[source[5]]  # "yesterday" is not among the target's words
    before, step = row.clone(), 1e-2
    try:
        row.copy_(before * (1 + step))
        more = log_probabilities(shipped, source, ids)
        row.copy_(before * (1 - step))
        less = log_probabilities(shipped, source, ids)
    finally:
        row.copy_(before)
    torch.testing.assert_close(worth[:, 5], (more - less) / (2 * step), atol=5e-3, rtol=0.1)


def test_integrated_words_are_the_library_s_integrated_gradients(shipped):
    """Word by word what `integrated_gradients` says of one log-probability, and in the sum its change."""
    words, tokens, shares = integrate_words(shipped, SENTENCE, steps=16)
    assert words == SENTENCE.lower().split() and shares.shape == (len(tokens), len(words))
    model, ids = shipped.model, [*shipped.tokenizer.encode(" ".join(tokens[:-1])), shipped.tokenizer.eos_id]
    source, target_in = torch.tensor([shipped.encode(SENTENCE)]), torch.tensor([[shipped.tokenizer.bos_id, *ids[:-1]]])
    vectors = (model.embedding(source) * model.config.d_model**0.5).detach()
    for t in (0, tokens.index("公园")):

        def log_p(x, t=t):
            memory = model.encoder(model.positions(x), None)
            return model.decode(target_in, memory, source)[0, t].log_softmax(-1)[ids[t]]

        want = integrated_gradients(log_p, vectors, torch.zeros_like(vectors), 16).sum(-1)[0]
        torch.testing.assert_close(shares[t], want[:-1], atol=1e-4, rtol=1e-3)
        many = integrate_words(shipped, SENTENCE, steps=256)[2][t].sum() + integrated_gradients(
            log_p, vectors, torch.zeros_like(vectors), 256
        ).sum(-1)[0, -1]  # the end token's share
        with torch.no_grad():
            torch.testing.assert_close(many, log_p(vectors) - log_p(torch.zeros_like(vectors)), atol=0.1, rtol=0.02)


# ---- snapshots ------------------------------------------------------------------------------------------------------


def test_shipped_snapshots_end_with_the_shipped_model(shipped):
    pairs, shots = shipped_snapshots()
    folder = Path(__file__).parents[1] / "course_lib" / "assets" / "grammar_en_zh"
    assert (folder / SNAPSHOTS).stat().st_size < 300_000
    assert [shot.step for shot in shots[:-1]] == list(STEPS) and shots[-1].step > STEPS[-1]
    assert shots[0].exact == 0 and shots[-1].exact > 0.97
    for number, pair in enumerate(pairs):
        maps = shipped.attend(pair.source, pair.target)[2]
        assert maps.keys() == shots[-1].maps[number].keys()
        for name, weights in maps.items():
            torch.testing.assert_close(shots[-1].maps[number][name], weights, atol=2e-3, rtol=0)
    splits = load_corpus("grammar").splits
    trained_on = {pair.source for pair in splits["train"]}
    assert not trained_on & {pair.source for pair in pairs}
    errors = head_alignment_errors(shipped, splits["val"][:200])
    for name, heads in errors.items():
        assert heads == pytest.approx(shots[-1].errors[name], abs=0.01)


def test_snapshots_change_nothing_and_come_back(tmp_path):
    whole, preset = load_corpus("grammar"), PRESETS["tiny"]
    splits = {"train": whole.splits["train"][:800], "val": whole.splits["val"][:20]}
    corpus = Corpus(whole.name, whole.direction, splits)
    config = preset.train_config(minutes=None, epochs=2, device="cpu", precision="fp32", seed=3)
    plain = train(corpus, preset, config, tmp_path / "plain")
    taker = SnapshotTaker(tmp_path / "watched", steps=(0, 10))
    watched = train(corpus, preset, config, tmp_path / "watched", callbacks=[taker])
    assert watched["val_loss"] == plain["val_loss"]
    one, other = (Translator.load(tmp_path / name).model.state_dict() for name in ("plain", "watched"))
    assert all(torch.equal(one[name], other[name]) for name in one)
    pairs, shots = read_snapshots(tmp_path / "watched" / SNAPSHOTS)
    assert pairs == taker.pairs and [shot.step for shot in shots] == [0, 10, watched["steps"]]
    assert shots[1].errors == taker.taken[1].errors and shots[1].loss == taker.taken[1].loss
    for name, weights in taker.taken[1].maps[2].items():
        torch.testing.assert_close(shots[1].maps[2][name], weights, atol=1e-3, rtol=0)


def test_snapshots_need_known_alignments(tmp_path):
    (tmp_path / "own.tsv").write_text("".join(f"a{n}\tb{n}\n" for n in range(90)), encoding="utf-8")
    with pytest.raises(CourseError, match="--snapshots needs known word alignments"):
        command(out=tmp_path / "run", corpus=str(tmp_path / "own.tsv"), direction="en-de", snapshots=True)
