"""The commands of `course`, one module each: their options and what they print. The work is done elsewhere.

A module here imports only typer and the standard library at the top, so that `course --help` answers at once; what the
command needs is imported when it runs. Bad input raises CourseError or typer.BadParameter: `cli.main` prints it.
"""

import json


def print_json(data) -> None:
    """Print what a program may read."""
    print(json.dumps(data, ensure_ascii=False, indent=2))
