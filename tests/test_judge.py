"""The judge: what it compares, what it says, what it names; it touches nothing but observations."""

import io
import json
import math
import re
import signal
import time
from collections import namedtuple
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from course_lib.exercises import exercise
from course_lib.grading import in_process, wire
from course_lib.grading.exercise import Check, Exercise, Misconception
from course_lib.grading.judge import Difference, compare, judge
from course_lib.grading.observe import (
    calls,
    check_gradients,
    check_values,
    generator,
    gradients,
    integers,
    modules,
    normal,
)
from course_lib.grading.results import CheckResult, ExerciseResult, SubmissionResult, code
from course_lib.grading.values import Foreign, Observation, plain

# --- a small exercise to judge with: the mean of absolute values ------------------------------------------------------


def mean_size(x: Tensor) -> Tensor:
    return x.abs().mean()


def loops(x: Tensor) -> Tensor:
    while True:
        x = x + 1


def breaks(x: Tensor) -> Tensor:
    raise ZeroDivisionError("three by zero")


def spoils(x: Tensor) -> Tensor:
    x.zero_()
    return x.sum() + 7


EXERCISE = Exercise(
    id="mean_size", chapter=99, title="Mean size", signature="mean_size(x)", statement="…", minutes=1, difficulty=1,
    concepts=(), errata=(), reference=mean_size, starter="def mean_size(x): raise NotImplementedError('later')",
    read_again="nowhere",
    checks=(
        check_values("values", 3, "think", lambda g: [(1 + normal(g, 3).abs(),), (normal(g, 2, 5),)], mean_size),
        check_values("positive", 2, "think harder", lambda g: [(1 + normal(g, 4).abs(),)], mean_size),
        check_values("large", 1, "think big", lambda g: [(1e30 * normal(g, 4),)], mean_size, needs=("values",)),
        check_gradients("slope", 1, "think steep", lambda g: [(normal(g, 6),)], mean_size, needs=("values", "large")),
    ),
    misconceptions=(
        Misconception("loops", loops, "It loops."),
        Misconception("breaks", breaks, "It breaks."),
        Misconception("spoils", spoils, "It writes into what it was given."),
        Misconception("signed", lambda x: x.mean(), "Signs count."),
        Misconception("sum", lambda x: x.abs().sum(), "That is the sum."),
        Misconception("squares", lambda x: x.square().mean().sqrt(), "That is the root mean square."),
    ),
    alternatives=(),
)  # fmt: skip


def ask(submission, e=EXERCISE, seed=1) -> ExerciseResult:
    return judge(e, partial(in_process.observe_object, submission), seed)


def by_id(result) -> dict[str, CheckResult]:
    return {check.id: check for check in result.checks}


@pytest.fixture
def quick(monkeypatch):
    monkeypatch.setattr("course_lib.grading.judge.MISCONCEPTION_SECONDS", 0.05)


# --- compare ----------------------------------------------------------------------------------------------------------

Point = namedtuple("Point", "x y")
t = torch.tensor


@pytest.mark.parametrize(
    ("got", "want"),
    [
        (t([1.0, 2.0]), t([1.0, 2.0 + 1e-5])), (t([1000.0]), t([1000.05])), (t(0.0), t(1e-5)),
        (t([math.inf, -math.inf]), t([math.inf, -math.inf])), (t([True, False]), t([True, False])), (3, 3), (2.0, 2.0),
        (0, 0.0), (True, True), ("a", "a"), (None, None), ([1, (2.0, "x")], [1, (2.0, "x")]), ({"a": 1}, {"a": 1}),
        ({1, 2}, {2, 1}), (torch.empty(0, 3), torch.empty(0, 3)), (math.inf, math.inf), (Point(1, 2.0), (1, 2.0)),
        (nn.Parameter(t([1.0])), t([1.0])), (np.float64(2.5), 2.5), (t(2 + 1j), t(2 + 1j)),
    ],
)  # fmt: skip
def test_equal(got, want):
    assert compare(plain(got), plain(want)) is None


