"""The commands of `course`, one module each: their options and what they print. The work is done elsewhere.

A module here imports only typer and the standard library at the top, so that `course --help` answers at once; what the
command needs is imported when it runs. Bad input raises CourseError or typer.BadParameter: `cli.main` prints it.
"""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated

import typer

from course_lib.errors import CourseError


def print_json(data) -> None:
    """Print what a program may read."""
    print(json.dumps(data, ensure_ascii=False, indent=2))


DIRECTION = Annotated[str | None, typer.Option(help="As in de-en; the corpus's own if left out.")]
DATA_DIR = Annotated[
    Path | None, typer.Option(help="Folder with corpora already downloaded; COURSE_DATA if left out.")
]


def one_of(option: str, value: str, choices: Iterable[str]) -> str:
    """The value, if it is one of the choices; else CourseError names them."""
    if value not in choices:
        raise CourseError(f"{option} {value!r} does not exist: choose {', '.join(choices)}")
    return value


def load_translator(folder: Path | None):
    """The model in a folder, or the one that comes with the course."""
    from course_lib.translator import Translator

    return Translator.load(folder) if folder else Translator.shipped()
