"""What a batch leaves behind: grades.json, grades.csv, a page for each submission and one for the class.

The pages are HTML without scripts, light and dark, with everything escaped; a submission's page has nothing of
anybody else's.
"""

import csv
import io
import json
import re
from collections import Counter
from functools import cache
from importlib import metadata
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from course_lib.grading.batch import Batch, file_name, write
from course_lib.grading.exercise import Exercise
from course_lib.grading.results import SIGNS, code

LEVELS = {
    "jail": "each submission ran in a jail: no network, no other process, no other file than its own",
    "docker": "each submission ran in a container without network",
    "process": "each submission could have done whatever the person who graded can do",
}
WORDS = {
    "passed": "passed",
    "failed": "failed",
    "error": "raised an error",
    "timeout": "took too long",
    "not_run": "not run",
    "missing": "not attempted",
}
TOP = 12
FORMULA = re.compile(r"""(^|[;,\t\r\n"']\s*)(?=[=+\-@\t\r＝＋－＠])""")


def write_all(batch: Batch, out: Path) -> Path:
    """Write every report; the path of the page of the class."""
    pages = out / "reports"
    pages.mkdir(exist_ok=True)
    write(out / "grades.json", json.dumps(batch.to_json(), ensure_ascii=False, indent=1) + "\n")
    write(out / "grades.csv", as_csv(batch))
    for record in batch.records:
        write(pages / f"{file_name(record['submission'])}.html", submission_page(batch, record))
    write(out / "index.html", class_page(batch))
    return out / "index.html"


def as_csv(batch: Batch) -> str:
    """A line for each submission, a column for each exercise."""
    ids = [
        id
        for id in batch.settings.bank()
        if any(id == one["id"] for record in batch.records for one in record["exercises"])
    ]
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(["submission", "student", "points", "max_points", "late", "counts", *ids, "flags"])
    for record in batch.records:
        points = {one["id"]: one["points"] for one in record["exercises"]}
        flags = "; ".join(record["flags"] + record["remarks"])
        table.writerow(
            [
                *(_harmless(record[key]) for key in ("submission", "student")),
                record["points"], record["max_points"], _yes(record["late"]), _yes(record["counts"]),
                *(points.get(id, "") for id in ids), _harmless(flags),
            ]
        )  # fmt: skip
    return text.getvalue()


def submission_page(batch: Batch, record: dict) -> str:
    """What the learner reads."""
    exercises = []
    for one in record["exercises"]:
        found = batch.settings.bank()[one["id"]]
        stumbled = any(check["status"] in ("failed", "error", "timeout") for check in one["checks"])
        seen = any(check["status"] != "missing" for check in one["checks"])
        exercises.append(
            {
                **one,
                "title": found.title,
                "attempted": seen and not record.get("unreadable"),
                "full": one["points"] == one["max_points"],
                "again": found.read_again if stumbled else "",
                "link": chapter_link(found.chapter),
            }
        )
    return _page("submission.html", batch, record=record, exercises=exercises)


def class_page(batch: Batch) -> str:
    """What the instructor reads."""
    counting = [record for record in batch.records if record["counts"]]
    shares = [record["points"] / record["max_points"] if record["max_points"] else 0.0 for record in counting]
    bins = Counter(min(int(share * 10), 9) for share in shares)
    names = [f"{10 * i} to {10 * i + 9} %" for i in range(9)] + ["90 to 100 %"]
    return _page(
        "class.html",
        batch,
        counting=counting,
        mean=sum(shares) / len(shares) if shares else 0.0,
        bins=[(name, bins[i]) for i, name in enumerate(names)],
        most=max(bins.values(), default=1),
        exercises=_hardest(batch.settings.bank(), counting),
        misconceptions=_misconceptions(batch.settings.bank(), counting),
        flagged=[record for record in batch.records if record["flags"] or record["remarks"]],
    )


def chapter_link(chapter: int) -> str:
    """Where a chapter can be read: its notebook in the course's public home."""
    home = _home()
    notebooks = Path(__file__).resolve().parents[2] / "notebooks"
    found = sorted(path.name for path in notebooks.glob(f"{chapter:02}_*.ipynb"))
    return f"{home}/blob/main/notebooks/{found[0]}" if found else f"{home}/tree/main/notebooks"


def _hardest(bank: dict[str, Exercise], records: list[dict]) -> list[dict]:
    """Each exercise with how it went, the hardest first."""
    rows = []
    for found in bank.values():
        results = [one for record in records for one in record["exercises"] if one["id"] == found.id]
        if not results:
            continue
        rows.append(
            {
                "exercise": found,
                "link": chapter_link(found.chapter),
                "share": sum(one["points"] for one in results) / sum(one["max_points"] for one in results),
                "full": sum(one["points"] == one["max_points"] for one in results),
                "missing": sum(all(c["status"] == "missing" for c in one["checks"]) for one in results),
                "people": len(results),
            }
        )
    return sorted(rows, key=lambda row: row["share"])


def _misconceptions(bank: dict[str, Exercise], records: list[dict]) -> list[dict]:
    """The misconceptions that most people have."""
    people = Counter()
    for record in records:
        people.update(
            {
                (one["id"], c["misconception"])
                for one in record["exercises"]
                for c in one["checks"]
                if c["misconception"]
            }
        )
    rows = []
    for (id, name), count in sorted(people.items(), key=lambda item: (-item[1], item[0]))[:TOP]:
        found = bank[id]
        message = next((m.message for m in found.misconceptions if m.id == name), "")
        link = chapter_link(found.chapter)
        rows.append({"exercise": found, "name": name, "message": message, "people": count, "link": link})
    return rows


def _page(template: str, batch: Batch, **values) -> str:
    shared = {"batch": batch, "isolation": LEVELS[batch.settings.isolation], "signs": SIGNS, "words": WORDS}
    return _templates().get_template(template).render(**shared, **values)


@cache
def _templates() -> Environment:
    folder = Path(__file__).parent / "templates"
    environment = Environment(
        loader=FileSystemLoader(folder),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["code"] = code  # escapes: what it gives is marked as safe where it is used
    environment.filters["file_name"] = file_name
    return environment


@cache
def _home() -> str:
    try:
        urls = metadata.metadata("transformer-workshop").get_all("Project-URL") or []
    except metadata.PackageNotFoundError:
        urls = []
    return next((url.partition(", ")[2] for url in urls if url.startswith("Source,")), "..").rstrip("/")


def _harmless(text: str) -> str:
    """Text that a spreadsheet does not take for a formula, whatever it takes for a separator."""
    return FORMULA.sub(r"\1'", text)


def _yes(value: bool) -> str:
    return "yes" if value else "no"