@pytest.mark.parametrize(
    ("got", "want", "said"),
    [
        (t([1.0, 2.0]), t([1.0, 2.1]), "expected 2.1, got 2 at [1] (1 of 2 values differ)"),
        (t([1.0]), t([1.0002]), "expected 1.0002, got 1 at [0]"),
        (t([[0.0, math.nan]]), t([[0.0, 1.0]]), "expected 1, got nan at [0, 1] (1 of 2 values differ)"),
        (t([math.inf]), t([1e38]), "expected 1e+38, got inf at [0]"),
        (t([1.0]), t([math.inf]), "expected inf, got 1 at [0]"),
        (t([-math.inf]), t([math.inf]), "expected inf, got -inf at [0]"),
        (t([math.nan]), t([math.nan]), "expected nan, got nan at [0]"),
        (torch.zeros(2, 3), torch.zeros(3, 2), "expected shape [3, 2], got [2, 3]"),
        (torch.zeros(2).double(), torch.zeros(2), "expected dtype float32, got float64"),
        (t([1, 2]), t([1.0, 2.0]), "expected dtype float32, got int64"),
        (t([1, 0]), t([True, False]), "expected dtype bool, got int64"),
        (t([True, True]), t([True, False]), "expected False, got True at [1] (1 of 2 values differ)"),
        (t([10**15]), t([10**15 + 1]), "expected 1000000000000001, got 1000000000000000 at [0]"),
        (None, t([1.0]), "expected a tensor [1], got None: is the `return` missing?"),
        (None, 3, "expected an int (3), got None: is the `return` missing?"),
        (np.zeros(2), torch.zeros(2), "expected a tensor [2], got a numpy.ndarray: return a torch tensor"),
        ([1.0, 2.0], t([1.0, 2.0]), "expected a tensor [2], got a list"),
        (2.0, t(2.0), "expected a tensor [], got a float (2.0)"),
        ((t([1.0]),), t([1.0]), "expected a tensor [1], got a tuple"),
        (t(3), 3, "expected an int (3), got a tensor of shape []: call `.item()` on it"),
        (t(3.0), 3.0, "expected a float (3.0), got a tensor of shape []: call `.item()` on it"),
        (t([3]), 3, "expected an int (3), got a tensor of shape [1]"),
        (t([3]), "a", "expected a str, got a tensor of shape [1]"),
        (3.0, 3, "expected an int (3), got a float (3.0)"),
        (np.int64(3), 3, "expected an int (3), got a numpy.int64"),
        (True, 1, "expected an int (1), got a bool (True)"),
        (1, True, "expected a bool (True), got an int (1)"),
        (2.0, 2.1, "expected 2.1, got 2"),
        (1.0, "a", "expected a str, got a float (1.0)"),
        ("a", 1.0, "expected a float (1.0), got a str"),
        ("a", "b", "expected 'b', got 'a'"),
        ([1, 2], (1, 2), "expected a tuple, got a list"),
        ((1, 2, 3), (1, 2), "expected a tuple of length 2, got length 3"),
        ({"a": 1}, {"a": 1, "b": 2}, "expected an entry 'b', got none"),
        ({"a": 1, "b": 2}, {"a": 1}, "expected no entry 'b', got one"),
        (len, t([1.0]), "expected a tensor [1], got a builtin_function_or_method"),
        (t([1 + 1j]), t([1.0]), "expected dtype float32, got complex64"),
        (t([1.0]).to_sparse(), t([1.0]), "expected a tensor [1], got a torch.Tensor (torch.sparse_coo, cpu)"),
    ],
)  # fmt: skip
def test_different(got, want, said):
    difference = compare(plain(got), plain(want))
    assert difference.text == said


def test_the_place_of_a_difference():
    got, want = [{"result": t([1.0])}, {"result": (t([1.0]), [t([1.0]), t([2.0])])}], None
    want = [{"result": t([1.0])}, {"result": (t([1.0]), [t([1.0]), t([3.0])])}]
    assert compare(got, want).path == (1, "result", 1, 1)


