"""Every notebook in a real JupyterLab, with mouse and keyboard; and `course lab` itself. The network is blocked."""

import os
import re
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Callable
from functools import partial
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook

from course_lib.errors import CourseError
from course_lib.lab import find_notebook, has_screen
from tests.browser import wait_for
from tests.conftest import ROOT

NOTEBOOKS = sorted(f"{path.parent.name}/{path.name}" for path in ROOT.glob("notebooks/*.ipynb"))


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_chapter_works_in_the_browser(lab_page, name):
    """All cells run; sliders move what they belong to; maps answer mouse and keyboard; nothing is wrong on the page."""
    lab_page.open(name)
    assert lab_page.run_all_cells() == []
    assert lab_page.problems() == []
    moved, read = move_every_slider(lab_page), read_every_map(lab_page)
    assert lab_page.problems() == []
    if "/03_" in name:  # the pattern of the other chapters: its widgets are really there and were really moved
        assert moved >= 2 and read >= 2


def move_every_slider(page) -> int:
    """Drag each slider to both sides with the mouse: its output must show something else. The number of sliders."""
    moved = 0
    for area in page.page.locator(".jp-OutputArea-child", has=page.page.locator(".widget-slider")).all():
        for slider in area.locator(".widget-slider").all():
            if not slider.is_visible():
                continue
            label = slider.locator(".widget-label").inner_text()
            before = page.content(area)
            page.drag_slider(slider, to=0.2)
            page.settle(300)
            page.drag_slider(slider, to=0.8)
            wait_for_change(partial(page.content, area), before, f"the slider {label!r} changes nothing")
            moved += 1
    return moved


def read_every_map(page) -> int:
    """Point at two cells of each map in a frame, then press an arrow key: each time another value is read. How many."""
    read = 0
    for frame in page.frames():
        for grid in frame.locator("canvas[tabindex='0'], table[tabindex='0']").all():
            if not grid.is_visible():
                continue
            live = frame.locator("[aria-live]").all_inner_texts
            box = grid.bounding_box()
            clicks = grid.evaluate("grid => grid.tagName") == "TABLE"  # a canvas answers to the mouse alone
            point = partial(page.click if clicks else page.hover, grid)
            point(x=box["width"] * 0.5, y=box["height"] * 0.5)
            page.page.wait_for_timeout(200)
            said = live()
            point(x=box["width"] * 0.9, y=box["height"] * 0.9)
            said = wait_for_change(live, said, f"pointing at another cell changes nothing: {said!r}")
            grid.focus()
            page.page.keyboard.press("ArrowLeft")
            wait_for_change(live, said, f"the arrow key changes nothing: {said!r}")
            read += 1
    return read


def wait_for_change(look: Callable[[], object], before: object, otherwise: str) -> object:
    """Wait until `look()` gives something else than `before`, and return it."""
    wait_for(lambda: look() != before, 10, otherwise)
    return look()


BROKEN_CELLS = {
    "script error: nope is not defined": "frame('<canvas></canvas><script>nope()</script>')",
    "empty frame in an output": "frame('<p>no picture</p>')",
    "outside request: https://example.com/x.png": "HTML('<img src=\"https://example.com/x.png\">')",
    "error in a widget": "import ipywidgets\ndef fail(a): raise ValueError(a)\nipywidgets.interactive(fail, a='x')",
    "error in a view: no": "import ipywidgets\nipywidgets.HTML('<p class=\"workshop-error\" role=\"alert\">no</p>')",
}


def test_what_is_wrong_on_a_page_is_seen(lab, lab_page):
    """This file's tests can fail: each kind of problem is planted, and found; a slider without effect too."""
    help_cell = (
        "import html\nfrom IPython.display import HTML\n"
        "def frame(body): return HTML(f'<div><iframe srcdoc=\"{html.escape(body)}\"></iframe></div>')"
    )
    idle = "import ipywidgets\nipywidgets.VBox([ipywidgets.IntSlider(description='idle'), ipywidgets.HTML('text')])"
    sources = [help_cell, *BROKEN_CELLS.values(), idle, "1 / 0"]
    kernel = {"name": "python3", "display_name": "Python 3"}
    notebook = new_notebook(cells=[new_code_cell(source) for source in sources], metadata={"kernelspec": kernel})
    nbformat.write(notebook, lab.folder / "broken.ipynb")
    lab_page.open("broken.ipynb")
    assert lab_page.run_all_cells() == ["ZeroDivisionError: division by zero"]
    found = lab_page.problems()
    for problem in BROKEN_CELLS:
        assert any(text.startswith(problem) for text in found), f"{problem!r} was not seen, only {found}"
    with pytest.raises(AssertionError, match="'idle' changes nothing"):
        move_every_slider(lab_page)


# ---- course lab ------------------------------------------------------------------------------------------------------


def test_course_lab_prints_the_address_where_there_is_no_screen(tmp_path):
    """It serves chapter 00, says where in a line one can click, and Ctrl-C stops it with status 0."""
    environment = {key: value for key, value in os.environ.items() if "DISPLAY" not in key}
    environment |= {"JUPYTER_CONFIG_DIR": str(tmp_path), "JUPYTER_RUNTIME_DIR": str(tmp_path), "MPLBACKEND": "agg"}
    log = tmp_path / "log"
    with open(log, "w") as file:
        lab = subprocess.Popen(
            [sys.executable, "-m", "course_lib.cli", "lab", "--port", "18888"],
            env=environment,
            stdout=file,
            stderr=file,
        )
    try:
        address = re.compile(r"http://localhost:\d+/lab/tree/notebooks/00_\w+\.ipynb\?token=\w+")
        wait_for(lambda: lab.poll() is not None or address.search(log.read_text()), 60, "no address was printed")
        found = address.search(log.read_text())
        assert found, log.read_text()
        assert urllib.request.urlopen(found[0], timeout=10).status == 200
        lab.send_signal(signal.SIGINT)
        assert lab.wait(20) == 0
    finally:
        lab.kill()
        lab.wait()


def test_course_lab_says_what_is_missing(tmp_path):
    with pytest.raises(CourseError, match="clone of the course's repository"):
        find_notebook(0, tmp_path)
    (tmp_path / "notebooks").mkdir()
    (tmp_path / "notebooks/03_x.ipynb").touch()
    assert find_notebook(3, tmp_path) == Path("notebooks/03_x.ipynb")
    with pytest.raises(CourseError, match="no chapter 7; there is 03"):
        find_notebook(7, tmp_path)


@pytest.mark.skipif(sys.platform in ("win32", "darwin"), reason="there is always a screen on Windows and macOS")
def test_a_screen_is_noticed(monkeypatch):
    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    assert not has_screen()
    monkeypatch.setenv("WAYLAND_DISPLAY", "wayland-0")
    assert has_screen()
