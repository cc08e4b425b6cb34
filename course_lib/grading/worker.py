"""What runs around a submission: a warm template, and in a child of it the submission itself.

The template has imported PyTorch and waits. For each submission it forks a keeper, which forks the worker: the
worker moves into the jail and then runs the cells and answers questions; the keeper, which runs nothing of the
submission's, watches its memory and ends it, with all that it started, when it is told to.

Nothing here knows an expected value, a misconception or a mark. The worker is told the source of an observer, its
inputs, and the name of what to call; what it answers is data that the judge reads with `wire.decode`.
"""

import contextlib
import importlib
import json
import linecache
import os
import random
import resource
import select
import shutil
import signal
import socket
import sys
import tempfile
import time
import traceback
from collections.abc import Iterator
from types import ModuleType, SimpleNamespace

from course_lib.grading import jail

WARM = (
    "numpy", "torch.nn.functional", "matplotlib.pyplot", "IPython.display",
    "course_lib.transformer", "course_lib.parts", "course_lib.recording",
)  # fmt: skip
# Nobody looks at pictures here, and a worker checks nothing itself.
SILENT = ("course_lib.views", "course_lib.workshop")
TICK = 0.1
GRACE = 2.0  # a submission that ignores its alarm is ended this much later


def template(control: int, settings: dict) -> None:
    """Get ready, say so, and start a keeper for each pair of sockets that comes; until the grader is gone.

    Args:
        control: a Unix socket. The answer is b"ready" or, in one line, why the jail cannot be built.
        settings: "jail" (bool), "root" and "plan" for `jail.open_house`, "memory" in bytes, "cpu_seconds".
    """
    connection = socket.socket(fileno=control)
    try:
        if settings["jail"]:
            jail.open_house(settings["root"], settings["plan"])
        warm_up()
        uid = jail.FIRST_UID + os.getpid()
        settings["uid"] = uid if settings["jail"] or _readable_by(uid) else os.geteuid()
    except Exception as error:
        connection.send(" ".join(f"{type(error).__name__}: {error}".split())[:500].encode())
        return
    jail.die_with_parent()
    connection.send(b"ready")
    while True:
        message, descriptors, _, _ = socket.recv_fds(connection, 16, 2)
        with contextlib.suppress(ChildProcessError):
            while os.waitpid(-1, 0 if not message else os.WNOHANG)[0]:
                pass
        if not message:
            return
        channel, leash = descriptors
        if os.fork() == 0:
            code = 1
            try:
                connection.close()
                keep(channel, leash, settings)
                code = 0
            finally:
                os._exit(code)
        os.close(channel)
        os.close(leash)


def warm_up() -> None:
    """Import what submissions import; put the modules that show and check out of action."""
    import torch

    torch.set_num_threads(1)
    for name in SILENT:
        _install(Silent(name))
    sys.meta_path.insert(0, SilentFinder())
    for name in WARM:
        with contextlib.suppress(ImportError):
            importlib.import_module(name)
    from course_lib.grading import in_process, sources, wire  # noqa: F401  hidden from the worker later
    from course_lib.parts import Parts

    sys.modules["course_lib.workshop"].my_parts = Parts


