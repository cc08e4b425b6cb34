"""What every test finds: a learner's folder of its own, and a JupyterLab for those that need a browser."""

import os
import shutil
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
# One thread for each process, set before torch loads: tensors are small here, and where other things run on the same
# cores, threads that wait for each other made a cell of two seconds take six minutes.
os.environ.setdefault("OMP_NUM_THREADS", "1")
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # a shell starts what runs in the background deaf to Ctrl-C
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True)
def course_home(tmp_path_factory, monkeypatch) -> Path:
    """No test reads or writes the real learner's folder: each has an empty one."""
    home = tmp_path_factory.mktemp("home")
    monkeypatch.setenv("COURSE_HOME", str(home))
    return home


@pytest.fixture(scope="session")
def lab(tmp_path_factory) -> Iterator:
    """A JupyterLab on copies of the notebooks and problem sheets, cut off from the network."""
    from course_lib.doctor import find_browser
    from tests.browser import jupyter_lab

    if find_browser() is None:
        pytest.skip("no Chromium or Chrome on the PATH (Debian and Ubuntu: apt-get install chromium)")
    folder = tmp_path_factory.mktemp("lab")
    for name in ("notebooks", "exercises"):
        for notebook in (ROOT / name).glob("*.ipynb"):
            (folder / name).mkdir(exist_ok=True)
            shutil.copy(notebook, folder / name)
    with jupyter_lab(folder) as running:
        yield running


@pytest.fixture
def lab_page(lab) -> Iterator:
    """An empty page in headless Chromium: `lab_page.open("notebooks/03_….ipynb")`."""
    from tests.browser import notebook_page

    with notebook_page(lab) as page:
        yield page


@pytest.fixture
def report(record_property) -> Callable[[str], None]:
    """`report(line)` puts a line at the end of pytest's report, from whichever process the test runs in."""
    return lambda line: record_property("line", line)


def pytest_terminal_summary(terminalreporter) -> None:
    for outcome in ("passed", "failed"):
        for result in terminalreporter.getreports(outcome):
            for name, line in result.user_properties:
                if name == "line" and result.when == "call":
                    terminalreporter.write_line(line)
