"""The views of chapter 10: the tree of a beam search, the distribution that is drawn from, what BLEU sees."""

import json
import math
import re

import pytest
import torch

from course_lib.decoding import beam_search, next_distribution
from course_lib.evaluation import bleu
from course_lib.translator import Translator
from course_lib.views import beam_explorer, beam_tree, bleu_explorer, sampling_bars, sampling_explorer
from course_lib.views.decoding import grow, next_words
from course_lib.views.scores import matches
from tests.test_views_html import browser, show  # noqa: F401

SENTENCE = "Please take away the bag ."


@pytest.fixture(scope="module")
def translator():
    return Translator.shipped()


def embedded(view):
    return json.loads(re.search(r'<script type="application/json" id="data">(.*?)</script>', view.document, re.S)[1])


# ---- the beam --------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("beam_size", [1, 3])
def test_the_tree_is_the_search(translator, beam_size):
    grown = grow(translator, SENTENCE, beam_size)
    nodes, tokenizer = grown["nodes"], translator.tokenizer
    assert grown["source"] == ["please", "take", "away", "the", "bag", ".", "[EOS]"]
    for node in nodes[1:]:
        parent = nodes[node["parent"]]
        assert node["step"] == parent["step"] + 1 and parent.get("kept", True) and not parent.get("ended")
        assert node["p"] == pytest.approx(math.exp(node["sum"] - parent["sum"]), abs=1e-4)
        for layer in grown["looks"][node["look"]]:
            assert len(layer) == translator.model.config.n_heads
            assert [sum(head) for head in layer] == pytest.approx([1.0] * len(layer), abs=0.02)
    last = max(node["step"] for node in nodes)
    for step in range(1, last + 1):
        column = [node for node in nodes if node["step"] == step]
        kept = [node["sum"] for node in column if node["kept"]]
        assert len(kept) <= beam_size
        assert min(kept) >= max((node["sum"] for node in column if not node["kept"]), default=-math.inf)
    for penalty in (0.0, 1.0):
        pool = [node for node in nodes[1:] if node["kept"] and (node["ended"] or node["step"] == last)]
        best, words = max(pool, key=lambda node: node["sum"] / node["step"] ** penalty), []
        while best["parent"] is not None:
            words, best = [best["token"], *words], nodes[best["parent"]]
        ids = beam_search(translator.step(SENTENCE), tokenizer.bos_id, tokenizer.eos_id, beam_size, 12, penalty)
        assert words == [tokenizer.token(i) for i in ids]


def test_the_tree_grows_is_guessed_and_obeys_the_penalty(show, translator):  # noqa: F811
    page, frame = show(beam_tree(translator, SENTENCE, 3))
    assert frame.locator(".node").count() == 1
    for _ in range(2):
        frame.get_by_role("button", name="step").click()
    assert "After 2 tokens: 3 live" in frame.locator(".saying").inner_text()
    assert frame.locator(".node.dropped").count() > 0
    word = frame.locator(".node:not(.dropped)").nth(4)
    word.hover()
    token = word.locator("b").inner_text()
    assert token in frame.locator(".looks h3").inner_text()
    cells = [float(x) for x in frame.locator(".looks tbody tr").last.locator("td").all_inner_texts()]
    assert len(cells) == 7 and sum(cells) == pytest.approx(1, abs=0.05)
    assert "path" in word.get_attribute("class")
    frame.get_by_role("button", name="to the end").click()
    scores = frame.locator(".ends tbody tr td:nth-child(5)")
    assert set(scores.all_inner_texts()) == {"?"}, "the guess comes before the scores"
    frame.get_by_role("button", name="this one wins").first.click()
    shown = [float(x.replace("−", "-")) for x in scores.all_inner_texts()]
    assert shown == sorted(shown, reverse=True) and frame.locator("tr.wins").count() == 1
    winners = []
    for penalty in ("0", "1"):
        frame.locator("input[type=range]").fill(penalty)
        row = frame.locator("tr.wins td").all_inner_texts()
        log_p, length, score = (float(x.replace("−", "-")) for x in row[2:5])
        assert score == pytest.approx(log_p / length ** float(penalty), abs=2e-3)
        winners.append(row[1])
    frame.get_by_role("button", name="restart").click()
    assert frame.locator(".node").count() == 1
    frame.locator(".tree").focus()
    page.keyboard.press("ArrowRight")
    assert "After 1 token:" in frame.locator(".saying").inner_text()


def test_a_sentence_of_ones_own_and_a_size(translator):
    view = beam_explorer(translator, SENTENCE, beam_size=2)
    first = view.picture.value
    view.set(beam_size=4)
    assert view.picture.value != first
    view.controls["sentence"].value = "She flurbs ."
    assert "does not know “flurbs”" in view.message.value and view.failure is None
    view.controls["sentence"].value = ""
    assert "the sentence is empty" in view.message.value and view.picture.value == ""


