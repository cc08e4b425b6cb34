"""The views of chapter 11: their numbers against the model's own."""

import json
import re

import pytest
import torch

from course_lib.corpora.pairs import Pair
from course_lib.evaluation import alignment_error_rate
from course_lib.interpretation import attention_rollout, gradient_times_input, heads_off, integrate_words, occlude_words
from course_lib.snapshots import shipped_snapshots
from course_lib.translator import Translator
from course_lib.views.ablation import GREEDY, head_ablation
from course_lib.views.inside import alignment_view, attention_in_training, occlusion_view, rollout_view

LAST = "decoder.layers.1.cross_attention"


@pytest.fixture(scope="module")
def shipped():
    return Translator.shipped()


@pytest.fixture(scope="module")
def pairs() -> list[Pair]:
    return shipped_snapshots()[0]


def data_of(view) -> dict:
    return json.loads(re.search(r'id="data">(.*?)</script>', view.document, re.DOTALL)[1])


def frame_of(data: dict, *at: int) -> dict:
    number = 0
    for index, choice in zip(at, data["choices"], strict=True):
        number = number * len(choice["names"]) + index
    return data["frames"][number]


def test_training_view_has_every_sentence_step_layer_and_head(pairs):
    _, shots = shipped_snapshots()
    data = data_of(attention_in_training(pairs, shots))
    assert [len(choice["names"]) for choice in data["choices"]] == [4, 8, 2, 4] and data["choices"][1]["slider"]
    assert len(data["frames"]) == 4 * 8 * 2 * 4
    frame = frame_of(data, 2, 5, 1, 3)
    pair, shot = pairs[2], shots[5]
    assert frame["rows"] == pair.target.split() and frame["cols"] == pair.source.split()
    want = shot.maps[2][LAST][0, 3, :-1, :-1]
    torch.testing.assert_close(torch.tensor(frame["panels"][0]["values"]), want, atol=6e-4, rtol=0)
    assert {(s, t) for t, s in frame["gold"]} == pair.alignment
    assert shot.translations[2] in frame["said"][0] and f"{shot.errors[LAST][3]:.2f}" in frame["said"][1]


def test_alignment_view_counts_links(shipped, pairs):
    data = data_of(alignment_view(shipped, pairs[:2], {LAST: [0.1] * 4, LAST.replace("1", "0"): [0.2] * 4}))
    frame = frame_of(data, 1, 1, 2)
    links = {(row.index(max(row)), t) for t, row in enumerate(frame["panels"][0]["values"])}
    error = alignment_error_rate(links, pairs[1].alignment)
    assert f"alignment error {error:.2f} here, 0.10 on many" in frame["said"][0]
    assert f"{len(links & pairs[1].alignment)} links right" in frame["said"][0]


def test_rollout_view_shows_the_library_s_rollout(shipped):
    tokens, _, maps = shipped.attend("Jack ran in the park yesterday .")
    data = data_of(rollout_view(maps, tokens))
    layers = [maps[f"encoder.layers.{i}.attention"][0] for i in range(2)]
    frame = frame_of(data, 1, 3)
    raw, rolled = (torch.tensor(panel["values"]) for panel in frame["panels"])
    torch.testing.assert_close(raw, layers[1][2], atol=6e-4, rtol=0)
    torch.testing.assert_close(rolled, attention_rollout(layers), atol=6e-4, rtol=0)
    with pytest.raises(ValueError, match="the tokens are"):
        rollout_view(maps, tokens[1:])


def test_occlusion_view_is_signed(shipped, pairs):
    data = data_of(occlusion_view(shipped, pairs[:1]))
    attention, worth, slope, share = frame_of(data, 0, 1, 0)["panels"]
    want = occlude_words(shipped, pairs[0].source, pairs[0].target)[2][:-1]
    torch.testing.assert_close(torch.tensor(worth["values"]), want, atol=6e-4, rtol=0)
    assert worth["signed"] and slope["signed"] and share["signed"] and not attention["signed"]
    for panel, of, unit in ((slope, gradient_times_input, 1000), (share, integrate_words, 1)):
        want_too = unit * of(shipped, pairs[0].source, pairs[0].target)[2][:-1]
        torch.testing.assert_close(torch.tensor(panel["values"]), want_too, atol=6e-4, rtol=1e-3)
    assert worth["limit"] == pytest.approx(want.abs().max().item(), abs=1e-3)


def test_ablation_translates_without_the_heads(shipped, pairs):
    before = {name: value.clone() for name, value in shipped.model.state_dict().items()}
    view = head_ablation(shipped, pairs, ["Jack ran in the park yesterday ."], {LAST: [0.5, 0.25, 0.125, 0.0]})
    assert view.numbers["bleu"] == pytest.approx(100) and view.numbers["off"] == {} and "as before" in view.table.value
    assert view.controls[f"{LAST} 1"].description == "1 · AER .25"
    view.set(**{f"{LAST} {head}": True for head in range(4)})
    with heads_off(shipped.model, {LAST: range(4)}):
        wanted = shipped.translate("Jack ran in the park yesterday .", GREEDY)
    assert wanted in view.table.value and view.numbers["bleu"] < 90 and "4 of 24 heads off" in view.message.value
    assert view.controls[f"{LAST} 1"].description == "1 off"
    view.set(own="Tom reads <b> .")
    assert view.failure is None and "&lt;b&gt;" in view.table.value
    view.set(own="", **{f"{LAST} {head}": False for head in range(4)})
    assert view.numbers["bleu"] == pytest.approx(100) and view.numbers["seconds"] < 10
    assert all(torch.equal(value, before[name]) for name, value in shipped.model.state_dict().items())
