"""`course exercises`: what there is to solve."""

from typing import Annotated

import typer

from course_lib.commands import print_json

EXAMPLE = "Example: course exercises --chapter 3"


def exercises(
    chapter: Annotated[int | None, typer.Option(help="Only this chapter's.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print them as JSON.")] = False,
) -> None:
    """List the exercises of the course."""
    from course_lib.errors import CourseError
    from course_lib.exercises import bank

    found = [e for e in bank().values() if chapter in (None, e.chapter)]
    if not found:
        chapters = ", ".join(str(number) for number in sorted({e.chapter for e in bank().values()}))
        raise CourseError(f"there are no exercises for chapter {chapter}; there are for {chapters}")
    if as_json:
        print_json(
            [
                {
                    "id": e.id,
                    "chapter": e.chapter,
                    "title": e.title,
                    "signature": e.signature,
                    "points": e.points,
                    "checks": [check.id for check in e.checks],
                    "misconceptions": [misconception.id for misconception in e.misconceptions],
                    "alternatives": len(e.alternatives),
                    "concepts": list(e.concepts),
                    "errata": list(e.errata),
                }
                for e in found
            ]
        )
        return
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    table = Table("chapter", "define", "points", "minutes", "difficulty", box=None, padding=(0, 2, 0, 0))
    for e in found:
        row = f"{e.chapter:02}", escape(e.signature), str(e.points), str(e.minutes), f"{e.difficulty} of 5"
        table.add_row(*row)
    Console(highlight=False).print(table)
