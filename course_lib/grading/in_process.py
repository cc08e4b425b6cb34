"""Runs a trusted submission in this process: in a notebook the learner's own, at `course check` one's own.

A class of people one does not know is graded elsewhere, isolated; the judge is the same.
"""

import __future__

import contextlib
import io
import linecache
import os
import signal
import sys
import sysconfig
import threading
import time
import traceback
import warnings
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import count
from pathlib import Path
from types import FunctionType, MethodType, ModuleType

import torch

from course_lib.grading.exercise import Check, Exercise
from course_lib.grading.sources import Cell
from course_lib.grading.values import Observation, plain

CALL_SECONDS = 10.0
LOAD_SECONDS = 600.0
PATIENCE = 4
OUTPUT_LIMIT = 20_000
OBSERVER = "<observer "  # how the name of an observer's file begins, where it runs from its source text
NOT_THEIRS = (
    OBSERVER,
    *(
        str(Path(folder)) + os.sep
        for folder in (Path(__file__).parents[1], *map(sysconfig.get_path, ("stdlib", "purelib", "platlib")))
    ),
)
FUTURE_FLAGS = sum(getattr(__future__, name).compiler_flag for name in set(__future__.all_feature_names))
_numbers = count(1)
_loading = threading.local()


Limit = Callable[[float], contextlib.AbstractContextManager]


class OutOfTime(BaseException):
    """Raised in a submission that takes too long; not an Exception, so that `except Exception` does not catch it."""


@dataclass(frozen=True)
class Loaded:
    """What running the cells of a submission gave: the names it defined, and a line for each cell that raised."""

    namespace: dict
    flags: tuple[str, ...]
    output: str


def is_loading() -> bool:
    """Whether a submission's cells are being run right now: `check(...)` in one of them then does nothing."""
    return getattr(_loading, "depth", 0) > 0


def load(
    cells: Iterable[Cell], folder: Path | None = None, seconds: float = LOAD_SECONDS, limit: Limit | None = None
) -> Loaded:
    """Run cells in order in a fresh module; a cell that raises is flagged and costs only itself.

    Args:
        cells: as `sources.read` gives them.
        folder: where the submission lies; it runs there and may import from there.
        seconds: the limit for each cell.
        limit: `time_limit` or `work_limit`.
    """
    limit = limit or time_limit
    module = ModuleType(f"submission_{next(_numbers)}")
    module.__dict__.update(display=lambda *things, **options: None, get_ipython=lambda: None)
    output, flags, future = _Output(), [], 0
    with _quiet(output), _as_module(module), _inside(folder):
        for cell in cells:
            if cell.error:
                flags.append(f"{cell.name}: {cell.error}")
                continue
            filename = f"<{module.__name__} {cell.name}>"
            linecache.cache[filename] = (len(cell.source), None, cell.source.splitlines(keepends=True), filename)
            try:
                with limit(seconds):
                    code = compile(cell.source, filename, "exec", flags=future, dont_inherit=True)
                    future |= code.co_flags & FUTURE_FLAGS
                    exec(code, module.__dict__)
            except OutOfTime:
                flags.append(f"{cell.name} was stopped after {seconds:g} s")
            except (Exception, SystemExit) as error:
                where = _where(error)
                where = "" if where.startswith(f"{cell.name}:") else f" ({where})" * bool(where)
                flags.append(f"{cell.name} raised {one_line(error)}{where}")
    return Loaded(module.__dict__, tuple(flags), output.getvalue())


def observe_object(
    submission: object, check: Check, inputs: dict, seconds: float = CALL_SECONDS, limit: Limit | None = None
) -> Observation:
    """Ask an object in this process one check's question; `limit` is `time_limit` or `work_limit`."""
    try:
        with _quiet(_Output()), (limit or time_limit)(seconds), torch_as_usual():
            return Observation(value=plain(check.observe(submission, inputs)))
    except OutOfTime:
        return Observation("timeout", message=f"stopped after {seconds:g} s: does a loop never end?")
    except (Exception, SystemExit) as error:
        return Observation("raised", message=one_line(error), where=_where(error))


def observer(exercise: Exercise, submission: object) -> Callable[[Check, dict], Observation]:
    """What `judge` asks about an object in this process; the library's own object is recognised and not run."""
    if is_librarys(exercise.reference, submission):
        return lambda check, inputs: Observation("library")
    return partial(observe_object, submission)


