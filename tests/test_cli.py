"""The `course` command as a whole: its help, and one line for everything that the person can mend."""

import subprocess
import sys

import pytest
import typer

from course_lib import cli
from course_lib.errors import CourseError

COMMANDS = [command.callback.__name__.replace("_", "-") for command in cli.app.registered_commands]


def test_every_command_of_the_course_is_there():
    assert {"lab", "doctor", "train", "translate", "evaluate", "exercises", "check", "progress"} <= set(COMMANDS)


def test_help_lists_the_commands(capsys):
    assert cli.main(["--help"]) == cli.main([]) == 0
    out, err = capsys.readouterr()
    assert all(name in out for name in COMMANDS) and err == ""


@pytest.mark.parametrize("name", COMMANDS)
def test_help_of_a_command_has_an_example(name, capsys):
    assert cli.main([name, "--help"]) == 0
    assert f"Example: course {name}" in " ".join(capsys.readouterr().out.split())


@pytest.mark.parametrize(
    "arguments, said",
    [
        (["nonsense"], "'nonsense'"),
        (["lab", "--port", "many"], "'--port'"),
        (["lab", "--nonsense"], "--nonsense"),
        (["lab", "--chapter", "99"], "no chapter 99"),
        (["train", "--epochs"], "--epochs"),
    ],
)
def test_bad_input_is_one_line_and_status_2(arguments, said, capsys):
    assert cli.main(arguments) == 2
    out, err = capsys.readouterr()
    assert out == "" and err.startswith("course: ") and said in err and err.count("\n") == 1


@pytest.mark.parametrize(
    "error, status, line",
    [
        (CourseError("no such\ncorpus"), 2, "course: no such corpus\n"),
        (KeyboardInterrupt(), 130, "course: stopped by Ctrl-C\n"),
        (typer.Exit(3), 3, ""),
        (BrokenPipeError(), 1, ""),
    ],
)
def test_each_error_has_its_status(error, status, line, monkeypatch, capsys):
    app = typer.Typer()

    @app.command()
    def fail() -> None:
        raise error

    monkeypatch.setattr(cli, "app", app)
    assert cli.main(["--"]) == status  # an app of one command needs no name
    assert capsys.readouterr().err == line


def test_a_mistake_of_ours_is_not_hidden(monkeypatch):
    app = typer.Typer(pretty_exceptions_enable=False)
    app.command()(lambda: 1 / 0)
    monkeypatch.setattr(cli, "app", app)
    with pytest.raises(ZeroDivisionError):
        cli.main(["--"])


def test_installed_as_a_command():
    done = subprocess.run([sys.executable, "-m", "course_lib.cli", "nonsense"], capture_output=True, text=True)
    assert done.returncode == 2 and done.stderr.count("\n") == 1
