"""A real JupyterLab in headless Chromium, cut off from the network: for the tests, and for looking at pictures."""

import contextlib
import json
import os
import re
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from playwright.sync_api import Frame, Locator, Page, sync_playwright

from course_lib.doctor import find_browser

OFFLINE = Path(__file__).parent / "offline"
CHROMIUM_ARGS = (
    "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync --font-render-hinting=none"
).split()
BROKEN = re.compile(
    "Javascript Error|Failed to load model class|Error displaying widget|Error creating widget|Loading widget"
    "|model not found|Could not process output"
)
# What JupyterLab itself writes to the console of a healthy page.
HARMLESS = re.compile(r"ResizeObserver loop|/api/(?:workspaces|me|kernels)|favicon")


@dataclass
class Lab:
    """A running JupyterLab: where it is, and the folder that it shows."""

    base: str
    token: str
    folder: Path
    log: Path


def offline_environment(home: Path) -> dict[str, str]:
    """The environment of a process that may not reach the network and keeps its files under `home`."""
    keep = {key: value for key, value in os.environ.items() if key != "MPLBACKEND"}
    path = os.pathsep.join(filter(None, [str(OFFLINE), os.environ.get("PYTHONPATH")]))
    return keep | {
        "PYTHONPATH": path,
        "OFFLINE_LOG": str(home / "network.log"),
        "COURSE_HOME": str(home / "course"),
        "IPYTHONDIR": str(home / "ipython"),
        "JUPYTER_CONFIG_DIR": str(home / "config"),
        "JUPYTER_DATA_DIR": str(home / "data"),
        "JUPYTER_RUNTIME_DIR": str(home / "runtime"),
    }


@contextlib.contextmanager
def jupyter_lab(folder: Path, *, dark: bool = False) -> Iterator[Lab]:
    """Start JupyterLab on `folder` with private settings, a free port and a random token; stop it at the end."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # a run that is ended ends its server too
    home = Path(tempfile.mkdtemp(prefix="course-lab-"))
    settings = {
        "apputils-extension/notification": {"fetchNews": "false", "checkForUpdates": False},
        "apputils-extension/themes": {"theme": "JupyterLab Dark" if dark else "JupyterLab Light"},
        "notebook-extension/tracker": {"windowingMode": "none"},  # every output is in the page, seen or not
    }
    for name, values in settings.items():
        file = home / "settings/@jupyterlab" / f"{name}.jupyterlab-settings"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(values))
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    lab = Lab(f"http://127.0.0.1:{port}", secrets.token_hex(16), folder, home / "lab.log")
    environment = offline_environment(home) | {
        "JUPYTER_TOKEN": lab.token,
        "JUPYTERLAB_SETTINGS_DIR": str(home / "settings"),
        "JUPYTERLAB_WORKSPACES_DIR": str(home / "workspaces"),
        "COURSE_QUICK": "1",  # chapter 09 trains for seconds
    }
    command = [sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root", "--ServerApp.ip=127.0.0.1"]
    command += [f"--ServerApp.port={port}", "--ServerApp.port_retries=0", f"--ServerApp.root_dir={folder}"]
    command += ["--LabApp.expose_app_in_browser=True"]
    with open(lab.log, "w") as log:
        server = subprocess.Popen(command, env=environment, stdout=log, stderr=log, start_new_session=True)
    try:
        wait_for(lambda: server.poll() is not None or _answers(lab.base), 300, "JupyterLab did not start")
        if server.poll() is not None:
            raise RuntimeError(f"JupyterLab stopped at once:\n{lab.log.read_text()}")
        yield lab
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(server.pid, signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            server.wait(30)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(server.pid, signal.SIGKILL)
        shutil.rmtree(home, ignore_errors=True)


def _answers(base: str) -> bool:
    with contextlib.suppress(OSError):
        urllib.request.urlopen(base + "/api", timeout=2).close()
        return True
    return False


def wait_for(condition: Callable[[], bool], seconds: float, otherwise: str, every: float = 0.1) -> None:
    """Return once `condition()` holds; AssertionError with the text `otherwise` after so many seconds."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, otherwise
        time.sleep(every)