def test_nan_equals_nan_only_where_asked():
    assert compare(t([math.nan, 1.0]), t([math.nan, 1.0]), equal_nan=True) is None
    assert compare(t([math.nan, 1.0]), t([1.0, math.nan]), equal_nan=True) is not None


def test_what_must_not_have_changed_is_compared_exactly():
    before, nudged = [{"result": t([1.0]), "arguments": (t([x, math.nan, math.inf]), 2.0)} for x in (1.0, 1.000001)]
    assert compare(before, before, unchanged=("arguments",)) is None
    found = compare(nudged, before, unchanged=("arguments",))
    assert found.path == ("arguments", 0) and found.text == "expected 1, got 1.000001 at [0] (1 of 3 values differ)"
    assert "nan" in compare(nudged, before).text  # otherwise a difference of 1e-6 is none, and NaN is one


class Liar(Tensor):
    """Says it equals everything, to whoever asks it."""

    @classmethod
    def __torch_function__(cls, function, types, arguments=(), options=None):
        return torch.ones(3) if function is not Tensor.shape.__get__ else torch.Size([3])

    def __eq__(self, other):
        return True

    __hash__ = Tensor.__hash__


def test_subclasses_do_not_take_part():
    got = plain(torch.zeros(3).as_subclass(Liar))
    assert type(got) is Tensor and not got.any()
    assert compare(got, torch.ones(3)) is not None

    class Equal:
        def __eq__(self, other):
            return True

    assert type(plain(Equal())) is Foreign
    assert compare(plain([Equal()]), plain([t([1.0])])) is not None

    class Int(int):
        def __eq__(self, other):
            return True

    assert type(plain(Int(3))) is int and compare(plain(Int(3)), 4) is not None


def test_plain_survives_cycles_and_views():
    circle = []
    circle.append(circle)
    assert "Foreign" in repr(plain(circle))
    view = torch.zeros(1).expand(4)
    assert plain(view).stride() == (1,)
    assert not plain(nn.Parameter(t([1.0]))).requires_grad
    assert plain(torch.tensor([1 + 1j]).conj()).is_conj() is False


# --- judge ------------------------------------------------------------------------------------------------------------


def test_all_right():
    result = ask(mean_size)
    assert result.passed and (result.points, result.max_points) == (7, 7)
    assert {check.message for check in result.checks} == {""}


def test_same_seed_same_result_and_fresh_numbers(quick):
    wrong = lambda x: x.abs().sum() / 2  # noqa: E731
    assert ask(wrong, seed=4) == ask(wrong, seed=4)
    assert ask(wrong, seed=4).checks[0].message != ask(wrong, seed=5).checks[0].message


def test_named_with_the_call_and_the_numbers(quick):
    checks = by_id(ask(lambda x: x.abs().sum()))
    assert checks["values"].misconception == "sum"
    first, advice = checks["values"].message.splitlines()
    assert re.fullmatch(r"with x \[3\]: expected \d\.\d+, got \d\.\d+", first)
    assert advice == "That is the sum."
    assert checks["large"].status == "not_run" and checks["large"].message == "not run until `values` passes"
    assert checks["slope"].status == "not_run"


def test_hint_where_nothing_explains(quick):
    checks = by_id(ask(lambda x: x.abs().median()))
    assert checks["values"].misconception is None and checks["values"].message.endswith("\nthink")


@pytest.mark.parametrize(
    "wrong", [lambda x: None, lambda x: float(x.abs().mean()), lambda x: x.abs().mean()[None],
              lambda x: x.abs().mean().double(), lambda x: x.abs().mean().numpy()],
)  # fmt: skip
def test_no_hint_where_the_form_is_wrong(quick, wrong):
    """What to think about says nothing about a type, dtype or shape."""
    message = by_id(ask(wrong))["values"].message
    assert message.startswith("with x [3]: expected ") and "\n" not in message


def test_an_argument_that_is_changed_a_little_is_seen(quick):
    def nudges(x):
        result = x.abs().mean()
        x += 1e-6
        return result

    assert by_id(ask(nudges))["values"].message.startswith("with x [3]: your code changed its argument `x`; expected ")


