"""The learner's side: checks in a notebook, the code that passed them, and the parts that a model is built from.

    from course_lib.workshop import check, my_parts
"""

import inspect
import json
import os
import re
import secrets
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, fields
from functools import cache
from html import escape
from pathlib import Path
from types import FrameType

from course_lib.errors import CourseError
from course_lib.exercises import bank, exercise
from course_lib.grading import in_process, sources
from course_lib.grading.exercise import Exercise
from course_lib.grading.judge import judge
from course_lib.grading.results import ExerciseResult
from course_lib.grading.submission import library_calls, untouched
from course_lib.parts import Parts

COLAB_DRIVE = Path("/content/drive/MyDrive")
NOTHING = object()


def home() -> Path:
    """The learner's folder: COURSE_HOME, else on Google Drive (Colab, if mounted), else ~/.transformer-workshop."""
    if folder := os.environ.get("COURSE_HOME"):
        return Path(folder).expanduser()
    return COLAB_DRIVE / "transformer-workshop" if COLAB_DRIVE.is_dir() else Path.home() / ".transformer-workshop"


class Checked(ExerciseResult):
    """A result that has been shown: as the last value of a cell it does not show itself a second time."""

    def _ipython_display_(self) -> None:
        pass

    def __repr__(self) -> str:
        return f"<{self.id}: {self.verdict()}>"


def check(id: str | object, submission: object = NOTHING, *, seed: int | None = None) -> Checked | None:
    """Check your solution of an exercise, and show what came of it.

    What passes is kept in your folder, and `my_parts()` builds models with it.

    Args:
        id: the exercise, "softmax" say; or your function or class of that name itself.
        submission: what to check, if it has another name.
        seed: repeats a check with the same numbers; they are new each time without it.

    Raises:
        CourseError: there is no such exercise.
    """
    if in_process.is_loading():  # a whole submission is being judged, this cell among others
        return None
    if not isinstance(id, str) and submission is NOTHING:
        id, submission = getattr(id, "__name__", repr(id)), id
    found, frame = exercise(id), sys._getframe(1)
    cells = _cells(frame, submission)
    name = id
    if submission is NOTHING:
        submission = frame.f_locals.get(id, frame.f_globals.get(id, NOTHING))
    else:
        name = getattr(submission, "__name__", id)
    if submission is NOTHING:
        observe = in_process.missing(f"not attempted: `{id}` is not defined here; run the cell that defines it")
    elif untouched(found, cells):
        observe = in_process.missing("not attempted")
    else:
        observe = in_process.observer(found, submission)
    seed = secrets.randbelow(2**31) if seed is None else seed
    result = judge(found, observe, seed)
    notes = [] if result.missing else _remember(result)
    if result.passed:
        notes = notes or _keep(found, name, cells, seed)
    elif not result.missing and not result.library_object:
        notes.append(f'The numbers are new each time; `check("{id}", seed={seed})` repeats these.')
    for call in library_calls(found, cells, name) if result.points else ():
        notes.append(f"Your code uses `{call}` of a library: good for comparing, but here you are to write it.")
    result = Checked(**{**vars(result), "notes": tuple(dict.fromkeys(notes))})
    _show(str(result), result._repr_html_())
    return result


def hint(id: str) -> None:
    """Show a hint for an exercise; called again, the next one."""
    if in_process.is_loading():
        return
    hints = [f"{check.id}: {check.hint}" for check in exercise(id).checks]
    number = _hints_shown[id] = _hints_shown.get(id, 0) % len(hints) + 1
    next_step = f'`hint("{id}")` gives the next.' if number < len(hints) else f'`solution("{id}")` shows one way.'
    _say(f"Hint {number} of {len(hints)}. {hints[number - 1]}", next_step)


_hints_shown: dict[str, int] = {}


def solution(id: str) -> None:
    """Show the library's own solution of an exercise, folded away in a notebook."""
    if in_process.is_loading():
        return
    found = exercise(id)
    module = sources.from_history([inspect.getsource(inspect.getmodule(found.reference))])
    source = sources.standalone(found.reference.__name__, module).strip()
    _show(source, f"<details><summary>One way to write <code>{escape(id)}</code></summary>{_listing(source)}</details>")


