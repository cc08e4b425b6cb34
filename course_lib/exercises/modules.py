"""Checks of exercises that are modules.

Judged are the names and shapes of the parameters, what the module computes with weights that it is given, and the
gradients. What it is made of inside is its own affair.
"""

import math
from collections.abc import Callable

import torch
from torch import Tensor

from course_lib.grading.exercise import Check
from course_lib.grading.observe import Cases, generator, modules, normal

Weights = dict[str, Tensor]
Shapes = dict[str, list[int]]


def errors(submission, inputs):
    """Each case: the kind of error that the call ends in."""
    found = []
    for arguments in inputs["cases"]:
        try:
            submission(*arguments)
            found.append({"raises": "nothing"})
        except ValueError:
            found.append({"raises": "ValueError"})
        except Exception as error:
            found.append({"raises": type(error).__name__})
    return found


def module_errors(submission, inputs):
    """Each case, named: the kind of error that making the module, or calling it, ends in."""
    found = {}
    for name, (arguments, case) in inputs["cases_by_name"].items():
        try:
            submission(*arguments)(*case)
            found[name] = "no error"
        except ValueError:
            found[name] = "ValueError"
        except Exception as error:
            found[name] = type(error).__name__
    return found


def parameters(submission, inputs):
    """The names and shapes of the parameters, and those starting values that are fixed."""
    found = {}
    for name, arguments in inputs["sizes"].items():
        module = submission(*arguments)
        state, trained = module.state_dict(), dict(module.named_parameters())
        found[name] = {key: list(value.shape) for key, value in state.items()}
        found[name + ", without a gradient"] = sorted(key for key in state if key not in trained)
        for key in inputs["starts"]:
            if key in state:
                found[name + ", at the start"] = found.get(name + ", at the start", {}) | {key: state[key]}
    return found


def named_modules(submission, inputs):
    """Each case, named: a module of its own size and dtype, given weights, and called."""
    found = {}
    for name, (arguments, weights, case) in inputs["modules"].items():
        module = submission(*arguments).to(case[0].dtype)
        module.load_state_dict(weights)
        module.eval()
        found[name] = {"result": module(*case), "arguments": case}
    return found


def module_gradients(submission, inputs):
    """Each case: the gradient of the weighted sum of the results with respect to arguments and parameters."""
    module = submission(*inputs["arguments"])
    module.load_state_dict(inputs["weights"])
    module.eval()
    found = []
    for case, factors in zip(inputs["cases"], inputs["factors"]):
        case = [a.clone().requires_grad_() if torch.is_tensor(a) and a.is_floating_point() else a for a in case]
        leaves = {f"argument {i + 1}": a for i, a in enumerate(case) if torch.is_tensor(a) and a.requires_grad}
        leaves |= dict(module.named_parameters())
        total = (module(*case) * factors).sum()
        slopes = [None] * len(leaves)
        if total.requires_grad:
            slopes = torch.autograd.grad(total, list(leaves.values()), allow_unused=True)
        found.append(
            {
                "gradient": {
                    name: torch.zeros_like(leaf) if slope is None else slope
                    for (name, leaf), slope in zip(leaves.items(), slopes)
                }
            }
        )
    return found


def random_weights(g: torch.Generator, shapes: Shapes, dtype: torch.dtype = torch.float32) -> Weights:
    return {name: normal(g, *shape, dtype=dtype) / math.sqrt(shape[-1]) for name, shape in shapes.items()}


def check_parameters(
    id: str,
    points: int,
    hint: str,
    shapes: Callable[..., Shapes],
    sizes: Callable[[torch.Generator], list[tuple]],
    starts: Callable[..., dict[str, float]] = lambda *_: {},
) -> Check:
    """A check that the state dict has exactly these names and shapes, all of it trained."""

    def inputs(seed: int) -> dict:
        all_sizes = sizes(generator(seed))
        return {"sizes": {f"with sizes {size}": size for size in all_sizes}, "starts": list(starts())}

    def expected(inputs: dict) -> dict:
        found = {}
        for name, arguments in inputs["sizes"].items():
            wanted = shapes(*arguments)
            found[name] = wanted
            found[name + ", without a gradient"] = []
            if starts():
                found[name + ", at the start"] = {
                    key: torch.full(wanted[key], value) for key, value in starts().items()
                }
        return found

    return Check(id, points, hint, inputs, parameters, expected)


