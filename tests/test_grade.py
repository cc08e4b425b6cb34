"""Right, wrong and hostile submissions: what each earns, that the batch goes on, that nothing is changed or stays.

All of them are graded once, in one batch; the tests look at what came of it.
"""

import csv
import hashlib
import inspect
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch

from course_lib.cli import main
from course_lib.errors import CourseError
from course_lib.exercises import bank, chapter_exercises, exercise, exercises_of
from course_lib.grading import batch, in_process, jail, sources, worker, workers
from course_lib.grading.judge import judge
from tests.battery.correct import CORRECT, PLAIN
from tests.battery.hostile import ATTACKS, BROKEN
from tests.conftest import ROOT

SECRET = "SECRET-OF-THE-ENVIRONMENT"
MARKER = "# MARKER-OF-THE-OTHERS\n"
PLANTED = re.compile(r"/(evil|sitecustomize|conftest|fill\d|\.bashrc|grades|results|batch\.json|at_exit|still_here)")
PROBLEM = workers.problem_with("jail")
NO_TEXT = (b"\xff.py", b"\xfe.py")  # names that are no UTF-8
needs_jail = pytest.mark.skipif(bool(PROBLEM), reason=f"this kernel allows no jail: {PROBLEM}")


def snapshot(*folders: Path) -> dict[str, str]:
    """Every file, link and folder below these, with a digest of its content."""
    found = {}
    for folder in folders:
        for path in [folder, *sorted(folder.rglob("*"))]:
            if "__pycache__" in path.parts:
                continue
            content = os.readlink(path) if path.is_symlink() else path.read_bytes() if path.is_file() else b"folder"
            content = content.encode() if isinstance(content, str) else content
            found[str(path)] = hashlib.sha256(content).hexdigest() + oct(path.lstat().st_mode)
    return found


def names(folder: Path) -> set[str]:
    return {str(path) for path in folder.rglob("*") if "__pycache__" not in path.parts}


def alive(folder: Path) -> list[str]:
    """Processes of a batch on this folder, and those whose template has gone; not those of other batches."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            command = (process / "cmdline").read_bytes().decode(errors="replace")
            uid = process.stat().st_uid
        except OSError:
            continue
        orphan = uid >= jail.FIRST_UID and not Path(f"/proc/{uid - jail.FIRST_UID}").exists()
        if orphan or ("grading.worker import" in command and str(folder) in command):
            found.append(command)
    return found


@contextmanager
def listening() -> Iterator[tuple[int, list]]:
    """A server on loopback that counts who comes."""
    visitors, server = [], socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        while True:
            try:
                visitors.append(server.accept())
            except OSError:
                return

    threading.Thread(target=serve, daemon=True).start()
    yield server.getsockname()[1], visitors
    server.close()


def run(*arguments: object) -> int:
    return main([str(argument) for argument in arguments])


def by_name(out: Path) -> dict[str, dict]:
    return {one["submission"]: one for one in json.loads((out / "grades.json").read_text("utf-8"))["submissions"]}


def points(record: dict) -> dict[str, int]:
    return {one["id"]: one["points"] for one in record["exercises"]}


class Graded:
    """What the batches of this file left behind."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.out = folder / "submissions", folder / "results"
        self.home, self.scratch = folder / "home", folder / "scratch"
        self.folder.mkdir()
        self.home.mkdir()
        (self.home / "diary.txt").write_text("dear diary")
        self.visitors: list = []