def test_the_misconception_that_explains_most_is_named(quick):
    """One that explains both failing checks is better than one that explains one of them."""
    first = lambda x: x.mean()  # noqa: E731
    e = replace(
        EXERCISE,
        misconceptions=(
            Misconception("only_values", lambda x: x.mean() if x.numel() != 4 else x.mean() + 1, "no"),
            Misconception("both", lambda x: x.mean() - (0 if x.numel() != 4 else 2), "yes"),
        ),
    )
    both = lambda x: x.mean() - (0 if x.numel() != 4 else 2)  # noqa: E731
    result = by_id(ask(both, e))
    assert {result["values"].misconception, result["positive"].misconception} == {"both"}
    result = by_id(ask(first, e))  # fails `values` alone: each explains it, and none agrees with `positive`
    assert result["values"].misconception == "only_values" and result["positive"].status == "passed"
    agreeing = Misconception("agrees", lambda x: x.mean(), "best")
    result = by_id(ask(first, replace(e, misconceptions=(*e.misconceptions, agreeing))))
    assert result["values"].misconception == "agrees"


def test_looping_and_raising_misconceptions_do_no_harm(quick):
    started = time.monotonic()
    result = by_id(ask(lambda x: x.square().mean().sqrt()))
    assert result["values"].misconception == "squares" and time.monotonic() - started < 5


def test_spoiling_misconceptions_do_no_harm(quick):
    assert by_id(ask(lambda x: x.abs().sum()))["values"].misconception == "sum"


def test_error_is_named_by_its_type_and_text(quick):
    def same(x):
        raise ZeroDivisionError("three by zero")

    def other(x):
        raise ZeroDivisionError("four by zero")

    checks = by_id(ask(same))
    assert checks["values"].status == "error" and checks["values"].misconception == "breaks"
    first = checks["values"].message.splitlines()[0]
    assert first.startswith("it raised ZeroDivisionError: three by zero (line ")
    assert 'raise ZeroDivisionError("three by zero")`)' in first
    assert by_id(ask(other))["values"].misconception is None


def test_timeout(quick):
    e = replace(EXERCISE, misconceptions=EXERCISE.misconceptions[1:])
    result = by_id(judge(e, partial(in_process.observe_object, loops, seconds=0.1), 0))
    assert result["values"].status == "timeout" and result["values"].points == 0
    assert result["values"].message == "stopped after 0.1 s: does a loop never end?\nthink"


def test_a_loop_that_catches_everything_else_is_stopped():
    def stubborn(x):
        while True:
            try:
                x = x + 1
            except Exception:
                pass

    check = EXERCISE.checks[0]
    assert in_process.observe_object(stubborn, check, check.inputs(0), seconds=0.1).status == "timeout"


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="no alarm on this system")
def test_the_time_limit_gives_an_outer_alarm_back():
    rung = []
    before = signal.signal(signal.SIGALRM, lambda *_: rung.append(True))
    outer = signal.setitimer(signal.ITIMER_REAL, 0.3)
    try:
        with in_process.time_limit(5):
            pass
        assert signal.getitimer(signal.ITIMER_REAL)[0] <= 0.3
        time.sleep(0.5)
        assert rung == [True]
    finally:
        signal.signal(signal.SIGALRM, before)
        signal.setitimer(signal.ITIMER_REAL, *outer)


def test_not_attempted_spreads_to_what_needs_it():
    def starter(x):
        raise NotImplementedError("mean_size: your code goes here")

    result = ask(starter)
    assert result.missing and {check.message for check in result.checks} == {"not attempted"}

    def half(x):
        if x.dim() > 1:
            raise NotImplementedError("mean_size: your code goes here")
        return mean_size(x)

    checks = by_id(ask(half))
    assert checks["positive"].status == "passed" and checks["values"].status == checks["slope"].status == "missing"


def test_other_not_implemented_errors_are_errors(quick):
    def other(x):
        raise NotImplementedError

    assert by_id(ask(other))["values"].status == "error"


