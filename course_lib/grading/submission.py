"""Judges one trusted submission: reads it, runs its cells in this process, and asks each exercise's questions."""

from collections.abc import Sequence

from course_lib.grading import in_process, sources
from course_lib.grading.exercise import Exercise
from course_lib.grading.judge import judge
from course_lib.grading.results import ExerciseResult, SubmissionResult


def judge_submission(submission: sources.Submission, exercises: Sequence[Exercise], seed: int) -> SubmissionResult:
    """The result of these exercises; flags say which cells raised and what a human should look at."""
    loaded = in_process.load(submission.cells, submission.folder)
    flags, results = list(loaded.flags), []
    for exercise in exercises:
        results.append(_judge_one(exercise, submission, loaded, seed))
        if results[-1].library_object:
            flags.append(f"library object: {exercise.id}")
            continue
        calls = library_calls(exercise, submission.cells)
        flags += [f"library call: {exercise.id} is written with a library's {name}" for name in calls]
    return SubmissionResult(submission.name, tuple(results), tuple(flags))


def _judge_one(
    exercise: Exercise, submission: sources.Submission, loaded: in_process.Loaded, seed: int
) -> ExerciseResult:
    if exercise.id not in loaded.namespace:
        observe = in_process.missing(f"not attempted: `{exercise.id}` is not defined")
    elif untouched(exercise, submission.cells):
        observe = in_process.missing("not attempted")
    else:
        observe = in_process.observer(exercise, loaded.namespace[exercise.id])
    return judge(exercise, observe, seed)


def untouched(exercise: Exercise, cells: Sequence[sources.Cell]) -> bool:
    """Whether the last definition is the starter as it was."""
    source = sources.definition_of(exercise.id, cells)
    given = sources.definition_of(exercise.id, sources.from_history([exercise.starter]))  # without its imports
    return source is not None and sources.same_code(source, given)


def library_calls(exercise: Exercise, cells: Sequence[sources.Cell], name: str | None = None) -> list[str]:
    """Which functions that do the exercise's work the definition, or what it needs, uses."""
    source = sources.standalone(name or exercise.id, cells)
    return sources.library_calls(source, exercise.library_calls) if source and exercise.library_calls else []
