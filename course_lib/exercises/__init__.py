"""The bank of exercises: one module per chapter, `chapter_NN.py`, with its exercises in a tuple `EXERCISES`."""

import difflib
import functools
import importlib
import pkgutil

from course_lib.errors import CourseError
from course_lib.grading.exercise import Exercise
from course_lib.grading.sources import Submission


@functools.cache
def bank() -> dict[str, Exercise]:
    """Every exercise by its id, in the order of the course."""
    names = sorted(m.name for m in pkgutil.iter_modules(__path__) if m.name.startswith("chapter_"))
    modules = [importlib.import_module(f"{__name__}.{name}") for name in names]
    return {exercise.id: exercise for module in modules for exercise in module.EXERCISES}


def exercise(id: str) -> Exercise:
    """The exercise with this id.

    Raises:
        CourseError: there is none; the closest ids are named.
    """
    if id not in bank():
        close = difflib.get_close_matches(str(id), bank(), n=3, cutoff=0.7)
        advice = f"did you mean {' or '.join(close)}?" if close else "`course exercises` lists them"
        raise CourseError(f"there is no exercise {str(id)!r}; {advice}")
    return bank()[id]


def chapter_exercises(chapter: int) -> list[Exercise]:
    """The exercises of one chapter, in order."""
    return [exercise for exercise in bank().values() if exercise.chapter == chapter]


def exercises_of(submission: Submission) -> list[Exercise]:
    """What a submission is about: the chapters of the exercises that it names or, if it names none, defines.

    Exercises that it defines besides count as well; one that is about nothing in particular is about everything.
    """
    named, defined = submission.named() & bank().keys(), submission.defined() & bank().keys()
    chapters = {bank()[id].chapter for id in named or defined}
    return [e for e in bank().values() if not chapters or e.chapter in chapters or e.id in defined]