@pytest.fixture(scope="module")
def hostile(tmp_path_factory) -> Graded:
    """Two exercises of everything hostile and broken, among two honest ones, in one batch in the jail."""
    graded = Graded(tmp_path_factory.mktemp("hostile"))
    with listening() as (port, visitors):
        known = {
            "FOLDER": graded.folder, "OUT": graded.out, "PACKAGE": workers.PACKAGE, "HOME": graded.home, "PORT": port,
        }  # fmt: skip
        for name, (source, _) in ATTACKS.items():
            for word, value in known.items():
                source = source.replace(word, str(value))
            (graded.folder / name).write_text(source, encoding="utf-8")
        for name, content in BROKEN.items():
            (graded.folder / name).write_bytes(content)
        for name in ("a first.py", "zz last.py"):
            (graded.folder / name).write_text(MARKER + PLAIN)
        for name in NO_TEXT:
            (graded.folder / os.fsdecode(name)).write_bytes(b"softmax = 1\n")
        (graded.folder / "folder.py").mkdir()
        (graded.folder / "link.ipynb").symlink_to("/etc/passwd")
        os.mkfifo(graded.folder / "pipe.py")
        (graded.folder / "notes.txt").write_text("no submission")
        with open(graded.folder / "huge.ipynb", "wb") as file:
            file.truncate(batch.MAX_FILE + 1)
        graded.scratch.mkdir()
        before, course = snapshot(graded.folder, graded.home), names(workers.PACKAGE)
        os.environ["A_SECRET"], tempfile.tempdir = SECRET, str(graded.scratch)
        try:
            options = ["--exercise", "softmax", "--exercise", "causal_mask", "--timeout", 2, "--seed", 11, "--jobs", 2]
            graded.status = run("grade", graded.folder, "--out", graded.out, *options)
        finally:
            del os.environ["A_SECRET"]
            tempfile.tempdir = None
        after, course_after = snapshot(graded.folder, graded.home), names(workers.PACKAGE)
        graded.changed = {path for path in before.keys() | after.keys() if before.get(path) != after.get(path)}
        graded.changed |= (course - course_after) | {path for path in course_after - course if PLANTED.search(path)}
        graded.visitors = visitors
    graded.alive = alive(graded.folder)
    graded.records = by_name(graded.out)
    return graded


@pytest.fixture(scope="module")
def honest(tmp_path_factory) -> Graded:
    """The right ones, all exercises of the chapter."""
    graded = Graded(tmp_path_factory.mktemp("honest"))
    for name, source in CORRECT.items():
        (graded.folder / name).write_bytes(source.encode())
    graded.status = run("grade", graded.folder, "--out", graded.out, "--timeout", 2, "--seed", 5, "--jobs", 2)
    graded.records = by_name(graded.out)
    return graded


# ---- right ones ------------------------------------------------------------------------------------------------------


@needs_jail
@pytest.mark.parametrize("name", CORRECT)
def test_a_right_submission_earns_everything(honest, name):
    assert honest.status == 0
    record = honest.records[name]
    wrong = [(c["id"], c["message"]) for one in record["exercises"] for c in one["checks"] if c["status"] != "passed"]
    assert not wrong
    assert points(record) == {e.id: e.points for e in chapter_exercises(3)}
    assert record["points"] == record["max_points"] == sum(e.points for e in chapter_exercises(3))


@needs_jail
def test_a_cell_that_raises_is_flagged_and_costs_only_itself(honest):
    flags = "\n".join(honest.records["raises.ipynb"]["flags"])
    for text in ("cell 2 raised ZeroDivisionError", "AssertionError", "cell 10 raised SystemExit", "FileNotFoundError"):
        assert text in flags
    assert "was stopped after 8 s" in "\n".join(honest.records["waits.ipynb"]["flags"])
    assert not [flag for flag in honest.records["magics.ipynb"]["flags"] if "raised" in flag]
    assert not [flag for flag in honest.records["drawn.ipynb"]["flags"] if "raised" in flag]
    assert not [flag for flag in honest.records["sheet.ipynb"]["flags"] if "raised" in flag]


@needs_jail
def test_the_same_code_is_pointed_out_the_same_idea_is_not(honest):
    alike = {name for name, record in honest.records.items() if any(f.startswith("same code") for f in record["flags"])}
    assert {"plain.py", "crlf.py", "one cell.ipynb"} <= alike
    assert not {"einsum.py", "loops.py", "percent.py"} & alike


# ---- wrong ones: every misconception is named by the isolated grader, too ------------------------------------------

WRONG = {
    "softmax": {
        "first_axis": "def softmax(x):\n    return x.softmax(0)",
        "everything": "def softmax(x):\n    return x.flatten().softmax(0).view_as(x)",
        "unstable": "def softmax(x):\n    return x.exp() / x.exp().sum(-1, keepdim=True)",
        "in_place": "def softmax(x):\n    x -= x.amax(-1, keepdim=True)\n    return x.softmax(-1)",
        "float32_only": "def softmax(x):\n    return x.float().softmax(-1)",
        "detached": "def softmax(x):\n    return x.detach().softmax(-1)",
    },
    "causal_mask": {
        "looks_ahead": "def causal_mask(t_q, t_k):\n    return torch.ones(t_q, t_k).bool().triu(t_k - t_q)",
        "top_left": "def causal_mask(t_q, t_k):\n    return torch.ones(t_q, t_k).bool().tril()",
        "numbers": "def causal_mask(t_q, t_k):\n    return torch.ones(t_q, t_k).tril(t_k - t_q)",
    },
}


