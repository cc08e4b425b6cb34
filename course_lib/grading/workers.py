"""The grader's side of the workers: starts them at a level of isolation, asks, and survives whatever they do.

Levels: "jail" (Linux: namespaces), "docker" (a container without network), "process" (limits only; when it is forced).
"""

import contextlib
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
import textwrap
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import torch

from course_lib.errors import CourseError
from course_lib.grading import jail, wire
from course_lib.grading.exercise import Check, Exercise
from course_lib.grading.in_process import PATIENCE
from course_lib.grading.sources import Cell
from course_lib.grading.values import Observation
from course_lib.grading.worker import GRACE

PACKAGE = Path(__file__).resolve().parents[1]
NEEDED = ("__init__", "exercise", "in_process", "jail", "sources", "values", "wire", "worker")  # of course_lib/grading
LEVELS = ("jail", "docker", "process")
IMAGE = "transformer-workshop-worker"
ENVIRONMENT = {
    "PATH": "/usr/local/bin:/usr/bin:/bin",
    "HOME": "/tmp",
    "LANG": "C.UTF-8",
    "PYTHONHASHSEED": "0",
    "PYTHONDONTWRITEBYTECODE": "1",
    "MPLBACKEND": "Agg",
    **{f"{name}_NUM_THREADS": "1" for name in ("OMP", "MKL", "OPENBLAS", "NUMEXPR", "VECLIB_MAXIMUM")},
}
START_SECONDS = 120.0
TEMPLATE_SECONDS = 600.0  # a cold start on a busy machine; no submission has a part in it
RESTARTS = 4
ADDRESS = re.compile(r" at 0x[0-9a-f]+")  # differs from run to run
STATUSES = ("returned", "raised", "timeout", "missing", "library")


@dataclass(frozen=True)
class Limits:
    """What a submission may take.

    Args:
        call: seconds of work for each call of an observer; the other times follow from it. Waiting is cheaper:
            `in_process.PATIENCE` times as long on the clock.
        memory: GiB.
    """

    call: float = 5.0
    memory: float = 2.0

    @property
    def cell(self) -> float:
        """Seconds for each cell: a training cell is stopped here, and costs only itself."""
        return 4 * self.call

    @property
    def load(self) -> float:
        """Seconds for all cells; when they are over, the rest is not run."""
        return 8 * self.call

    @property
    def total(self) -> float:
        """Seconds on the clock for the whole submission."""
        return 40 * self.call


