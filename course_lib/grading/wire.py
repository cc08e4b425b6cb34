"""Messages between the judge and the worker in which a submission runs: a JSON header and raw bytes, never pickle.

A frame is the lengths of header and body (4 and 8 bytes, little-endian), the header (a tree in which a tensor is
its dtype, shape and number of bytes), and the bytes of the tensors one after the other. The reader believes
nothing: sizes are checked against limits before anything is read, and what does not fit is a WireError.
"""

import json
import math
import os
import select
import struct
import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from course_lib.grading.values import Foreign, type_name

PREFIX = struct.Struct("<IQ")
MAX_HEADER = 2 << 20
MAX_BODY = 64 << 20
MAX_NODES = 20_000  # a dict of so many keys that all collide takes a second
MAX_DEPTH = 40
MAX_AXES = 16
MAX_TEXT = 20_000
MAX_INTEGER = 1 << 256
SLICE = 0.25  # seconds
DTYPES = {
    name: getattr(torch, name)
    for name in (
        "float16 bfloat16 float32 float64 complex64 complex128 bool uint8 uint16 uint32 uint64 int8 int16 int32 int64"
    ).split()
}
NAMES = {dtype: name for name, dtype in DTYPES.items()}


class WireError(Exception):
    """What came is no message, or is larger than a message may be."""


class Closed(WireError):
    """The other side is gone."""


@dataclass
class _Budget:
    """What is left of a message's allowance while it is taken apart."""

    nodes: int
    body: int

    def node(self, depth: int) -> None:
        self.nodes -= 1
        if self.nodes < 0 or depth > MAX_DEPTH:
            raise WireError("it is nested too deeply, or has too many parts")


def encode(value: object, max_body: int = MAX_BODY) -> bytes:
    """The frame for a plain value (see `values.plain`); WireError if it is too large."""
    buffers: list[bytes] = []
    tree = _pack(value, buffers, _Budget(MAX_NODES, max_body), 0)
    header = json.dumps(tree, separators=(",", ":")).encode()
    if len(header) > MAX_HEADER:
        raise WireError("it is too large")
    return b"".join([PREFIX.pack(len(header), sum(map(len, buffers))), header, *buffers])


def decode(read: Callable[[int], bytes | bytearray], max_body: int = MAX_BODY) -> object:
    """Read one frame with `read(n)`, which gives exactly n bytes, and make a plain value of it.

    Raises:
        WireError: it is not a frame, or larger than allowed. No more than the header is read before that is known.
    """
    header_size, body_size = PREFIX.unpack(read(PREFIX.size))
    if header_size > MAX_HEADER or body_size > max_body:
        raise WireError("it is too large")
    try:
        tree = json.loads(read(header_size).decode())
    except (ValueError, RecursionError):
        raise WireError("its header is not JSON") from None
    slots: list[_Slot] = []
    value = _unpack(tree, slots, _Budget(MAX_NODES, body_size), 0)
    if sum(slot.size for slot in slots) != body_size:
        raise WireError("its header does not describe its body")
    body, start = memoryview(bytearray(read(body_size))), 0
    for slot in slots:
        slot.fill(body[start : start + slot.size])
        start += slot.size
    return _filled(value)


class Channel:
    """Frames over a pair of file descriptors, which may be the same, with a deadline for each frame."""

    def __init__(self, reading: int, writing: int) -> None:
        self.reading, self.writing = reading, writing
        for descriptor in {reading, writing}:
            os.set_blocking(descriptor, False)

    def send(self, value: object, seconds: float | None = None, max_body: int = MAX_BODY) -> None:
        """Send a message; TimeoutError when the other side does not take it in time."""
        rest, deadline = memoryview(encode(value, max_body)), _deadline(seconds)
        while rest:
            _wait([], [self.writing], deadline)
            try:
                rest = rest[os.write(self.writing, rest[: 1 << 20]) :]
            except BlockingIOError:
                continue
            except OSError:
                raise Closed("the other side is gone") from None

    def receive(
        self, seconds: float | None = None, max_body: int = MAX_BODY, given_up: Callable[[], bool] | None = None
    ) -> object:
        """The next message; TimeoutError when it is not complete in time, however slowly it trickles.

        Args:
            given_up: asked now and then while nothing comes; True means not to wait any longer.
        """
        deadline = _deadline(seconds)

        def read(n: int) -> bytearray:
            buffer = bytearray()
            while len(buffer) < n:
                _wait([self.reading], [], deadline, given_up)
                try:
                    got = os.read(self.reading, min(n - len(buffer), 1 << 20))
                except BlockingIOError:
                    continue
                except OSError:
                    got = b""
                if not got:
                    raise Closed("the other side is gone")
                buffer += got
            return buffer

        return decode(read, max_body)

    def close(self) -> None:
        for descriptor in {self.reading, self.writing}:
            os.close(descriptor)


def _deadline(seconds: float | None) -> float | None:
    return None if seconds is None else time.monotonic() + seconds