@needs_jail
def test_every_misconception_is_named_as_it_is_in_a_notebook():
    """What the judge hears from a jailed worker names the same misconception as what it hears in this process."""
    template = workers.Template("jail", workers.Limits(call=10))
    try:
        for id, by_name in WRONG.items():
            for name, source in by_name.items():
                cells = sources.from_history(["import torch\n" + source])
                running = workers.Submitted(template, cells, workers.Limits(call=10))
                result = judge(exercise(id), running.observe(exercise(id)), 3)
                running.close()
                here = in_process.load(cells).namespace[id]
                assert result == judge(exercise(id), in_process.observer(exercise(id), here), 3)
                assert name in {check.misconception for check in result.checks}
                assert result.points < result.max_points
    finally:
        template.close()


@needs_jail
def test_every_observer_of_the_bank_works_on_its_source_alone():
    """A worker gets an observer's source text: it may use nothing else. Each alternative passes through it."""
    for found in bank().values():
        for check in found.checks:
            observe = worker._observer(workers.observer_source(check), check.observe.__name__)
            got = observe(found.alternatives[0], check.inputs(3))
            want = check.observe(found.alternatives[0], check.inputs(3))
            assert torch.utils._pytree.tree_structure(got) == torch.utils._pytree.tree_structure(want)


# ---- hostile ones ----------------------------------------------------------------------------------------------------


@needs_jail
@pytest.mark.parametrize("name", ATTACKS)
def test_an_attack_earns_nothing_and_what_is_honest_beside_it_does(hostile, name):
    assert points(hostile.records[name]) == {"softmax": 0, "causal_mask": ATTACKS[name][1]}


@needs_jail
@pytest.mark.parametrize("name", [*BROKEN, "folder.py", "link.ipynb", "pipe.py", "huge.ipynb"])
def test_whatever_is_handed_in_appears(hostile, name):
    record = hostile.records[name]
    assert record["points"] == 0 and [one["id"] for one in record["exercises"]] == ["softmax", "causal_mask"]
    statuses = {check["status"] for one in record["exercises"] for check in one["checks"]}
    assert statuses <= {"error", "missing", "failed", "not_run"}
    assert "root:" not in json.dumps(record), "a link was followed"


@needs_jail
def test_the_batch_went_on(hostile):
    assert hostile.status == 0
    assert len(hostile.records) == len(ATTACKS) + len(BROKEN) + len(NO_TEXT) + 6 >= 30
    for name in ("a first.py", "zz last.py"):
        assert hostile.records[name]["points"] == hostile.records[name]["max_points"] == 18


@needs_jail
def test_nothing_outside_was_changed(hostile):
    assert hostile.changed == set()
    inside = {str(path.relative_to(hostile.out)) for path in hostile.out.rglob("*") if path.is_file()}
    mine = {"grades.json", "grades.csv", "index.html", "batch.json"}
    mine |= {f"{folder}/{batch.file_name(n)}{end}" for n in hostile.records
             for folder, end in (("judged", ".json"), ("reports", ".html"))}  # fmt: skip
    assert inside == mine


@needs_jail
def test_nothing_stays(hostile):
    assert hostile.alive == []
    assert list(hostile.scratch.iterdir()) == []
    for name in ("stays.py", "stays_as_a_command.py"):
        assert any("left behind" in flag for flag in hostile.records[name]["flags"])


@needs_jail
def test_nobody_was_reached(hostile):
    assert hostile.visitors == []
    said = hostile.records["calls_out.py"]["exercises"][0]["checks"][0]["message"]
    assert "reached: nobody" in said