def test_changed_arguments_are_found(quick):
    checks = by_id(ask(lambda x: x.abs_().mean()))
    message = checks["values"].message
    assert re.match(r"with x \[2, 5\]: your code changed its argument `x`; expected -\d\.\d+, got \d", message)
    assert checks["positive"].status == "passed"


def test_gradients_are_compared(quick):
    checks = by_id(ask(lambda x: x.detach().abs().mean()))
    assert checks["slope"].message.startswith("with x [6]: gradient of `x`: expected ")
    assert checks["slope"].status == "failed" and checks["large"].status == "passed"


def test_submission_stays_outside(quick):
    """The judge asks through a function: a worker in a jail may answer it."""
    asked = []

    def elsewhere(check, inputs):
        asked.append(check.id)
        status = "timeout" if check.id == "slope" else "returned"
        return Observation(status, plain(calls(mean_size, inputs)), "too slow")

    result = judge(EXERCISE, elsewhere, 3)
    assert asked == ["values", "positive", "large", "slope"]
    assert [check.status for check in result.checks] == ["passed", "passed", "passed", "timeout"]


@pytest.mark.parametrize("bad", [None, 3, "x", [], Foreign("numpy.ndarray"), {"result": 1}, [{"result": t([1.0])}] * 2])
def test_any_answer_can_be_judged(bad, quick):
    result = judge(EXERCISE, lambda check, inputs: Observation(value=bad), 0)
    assert result.points == 0 and {check.status for check in result.checks} == {"failed", "not_run"}


@pytest.mark.parametrize(
    "hostile", [lambda x: exit(), lambda x: {}["a"], lambda x: [].x, lambda: 1, 5, None, "text"]
)
def test_whatever_is_raised_is_told(hostile, quick):
    result = ask(hostile)
    assert by_id(result)["values"].status == "error" and "it raised " in str(result)


def test_prints_of_a_submission_are_kept_back(capsys):
    def loud(x):
        print("loud" * 10_000)
        return mean_size(x)

    assert ask(loud).passed and capsys.readouterr().out == ""


def test_settings_of_torch_are_as_usual_and_come_back():
    def settles(x):
        torch.manual_seed(3)
        assert torch.is_grad_enabled() and torch.get_default_dtype() is torch.float32
        return mean_size(x)

    state = torch.get_rng_state()
    torch.set_default_dtype(torch.float64)
    try:
        with torch.no_grad():
            assert ask(settles).passed
            assert not torch.is_grad_enabled()
        assert torch.get_default_dtype() is torch.float64
    finally:
        torch.set_default_dtype(torch.float32)
    assert torch.equal(state, torch.get_rng_state())


# --- observers --------------------------------------------------------------------------------------------------------


