"""A class: every submission of a folder, judged by a few judges at a time, each with its own warm worker template.

What was judged is kept below OUT/judged, one file a submission: a batch that is interrupted goes on where it was,
and what has not changed is not judged again.
"""

import csv
import hashlib
import json
import multiprocessing
import os
import re
import secrets
import signal
import stat
import sys
import tempfile
import time
import traceback
import unicodedata
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from contextlib import chdir, suppress
from dataclasses import asdict, dataclass, field
from datetime import datetime
from multiprocessing.connection import wait
from pathlib import Path

from course_lib.errors import CourseError
from course_lib.grading import flags, jail, sources, workers
from course_lib.grading.exercise import Exercise
from course_lib.grading.in_process import OutOfTime, missing, work_limit
from course_lib.grading.judge import judge
from course_lib.grading.results import CheckResult, ExerciseResult
from course_lib.grading.submission import untouched
from course_lib.grading.values import Observation

MAX_FILE = 32 << 20
READ_MEMORY = 4 << 30  # a judge may take this much to read a submission and to compare
READ_SECONDS = 30
JUDGE_SECONDS = 90  # beyond the submission's own time: reading, comparing, running misconceptions
DUPLICATE = re.compile(r"( \(\d+\)|-copy\d*)$", re.IGNORECASE)  # what browsers and JupyterLab add to a name
TIME_COLUMNS, NAME_COLUMNS, FILE_COLUMNS = ("submitted", "time"), ("student", "name"), ("submission", "file")


@dataclass(frozen=True)
class Settings:
    """What a batch is judged with: the same settings give the same marks.

    Args:
        bank: gives the exercises by id. A function at the top of a module, as `about` is: judges import them.
        about: submission -> the exercises that it is about.
        exercises: ids of the exercises to judge; if empty, those that each submission is about.
        hidden: folders that no submission may see.
    """

    bank: Callable[[], dict[str, Exercise]]
    about: Callable[[sources.Submission], list[Exercise]]
    seed: int
    isolation: str
    limits: workers.Limits
    exercises: tuple[str, ...] = ()
    hidden: tuple[str, ...] = ()

    def chosen(self) -> list[Exercise]:
        return [self.bank()[id] for id in self.exercises]

    def key(self) -> str:
        """Changes whenever a submission has to be judged again."""
        course = hashlib.sha256()
        for folder in ("exercises", "grading"):
            for path in sorted((workers.PACKAGE / folder).rglob("*.py")):
                course.update(path.read_bytes())
        parts = [self.seed, self.isolation, asdict(self.limits), self.exercises, course.hexdigest()]
        return _digest(json.dumps(parts).encode())


@dataclass
class Person:
    """Who handed in a file, and when."""

    student: str
    submitted: datetime | None = None


@dataclass
class Batch:
    """What came of a class: settings and one record for each submission, in the order of their names.

    A record is the submission's part of grades.json, and besides: "student", "submitted", "late", "counts" (False where
    the same person has a later one), "remarks" (flags that are not for the student's eyes), "seconds".
    """

    settings: Settings
    records: list[dict] = field(default_factory=list)
    absent: list[str] = field(default_factory=list)  # those of the roster who handed in nothing
    judged: int = 0  # of these, now; the others were known from before
    seconds: float = 0.0

    @property
    def failures(self) -> list[str]:
        """Submissions that could not be judged through a fault of ours."""
        return [record["submission"] for record in self.records if record.get("failure")]

    def to_json(self) -> dict:
        keys = ("submission", "student", "exercises", "points", "max_points", "late", "counts")
        submissions = [
            {**{key: record[key] for key in keys}, "flags": record["flags"] + record["remarks"]}
            for record in self.records
        ]
        return {"seed": self.settings.seed, "isolation": self.settings.isolation, "submissions": submissions}


