"""A GitHub Classroom template: the problem sheet, and a workflow that judges every push with `course grade`.

A student can change the workflow of their own repository, and so what it says. Whoever wants marks that nobody can
forge downloads the repositories and runs `course grade`.
"""

import json
from pathlib import Path

from nbformat.v4 import new_code_cell, new_notebook

WORKFLOW = """\
name: Exercises
on: [push, workflow_dispatch]
permissions:
  checks: write
  actions: read
  contents: read
jobs:
  judge:
    runs-on: ubuntu-latest
    timeout-minutes: 20
    steps:
      - uses: actions/checkout@v4
      - uses: actions/setup-python@v5
        with:
          python-version: "3.12"
          cache: pip
          cache-dependency-path: .github/workflows/classroom.yml
      - name: Install the course
        run: pip install --extra-index-url https://download.pytorch.org/whl/cpu "transformer-workshop @ {home}"
      - name: Judge
        run: |
          sudo -n sysctl -q kernel.apparmor_restrict_unprivileged_userns=0 || true  # or Ubuntu allows no jail
          grade() {{ course grade . --out "$RUNNER_TEMP/results" {options} "$@"; }}
          grade --isolation auto || grade --isolation process
      - uses: actions/upload-artifact@v4
        with:
          name: results
          path: ${{{{ runner.temp }}}}/results
{steps}
      - uses: classroom-resources/autograding-grading-reporter@v1
        if: always()
        env:
{environment}
        with:
          runners: {runners}
"""

STEP = """\
      - name: "{exercise}: {check}"
        id: {step}
        if: always()
        uses: classroom-resources/autograding-command-grader@v1
        with:
          test-name: "{exercise}: {check}"
          command: python .github/classroom/passed.py "$RUNNER_TEMP/results" {exercise} {check}
          timeout: 1
          max-score: {points}"""

PASSED = '''\
"""Says what a check found, and fails if it did not pass: passed.py RESULTS EXERCISE CHECK."""

import json
import sys
from pathlib import Path

folder, exercise, wanted = sys.argv[1:]
grades = json.loads((Path(folder) / "grades.json").read_text(encoding="utf-8"))
checks = [
    check
    for submission in grades["submissions"]
    for one in submission["exercises"]
    if one["id"] == exercise
    for check in one["checks"]
    if check["id"] == wanted
]
best = max(checks, key=lambda check: check["points"])
print(best["message"] or "passed")
sys.exit(best["status"] != "passed")
'''

README = """\
# {name}

Open `{name}.ipynb`, write the missing code, and push. The *Actions* tab shows what was judged; the artifact *results*
has a page that says more.
"""


def export(assignment, out: Path) -> list[Path]:
    """Write a template repository: the sheet, `.github/workflows/classroom.yml`, and what it calls."""
    from course_lib.grading.exporters import write_texts

    pairs = [(exercise.id, check) for exercise in assignment.exercises for check in exercise.checks]
    steps = {f"{id}-{check.id}".replace("_", "-"): (id, check) for id, check in pairs}
    workflow = WORKFLOW.format(
        home=assignment.home,
        options=" ".join(f"--exercise {exercise.id}" for exercise in assignment.exercises),
        steps="\n".join(
            STEP.format(exercise=id, check=check.id, step=step, points=check.points)
            for step, (id, check) in steps.items()
        ),
        environment="\n".join(
            f"          {step.upper().replace('-', '_')}_RESULTS: ${{{{ steps.{step}.outputs.result }}}}"
            for step in steps
        ),
        runners=",".join(steps),
    )
    cells = [new_code_cell(assignment.imports, id="imports")]
    cells += [cell for exercise in assignment.exercises for cell in assignment.cells(exercise.id)]
    return write_texts(
        out,
        {
            ".github/workflows/classroom.yml": workflow,
            ".github/classroom/passed.py": PASSED,
            f"{assignment.name}.ipynb": json.dumps(new_notebook(cells=cells), ensure_ascii=False, indent=1) + "\n",
            "README.md": README.format(name=assignment.name),
        },
    )
