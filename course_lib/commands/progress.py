"""`course progress`: what you have solved so far."""

from typing import Annotated

import typer

from course_lib.commands import print_json

EXAMPLE = "Example: course progress --json"


def progress(as_json: Annotated[bool, typer.Option("--json", help="Print it as JSON.")] = False) -> None:
    """Show the exercises you have solved, chapter by chapter."""
    from course_lib.workshop import home
    from course_lib.workshop import progress as look

    found = look()
    if as_json:
        print_json({**found.to_json(), "home": str(home())})
        return
    typer.echo(f"{found}\nkept in {home()}")
