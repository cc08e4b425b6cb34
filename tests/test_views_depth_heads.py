"""Heads side by side, residuals and norms by depth, layer normalisation: the numbers shown against independent ones."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from course_lib.torch_bridge import torch_state
from course_lib.views import depth
from course_lib.views.depth import FEATURES, VARIANTS, Stack, depth_explorer, layer_norm_explorer, measure
from course_lib.views.figures import scientific
from course_lib.views.heads import heads_side_by_side

WORDS = "the cat sat on it".split()


def some_maps(n_heads=6, t_q=5, t_k=5):
    scores = torch.randn(n_heads, t_q, t_k, generator=torch.Generator().manual_seed(0))
    return (2 * scores).softmax(-1)


# ---- heads -----------------------------------------------------------------------------------------------------------
def test_heads_compares_the_rows_of_the_pinned_heads():
    maps = some_maps()
    view = heads_side_by_side(maps, WORDS, pinned=(1, 4), query=2, predict=False)
    shared = sum(min(a, b) for a, b in zip(maps[1, 2].tolist(), maps[4, 2].tolist()))
    assert view.numbers["overlap"] == pytest.approx(shared, abs=1e-6)
    assert f"{shared:.0%}" in view.message.value and "sat" in view.message.value
    best = int(maps[1, 2].argmax())
    assert f"key {best} “{WORDS[best]}”: {maps[1, 2, best]:.2f}" in view.pictures[0].alt
    view.set(right=1)
    assert view.numbers["overlap"] == pytest.approx(1) and "same head" in view.message.value
    np.testing.assert_allclose(view.numbers["all_heads"], maps[:, 2].numpy())


def test_heads_draws_only_what_has_changed():
    view = heads_side_by_side(some_maps()[None], WORDS, predict=False)
    before = [picture.image.value for picture in view.pictures]
    view.controls["left"].value = 3
    after = [picture.image.value for picture in view.pictures]
    assert before[0] != after[0] and before[1] == after[1] and before[2] != after[2]


def test_heads_takes_cross_attention_and_markup_in_tokens():
    view = heads_side_by_side(some_maps(2, 3, 5), ["<b>", "&", "c"], WORDS, predict=False)
    view.set(query=1)
    assert "&amp;" in view.message.value and len(view.numbers["left"]) == 5


@pytest.mark.parametrize(
    ("maps", "options", "message"),
    [
        (some_maps(6, 4, 4), {}, "4 queries and 4 keys, but the tokens are 5 and 5"),
        (some_maps() * 2, {}, "weights, after the softmax, lie in 0"),
        (some_maps(17), {}, "17 heads; the view shows up to 16"),
        (some_maps()[0], {}, r"expected \[H, Tq, Tk\], one sentence, got \[5, 5\]"),
        (some_maps().numpy(), {}, "expected a tensor"),
        (some_maps(), {"pinned": (0, 6)}, "there are heads 0 to 5"),
        (some_maps(), {"query": 5}, "there are queries 0 to 4"),
    ],
)
def test_heads_says_what_does_not_fit(maps, options, message):
    with pytest.raises(ValueError, match=message):
        heads_side_by_side(maps, WORDS, predict=False, **options)


# ---- depth -----------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("variant", ["pre", "post"])
def test_stack_is_pytorchs_encoder(variant):
    torch.manual_seed(0)
    stack = Stack(variant, 2)
    theirs = nn.TransformerEncoderLayer(32, 4, 128, 0.0, batch_first=True, norm_first=variant == "pre")
    layer = stack.layers[0]
    theirs.load_state_dict(torch_state(layer.state_dict()))
    x = torch.randn(2, 5, 32)
    torch.testing.assert_close(stack.states(x)[0], theirs(x))


def test_what_is_left_out_is_left_out():
    torch.manual_seed(0)
    x = torch.randn(2, 5, 32)
    for variant, residual in (("residual", 1.0), ("neither", 0.0)):
        stack = Stack(variant, 1)
        for part in (stack.layers[0].attention.output, stack.layers[0].feed_forward.contract):
            nn.init.zeros_(part.weight)
            nn.init.zeros_(part.bias)
        torch.testing.assert_close(stack.states(x)[0], residual * x)
    normed = Stack("norm", 1).states(x)[0]
    torch.testing.assert_close(normed, F.layer_norm(normed, (32,)), atol=1e-4, rtol=1e-4)
    with pytest.raises(ValueError, match="variant='both' is not one of pre, post"):
        Stack("both", 1)


def test_depth_shows_what_the_chapter_says():
    view = depth_explorer(predict=False)
    numbers = view.numbers
    assert set(numbers) == set(VARIANTS) and all(len(m["gradient"]) == 12 for m in numbers.values())
    assert numbers["pre"]["gradient"][0] > 1e6 * numbers["neither"]["gradient"][0]
    assert max(numbers[name]["spread"][-1] for name in ("norm", "neither")) < 1e-4
    assert min(numbers[name]["spread"][-1] for name in ("pre", "post", "residual")) > 0.1
    np.testing.assert_allclose(numbers["post"]["size"], 1, atol=1e-3)
    view.set(depth=24, variant="pre")
    assert numbers["residual"]["size"][-1] > 1.5 * measure("residual", 12, 0)["size"][-1]
    assert f"{scientific(numbers['pre']['gradient'][0])} in the first layer" in view.pictures[0].alt


def test_measure_is_repeatable_and_leaves_the_random_numbers_alone():
    torch.manual_seed(3)
    expected = torch.rand(1)
    torch.manual_seed(3)
    first = measure("pre", 4, 5)
    assert torch.equal(torch.rand(1), expected)
    for cached in (measure, depth._forward, depth._random):
        cached.cache_clear()
    np.testing.assert_array_equal(measure("pre", 4, 5)["gradient"], first["gradient"])


# ---- layer normalisation -----------
def test_norm_shows_pytorchs_numbers():
    view = layer_norm_explorer(predict=False)
    view.set(scale=10.0, shift=2.5, outlier=4, eps=0.1, gain=1.5, bias=-0.5)
    x = torch.tensor(FEATURES)
    x[2] += 4
    x = 10 * x + 2.5
    wanted = F.layer_norm(x, (6,), torch.full((6,), 1.5).double(), torch.full((6,), -0.5).double(), 0.1)
    np.testing.assert_allclose(view.numbers["output"], wanted, atol=1e-9)
    np.testing.assert_allclose(view.numbers["centred"].mean(), 0, atol=1e-9)
    view.set(eps=1e-8, scale=1.0, shift=0.0, outlier=0)
    before = view.numbers["normalised"]
    view.set(scale=100.0, shift=20.0)
    np.testing.assert_allclose(view.numbers["normalised"], before, atol=1e-6)