class Template:
    """A warm process from which workers are made: in a jail, or not isolated."""

    def __init__(self, level: str, limits: Limits, hidden: Sequence[Path] = ()) -> None:
        self.root = tempfile.mkdtemp(prefix="course-jail-")
        os.chmod(self.root, 0o711)  # another user goes through it, where there is no jail
        paths = [path for path in sys.path if path and os.path.exists(path)]
        packages = [path for path in paths if "site-packages" in path or "dist-packages" in path]
        courses = [f"{path}/course_lib" for path in {str(PACKAGE.parent), *paths}]  # an installed one besides this
        secret = [f"{course}/{room}" for course in courses for room in ("exercises", "grading")]
        checkout = [] if str(PACKAGE.parent) in packages else [str(PACKAGE.parent)]  # with its tests and the rest
        settings = {
            "jail": level == "jail",
            "root": self.root,
            "plan": [
                ("show", [*jail.SYSTEM, sys.prefix, sys.base_prefix]),
                ("hide", checkout),
                ("show", [sys.prefix, *packages, str(PACKAGE)]),
                ("hide", [*secret, *(str(path) for path in hidden)]),
            ],
            "memory": int(limits.memory * (1 << 30)),
            "cpu_seconds": int(limits.total) + 10,
        }
        paths = [str(PACKAGE.parent), *(path for path in paths if path != str(PACKAGE.parent))]
        self.settings, self.paths = settings, paths
        self._start()

    def _start(self) -> None:
        here, there = socket.socketpair()
        program = (
            "import json, sys; control, settings, sys.path[:] = json.loads(sys.argv[1]); "
            "from course_lib.grading.worker import template; template(control, settings)"
        )
        arguments = json.dumps([there.fileno(), self.settings, self.paths])
        self.process = subprocess.Popen(
            [sys.executable, "-s", "-P", "-B", "-c", program, arguments],
            pass_fds=[there.fileno()], env=ENVIRONMENT, start_new_session=True, cwd=self.root,
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        there.close()
        self.control = here
        self.ready = False

    def worker(self) -> "Process":
        """A new worker, which has run nothing of anybody's."""
        if self.process.poll() is not None and self.ready:  # something has ended it: the machine out of memory, say
            self.control.close()
            self._start()
        if not self.ready:
            self._wait_until_ready()
        channel, inside = socket.socketpair()
        leash, outside = socket.socketpair()
        with inside, outside:
            socket.send_fds(self.control, [b"go"], [inside.fileno(), outside.fileno()])
        return Process(wire.Channel(channel.fileno(), channel.detach()), leash)

    def close(self) -> None:
        self.control.close()
        try:
            self.process.wait(2)
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
        with contextlib.suppress(OSError):
            os.rmdir(self.root)

    def _wait_until_ready(self) -> None:
        self.control.settimeout(TEMPLATE_SECONDS)
        try:
            said = self.control.recv(1000)
        except TimeoutError:
            said = b"it did not start in time"
        if said != b"ready":
            raise CourseError(f"the worker cannot be started: {said.decode(errors='replace') or 'it ended at once'}")
        self.control.settimeout(None)
        self.ready = True


class Process:
    """One worker: its channel, and the leash that holds it."""

    def __init__(self, channel: wire.Channel, leash: socket.socket) -> None:
        self.channel, self.leash = channel, leash
        self.leash.settimeout(START_SECONDS)
        self.pid = 0

    def work(self) -> tuple[float, bool]:
        """Seconds of work so far, and whether it is waiting now; as far as the machine tells."""
        try:
            if not self.pid:
                self.pid = int(self._line())
            fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
            return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK"), fields[0] == "S"
        except (OSError, ValueError):
            return 0.0, False

    def _line(self) -> bytes:
        """The first line of what the keeper says: the worker's process id."""
        line = b""
        while not line.endswith(b"\n") and (part := self.leash.recv(1)):
            line += part
        return line

    def end(self) -> dict:
        """End the worker and all that it started; how it ended: "status", "memory" and "left"."""
        with contextlib.suppress(OSError):
            self.leash.shutdown(socket.SHUT_WR)
        said = b""
        with contextlib.suppress(OSError):
            while part := self.leash.recv(1000):
                said += part
        self.leash.close()
        self.channel.close()
        try:
            return json.loads(said.splitlines()[-1])
        except (ValueError, IndexError):
            return {}


class DockerTemplate:
    """Makes a container without network for each worker; nothing stays warm, so it is slower."""

    def __init__(self, level: str, limits: Limits, hidden: Sequence[Path] = ()) -> None:
        self.limits = limits
        self.folder = tempfile.mkdtemp(prefix="course-docker-")
        copy_for_worker(Path(self.folder))

    def worker(self) -> "Container":
        name = f"course-worker-{os.getpid()}-{time.monotonic_ns()}"
        here, there = socket.socketpair()
        with there:
            process = subprocess.Popen(
                docker_command(name, self.folder, self.limits), stdin=there, stdout=there, stderr=subprocess.DEVNULL
            )
        return Container(wire.Channel(here.fileno(), here.detach()), process, name)

    def close(self) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)


class Container:
    """One worker in a container."""

    def __init__(self, channel: wire.Channel, process: subprocess.Popen, name: str) -> None:
        self.channel, self.process, self.name = channel, process, name

    def work(self) -> tuple[float, bool]:
        return 0.0, False

    def end(self) -> dict:
        subprocess.run(["docker", "kill", self.name], capture_output=True, timeout=60, check=False)
        self.channel.close()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(20)
        self.process.kill()
        status = self.process.wait()
        return {"status": status - 256 if status > 128 else status, "memory": status == 137, "left": 0}


