"""The pages of a batch: everything that somebody typed is escaped, nothing is loaded, nobody reads of somebody else."""

import csv
import json
import re
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path

import pytest

from course_lib.exercises import bank, exercise, exercises_of
from course_lib.grading import batch, reports, workers

NASTY = "<script>alert(1)</script><img src=x onerror=alert(2)>\"'&`{{7*7}}"


SAID = {"passed": "", "missing": "not attempted"}


class Page(HTMLParser):
    """What a page is made of."""

    VOID = ("meta", "br", "link", "img", "hr")

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags, self.open, self.text, self.links, self.headings = [], [], "", [], []
        self.feed(text)
        self.close()
        assert self.open == [], "a tag is not closed"

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        if tag not in self.VOID:
            self.open.append(tag)
        if tag == "a":
            self.links.append(dict(attributes)["href"])
        if re.fullmatch("h[1-6]", tag):
            self.headings.append(int(tag[1]))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data


def check(id: str, points: int, of: int, status: str, message: str = "", misconception: str | None = None) -> dict:
    return {
        "id": id, "points": points, "max_points": of, "status": status, "message": message,
        "misconception": misconception,
    }  # fmt: skip


def record(name: str, statuses: dict[str, str], message: str = "", misconception: str | None = None, **more) -> dict:
    """A record with the same status for each check of an exercise."""
    exercises = []
    for id, status in statuses.items():
        checks = [
            check(c.id, c.points * (status == "passed"), c.points, status, SAID.get(status, message),
                  misconception if status == "failed" else None)
            for c in exercise(id).checks
        ]  # fmt: skip
        points, most = (sum(c[key] for c in checks) for key in ("points", "max_points"))
        exercises.append({"id": id, "points": points, "max_points": most, "checks": checks})
    found = {
        "submission": name, "student": name.split(".")[0], "exercises": exercises,
        "points": sum(e["points"] for e in exercises), "max_points": sum(e["max_points"] for e in exercises),
        "flags": [], "remarks": [], "submitted": "2026-05-01T10:00+00:00", "late": False, "counts": True,
    }  # fmt: skip
    return found | more


def a_class(level: str = "jail") -> batch.Batch:
    settings = batch.Settings(bank, exercises_of, 4711, level, workers.Limits())
    both = {"softmax": "passed", "causal_mask": "passed"}
    return batch.Batch(
        settings,
        [
            record("ann.py", both, remarks=["same code as bob.ipynb: softmax"]),
            record("bob.ipynb", both, flags=["code cell 2 raised ValueError: " + NASTY], late=True),
            record(f"{NASTY}.py", {"softmax": "failed", "causal_mask": "missing"},
                   "expected shape [2], got [3]\n" + NASTY, "first_axis", student=NASTY),
            record("=cmd|' /C calc'!A0.py", {"softmax": "failed", "causal_mask": "timeout"}, "x", "first_axis"),
            record("old.py", {"softmax": "error", "causal_mask": "missing"}, "it raised", counts=False),
        ],
    )  # fmt: skip


@pytest.fixture
def written(tmp_path) -> Path:
    reports.write_all(a_class(), tmp_path)
    return tmp_path


def pages(folder: Path) -> list[Path]:
    return sorted(folder.rglob("*.html"))


def test_a_page_each_and_one_for_the_class(written):
    assert len(pages(written)) == 6
    links = [link for link in Page((written / "index.html").read_text("utf-8")).links if "://" not in link]
    from urllib.parse import unquote

    assert len(set(links)) == 2 + 5
    assert all((written / unquote(link)).is_file() for link in links)


def test_every_page_is_well_formed_without_scripts_and_loads_nothing(written):
    for path in pages(written):
        page = Page(path.read_text("utf-8"))
        kinds = {tag for tag, _ in page.tags}
        assert not kinds & {"script", "img", "link", "iframe", "object", "form"}
        assert not [
            name for _, attributes in page.tags for name in attributes if name.startswith("on") or name == "src"
        ]
        assert all(link.startswith(("https://", "reports/", "grades.")) for link in page.links)
        policy = [a.get("content") for tag, a in page.tags if tag == "meta" and "http-equiv" in a]
        assert policy == ["default-src 'none'; style-src 'unsafe-inline'"]
        assert path.stat().st_size < 100_000, "light enough to mail"