def grade(
    folder: Path,
    out: Path,
    bank: Callable[[], dict[str, Exercise]],
    about: Callable[[sources.Submission], list[Exercise]],
    *,
    exercises: Sequence[str] = (),
    jobs: int = 1,
    isolation: str = "auto",
    seed: int | None = None,
    limits: workers.Limits | None = None,
    roster: Path | None = None,
    deadline: datetime | None = None,
    progress: Callable[[int, int, str], None] = lambda done, total, name: None,
) -> Batch:
    """Judge every notebook and Python file in a folder.

    Args:
        out: where what was judged is kept; the reports are written by `reports.write`.
        bank, about, exercises: as in `Settings`.
        seed: if None, that of the batch that was begun in `out`, or a new one.
        progress: is told how many are done, of how many, and which.

    Raises:
        CourseError: there is nothing to judge, a roster that cannot be read, no way to isolate.
    """
    started = time.monotonic()
    if not folder.is_dir():
        raise CourseError(f"{folder} is not a folder")
    folder, out = folder.resolve(), out.resolve()
    sys.path[:] = [path for path in sys.path if Path(path or ".").resolve() != folder]
    entries = find(folder)
    if not entries:
        raise CourseError(f"there is no notebook (.ipynb) and no Python file (.py) in {folder} itself")
    people = read_roster(roster) if roster else {}
    level = workers.choose_level(isolation)
    kept = out / "judged"
    try:
        kept.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise CourseError(f"{out} cannot be written: {error.strerror}") from None
    hidden = str(folder), str(out)
    seed = _seed_of(out) if seed is None else seed
    settings = Settings(bank, about, seed, level, limits or workers.Limits(), tuple(exercises), hidden)
    write(out / "batch.json", json.dumps({"seed": settings.seed}))
    if level == "docker":
        workers.build_image()
    records, waiting, course = {}, deque(), settings.key()
    keys = {entry.name: _key(entry, course) for entry in entries}  # of what is there now: it may change while it waits
    for entry in entries:
        known = _known(kept, entry, keys[entry.name])
        if known:
            records[entry.name] = known
        else:
            waiting.append(entry)
    batch = Batch(settings, judged=len(waiting))
    for entry, record in _judge_all(waiting, settings, jobs):
        record["key"] = "" if record.get("failure") else keys[entry.name]  # judged again the next time
        write(kept / f"{file_name(entry.name)}.json", json.dumps(record))
        records[entry.name] = record
        progress(len(records), len(entries), workers.clean(entry.name, 60))
    batch.records = [records[entry.name] for entry in entries]
    _finish(batch, {entry.name: entry for entry in entries}, people, deadline)
    batch.seconds = time.monotonic() - started
    return batch


@dataclass(frozen=True)
class Entry:
    """A file that was handed in; `problem` says why it cannot be judged, as far as can be seen without reading it."""

    name: str
    path: Path
    size: int
    modified: float
    problem: str = ""


def find(folder: Path) -> list[Entry]:
    """Every `.ipynb` and `.py` of a folder, whatever it is, by name. Links are not followed."""
    entries = []
    with os.scandir(folder) as found:
        for item in found:
            if not item.name.lower().endswith((".ipynb", ".py")):
                continue
            info = item.stat(follow_symlinks=False)
            kinds = [
                (stat.S_ISLNK, "is a link, not a file"),
                (stat.S_ISDIR, "is a folder, not a file"),
                (lambda mode: not stat.S_ISREG(mode), "is no ordinary file"),
            ]
            problem = next((text for test, text in kinds if test(info.st_mode)), "")
            if not problem and info.st_size > MAX_FILE:
                problem = f"has {info.st_size / (1 << 20):.0f} MiB; at most {MAX_FILE >> 20} are read"
            name = os.fsencode(item.name).decode(errors="backslashreplace")
            if name != item.name:  # it is no text: told apart from a file that is called like that
                name += f" ({_digest(os.fsencode(item.name))[:8]})"
            entries.append(Entry(name, Path(item.path), info.st_size, info.st_mtime, problem))
    return sorted(entries, key=lambda entry: entry.name)


