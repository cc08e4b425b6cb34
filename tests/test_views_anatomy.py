"""The map of the model and the influence of tokens: drawn from what a model really does, whatever its configuration."""

import dataclasses
import json
import re

import pytest
import torch
from torch import nn

from course_lib.attention import MultiHeadAttention
from course_lib.blocks import DecoderLayer
from course_lib.config import ModelConfig
from course_lib.parts import Parts
from course_lib.transformer import Transformer, shift_right
from course_lib.views import influence_view, model_map
from tests.test_views_html import NASTY, browser, embedded, show  # noqa: F401

CONFIG = ModelConfig(vocab_size=20, d_model=16, n_heads=2, d_ff=24, n_layers=2, dropout=0.5)
SOURCE, TARGET = torch.tensor([[4, 5, 6, 7, 2]]), torch.tensor([[8, 9, 2]])
CLICKS = """body => [...body.querySelectorAll('.box')].map(box => {
    const began = performance.now(); box.click(); body.getBoundingClientRect(); return performance.now() - began; })"""
CHOICES = [
    {}, {"norm": "post", "positions": "learned"}, {"positions": "none", "n_layers": 3}, {"positions": "relative"},
    {"shared_layers": True, "n_layers": 3}, {"tied_embeddings": False, "positions": "rotary"},
    {"norm": "post", "shared_layers": True, "tied_embeddings": False, "positions": "alibi"},
]  # fmt: skip


def build(**choices) -> Transformer:
    torch.manual_seed(0)
    return Transformer(dataclasses.replace(CONFIG, **choices))


def boxes(model: Transformer, **options) -> list[dict]:
    return embedded(model_map(model, SOURCE, shift_right(TARGET, 1), **options))["boxes"]


@pytest.mark.parametrize("choices", CHOICES, ids=str)
def test_the_map_is_that_of_the_model(choices):
    model = build(**choices)
    config, found = model.config, boxes(model)
    assert model.training, "the mode is left as it was"
    frames, found = [[box for box in found if bool(box.get("frame")) == framed] for framed in (True, False)]
    assert [box["layer"] for box in frames] == [*range(1, config.n_layers + 1)] * 2
    assert all(
        box["parameters"]
        == sum(b["parameters"] for b in found if (b["stack"], b["layer"]) == (box["stack"], box["layer"]))
        for box in frames
    )
    order = ["norm_1", "attention", "norm_2", "feed_forward"]
    decoder = ["norm_1", "self_attention", "norm_2", "cross_attention", "norm_3", "feed_forward"]
    if config.norm == "post":
        order, decoder = (names[1::2] + names[::2] for names in (order, decoder))
        order = [order[i] for i in (0, 2, 1, 3)]
        decoder = [decoder[i] for i in (0, 3, 1, 4, 2, 5)]
    table = "embedding" if config.tied_embeddings else "target_embedding"
    wanted = ["embedding", "positions", *order * config.n_layers, "norm"]
    wanted += [table, "positions", *decoder * config.n_layers, "norm", "output"]
    assert [box["short"] for box in found] == wanted
    assert sum(box["parameters"] for box in found) == sum(p.numel() for p in model.parameters())
    assert [box["short"] for box in found if box["residual"]] == [
        name for name in wanted if "attention" in name or name == "feed_forward"
    ]
    assert {box["layer"] for box in found} == {None, *range(1, config.n_layers + 1)}
    for box in found:
        length = SOURCE.shape[1] if box["side"] == "source" else TARGET.shape[1]
        assert box["output"] == [1, length, 20 if box["short"] == "output" else 16]
        assert len(box["values"]) == length
    seen_before = {"embedding", "output"} if config.tied_embeddings else set()
    seen_before |= {"positions"} if config.positions == "learned" else set()
    for box in found:
        again = config.shared_layers and (box["layer"] or 1) > 1
        assert bool(box["same"]) == (again or (box["side"] == "target" and box["short"] in seen_before))


