"""The map of the chapters, `notebooks/map.json`: true to the notebooks, and nothing that belongs there is missing.

What belongs where is in `notebooks/source/assigned.json`. A chapter that is not written yet owes nothing.
"""

import json
import re

import pytest

from tests.conftest import ROOT

MAP = json.loads((ROOT / "notebooks/map.json").read_text(encoding="utf-8"))
ASSIGNED = json.loads((ROOT / "notebooks/source/assigned.json").read_text(encoding="utf-8"))
CHAPTERS = sorted(path.stem for path in (ROOT / "notebooks/source").glob("[0-9][0-9]_*.py"))
each_chapter = pytest.mark.parametrize("chapter", CHAPTERS)


def named(chapter: str, what: str, kinds=("markdown", "code", "exercise", "quiz")) -> set[str]:
    """What the cells of a chapter are about; its title only announces."""
    rows = [row for row in MAP if row["chapter"] == chapter and row["kind"] in kinds and row["cell"] != "title"]
    return {one for row in rows for one in row[what]}


def due(chapter: str, what: str) -> set[str]:
    return {id for id, facts in ASSIGNED[what].items() if int(chapter[:2]) in facts["chapters"]}


@each_chapter
def test_cells_of_the_map_are_in_the_notebook(chapter):
    notebook = json.loads((ROOT / "notebooks" / f"{chapter}.ipynb").read_text(encoding="utf-8"))
    kinds = {cell["id"]: cell["cell_type"] for cell in notebook["cells"]}
    rows = [row for row in MAP if row["chapter"] == chapter]
    assert rows and len({row["cell"] for row in rows}) == len(rows)
    for row in rows:
        assert kinds[row["cell"]] == {"markdown": "markdown"}.get(row["kind"], "code")


def test_no_chapter_is_on_the_map_that_is_not_there():
    assert {row["chapter"] for row in MAP} == set(CHAPTERS)


@each_chapter
@pytest.mark.parametrize("what", ["concepts", "documents", "errata"])
def test_the_map_names_only_what_there_is(chapter, what):
    """A section is named as closely as it is numbered: "004 §5.2", not "004 §5"; "001 §6 Q4", not "001 §6"."""
    assert {one for row in MAP if row["chapter"] == chapter for one in row[what]} - ASSIGNED[what].keys() == set()


@each_chapter
@pytest.mark.parametrize("what", ["concepts", "documents", "errata"])
def test_nothing_that_belongs_to_the_chapter_is_missing(chapter, what):
    assert due(chapter, what) - named(chapter, what) == set()


@each_chapter
def test_grave_errors_are_shown_by_code_that_runs(chapter):
    grave = {id for id in due(chapter, "errata") if ASSIGNED["errata"][id]["severity"] in ("critical", "major")}
    assert grave - named(chapter, "errata", ("code", "exercise")) == set()


@each_chapter
def test_an_error_that_is_on_the_map_is_named_to_the_learner(chapter):
    notebook = json.loads((ROOT / "notebooks" / f"{chapter}.ipynb").read_text(encoding="utf-8"))
    text = "\n".join("".join(cell["source"]) for cell in notebook["cells"])
    assert named(chapter, "errata", ("markdown", "code", "exercise")) - set(re.findall(r"E\d{3}", text)) == set()


def test_everything_is_assigned():
    for what, last in (("concepts", 76), ("errata", 163)):
        numbers = [int(id[1:]) for id in ASSIGNED[what]]
        assert numbers == list(range(1, last + 1))
    for facts in (facts for things in ASSIGNED.values() for facts in things.values()):
        assert facts["chapters"] and set(facts["chapters"]) <= set(range(18))
    severities = {facts["severity"] for facts in ASSIGNED["errata"].values()}
    assert severities == {"critical", "major", "minor", "imprecise", "outdated", "editorial"}
