from typing import Annotated

import typer

from course_lib.commands import print_json

EXAMPLE = "Example: course doctor --json"
SIGNS = {"ok": "[green]ok[/]", "warning": "[yellow]note[/]", "broken": "[red]broken[/]"}


def doctor(json: Annotated[bool, typer.Option("--json", help="Print it for a program.")] = False) -> None:
    """Say what this machine has for the course, and what to do about what is missing.

    The exit status is 0 when the course can be used and 1 when something it needs is broken.
    """
    from dataclasses import asdict

    from course_lib.doctor import examine

    findings = examine()
    usable = all(finding.status != "broken" for finding in findings)
    if json:
        print_json({"usable": usable, "checks": [asdict(finding) for finding in findings]})
    else:
        from rich.console import Console
        from rich.markup import escape
        from rich.table import Table

        table = Table(box=None, padding=(0, 2, 0, 0), show_header=False)
        for finding in findings:
            advice = f"\n[dim]→ {escape(finding.advice)}[/]" if finding.advice else ""
            table.add_row(finding.name, SIGNS[finding.status], escape(finding.found) + advice)
        Console(highlight=False).print(table)
    raise typer.Exit(0 if usable else 1)
