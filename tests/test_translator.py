"""The model that ships with the course, and the cache that makes it quick."""

import dataclasses
from pathlib import Path

import pytest
import torch

from course_lib.config import DecodeConfig, ModelConfig
from course_lib.corpora import load_corpus
from course_lib.errors import CourseError
from course_lib.incremental import CachedDecoder, can_cache
from course_lib.parts import Parts
from course_lib.tokenizer import Tokenizer
from course_lib.training import score_split
from course_lib.transformer import Transformer
from course_lib.translator import Translator, head_alignment_errors

CONFIG = ModelConfig(vocab_size=30, d_model=16, n_heads=4, d_ff=24, n_layers=2, max_len=40)


@pytest.mark.parametrize("norm", ["pre", "post"])
@pytest.mark.parametrize("choices", [{}, {"positions": "learned"}, {"shared_layers": True, "tied_embeddings": False}])
@torch.inference_mode()
def test_cached_logits_are_those_without_a_cache(norm, choices):
    torch.manual_seed(0)
    model = Transformer(dataclasses.replace(CONFIG, norm=norm, **choices)).eval()
    source = torch.tensor([[4, 5, 6, 2], [7, 2, 0, 0], [8, 9, 2, 0]])
    memory, decoder = model.encode(source), CachedDecoder(model, source)
    prefix, owner, parent = torch.full((3, 1), 1), torch.arange(3), torch.arange(3)
    moves = [([0, 0, 1, 2], [4, 5, 6, 7]), ([3, 1, 1], [8, 9, 4]), ([2, 0], [5, 5])]  # rows that go on, and how
    for chosen, tokens in moves:
        cached = decoder.step(prefix, owner, parent)
        plain = model.decode(prefix, memory[owner], source[owner], last_only=True)[:, 0]
        torch.testing.assert_close(cached, plain, atol=1e-5, rtol=1e-4)
        parent = torch.tensor(chosen)
        prefix = torch.cat([prefix[parent], torch.tensor(tokens)[:, None]], dim=1)
        owner = owner[parent]


def test_a_learners_layer_is_not_cached():
    class Own(torch.nn.Module):
        def __init__(self, d_model, n_heads, d_ff, norm="pre"):
            super().__init__()
            self.weight = torch.nn.Parameter(torch.ones(d_model))

        def forward(self, x, memory, self_mask=None, memory_mask=None):
            return x * self.weight + memory.mean(1, keepdim=True)

    assert can_cache(Transformer(CONFIG)) and can_cache(Transformer(CONFIG, Parts(softmax=lambda x: x.softmax(-1))))
    model = Transformer(CONFIG, Parts(DecoderLayer=Own))
    assert not can_cache(model)
    translator = Translator(model, Tokenizer.train_words(["a b c"]))
    assert len(translator.search([[4, 2], [5, 6, 2]], DecodeConfig(beam_size=2, max_len=5))) == 2


@pytest.fixture(scope="module")
def shipped() -> Translator:
    return Translator.shipped()


@pytest.fixture(scope="module")
def grammar():
    return load_corpus("grammar")


def test_the_shipped_model_is_small_and_matches_the_corpus(shipped, grammar):
    folder = Path(__file__).parents[1] / "course_lib" / "assets" / "grammar_en_zh"
    assert sum(path.stat().st_size for path in folder.iterdir()) <= 4 * 2**20
    for pair in grammar.splits["test"] + grammar.splits["compositional"] + grammar.splits["long"]:
        assert not shipped.unknown_words(pair.source)
        assert shipped.tokenizer.unk_id not in shipped.tokenizer.encode(pair.target)


@pytest.mark.parametrize(("split", "exact"), [("test", 0.98), ("compositional", 0.90)])
def test_the_shipped_model_keeps_its_scores(shipped, grammar, split, exact):
    scores = score_split(shipped, grammar, split, DecodeConfig(beam_size=5))
    assert scores["exact"] >= exact and scores["bleu"]["score"] >= 97


def test_one_head_of_the_shipped_model_has_learned_to_align(shipped, grammar):
    errors = head_alignment_errors(shipped, grammar.splits["test"])
    assert set(errors) == {"decoder.layers.0.cross_attention", "decoder.layers.1.cross_attention"}
    assert min(min(heads) for heads in errors.values()) < 0.25


def test_a_sentence_of_ones_own(shipped):
    assert shipped.translate("Tom bought three books yesterday.") == "汤姆昨天买了三本书。"
    assert shipped.unknown_words("Tom bought a parallelogram.") == ["parallelogram"]
    source, target, maps = shipped.attend("Tom bought three books yesterday.")
    assert source[-1] == "[EOS]" and target[-2:] == ["。", "[EOS]"]
    assert maps["decoder.layers.1.cross_attention"].shape == (1, 4, len(target), len(source))
    with pytest.raises(CourseError, match="is empty"):
        shipped.translate(" ")
