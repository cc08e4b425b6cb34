"""An nbgrader course folder: the source version of an assignment, with partial credit. For trusted classes."""

import json
from pathlib import Path

from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

CONFIG = """\
# {trusted}
c = get_config()  # noqa: F821
c.CourseDirectory.course_id = "transformer-workshop"
c.ClearSolutions.code_stub = {{"python": "# Write your code in place of the line that raises the error."}}
c.ExecutePreprocessor.timeout = 120
"""


def export(assignment, out: Path) -> list[Path]:
    """Write `source/NAME/NAME.ipynb` and `nbgrader_config.py`; `nbgrader generate_assignment NAME` does the rest."""
    from course_lib.grading.exporters import TRUSTED, write_texts

    cells = [
        new_markdown_cell(f"*{TRUSTED}*", id="trusted"),
        new_code_cell(assignment.imports, id="imports"),
    ]
    for exercise in assignment.exercises:
        task, code, check = assignment.cells(exercise.id)
        code.source = f"### BEGIN SOLUTION\n### END SOLUTION\n{code.source}"
        code.metadata["nbgrader"] = _metadata(exercise.id, solution=True)
        check.source = f'check("{exercise.id}").points'
        check.metadata["nbgrader"] = _metadata(f"{exercise.id}-check", grade=True, points=exercise.points)
        cells += [task, code, check]
    notebook = new_notebook(cells=cells, metadata={"kernelspec": {"name": "python3", "display_name": "Python 3"}})
    return write_texts(
        out,
        {
            f"source/{assignment.name}/{assignment.name}.ipynb": json.dumps(notebook, ensure_ascii=False, indent=1),
            "nbgrader_config.py": CONFIG.format(trusted=TRUSTED),
        },
    )


def _metadata(name: str, *, grade: bool = False, solution: bool = False, points: int | None = None) -> dict:
    found = {
        "grade": grade,
        "grade_id": name,
        "locked": grade,
        "schema_version": 3,
        "solution": solution,
        "task": False,
    }
    return found if points is None else {**found, "points": points}
