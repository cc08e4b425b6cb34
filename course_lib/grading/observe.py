"""What a check does with a submission (the observers), and ready-made kinds of check.

An observer's source text travels alone to where the submission runs: it uses nothing but `torch`, `math` and builtins.
It reads "cases", a list with one tuple of positional arguments for each call, and gives one result for each of them.
"""

from collections.abc import Callable
from functools import lru_cache

import torch
from torch import Tensor

from course_lib.grading.exercise import Check

Cases = Callable[[torch.Generator], list[tuple]]


def calls(submission, inputs):
    """Each case: the result, and the arguments as they are after the call."""
    return [{"result": submission(*arguments), "arguments": arguments} for arguments in inputs["cases"]]


def gradients(submission, inputs):
    """Each case: the gradient of the weighted sum of the results with respect to each floating-point argument."""
    found = []
    for arguments, weights in zip(inputs["cases"], inputs["weights"]):
        tracked = [isinstance(a, torch.Tensor) and a.is_floating_point() for a in arguments]
        arguments = [a.clone().requires_grad_() if track else a for a, track in zip(arguments, tracked)]
        leaves = [a for a, track in zip(arguments, tracked) if track]
        total = (submission(*arguments) * weights).sum()
        slopes = torch.autograd.grad(total, leaves, allow_unused=True) if total.requires_grad else [None] * len(leaves)
        slopes = iter([torch.zeros_like(a) if slope is None else slope for a, slope in zip(leaves, slopes)])
        found.append({"gradients": [next(slopes) if track else None for track in tracked]})
    return found


def modules(submission, inputs):
    """Build a module, compare its state, give it the weights, and call it on each case."""
    module = submission(*inputs["arguments"])
    state = {name: list(value.shape) for name, value in module.state_dict().items()}
    if state != {name: list(value.shape) for name, value in inputs["weights"].items()}:
        return {"state": state, "cases": None}
    module.load_state_dict(inputs["weights"])
    module.eval()
    return {"state": state, "cases": [{"result": module(*case), "arguments": case} for case in inputs["cases"]]}


def check_values(
    id: str, points: int, hint: str, cases: Cases, authority: Callable, *, needs=(), atol=1e-5, rtol=1e-4
) -> Check:
    """A check that calls the submission on each case and compares with what `authority` gives for it.

    It also holds that the arguments are left as they were.
    """

    def inputs(seed: int) -> dict:
        return {"cases": cases(generator(seed))}

    def expected(inputs: dict) -> list:
        return [{"result": authority(*arguments), "arguments": arguments} for arguments in inputs["cases"]]

    return Check(id, points, hint, inputs, calls, expected, needs, atol, rtol)


def check_gradients(
    id: str, points: int, hint: str, cases: Cases, authority: Callable, *, needs=(), atol=1e-5, rtol=1e-4
) -> Check:
    """A check that the gradients with respect to the floating-point arguments are those of `authority`."""

    @lru_cache(maxsize=4)  # misconceptions are asked with the same seed again and again
    def shapes(seed: int) -> list[torch.Size]:
        return [authority(*arguments).shape for arguments in cases(generator(seed))]

    def inputs(seed: int) -> dict:
        g = generator(seed)
        return {"cases": cases(g), "weights": [normal(g, *shape) for shape in shapes(seed)]}

    def expected(inputs: dict) -> list:
        return gradients(authority, inputs)

    return Check(id, points, hint, inputs, gradients, expected, needs, atol, rtol)


def generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def normal(g: torch.Generator, *shape: int, dtype: torch.dtype = torch.float32) -> Tensor:
    return torch.randn(shape, generator=g, dtype=dtype)


def integers(g: torch.Generator, low: int, high: int, *shape: int) -> Tensor:
    """int64, from low to high - 1."""
    return torch.randint(low, high, shape, generator=g)