def quiz(chapter: int) -> None:
    """Show the multiple-choice questions of a chapter. Nothing is loaded from outside."""
    from course_lib.exercises.sheets import quiz_questions

    questions = quiz_questions(chapter)
    if in_process.is_loading():
        return
    if _shell() is None:
        for number, question in enumerate(questions, 1):
            print(f"{number}. {question['question']}", *(f"   - {a['answer']}" for a in question["answers"]), sep="\n")
        return
    from IPython.display import display
    from IPython.utils.capture import capture_output
    from jupyterquiz import display_quiz

    with capture_output() as captured:
        display_quiz(questions, shuffle_answers=True, colors=QUIZ_COLOURS, max_width=720)
    for output in captured.outputs:
        script = output.data.get("application/javascript")
        if script:  # it would fetch MathJax from a CDN, and replace the page's; our questions have no formulas
            script = re.sub("typeof MathJax !==? 'undefined'", "false", script)
            script = re.sub(r"https:[^'\"]*mathjax[^'\"]*", "data:text/javascript,", script)
            output.data["application/javascript"] = script
        display(output.data, raw=True)


QUIZ_COLOURS = {
    "--jq-multiple-choice-bg": "#2f4b6e",
    "--jq-mc-button-bg": "#fafafa",
    "--jq-incorrect-color": "#b3261e",
    "--jq-correct-color": "#1b6e3c",
    "--jq-text-color": "#ffffff",
}


class MyParts(Parts):
    """The parts with the learner's own among them, showing which is whose."""

    problems: tuple[str, ...] = ()

    def mine(self) -> list[str]:
        """The names of the parts that are yours."""
        return self.own()

    def __str__(self) -> str:
        own = self.own()
        rows = [f"  {part.name:<30} {'yours' if part.name in own else 'the library'}" for part in fields(self)]
        return "\n".join([f"{len(own)} of {len(rows)} parts are yours", *rows, *self.problems])

    __repr__ = __str__

    def _repr_html_(self) -> str:
        own = self.own()
        rows = "".join(
            f"<tr><td><code style='background:none'>{part.name}</code></td>"
            f"<td>{'<b>✓ yours</b>' if part.name in own else 'the library’s'}</td></tr>"
            for part in fields(self)
        )
        problems = "".join(f"<div>{escape(problem)}</div>" for problem in self.problems)
        return f"<div><b>{len(own)} of {len(fields(self))} parts are yours.</b>{problems}<table>{rows}</table></div>"


def my_parts() -> MyParts:
    """The parts to build a model from: yours where a check has passed, the library's elsewhere.

    A kept part that no longer runs or passes is named, and the library's is taken instead.
    """
    if in_process.is_loading():
        return MyParts()
    own, problems = {}, []
    for part in fields(Parts):
        path = _part_file(part.name)
        if part.name not in bank() or not _readable(path):
            continue
        try:
            stamp = path.stat()
            own[part.name] = _load_part(part.name, path, stamp.st_mtime_ns, stamp.st_size)
        except (CourseError, OSError) as error:
            problems.append(f"Your {part.name} in {path} cannot be used, the library's is: {error}")
    parts = MyParts(**own)
    object.__setattr__(parts, "problems", tuple(problems))
    return parts


@cache
def _load_part(id: str, path: Path, modified: int, size: int) -> object:
    """The learner's object from a kept source; CourseError says why it cannot be used."""
    loaded = in_process.load(sources.read(path).cells)
    return _passing(exercise(id), loaded, seed=0)


def _passing(exercise: Exercise, loaded: in_process.Loaded, seed: int) -> object:
    """The object of a freshly run source, if it passes; CourseError otherwise."""
    if exercise.id not in loaded.namespace:
        raise CourseError(loaded.flags[0] if loaded.flags else f"it does not define {exercise.id}")
    result = judge(exercise, in_process.observer(exercise, loaded.namespace[exercise.id]), seed)
    for check in result.checks:
        if check.status != "passed":
            raise CourseError(*loaded.flags[:1] or [f"{check.id}: {check.message.splitlines()[0]}"])
    return loaded.namespace[exercise.id]


@dataclass(frozen=True, repr=False)
class Progress:
    """What is done, by chapter."""

    chapters: tuple[dict, ...]

    def to_json(self) -> dict:
        keys = ("done", "total", "points", "max_points")
        return {**{key: sum(c[key] for c in self.chapters) for key in keys}, "chapters": list(self.chapters)}

    def __str__(self) -> str:
        lines = []
        for c in self.chapters:
            points = f"{c['points']}/{c['max_points']} points"
            lines.append(f"chapter {c['chapter']:02}: {c['done']} of {c['total']} exercises, {points}")
            lines += [f"  {_sign(e)} {e['id']} ({e['points']}/{e['max_points']})" for e in c["exercises"]]
        return "\n".join(lines)

    __repr__ = __str__

    def _repr_html_(self) -> str:
        rows = []
        for c in self.chapters:
            names = " · ".join(f"{_sign(e)} <code style='background:none'>{e['id']}</code>" for e in c["exercises"])
            rows.append(
                f"<tr><td>chapter {c['chapter']:02}</td>"
                f"<td><progress max='{c['max_points']}' value='{c['points']}'></progress></td>"
                f"<td>{c['points']}/{c['max_points']} points</td><td style='text-align:left'>{names}</td></tr>"
            )
        return f"<table>{''.join(rows)}</table>"


