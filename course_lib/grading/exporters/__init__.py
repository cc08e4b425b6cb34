"""Exercises for other people's systems.

gradescope   an autograder zip; submissions are judged by `course grade`, the student's code writes no result
classroom    a GitHub Classroom repository: the workflow judges every push
nbgrader     a source assignment; for trusted classes
otter        an Otter Assign notebook; for trusted classes
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from nbformat import NotebookNode

from course_lib.grading.exercise import Exercise

TRUSTED = (
    "For trusted classes: here a submission and its tests run in one process, so that whoever wants to can give "
    "themselves any marks. For people you do not know, use `course grade`."
)


@dataclass(frozen=True)
class Assignment:
    """What is exported.

    Args:
        name: letters, digits, - and _.
        cells: exercise id -> the statement, the starter, and the check, as in a problem sheet.
        imports: what the starters need.
        package: the folder of `course_lib`.
        home: where the course can be installed from.
        needs: requirements of the course, as pip reads them.
    """

    name: str
    exercises: Sequence[Exercise]
    cells: Callable[[str], list[NotebookNode]]
    imports: str
    package: Path
    home: str
    needs: Sequence[str]


def export(target: str, assignment: Assignment, out: Path) -> list[Path]:
    """Write an assignment for one of `TARGETS`; the files that were written."""
    out.mkdir(parents=True, exist_ok=True)
    return TARGETS[target](assignment, out)


def write_texts(out: Path, texts: dict[str, str]) -> list[Path]:
    """Write text files by their paths below a folder."""
    written = []
    for name, text in texts.items():
        path = out / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8", newline="\n")
        written.append(path)
    return written


from course_lib.grading.exporters import classroom, gradescope, nbgrader, otter  # noqa: E402  they need what is above

TARGETS = {
    "gradescope": gradescope.export,
    "classroom": classroom.export,
    "nbgrader": nbgrader.export,
    "otter": otter.export,
}