class Scale(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.gain = nn.Parameter(torch.ones(width))
        self.drop = nn.Dropout(0.5)

    def forward(self, x: Tensor) -> Tensor:
        return self.drop(x) * self.gain


def test_modules_compares_state_then_results():
    g = generator(0)
    weights, x = {"gain": normal(g, 4)}, normal(g, 3, 4)
    inputs = {"arguments": (4,), "weights": weights, "cases": [(x,)]}
    seen = plain(modules(Scale, inputs))
    assert seen["state"] == {"gain": [4]} and torch.allclose(seen["cases"][0]["result"], x * weights["gain"])
    other = modules(lambda width: nn.LayerNorm(width), inputs)
    assert compare(other, seen) == Difference(("state",), "expected an entry 'gain', got none")


def test_gradients_of_what_does_not_matter_are_zero():
    inputs = {"cases": [(torch.ones(2), torch.ones(3), 5, t([1, 2]))], "weights": [torch.ones(2)]}
    (seen,) = gradients(lambda x, y, n, ids: x * n, inputs)
    assert compare(seen["gradients"], [torch.full((2,), 5.0), torch.zeros(3), None, None]) is None


def test_random_inputs():
    assert torch.equal(normal(generator(1), 2, 3), normal(generator(1), 2, 3))
    assert normal(generator(1), 2, dtype=torch.float64).dtype is torch.float64
    assert set(integers(generator(0), 2, 5, 100).tolist()) == {2, 3, 4}


# --- results ----------------------------------------------------------------------------------------------------------


def test_json_is_the_designs(quick):
    result = ask(lambda x: x.abs().sum())
    found = json.loads(json.dumps(result.to_json()))
    assert list(found) == ["id", "points", "max_points", "checks"]
    assert found["points"] == 0 and found["max_points"] == 7
    for check in found["checks"]:
        assert list(check) == ["id", "points", "max_points", "status", "message", "misconception"]
    whole = SubmissionResult("anna.ipynb", (result,), ("a flag",)).to_json()
    assert list(whole) == ["submission", "exercises", "points", "max_points", "flags"]
    assert whole["flags"] == ["a flag"] and whole["max_points"] == 7


def test_text_has_a_line_for_each_check(quick):
    text = str(ask(lambda x: x.abs().sum()))
    assert text.splitlines()[0] == "mean_size: 0 of 7 points"
    assert "  ✗ values (0/3): with x [3]: expected " in text and "      That is the sum." in text
    assert "  – large (0/1): not run until `values` passes" in text and "Read again: nowhere" in text


def test_html_is_a_card_without_scripts_or_styles_of_its_own(quick):
    html = ask(lambda x: x.abs().sum())._repr_html_()
    assert "<script" not in html and "<style" not in html and "http" not in html
    assert html.count("✗") >= 2 and "–" in html and "That is the sum." in html
    assert "var(--jp-" in html
    assert html.count("<div") == html.count("</div>") and html.count("<span") == html.count("</span>")


def test_html_escapes_what_learners_write():
    check = CheckResult("values", 0, 3, "error", "it raised <b>`<script>alert(1)</script>`")
    html = ExerciseResult("mean_size", "T", (check,), 0)._repr_html_()
    assert "<script" not in html and "<b>`" not in html and "&lt;script&gt;" in html
    assert code("`a` and `b") == '<code style="background:none;padding:0;color:inherit">a</code> and `b'
    assert code("no <i>") == "no &lt;i&gt;"


def test_a_check_has_to_be_complete():
    with pytest.raises(TypeError):
        Check("id", 1)


def everywhere(value, odd):
    """The value with something odd in its place, in the place of all its parts, or of one."""
    yield odd
    if isinstance(value, list | tuple):
        yield type(value)([odd] * len(value))
        for i in range(min(len(value), 2)):
            yield from (type(value)([*value[:i], part, *value[i + 1 :]]) for part in everywhere(value[i], odd))
    if isinstance(value, dict):
        yield dict.fromkeys(value, odd)
        for key in value:
            yield from ({**value, key: part} for part in everywhere(value[key], odd))


ODD = [
    None, True, -1, 2**255, math.nan, math.inf, "", "a\nb\x1b[2J" * 1000, [], (), {}, set(), [[[]]], {math.nan: 1},
    {"x" * 19_000: 1}, {("y" * 10_000,) * 9: 2}, Foreign("x"), torch.tensor(math.nan), torch.empty(0, 1 << 39),
    *(torch.ones(shape, dtype=dtype) for dtype in wire.DTYPES.values() for shape in ((), (1,), (2, 3))),
]  # fmt: skip


@pytest.mark.parametrize("id", ["softmax", "causal_mask", "MultiHeadAttention", "noam_rate", "adam_step"])
def test_whatever_comes_back_from_a_worker_is_judged(id):
    """No value that passes the wire upsets the judge; what is said of it is never long."""
    found = exercise(id)
    for check in found.checks[:2]:
        one = replace(found, checks=(replace(check, needs=()),), misconceptions=())
        expected = plain(check.expected(check.inputs(3)))
        for odd in ODD:
            for value in everywhere(expected, odd):
                seen = wire.decode(io.BytesIO(wire.encode(value)).read)
                (result,) = judge(one, lambda check, inputs, seen=seen: Observation(value=seen), 3).checks
                assert result.status in ("passed", "failed") and len(result.message) < 1500