def read_roster(path: Path) -> dict[str, Person]:
    """A CSV file with the columns `submission` (a file name), `student`, and if wanted `submitted` (2026-05-31
    23:59)."""
    try:
        with open(path, encoding="utf-8-sig", newline="") as file:
            first = file.readline()
            file.seek(0)
            rows = list(csv.DictReader(file, delimiter=";" if first.count(";") > first.count(",") else ","))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise CourseError(f"the roster {path} cannot be read: {getattr(error, 'strerror', None) or error}") from None
    if not rows:
        raise CourseError(f"the roster {path} is empty: it needs a line with the columns submission,student")
    columns = {str(name).strip().lower(): name for name in rows[0] if name}

    def column(names: Iterable[str], needed: bool = True) -> str | None:
        found = next((columns[name] for name in names if name in columns), None)
        if found is None and needed:
            raise CourseError(f"the roster {path} has no column {' or '.join(names)}")
        return found

    submission, student = column(FILE_COLUMNS), column(NAME_COLUMNS)
    when = column(TIME_COLUMNS, needed=False)
    people = {}
    for line, row in enumerate(rows, 2):
        submitted = (row[when] or "").strip() if when else ""
        try:
            moment = parse_time(submitted) if submitted else None
        except ValueError:
            raise CourseError(f"line {line} of {path}: {submitted!r} is no time like 2026-05-31 23:59") from None
        name = (row[student] or "").strip()
        if not name:
            raise CourseError(f"line {line} of {path} names no student")
        people[_composed((row[submission] or "").strip())] = Person(name, moment)
    return people


def _composed(name: str) -> str:
    """A name with each letter and its accents as one character; a Mac writes them apart."""
    return unicodedata.normalize("NFC", name)


def parse_time(text: str) -> datetime:
    """A moment in ISO format; without a zone it is local time."""
    return datetime.fromisoformat(text).astimezone()


def seed_for(seed: int, exercise: str) -> int:
    """The seed of one exercise's inputs: the same for everybody, and not to be guessed from another's."""
    return int(hashlib.sha256(f"{seed} {exercise}".encode()).hexdigest()[:7], 16)


def judge_entry(entry: Entry, settings: Settings, template) -> dict:
    """The record of one submission."""
    started = time.monotonic()
    try:
        if entry.problem:
            raise CourseError(f"{entry.name} {entry.problem}")
        with work_limit(READ_SECONDS):
            submission = sources.read(entry.path)
            about = settings.chosen() or settings.about(submission)
            calls = {exercise.id: flags.librarys(exercise, submission.cells) for exercise in about}
            notes = {exercise.id: flags.about_solution(exercise, submission.cells) for exercise in about}
            prints = {exercise.id: flags.fingerprints(exercise, submission.cells) for exercise in about}
            remarks = flags.about_notebook(submission.cells)
            taken = {exercise.id for exercise in about if flags.takes_librarys(exercise, submission.cells)}
    except OutOfTime:
        return unreadable(entry, settings, f"{entry.name} takes longer than {READ_SECONDS} s to read")
    except CourseError as error:
        return unreadable(entry, settings, str(error).replace(str(entry.path), entry.name))
    except (RecursionError, MemoryError, ValueError, SyntaxError) as error:
        return unreadable(entry, settings, f"{entry.name} cannot be read: {type(error).__name__}")
    running = workers.Submitted(template, submission.cells, settings.limits)
    try:
        results = [_judge_exercise(exercise, submission, running, taken, settings.seed) for exercise in about]
    finally:
        running.close()
    library = [f"library object: {result.id}" for result in results if result.library_object]
    made = {result.id for result in results if not result.missing and not result.library_object}
    called = [
        f"library call: {id} is written with a library's {name}" for id in calls if id in made for name in calls[id]
    ]
    return {
        **_record(entry, results),
        "flags": running.flags + library + called,
        "remarks": remarks + [note for id in notes if id in made for note in notes[id]],
        "prints": {id: found for id, found in prints.items() if found and id in made},
        "nothing": not settings.exercises and not (submission.named() | submission.defined()) & settings.bank().keys(),
        "seconds": round(time.monotonic() - started, 3),
    }


def unreadable(entry: Entry, settings: Settings, problem: str) -> dict:
    """The record of a submission that cannot be judged."""
    about = settings.chosen() or list(settings.bank().values())
    return {
        **_record(entry, [_without_marks(exercise, "error", problem) for exercise in about]),
        "flags": [f"not judged: {workers.clean(problem)}"],
        "remarks": [],
        "prints": {},
        "unreadable": True,
        "nothing": not settings.exercises,
        "seconds": 0.0,
    }


def write(path: Path, text: str) -> None:
    """Write a file in one step."""
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=".new-")
    with open(handle, "w", encoding="utf-8", errors="replace", newline="\n") as file:
        file.write(text)
    os.chmod(temporary, 0o644)
    os.replace(temporary, path)