# ---- sampling --------------------------------------------------------------------------------------------------------
def test_the_bars_are_the_librarys_distribution(show, translator):  # noqa: F811
    ids, logits = next_words(translator, SENTENCE)
    assert len(ids) == len(logits) and ids[-1] == translator.tokenizer.eos_id
    _, frame = show(sampling_bars(translator, SENTENCE, 4))
    knobs = frame.locator("input[type=range]")
    for power, k_place, k, p in ((0, 12, None, 1.0), (1, 12, None, 0.3), (-1, 2, 3, 1.0), (2, 5, 6, 0.7)):
        for knob, value in enumerate((power, k_place, p)):
            knobs.nth(knob).fill(str(value))
        wanted = next_distribution(logits[4].double(), 2.0**power, k, p)
        order = logits[4].argsort(descending=True)[:12]
        shown = frame.locator(".bars > div:not(:last-child) .n:nth-child(4)").all_inner_texts()
        for text, token in zip(shown, order.tolist(), strict=True):
            if wanted[token] == 0:
                assert text == "cut"
            elif text != "<.01%":
                assert float(text.removesuffix("%")) == pytest.approx(100 * wanted[token].item(), abs=0.06)
        kept = int((wanted > 0).sum())
        assert f"{kept} of {len(wanted)} tokens can be drawn" in frame.locator(".saying").inner_text()


def test_draws_are_counted_and_never_cut_off(show, translator):  # noqa: F811
    _, frame = show(sampling_bars(translator, SENTENCE, 4))
    frame.locator("input[type=range]").nth(1).fill("2")  # top-k 3
    frame.get_by_role("button", name="draw 100").click()
    frame.get_by_role("button", name="draw 1", exact=True).click()
    counts = [int(x) for x in frame.locator(".bars .counts").all_inner_texts()]
    assert sum(counts) == 101 and sum(counts[:3]) == 101 and min(counts[:2]) > 10
    frame.locator(".words button").nth(0).click()
    assert frame.locator(".bars .counts").all_inner_texts()[0] == ""


def test_the_sampler_says_what_is_wrong(translator):
    with pytest.raises(ValueError, match="position=40: the translation has words 0 to"):
        sampling_bars(translator, SENTENCE, 40)
    view = sampling_explorer(translator, SENTENCE)
    assert embedded(sampling_bars(translator, SENTENCE, 2))["position"] == 2
    _, logits = next_words(translator, SENTENCE)
    least_sure = min(range(len(logits)), key=lambda t: logits[t].softmax(-1).max())
    assert embedded(sampling_bars(translator, SENTENCE))["position"] == least_sure
    view.controls["sentence"].value = "Tom danced ."
    assert view.failure is None and "iframe" in view.picture.value


# ---- BLEU ------------------------------------------------------------------------------------------------------------
def test_matches_are_clipped():
    assert [right for _, right in matches("the the the".split(), "the cat".split(), 1)] == [True, False, False]
    assert matches(["a"], ["a"], 2) == []


def test_the_explorer_shows_bleu():
    view = bleu_explorer({"one": ("a b c d e f", "a b c d x f g h"), "two": ("<b> & c", "d e")})
    assert view.numbers["precisions"] == [(5, 6), (3, 5), (2, 4), (1, 3)]
    wanted = bleu(["a b c d e f".split()], ["a b c d x f g h".split()])
    assert view.numbers["bleu"] == wanted > 0 and f"<b>{wanted:.1f}</b>" in view.message.value
    assert view.numbers["brevity"] == pytest.approx(math.exp(1 - 8 / 6))
    assert view.board.value.count('class="yes"') == 11
    view.set(hypothesis="a b c d x f g h")
    assert view.numbers["bleu"] == pytest.approx(100)
    view.controls["example"].value = "two"
    assert view.controls["reference"].value == "d e" and view.numbers["bleu"] == 0 and "&lt;b&gt;" in view.board.value
    view.set(hypothesis="", reference="")
    assert view.numbers["bleu"] == 0 and view.failure is None


def test_a_mean_over_heads_is_what_the_model_looked_at(translator):
    """The weights that the tree carries are those of the whole translation, read at once."""
    grown = grow(translator, SENTENCE, 1)
    tokens = [node["token"] for node in grown["nodes"][1:] if node["kept"]]
    _, predicted, maps = translator.attend(SENTENCE, " ".join(tokens[:-1]))
    assert predicted == tokens
    for node in [node for node in grown["nodes"][1:] if node["kept"]]:
        for layer, weights in enumerate(grown["looks"][node["look"]]):
            whole = maps[f"decoder.layers.{layer}.cross_attention"][0, :, node["step"] - 1]
            torch.testing.assert_close(torch.tensor(weights), whole, atol=2e-3, rtol=0)
