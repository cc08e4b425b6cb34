"""Makes notebook cells from the bank: an exercise in a chapter, a quiz, a whole problem sheet."""

import json
from importlib.resources import files

from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from course_lib.errors import CourseError
from course_lib.exercises import chapter_exercises, exercise
from course_lib.grading.exercise import Exercise

IMPORTS = """\
import math

import torch

from course_lib.workshop import check, hint, my_parts, quiz"""


def exercise_cells(id: str) -> list[NotebookNode]:
    """The statement, the starter to complete, and the check."""
    found = exercise(id)
    heading = f"### {found.title}\n\n`{found.signature}` · {difficulty(found)} · about {found.minutes} minutes"
    if found.requires:
        heading += " · builds on " + ", ".join(f"`{need}`" for need in found.requires)
    return [
        new_markdown_cell(f"{heading}\n\n{found.statement}", id=f"{id}-task", metadata={"tags": ["exercise"]}),
        new_code_cell(found.starter, id=f"{id}-code", metadata={"exercise": id}),
        new_code_cell(f'check("{id}")', id=f"{id}-check", metadata={"tags": ["check"]}),
    ]


def quiz_cells(chapter: int) -> list[NotebookNode]:
    """The multiple-choice questions of a chapter."""
    return [new_code_cell(f"quiz({chapter})", id=f"quiz-{chapter:02}", metadata={"tags": ["quiz"]})]


def problem_sheet(chapter: int) -> NotebookNode:
    """All exercises of a chapter and its quiz, without the course's set-up cell, which `notebooks/generate.py` adds."""
    exercises = chapter_exercises(chapter)
    if not exercises:
        raise CourseError(f"there are no exercises for chapter {chapter}")
    minutes, points = sum(e.minutes for e in exercises), sum(e.points for e in exercises)
    opening = f"""\
# Chapter {chapter:02}: exercises

{len(exercises)} exercises, {points} points, about {minutes} minutes. Replace the line that raises the error by your
code, run the cell, and run the check below it: it says at once what is right, and what the mistake may be.
`hint("{exercises[0].id}")` gives a hint. What passes is kept, and runs in the models of later chapters: `my_parts()`
shows it.

In all of them: arguments stay as they were, and results keep the dtype of the inputs. When a sheet is graded, every
cell is run from the top, and the last definition of a name is the one that counts.

## The exercises"""
    cells = [
        new_markdown_cell(opening, id="opening"),
        new_code_cell(IMPORTS, id="imports", metadata={"tags": ["imports"]}),
        *(cell for one in exercises for cell in exercise_cells(one.id)),
        new_markdown_cell("## What did you take with you?", id="quiz-heading"),
        *quiz_cells(chapter),
    ]
    return new_notebook(cells=cells)


def quiz_questions(chapter: int) -> list[dict]:
    """The questions of a chapter in jupyterquiz's format."""
    source = files("course_lib.exercises") / "quizzes" / f"{chapter:02}.json"
    if not source.is_file():
        raise CourseError(f"there is no quiz for chapter {chapter}")
    return json.loads(source.read_text(encoding="utf-8"))


def difficulty(exercise: Exercise) -> str:
    """Five dots, and a number for those who do not see them."""
    return f"{'●' * exercise.difficulty}{'○' * (5 - exercise.difficulty)} difficulty {exercise.difficulty} of 5"
