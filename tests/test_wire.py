"""The messages between judge and worker: they keep what they carry, and a reader believes nothing a header says."""

import io
import json
import math
import os
import socket
import time

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from course_lib.grading import wire
from course_lib.grading.values import Foreign

NUMBERS = st.one_of(st.integers(-(10**30), 10**30), st.floats(), st.booleans(), st.none(), st.text(max_size=20))
KEYS = st.one_of(st.text(max_size=8), st.integers(-9, 9), st.tuples(st.integers(0, 9), st.text(max_size=3)))


@st.composite
def tensors(draw):
    dtype = draw(st.sampled_from(list(wire.DTYPES.values())))
    shape = draw(st.lists(st.integers(0, 4), max_size=4))
    raw = draw(st.binary(min_size=math.prod(shape) * dtype.itemsize, max_size=math.prod(shape) * dtype.itemsize))
    if dtype is torch.bool:
        raw = bytes(byte & 1 for byte in raw)
    return torch.frombuffer(bytearray(raw), dtype=dtype).reshape(shape) if raw else torch.empty(shape, dtype=dtype)


VALUES = st.recursive(
    st.one_of(NUMBERS, tensors(), st.builds(Foreign, st.text(min_size=1, max_size=20).filter(str.isprintable))),
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.lists(inner, max_size=4).map(tuple),
        st.dictionaries(KEYS, inner, max_size=4),
        st.sets(KEYS, max_size=4),
    ),
    max_leaves=12,
)


def same(a, b) -> bool:
    """Equal to the last bit, NaN included."""
    if isinstance(a, torch.Tensor):
        if type(b) is not torch.Tensor or a.dtype != b.dtype or a.shape != b.shape:
            return False
        return a.reshape(-1).view(torch.uint8).equal(b.reshape(-1).view(torch.uint8)) if a.numel() else True
    if type(a) is not type(b):
        return False
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, dict):
        return list(a) == list(b) and all(same(a[key], b[key]) for key in a)
    return a == b or (isinstance(a, float) and math.isnan(a) and math.isnan(b))


def read_from(data: bytes):
    """A reader of exactly n bytes, as a channel's; what it was asked for is in `asked`."""
    position, asked = 0, []

    def read(n: int) -> bytes:
        nonlocal position
        asked.append(n)
        if position + n > len(data):
            raise wire.Closed("the other side is gone")
        position += n
        return data[position - n : position]

    read.asked = asked
    return read


def frame(header: object, body: bytes = b"", header_size: int | None = None, body_size: int | None = None) -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    sizes = len(text) if header_size is None else header_size, len(body) if body_size is None else body_size
    return wire.PREFIX.pack(*sizes) + text + body


@settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck))
@given(VALUES)
def test_what_is_sent_arrives(value):
    assert same(wire.decode(read_from(wire.encode(value))), value)


def test_a_tensor_that_is_not_contiguous_arrives_as_it_looks():
    x = torch.arange(24.0).reshape(2, 3, 4).transpose(0, 2)[1:, :, :1].expand(3, 3, 5)
    assert wire.decode(read_from(wire.encode({"x": x})))["x"].equal(x)


@settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck))
@given(VALUES, st.data())
def test_a_truncated_message_is_no_message(value, data):
    whole = wire.encode(value)
    cut = data.draw(st.integers(0, len(whole) - 1))
    with pytest.raises(wire.WireError):
        wire.decode(read_from(whole[:cut]))


@settings(max_examples=400, deadline=None, suppress_health_check=list(HealthCheck))
@given(VALUES, st.data())
def test_a_changed_message_is_read_or_refused_but_never_more(value, data):
    whole = bytearray(wire.encode(value))
    for _ in range(data.draw(st.integers(1, 4))):
        whole[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
    read = read_from(bytes(whole) + bytes(64))
    try:
        wire.decode(read, max_body=1 << 20)
    except wire.WireError:
        pass
    assert all(n <= wire.MAX_HEADER for n in read.asked)


JUNK = st.recursive(
    st.one_of(NUMBERS, st.sampled_from(["float32", "bool", "tensor", "complex128"])),
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.dictionaries(
            st.sampled_from(["tensor", "list", "dict", "tuple", "set", "foreign", "x"]), inner, max_size=2
        ),
        st.builds(
            lambda name, shape, size: {"tensor": [name, shape, size]},
            st.sampled_from([*wire.DTYPES, "qint8", "float7"]), st.lists(st.integers(-3, 2**70), max_size=20),
            st.integers(-9, 2**70),
        ),
    ),
    max_leaves=10,
)  # fmt: skip


@settings(max_examples=400, deadline=None, suppress_health_check=list(HealthCheck))
@given(JUNK, st.binary(max_size=64))
def test_a_header_of_junk_is_read_or_refused(header, body):
    try:
        wire.decode(read_from(frame(header, body)))
    except wire.WireError:
        pass


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=200))
def test_noise_is_refused(noise):
    with pytest.raises(wire.WireError):
        wire.decode(read_from(noise))


