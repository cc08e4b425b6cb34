"""Every notebook and every problem sheet runs from top to bottom, without a network, within its budget."""

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook

from tests.conftest import ROOT
from tests.execution import execute

NOTEBOOKS = sorted([*(ROOT / "notebooks").glob("*.ipynb"), *(ROOT / "exercises").glob("*.ipynb")])
MINUTE, CORES, GIB = 60, 2, 1024


@pytest.mark.timeout(1200)
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_notebook_runs_offline_within_its_budget(path, tmp_path, report):
    (tmp_path / "empty").mkdir()
    notebook = nbformat.read(path, as_version=4)
    run = execute(notebook, tmp_path / "empty", tmp_path)
    training = {cell.id for cell in notebook.cells if "training" in cell.metadata.get("tags", [])}
    wall = sum(run.seconds.values())
    reading = sum(seconds for cell, seconds in run.seconds.items() if cell not in training)
    report(
        f"{path.parent.name}/{path.stem}: {wall:.0f} s ({reading:.0f} s without training), "
        f"{run.cpu_seconds:.0f} CPU seconds, peak {run.peak_mib:.0f} MiB"
    )
    assert run.errors == []
    assert run.network == [], "the notebook tried to reach the network"
    assert run.peak_mib <= 1.5 * GIB
    if not training:  # processor time: the clock would blame the notebook for what else the machine is doing
        assert run.cpu_seconds <= MINUTE * CORES


def run_cells(tmp_path, *sources):
    return execute(new_notebook(cells=[new_code_cell(source) for source in sources]), tmp_path, tmp_path)


def test_errors_are_seen(tmp_path):
    """What this file asserts can fail: errors in cells, in widget callbacks and in views, and requests."""
    run = run_cells(
        tmp_path,
        "1 / 0",
        "import ipywidgets\ndef fail(a): raise KeyError('callback')\nipywidgets.interactive(fail, a=3)",
        "ipywidgets.HTML('<div role=\"alert\">no picture</div>')",
        "import urllib.request, subprocess, sys\n"
        "subprocess.run([sys.executable, '-c', 'import socket; socket.socket().connect((\"192.0.2.1\", 80))'])\n"
        "try: urllib.request.urlopen('http://example.com')\nexcept OSError as error: print(error)",
    )
    assert any("ZeroDivisionError" in error for error in run.errors)
    assert any("callback" in error for error in run.errors)
    assert any("no picture" in error for error in run.errors)
    assert {"socket.connect 192.0.2.1", "socket.getaddrinfo example.com"} <= set(run.network)


def test_memory_is_measured(tmp_path):
    ours = bytearray(500 * 2**20)  # what the test process holds is not the kernel's
    small = run_cells(tmp_path, "1")
    large = run_cells(tmp_path, "block = bytearray(300 * 2**20)")
    code = "import subprocess, sys; subprocess.run([sys.executable, '-c', 'bytearray(400 * 2**20)'])"
    child = run_cells(tmp_path, code)
    assert len(ours) and small.peak_mib < 200
    assert 250 < large.peak_mib - small.peak_mib < 350
    assert 400 < child.peak_mib < 500
