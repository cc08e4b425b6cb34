"""The Colab road: a notebook alone in an empty folder, in an environment that has never seen the course.

The environment has what Colab brings as far as it matters here: torch, numpy 2.1, ipywidgets 7.7.1, matplotlib and a
kernel. The set-up cell has to install the rest, from a wheel built here, and to leave these as they are.
"""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook

from course_lib.doctor import constraints
from notebooks.generate import setup_cell
from tests.conftest import ROOT
from tests.execution import Execution, execute

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1500)]
COLAB = [f"torch=={constraints()['torch']}", "numpy==2.1.*", "ipywidgets==7.7.1", "matplotlib", "ipykernel"]
KEPT = ("torch", "numpy", "ipywidgets", "matplotlib", "ipykernel", "ipython", "tornado")
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))


def pip(*arguments: str, python: str | Path = sys.executable) -> None:
    command = [str(python), "-m", "pip", "--disable-pip-version-check", *arguments]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, f"pip {' '.join(arguments)}: {done.stderr[-2000:]}"


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    """The course as a wheel, built from the checkout."""
    folder = tmp_path_factory.mktemp("wheel")
    pip("wheel", "--quiet", "--no-deps", "--wheel-dir", str(folder), str(ROOT))
    return next(folder.glob("*.whl"))


@pytest.fixture(scope="module")
def colab(tmp_path_factory) -> Path:
    """The Python of a fresh environment like Colab's."""
    folder = tmp_path_factory.mktemp("colab")
    subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
    python = folder / "bin/python"
    pip("install", "--quiet", *COLAB, python=python)
    return python


def versions(python: Path) -> dict[str, str]:
    code = f"from importlib.metadata import version\nfor name in {KEPT}: print(name, version(name))"
    done = subprocess.run([str(python), "-c", code], capture_output=True, text=True, check=True, cwd=python.parent)
    return dict(line.split() for line in done.stdout.splitlines())


def run(notebook, python: Path, tmp_path: Path, source: str | Path) -> Execution:
    """Execute a notebook alone in an empty folder, with the interpreter of the fresh environment."""
    empty = tmp_path / "empty"
    empty.mkdir()
    unset = ("PYTHONPATH", "MPLBACKEND", "VIRTUAL_ENV")
    environment = {key: value for key, value in os.environ.items() if key not in unset}
    environment |= {"COURSE_SOURCE": str(source), "COURSE_QUICK": "1", "IPYTHONDIR": str(tmp_path / "ipython")}
    return execute(notebook, empty, tmp_path, python=str(python), environment=environment)


def test_the_wheel_carries_what_a_notebook_needs(wheel):
    names = zipfile.ZipFile(wheel).namelist()
    tracked = subprocess.run(
        ["git", "ls-files", "course_lib"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.split()
    assert set(tracked) <= set(names), f"not in the wheel: {set(tracked) - set(names)}"
    assert "course_lib/constraints.txt" in names
    assert not [name for name in names if "__pycache__" in name or name.startswith(("tests", "notebooks"))]


def test_a_failed_installation_says_what_to_do(colab, tmp_path):
    """In the fresh environment, before the course is there."""
    notebook = new_notebook(cells=[setup_cell()])
    (error,) = run(notebook, colab, tmp_path, tmp_path / "no-such.whl").errors
    assert "could not be installed" in error and "COURSE_SOURCE" in error and "no-such.whl" in error
    assert "\n" not in error


def test_the_set_up_cell_installs_the_course_and_replaces_nothing(colab, wheel, tmp_path, report):
    """Chapter 03 alone in an empty folder, in an environment without the course, runs to its end with ipywidgets 7."""
    before = versions(colab)
    notebook = nbformat.read(next(path for path in NOTEBOOKS if path.name.startswith("03_")), as_version=4)
    notebook.cells.append(new_code_cell("import course_lib; print(course_lib.__file__)", id="where"))
    done = run(notebook, colab, tmp_path, wheel)
    assert done.errors == []
    assert str(colab.parents[1]) in done.notebook.cells[-1].outputs[0].text, "not the course that was installed"
    assert versions(colab) == before and before["ipywidgets"] == "7.7.1"
    assert done.versions["ipywidgets"] == "7.7.1" and done.versions["numpy"].startswith("2.1.")
    report(f"Colab road: the set-up cell took {done.seconds['setup']:.0f} s")


OTHERS = [path for path in NOTEBOOKS if not path.name.startswith("03_")]


@pytest.mark.parametrize("path", OTHERS, ids=lambda path: path.stem)
def test_the_other_chapters_run_with_ipywidgets_7(path, colab, wheel, tmp_path):
    """Where the course is installed, the set-up cell does nothing."""
    done = run(nbformat.read(path, as_version=4), colab, tmp_path, wheel)
    assert done.errors == []
    assert done.seconds["setup"] < 2 and done.notebook.cells[0].outputs == []
