"""`course exercises`, `course check` and `course progress`: what they print, and what they say to bad input."""

import json
import subprocess
import sys

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook

from course_lib.cli import main
from course_lib.exercises import bank, sheets
from course_lib.workshop import check
from tests.conftest import ROOT

GOOD = "import torch\nprint('noise')\ndef softmax(x):\n    return (x - x.logsumexp(-1, keepdim=True)).exp()\n"


@pytest.fixture
def course(capsys):
    """Runs the command in this process: its exit status, what it printed, what it said on the error stream."""

    def run(*arguments):
        status = main([str(argument) for argument in arguments])
        out, error = capsys.readouterr()
        return status, out, error

    return run


def test_exercises_json_is_the_designs(course):
    status, out, _ = course("exercises", "--json")
    found = json.loads(out)
    assert status == 0 and [row["id"] for row in found] == list(bank())
    for row in found:
        e = bank()[row["id"]]
        assert " ".join(row) == (
            "id chapter title signature points checks misconceptions alternatives concepts errata"
        )
        assert row["checks"] == [check.id for check in e.checks]
        assert row["misconceptions"] == [m.id for m in e.misconceptions]
        assert row["alternatives"] == len(e.alternatives) and row["points"] == e.points
        assert row["concepts"] == list(e.concepts) and row["errata"] == list(e.errata)


def test_exercises_of_a_chapter(course):
    status, out, _ = course("exercises", "--chapter", 3)
    assert status == 0 and "softmax(x)" in out and "spot_the_bug_03" in out
    status, out, error = course("exercises", "--chapter", 99)
    assert (status, out) == (2, "") and error.startswith("course: there are no exercises for chapter 99; there are ")


def test_check_a_python_file(course, tmp_path):
    (tmp_path / "mine.py").write_text(GOOD)
    status, out, _ = course("check", tmp_path / "mine.py")
    assert status == 0 and "softmax: 10 of 10 points" in out and "noise" not in out
    assert "causal_mask: not attempted: `causal_mask` is not defined" in out and "seed " in out


def test_check_json_is_the_designs(course, tmp_path):
    mine, softmax = tmp_path / "mine.py", ("--exercise", "softmax")
    mine.write_text(GOOD + "1 / 0\ncausal_mask = lambda q, k: torch.ones(q, k).bool().tril()\n")
    status, out, error = course("check", mine, "--json", "--exercise", "causal_mask", *softmax)
    found = json.loads(out)
    assert status == 0 and error == ""
    assert list(found) == ["submission", "exercises", "points", "max_points", "flags", "seed"]
    assert found["submission"] == "mine.py" and [e["id"] for e in found["exercises"]] == ["causal_mask", "softmax"]
    assert found["points"] == sum(e["points"] for e in found["exercises"]) and found["max_points"] == 18
    assert found["flags"] == ["line 5 raised ZeroDivisionError: division by zero"]
    statuses = {check["id"]: check["status"] for check in found["exercises"][0]["checks"]}
    assert statuses == {"square": "passed", "more_keys": "failed", "more_queries": "failed", "in_use": "not_run"}
    failed = [check for check in found["exercises"][0]["checks"] if check["status"] == "failed"]
    assert all(check["misconception"] == "top_left" and check["points"] == 0 for check in failed)
    again = json.loads(course("check", mine, "--json", *softmax, "--seed", found["seed"])[1])
    assert again["exercises"][0] == found["exercises"][1]


def test_check_an_untouched_sheet(course, tmp_path):
    nbformat.write(sheets.problem_sheet(3), tmp_path / "sheet.ipynb")
    status, out, _ = course("check", tmp_path / "sheet.ipynb", "--json")
    found = json.loads(out)
    assert status == 0 and found["points"] == 0 and found["flags"] == []
    assert {check["status"] for e in found["exercises"] for check in e["checks"]} == {"missing"}
    assert {check["message"] for e in found["exercises"] for check in e["checks"]} == {"not attempted"}
    assert [e["id"] for e in found["exercises"]] == [e.id for e in bank().values() if e.chapter == 3]


def test_checking_a_file_keeps_nothing(course, tmp_path, course_home):
    cells = [new_code_cell(GOOD), new_code_cell("from course_lib.workshop import check\ncheck('softmax')")]
    nbformat.write(new_notebook(cells=cells), tmp_path / "n.ipynb")
    status, out, _ = course("check", tmp_path / "n.ipynb")
    assert status == 0 and "10 of 10" in out and list(course_home.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["none.ipynb"], "there is no file"),
        (["x.txt"], "neither a notebook (.ipynb) nor a Python file (.py)"),
        (["broken.ipynb"], "is not a notebook: no JSON in line 1"),
        (["good.py", "--exercise", "softmx"], "there is no exercise 'softmx'; did you mean softmax?"),
        (["good.py", "--seed", "x"], "--seed"),
        ([], "Missing argument"),
    ],
)
def test_bad_input_is_one_line_and_status_2(course, tmp_path, monkeypatch, arguments, said):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "x.txt").write_text("x")
    (tmp_path / "broken.ipynb").write_text("{")
    (tmp_path / "good.py").write_text(GOOD)
    status, out, error = course("check", *arguments)
    assert (status, out) == (2, "") and said in error
    assert error.startswith("course: ") and error.count("\n") == 1


def test_progress(course, course_home):
    assert json.loads(course("progress", "--json")[1])["points"] == 0
    check("softmax", bank()["softmax"].alternatives[0])
    course("progress")
    status, out, _ = course("progress", "--json")
    found = json.loads(out)
    assert status == 0 and found["points"] == 10 and found["home"] == str(course_home)
    status, out, _ = course("progress")
    assert status == 0 and "✓ softmax (10/10)" in out and f"kept in {course_home}" in out


@pytest.mark.parametrize("command", ["exercises", "check", "progress"])
def test_help_has_an_example(course, command):
    status, out, _ = course(command, "--help")
    assert status == 0 and f"Example: course {command}" in out


def test_a_submission_that_prints_past_python_does_not_spoil_the_json(tmp_path):
    (tmp_path / "loud.py").write_text(GOOD + "import os\nos.system('echo loud')\nos.write(1, b'loud')\n")
    code = "import sys; from course_lib.cli import main; sys.exit(main())"
    command = [sys.executable, "-c", code, "check", str(tmp_path / "loud.py"), "--json"]
    ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert ran.returncode == 0 and json.loads(ran.stdout)["points"] == 10
