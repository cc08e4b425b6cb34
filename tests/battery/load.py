"""A load test: 200 submissions, every tenth hostile. `python -m tests.battery.load --jobs 2`; it takes minutes.

Prints submissions a minute, the processor time of one, and the most memory that all processes took together; fails if
anything was lost, or if an honest submission did not get its marks. With --overhead: what the jail costs, measured with
submissions that run by turns in a jail and as a plain process.
"""

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from itertools import cycle
from pathlib import Path

from course_lib.exercises import chapter_exercises
from course_lib.grading import sources, workers
from course_lib.grading.judge import judge
from tests.battery.correct import CORRECT
from tests.battery.hostile import ATTACKS

ROOT = Path(__file__).resolve().parents[2]


def fill(folder: Path, count: int, every: int, only: str | None = None) -> dict[str, bool]:
    """Write the submissions; for each whether it is honest."""
    quick = {name: text for name, text in CORRECT.items() if name != "waits.ipynb" and only in (None, name)}
    attacks = list(ATTACKS.items())
    spread = attacks[:: max(len(attacks) * every // count, 1)]  # of every kind some
    honest, hostile = cycle(quick.items()), cycle(spread)
    kinds = {}
    for number in range(count):
        bad = bool(every) and number % every == every - 1
        name, source = next(hostile) if bad else next(honest)
        source = source[0] if bad else source
        name = f"{number:03} {name}"
        (folder / name).write_bytes(source.encode())
        kinds[name] = not bad
    return kinds


def tree_memory(pid: int) -> int:
    """Bytes that a process and its descendants use, shared pages counted once."""
    waiting, total = [pid], 0
    while waiting:
        one = waiting.pop()
        try:
            lines = Path(f"/proc/{one}/smaps_rollup").read_text().splitlines()
            total += next(int(line.split()[1]) << 10 for line in lines if line.startswith("Pss:"))
            waiting += [int(child) for child in Path(f"/proc/{one}/task/{one}/children").read_text().split()]
        except (OSError, StopIteration):
            continue
    return total


def overhead(rounds: int = 15) -> None:
    """Seconds for a whole submission, from the fork to the last check, by turns in a jail and as a plain process."""
    limits, seconds = workers.Limits(), {"jail": [], "process": []}
    templates = {level: workers.Template(level, limits) for level in seconds}
    cells = sources.from_history([CORRECT["plain.py"]])
    for _ in range(rounds + 1):
        for level, template in templates.items():
            started = time.monotonic()
            running = workers.Submitted(template, cells, limits)
            results = [judge(exercise, running.observe(exercise), 1) for exercise in chapter_exercises(3)]
            running.close()
            seconds[level].append(time.monotonic() - started)
            assert all(result.passed for result in results)
    for template in templates.values():
        template.close()
    jail, plain = (statistics.median(seconds[level][1:]) for level in ("jail", "process"))  # the first is cold
    print(f"median of {rounds}: jail {jail:.3f} s, plain process {plain:.3f} s, ratio {jail / plain:.2f}")


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--count", type=int, default=200)
    options.add_argument("--hostile-every", type=int, default=10, help="0: none")
    options.add_argument("--jobs", type=int, default=2)
    options.add_argument("--isolation", default="auto")
    options.add_argument("--only", help="the same honest submission every time, plain.py say")
    options.add_argument("--overhead", action="store_true")
    given = options.parse_args()
    if given.overhead:
        overhead()
        return
    with tempfile.TemporaryDirectory() as folder:
        submissions, out = Path(folder, "submissions"), Path(folder, "out")
        submissions.mkdir()
        kinds = fill(submissions, given.count, given.hostile_every, given.only)
        command = [sys.executable, "-m", "course_lib.cli", "grade", submissions, "--out", out, "--seed", "1"]
        command += ["--jobs", str(given.jobs), "--isolation", given.isolation]
        before, started, load = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic(), os.getloadavg()[0]
        process = subprocess.Popen(command, cwd=ROOT)
        peaks = [0]

        def watch() -> None:
            while process.poll() is None:
                peaks.append(tree_memory(process.pid))
                time.sleep(1)

        watcher = threading.Thread(target=watch)
        watcher.start()
        status = process.wait()
        watcher.join()
        seconds, after = time.monotonic() - started, resource.getrusage(resource.RUSAGE_CHILDREN)
        records = json.loads((out / "grades.json").read_text("utf-8"))["submissions"]
        found = {record["submission"]: record for record in records}
        work = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        size = sum(path.stat().st_size for path in out.rglob("*.html"))
        slowest = max(json.loads(path.read_text())["seconds"] for path in (out / "judged").iterdir())
    print(
        f"{given.count} submissions, {sum(not honest for honest in kinds.values())} of them hostile, "
        f"{given.jobs} jobs, isolation {given.isolation}\n"
        f"{seconds:.0f} s: {60 * given.count / seconds:.0f} a minute (load of the machine before: {load:.1f})\n"
        f"processor time: {work / given.count:.2f} s a submission\n"
        f"slowest: {slowest:.1f} s; memory of all processes: {max(peaks) / (1 << 30):.2f} GiB\n"
        f"pages: {size / (1 << 20):.1f} MiB"
    )
    assert status == 0 and found.keys() == kinds.keys(), "something was lost"
    lost = [name for name, honest in kinds.items() if honest and found[name]["points"] != found[name]["max_points"]]
    assert not lost, f"honest submissions that did not get their marks: {lost}"


if __name__ == "__main__":
    main()
