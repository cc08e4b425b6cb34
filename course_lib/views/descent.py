"""Three optimisers on their way down a bowl."""

import html
from collections.abc import Callable

import ipywidgets as widgets
import torch
from torch import Tensor

from course_lib.optimisers import adam_step
from course_lib.views.figures import View, say, slider, text
from course_lib.views.palette import GRID, GROUND, HEADS, INK, MUTED

START = (-9.0, 3.0)
STEPS = 60
WIDTH, HEIGHT, SCALE = 640, 300, 30  # pixels; pixels for one unit


def descent_explorer() -> View:
    """Shows plain gradient descent, momentum and Adam in a bowl that is steeper in one direction than in the other.

    The learner moves the learning rate and the steepness. `view.numbers` holds for each optimiser its distance from the
    lowest point after 60 steps.
    """
    controls = {
        "rate": slider(widgets.FloatLogSlider, "rate", 0.05, base=10, min=-3, max=0, step=0.05, readout_format=".3f"),
        "steepness": slider(widgets.IntSlider, "times as steep", 20, min=1, max=50),
    }
    picture, message, numbers = widgets.HTML(), text(), {}

    def draw(rate: float, steepness: int) -> None:
        paths = {name: descend(move, rate, steepness) for name, move in MOVES.items()}
        numbers.update({name: path[-1].norm().item() for name, path in paths.items()})
        picture.value = _svg(paths, steepness)
        ends = (f"<b>{name}</b> {_short(distance)}" for name, distance in numbers.items())
        say(message, f"Distance from the lowest point after {STEPS} steps (9.5 at the start): {', '.join(ends)}.")

    view = View("Three ways down", controls, [message, picture], draw)
    view.numbers = numbers
    return view


def descend(move: Callable, rate: float, steepness: float) -> Tensor:
    """The places [61, 2] that an optimiser comes through in the bowl (x² + steepness · y²) / 2."""
    place, m, v = torch.tensor(START), torch.zeros(2), torch.zeros(2)
    places = [place]
    for step in range(1, STEPS + 1):
        gradient = place * torch.tensor([1.0, steepness])
        place, m, v = move(place, gradient, m, v, step, rate)
        places.append(place)
    return torch.stack(places)


def _plain(place, gradient, m, v, step, rate):
    return place - rate * gradient, m, v


def _momentum(place, gradient, m, v, step, rate):
    m = 0.9 * m + gradient
    return place - rate * m, m, v


def _adam(place, gradient, m, v, step, rate):
    return adam_step(place, gradient, m, v, step, rate, 0.9, 0.999, 1e-8)


MOVES = {"plain": _plain, "momentum": _momentum, "Adam": _adam}
STYLES = {"plain": (HEADS[0], "", "●"), "momentum": (HEADS[4], "7 3", "■"), "Adam": (HEADS[2], "2 3", "▲")}


def _short(distance: float) -> str:
    return f"{distance:.2f}" if distance < 100 else "far away"


def _svg(paths: dict[str, Tensor], steepness: float) -> str:
    """Level lines, the three ways, and a text alternative."""
    x0, y0 = 360, HEIGHT / 2
    rings = "".join(
        f'<ellipse cx="{x0}" cy="{y0}" rx="{r * SCALE}" ry="{r * SCALE / steepness**0.5:.1f}" fill="none" '
        f'stroke="{GRID}"/>'
        for r in (2, 4, 6, 8, 10, 12, 14)
    )
    ways = []
    for name, path in paths.items():
        color, dashes, sign = STYLES[name]
        inside = path[(path.abs() < 60).all(-1).cumprod(0).bool()]  # until it has flown out, far beyond the picture
        points = [(x0 + SCALE * x, y0 - SCALE * y) for x, y in inside.tolist()]
        line = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
        x, y = points[-1]
        ways.append(
            f'<polyline points="{line}" fill="none" stroke="{color}" stroke-width="2" stroke-dasharray="{dashes}"/>'
            f'<text x="{x:.1f}" y="{y + 5:.1f}" fill="{color}" text-anchor="middle">{sign}</text>'
        )
    legend = "".join(
        f'<text x="{WIDTH - 110}" y="{22 + 20 * i}" fill="{color}">{sign} {html.escape(name)}</text>'
        for i, (name, (color, _, sign)) in enumerate(STYLES.items())
    )
    alt = "Level lines of the bowl and the ways of the three optimisers; a sign marks where each is after 60 steps."
    return (
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" style="max-width:100%;height:auto;background:{GROUND};'
        f'border-radius:6px" role="img" aria-label="{alt}" font-family="sans-serif" font-size="14" fill="{INK}">'
        f'{rings}<text x="{x0}" y="{y0 + 5}" text-anchor="middle" fill="{MUTED}">×</text>{"".join(ways)}{legend}</svg>'
    )