def progress() -> Progress:
    """What you have done so far: the best result of each exercise."""
    best = _best()
    chapters = []
    for number in sorted({e.chapter for e in bank().values()}):
        rows = [
            {
                "id": e.id,
                "title": e.title,
                "done": best.get(e.id, 0) >= e.points,
                "points": min(best.get(e.id, 0), e.points),
                "max_points": e.points,
            }
            for e in bank().values()
            if e.chapter == number
        ]
        chapters.append(
            {
                "chapter": number,
                "done": sum(row["done"] for row in rows),
                "total": len(rows),
                "points": sum(row["points"] for row in rows),
                "max_points": sum(row["max_points"] for row in rows),
                "exercises": rows,
            }
        )
    return Progress(tuple(chapters))


def _sign(row: dict) -> str:
    return "✓" if row["done"] else "…" if row["points"] else "–"


def _best() -> dict[str, int]:
    """The best points of each exercise; nothing where nothing readable is kept."""
    try:
        kept = json.loads((home() / "progress.json").read_text(encoding="utf-8"))
        return {id: int(points) for id, points in kept.items()}
    except (OSError, ValueError, TypeError, AttributeError):
        return {}


def _remember(result: ExerciseResult) -> list[str]:
    """Keep the points if they are the best so far."""
    best = _best()
    if result.library_object or result.points <= best.get(result.id, -1):
        return []
    best[result.id] = result.points
    return _write(home() / "progress.json", json.dumps(best, indent=1, sort_keys=True) + "\n")


def _keep(exercise: Exercise, name: str, cells: Sequence[sources.Cell], seed: int) -> list[str]:
    """Keep the source of what passed, if it runs on its own; what to tell the learner."""
    source = sources.standalone(name, cells)
    if source is None:
        return ["Your code is not kept: its source is not known here. Define it in a cell of the notebook."]
    if name != exercise.id:
        source += f"\n\n{exercise.id} = {name}\n"
    source = f"# Your {exercise.id}, kept when its check passed: my_parts() uses it.\n\n{source}"
    path = _part_file(exercise.id)
    if not (_readable(path) and path.read_text(encoding="utf-8") == source):
        try:
            _passing(exercise, in_process.load(sources.from_history([source])), seed)
        except CourseError as error:
            advice = "Define all that it needs at the top level of a cell, and check again."
            return [f"Your code passed, but is not kept: alone it does not run ({error}). {advice}"]
        if problem := _write(path, source):
            return problem
    used = exercise.id in {part.name for part in fields(Parts)}
    return ["Kept: `my_parts()` builds models with it from now on." if used else "Done, and kept."]


def _part_file(id: str) -> Path:
    return home() / "parts" / f"{id}.py"


def _readable(path: Path) -> bool:
    return path.is_file() and os.access(path, os.R_OK)


def _write(path: Path, text: str) -> list[str]:
    """Write a file in one step; what to tell the learner if it cannot be."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        try:
            with open(handle, "w", encoding="utf-8") as file:
                file.write(text)
            os.replace(temporary, path)
        except BaseException:
            os.unlink(temporary)
            raise
    except OSError as error:
        advice = "Set COURSE_HOME to another folder."
        return [f"Nothing was kept: {home()} cannot be written ({error.strerror}). {advice}"]
    return []


def _cells(frame: FrameType, submission: object) -> tuple[sources.Cell, ...]:
    """Where the caller's code comes from: the cells run so far, or the script, or what Python knows of the object."""
    shell = _shell()
    if shell is not None and frame.f_globals is shell.user_ns:
        return sources.from_history(shell.history_manager.input_hist_raw)
    try:
        if path := frame.f_globals.get("__file__"):
            return sources.read(path).cells
        return sources.from_history([inspect.getsource(submission)])
    except (CourseError, OSError, TypeError):
        return ()


def _shell():
    """IPython's shell, if this is a notebook or an IPython session."""
    if "IPython" not in sys.modules:
        return None
    from IPython import get_ipython

    return get_ipython()


def _show(text: str, html: str) -> None:
    if _shell() is None:
        print(text)
        return
    from IPython.display import display

    display({"text/plain": text, "text/html": html}, raw=True)


def _say(*lines: str) -> None:
    from course_lib.grading.results import code

    _show("\n".join(lines), "".join(f"<div>{code(line)}</div>" for line in lines))


def _listing(source: str) -> str:
    return f'<pre style="line-height:1.35;margin:.5em 0">{escape(source)}</pre>'
