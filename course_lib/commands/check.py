"""`course check`: judge one submission that you trust; it runs in this process."""

import contextlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer

from course_lib.commands import print_json

EXAMPLE = "Example: course check exercises/03_attention.ipynb --exercise softmax"


def check(
    file: Annotated[Path, typer.Argument(help="A notebook (.ipynb) or a Python file (.py).", show_default=False)],
    exercise: Annotated[list[str] | None, typer.Option(help="Only this exercise; may be repeated.")] = None,
    seed: Annotated[
        int | None, typer.Option(min=0, max=2**32 - 1, help="Repeats the numbers of an earlier check; new if left out.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """Judge the exercises in a notebook or a Python file.

    The file's code is run as it is: use this for your own work, not for strangers'.
    """
    import secrets

    from course_lib.exercises import exercise as find
    from course_lib.exercises import exercises_of
    from course_lib.grading import sources
    from course_lib.grading.submission import judge_submission

    wanted = [find(id) for id in exercise or ()]
    submission = sources.read(file)
    seed = secrets.randbelow(2**31) if seed is None else seed
    with _silence():
        result = judge_submission(submission, wanted or exercises_of(submission), seed)
    if as_json:
        print_json({**result.to_json(), "seed": seed})
        return
    from rich.console import Console
    from rich.text import Text

    text = Text(f"{result}\nseed {seed}")
    for sign, style in [("✓", "green"), ("✗", "red")]:
        text.highlight_regex(f"(?m)^  {sign} ", style)
    Console(highlight=False, soft_wrap=True).print(text)


@contextlib.contextmanager
def _silence() -> Iterator[None]:
    """Programs that the submission starts print nothing between our lines."""
    sys.stdout.flush()
    kept = os.dup(1)
    try:
        with open(os.devnull, "wb") as nowhere:
            os.dup2(nowhere.fileno(), 1)
        yield
    finally:
        os.dup2(kept, 1)
        os.close(kept)
