"""Compares what a submission gave with what was expected, and finds the misconception behind a wrong answer.

The submission itself is never touched here: `observe(check, inputs)` may ask an object in this process or a worker in a
jail, and gives an `Observation`. Only the misconceptions and the expected values, which are the course's own, run here.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from course_lib.grading.exercise import Check, Exercise, Misconception, not_attempted
from course_lib.grading.in_process import observe_object, torch_as_usual
from course_lib.grading.results import CheckResult, ExerciseResult
from course_lib.grading.values import Foreign, Observation, describe, dtype_name, kind_of_tensor, plain, type_name

MISCONCEPTION_SECONDS = 2.0
MAX_SENTENCE = 800  # a result may be a text as long as somebody likes
Observe = Callable[[Check, dict], Observation]


@dataclass(frozen=True)
class Difference:
    """Where two values differ first, and how: "expected shape [2, 3], got [3, 2]"; `form`: in type, dtype or shape."""

    path: tuple
    text: str
    form: bool = False


def compare(
    got: object, want: object, atol: float = 1e-5, rtol: float = 1e-4, *,
    equal_nan: bool = False, unchanged: tuple[str, ...] = (), path: tuple = (),
) -> Difference | None:  # fmt: skip
    """The first difference between two plain values, or None where there is none within the tolerance.

    What stands under a key of `unchanged` is compared exactly, and there NaN equals NaN.
    """

    def differ(text: str, form: bool = False) -> Difference:
        return Difference(path, text, form)

    def items(keys) -> Difference | None:
        for key in keys:
            limits = (0, 0, True) if key in unchanged else (atol, rtol, equal_nan)
            found = compare(
                got[key], want[key], *limits[:2], equal_nan=limits[2], unchanged=unchanged, path=(*path, key)
            )
            if found:
                return found
        return None

    if isinstance(want, Tensor) or isinstance(got, Tensor) or _is_number(want):
        return _compare_numbers(got, want, atol, rtol, equal_nan, differ)
    if type(got) is not type(want):
        return differ(_wrong_type(got, want), form=True)
    if isinstance(want, tuple | list):
        if len(got) != len(want):
            return differ(f"expected {_named(want)} of length {len(want)}, got length {len(got)}", form=True)
        return items(range(len(want)))
    if isinstance(want, dict):
        for key in (*want, *got):
            if key not in got:
                return differ(f"expected an entry {key!r}, got none")
            if key not in want:
                return differ(f"expected no entry {key!r}, got one")
        return items(want)
    return None if got == want else differ(f"expected {describe(want)}, got {describe(got)}")


@torch_as_usual()
def judge(exercise: Exercise, observe: Observe, seed: int) -> ExerciseResult:
    """Run the checks of an exercise and say what came of each; the same seed gives the same inputs."""
    results: dict[str, CheckResult] = {}
    failures: dict[str, Observation] = {}
    hints: dict[str, str] = {}
    questions = [_Question(exercise, check, seed + i) for i, check in enumerate(exercise.checks)]
    for question in questions:
        check = question.check
        blocking = next((results[name] for name in check.needs if results[name].status != "passed"), None)
        if blocking and blocking.status == "missing":
            results[check.id] = _result(check, "missing", blocking.message)
            continue
        if blocking:
            results[check.id] = _result(check, "not_run", f"not run until `{blocking.id}` passes")
            continue
        seen = observe(check, question.inputs())
        if seen.status == "library":
            return _librarys_own(exercise, seed)
        status, message, hints[check.id] = question.verdict(seen)
        results[check.id] = _result(check, status, message)
        if status in ("failed", "error", "timeout"):
            failures[check.id] = seen
    named = _diagnose(exercise, questions, failures, results) if failures else {}
    for check in exercise.checks:
        if check.id in failures:
            first, found = results[check.id], named.get(check.id)
            message = f"{first.message}\n{found.message if found else hints[check.id]}".rstrip()
            results[check.id] = _result(check, first.status, message, found.id if found else None)
    checks = tuple(results[check.id] for check in exercise.checks)
    return ExerciseResult(exercise.id, exercise.title, checks, seed, exercise.read_again)


class _Question:
    """One check with the inputs of one seed: what it expects is computed once."""

    def __init__(self, exercise: Exercise, check: Check, seed: int) -> None:
        self.exercise, self.check, self.seed = exercise, check, seed

    def inputs(self) -> dict:
        """Fresh each time, so that nobody finds what somebody else has written into them."""
        return self.check.inputs(self.seed)

    @cached_property
    def expected(self) -> object:
        return plain(self.check.expected(self.inputs()))

    def verdict(self, seen: Observation) -> tuple[str, str, str]:
        """The status, the line that says what was expected and what came, and the hint where it is of use.

        It is of none where the type, dtype or shape is wrong: the line says it all.
        """
        check = self.check
        if seen.status in ("missing", "timeout"):
            return seen.status, seen.message, check.hint
        if seen.status == "raised":
            if seen.message == f"NotImplementedError: {not_attempted(self.exercise.id)}":
                return "missing", "not attempted", ""
            return "error", f"it raised {seen.message}" + (f" ({seen.where})" if seen.where else ""), check.hint
        difference = compare(seen.value, self.expected, check.atol, check.rtol, unchanged=("arguments",))
        if difference is None:
            return "passed", "", ""
        hint = "" if difference.form else check.hint
        sentence = _sentence(difference, self.exercise, self.inputs())
        return "failed", sentence if len(sentence) <= MAX_SENTENCE else f"{sentence[:MAX_SENTENCE]} …", hint

    def ask(self, misconception: Misconception) -> Observation:
        return observe_object(misconception.implementation, self.check, self.inputs(), MISCONCEPTION_SECONDS)


def _result(check: Check, status: str, message: str, misconception: str | None = None) -> CheckResult:
    points = check.points if status == "passed" else 0
    return CheckResult(check.id, points, check.points, status, message, misconception)


def _librarys_own(exercise: Exercise, seed: int) -> ExerciseResult:
    text = (
        f"this is the library's own `{exercise.id}`, not yours: it earns nothing. Define your own, and run the cell "
        "that defines it"
    )
    checks = tuple(_result(check, "failed", text) for check in exercise.checks)
    return ExerciseResult(exercise.id, exercise.title, checks, seed, exercise.read_again, library_object=True)


def _diagnose(
    exercise: Exercise, questions: list[_Question], failures: dict[str, Observation], results: dict[str, CheckResult]
) -> dict[str, Misconception]:
    """For each failing check the misconception that gives the very same, if one does.

    Of several, the one that explains most failing checks is taken, and of those the one that agrees with most of the
    checks that passed.
    """
    failing = [question for question in questions if question.check.id in failures]
    passed = [question for question in questions if results[question.check.id].status == "passed"]
    explains = {
        m.id: {q.check.id for q in failing if _same(q.ask(m), failures[q.check.id], q.check)}
        for m in exercise.misconceptions
    }

    def agreement(misconception: Misconception) -> int:
        return sum(question.verdict(question.ask(misconception))[0] == "passed" for question in passed)

    named = {}
    for name in failures:
        able = [m for m in exercise.misconceptions if name in explains[m.id]]
        best = [m for m in able if len(explains[m.id]) == max(len(explains[other.id]) for other in able)]
        if best:
            named[name] = best[0] if len(best) == 1 else max(best, key=agreement)
    return named


def _same(a: Observation, b: Observation, check: Check) -> bool:
    if a.status != b.status:
        return False
    if a.status == "returned":
        return compare(a.value, b.value, check.atol, check.rtol, equal_nan=True) is None
    return a.status == "timeout" or a.message == b.message


def _compare_numbers(got, want, atol, rtol, equal_nan, differ) -> Difference | None:
    """Tensors and Python numbers; a tensor is not a number, and a bool is not an int."""
    if isinstance(want, Tensor) != isinstance(got, Tensor) or not (_is_number(got) or isinstance(got, Tensor)):
        return differ(_wrong_type(got, want), form=True)
    if not isinstance(want, Tensor):
        fits = type(got) is type(want) or (type(want) is float and type(got) is int)
        if not fits:
            return differ(_wrong_type(got, want), form=True)
        a, b = torch.tensor(float(got), dtype=torch.float64), torch.tensor(float(want), dtype=torch.float64)
        exact = type(want) is not float
    else:
        if got.shape != want.shape:
            return differ(f"expected shape {list(want.shape)}, got {list(got.shape)}", form=True)
        if got.dtype != want.dtype:
            return differ(f"expected dtype {dtype_name(want.dtype)}, got {dtype_name(got.dtype)}", form=True)
        a, b = got, want
        exact = not (want.is_floating_point() or want.is_complex())
        if not exact and not want.is_complex():
            a, b = got.double(), want.double()
    close = a == b
    if not exact:
        close |= (a - b).abs() <= atol + rtol * b.abs().nan_to_num(posinf=0.0)
        if equal_nan:
            close |= a.isnan() & b.isnan()
    if close.all():
        return None
    wrong = (~close).nonzero()
    index = tuple(wrong[0].tolist())
    if not isinstance(want, Tensor):
        return differ("expected {}, got {}".format(*_digits(want, got)))
    text = "expected {}, got {}".format(*_digits(want[index].item(), got[index].item()))
    place = f" at {list(index)}" if index else ""
    count = f" ({len(wrong)} of {want.numel()} values differ)" if want.numel() > 1 else ""
    return differ(text + place + count)


def _digits(want, got) -> tuple[str, str]:
    """Both numbers with as many digits as it takes to see that they differ."""
    if isinstance(want, bool | int | complex) or isinstance(got, bool | int | complex):
        return str(want), str(got)
    for digits in range(4, 17):
        texts = f"{want:.{digits}g}", f"{got:.{digits}g}"
        if texts[0] != texts[1]:
            break
    return texts


def _is_number(value: object) -> bool:
    return isinstance(value, bool | int | float)


def _wrong_type(got: object, want: object) -> str:
    """Why a value of this type does not do."""
    if got is None:
        return f"expected {_named(want)}, got None: is the `return` missing?"
    if isinstance(got, Tensor):
        more = ": call `.item()` on it" if got.dim() == 0 and _is_number(want) else ""
        return f"expected {_named(want)}, got a tensor of shape {list(got.shape)}{more}"
    more = ""
    if isinstance(want, Tensor) and isinstance(got, Foreign) and got.type_name.startswith("numpy."):
        more = ": return a torch tensor"
    return f"expected {_named(want)}, got {_named(got)}{more}"


def _named(value: object) -> str:
    """A value's type with an article: "a tensor", "an int"."""
    if isinstance(value, Tensor):
        return f"a tensor {kind_of_tensor(value)}"
    if value is None:
        return "None"
    name = value.type_name if isinstance(value, Foreign) else type_name(value)
    shown = f" ({value!r})" if _is_number(value) else ""
    return f"{'an' if name[0] in 'aeiou' else 'a'} {name}{shown}"


