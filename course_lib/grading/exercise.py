"""What an exercise is: everything that the sheet, the instant check, the grader and the tests need to know."""

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Check:
    """One question to a submission. Only `inputs` and the source text of `observe` go where the submission runs.

    Args:
        id: unique in the exercise.
        points: what it is worth.
        hint: what to think about when it fails and no misconception explains why; never the solution.
        inputs: seed -> named inputs (tensors, numbers, strings, None, and lists, tuples and dicts of these). The same
            seed gives the same inputs.
        observe: (submission, inputs) -> what is compared, made of the same kinds. A plain `def` at the top level of a
            module that uses nothing but `torch`, `math` and builtins.
        expected: inputs -> what a correct submission gives.
        needs: ids of earlier checks; when one of them fails, this one is not run.
        atol, rtol: how far a number may be from the expected one: atol + rtol * |expected|.
    """

    id: str
    points: int
    hint: str
    inputs: Callable[[int], dict]
    observe: Callable[[object, dict], object]
    expected: Callable[[dict], object]
    needs: tuple[str, ...] = ()
    atol: float = 1e-5
    rtol: float = 1e-4


@dataclass(frozen=True)
class Misconception:
    """A wrong idea, as code that runs, and what to say to somebody whose results are the same."""

    id: str
    implementation: Callable
    message: str


@dataclass(frozen=True)
class Exercise:
    """An exercise; its id is the name that the learner defines.

    Args:
        id, chapter, title, minutes, difficulty (1 to 5), concepts (Cnn), errata (Ennn): as the sheet shows them.
        signature: how the definition begins, without `def` or `class`.
        statement: Markdown.
        reference: the library's own; its source is the solution.
        starter: the source that the learner begins with. A function raises `not_attempted(id)`'s error; a
            spot-the-bug is the broken code itself.
        read_again: the section of the chapter to go back to.
        requires: ids of earlier exercises that this one may be built from; the sheet says so.
        library_calls: names of functions and classes that do the exercise's work; using one is pointed out to a human.
    """

    id: str
    chapter: int
    title: str
    signature: str
    statement: str
    minutes: int
    difficulty: int
    concepts: tuple[str, ...]
    errata: tuple[str, ...]
    reference: Callable
    starter: str
    checks: tuple[Check, ...]
    misconceptions: tuple[Misconception, ...]
    alternatives: tuple[Callable, ...]
    read_again: str
    requires: tuple[str, ...] = ()
    library_calls: tuple[str, ...] = ()

    @property
    def points(self) -> int:
        return sum(check.points for check in self.checks)


def not_attempted(exercise_id: str) -> str:
    """What a starter's NotImplementedError says."""
    return f"{exercise_id}: your code goes here"
