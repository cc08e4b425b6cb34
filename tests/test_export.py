"""Exports are tried as far as they can be here: with the real nbgrader and Otter, from PyPI."""

import csv
import json
import os
import shutil
import stat
import subprocess
import sys
import zipfile
from pathlib import Path

import nbformat
import pytest

from course_lib.cli import main
from course_lib.errors import CourseError
from course_lib.exercises import chapter_exercises, exercise
from course_lib.exercises.skeleton import add_skeleton
from course_lib.exercises.trusted import assert_passed
from course_lib.grading import workers
from course_lib.grading.exporters import TRUSTED, gradescope
from tests.battery.correct import PLAIN
from tests.conftest import ROOT

EXERCISES = ["--exercise", "softmax", "--exercise", "spot_the_bug_03"]
PROBLEM = workers.problem_with("jail")


def export(target: str, out: Path, *arguments: str) -> int:
    return main(["export", target, "--out", str(out), *(arguments or EXERCISES)])


def cell(notebook, exercise_id: str):
    return next(cell for cell in notebook.cells if cell.metadata.get("exercise") == exercise_id)


def environment(**more: str) -> dict[str, str]:
    """That of a process that can import the course from here."""
    return (
        os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])} | more
    )


@pytest.fixture(scope="module")
def graders(tmp_path_factory) -> Path:
    """Where the commands of nbgrader and Otter are: an environment of their own that sees the packages of this one."""
    folder = tmp_path_factory.mktemp("graders")
    subprocess.run([sys.executable, "-m", "venv", folder], check=True)
    (site,) = folder.glob("lib/python*/site-packages")
    (site / "ours.pth").write_text("\n".join(path for path in sys.path if path.endswith("-packages")))
    install = [folder / "bin/python", "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    done = subprocess.run([*install, "nbgrader", "otter-grader"], capture_output=True, text=True)
    if "No matching distribution" in done.stderr:
        pytest.skip("nbgrader and Otter cannot be downloaded here")
    assert done.returncode == 0, done.stderr
    return folder / "bin"


# ---- Gradescope ------------------------------------------------------------------------------------------------------


@pytest.fixture
def autograder(tmp_path) -> Path:
    """What Gradescope makes of the zip: /autograder with the source unpacked."""
    assert export("gradescope", tmp_path / "out", "--chapter", "3") == 0
    root = tmp_path / "autograder"
    with zipfile.ZipFile(tmp_path / "out" / "chapter-03-gradescope.zip") as archive:
        archive.extractall(root / "source")
        modes = {info.filename: info.external_attr >> 16 for info in archive.infolist()}
    assert modes["run_autograder"] & stat.S_IXUSR and modes["setup.sh"] & stat.S_IXUSR
    for name in ("submission", "results", "venv/bin"):
        (root / name).mkdir(parents=True)
    (root / "venv/bin/python").symlink_to(sys.executable)
    return root


def run_autograder(root: Path) -> dict:
    """Run the zip's own script, with another root than /autograder."""
    script = (root / "source" / "run_autograder").read_text().replace("/autograder", str(root))
    python = root / "python"  # sys.executable by its own name: a venv is found by it
    python.write_text(f'#!/bin/sh\nexec "{sys.executable}" "$@"\n')
    python.chmod(0o755)
    script = script.replace(f"{root}/venv/bin/python", str(python))
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, timeout=500)
    assert (root / "results" / "results.json").is_file(), done.stderr
    return json.loads((root / "results" / "results.json").read_text())


@pytest.mark.skipif(bool(PROBLEM), reason=f"this kernel allows no jail: {PROBLEM}")
def test_gradescope_gets_results_from_the_grader(autograder):
    forged = PLAIN.replace("return e / e.sum", "return e / 2 / e.sum") + (
        "\nfor place in ('ROOT/results', '/autograder/results', '.'):\n    try:\n"
        "        open(place + '/results.json', 'w').write('{\"score\": 100}')\n    except OSError:\n        pass\n"
    ).replace("ROOT", str(autograder))
    (autograder / "submission" / "sheet.py").write_text(forged)
    found = run_autograder(autograder)
    full = sum(e.points for e in chapter_exercises(3))
    assert found["score"] == sum(test["score"] for test in found["tests"]) < full
    assert sum(test["max_score"] for test in found["tests"]) == full
    by_name = {test["name"]: test for test in found["tests"]}
    assert by_name["causal_mask: square"]["status"] == "passed"
    assert by_name["softmax: values"]["status"] == "failed" and "expected" in by_name["softmax: values"]["output"]
    assert "Isolation: jail" in found["output"]
    assert all(test["visibility"] == "visible" for test in found["tests"])