def file_name(name: str) -> str:
    """A submission's name as that of a file or a link: letters, digits, dots, and never two submissions the same."""
    plain = re.sub(r"[^\w.-]+", "_", name).encode()[:200].decode(errors="ignore")
    return plain if plain == name else f"{plain}-{_digest(name.encode())[:8]}"


def _judge_exercise(
    exercise: Exercise, submission: sources.Submission, running: workers.Submitted, taken: set[str], seed: int
) -> ExerciseResult:
    if untouched(exercise, submission.cells):
        observe = missing("not attempted")
    elif exercise.id in taken:
        observe = lambda check, inputs: Observation("library")  # noqa: E731
    else:
        observe = running.observe(exercise)
    return judge(exercise, observe, seed_for(seed, exercise.id))


def _record(entry: Entry, results: Sequence[ExerciseResult]) -> dict:
    return {
        "submission": entry.name,
        "exercises": [result.to_json() for result in results],
        "points": sum(result.points for result in results),
        "max_points": sum(result.max_points for result in results),
    }


def _without_marks(exercise: Exercise, status: str, message: str) -> ExerciseResult:
    checks = tuple(CheckResult(check.id, 0, check.points, status, message) for check in exercise.checks)
    return ExerciseResult(exercise.id, exercise.title, checks, 0)


def _judge_all(entries: deque[Entry], settings: Settings, jobs: int):
    """Judge them, several at a time; gives (entry, record) as they are done.

    A judge is a process: one that is lost with a submission costs that submission only.
    """
    scratch = tempfile.TemporaryDirectory(prefix="course-grade-", ignore_cleanup_errors=True)
    os.chmod(scratch.name, 0o711)
    judges = [_Judge(settings, scratch.name) for _ in range(min(jobs, len(entries)))]
    try:
        for one in judges:
            one.give(entries.popleft())
        while working := [one for one in judges if one.entry]:
            ready = wait([one.pipe for one in working], timeout=1)
            for one in working:
                entry, record = one.entry, None
                if one.pipe in ready:
                    record = one.answer()
                elif time.monotonic() < one.until:
                    continue
                if record is None:
                    late = one.pipe not in ready
                    one.close(kill=True)
                    problem = "took too long to judge" if late else "ended the process that judged it"
                    record = unreadable(entry, settings, f"{entry.name} {problem}")
                    one.start()
                elif "stop" in record:
                    raise CourseError(record["stop"])
                one.entry = None
                if entries:
                    one.give(entries.popleft())
                yield entry, record
    finally:
        for one in judges:
            one.close(kill=one.entry is not None)
        scratch.cleanup()


class _Judge:
    """A process that judges one submission after the other."""

    def __init__(self, settings: Settings, scratch: str) -> None:
        self.settings, self.scratch = settings, scratch
        self.start()

    def start(self) -> None:
        context = multiprocessing.get_context("spawn")
        self.pipe, inside = context.Pipe()
        self.process = context.Process(target=_be_judge, args=(inside, self.settings, self.scratch), daemon=True)
        with chdir("/"):  # where it starts it imports from: never among the submissions
            self.process.start()
        inside.close()
        self.entry: Entry | None = None
        self.until, self.warm = 0.0, False

    def give(self, entry: Entry) -> None:
        self.entry = entry
        self.until = time.monotonic() + self.settings.limits.total + JUDGE_SECONDS
        self.until += 0 if self.warm else workers.TEMPLATE_SECONDS
        self.warm = True
        with suppress(OSError):  # it is gone: `answer` says so
            self.pipe.send(entry)

    def answer(self) -> dict | None:
        try:
            return self.pipe.recv()
        except (EOFError, OSError):
            return None

    def close(self, kill: bool) -> None:
        self.pipe.close()
        if kill:
            self.process.kill()
        self.process.join(10)
        if self.process.is_alive():
            self.process.kill()
            self.process.join()