def check_module(
    id: str,
    points: int,
    hint: str,
    shapes: Callable[..., Shapes],
    arguments: tuple,
    cases: Cases,
    authority: Callable,
    *,
    needs=(),
    atol=1e-5,
) -> Check:
    """A check that builds a module, gives it weights, and compares with `authority(arguments, weights, *case)`."""

    def inputs(seed: int) -> dict:
        g = generator(seed)
        return {"arguments": arguments, "weights": random_weights(g, shapes(*arguments)), "cases": cases(g)}

    def expected(inputs: dict) -> dict:
        weights = inputs["weights"]
        results = [authority(inputs["arguments"], weights, *case) for case in inputs["cases"]]
        return {
            "state": {name: list(value.shape) for name, value in weights.items()},
            "cases": [{"result": result, "arguments": case} for result, case in zip(results, inputs["cases"])],
        }

    return Check(id, points, hint, inputs, modules, expected, needs, atol)


def check_modules(
    id: str,
    points: int,
    hint: str,
    shapes: Callable[..., Shapes],
    cases: Callable[[torch.Generator], dict[str, tuple[tuple, tuple]]],
    authority: Callable,
    *,
    needs=(),
) -> Check:
    """The same for modules of several sizes: name -> (arguments, case)."""

    def inputs(seed: int) -> dict:
        g = generator(seed)
        return {
            "modules": {
                name: (arguments, random_weights(g, shapes(*arguments), case[0].dtype), case)
                for name, (arguments, case) in cases(g).items()
            }
        }

    def expected(inputs: dict) -> dict:
        return {
            name: {"result": authority(arguments, weights, *case), "arguments": case}
            for name, (arguments, weights, case) in inputs["modules"].items()
        }

    return Check(id, points, hint, inputs, named_modules, expected, needs)


def check_module_gradients(
    id: str,
    points: int,
    hint: str,
    shapes: Callable[..., Shapes],
    arguments: tuple,
    cases: Cases,
    authority: Callable,
    *,
    needs=(),
) -> Check:
    """A check that the gradients with respect to arguments and parameters are those of `authority`."""

    def inputs(seed: int) -> dict:
        g = generator(seed)
        weights, found = random_weights(g, shapes(*arguments)), cases(g)
        factors = [normal(g, *authority(arguments, weights, *case).shape) for case in found]
        return {"arguments": arguments, "weights": weights, "cases": found, "factors": factors}

    def expected(inputs: dict) -> list:
        found = []
        for case, factors in zip(inputs["cases"], inputs["factors"]):
            weights = {name: w.clone().requires_grad_() for name, w in inputs["weights"].items()}
            case = [a.clone().requires_grad_() if torch.is_tensor(a) and a.is_floating_point() else a for a in case]
            (authority(inputs["arguments"], weights, *case) * factors).sum().backward()
            leaves = {f"argument {i + 1}": a for i, a in enumerate(case) if torch.is_tensor(a) and a.requires_grad}
            found.append(
                {
                    "gradient": {
                        name: torch.zeros_like(leaf) if leaf.grad is None else leaf.grad
                        for name, leaf in (leaves | weights).items()
                    }
                }
            )
        return found

    return Check(id, points, hint, inputs, module_gradients, expected, needs)


def linear(weights: Weights, name: str, x: Tensor) -> Tensor:
    return x @ weights[f"{name}.weight"].mT + weights[f"{name}.bias"]


def linear_shapes(name: str, d_in: int, d_out: int) -> Shapes:
    return {f"{name}.weight": [d_out, d_in], f"{name}.bias": [d_out]}


def check_module_errors(
    id: str, points: int, hint: str, cases: Callable[[torch.Generator], dict], needs: tuple = ()
) -> Check:
    """A check that all of these end in a ValueError: name -> (arguments of the module, of its call)."""
    return Check(
        id, points, hint, lambda seed: {"cases_by_name": cases(generator(seed))}, module_errors,
        lambda inputs: dict.fromkeys(inputs["cases_by_name"], "ValueError"), needs,
    )  # fmt: skip


def random_mask(g: torch.Generator, *shape: int) -> Tensor:
    """About half True; every query may attend to the first key at least."""
    mask = torch.rand(*shape, generator=g) < 0.5
    mask[..., 0] = True
    mask[..., -1] = False
    return mask