def missing(message: str) -> Callable[[Check, dict], Observation]:
    """What `judge` hears where there is nothing to ask."""
    return lambda check, inputs: Observation("missing", message=message)


def is_librarys(own: object, submission: object) -> bool:
    """Whether an object is the library's own, or only wraps it: a partial, a method, a subclass, a copy of its code."""
    for _ in range(20):
        if own is None or submission is own:
            return own is not None
        if isinstance(own, type) and (
            own in submission.__mro__ if isinstance(submission, type) else isinstance(submission, own)
        ):
            return True
        if isinstance(submission, partial):
            submission = submission.func
        elif isinstance(submission, MethodType):
            submission = submission.__func__
        elif isinstance(submission, FunctionType) and "__wrapped__" in submission.__dict__:
            submission = submission.__dict__["__wrapped__"]
        else:
            mine, code = getattr(submission, "__code__", None), getattr(own, "__code__", None)
            # Equal code alone is no proof: the same text at the same line of another file compiles to it.
            return isinstance(submission, FunctionType) and mine == code and mine.co_filename == code.co_filename
    return False


def one_line(error: BaseException) -> str:
    """An error in one line of at most 300 characters: "ValueError: …"."""
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text}"[:300] if text else type(error).__name__


@contextlib.contextmanager
def time_limit(seconds: float) -> Iterator[None]:
    """Raise OutOfTime in the block when it takes longer; only where the system has an alarm, in the main thread."""
    if not hasattr(signal, "setitimer") or threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(signum, frame):
        raise OutOfTime

    before = signal.signal(signal.SIGALRM, stop)
    started = time.monotonic()
    remaining, interval = signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
        if remaining:  # somebody else's alarm, set before ours
            signal.setitimer(signal.ITIMER_REAL, max(remaining - (time.monotonic() - started), 1e-3), interval)


@contextlib.contextmanager
def work_limit(seconds: float) -> Iterator[None]:
    """Raise OutOfTime in the block when it works for longer, or waits for PATIENCE times as long.

    Time in which a busy machine does other things hardly counts, so that marks do not depend on it.
    """

    def stop(signum, frame):
        raise OutOfTime

    before = signal.signal(signal.SIGPROF, stop)
    signal.setitimer(signal.ITIMER_PROF, seconds)
    try:
        with time_limit(PATIENCE * seconds):
            yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, before)


class _Output(io.StringIO):
    """Text that is kept up to a limit."""

    def write(self, text: str) -> int:
        if self.tell() < OUTPUT_LIMIT:
            super().write(text[: OUTPUT_LIMIT - self.tell()])
        return len(text)


@contextlib.contextmanager
def _quiet(output: _Output) -> Iterator[None]:
    with contextlib.redirect_stdout(output), contextlib.redirect_stderr(output), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


@contextlib.contextmanager
def _as_module(module: ModuleType) -> Iterator[None]:
    """While cells run: the module can be found by name, pictures go nowhere, and there is nothing to read."""
    backend, stdin = os.environ.get("MPLBACKEND"), sys.stdin
    os.environ["MPLBACKEND"], sys.stdin = "Agg", io.StringIO()
    sys.modules[module.__name__] = module
    _loading.depth = getattr(_loading, "depth", 0) + 1
    try:
        with torch_as_usual():
            yield
    finally:
        _loading.depth -= 1
        sys.stdin = stdin
        os.environ.pop("MPLBACKEND") if backend is None else os.environ.update(MPLBACKEND=backend)


@contextlib.contextmanager
def _inside(folder: Path | None) -> Iterator[None]:
    if folder is None:
        yield
        return
    sys.path.insert(0, str(folder))
    try:
        with contextlib.chdir(folder):
            yield
    finally:
        with contextlib.suppress(ValueError):
            sys.path.remove(str(folder))


@contextlib.contextmanager
def torch_as_usual() -> Iterator[None]:
    """Gradients on and float32 by default inside; everything as it was afterwards, the random numbers too."""
    dtype = torch.get_default_dtype()
    torch.set_default_dtype(torch.float32)
    try:
        with torch.random.fork_rng(devices=[]), torch.enable_grad():
            yield
    finally:
        torch.set_default_dtype(dtype)


def _where(error: BaseException) -> str:
    """The submission's own line that raised, if it is known."""
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        if frame.line and not frame.filename.startswith(NOT_THEIRS):
            return f"line {frame.lineno}: `{frame.line}`"
    return ""
