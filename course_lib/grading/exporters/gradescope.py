"""A Gradescope autograder: `course grade` judges, and this module turns its grades.json into results.json.

Gradescope runs everything in one container. Where that allows a jail, submissions run in one; otherwise as another
user, who can read neither the exercises nor the results. The result says which it was.
"""

import json
import sys
import zipfile
from pathlib import Path

SETUP = """\
#!/usr/bin/env bash
# Runs once, when Gradescope builds the image (choose Ubuntu 22.04 or newer).
set -euo pipefail
export DEBIAN_FRONTEND=noninteractive
apt-get update
for version in 3.13 3.12 3.11; do
    if apt-get install -y "python$version" "python$version-venv"; then break; fi
done
"python$version" -m venv /autograder/venv
/autograder/venv/bin/pip install --extra-index-url https://download.pytorch.org/whl/cpu \\
    -r /autograder/source/requirements.txt
"""

RUN = """\
#!/usr/bin/env bash
# Runs for every submission. The marks are written by the grader; the submission runs apart from it.
cd /autograder/source
export PYTHONPATH=/autograder/source
python=/autograder/venv/bin/python
chmod 700 /autograder/results course_lib/exercises course_lib/grading
grade() {{ "$python" -m course_lib.cli grade /autograder/submission --out /autograder/graded {options} "$@"; }}
grade --isolation auto || grade --isolation process
"$python" -m course_lib.grading.exporters.gradescope /autograder/graded /autograder/results/results.json
"""


def export(assignment, out: Path) -> list[Path]:
    """Write `NAME-gradescope.zip`, to be uploaded as the autograder of a programming assignment."""
    path = out / f"{assignment.name}-gradescope.zip"
    options = " ".join(f"--exercise {exercise.id}" for exercise in assignment.exercises)
    texts = {
        "setup.sh": SETUP,
        "run_autograder": RUN.format(options=options),
        "requirements.txt": "\n".join(assignment.needs) + "\n",
    }
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in texts.items():
            info = zipfile.ZipInfo(name, (2026, 1, 1, 0, 0, 0))
            info.external_attr = 0o755 << 16
            info.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(info, text)
        for file in sorted(assignment.package.rglob("*")):
            if file.is_file() and "__pycache__" not in file.parts:
                archive.write(file, f"course_lib/{file.relative_to(assignment.package)}")
    return [path]


def results(grades: dict | None) -> dict:
    """What Gradescope reads: of several files, each exercise's best counts."""
    if not grades or not grades["submissions"]:
        return {"score": 0, "output": "No notebook (.ipynb) and no Python file (.py) was handed in.", "tests": []}
    best: dict[str, dict] = {}
    for submission in grades["submissions"]:
        for one in submission["exercises"]:
            if one["id"] not in best or one["points"] > best[one["id"]]["points"]:
                best[one["id"]] = one
    tests = [
        {
            "name": f"{one['id']}: {check['id']}",
            "score": check["points"],
            "max_score": check["max_points"],
            "status": "passed" if check["status"] == "passed" else "failed",
            "output": check["message"] or "passed",
            "output_format": "text",
            "visibility": "visible",
        }
        for one in best.values()
        for check in one["checks"]
    ]
    flags = [f"{one['submission']}: {flag}" for one in grades["submissions"] for flag in one["flags"]]
    how = f"Isolation: {grades['isolation']}. Seed: {grades['seed']}."
    return {
        "score": sum(test["score"] for test in tests),
        "output": "\n".join([how, *flags]),
        "output_format": "text",
        "stdout_visibility": "hidden",
        "tests": tests,
    }


def main(folder: Path, target: Path) -> None:
    """Read FOLDER/grades.json and write Gradescope's results.json."""
    try:
        grades = json.loads((folder / "grades.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        grades = None
    target.write_text(json.dumps(results(grades), indent=1), encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
