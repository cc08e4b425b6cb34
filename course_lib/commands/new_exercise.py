"""`course new-exercise`: the skeleton of an exercise, for those who write them."""

from pathlib import Path
from typing import Annotated

import typer

EXAMPLE = "Example: course new-exercise gelu --chapter 6 --signature 'gelu(x)' --title 'The GELU'"


def new_exercise(
    id: Annotated[str, typer.Argument(help="The name that learners define.", show_default=False)],
    chapter: Annotated[int, typer.Option(min=0, max=99, help="The chapter it belongs to.")],
    title: Annotated[str, typer.Option(help="Its heading; the name if left out.")] = "",
    signature: Annotated[str, typer.Option(help="As in softmax(x); made from the name if left out.")] = "",
) -> None:
    """Add the skeleton of an exercise to the bank.

    `pytest tests/test_exercises.py` fails until it has three checks, five misconceptions and two alternatives.
    """
    from course_lib.exercises.skeleton import add_skeleton

    path = add_skeleton(id, chapter, title or id, signature or f"{id}(x)", Path(__file__).parents[1] / "exercises")
    typer.echo(f"{path}: complete it, then run\n  pytest tests/test_exercises.py -k {id}\n  make notebooks")
