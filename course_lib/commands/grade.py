"""`course grade`: a whole class, each submission isolated."""

import math
from pathlib import Path
from typing import Annotated

import typer

from course_lib.commands import one_of

EXAMPLE = "Example: course grade submissions --out results --jobs 2"
LEVELS = ("auto", "jail", "docker", "process")


def grade(
    folder: Annotated[
        Path, typer.Argument(help="A folder: each .ipynb and .py in it is one submission.", show_default=False)
    ],
    out: Annotated[Path, typer.Option(help="Folder for the reports; an interrupted batch goes on there.")],
    exercise: Annotated[
        list[str] | None, typer.Option(help="Only this exercise; may be repeated. If left out: the chapters handed in.")
    ] = None,
    jobs: Annotated[int, typer.Option(min=1, help="How many submissions are judged at a time.")] = 1,
    isolation: Annotated[
        str, typer.Option(help="How submissions are kept in: auto, jail (Linux), docker, or process (not at all).")
    ] = "auto",
    seed: Annotated[
        int | None, typer.Option(min=0, max=2**32 - 1, help="The same seed gives the same marks; new if left out.")
    ] = None,
    timeout: Annotated[float, typer.Option(min=0.1, help="Seconds for each call of a submission's code.")] = 5.0,
    memory_gib: Annotated[float, typer.Option(min=0.1, help="Memory a submission may take.")] = 2.0,
    roster: Annotated[
        Path | None, typer.Option(help="CSV with the columns submission,student and, if wanted, submitted.")
    ] = None,
    deadline: Annotated[str | None, typer.Option(help="Later ones are marked: 2026-05-31 23:59.")] = None,
) -> None:
    """Judge every notebook and Python file in a folder, and write grades.json, grades.csv and HTML reports.

    Each submission runs in a process of its own that sees no other, no network, no solution and no mark.
    """
    one_of("--isolation", isolation, LEVELS)
    from course_lib.errors import CourseError
    from course_lib.exercises import bank, exercises_of
    from course_lib.exercises import exercise as find
    from course_lib.grading import batch, reports
    from course_lib.grading.workers import Limits, clean

    if not (math.isfinite(timeout) and math.isfinite(memory_gib)):
        raise CourseError("--timeout and --memory-gib need a number")
    try:
        until = batch.parse_time(deadline) if deadline else None
    except ValueError:
        raise CourseError(f"--deadline {deadline!r} is no time like 2026-05-31 23:59") from None
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(), TextColumn("{task.description}", markup=False)
    console = Console(stderr=True)
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("", total=None)
        result = batch.grade(
            folder, out, bank, exercises_of,
            exercises=[find(id).id for id in exercise or ()],
            jobs=jobs, isolation=isolation, seed=seed, limits=Limits(timeout, memory_gib),
            roster=roster, deadline=until,
            progress=lambda done, total, name: bar.update(task, completed=done, total=total, description=name),
        )  # fmt: skip
    written = reports.write_all(result, out)
    known = len(result.records) - result.judged
    before = f", {known} of them earlier" if known else ""
    typer.echo(
        f"{len(result.records)} submissions judged{before} in {result.seconds:.0f} s "
        f"(isolation: {result.settings.isolation}, seed {result.settings.seed}): {written}"
    )
    if result.failures:
        names = ", ".join(map(clean, result.failures))
        typer.echo(f"course: not judged, through a fault of the grader: {names}", err=True)
        raise typer.Exit(1)
    if result.settings.isolation == "process":
        typer.echo("course: nothing was isolated: a submission could have done whatever you can do", err=True)
