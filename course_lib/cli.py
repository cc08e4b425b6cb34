"""The `course` command: `course --help` lists what it does; every command has its module in `course_lib/commands/`."""

import sys
from collections.abc import Sequence

import typer

from course_lib.commands import (
    check,
    doctor,
    evaluate,
    exercises,
    export,
    grade,
    lab,
    new_exercise,
    progress,
    train,
    translate,
)
from course_lib.errors import CourseError

app = typer.Typer(
    help="The Transformer Workshop: open the course, train and use its models, check exercises.",
    epilog="Example: course lab",
    add_completion=False,
    pretty_exceptions_enable=False,
)
for command, module in [
    (lab.lab, lab),
    (doctor.doctor, doctor),
    (train.train, train),
    (translate.translate, translate),
    (evaluate.evaluate, evaluate),
    (exercises.exercises, exercises),
    (check.check, check),
    (grade.grade, grade),
    (export.export, export),
    (new_exercise.new_exercise, new_exercise),
    (progress.progress, progress),
]:
    app.command(epilog=module.EXAMPLE)(command)

UsageError = typer.BadParameter.__base__  # newer typers bring their own click; this is the UsageError of each


def main(arguments: Sequence[str] | None = None) -> int:
    """Run `course` and return its exit status: 2 and one line for what the person can mend, 130 after Ctrl-C."""
    arguments = sys.argv[1:] if arguments is None else list(arguments)
    try:
        result = app(arguments or ["--help"], prog_name="course", standalone_mode=False)
        status = result if isinstance(result, int) else 0
    except CourseError as error:
        return _fail(str(error), error.status)
    except UsageError as error:
        path = error.ctx.command_path if error.ctx else "course"
        return _fail(f"{error.format_message().rstrip('.')} (see {path} --help)", 2)
    except (typer.Abort, KeyboardInterrupt):
        status = 130
    except BrokenPipeError:  # whoever read the output has stopped: `course exercises | head`
        sys.stdout = None
        return 1
    return _fail("stopped by Ctrl-C", 130) if status == 130 else status


def _fail(message: str, status: int) -> int:
    print("course:", " ".join(message.split()), file=sys.stderr)
    return status


if __name__ == "__main__":
    sys.exit(main())