def test_gradescope_gets_a_result_even_without_a_submission(autograder):
    assert run_autograder(autograder)["score"] == 0


def test_of_several_files_the_best_of_each_exercise_counts():
    def one(id: str, points: int) -> dict:
        status = "passed" if points else "failed"
        check = {
            "id": "values",
            "points": points,
            "max_points": 3,
            "status": status,
            "message": "",
            "misconception": None,
        }
        return {"id": id, "points": points, "max_points": 3, "checks": [check]}

    submissions = [
        {"submission": "a.py", "exercises": [one("softmax", 3), one("causal_mask", 0)], "flags": ["late: 1"]},
        {"submission": "b.py", "exercises": [one("softmax", 0), one("causal_mask", 3)], "flags": []},
    ]
    found = gradescope.results({"seed": 1, "isolation": "jail", "submissions": submissions})
    assert found["score"] == 6 and len(found["tests"]) == 2 and "a.py: late" in found["output"]


def test_the_zip_has_the_course_and_what_it_needs(autograder):
    source = autograder / "source"
    needs = (source / "requirements.txt").read_text().split()
    assert any(need.startswith("torch") for need in needs) and any(need.startswith("jinja2") for need in needs)
    theirs = {path.relative_to(source / "course_lib") for path in (source / "course_lib").rglob("*.py")}
    ours = {path.relative_to(workers.PACKAGE) for path in workers.PACKAGE.rglob("*.py")}
    assert {Path("cli.py"), Path("grading/worker.py"), Path("exercises/chapter_03.py")} <= theirs <= ours
    subprocess.run(["bash", "-n", source / "setup.sh"], check=True)


# ---- GitHub Classroom ------------------------------------------------------------------------------------------------


def test_the_classroom_workflow_judges_every_check(tmp_path):
    yaml = pytest.importorskip("yaml", reason="PyYAML is not installed, so the workflow cannot be read")
    assert export("classroom", tmp_path) == 0
    workflow = yaml.safe_load((tmp_path / ".github/workflows/classroom.yml").read_text("utf-8"))
    steps = workflow["jobs"]["judge"]["steps"]
    graders = [step for step in steps if "command-grader" in step.get("uses", "")]
    checks = [(id, check) for id in ("softmax", "spot_the_bug_03") for check in exercise(id).checks]
    assert [(g["with"]["test-name"], g["with"]["max-score"]) for g in graders] == [
        (f"{id}: {check.id}", check.points) for id, check in checks
    ]
    reporter = steps[-1]
    assert reporter["with"]["runners"].split(",") == [grader["id"] for grader in graders]
    assert len(reporter["env"]) == len(graders)
    judge = next(step for step in steps if step.get("name") == "Judge")["run"]
    assert "course grade ." in judge and "--exercise softmax" in judge
    install = next(step for step in steps if step.get("name") == "Install the course")["run"]
    assert "git+https://" in install
    notebook = nbformat.read(tmp_path / "softmax.ipynb", 4)
    assert "not_attempted" not in cell(notebook, "softmax").source


def test_the_classroom_workflow_judges_what_is_pushed(tmp_path):
    """Its own shell lines, as GitHub runs them, and then the first of its graders."""
    yaml = pytest.importorskip("yaml", reason="PyYAML is not installed, so the workflow cannot be read")
    repository, bin = tmp_path / "repository", tmp_path / "bin"
    assert export("classroom", repository) == 0
    bin.mkdir()
    for name, line in [("course", f'exec "{sys.executable}" -m course_lib.cli "$@"'), ("sudo", "exit 1")]:
        (bin / name).write_text(f"#!/bin/sh\n{line}\n")
        (bin / name).chmod(0o755)
    there = environment(PATH=f"{bin}:{os.environ['PATH']}", RUNNER_TEMP=str(tmp_path))
    workflow = yaml.safe_load((repository / ".github/workflows/classroom.yml").read_text("utf-8"))
    steps = workflow["jobs"]["judge"]["steps"]
    notebook = nbformat.read(repository / "softmax.ipynb", 4)
    cell(notebook, "softmax").source = "def softmax(x):\n    return (x - x.logsumexp(-1, keepdim=True)).exp()"
    nbformat.write(notebook, repository / "softmax.ipynb")
    commands = [next(step["run"] for step in steps if step.get("name") == "Judge")]
    graders = {step["id"]: step["with"]["command"] for step in steps if "command-grader" in step.get("uses", "")}
    commands += [graders["softmax-values"].replace("python ", f"{sys.executable} "), graders["spot-the-bug-03-values"]]
    done = [
        subprocess.run(["bash", "-e", "-c", command], cwd=repository, env=there, capture_output=True, text=True)
        for command in commands
    ]
    assert [one.returncode for one in done[:2]] == [0, 0], done[0].stderr + done[1].stdout
    assert done[2].returncode != 0