LYING = {
    "more bytes than there are": frame({"tensor": ["float32", [4], 16]}, bytes(12)),
    "fewer bytes than the shape needs": frame({"tensor": ["float32", [4], 12]}, bytes(12)),
    "a gigantic shape": frame({"tensor": ["float32", [1 << 39, 1 << 39], 1 << 80]}, bytes(12)),
    "a gigantic empty shape": frame({"tensor": ["float32", [0, 1 << 39, 1 << 39], 0]}),
    "a negative length": frame({"tensor": ["float32", [-2, -2], 16]}, bytes(16)),
    "a length that is a truth value": frame({"tensor": ["int8", [True], 1]}, bytes(1)),
    "a size that is a truth value": frame({"tensor": ["int8", [1], True]}, bytes(1)),
    "a length that is no whole number": frame({"tensor": ["float32", [4.0], 16]}, bytes(16)),
    "an unknown dtype": frame({"tensor": ["object", [2], 16]}, bytes(16)),
    "too many axes": frame({"tensor": ["int8", [1] * 17, 1]}, bytes(1)),
    "a body that nobody described": frame(None, bytes(12)),
    "two tensors in the bytes of one": frame({"list": [{"tensor": ["int8", [4], 4]}] * 2}, bytes(4)),
    "an unknown kind": frame({"object": "os.system"}),
    "a kind with more beside it": frame({"list": [], "dict": []}),
    "a list as a key": frame({"dict": [[{"list": []}, 1]]}),
    "a tensor as a key": frame({"dict": [[{"tensor": ["int8", [1], 1]}, 1]]}, bytes(1)),
    "a tensor in a set": frame({"set": [{"tuple": [{"tensor": ["int8", [1], 1]}]}]}, bytes(1)),
    "three in a pair": frame({"dict": [[1, 2, 3]]}),
    "depth": frame(b'{"list":[' * 100 + b"]}" * 100),
    "more depth": frame(b"[" * 100_000),
    "very many parts": frame({"list": [0] * (wire.MAX_NODES + 1)}),
    "a very long number": frame(b"1" * 10_000),
    "a long number": frame(10**100),
    "a very long text": frame("x" * (wire.MAX_TEXT + 1)),
    "no JSON": frame(b"\x80\x04."),
    "no UTF-8": frame(b'"\xff"'),
    "a header larger than allowed": frame(b"{}", header_size=wire.MAX_HEADER + 1),
    "a body larger than allowed": frame(None, body_size=wire.MAX_BODY + 1),
    "nothing": b"",
}


@pytest.mark.parametrize("data", LYING.values(), ids=LYING.keys())
def test_a_lying_header_is_refused_before_its_bytes_are_read(data):
    read = read_from(data)
    with pytest.raises(wire.WireError):
        wire.decode(read)
    assert sum(read.asked) <= wire.PREFIX.size + wire.MAX_HEADER


def test_truth_values_are_true_or_false_whatever_their_bytes():
    got = wire.decode(read_from(frame({"tensor": ["bool", [4], 4]}, bytes([0, 1, 2, 255]))))
    assert got.tolist() == [False, True, True, True] and got.view(torch.uint8).tolist() == [0, 1, 1, 1]


def test_what_is_too_large_is_not_sent():
    with pytest.raises(wire.WireError, match="too large"):
        wire.encode([torch.zeros(1 << 20)], max_body=1 << 20)
    with pytest.raises(wire.WireError, match="parts"):
        wire.encode(list(range(wire.MAX_NODES)))
    assert wire.decode(read_from(wire.encode([10**100, "x" * 10**6, torch.empty(2, dtype=torch.bool)])))[:2] == [
        Foreign("int with very many digits"),
        Foreign("str of length 1000000"),
    ]


def channels() -> tuple[wire.Channel, wire.Channel]:
    a, b = socket.socketpair()
    return tuple(wire.Channel(s.fileno(), s.detach()) for s in (a, b))


def test_a_channel_has_deadlines():
    a, b = channels()
    a.send({"x": torch.arange(5)}, seconds=5)
    assert b.receive(seconds=5)["x"].tolist() == [0, 1, 2, 3, 4]
    started = time.monotonic()
    with pytest.raises(TimeoutError):
        b.receive(seconds=0.2)
    os.write(a.writing, wire.PREFIX.pack(10, 0) + b'"abc')  # begins, and does not go on
    with pytest.raises(TimeoutError):
        b.receive(seconds=0.2)
    with pytest.raises(TimeoutError):  # nobody takes it
        a.send(torch.zeros(1 << 22), seconds=0.2)
    assert time.monotonic() - started < 5
    b.close()
    with pytest.raises(wire.Closed):
        a.send(None, seconds=1)
    with pytest.raises(wire.Closed):
        a.receive(seconds=1)
    a.close()


def test_numbers_at_odd_addresses():
    """Behind a single byte the bytes of complex numbers lie at addresses that no processor likes."""
    value = [torch.ones(1, dtype=torch.bool), *(torch.ones(5, dtype=dtype) for dtype in wire.DTYPES.values())]
    got = wire.decode(io.BytesIO(wire.encode(value)).read)
    assert all(a.dtype is b.dtype and torch.equal(a, b) for a, b in zip(got, value))


@pytest.mark.parametrize("name", ["", "a\nb", "\u202e"])
def test_a_kind_without_a_proper_name_is_refused(name):
    header = json.dumps({"foreign": name}).encode()
    with pytest.raises(wire.WireError):
        wire.decode(io.BytesIO(wire.PREFIX.pack(len(header), 0) + header).read)