def test_numbers_and_weights_are_those_of_the_pass():
    model = build().eval()
    found = {box["name"]: box for box in boxes(model)}
    with torch.no_grad():
        memory = model.encode(SOURCE)
        logits = model(SOURCE, shift_right(TARGET, 1))
    torch.testing.assert_close(torch.tensor(found["encoder.norm"]["values"]), memory[0, :, :8], atol=6e-4, rtol=0)
    torch.testing.assert_close(torch.tensor(found["logits"]["values"]), logits[0, :, :8], atol=6e-4, rtol=0)
    cross = found["decoder.layers.1.cross_attention"]
    assert cross["cross"] and not found["decoder.layers.1.self_attention"]["cross"]
    weights = torch.tensor(cross["weights"])
    assert weights.shape == (2, 3, 5)
    torch.testing.assert_close(weights.sum(-1), torch.ones(2, 3), atol=3e-3, rtol=0)
    best = found["logits"]["words"][2][0]
    assert best[0] == str(logits[0, 2].argmax().item())


def test_the_code_of_a_learners_part_is_shown():
    class Own(DecoderLayer):
        """Written by a learner."""

        def forward(self, x, memory, self_mask=None, memory_mask=None):
            marked_by_the_learner = super().forward(x, memory, self_mask, memory_mask)
            return marked_by_the_learner

    class OwnAttention(MultiHeadAttention):
        """A learner's attention."""

    def one_head(query, key, value, mask=None):
        return nn.functional.scaled_dot_product_attention(query, key, value, mask)

    torch.manual_seed(0)
    data = embedded(
        model_map(Transformer(CONFIG, Parts(DecoderLayer=Own, MultiHeadAttention=OwnAttention)), SOURCE, TARGET)
    )
    layer = next(box["code"] for box in data["boxes"] if box["short"] == "decoder layer")
    assert layer.endswith("Own · yours") and "marked_by_the_learner" in data["codes"][layer]
    key = next(box["code"] for box in data["boxes"] if box["short"] == "cross_attention")
    assert key.endswith("OwnAttention · yours") and '"""A learner\'s attention."""' in data["codes"][key]
    data = embedded(model_map(Transformer(CONFIG, Parts(scaled_dot_product_attention=one_head)), SOURCE, TARGET))
    key = next(box["code"] for box in data["boxes"] if box["short"] == "cross_attention")
    assert key == "MultiHeadAttention · course_lib.attention" and "def one_head(" in data["codes"][key]


def test_a_missing_residual_is_not_drawn():
    class NoResidual(DecoderLayer):
        def forward(self, x, memory, self_mask=None, memory_mask=None):
            y = self.norm_1(x)
            x = self.self_attention(y, y, y, self_mask)
            return self.feed_forward(self.norm_3(self.cross_attention(self.norm_2(x), memory, memory, memory_mask)))

    found = boxes(Transformer(CONFIG, Parts(DecoderLayer=NoResidual)))
    assert not any(box["residual"] for box in found if box["side"] == "target")
    assert any(box["residual"] for box in found if box["side"] == "source")


@pytest.mark.parametrize("view", [model_map, lambda m, s, t: influence_view(m, s, t, 1)])
@pytest.mark.parametrize(
    ("source", "target"), [(SOURCE[0], TARGET), (SOURCE, TARGET.expand(2, 3)), (SOURCE, torch.ones(1, 17))]
)
def test_what_does_not_fit_is_named(view, source, target):
    with pytest.raises(ValueError, match="one sentence of up to 16 tokens can be shown"):
        view(build(), source.long(), target.long())


@pytest.mark.parametrize("make", ["map", "influence"])
def test_pages_are_self_contained_and_escape_their_tokens(make):
    token = lambda i: NASTY[i % len(NASTY)]  # noqa: E731
    view = (
        model_map(build(), SOURCE, TARGET, token)
        if make == "map"
        else influence_view(build(), SOURCE, TARGET, 1, token)
    )
    assert "://" not in view.document and "<script>boom()" not in view.document
    assert view.document.count("</script>") == 2 and "default-src 'none'" in view.document
    json.loads(re.search(r'id="data">(.*?)</script>', view.document, re.S)[1])