def docker_command(name: str, folder: str, limits: Limits) -> list[str]:
    """How a container is started: no network, no capabilities, nothing to write but /tmp, nothing to see but the
    course."""
    memory = f"{int((limits.memory + 1) * 1024)}m"
    program = (
        "import sys; sys.path.insert(0, '/course'); from course_lib.grading.worker import in_container; in_container()"
    )
    environment = [part for name, value in ENVIRONMENT.items() for part in ("--env", f"{name}={value}")]
    return [
        "docker", "run", "--rm", "--interactive", "--name", name, "--network", "none", "--read-only",
        "--cap-drop", "ALL", "--security-opt", "no-new-privileges", "--user", "65534:65534", "--init",
        "--memory", memory, "--memory-swap", memory, "--pids-limit", str(jail.PROCESSES + 8),
        "--ulimit", f"nofile={jail.OPEN_FILES}", "--ulimit", f"fsize={jail.FILE_BYTES}", "--ulimit", "core=0",
        "--ulimit", f"cpu={int(limits.total) + 10}", "--tmpfs", f"/tmp:rw,nosuid,nodev,{jail.TMP_OPTIONS}",
        "--volume", f"{folder}:/course:ro", "--workdir", "/tmp", *environment,
        IMAGE, "python", "-s", "-P", "-B", "-c", program,
    ]  # fmt: skip


DOCKERFILE = """\
FROM python:3.12-slim
RUN pip install --no-cache-dir --extra-index-url https://download.pytorch.org/whl/cpu \\
    torch numpy matplotlib nbformat ipython ipywidgets safetensors tokenizers
"""


def copy_for_worker(folder: Path) -> None:
    """The course as a worker may see it: without the exercises and the judge."""

    def ignored(place: str, names: list[str]) -> list[str]:
        if Path(place) == PACKAGE:
            return ["exercises", "__pycache__"]
        if Path(place) == PACKAGE / "grading":
            return [name for name in names if name.removesuffix(".py") not in NEEDED]
        return ["__pycache__"]

    shutil.copytree(PACKAGE, folder / "course_lib", ignore=ignored)
    folder.chmod(0o755)


def choose_level(wanted: str) -> str:
    """The level to work at.

    Raises:
        CourseError: it does not work here, or, for "auto", neither jail nor Docker does.
    """
    if wanted == "process":
        if os.name != "posix":
            raise CourseError("grading needs Linux, macOS or, on Windows, the Windows Subsystem for Linux")
        return wanted
    problems = {level: problem_with(level) for level in (LEVELS[:2] if wanted == "auto" else [wanted])}
    for level, problem in problems.items():
        if not problem:
            return level
    reasons = "; ".join(f"{level}: {problem}" for level, problem in problems.items())
    advice = "--isolation process grades without isolation, only for people you trust"
    raise CourseError(f"submissions cannot be isolated here ({reasons}); {advice}")


@cache
def problem_with(level: str) -> str:
    """Why a level does not work on this machine; an empty string where it does."""
    if level == "jail":
        if not jail.LINUX:
            return "only on Linux"
        with tempfile.TemporaryDirectory(prefix="course-jail-") as folder:
            program = f"from course_lib.grading import jail; jail.try_out({folder!r})"
            environment = {**ENVIRONMENT, "PYTHONPATH": str(PACKAGE.parent)}
            done = subprocess.run(
                [sys.executable, "-s", "-P", "-c", program], capture_output=True, text=True, env=environment, timeout=60
            )
        return "" if done.returncode == 0 else (done.stderr.strip().splitlines() or ["it does not start"])[-1]
    if shutil.which("docker") is None:
        return "no docker command"
    try:
        info = subprocess.run(["docker", "info"], capture_output=True, timeout=30, check=False)
    except subprocess.TimeoutExpired:
        return "the docker daemon does not answer"
    return "" if info.returncode == 0 else "the docker daemon does not run"


