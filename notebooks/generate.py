"""Generates what a learner opens, `notebooks/NN_slug.ipynb` and `exercises/NN_slug.ipynb`, and a map: `make notebooks`.

A chapter comes from `notebooks/source/NN_slug.py` (jupytext, py:percent). A cell there may carry an id and what it is
about, `# %% id="mask-demo" concepts=["C15"] errata=["E113"]`; two kinds of cell are replaced by what the exercise bank
says: `# %% exercise="softmax"` and `# %% quiz="03"`. A problem sheet comes from the bank alone. Every notebook begins
with the same set-up cell. Nothing is executed, and the same sources give the same bytes.

`notebooks/map.json` says where everything is: one row for each cell that is about a concept (C01 to C76), a section of
the five source documents or one of their errors (E001 to E163). `notebooks/source/assigned.json`: what belongs where.
"""

import hashlib
import json
import re
import tomllib
from pathlib import Path

import jupytext
import nbformat
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_notebook

from course_lib.exercises import bank, sheets

ROOT = Path(__file__).resolve().parents[1]
MAP = ROOT / "notebooks/map.json"
SETUP = '''\
# Set-up: installs the course where it is missing (Google Colab, say) and does nothing elsewhere. Run it first.
import importlib.util, os, subprocess, sys

if importlib.util.find_spec("course_lib") is None:
    source = os.environ.get("COURSE_SOURCE") or "git+{home}"
    print("Installing the course from", source, "…")
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", source]
    errors = subprocess.run(pip, stderr=subprocess.PIPE, text=True).stderr
    importlib.invalidate_caches()
    if importlib.util.find_spec("course_lib") is None:
        said = next((line for line in errors.splitlines() if "error" in line.lower()), "nothing")
        raise RuntimeError(
            "The course could not be installed: check the connection and run this cell again, or set the environment "
            f"variable COURSE_SOURCE to a wheel or folder of it (now {{source}}). pip said: {{said}}"
        )'''


def setup_cell() -> NotebookNode:
    """The first cell of every notebook; the address is the one of pyproject.toml."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    source = SETUP.format(home=project["urls"]["Source"])
    return new_code_cell(source, id="setup", metadata={"tags": ["setup"]})


def chapter(source: Path) -> NotebookNode:
    """The notebook of a chapter: its source, with the cells of the exercises and quizzes that it names."""
    cells = []
    for cell in jupytext.read(source, fmt="py:percent").cells:
        if "exercise" in cell.metadata:
            cells += sheets.exercise_cells(cell.metadata["exercise"])
        elif "quiz" in cell.metadata:
            cells += sheets.quiz_cells(int(cell.metadata["quiz"]))
        else:
            cell.id = cell.metadata.pop("id", None)
            cells.append(cell)
    return finish(cells)


def finish(cells: list[NotebookNode]) -> NotebookNode:
    """A notebook of these cells behind the set-up cell, without outputs; ids that are missing come from the content."""
    cells, used = [setup_cell(), *cells], set()
    for cell in cells:
        if cell.id in used:
            raise ValueError(f"two cells have the id {cell.id!r}")
        copies = 0
        while cell.id is None or cell.id in used:
            cell.id = hashlib.sha256(f"{cell.cell_type} {copies} {cell.source}".encode()).hexdigest()[:8]
            copies += 1
        used.add(cell.id)
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
    kernel = {"name": "python3", "display_name": "Python 3 (ipykernel)", "language": "python"}
    notebook = new_notebook(cells=cells, metadata={"kernelspec": kernel, "language_info": {"name": "python"}})
    nbformat.validate(notebook)
    return notebook


def rows(chapter: str, notebook: NotebookNode) -> list[dict]:
    """What the cells of a chapter are about, in its order: see `notebooks/map.json`."""
    found = []
    for cell in notebook.cells:
        kind, about = cell.cell_type, {key: cell.metadata.get(key, []) for key in ("concepts", "documents", "errata")}
        if "exercise" in cell.metadata:
            kind, exercise = "exercise", bank()[cell.metadata["exercise"]]
            about["concepts"], about["errata"] = exercise.concepts, exercise.errata
        elif "quiz" in cell.metadata.get("tags", []):
            kind, questions = "quiz", json.dumps(sheets.quiz_questions(int(chapter[:2])))
            about["errata"] = re.findall(r"\bE\d{3}\b", questions)
        if any(about.values()):
            row = {"chapter": chapter, "cell": cell.id, "kind": kind}
            found.append(row | {key: sorted(set(value)) for key, value in about.items()})
    return found


def everything() -> dict[Path, str]:
    """Every generated file with its text."""
    sources = {int(path.name[:2]): path for path in sorted((ROOT / "notebooks/source").glob("[0-9][0-9]_*.py"))}
    notebooks = {ROOT / "notebooks" / f"{path.stem}.ipynb": chapter(path) for path in sources.values()}
    found = [json.dumps(row, ensure_ascii=False) for path, book in notebooks.items() for row in rows(path.stem, book)]
    for number in sorted({exercise.chapter for exercise in bank().values()}):
        sheet = finish(sheets.problem_sheet(number).cells)
        notebooks[ROOT / "exercises" / f"{sources[number].stem}.ipynb"] = sheet
    texts = {path: nbformat.writes(notebook) + "\n" for path, notebook in notebooks.items()}
    return texts | {MAP: "[\n" + ",\n".join(found) + "\n]\n"}


def present() -> set[Path]:
    """The generated files that are there now."""
    return {MAP} | {path for folder in ("notebooks", "exercises") for path in (ROOT / folder).glob("*.ipynb")}


def main() -> None:
    wanted = everything()
    for path in sorted(present() - wanted.keys()):
        path.unlink()
        print("removed", path.relative_to(ROOT))
    for path, text in wanted.items():
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            path.parent.mkdir(exist_ok=True)
            path.write_text(text, encoding="utf-8", newline="\n")
            print("wrote", path.relative_to(ROOT))


if __name__ == "__main__":
    main()