@needs_jail
@pytest.mark.parametrize(
    "name, said",
    [
        ("reads_others.py", "seen: nothing"),
        ("reads_secrets.py", "secrets: []"),
        ("breaks_out.py", "broke out: not at all"),
        ("raises_its_limits.py", "raised: none"),
        ("searches_for_the_seed.py", "seeds: none"),
        ("sees_other_processes.py", "others: none"),
        ("asks_the_kernel.py", "granted: nothing"),
        ("takes_memory_that_is_nobodys.py", "kept: 0 MiB"),
        ("a_type_named_like_a_verdict.py", "got a 5.x?✓ passed: 10 of 10?"),
        ("imports_the_bank.py", "No module named 'course_lib.exercises"),
        ("imports_the_judge.py", "No module named 'course_lib.grading.judge'"),
        ("exits.py", "ended itself"),
        ("crashes.py", "SIGSEGV"),
        ("loops.py", "stopped after 2 s"),
        ("loops_and_ignores_signals.py", "stopped after 2 s"),
        ("returns_nan.py", "nan"),
        ("returns_complex.py", "complex64"),
        ("returns_numpy.py", "return a torch tensor"),
        ("announces_a_huge_answer.py", "too large"),
        ("takes_memory.py", "memory"),
        ("syntax.py", "SyntaxError"),
    ],
)
def test_what_an_attack_saw_or_how_it_ended(hostile, name, said):
    assert said in hostile.records[name]["exercises"][0]["checks"][0]["message"]


@needs_jail
def test_secrets_do_not_come_back(hostile):
    text = "".join(path.read_text("utf-8") for path in hostile.out.rglob("*") if path.is_file())
    assert SECRET not in text and "dear diary" not in text


@needs_jail
@pytest.mark.parametrize("name", [n for n in ATTACKS if "librarys" in n or "of_it" in n or "its_code" in n])
def test_the_librarys_own_object_is_flagged(hostile, name):
    assert "library object: softmax" in hostile.records[name]["flags"]


@needs_jail
def test_flags_for_a_human(hostile):
    flags = {name: "\n".join(record["flags"]) for name, record in hostile.records.items()}
    assert "changes what is not its own: torch.Tensor.__eq__" in flags["patches_torch.py"]
    assert "reaches outside: softmax uses __reduce__" not in flags["a first.py"]
    assert "reaches outside: softmax uses _getframe" in flags["reads_the_stack.py"]


# ---- the command -----------------------------------------------------------------------------------------------------


@pytest.fixture
def small(tmp_path) -> Path:
    folder = tmp_path / "class"
    folder.mkdir()
    (folder / "ann.py").write_text(PLAIN)
    (folder / "bob.py").write_text(PLAIN.replace("e / e.sum", "e / 2 / e.sum"))
    return folder


