"""The concept map, the timeline and the bowl: what they show is what they were given."""

import re
import xml.etree.ElementTree as ET

import pytest
import torch

from course_lib.optimisers import adam_step
from course_lib.views import concept_map, descent_explorer, timeline
from course_lib.views.descent import START, descend

EDGES = [("a", "has the kind", "b"), ("b", "is made of", "c"), ("a", "is made of", "c")]


def svg(text: str) -> ET.Element:
    return ET.fromstring(re.search(r"<svg.*</svg>", text, re.S)[0])


def test_every_concept_and_arrow_is_drawn_and_marks_are_readable():
    picture = svg(concept_map(EDGES, marked={"b"}, alt="three & more").data)
    assert picture.get("aria-label") == "three & more"
    assert [text.text for text in picture.iter("text")] == ["a", "b ✓", "c", "has the kind", "is made of"]
    arrows = [path for path in picture.iter("path") if path.get("marker-end")]
    assert len(arrows) == 3 and sum(path.get("stroke-dasharray") is not None for path in arrows) == 1


def test_a_concept_stands_below_everything_that_leads_to_it():
    heights = {text.text: float(text.get("y")) for text in svg(concept_map(EDGES).data).iter("text")}
    assert heights["a"] < heights["b"] < heights["c"]


def test_a_circle_has_no_map():
    with pytest.raises(ValueError, match="circle"):
        concept_map([("a", "is made of", "b"), ("b", "is made of", "a")])


def test_timeline_is_in_order_and_says_how_long_it_took():
    text = re.sub(r"<[^>]*>", " ", timeline([("2017-06", "Later", "x"), ("2014-09", "Earlier", "y < z")]).data)
    assert re.search(r"Earlier\s+y &lt; z\s+3 years later\s+2017-06\s+● +Later", text)
    assert "16 years" not in timeline().data and "17 years later" in timeline().data  # November 1997 to September 2014


@pytest.mark.parametrize("name", ["plain", "momentum", "Adam"])
def test_the_ways_down_are_those_of_pytorchs_optimisers(name):
    from course_lib.views.descent import MOVES

    steepness, rate = 7.0, 0.03
    place = torch.nn.Parameter(torch.tensor(START))
    optimizer = {
        "plain": lambda: torch.optim.SGD([place], rate),
        "momentum": lambda: torch.optim.SGD([place], rate, momentum=0.9),
        "Adam": lambda: torch.optim.Adam([place], rate),
    }[name]()
    places = [place.detach().clone()]
    for _ in range(60):
        place.grad = place.detach() * torch.tensor([1.0, steepness])
        optimizer.step()
        places.append(place.detach().clone())
    torch.testing.assert_close(descend(MOVES[name], rate, steepness), torch.stack(places))


def test_the_bowl_can_be_flown_out_of():
    view = descent_explorer()
    assert view.numbers["plain"] < 1
    view.set(rate=1.0, steepness=50)
    assert not view.numbers["plain"] < 1e6 and view.numbers["Adam"] < 1
    assert "nan" not in view.children[-1].value and "far away" in view.children[-2].value


def test_adams_step_is_pytorchs():
    torch.manual_seed(0)
    weight, gradients = torch.nn.Parameter(torch.randn(3, 5)), torch.randn(4, 3, 5)
    parameter, m, v = weight.detach().clone(), torch.zeros(3, 5), torch.zeros(3, 5)
    optimizer = torch.optim.Adam([weight], lr=0.02, betas=(0.8, 0.95), eps=1e-3)
    for step, gradient in enumerate(gradients, 1):
        parameter, m, v = adam_step(parameter, gradient, m, v, step, 0.02, 0.8, 0.95, 1e-3)
        weight.grad = gradient.clone()
        optimizer.step()
        torch.testing.assert_close(parameter, weight.detach())
    torch.testing.assert_close((m, v), (optimizer.state[weight]["exp_avg"], optimizer.state[weight]["exp_avg_sq"]))