def build_image() -> None:
    """Build the image that the containers are made from, where it is missing; this needs the network once."""
    found = subprocess.run(["docker", "image", "inspect", IMAGE], capture_output=True, check=False)
    if found.returncode == 0:
        return
    done = subprocess.run(
        ["docker", "build", "-t", IMAGE, "-"], input=DOCKERFILE, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise CourseError(f"docker cannot build {IMAGE}: {done.stderr.strip().splitlines()[-1] if done.stderr else ''}")


class Submitted:
    """A submission in its workers: asks the questions of the judge, and starts another worker when one is lost.

    `flags` say which cells went wrong, and what it left behind.
    """

    def __init__(self, template: Template | DockerTemplate, cells: Sequence[Cell], limits: Limits) -> None:
        self.template, self.cells, self.limits = template, list(cells), limits
        self.cell_flags: list[str] = []
        self.left_behind = 0
        self.until = time.monotonic() + limits.total
        self.starts = 0
        self.asked = 0
        self.process = None
        self.notes: dict[int, str] = {}  # cells that ended a worker
        self.over = ""  # why nothing more is asked
        self._start()

    def observe(self, exercise: Exercise):
        """What `judge` asks about one exercise."""
        strikes = 0

        def ask(check: Check, inputs: dict) -> Observation:
            nonlocal strikes
            if strikes >= 2:
                return Observation("timeout", message="not called again: it did not return twice before")
            seen = self._ask(exercise, check, inputs)
            strikes += seen.status == "timeout"
            return seen

        return ask

    def close(self) -> None:
        if self.process is not None:
            self._end()

    @property
    def flags(self) -> list[str]:
        left = self.left_behind
        return self.cell_flags + ([f"processes left behind, and ended: {left}"] if left else [])

    def _time_left(self) -> float:
        """Seconds on the clock for the submission as a whole; when they are over, so is everything."""
        left = self.until - time.monotonic()
        if left <= 0:
            self.over = self.over or f"the submission as a whole took longer than {self.limits.total:g} s"
        return max(left, 0.0)

    def _receive(self, seconds: float, max_body: int = wire.MAX_BODY) -> object:
        """What the worker says within so many seconds of work; one that only waits is given no more time than that."""
        before, started, waited = self.process.work()[0], time.monotonic(), 0
        last = before

        def given_up() -> bool:
            nonlocal last, waited
            work, waits = self.process.work()
            waited = waited + 1 if waits and work == last else 0
            last = work
            longer = time.monotonic() - started > seconds + GRACE
            return work - before > seconds + GRACE or (longer and waited >= 4)

        left = self._time_left()
        return self.process.channel.receive(min(PATIENCE * seconds, left) + GRACE, max_body, given_up)

    def _ask(self, exercise: Exercise, check: Check, inputs: dict) -> Observation:
        if self.process is None and not self.over:
            self._start()
        left = self._time_left()
        if self.over:
            self.close()
            return Observation("timeout" if "took longer" in self.over else "raised", message=self.over)
        seconds = min(self.limits.call, left)
        self.asked += 1
        question = {
            "number": self.asked,
            "name": exercise.id,
            "reference": reference(exercise),
            "observe": observer_source(check),
            "function": check.observe.__name__,
            "inputs": inputs,
            "seconds": seconds,
        }
        try:
            self.process.channel.send(question, START_SECONDS)
            seen = _observation(self._receive(seconds), self.asked)
            return self._undefined(exercise.id) or seen if seen.status == "missing" else seen
        except TimeoutError:
            self._end()
            return Observation("timeout", message=f"stopped after {seconds:g} s: does a loop never end?")
        except wire.WireError as error:
            return Observation("raised", message=self._lost(error))

    def _start(self) -> None:
        """A new worker that has run the cells, but those that ended one before."""
        while not self.over:
            if self.starts > RESTARTS:
                self.over = f"nothing more was asked after {self.starts} workers were lost"
                return
            self.starts += 1
            self.process = self.template.worker()
            if self._load():
                return

    def _load(self) -> bool:
        """Run the cells; False if the worker was lost on the way, and the cell that did it is noted."""
        cells = [[c.name, c.source, self.notes.get(i, c.error)] for i, c in enumerate(self.cells)]
        text = torch.frombuffer(bytearray(json.dumps(cells).encode()), dtype=torch.uint8)  # may be longer than a header
        order = {"cells": text, "seconds": self.limits.cell, "total": self.limits.load}
        current, channel = -1, self.process.channel
        try:
            channel.send(order, START_SECONDS)
            while True:
                match channel.receive(START_SECONDS, 0) if current < 0 else self._receive(self.limits.cell, 0):
                    case {"cell": int(i)} if current < i < len(cells):
                        current = i
                        if not self._time_left():
                            raise TimeoutError
                    case {"flags": list(flags)}:
                        self.cell_flags = [clean(flag, 400) for flag in flags[:200] if isinstance(flag, str)]
                        return True
                    case _:
                        raise wire.WireError("it is not what was asked for")
        except TimeoutError:
            self._end()
            problem = f"it was ended after {self.limits.cell:g} s"
        except wire.WireError as error:
            problem = self._lost(error)
        self._time_left()
        if current < 0:
            self.over = problem
        if self.cells:
            self.notes[max(current, 0)] = problem
            self.cell_flags = [f"{self.cells[i].name}: {note}" for i, note in sorted(self.notes.items())]
        return False

    def _undefined(self, name: str) -> Observation | None:
        """Why a name is not defined, if a cell that should have defined it went wrong."""
        defines = re.compile(rf"^[ \t]*((async )?def|class) +{name}\b|^{name} *=", re.MULTILINE)
        for cell in self.cells:
            flag = next((flag for flag in self.cell_flags if flag.startswith((f"{cell.name}:", f"{cell.name} "))), None)
            if flag and defines.search(cell.source):
                return Observation("raised", message=clean(f"NameError: `{name}` is not defined, because {flag}"))
        return None

    def _lost(self, error: wire.WireError) -> str:
        """End a worker that broke off or answered nonsense; what happened, in a line."""
        told = self._end()
        status = told.get("status")
        if told.get("memory"):
            return "MemoryError: it was ended because it took more memory than it may"
        if not isinstance(error, wire.Closed):
            return f"RuntimeError: its answer cannot be read: {error}"
        if isinstance(status, int) and status < 0 and status != -signal.SIGKILL:
            return f"RuntimeError: the process crashed ({signal.Signals(-status).name})"
        return "SystemExit: the process ended itself before it answered (os._exit, out of memory?)"

    def _end(self) -> dict:
        told = self.process.end()
        self.process = None
        if isinstance(told.get("left"), int):
            self.left_behind += told["left"]
        return told


def reference(exercise: Exercise) -> list[str]:
    """Where the worker finds the library's own, to recognise it; empty if it is not part of the library."""
    module, name = exercise.reference.__module__, exercise.reference.__qualname__
    hidden = module.startswith(("course_lib.exercises", "course_lib.grading"))
    return [] if hidden or not module.startswith("course_lib.") or "." in name else [module, name]


def observer_source(check: Check) -> str:
    """The source text of what a check does with a submission."""
    return textwrap.dedent(inspect.getsource(check.observe))


def clean(text: str, length: int = 300) -> str:
    """Untrusted text in one line of printable characters."""
    return ADDRESS.sub("", "".join(c if c.isprintable() else " " for c in text[:length]))


def _observation(answer: object, number: int) -> Observation:
    match answer:
        case {"number": int(n), "status": str(status), "value": value, "message": str(message), "where": str(where)}:
            if n == number and status in STATUSES:
                return Observation(status, value, clean(message), clean(where, 200))
    raise wire.WireError("it is not what was asked for")
