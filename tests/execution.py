"""Runs a notebook in a kernel of its own, cut off from the network, and says what it took and what went wrong."""

import copy
import json
import re
import sys
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from jupyter_client import AsyncKernelManager
from jupyter_client.kernelspec import KernelSpecManager
from jupyter_core.utils import run_sync
from nbclient import NotebookClient
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell

from tests.browser import offline_environment

# Runs last in every kernel: what the whole notebook took, the processes it started included.
MEASURE = """\
import json as _json, resource as _resource, sys as _sys
_unit = 1 if _sys.platform == "darwin" else 1024
_own, _children = (_resource.getrusage(who) for who in (_resource.RUSAGE_SELF, _resource.RUSAGE_CHILDREN))
print(_json.dumps({
    "cpu_seconds": sum(usage.ru_utime + usage.ru_stime for usage in (_own, _children)),
    "peak_mib": max(_own.ru_maxrss, _children.ru_maxrss) * _unit / 2**20,
    "versions": {
        name: getattr(_sys.modules.get(name), "__version__", None) for name in ("torch", "numpy", "ipywidgets")
    },
}))"""


@dataclass
class Execution:
    """An executed notebook: `seconds` by cell id, what the kernel took, and everything that failed."""

    notebook: NotebookNode
    seconds: dict[str, float]
    errors: list[str]  # of cells and of widget callbacks
    network: list[str]  # attempts to leave the machine
    cpu_seconds: float
    peak_mib: float
    versions: dict[str, str | None]


def execute(
    notebook: NotebookNode, folder: Path, home: Path, *, python: str = sys.executable, environment: dict | None = None
) -> Execution:
    """Run a copy of `notebook` in `folder` with the interpreter `python`; the kernel's files go under `home`.

    environment: variables of the kernel; None cuts it off from the network.
    """
    notebook = copy.deepcopy(notebook)
    notebook.cells.append(new_code_cell(MEASURE, id="measure"))
    environment = offline_environment(home) if environment is None else environment
    specification = home / "kernels/under-test/kernel.json"
    specification.parent.mkdir(parents=True, exist_ok=True)
    argv = [python, "-m", "ipykernel_launcher", "-f", "{connection_file}"]
    specification.write_text(json.dumps({"argv": argv, "display_name": "under test", "language": "python"}))
    manager = AsyncKernelManager(
        kernel_name="under-test", kernel_spec_manager=KernelSpecManager(kernel_dirs=[str(home / "kernels")])
    )
    client = NotebookClient(
        notebook, km=manager, timeout=900, allow_errors=True, resources={"metadata": {"path": str(folder)}}
    )
    try:
        client.execute(env=environment)
    finally:  # a manager that is handed in is ours to stop
        run_sync(manager.shutdown_kernel)(now=True)
    last = notebook.cells.pop()
    log = home / "network.log"
    return Execution(
        notebook=notebook,
        seconds={cell.id: _seconds(cell) for cell in notebook.cells if cell.cell_type == "code"},
        errors=list(_errors(notebook)),
        network=log.read_text().splitlines() if log.exists() else [],
        **json.loads(last.outputs[0].text),
    )


def _seconds(cell: NotebookNode) -> float:
    times = cell.metadata.get("execution", {})
    if "shell.execute_reply" not in times:
        return 0.0
    begin, end = (datetime.fromisoformat(times[key]) for key in ("iopub.status.busy", "shell.execute_reply"))
    return (end - begin).total_seconds()


def _errors(notebook: NotebookNode):
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            if output.output_type == "error" and "raises-exception" not in cell.metadata.get("tags", []):
                yield f"cell {cell.id}: {output.ename}: {output.evalue}"
    widgets = notebook.metadata.get("widgets", {}).get("application/vnd.jupyter.widget-state+json", {})
    for model in widgets.get("state", {}).values():
        for output in model["state"].get("outputs", []):
            if output["output_type"] == "error":
                yield f"widget callback: {output['ename']}: {output['evalue']}"
        if found := re.search(r'role="alert">([^<]+)', str(model["state"].get("value", ""))):
            yield f"view: {found[1]}"
