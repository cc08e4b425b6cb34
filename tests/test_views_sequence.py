"""The views of chapter 01: the numbers shown against independent ones, and the receptive fields in a real browser."""

import json
import re

import numpy as np
import pytest
import torch
from torch import nn

from course_lib import recurrent
from course_lib.views import cost_explorer, gradient_explorer, receptive_field_explorer
from course_lib.views.figures import scientific
from course_lib.views.recurrence import D_IN, D_STATE, LENGTHS, influence


# ---- gradient by distance --------------------------------------------------------------------------------------------
@pytest.mark.parametrize("kind", ["rnn", "lstm", "forget"])
def test_influence_is_the_size_of_the_jacobian(kind):
    """The same numbers from the whole Jacobian of PyTorch's own module."""
    setting = {"rnn": 1.2, "lstm": None, "forget": 2.0}[kind]
    length, seed = 7, 3
    with torch.random.fork_rng(devices=[]):  # the same draws as the view's
        torch.manual_seed(seed)
        x = torch.randn(1, 100, D_IN, dtype=torch.float64)[:, :length]
        if kind == "rnn":
            ours = recurrent.RNN(D_IN, D_STATE).double()
            q, _ = torch.linalg.qr(torch.randn(D_STATE, D_STATE).double())
            with torch.no_grad():
                ours.cell.weight_hh.copy_(1.2 * q)
        else:
            ours = recurrent.LSTM(D_IN, D_STATE, setting).double()
    theirs = (nn.RNN if kind == "rnn" else nn.LSTM)(D_IN, D_STATE, batch_first=True).double()
    theirs.load_state_dict({f"{name}_l0": value for name, value in ours.cell.state_dict().items()})
    jacobian = torch.autograd.functional.jacobian(lambda x: theirs(x)[0][0, -1], x)[:, 0]  # [Dh, T, Dx]
    sizes = torch.tensor([torch.linalg.matrix_norm(jacobian[:, t]) for t in range(length)]).flip(0)
    np.testing.assert_allclose(influence(kind, setting, True, length, seed), sizes / sizes[0], rtol=1e-8)


def test_without_tanh_it_is_a_power():
    np.testing.assert_allclose(influence("rnn", 0.9, False, 50, 0), 0.9 ** np.arange(50), rtol=1e-5)


def test_influence_is_repeatable_and_leaves_the_random_numbers_alone():
    torch.manual_seed(3)
    expected = torch.rand(1)
    torch.manual_seed(3)
    first = influence("lstm", None, True, 20, 5)
    assert torch.equal(torch.rand(1), expected)
    influence.cache_clear()
    np.testing.assert_array_equal(influence("lstm", None, True, 20, 5), first)


def test_gradient_shows_what_the_chapter_says():
    view = gradient_explorer(predict=False)
    for seed in range(10):
        view.set(seed=seed, distance=50, length=100, forget_bias=4.0, radius=0.9, bend=True)
        assert max(view.numbers["rnn"][50], view.numbers["lstm"][50]) < 1e-4 < 0.01 < view.numbers["forget"][50]
    assert f"RNN: {scientific(view.numbers['rnn'][50])}" in view.picture.alt and "Vanished" in view.message.value
    view.set(radius=1.2, bend=False)
    assert view.numbers["rnn"][50] == pytest.approx(1.2**50, rel=1e-4)
    view.set(radius=1.5, bend=True, distance=99)
    assert ("exploding" in view.message.value) == (view.numbers["rnn"][99] > 10)


def test_where_an_rnn_is_balanced_depends_on_its_weights():
    below, above = ([influence("rnn", size, True, 100, seed)[99] for seed in range(10)] for size in (1.0, 1.5))
    assert max(below) < 1e-3
    assert min(above) < 1 < max(above)


def test_gradient_distance_stays_inside_the_sequence():
    view = gradient_explorer(predict=False)
    view.set(distance=99)
    view.controls["length"].value = 10
    assert view.controls["distance"].value == 9 and len(view.numbers["rnn"]) == 10 and "distance 9" in view.picture.alt


def test_views_ask_first():
    for view in (gradient_explorer(), cost_explorer()):
        hidden = len(view.children)
        view.prediction.answer(0)
        assert len(view.children) > hidden


# ---- cost ------------------------------------------------------------------------------------------------------------
def test_cost_shows_the_librarys_numbers():
    view = cost_explorer(predict=False)
    n = LENGTHS.tolist()[50]
    view.set(n=n, d=256, kernel_size=5)
    assert view.numbers == recurrent.layer_costs(n, 256, 5)
    assert f"{4 * n * n * 256:,}" in view.table.value and f"n = {n:,}" in view.picture.alt
    ratio = n / 256
    assert f"{ratio:,.1f} times" in view.message.value and "above d" in view.message.value
    view.set(n=int(LENGTHS[0]))
    assert "below d" in view.message.value
    view.set(n=64, d=64)
    assert "exactly as many" in view.message.value


def test_cost_draws_anew_only_when_something_moves():
    view = cost_explorer(predict=False)
    before = view.picture.image.value
    view.redraw()
    assert view.picture.image.value == before
    view.set(d=1024)
    assert view.picture.image.value != before


# ---- receptive fields ------------------------------------------------------------------------------------------------
def test_receptive_page_is_self_contained():
    view = receptive_field_explorer()
    assert "://" not in view.document.replace("http://www.w3.org/2000/svg", "")
    data = json.loads(re.search(r'<script type="application/json" id="data">(.*?)</script>', view.document, re.S)[1])
    answers = [answer for answer, _ in data["question"]["options"]]
    assert answers[data["question"]["right"]] == str(recurrent.receptive_field(3, 4))
    assert "null" in receptive_field_explorer(predict=False).document
