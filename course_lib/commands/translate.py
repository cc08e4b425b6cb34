"""`course translate`: use a trained model."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from course_lib.commands import load_translator
from course_lib.errors import CourseError

EXAMPLE = 'Example: course translate --model runs/m30k "Ein Hund läuft am Strand."'


def translate(
    text: Annotated[str | None, typer.Argument(help="A sentence; standard input line by line if left out.")] = None,
    model: Annotated[Path | None, typer.Option(help="Folder of a trained model; the shipped one if left out.")] = None,
    beam: Annotated[int, typer.Option(min=1, help="Hypotheses kept at each step; 1 is greedy.")] = 5,
) -> None:
    """Translate a sentence, or every line of standard input."""
    from course_lib.config import DecodeConfig

    if text is not None and not text.strip():
        raise CourseError("the sentence is empty: type one to translate")
    translator = load_translator(model)
    decode = DecodeConfig(beam_size=beam)
    if text is not None:
        typer.echo(_translate(translator, text, decode))
        return
    for number, line in enumerate(_lines(), 1):
        try:
            print(_translate(translator, line, decode) if line.strip() else "", flush=True)
        except CourseError as error:
            raise CourseError(f"line {number}: {error}") from None


def _translate(translator, text: str, decode) -> str:
    unknown = translator.unknown_words(text)
    if unknown:
        print(f"course: the model has never seen: {', '.join(unknown)}", file=sys.stderr)
    return translator.translate(text, decode)


def _lines():
    for number, line in enumerate(sys.stdin.buffer, 1):
        try:
            yield line.decode("utf-8")
        except UnicodeDecodeError:
            raise CourseError(f"line {number} of standard input is not UTF-8 text") from None
