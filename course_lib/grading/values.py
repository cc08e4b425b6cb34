"""Plain values: what may come back from a submission, and how it is put into words."""

from dataclasses import dataclass

import torch
from torch import Tensor

MAX_DEPTH = 20


@dataclass(frozen=True)
class Observation:
    """What one check saw of a submission.

    Args:
        status: "returned"; "raised"; "timeout"; "missing" (not defined, or left as it was); "library" (the library's
            own object was handed in).
        value: what was returned, plain.
        message: the error in one line, "ValueError: …"; or why it is missing.
        where: the submission's line that raised, "line 3: scores = q @ k".
    """

    status: str = "returned"
    value: object = None
    message: str = ""
    where: str = ""


@dataclass(frozen=True)
class Foreign:
    """Stands for a value of a kind that no check asks for, a NumPy array say."""

    type_name: str


def plain(value: object, depth: int = 0) -> object:
    """Copy a value into exact torch tensors, numbers, strings, None, and lists, tuples, dicts and sets of these.

    Subclasses become their plain kind (a Parameter a tensor, a NamedTuple a tuple), so that nothing of a submission
    takes part in the comparison; anything else becomes `Foreign`.
    """
    if depth > MAX_DEPTH:
        return Foreign(type_name(value))
    if isinstance(value, Tensor):
        with torch._C.DisableTorchFunctionSubclass():  # so that a subclass cannot answer in its own way
            if value.layout is not torch.strided or value.is_quantized or value.device.type == "meta":
                return Foreign(f"{type_name(value)} ({value.layout}, {value.device})")
            value = value.detach().as_subclass(Tensor).cpu().resolve_conj().resolve_neg()
            return value.clone(memory_format=torch.contiguous_format)
    if value is None or isinstance(value, bool):
        return value
    for kind in (int, float, str):
        if isinstance(value, kind):
            return kind(value)
    for kind in (tuple, list, set, frozenset):
        if isinstance(value, kind):
            kind = set if kind is frozenset else kind
            return kind(plain(item, depth + 1) for item in value)
    if isinstance(value, dict):
        return {plain(key, depth + 1): plain(item, depth + 1) for key, item in value.items()}
    return Foreign(type_name(value))


def type_name(value: object) -> str:
    """The name of a value's type, with its module where that says something: `numpy.ndarray`, but `list`."""
    kind = type(value)
    module, name = str(kind.__module__).split(".")[0], kind.__qualname__
    name = name if module in ("builtins", "__main__") else f"{module}.{name}"
    return "".join(c if c.isprintable() else "?" for c in name[:100]) or "?"


def describe(value: object) -> str:
    """A few words for a value: a tensor by its shape, or by its contents where it is a small table of ids."""
    if isinstance(value, Tensor):
        if not value.is_floating_point() and value.dtype is not torch.bool and value.numel() <= 12:
            return str(value.tolist())
        return kind_of_tensor(value)
    return repr(value)


def kind_of_tensor(value: Tensor) -> str:
    """dtype and shape, without the dtype where it is the usual one: `[2, 3]`, `bool [2, 3]`."""
    shape = str(list(value.shape))
    return shape if value.dtype is torch.float32 else f"{dtype_name(value.dtype)} {shape}"


def dtype_name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")