def _be_judge(pipe, settings: Settings, scratch: str) -> None:
    """What a judge does until nobody gives it anything; its temporary files go to a folder that is removed with it."""
    import torch

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C ends the batch, and that ends its judges
    torch.set_num_threads(1)
    tempfile.tempdir = scratch
    make = workers.DockerTemplate if settings.isolation == "docker" else workers.Template
    hidden = [Path(path) for path in settings.hidden]
    template = make(settings.isolation, settings.limits, hidden)
    jail.limit_memory(READ_MEMORY)  # of this process; the template has been started
    try:
        while True:
            try:
                entry = pipe.recv()
            except (EOFError, OSError):
                return
            try:
                record = judge_entry(entry, settings, template)
            except CourseError as error:
                record = {"stop": str(error)}
            except Exception as error:  # ours, not the submission's: say so, and go on with the others
                traceback.print_exc(file=sys.stderr)
                problem = f"{entry.name} could not be judged ({type(error).__name__} in the grader)"
                record = unreadable(entry, settings, problem) | {"failure": True}
            try:
                pipe.send(record)
            except OSError:
                return
    finally:
        template.close()


def _finish(batch: Batch, entries: dict[str, Entry], people: dict[str, Person], deadline: datetime | None) -> None:
    """What can only be said when all are judged: who is who, what counts, what is alike."""
    about, bank = {}, batch.settings.bank()
    for record in batch.records:
        for one in record["exercises"] if not record["nothing"] else ():
            about[one["id"]] = about.get(one["id"], 0) + 1
    everybody = [bank[id] for id in bank if id in about]
    for record in batch.records:
        if record["nothing"] and everybody:
            first = record["exercises"][0]["checks"][0]
            results = [_without_marks(exercise, first["status"], first["message"]) for exercise in everybody]
            record.update(_record(entries[record["submission"]], results))
    usual = {bank[id].chapter for id in about if about[id] * 2 > len(batch.records)}
    alike = flags.same_code({record["submission"]: record["prints"] for record in batch.records})
    latest: dict[str, tuple] = {}
    for record in batch.records:
        entry = entries[record["submission"]]
        name = _composed(entry.name)
        person = people.get(name) or people.get(Path(name).stem)
        record["student"] = person.student if person else DUPLICATE.sub("", Path(entry.name).stem)
        moment = (person and person.submitted) or datetime.fromtimestamp(entry.modified).astimezone()
        record["submitted"] = moment.isoformat(timespec="minutes")
        record["late"] = bool(deadline and moment > deadline)
        record["remarks"] = record["remarks"] + alike.get(entry.name, [])
        if people and not person:
            record["remarks"].append("not in the roster")
        chapters = {bank[one["id"]].chapter for one in record["exercises"]}
        if usual and not chapters & usual:
            numbers = ", ".join(f"{number:02}" for number in sorted(chapters))
            record["remarks"].append(f"about another chapter than most: {numbers}")
        if record["late"]:
            record["flags"] = [*record["flags"], f"late: {moment:%Y-%m-%d %H:%M}"]
        if not entry.name.isprintable():
            record["remarks"].append("its name has characters that cannot be seen")
        record["who"] = record["student"], bool(person)  # whoever is not in the roster replaces nobody who is
        latest[record["who"]] = max(latest.get(record["who"], ()), (moment, entry.name))
    batch.absent = sorted({person.student for person in people.values()} - {one["student"] for one in batch.records})
    for record in batch.records:
        last = latest[record.pop("who")][1]
        record["counts"] = record["submission"] == last
        if not record["counts"]:
            record["remarks"].append(f"does not count: {last} is later")


def _seed_of(out: Path) -> int:
    """The seed of the batch that was begun here, or a new one."""
    try:
        return int(json.loads((out / "batch.json").read_text(encoding="utf-8"))["seed"])
    except (OSError, ValueError, KeyError, TypeError):
        return secrets.randbelow(2**31)


def _known(kept: Path, entry: Entry, key: str) -> dict | None:
    """The record of a submission that was judged before, and has not changed since."""
    try:
        record = json.loads((kept / f"{file_name(entry.name)}.json").read_text(encoding="utf-8"))
        return record if record.get("key") == key else None
    except (OSError, ValueError, AttributeError):
        return None


def _key(entry: Entry, key: str) -> str:
    content = b"" if entry.problem else _content(entry.path)
    return _digest(f"{key} {entry.problem} ".encode() + content)


def _content(path: Path) -> bytes:
    try:
        return hashlib.sha256(path.read_bytes()).digest()
    except OSError as error:
        return str(error.errno).encode()


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
