"""The bank of exercises against itself: is every known misconception failed and named, does every right answer pass?

    python -m tests.confusion [ID …] [--json FILE]

prints a row for each exercise (all, or those named): its misconceptions, how many of them fail and how many are named,
on every seed; its right answers (the library's and the alternatives) and how many of them get full marks. What goes
wrong is listed below the table, and the exit status is 1. With `--json` the table also goes to a file.
"""

import argparse
import json
import sys
from functools import partial
from pathlib import Path

from course_lib.exercises import bank, exercise
from course_lib.grading import in_process
from course_lib.grading.exercise import Exercise, Misconception
from course_lib.grading.judge import judge
from course_lib.grading.results import CheckResult, ExerciseResult

SEEDS = [0, 1_000_003, 2**31 - 1]


def ask(e: Exercise, submission, seed: int = 0) -> ExerciseResult:
    return judge(e, partial(in_process.observe_object, submission), seed)


def failed(result: ExerciseResult) -> list[CheckResult]:
    return [check for check in result.checks if check.status not in ("passed", "not_run")]


def named(e: Exercise, misconception: Misconception, seed: int) -> list[str]:
    """What the checks that a misconception fails take it for; empty when it passes."""
    return [check.misconception or "nothing" for check in failed(ask(e, misconception.implementation, seed))]


def full_marks(e: Exercise, right, seed: int) -> bool:
    result = ask(e, right, seed)
    return result.passed and result.points == result.max_points == e.points


def row(e: Exercise) -> dict:
    """One exercise on every seed."""
    taken = {m.id: [named(e, m, seed) for seed in SEEDS] for m in e.misconceptions}
    answers = {f"right answer {i}": right for i, right in enumerate((e.reference, *e.alternatives))}
    marks = {name: all(full_marks(e, right, seed) for seed in SEEDS) for name, right in answers.items()}
    wrong = {id: sorted({name for names in seen for name in names}) for id, seen in taken.items()}
    return {
        "chapter": e.chapter,
        "exercise": e.id,
        "misconceptions": len(taken),
        "failed": sum(all(seen) for seen in taken.values()),
        "named": sum(all(seen) and wrong[id] == [id] for id, seen in taken.items()),
        "right_answers": len(answers),
        "full_marks": sum(marks.values()),
        "confused": {id: names for id, names in wrong.items() if names != [id]},
        "refused": [name for name, passed in marks.items() if not passed],
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("id", nargs="*", help="only these exercises")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the table there, too")
    options = parser.parse_args()
    columns = ["misconceptions", "failed", "named", "right_answers", "full_marks"]
    print(f"{'':3} {'exercise':32}", *(f"{name:>14}" for name in columns))

    def show(one: dict) -> dict:
        print(f"{one['chapter']:>3} {one['exercise']:32}", *(f"{one[name]:14}" for name in columns), flush=True)
        return one

    rows = [show(row(e)) for e in ([exercise(id) for id in options.id] or bank().values())]
    total = {name: sum(one[name] for one in rows) for name in columns}
    show({"chapter": "", "exercise": f"{len(rows)} exercises"} | total)
    bad = [one for one in rows if one["confused"] or one["refused"] or one["failed"] < one["misconceptions"]]
    for one in bad:
        print(f"{one['exercise']}: taken for {one['confused']}, refused {one['refused']}")
    if options.json:
        options.json.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