def _wait(
    reading: list[int], writing: list[int], deadline: float | None, given_up: Callable[[], bool] | None = None
) -> None:
    while True:
        left = None if deadline is None else max(deadline - time.monotonic(), 0)
        pause = left if given_up is None else SLICE if left is None else min(left, SLICE)
        if any(select.select(reading, writing, [], pause)):
            return
        if (left is not None and left <= pause) or (given_up and given_up()):
            raise TimeoutError


class _Slot:
    """The place of a tensor whose bytes have not been read yet."""

    def __init__(self, dtype: torch.dtype, shape: list[int], size: int) -> None:
        self.dtype, self.shape, self.size, self.tensor = dtype, shape, size, None

    def fill(self, data: memoryview) -> None:
        self.tensor = torch.empty(self.shape, dtype=self.dtype)
        if not self.size:
            return
        raw = torch.frombuffer(data, dtype=torch.uint8)
        if self.dtype is torch.bool:  # any other byte than 0 and 1 would be undefined behaviour
            raw = raw.ne(0).view(torch.uint8)
        self.tensor.view(-1).view(torch.uint8).copy_(raw)  # byte by byte: a frame keeps numbers at odd addresses


def _pack(value: object, buffers: list[bytes], budget: _Budget, depth: int) -> object:
    budget.node(depth)
    if value is None or isinstance(value, bool | float):
        return value
    if isinstance(value, int):
        return value if abs(value) < MAX_INTEGER else {"foreign": "int with very many digits"}
    if isinstance(value, str):
        return value if len(value) <= MAX_TEXT else {"foreign": f"str of length {len(value)}"}
    if isinstance(value, Tensor):
        if value.dtype not in NAMES:
            return {"foreign": f"tensor of dtype {str(value.dtype).removeprefix('torch.')}"}
        size = value.numel() * value.element_size()
        budget.body -= size
        if budget.body < 0:
            raise WireError("it is too large")
        flat = value.contiguous().reshape(-1)
        buffers.append(flat.view(torch.uint8).numpy().tobytes() if size else b"")
        return {"tensor": [NAMES[value.dtype], list(value.shape), size]}
    if isinstance(value, Foreign):
        return {"foreign": value.type_name}
    for kind in (list, tuple, set):
        if isinstance(value, kind):
            return {kind.__name__: [_pack(item, buffers, budget, depth + 1) for item in value]}
    if isinstance(value, dict):
        pairs = [[_pack(part, buffers, budget, depth + 1) for part in item] for item in value.items()]
        return {"dict": pairs}
    return {"foreign": type_name(value)}


def _unpack(tree: object, slots: list[_Slot], budget: _Budget, depth: int) -> object:
    budget.node(depth)
    match tree:
        case None | bool() | float():
            return tree
        case int() if abs(tree) < MAX_INTEGER:
            return tree
        case str() if len(tree) <= MAX_TEXT:
            return tree
        case {"foreign": str(name), **rest} if not rest and 0 < len(name) <= 200 and name.isprintable():
            return Foreign(name)
        case {"list": list(items), **rest} if not rest:
            return [_unpack(item, slots, budget, depth + 1) for item in items]
        case {"tuple": list(items), **rest} if not rest:
            return tuple(_unpack(item, slots, budget, depth + 1) for item in items)
        case {"set": list(items), **rest} if not rest:
            return {_key(_unpack(item, slots, budget, depth + 1)) for item in items}
        case {"dict": list(pairs), **rest} if not rest:
            found = {}
            for pair in pairs:
                if not isinstance(pair, list) or len(pair) != 2:
                    raise WireError("an entry of a dict is not a pair")
                key = _key(_unpack(pair[0], slots, budget, depth + 1))
                found[key] = _unpack(pair[1], slots, budget, depth + 1)
            return found
        case {"tensor": [str(name), list(shape), int(size)], **rest} if not rest:
            return _slot(name, shape, size, slots, budget)
    raise WireError("its header has a part of no known kind")


def _slot(name: str, shape: list, size: int, slots: list[_Slot], budget: _Budget) -> _Slot:
    if name not in DTYPES or len(shape) > MAX_AXES or isinstance(size, bool):
        raise WireError("a tensor has an unknown dtype or too many axes")
    if any(type(length) is not int or not 0 <= length < 1 << 40 for length in shape):
        raise WireError("a tensor has a length that is none")
    if math.prod(shape) * DTYPES[name].itemsize != size:
        raise WireError("a tensor's shape does not fit its bytes")
    if math.prod(length or 1 for length in shape) >= 1 << 60:
        raise WireError("a tensor has more places than can be counted")
    budget.body -= size
    if budget.body < 0:
        raise WireError("its tensors are larger than its body")
    slots.append(_Slot(DTYPES[name], shape, size))
    return slots[-1]


def _key(value: object) -> object:
    """What may be a key of a dict or a member of a set."""
    if isinstance(value, tuple):
        return tuple(_key(item) for item in value)
    if isinstance(value, list | dict | set | _Slot):
        raise WireError("a key or a member of a set is something that changes")
    return value


def _filled(value: object) -> object:
    """The value with its tensors in the places that were kept for them."""
    if isinstance(value, _Slot):
        return value.tensor
    if isinstance(value, list | tuple):
        return type(value)(_filled(item) for item in value)
    if isinstance(value, dict):
        return {key: _filled(item) for key, item in value.items()}
    return value