def keep(channel: int, leash: int, settings: dict) -> None:
    """Start the worker and watch it until it ends or the leash is let go; then say how it ended."""
    jailed, uid, root = settings["jail"], settings["uid"], settings["root"]
    proc = f"{root}/proc"
    if jailed:
        jail.new_room()
    else:
        jail.adopt_orphans()
        root = tempfile.mkdtemp(dir=root)
        if os.geteuid() == 0:
            os.chown(root, uid, uid)
    worker = os.fork()
    if worker == 0:
        try:
            os.close(leash)
            jail.die_with_parent()
            channel = _only(channel)
            if jailed:
                jail.move_in(root, settings["memory"], settings["cpu_seconds"], uid)
            else:
                _settle(root, settings["memory"], settings["cpu_seconds"], uid)
            serve(channel, channel)
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(70)
    os.close(channel)
    os.write(leash, f"{worker}\n".encode())
    told, ended = {"memory": False}, os.pidfd_open(worker) if hasattr(os, "pidfd_open") else None
    while os.waitid(os.P_PID, worker, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
        if leash in select.select([fd for fd in (leash, ended) if fd is not None], [], [], TICK)[0]:
            break
        with contextlib.suppress(OSError):
            if jailed and (jail.memory_of(proc) > settings["memory"] + (1 << 30) or jail.machine_is_short_of_memory()):
                told["memory"] = True
                break
    with contextlib.suppress(OSError):
        told["left"] = sum(name.isdigit() and name != "1" for name in os.listdir(proc)) if jailed else 0
    os.kill(worker, signal.SIGKILL)
    told["status"] = os.waitstatus_to_exitcode(os.waitpid(worker, 0)[1])
    if not jailed:
        told["left"] = _end_orphans()
        shutil.rmtree(root, ignore_errors=True)
    with contextlib.suppress(OSError):
        os.write(leash, json.dumps(told).encode())


def in_container() -> None:
    """The worker as the program of a container: its channel is what was standard input and output."""
    reading, writing = os.dup(0), os.dup(1)
    null = os.open(os.devnull, os.O_RDWR)
    for number in (0, 1, 2):
        os.dup2(null, number)
    warm_up()
    serve(reading, writing)


def serve(reading: int, writing: int) -> None:
    """Run the cells that come first; then answer questions until nobody asks any more."""
    import numpy
    import torch

    from course_lib.grading import in_process, wire
    from course_lib.grading.sources import Cell
    from course_lib.grading.values import Observation

    channel, myself = wire.Channel(reading, writing), os.getpid()
    torch.manual_seed(0)
    random.seed(0)
    numpy.random.seed(0)
    order = channel.receive()
    cells = [Cell(name, source, error=error) for name, source, error in json.loads(order["cells"].numpy().tobytes())]

    def announced() -> Iterator[Cell]:
        until = time.process_time() + order["total"]
        for i, cell in enumerate(cells):
            late = "it was not run: the time for running all cells is over"
            late = late if time.process_time() > until else cell.error
            channel.send({"cell": i})
            yield Cell(cell.name, cell.source, error=late)

    loaded = in_process.load(announced(), seconds=order["seconds"], limit=in_process.work_limit)
    channel.send({"flags": list(loaded.flags)})
    while True:
        question = channel.receive()
        name = question["name"]
        if name not in loaded.namespace:
            seen = Observation("missing", message=f"not attempted: `{name}` is not defined")
        elif in_process.is_librarys(the_librarys(question["reference"]), loaded.namespace[name]):
            seen = Observation("library")
        else:
            check = SimpleNamespace(observe=_observer(question["observe"], question["function"]))
            seen = in_process.observe_object(
                loaded.namespace[name], check, question["inputs"], question["seconds"], in_process.work_limit
            )
        if os.getpid() != myself:  # a copy that the submission has made of itself: it has nothing to say
            os._exit(0)
        answer = {
            "number": question["number"],
            "status": seen.status,
            "value": seen.value,
            "message": seen.message,
            "where": seen.where,
        }
        try:
            channel.send(answer)
        except wire.WireError as error:
            if isinstance(error, wire.Closed):
                return
            message = f"ValueError: the result cannot be compared: {error}"
            channel.send({**answer, "status": "raised", "value": None, "message": message, "where": ""})


def the_librarys(reference: list) -> object:
    """The library's own of an exercise, by its module and name; None where a worker cannot see it (empty)."""
    return getattr(importlib.import_module(reference[0]), reference[1], None) if reference else None


class Silence:
    """Takes part in everything and does nothing: stands for a picture, a widget, a check."""

    def __call__(self, *arguments, **options):
        return self

    def __getattr__(self, name: str):
        if name.startswith("__"):
            raise AttributeError(name)
        return self

    def __iter__(self):
        return iter(())

    def __enter__(self):
        return self

    def __exit__(self, *error):
        return False

    def __repr__(self) -> str:
        return ""


class Silent(ModuleType):
    """A module in which every name is Silence."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.__path__ = []

    def __getattr__(self, name: str):
        if name.startswith("__"):
            raise AttributeError(name)
        return Silence()


class SilentFinder:
    """Finds the modules inside silent packages: they are silent too."""

    @staticmethod
    def find_spec(name: str, path=None, target=None):
        if not name.startswith(tuple(f"{silent}." for silent in SILENT)):
            return None
        return importlib.machinery.ModuleSpec(name, SilentFinder, is_package=True)

    @staticmethod
    def create_module(spec) -> ModuleType:
        return Silent(spec.name)

    @staticmethod
    def exec_module(module: ModuleType) -> None:
        pass


def _install(module: ModuleType) -> None:
    sys.modules[module.__name__] = module
    package, _, name = module.__name__.rpartition(".")
    setattr(importlib.import_module(package), name, module)


def _observer(source: str, name: str):
    """The observer that a source text defines."""
    import math

    import torch

    from course_lib.grading import in_process

    filename = f"{in_process.OBSERVER}{abs(hash(source))}>"
    linecache.cache[filename] = (len(source), None, source.splitlines(keepends=True), filename)
    namespace = {"torch": torch, "math": math}
    exec(compile(source, filename, "exec"), namespace)
    return namespace[name]


def _only(channel: int) -> int:
    """Close every file but the channel, which becomes number 3; what is printed goes nowhere."""
    null = os.open(os.devnull, os.O_RDWR)
    for number in (0, 1, 2):
        os.dup2(null, number)
    if channel != 3:
        os.dup2(channel, 3, inheritable=False)
    os.closerange(4, resource.getrlimit(resource.RLIMIT_NOFILE)[0] if not jail.LINUX else 65536)
    return 3


def _settle(root: str, memory: int, cpu_seconds: int, uid: int) -> None:
    """Without a jail: a session and a folder of one's own, the limits, and another user where that is possible."""
    os.setsid()
    jail.limit(memory, cpu_seconds)
    os.chdir(root)
    os.environ["TMPDIR"] = os.environ["HOME"] = root
    jail.become_nobody(uid)


def _readable_by(uid: int) -> bool:
    """Whether another user could read Python and the course; without that, a submission could import nothing."""
    child = os.fork()
    if child == 0:
        code = 1
        with contextlib.suppress(Exception):
            jail.become_nobody(uid)
            for name in ("os", "torch", "course_lib.parts"):
                open(sys.modules[name].__file__, "rb").close()
            code = 0
        os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def _end_orphans() -> int:
    """Without a jail: end whatever the worker has left behind; how many there were."""
    children = f"/proc/self/task/{os.getpid()}/children"
    found, until = set(), time.monotonic() + 5
    while time.monotonic() < until:
        try:
            with open(children) as file:
                now = [int(number) for number in file.read().split()]
        except OSError:
            return len(found)
        if not now:
            break
        for number in now:
            found.add(number)
            with contextlib.suppress(OSError):
                os.kill(number, signal.SIGKILL)
                os.waitpid(number, 0)
    return len(found)
