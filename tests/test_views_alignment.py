"""The alignment, step by step, and the bottleneck: what they show against what was put in, and how they behave."""

import json
import re
import time
from statistics import median

import pytest
import torch
from torch import nn

from course_lib import letters
from course_lib.additive import AttentionSeq2Seq
from course_lib.recurrent import BottleneckSeq2Seq
from course_lib.views import alignment_stepper, bottleneck_explorer

WEIGHTS = torch.tensor([[0.1, 0.2, 0.7], [0.6, 0.4, 0.0]])
READ, WRITTEN = ["</script>", "b&", "图"], ["x", "y"]


def embedded(view):
    return json.loads(re.search(r'<script type="application/json" id="data">(.*?)</script>', view.document, re.S)[1])


# ---- alignment -------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("weights", [WEIGHTS, WEIGHTS[None], WEIGHTS[None, None]])
def test_stepper_embeds_what_it_was_given(weights):
    view = alignment_stepper(weights, READ, WRITTEN, gold={(2, 0), (0, 1)}, predict=False)
    data = embedded(view)
    assert data["source"] == READ and data["target"] == WRITTEN and not data["predict"]
    assert data["weights"] == [[0.1, 0.2, 0.7], [0.6, 0.4, 0.0]]
    assert data["gold"] == [[0, 2], [1, 0]]  # target first
    assert view.document.count("</script>") == 2 and "://" not in view.document
    assert "2 tokens" in view.alt and "3 tokens" in view.alt


@pytest.mark.parametrize(
    ("weights", "read", "options", "message"),
    [
        (WEIGHTS, ["a", "b"], {}, "2 queries and 3 keys, but the tokens are 2 and 2"),
        (10 * WEIGHTS, READ, {}, "lie in 0"),
        (WEIGHTS.expand(2, 2, 3), READ, {}, r"expected \[Tt, Ts\], one sentence and one head, got \[2, 2, 3\]"),
        (torch.ones(2, 25) / 25, ["a"] * 25, {}, "25 source tokens; the view shows up to 24"),
        (WEIGHTS, READ, {"gold": [(0, 2)]}, r"gold pair \(source 0, target 2\) lies outside"),
    ],
)
def test_stepper_says_what_does_not_fit(weights, read, options, message):
    with pytest.raises(ValueError, match=message):
        alignment_stepper(weights, read, WRITTEN, **options)


# ---- bottleneck ------------------------------------------------------------------------------------------------------
class Writer(nn.Module):
    """Writes every word backwards, its first `known` letters rightly and an “a” for each of the others."""

    def __init__(self, known):
        super().__init__()
        self.known = known

    def forward(self, source, target_in):
        target = source.flip(1).clone()
        target[:, self.known :] = letters.FIRST
        return nn.functional.one_hot(target[:, : target_in.shape[1]], letters.VOCAB_SIZE).float()


MEASURED = {
    "one vector": [{4: 0.9, 8: 0.5, 12: 0.3}, {4: 0.8, 8: 0.4, 12: 0.2}],
    "attention": [{4: 1.0, 8: 0.9, 12: 0.8}],
}


def explorer(**options):
    models = {"one vector": Writer(2), "attention": Writer(99)}
    return bottleneck_explorer(models, MEASURED, trained_to=8, **{"predict": False, **options})


def test_bottleneck_lets_both_models_write():
    view = explorer(word="planets")
    assert view.numbers["answers"] == {"one vector": ("staaaaa", 3), "attention": ("stenalp", 7)}  # stenalp has an a
    assert "3 of 7 right" in view.message.value and "7 of 7 right" in view.message.value
    assert view.numbers["length"] == 8
    assert view.numbers["means"] == pytest.approx({"one vector": 0.45, "attention": 0.9})
    assert "45%" in view.picture.alt and "8 letters" in view.picture.alt


def test_bottleneck_follows_word_and_slider():
    view, pictures = explorer(word="planet"), set()
    for word in ("zoo", "Transformer", "workshop"):
        view.set(word=word)
        assert view.controls["length"].value == len(word)
        assert view.numbers["answers"]["attention"][0] == word.lower()[::-1]
        pictures.add(view.picture.image.value)
    assert len(pictures) == 3
    view.controls["length"].value = 5
    word = view.controls["word"].value
    assert len(word) == 5 and view.numbers["answers"]["attention"] == (word[::-1], 5)


@pytest.mark.parametrize(
    ("word", "message"), [("", "one letter or more"), ("a<b", "not &#x27;&lt;"), ("x" * 25, "25 letters")]
)
def test_bottleneck_says_what_is_no_word(word, message):
    view = explorer()
    view.set(word=word)
    assert message in view.message.value and view.failure is None
    view.set(word="ab")
    assert "2 of 2 right" in view.message.value


def test_bottleneck_asks_first_and_knows_the_measured_answer():
    view = explorer(predict=True)
    assert len(view.children) == 3 and view.prediction.options[view.prediction.correct][0] == "35% to 65%"
    view.prediction.answer(0)
    assert "45%" in view.prediction.reply.value and "90% with attention" in view.prediction.reply.value
    assert len(view.children) > 3


def test_bottleneck_says_what_does_not_fit():
    with pytest.raises(ValueError, match="the same names"):
        bottleneck_explorer({"other": Writer(1)}, MEASURED, trained_to=8)
    with pytest.raises(ValueError, match="the same lengths"):
        bottleneck_explorer({"one": Writer(1)}, {"one": [{4: 1.0}, {5: 1.0}]}, trained_to=8)


def test_bottleneck_redraws_in_time():
    torch.manual_seed(0)
    sizes = letters.VOCAB_SIZE, letters.VOCAB_SIZE, 32
    models = {"one vector": BottleneckSeq2Seq(*sizes).eval(), "attention": AttentionSeq2Seq(*sizes).eval()}
    view, seconds = bottleneck_explorer(models, MEASURED, trained_to=8, predict=False), []
    for length in (9, 12, 7, 14, 10, 13, 8):
        start = time.process_time()  # of this process: not what else the machine is doing
        view.controls["length"].value = length
        seconds.append(time.process_time() - start)
    assert median(seconds) < 0.1
