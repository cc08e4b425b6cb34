"""How long the slider views take to redraw on this machine: a table of medians for every control of every view.

    python -m tests.redraw [VIEW …] [--browser]

A control is moved through its range, and each redraw is timed in Python: computing, drawing all pictures and encoding
them. With `--browser` the sliders stand in a real JupyterLab instead and are moved by the keyboard: the time from the
key press to the last picture on the page. What takes longer than the design's 100 ms (median) is marked.
"""

import argparse
import json
import statistics
import tempfile
import time
from pathlib import Path

import nbformat
from nbformat.v4 import new_code_cell, new_notebook

from tests.browser import jupyter_lab, notebook_page
from tests.test_views_figures import VIEWS, stops

LIMIT = 0.1  # seconds
MOVES = 12
WATCH = """area => {
    const seen = window.redraws = {pressed: 0, last: 0};
    area.addEventListener('keydown', () => { seen.pressed = performance.now(); seen.last = 0; }, true);
    const note = () => { seen.last = performance.now(); };
    const watcher = new MutationObserver(note);
    for (const part of area.querySelectorAll('img, .widget-html'))
        watcher.observe(part, {attributes: true, childList: true, characterData: true, subtree: true});
}"""
PAST = "() => [window.redraws.last, performance.now() - Math.max(window.redraws.last, window.redraws.pressed)]"


def in_python(name: str) -> dict[str, list[float]]:
    """Seconds of each redraw, by control."""
    view, times = VIEWS[name](predict=False), {}
    for control_name, control in view.controls.items():
        start, values = control.value, stops(control, MOVES)
        for value in [*values, start]:
            if control.value == value:
                continue
            began = time.perf_counter()
            control.value = value
            times.setdefault(control_name, []).append(time.perf_counter() - began)
    return times


def in_browser(names: list[str]) -> dict[str, dict[str, list[float]]]:
    """Seconds from the press of an arrow key to the last picture, by view and slider."""
    found = {}
    with tempfile.TemporaryDirectory() as folder:
        make = "from tests.test_views_figures import VIEWS\nVIEWS[{!r}](predict=False)"
        cells = [new_code_cell(make.format(name)) for name in names]
        kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
        nbformat.write(new_notebook(cells=cells, metadata=kernel), Path(folder) / "views.ipynb")
        with jupyter_lab(Path(folder)) as lab, notebook_page(lab) as nb:
            nb.open("views.ipynb")
            assert nb.run_all_cells() == []
            for name, cell in zip(names, nb.cells()):
                cell.evaluate(WATCH)
                found[name] = {}
                for slider in cell.locator(".widget-slider:visible").all():
                    label = slider.locator(".widget-label").inner_text()
                    found[name][label] = _presses(nb.page, slider.locator(".noUi-handle"))
    return found


def _presses(page, handle) -> list[float]:
    """The first half of the moves to the right, the other back again: so that the slider is not at its end."""
    times = []
    for move in range(MOVES):
        handle.press("ArrowRight" if move < MOVES // 2 else "ArrowLeft")
        waited, quiet = 0, 0.0
        while waited < 30 and quiet < 400:
            page.wait_for_timeout(100)
            waited += 1
            last, quiet = page.evaluate(PAST)
        pressed = page.evaluate("() => window.redraws.pressed")
        if last > pressed:
            times.append((last - pressed) / 1000)
    return times


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("view", nargs="*", help="only these views")
    parser.add_argument("--browser", action="store_true", help="from key press to picture, in JupyterLab")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all times there, too")
    options = parser.parse_args()
    names = options.view or list(VIEWS)
    times = in_browser(names) if options.browser else {name: in_python(name) for name in names}
    print(f"{'view':24} {'control':18} {'median':>9} {'longest':>9}  moves")
    for name in names:
        for control, seconds in times[name].items():
            if seconds:
                middle = statistics.median(seconds)
                mark = "  over 100 ms" if middle > LIMIT else ""
                columns = f"{1000 * middle:6.0f} ms {1000 * max(seconds):6.0f} ms  {len(seconds):5}"
                print(f"{name:24} {control:18} {columns}{mark}")
    if options.json:
        options.json.write_text(json.dumps(times, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
