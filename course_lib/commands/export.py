"""`course export`: exercises for Gradescope, GitHub Classroom, nbgrader and Otter."""

from pathlib import Path
from typing import Annotated

import typer

from course_lib.commands import one_of

EXAMPLE = "Example: course export gradescope --chapter 3 --out export"
TARGETS = ("gradescope", "classroom", "nbgrader", "otter")


def export(
    target: Annotated[str, typer.Argument(help=", ".join(TARGETS), show_default=False)],
    out: Annotated[Path, typer.Option(help="Folder for what is written.")],
    chapter: Annotated[int | None, typer.Option(help="All exercises of this chapter.")] = None,
    exercise: Annotated[list[str] | None, typer.Option(help="This exercise; may be repeated.")] = None,
) -> None:
    """Write an assignment for another system.

    In nbgrader and Otter a submission shares a process with its tests: use them for classes that you trust.
    """
    one_of("target", target, TARGETS)
    from course_lib.errors import CourseError
    from course_lib.exercises import chapter_exercises, sheets
    from course_lib.exercises import exercise as find
    from course_lib.grading import exporters
    from course_lib.grading.workers import PACKAGE

    chosen = [find(id) for id in exercise or ()]
    if chapter is not None:
        chosen += [found for found in chapter_exercises(chapter) if found not in chosen]
        if not chosen:
            raise CourseError(f"there are no exercises for chapter {chapter}; `course exercises` lists what there is")
    if not chosen:
        raise CourseError("nothing to export: choose --chapter 3, say, or --exercise softmax")
    name = f"chapter-{chapter:02}" if chapter is not None else chosen[0].id.replace("_", "-")
    home, needs = course_distribution(PACKAGE)
    imports = f"{sheets.IMPORTS}\n"
    assignment = exporters.Assignment(name, chosen, sheets.exercise_cells, imports, PACKAGE, home, needs)
    try:
        written = exporters.export(target, assignment, out)
    except OSError as error:
        raise CourseError(f"{out} cannot be written: {error.strerror}") from None
    for path in written:
        typer.echo(path)
    if target in ("nbgrader", "otter"):
        typer.echo(exporters.TRUSTED, err=True)


def course_distribution(package: Path) -> tuple[str, list[str]]:
    """Where the course can be installed from, and what it needs: from the installed package, or its pyproject.toml."""
    import tomllib
    from importlib import metadata

    project = package.parent / "pyproject.toml"
    if project.is_file():
        found = tomllib.loads(project.read_text(encoding="utf-8"))["project"]
        return f"git+{found['urls']['Source']}", found["dependencies"]
    found = metadata.metadata("transformer-workshop")
    urls = dict(url.split(", ", 1) for url in found.get_all("Project-URL") or [])
    needs = [need for need in metadata.requires("transformer-workshop") or [] if "extra ==" not in need]
    return f"git+{urls['Source']}", needs