@dataclass
class NotebookPage:
    """A notebook in the browser, and what went wrong on its page."""

    page: Page
    lab: Lab
    script_errors: list[str] = field(default_factory=list)
    console_errors: list[str] = field(default_factory=list)
    outside: list[str] = field(default_factory=list)  # addresses of requests that left the machine

    def open(self, name: str) -> None:
        """Open the notebook of that name and wait until its kernel is there."""
        self.page.goto(f"{self.lab.base}/lab/workspaces/test/tree/{name}?reset&token={self.lab.token}")
        self.page.locator(".jp-Notebook .jp-Cell").first.wait_for()
        self._evaluate(
            """
            const app = window.jupyterapp, widget = app.shell.currentWidget;
            app.shell.collapseLeft();
            await widget.context.ready; await widget.sessionContext.ready;""",
            seconds=300,
            otherwise=f"{name}: its kernel did not start (has the notebook a kernelspec?)",
        )

    def stop_kernels(self) -> None:
        """End the kernels that this page has started, whatever they are doing."""
        headers = {"Authorization": f"token {self.lab.token}"}
        request = urllib.request.Request(f"{self.lab.base}/api/sessions", headers=headers)
        for session in json.load(urllib.request.urlopen(request)):
            address = f"{self.lab.base}/api/sessions/{session['id']}"
            urllib.request.urlopen(urllib.request.Request(address, headers=headers, method="DELETE")).close()

    def _evaluate(self, script: str, seconds: float, otherwise: str):
        """Run the body of an async function in the page; AssertionError when it takes longer than `seconds`."""
        late = f"new Promise(done => setTimeout(() => done('too late'), {seconds * 1000:.0f}))"
        result = self.page.evaluate(f"() => Promise.race([(async () => {{{script}}})(), {late}])")
        assert result != "too late", otherwise
        return result

    def run_all_cells(self, seconds: float = 600) -> list[str]:
        """Run every cell, wait until the pictures are there, and return the errors the kernel reported."""
        errors = self._evaluate(
            """
            const app = window.jupyterapp;
            await app.commands.execute('notebook:run-all-cells');
            const meant = cell => (cell.metadata.tags || []).includes('raises-exception');
            const cells = app.shell.currentWidget.content.model.sharedModel.cells.filter(cell => !meant(cell));
            return cells.flatMap(cell => (cell.outputs || []).filter(o => o.output_type === 'error')
                .map(o => o.ename + ': ' + o.evalue));""",
            seconds,
            f"the cells were still running after {seconds} s",
        )
        self.settle()
        return errors

    def answer_predictions(self) -> None:
        """Give what asks for a prediction first an answer (the first option, or 1), so that the rest appears."""
        for view in self.page.locator(".workshop-view", has_text="Predict first.").all():
            view.locator("button").first.click()
        for frame in self.frames():
            if (commit := frame.locator("button.commit:visible")).count():
                if (number := frame.locator("fieldset input[type=text]")).count():
                    number.fill("1")
                else:
                    frame.locator("fieldset input").first.check()
                commit.click()
            elif (options := frame.locator("p.ask", has_text="Predict first.").locator("~ p.ask button")).count():
                options.first.click()
        self.settle()

    def settle(self, milliseconds: int = 700) -> None:
        """Wait until widgets are loaded, frames are filled and nothing is being drawn any more."""
        loading = self.page.locator(".jp-OutputArea-output", has_text=re.compile("Loading widget"))
        with contextlib.suppress(AssertionError):  # problems() tells about those that never come
            wait_for(lambda: loading.count() == 0, 10, "a widget is still loading")
        for frame in self.frames():
            frame.wait_for_load_state("load")
        self.page.wait_for_timeout(milliseconds)

    def frames(self) -> list[Frame]:
        """The frames of the HTML views among the outputs."""
        return [frame for frame in self.page.frames[1:] if not frame.is_detached()]

    def cells(self) -> list[Locator]:
        return self.page.locator(".jp-Notebook .jp-Cell").all()

    def cell(self, index: int) -> Locator:
        return self.page.locator(".jp-Notebook .jp-Cell").nth(index)

    def problems(self) -> list[str]:
        """What must not be: script and console errors, outside requests, broken widgets, tracebacks, empty frames."""
        found = [f"script error: {text}" for text in self.script_errors]
        found += [f"console error: {text}" for text in self.console_errors]
        found += [f"outside request: {address}" for address in self.outside]
        areas = self.page.locator(".jp-OutputArea-output").all_inner_texts()
        found += [f"broken output: {text[:300]}" for text in areas if BROKEN.search(text)]
        widgets = self.page.locator(".jp-OutputArea-output .jupyter-widgets")
        tracebacks = widgets.locator(".jp-OutputArea-output", has_text="Traceback (most recent call last)")
        found += [f"error in a widget: {text[-300:]}" for text in tracebacks.all_inner_texts()]
        alerts = self.page.locator("[role=alert].workshop-error").all_inner_texts()
        found += [f"error in a view: {text}" for text in alerts]
        for frame in self.frames():
            if not frame.locator("canvas, svg, table, img, button").count():
                found.append("empty frame in an output")
        return found

    def drag_slider(self, slider: Locator, to: float = 0.6) -> None:
        """Drag a slider (of ipywidgets, or an input of type range) with the mouse to a fraction of its track."""
        slider.scroll_into_view_if_needed()
        handle = slider.locator(".noUi-handle, .ui-slider-handle").first
        track = slider.locator(".noUi-target, .ui-slider").first if handle.count() else slider
        box = track.bounding_box()
        start = handle.bounding_box() if handle.count() else None
        y = box["y"] + box["height"] / 2
        x = start["x"] + start["width"] / 2 if start else box["x"] + box["width"] / 2
        mouse = self.page.mouse
        mouse.move(x, y)
        mouse.down()
        mouse.move(box["x"] + box["width"] * to, y, steps=6)
        mouse.up()

    def hover(self, target: Locator, x: float | None = None, y: float | None = None) -> None:
        """Rest the mouse on an element, at a position inside it where one is given."""
        target.hover(position=None if x is None else {"x": x, "y": y})

    def click(self, target: Locator, x: float | None = None, y: float | None = None) -> None:
        """Click on an element, at a position inside it where one is given."""
        target.click(position=None if x is None else {"x": x, "y": y})

    def content(self, area: Locator) -> str:
        """What an output shows: the bytes of its images, its frames, its text and drawings; not the controls."""
        return area.evaluate(
            """async area => {
                const parts = [...area.querySelectorAll('iframe')].map(frame => frame.srcdoc);
                for (const image of area.querySelectorAll('img'))
                    parts.push(...new Uint8Array(await (await fetch(image.src)).arrayBuffer()));
                for (const html of area.querySelectorAll('.widget-html')) parts.push(html.innerHTML);
                return parts.join();
            }"""
        )

    def screenshot(self, target: Locator, path: Path | None = None) -> bytes:
        """A picture of one element, whole even where it is higher than the window."""
        box = target.bounding_box()
        size = self.page.viewport_size
        if box and box["height"] + 200 > size["height"]:
            self.page.set_viewport_size({"width": size["width"], "height": int(box["height"]) + 300})
        target.scroll_into_view_if_needed()
        return target.screenshot(path=path)

    def wait_until_changed(self, target: Locator, before: bytes, seconds: float = 10) -> bytes:
        """Wait until the element looks other than `before` (a screenshot) and return its new screenshot."""
        wait_for(lambda: target.screenshot() != before, seconds, "the picture did not change", every=0.05)
        return target.screenshot()


@contextlib.contextmanager
def notebook_page(lab: Lab, *, width: int = 1300, height: int = 1200) -> Iterator[NotebookPage]:
    """An empty page in headless Chromium that may talk to `lab` and to nobody else."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=find_browser(), args=CHROMIUM_ARGS)
        page = browser.new_page(viewport={"width": width, "height": height}, reduced_motion="reduce")
        page.set_default_timeout(120_000)
        notebook = NotebookPage(page, lab)

        def route(handler) -> None:
            address = handler.request.url
            if address.startswith((lab.base, "data:", "blob:")):
                handler.continue_()
            else:
                notebook.outside.append(address)
                handler.abort()

        def console(message) -> None:
            text = f"{message.text} ({message.location.get('url', '')})"
            if message.type == "error" and not HARMLESS.search(text):
                notebook.console_errors.append(text)

        page.route("**/*", route)
        page.on("pageerror", lambda error: notebook.script_errors.append(str(error)))
        page.on("console", console)
        try:
            yield notebook
        finally:
            browser.close()
            notebook.stop_kernels()
