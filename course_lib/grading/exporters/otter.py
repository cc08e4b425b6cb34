"""An Otter Assign notebook: a question for each exercise, a test for each of its checks. For trusted classes."""

import json
from pathlib import Path

from nbformat.v4 import new_code_cell, new_notebook, new_raw_cell

TEST = '''\
""" # BEGIN TEST CONFIG
points: {points}
""" # END TEST CONFIG
from course_lib.exercises.trusted import assert_passed
assert_passed("{exercise}", "{check}", {exercise})'''

SOLUTION = """\
{starter}

# BEGIN SOLUTION NO PROMPT
from {module} import {name} as _librarys
{exercise} = lambda *arguments: _librarys(*arguments)
# END SOLUTION"""


def export(assignment, out: Path) -> list[Path]:
    """Write `NAME.ipynb`; `otter assign NAME.ipynb dist` makes the student's version and the autograder of it."""
    from course_lib.grading.exporters import TRUSTED, write_texts

    config = f"# ASSIGNMENT CONFIG\n# {TRUSTED}\nname: {assignment.name}\ngenerate: true"
    cells = [new_raw_cell(config, id="config"), new_code_cell(assignment.imports, id="imports")]
    for exercise in assignment.exercises:
        id = exercise.id
        task, code, _ = assignment.cells(id)
        reference = exercise.reference
        code.source = SOLUTION.format(
            starter=code.source, module=reference.__module__, name=reference.__name__, exercise=id
        )
        points = [check.points for check in exercise.checks]
        cells += [
            new_raw_cell(f"# BEGIN QUESTION\nname: {id}\npoints: {points}", id=f"{id}-begin"),
            task,
            new_raw_cell("# BEGIN SOLUTION", id=f"{id}-begin-solution"),
            code,
            new_raw_cell("# END SOLUTION", id=f"{id}-end-solution"),
            new_raw_cell("# BEGIN TESTS", id=f"{id}-begin-tests"),
            *(
                new_code_cell(TEST.format(exercise=id, check=check.id, points=check.points), id=f"{id}-test-{i}")
                for i, check in enumerate(exercise.checks)
            ),
            new_raw_cell("# END TESTS", id=f"{id}-end-tests"),
            new_raw_cell("# END QUESTION", id=f"{id}-end"),
        ]
    notebook = new_notebook(cells=cells, metadata={"kernelspec": {"name": "python3", "display_name": "Python 3"}})
    return write_texts(out, {f"{assignment.name}.ipynb": json.dumps(notebook, ensure_ascii=False, indent=1)})