def test_json_is_as_the_contract_says(honest):
    grades = json.loads((honest.out / "grades.json").read_text("utf-8"))
    assert grades["seed"] == 5 and grades["isolation"] == "jail"
    for one in grades["submissions"]:
        assert {"submission", "exercises", "points", "max_points", "flags"} <= one.keys()
        for solved in one["exercises"]:
            assert solved.keys() == {"id", "points", "max_points", "checks"}
            for check in solved["checks"]:
                assert check.keys() == {"id", "points", "max_points", "status", "message", "misconception"}
    with open(honest.out / "grades.csv", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [row["submission"] for row in rows] == sorted(CORRECT)
    assert {row["points"] for row in rows} == {"49"} and {row["softmax"] for row in rows} == {"10"}


@needs_jail
def test_the_same_seed_gives_the_same_marks_and_what_is_done_is_not_done_again(small, tmp_path, capsys):
    def marks(out: Path) -> list:
        return json.loads((out / "grades.json").read_text("utf-8"))["submissions"]

    options = ["--exercise", "softmax", "--jobs", 1]
    assert run("grade", small, "--out", tmp_path / "a", "--seed", 3, *options) == 0
    assert run("grade", small, "--out", tmp_path / "b", "--seed", 3, *options, "--jobs", 2) == 0
    assert marks(tmp_path / "a") == marks(tmp_path / "b")
    assert "earlier" not in capsys.readouterr().out
    os.remove(tmp_path / "a" / "judged" / "bob.py.json")  # as if it had been interrupted there
    (small / "carl.py").write_text(PLAIN)
    assert run("grade", small, "--out", tmp_path / "a", *options) == 0  # goes on with the seed it was begun with
    assert "3 submissions judged, 1 of them earlier" in capsys.readouterr().out
    assert json.loads((tmp_path / "a" / "grades.json").read_text())["seed"] == 3
    again = {one["submission"]: one["points"] for one in marks(tmp_path / "a")}
    assert again == {"ann.py": 10, "bob.py": 0, "carl.py": 10}
    (small / "ann.py").write_text(PLAIN.replace("e / e.sum", "e / 3 / e.sum"))
    assert run("grade", small, "--out", tmp_path / "a", *options) == 0
    assert "2 of them earlier" in capsys.readouterr().out
    assert {one["submission"]: one["points"] for one in marks(tmp_path / "a")}["ann.py"] == 0


@needs_jail
def test_an_interrupted_batch_goes_on(tmp_path):
    folder, out = tmp_path / "class", tmp_path / "out"
    folder.mkdir()
    for i in range(4):
        (folder / f"{i}.py").write_text(PLAIN)
    (folder / "9.py").write_text("def softmax(x):\n    while True: pass\n")
    command = [sys.executable, "-m", "course_lib.cli", "grade", folder, "--out", out, "--exercise", "softmax"]
    environment = os.environ | {"PYTHONPATH": str(ROOT), "TMPDIR": str(tmp_path)}  # what is killed leaves its folder
    for judged, how, status in [(2, signal.SIGKILL, -signal.SIGKILL), (4, signal.SIGINT, 130)]:
        process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        until = time.monotonic() + 500
        while len(list(out.glob("judged/*.json"))) < judged and time.monotonic() < until:
            time.sleep(0.02)
        process.send_signal(how)
        assert process.wait(200) == status
    assert len(list(out.glob("judged/*.json"))) == 4 and not (out / "grades.json").exists()
    until = time.monotonic() + 100
    while alive(folder) and time.monotonic() < until:
        time.sleep(0.1)
    assert alive(folder) == []
    assert run("grade", folder, "--out", out, "--exercise", "softmax", "--timeout", 5) == 0
    assert [one["points"] for one in by_name(out).values()] == [10, 10, 10, 10, 0]


@needs_jail
def test_names_times_and_the_last_of_several(small, tmp_path, capsys):
    (small / "bob second try.py").write_text(PLAIN)
    for name in ("stranger.py", unicodedata.normalize("NFD", "zoë.py"), "Ann Ärmel (1).py"):
        (small / name).write_text(PLAIN)
    roster = tmp_path / "roster.csv"
    roster.write_text(
        "submission,student,submitted\nann.py,Ann Ärmel,2026-05-01 10:00\nbob.py,Bob,2026-05-01 11:00\n"
        "bob second try.py,Bob,2026-05-03 12:00\nzoë.py,Zoë,\nkim.py,Kim,\n",
        encoding="utf-8",
    )
    options = ["--exercise", "softmax", "--roster", roster, "--deadline", "2026-05-02"]
    assert run("grade", small, "--out", tmp_path / "out", *options) == 0
    records = by_name(tmp_path / "out")
    assert records["ann.py"]["student"] == "Ann Ärmel" and records["ann.py"]["counts"]
    assert not records["ann.py"]["late"] and records["bob second try.py"]["late"]
    assert not records["bob.py"]["counts"] and records["bob second try.py"]["counts"]
    assert "does not count: bob second try.py is later" in records["bob.py"]["flags"]
    assert "not in the roster" in records["stranger.py"]["flags"]
    assert records[unicodedata.normalize("NFD", "zoë.py")]["student"] == "Zoë"  # as a Mac writes it
    assert records["Ann Ärmel (1).py"]["counts"]  # and does not take the place of the one in the roster
    assert "nothing was handed in: Kim." in (tmp_path / "out" / "index.html").read_text("utf-8")


def test_a_roster_from_a_spreadsheet_that_writes_semicolons(tmp_path):
    roster = tmp_path / "roster.csv"
    roster.write_text("\ufeffFile;Name;Time\nann.py;Ann, the first;2026-05-01\n", encoding="utf-8")
    people = batch.read_roster(roster)
    assert people["ann.py"].student == "Ann, the first" and people["ann.py"].submitted.day == 1


@pytest.mark.parametrize("line, said", [("ann.py,", "names no student"), ("ann.py,Ann,noon", "no time like")])
def test_a_line_of_a_roster_that_says_too_little_is_named(tmp_path, line, said):
    roster = tmp_path / "roster.csv"
    roster.write_text(f"submission,student,submitted\nbob.py,Bob,\n{line}\n")
    with pytest.raises(CourseError, match=f"line 3 .*{said}"):
        batch.read_roster(roster)


@pytest.mark.parametrize(
    "arguments, said",
    [
        (["nowhere", "--out", "out"], "nowhere is not a folder"),
        (["empty", "--out", "out"], "there is no notebook"),
        (["class", "--out", "out", "--exercise", "sofmax"], "did you mean softmax"),
        (["class", "--out", "out", "--isolation", "prison"], "choose auto, jail, docker, process"),
        (["class", "--out", "out", "--roster", "nothing.csv"], "cannot be read"),
        (["class", "--out", "out", "--roster", "class/ann.py"], "has no column"),
        (["class", "--out", "out", "--deadline", "tomorrow"], "no time like"),
        (["class", "--out", "class/ann.py/x"], "cannot be written"),
        (["class", "--out", "out", "--jobs", "0"], "jobs"),
        (["class", "--out", "out", "--timeout", "inf"], "need a number"),
        (["class", "--out", "out", "--memory-gib", "nan"], "memory"),
        (["class"], "out"),
    ],
)
def test_bad_input_is_one_line(small, tmp_path, monkeypatch, capsys, arguments, said):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    assert run("grade", *arguments) == 2
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 1 and said in lines[0]


# ---- levels ----------------------------------------------------------------------------------------------------------


def test_nothing_is_graded_where_nothing_can_be_isolated(small, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(workers, "problem_with", lambda level: f"no {level} here")
    assert run("grade", small, "--out", tmp_path / "out") == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and "jail: no jail here; docker: no docker here" in error and "process" in error


def test_no_docker_is_one_line(small, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("PATH", str(tmp_path))
    workers.problem_with.cache_clear()
    assert run("grade", small, "--out", tmp_path / "out", "--isolation", "docker") == 2
    workers.problem_with.cache_clear()
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and "docker: no docker command" in error


def test_a_plain_process_is_for_those_who_insist_and_says_so(small, tmp_path, capsys):
    (small / "eve.py").write_text(ATTACKS["stays.py"][0].replace("OUT", "/tmp/none").replace("FOLDER", "/tmp/none"))
    (small / "zoe.py").write_text("import os\nos.environ['X'] = '1'\n" + ATTACKS["loops_and_ignores_signals.py"][0])
    options = ["--isolation", "process", "--exercise", "softmax", "--exercise", "causal_mask", "--timeout", 1]
    assert run("grade", small, "--out", tmp_path / "out", *options) == 0
    records = by_name(tmp_path / "out")
    assert [record["points"] for record in records.values()] == [18, 8, 8, 8]
    assert "nothing was isolated" in capsys.readouterr().err
    assert "Not isolated" in (tmp_path / "out" / "index.html").read_text("utf-8")
    assert json.loads((tmp_path / "out" / "grades.json").read_text())["isolation"] == "process"
    if jail.LINUX:
        assert alive(small) == []
        assert any("left behind" in flag for flag in records["eve.py"]["flags"])


@needs_jail
@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else to try it")
def test_the_jail_works_for_an_ordinary_user_as_well():
    """The same jail, from a user namespace."""
    python = next((p for p in ("/usr/bin/python3", "/usr/local/bin/python3") if os.access(p, os.X_OK)), None)
    if python is None:
        pytest.skip("no Python that other users may run")
    # setpriv starts Python anew as that user: a process that only gives up its rights may not read its own /proc.
    with tempfile.TemporaryDirectory() as readable:
        os.chmod(readable, 0o755)
        shutil.copy(workers.PACKAGE / "grading" / "jail.py", readable)
        program = "import sys, tempfile; sys.path.insert(0, sys.argv[1]); import jail; jail.try_out(tempfile.mkdtemp())"
        somebody = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]
        command = [*somebody, python, "-I", "-c", program, readable]
        done = subprocess.run(command, capture_output=True, text=True, cwd="/")
    assert done.returncode == 0, done.stderr


FAKE_DOCKER = """\
#!{python}
import os, sys
arguments = sys.argv[1:]
with open({log!r}, "a") as log:
    log.write(repr(arguments) + "\\n")
if arguments[0] == "run":
    folder = arguments[arguments.index("--volume") + 1].split(":")[0]
    program = arguments[-1].replace("/course", folder)
    os.environ["PYTHONPATH"] = folder
    os.chdir({work!r})
    os.execv({python!r}, [{python!r}, "-s", "-P", "-B", "-c", program])
"""


def test_docker_is_asked_for_a_container_without_anything(small, tmp_path, monkeypatch):
    """With a stand-in for the docker command, which notes how it is called and runs the worker here."""
    log, work = tmp_path / "log", tmp_path / "work"
    work.mkdir()
    command = tmp_path / "bin" / "docker"
    command.parent.mkdir()
    command.write_text(FAKE_DOCKER.format(python=sys.executable, log=str(log), work=str(work)))
    command.chmod(0o755)
    monkeypatch.setenv("PATH", f"{command.parent}:{os.environ['PATH']}")
    workers.problem_with.cache_clear()
    options = ["--isolation", "docker", "--exercise", "softmax", "--seed", 1]
    assert run("grade", small, "--out", tmp_path / "out", *options) == 0
    workers.problem_with.cache_clear()
    assert [record["points"] for record in by_name(tmp_path / "out").values()] == [10, 0]
    calls = [line for line in log.read_text().splitlines() if line.startswith("['run'")]
    assert len(calls) == 2
    for wanted in ("'--network', 'none'", "'--read-only'", "'--cap-drop', 'ALL'", "'no-new-privileges'", "'--memory'",
                   "'--pids-limit'", "'--user', '65534:65534'"):  # fmt: skip
        assert wanted in calls[0]
    assert str(small) not in calls[0]


def test_what_a_container_is_given_has_no_solution_to_compare_with(tmp_path):
    workers.copy_for_worker(tmp_path)
    found = {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*.py")}
    assert "course_lib/attention.py" in found and "course_lib/grading/worker.py" in found
    withheld = ("course_lib/exercises/", "course_lib/grading/judge.py", "course_lib/grading/batch.py")
    assert not [path for path in found if path.startswith(withheld)]
    environment = os.environ | {"PYTHONPATH": str(tmp_path)}
    code = "import course_lib.grading.worker as w; w.warm_up(); print(w.__file__)"
    done = subprocess.run([sys.executable, "-c", code], env=environment, cwd=tmp_path, capture_output=True, text=True)
    assert done.stdout.strip().startswith(str(tmp_path)), done.stderr


# ---- what is recognised in the source --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "source, own",
    [
        ("from course_lib.attention import softmax", True),
        ("from course_lib.attention import softmax as s\nsoftmax = s", True),
        ("import course_lib.attention\nsoftmax = course_lib.attention.softmax", True),
        ("from course_lib import attention as a\nfrom functools import partial\nsoftmax = partial(a.softmax)", True),
        ("from course_lib.attention import *", True),
        ("from course_lib.attention import softmax\ndef softmax(x): return x", False),
        ("from torch.nn.functional import softmax", False),
        ("from course_lib import attention\ndef softmax(x): return attention.softmax(x)", False),
        ("import torch\nsoftmax = torch.softmax", False),
        ("softmax = softmax", False),
    ],
)
def test_the_librarys_own_is_seen_in_the_source(source, own):
    from course_lib.grading import flags

    cells = sources.from_history(source.split("\n"))
    assert flags.takes_librarys(exercise("softmax"), cells) is own


def test_a_class_derived_from_the_librarys_is_the_librarys():
    reference = ["course_lib.attention", "MultiHeadAttention"]
    from course_lib.attention import MultiHeadAttention

    class Mine(MultiHeadAttention):
        pass

    own = worker.the_librarys(reference)
    assert in_process.is_librarys(own, Mine) and in_process.is_librarys(own, Mine(4, 2))
    assert not in_process.is_librarys(own, torch.nn.MultiheadAttention)


def test_numbers_by_hand_are_pointed_out():
    from course_lib.grading import flags

    numbers = ", ".join(str(0.1 * i) for i in range(30))
    cells = sources.from_history(["import torch", f"def softmax(x):\n    return torch.tensor([{numbers}])[: len(x)]"])
    assert flags.about_solution(exercise("softmax"), cells) == [
        "numbers by hand: softmax contains 27 written-out numbers"
    ]
    cells = sources.from_history(["print('softmax: 10 of 10 points')"])
    assert flags.about_notebook(cells) == ["prints by hand what looks like the result of a check"]


def test_a_renamed_copy_is_the_same_code():
    from course_lib.grading import flags

    found = exercise("scaled_dot_product_attention")
    renamed = PLAIN.replace("scores", "s").replace("query", "q").replace("some", "anything")
    a, b = (flags.fingerprints(found, sources.from_history([source])) for source in (PLAIN, renamed))
    assert a[0] != b[0] and a[1] == b[1]
    assert flags.same_code({"a": {found.id: a}, "b": {found.id: b}, "c": {}}) == {
        "a": ["same code as b: scaled_dot_product_attention"],
        "b": ["same code as a: scaled_dot_product_attention"],
    }


def test_the_courses_own_code_is_recognised():
    from course_lib.grading import flags

    for id in ("scaled_dot_product_attention", "MultiHeadAttention"):
        found = exercise(id)
        copied = inspect.getsource(found.reference)
        said = flags.about_solution(found, sources.from_history(["import math\nimport torch\n" + copied]))
        assert f"same code as the course's own: {id}" in said
    assert not flags.about_solution(exercise("scaled_dot_product_attention"), sources.from_history([PLAIN]))


def test_a_submission_that_only_waits_ends_with_its_time():
    """However many cells it waits in, and whatever its worker says of them."""
    limits = workers.Limits(call=0.1)
    template = workers.Template("process", limits)
    cells = sources.from_history(["import time, torch"] + ["time.sleep(1)"] * 60 + ["def softmax(x): return x"])
    template.worker().end()  # it is warm now
    started = time.monotonic()
    running = workers.Submitted(template, cells, limits)
    result = judge(exercise("softmax"), running.observe(exercise("softmax")), 3)
    running.close()
    template.close()
    assert time.monotonic() - started < limits.total + 10
    assert result.points == 0 and "as a whole took longer than 4 s" in result.checks[0].message


def test_a_template_that_was_ended_is_started_again():
    limits = workers.Limits(call=5)
    template = workers.Template("process", limits)
    cells = sources.from_history([PLAIN])
    for _ in range(2):
        running = workers.Submitted(template, cells, limits)
        assert judge(exercise("softmax"), running.observe(exercise("softmax")), 3).passed
        running.close()
        template.process.kill()
        template.process.wait()
    template.close()


def test_a_lost_judge_costs_one_submission(small, tmp_path, monkeypatch):
    """Whatever ends the process that judges, the batch goes on with another."""
    if PROBLEM:
        pytest.skip(PROBLEM)
    settings = batch.Settings(bank, exercises_of, 1, "jail", workers.Limits(call=2), ("softmax",))
    entries = batch.find(small)
    judges = []
    start = batch._Judge.start

    def doomed(self) -> None:
        start(self)
        judges.append(self)
        if len(judges) == 1:
            self.process.kill()

    monkeypatch.setattr(batch._Judge, "start", doomed)
    done = dict((entry.name, record) for entry, record in batch._judge_all(batch.deque(entries), settings, 1))
    assert done["ann.py"]["flags"] == ["not judged: ann.py ended the process that judged it"]
    assert done["bob.py"]["points"] == 0 and done["bob.py"]["flags"] == []
    assert len(judges) == 2


def test_no_docker_image_is_built_twice(tmp_path, monkeypatch):
    assert shutil.which("sh")
    calls = []

    def fake(command, **options):
        calls.append(command[1])
        return subprocess.CompletedProcess(command, 0 if command[1] == "image" else 1, "", "")

    monkeypatch.setattr(workers.subprocess, "run", fake)
    workers.build_image()
    assert calls == ["image"]


@needs_jail
def test_nothing_is_imported_from_among_the_submissions(tmp_path):
    """Graded from inside the folder, by the `course` script: a submission named like a module is no module."""
    folder, marks = tmp_path / "class", tmp_path / "marks"
    folder.mkdir()
    marks.mkdir()
    names = ["multiprocessing", "struct", "signal", "socket", "torch", "typer", "nbformat", "IPython", "sitecustomize"]
    for name in names:
        (folder / f"{name}.py").write_text(f"open({str(marks / name)!r}, 'w').close()\n")
    (folder / "ann.py").write_text(PLAIN)
    script = tmp_path / "course"
    script.write_text("import sys\nfrom course_lib.cli import main\nif __name__ == '__main__':\n    sys.exit(main())\n")
    done = subprocess.run(
        [sys.executable, script, "grade", ".", "--out", "../out", "--exercise", "softmax", "--timeout", "2"],
        cwd=folder, env=os.environ | {"PYTHONPATH": str(ROOT)}, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert list(marks.iterdir()) == []
    records = by_name(tmp_path / "out")
    assert records["ann.py"]["points"] == 10 and len(records) == len(names) + 1


@needs_jail
def test_a_fault_of_the_grader_is_no_fault_of_the_submission(small, tmp_path, capfd):
    """It is said, it does not stop the others, and it is tried again the next time."""
    from tests.battery import faulty

    for _ in range(2):
        done = batch.grade(small, tmp_path / "out", faulty.bank, faulty.about, isolation="jail")
        assert done.failures == ["ann.py", "bob.py"] and done.judged == 2
        assert "ZeroDivisionError in the grader" in done.records[0]["flags"][0]
    capfd.readouterr()