def _sentence(difference: Difference, exercise: Exercise, inputs: dict) -> str:
    """The difference with the call it belongs to: "softmax(x [2, 3]): expected shape …"."""
    path, text = list(difference.path), difference.text
    names = [part.split("=")[0].strip() for part in exercise.signature.partition("(")[2].rstrip(")").split(",")]
    call = ""
    if path and path[0] == "cases":
        path.pop(0)
        names = []
    if "cases" in inputs and path and isinstance(path[0], int):
        arguments = inputs["cases"][path.pop(0)]
        call = f"with {_call(names, arguments)}: "
    match path:
        case ["result", *rest]:
            place = "".join(f"[{part!r}]" for part in rest)
            subject = f"result{place}: " if place else ""
        case ["arguments", int(i), *_]:
            subject = f"your code changed its argument {_argument(names, i)}; "
        case ["gradients", int(i), *_]:
            subject = f"gradient of {_argument(names, i)}: "
        case _:
            subject = "".join(f"{part}: " for part in path)
    return call + subject + text


def _call(names: list[str], arguments: tuple) -> str:
    """The arguments of a call: "query [3, 4], mask bool [3, 5], pad_id=0"."""
    described = [describe(argument) for argument in arguments]
    by_shape = [isinstance(a, Tensor) and text.endswith(kind_of_tensor(a)) for a, text in zip(arguments, described)]
    named = [f"{n} {text}" if shape else f"{n}={text}" for n, text, shape in zip(names, described, by_shape)]
    return ", ".join(named or described)


def _argument(names: list[str], index: int) -> str:
    return f"`{names[index]}`" if index < len(names) else f"number {index + 1}"