def test_what_the_classroom_workflow_calls_says_pass_and_fail(tmp_path):
    assert export("classroom", tmp_path) == 0
    check = {"id": "values", "points": 0, "max_points": 3, "status": "failed", "message": "expected 1, got 2"}
    solved = {"id": "large", "points": 3, "max_points": 3, "status": "passed", "message": ""}
    one = {"id": "softmax", "checks": [check, solved]}
    (tmp_path / "grades.json").write_text(json.dumps({"submissions": [{"exercises": [one]}]}))
    command = [sys.executable, tmp_path / ".github/classroom/passed.py", tmp_path, "softmax"]
    failed = subprocess.run([*command, "values"], capture_output=True, text=True)
    assert failed.returncode == 1 and failed.stdout == "expected 1, got 2\n"
    assert subprocess.run([*command, "large"], capture_output=True).returncode == 0


# ---- nbgrader --------------------------------------------------------------------------------------------------------


def test_an_nbgrader_source_has_points_and_warns(tmp_path, capsys):
    assert export("nbgrader", tmp_path) == 0
    assert "trusted classes" in capsys.readouterr().err
    notebook = nbformat.read(tmp_path / "source/softmax/softmax.ipynb", 4)
    nbformat.validate(notebook)
    marks = [cell.metadata.nbgrader for cell in notebook.cells if "nbgrader" in cell.metadata]
    assert [mark.points for mark in marks if mark.grade] == [
        exercise("softmax").points,
        exercise("spot_the_bug_03").points,
    ]
    assert len({mark.grade_id for mark in marks}) == 4
    assert TRUSTED in notebook.cells[0].source and TRUSTED in (tmp_path / "nbgrader_config.py").read_text()


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_nbgrader_itself_grades_it(tmp_path, course_home, graders):
    assert export("nbgrader", tmp_path) == 0

    def nbgrader(*arguments: str) -> None:
        path = f"{graders}:{os.environ['PATH']}"  # nbgrader calls its alembic by name
        done = subprocess.run(
            [graders / "nbgrader", *arguments], cwd=tmp_path, env=environment(PATH=path), capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr

    nbgrader("generate_assignment", "softmax", "--create")
    notebook = nbformat.read(tmp_path / "release/softmax/softmax.ipynb", 4)
    assert 'NotImplementedError("softmax: your code goes here")' in cell(notebook, "softmax").source
    folder = tmp_path / "submitted/ann/softmax"
    folder.mkdir(parents=True)
    cell(notebook, "softmax").source = "def softmax(x):\n    return (x - x.logsumexp(-1, keepdim=True)).exp()"
    nbformat.write(notebook, folder / "softmax.ipynb")
    nbgrader("autograde", "softmax")
    nbgrader("export")
    with open(tmp_path / "grades.csv") as file:
        (row,) = [row for row in csv.DictReader(file) if row["student_id"] == "ann"]
    assert float(row["score"]) == exercise("softmax").points


# ---- Otter -----------------------------------------------------------------------------------------------------------


def test_an_otter_notebook_has_a_test_for_each_check_that_its_solution_passes(tmp_path, capsys):
    assert export("otter", tmp_path) == 0
    assert "trusted classes" in capsys.readouterr().err
    notebook = nbformat.read(tmp_path / "softmax.ipynb", 4)
    nbformat.validate(notebook)
    namespace: dict = {}
    tests = 0
    for one in notebook.cells:
        if one.cell_type != "code" or "course_lib.workshop" in one.source:
            exec("import math, torch", namespace)
            continue
        exec(compile(one.source, one.id, "exec"), namespace)
        tests += "BEGIN TEST CONFIG" in one.source
    assert tests == len(exercise("softmax").checks) + len(exercise("spot_the_bug_03").checks)


def test_a_check_as_an_assertion():
    assert_passed("softmax", "values", lambda x: x.softmax(-1))
    with pytest.raises(AssertionError, match="first axis"):
        assert_passed("softmax", "values", lambda x: x.softmax(0))
    with pytest.raises(AssertionError, match="library's own"):
        assert_passed("softmax", "values", exercise("softmax").reference)


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_otter_itself_grades_it(tmp_path, graders):
    assert export("otter", tmp_path) == 0

    def otter(*arguments: str) -> None:
        done = subprocess.run(
            [graders / "otter", *arguments], cwd=tmp_path, env=environment(), capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr

    otter("assign", "softmax.ipynb", "dist", "--no-pdfs")  # runs the tests on the solutions
    notebook = nbformat.read(tmp_path / "dist/student/softmax.ipynb", 4)
    answer = next(one for one in notebook.cells if one.source.startswith("def softmax"))
    assert "_librarys" not in answer.source
    answer.source = "def softmax(x):\n    return (x - x.logsumexp(-1, keepdim=True)).exp()"
    nbformat.write(notebook, tmp_path / "ann.ipynb")
    (zipped,) = (tmp_path / "dist/autograder").glob("*.zip")
    (tmp_path / "run").mkdir()
    otter("run", "ann.ipynb", "-a", str(zipped), "-o", "run", "--no-logo")
    tests = json.loads((tmp_path / "run" / "results.json").read_text())["tests"]
    scores = {test["name"]: test.get("score") for test in tests}
    assert scores["softmax"] == exercise("softmax").points and scores["spot_the_bug_03"] == 0


# ---- the commands ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "arguments, said",
    [
        (["moodle", "--chapter", "3"], "choose gradescope, classroom, nbgrader, otter"),
        (["otter"], "choose --chapter 3"),
        (["otter", "--chapter", "77"], "no exercises for chapter 77"),
        (["otter", "--exercise", "sofmax"], "did you mean softmax"),
    ],
)
def test_bad_input_is_one_line(tmp_path, capsys, arguments, said):
    assert main(["export", *arguments, "--out", str(tmp_path)]) == 2
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 1 and said in lines[0]


def test_a_new_exercise_begins_incomplete(tmp_path):
    path = add_skeleton("my_gelu", 77, "The GELU", "my_gelu(x)", tmp_path)
    add_skeleton("MyNorm", 77, "A norm", "MyNorm(d_model, eps=1e-5)", tmp_path)
    namespace: dict = {}
    exec(compile(path.read_text("utf-8"), str(path), "exec"), namespace)
    gelu, norm = namespace["EXERCISES"]
    assert (gelu.id, norm.id, gelu.chapter) == ("my_gelu", "MyNorm", 77)
    assert not gelu.checks and not gelu.misconceptions and not gelu.alternatives  # what tests/test_exercises.py refuses
    starter: dict = {}
    exec(gelu.starter, starter)
    with pytest.raises(NotImplementedError, match="my_gelu: your code goes here"):
        starter["my_gelu"](1)
    assert ruff(path) == ""


def ruff(path: Path) -> str:
    """Complaints about a file, other than imports that it does not need yet."""
    command = [
        sys.executable,
        "-m",
        "ruff",
        "check",
        "--quiet",
        "--ignore",
        "F401",
        "--config",
        ROOT / "pyproject.toml",
    ]
    done = subprocess.run([*command, path], capture_output=True, text=True)
    return done.stdout + done.stderr


def test_a_skeleton_joins_what_is_there(tmp_path):
    there = workers.PACKAGE / "exercises" / "chapter_03.py"
    shutil.copy(there, tmp_path)
    path = add_skeleton("cosine_scores", 3, "Cosine scores", "cosine_scores(q, k)", tmp_path)
    namespace: dict = {"__name__": "imagined"}
    exec(compile(path.read_text("utf-8"), str(path), "exec"), namespace)
    assert [e.id for e in namespace["EXERCISES"]] == [e.id for e in chapter_exercises(3)] + ["cosine_scores"]


@pytest.mark.parametrize(
    "id, signature, said",
    [
        ("my gelu", "my gelu(x)", "no name"),
        ("softmax", "softmax(x)", "there is an exercise softmax already"),
        ("my_gelu", "gelu(x)", "does not define my_gelu"),
        ("my_gelu", "my_gelu(x", "does not define my_gelu"),
    ],
)
def test_a_skeleton_needs_a_name_of_its_own(tmp_path, id, signature, said):
    with pytest.raises(CourseError, match=said):
        add_skeleton(id, 77, "", signature, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_new_exercise_is_a_command(capsys):
    assert main(["new-exercise", "softmax", "--chapter", "3"]) == 2
    assert "already" in capsys.readouterr().err