def test_what_somebody_typed_is_shown_as_it_was_typed(written):
    (path,) = [path for path in pages(written) if "alert" in path.name]
    page = Page(path.read_text("utf-8"))
    assert page.text.count("<script>alert(1)</script>") >= 3
    assert "49" not in page.text.replace("4711", ""), "a template was filled in twice"
    bob = Page((written / "reports" / "bob.ipynb.html").read_text("utf-8"))
    assert "<img src=x onerror=alert(2)>" in bob.text


def test_headings_are_in_order(written):
    for path in pages(written):
        headings = Page(path.read_text("utf-8")).headings
        assert headings[0] == 1 and headings.count(1) == 1
        assert all(b <= a + 1 for a, b in pairwise(headings))


def test_a_learners_page_says_what_happened_and_no_more(written):
    failed = Page(next(p for p in pages(written) if "alert" in p.name).read_text("utf-8")).text
    for text in (
        "0 of",
        "expected shape [2], got [3]",
        "first_axis",
        "Read again: chapter 03",
        "not attempted",
        "seed 4711",
    ):
        assert text in failed
    for path in pages(written):
        if path.name == "index.html":
            continue
        text = path.read_text("utf-8")
        own = path.name.removesuffix(".html")
        assert not [other for other in ("ann.py", "bob.ipynb", "old.py") if other != own and other in text]
        assert "same code" not in text and "def softmax" not in text
    assert "late" in (written / "reports" / "bob.ipynb.html").read_text("utf-8")


def test_the_class_page_counts_people_not_files(written):
    text = " ".join(Page((written / "index.html").read_text("utf-8")).text.split())
    assert "4 people, 50 % of the points on average" in text
    assert "5 submissions, 1 of them replaced by later ones" in text
    assert "0 to 9 %2" in text and "90 to 100 %2" in text
    first = exercise("softmax").misconceptions[0]
    assert first.id == "first_axis" and f"2{first.message}softmax · first_axis" in text
    assert "same code as bob.ipynb: softmax" in text
    assert "Remarks, not accusations" in text


def test_misconceptions_lead_to_the_chapter_that_treats_them(written):
    links = Page((written / "index.html").read_text("utf-8")).links
    assert any(link.endswith("/notebooks/03_attention.ipynb") for link in links)


def test_the_isolation_is_said_and_its_absence_is_a_warning(tmp_path):
    jailed, free = (reports.class_page(a_class(level)) for level in ("jail", "process"))
    assert "no network" in jailed and "Not isolated" not in jailed
    assert "Not isolated" in free and "whatever the person who graded can do" in free
    assert "Not isolated" in reports.submission_page(a_class("process"), a_class().records[0])


def test_a_spreadsheet_finds_no_formula_in_the_csv(written):
    with open(written / "grades.csv", encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 5
    assert not [value for row in rows for value in row.values() if value[:1] in tuple("=+-@\t\r")]
    assert rows[3]["submission"] == "'=cmd|' /C calc'!A0.py"
    assert rows[0] | {"flags": ""} == {
        "submission": "ann.py", "student": "ann", "points": "18", "max_points": "18", "late": "no", "counts": "yes",
        "softmax": "10", "causal_mask": "8", "flags": "",
    }  # fmt: skip


def test_json_has_every_submission(written):
    grades = json.loads((written / "grades.json").read_text("utf-8"))
    assert [one["submission"] for one in grades["submissions"]] == [one["submission"] for one in a_class().records]
    assert grades["submissions"][0]["flags"] == ["same code as bob.ipynb: softmax"]


@pytest.mark.parametrize(
    "name",
    ["ann.py", "a b.py", "ä.py", "../../x.py", "<x>.py", "a/b.py", ".py", "x" * 300 + ".py", "\U00020000" * 62 + ".py"],
)
def test_a_name_makes_a_file_name(name, tmp_path):
    found = batch.file_name(name)
    assert re.fullmatch(r"[\w.-]+", found) and len(f".new-{found}.html".encode()) <= 255, "no file can be called that"
    (tmp_path / f"{found}.html").touch()


def test_names_that_look_alike_stay_apart():
    names = ["a b.py", "a_b.py", "a  b.py", "a+b.py"]
    assert len({batch.file_name(name) for name in names}) == len(names)