def test_influence_follows_the_masks():
    data = embedded(influence_view(build().train(), SOURCE, TARGET, 1))
    assert data["reads"] == ["1", "8", "9"] and data["writes"] == ["8", "9", "2"]
    whole, unmasked, blind = data["variants"]
    for number, edit in enumerate(data["edits"]):
        memory, outputs = ([x > 0 for x in whole["after"][number][name]] for name in ("memory", "outputs"))
        if edit["side"] == "source":
            assert all(memory) and all(outputs)
            assert not any(blind["after"][number]["outputs"]), "without cross-attention the source has no say"
        else:
            assert not any(memory) and outputs == [place >= edit["place"] for place in range(3)]
            assert all(x > 0 for x in unmasked["after"][number]["outputs"])


def test_influence_numbers_are_those_of_the_model():
    model = build().eval()
    data = embedded(influence_view(model, SOURCE, TARGET, 1))
    number = next(i for i, edit in enumerate(data["edits"]) if edit == {"side": "target", "place": 1, "to": "9"})
    reads, edited = torch.tensor([[1, 8, 9]]), torch.tensor([[1, 9, 9]])
    with torch.no_grad():
        before, after = model(SOURCE, reads)[0], model(SOURCE, edited)[0]
    far = ((after - before).norm(dim=-1) / before.norm(dim=-1)).tolist()
    assert data["variants"][0]["after"][number]["outputs"] == pytest.approx(far, rel=5e-3, abs=1e-5)
    assert data["variants"][0]["best"] == [str(i) for i in before.argmax(-1).tolist()]


# ---- in a browser ----------------------------------------------------------------------------------------------------
def test_a_click_opens_numbers_and_code(show):  # noqa: F811
    page, frame = show(model_map(build(), SOURCE, TARGET))
    opened = frame.locator(".open")
    assert "cross attention" in opened.inner_text() and "class MultiHeadAttention" in opened.inner_text()
    frame.get_by_role("button", name=re.compile("feed-forward, encoder layer 2")).click()
    assert opened.locator("h2").inner_text() == "feed-forward"
    assert "class FeedForward(nn.Module)" in opened.inner_text() and "[1, 5, 16]" in opened.inner_text()
    page.keyboard.press("ArrowUp")
    assert opened.locator("h2").inner_text() == "norm 2"
    page.keyboard.press("ArrowRight")
    assert frame.locator(".box.on").count() == 1 and "decoder" in frame.locator(".box.on").get_attribute("aria-label")
    frame.get_by_role("button", name=re.compile("^decoder layer 1")).click()
    assert "class DecoderLayer(nn.Module)" in opened.inner_text()
    output = frame.get_by_role("button", name=re.compile("^output"))
    output.click()
    assert "What it predicts" in opened.inner_text() and "shared" in output.inner_text()
    spent = frame.locator("body").evaluate(CLICKS)
    assert max(spent) < 100, spent  # milliseconds, layout included


def test_an_edited_token_and_a_missing_mask_are_seen(show):  # noqa: F811
    _, frame = show(influence_view(build(), SOURCE, TARGET, 1))
    verdict = frame.locator(".verdict")
    assert "Encoder places that change: 0, 1, 2, 3, 4" in verdict.inner_text()
    frame.get_by_role("button", name="edit target token 2, 9").click()
    assert "Decoder places that change: 2." in verdict.inner_text() and "have seen" not in verdict.inner_text()
    frame.get_by_role("button", name="without the causal mask").click()
    assert (
        "Decoder places that change: 0, 1, 2." in verdict.inner_text() and "0, 1 stand before" in verdict.inner_text()
    )
