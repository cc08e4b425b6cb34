"""How long the views of the chapters take to redraw on this machine: a table of medians, for every control of each.

    python -m tests.redraw [NOTEBOOK …] [--browser] [--json FILE]

Runs the chapters (all, or those named) and moves every control of every view through its range. The processor time of
each redraw is taken: computing, drawing the pictures and encoding them. With `--browser` the chapters run in a real
JupyterLab, and the sliders are moved by the keyboard: the time from the key press to the last picture on the page,
which depends on what else the machine does. What takes longer than the design's 100 ms (median) is marked.
"""

import argparse
import json
import os
import shutil
import statistics
import tempfile
import time
from collections import defaultdict
from pathlib import Path
from unittest.mock import patch

from course_lib.grading import in_process, sources
from course_lib.views.figures import View
from tests.browser import jupyter_lab, notebook_page
from tests.conftest import ROOT
from tests.test_views_figures import stops

LIMIT = 0.1  # seconds
MOVES = 12
WATCH = """area => {
    const seen = window.redraws = {pressed: 0, last: 0};
    area.addEventListener('keydown', () => { seen.pressed = performance.now(); seen.last = 0; }, true);
    const watcher = new MutationObserver(() => { seen.last = performance.now(); });
    for (const part of area.querySelectorAll('img, .widget-html'))
        watcher.observe(part, {attributes: true, childList: true, characterData: true, subtree: true});
}"""
PAST = "() => [window.redraws, performance.now() - Math.max(window.redraws.last, window.redraws.pressed)]"
Times = dict[tuple[str, str], list[float]]  # (view, control) -> seconds of each redraw


def in_python(notebook: Path) -> Times:
    """Redraws of the views that a notebook makes, without a browser."""
    made, make = [], View.__init__

    def remember(view, title, *arguments, **options):
        made.append((title, view))
        make(view, title, *arguments, **options)

    with patch.object(View, "__init__", remember), tempfile.TemporaryDirectory() as home:
        with patch.dict(os.environ, COURSE_HOME=home, COURSE_QUICK="1"):
            in_process.load(sources.read(notebook).cells, seconds=600)
    times = defaultdict(list)
    for title, view in made:
        for name, control in view.controls.items():
            if hasattr(control, "options") or hasattr(control, "min"):
                times[title, name] += list(_moves(control))
    return times


def _moves(control):
    for value in [*stops(control, MOVES), control.value]:
        if control.value != value:
            began = time.process_time()
            control.value = value
            yield time.process_time() - began


def in_browser(notebooks: list[Path]) -> list[Times]:
    """From the press of an arrow key to the last picture, for every slider of the notebooks."""
    found = []
    with tempfile.TemporaryDirectory() as folder:
        for notebook in notebooks:
            shutil.copy(notebook, folder)
        with jupyter_lab(Path(folder)) as lab:
            for notebook in notebooks:
                with notebook_page(lab) as nb:
                    nb.open(notebook.name)
                    nb.run_all_cells()
                    nb.answer_predictions()
                    found.append(_sliders(nb.page))
    return found


def _sliders(page) -> Times:
    times = defaultdict(list)
    for view in page.locator(".workshop-view").all():
        view.evaluate(WATCH)
        title = view.locator(".workshop-title").inner_text()
        for slider in view.locator(".widget-slider:visible").all():
            label, handle = slider.locator(".widget-label").inner_text(), slider.locator(".noUi-handle")
            for move in range(MOVES):  # there, and back again
                handle.press("ArrowRight" if move < MOVES // 2 else "ArrowLeft")
                waited, quiet = 0, 0.0
                while waited < 50 and quiet < 400:
                    page.wait_for_timeout(100)
                    seen, quiet = page.evaluate(PAST)
                    waited += 1
                if seen["last"] > seen["pressed"]:
                    times[title, label].append((seen["last"] - seen["pressed"]) / 1000)
    return times


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("notebook", nargs="*", type=Path, help="only these chapters")
    parser.add_argument("--browser", action="store_true", help="from key press to picture, in JupyterLab")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all times there, too")
    options = parser.parse_args()
    notebooks = options.notebook or sorted((ROOT / "notebooks").glob("*.ipynb"))
    measured = in_browser(notebooks) if options.browser else map(in_python, notebooks)
    everything = []
    for notebook, times in zip(notebooks, measured):
        print(f"\n{notebook.stem:52} {'median':>9} {'longest':>9}  moves", flush=True)
        for (view, control), seconds in times.items():
            if seconds:
                middle, longest = 1000 * statistics.median(seconds), 1000 * max(seconds)
                mark = "  over 100 ms" if middle > 1000 * LIMIT else ""
                print(f"{view[:30]:31} {control:20} {middle:6.0f} ms {longest:6.0f} ms  {len(seconds):5}{mark}")
                everything.append({"notebook": notebook.stem, "view": view, "control": control, "seconds": seconds})
    if options.json:
        options.json.write_text(json.dumps(everything, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
