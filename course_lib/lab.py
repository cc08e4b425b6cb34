"""Opens the course in JupyterLab."""

import os
import sys
from pathlib import Path

from course_lib.errors import CourseError

CHECKOUT = Path(__file__).resolve().parents[1]


def has_screen() -> bool:
    """Whether a browser can be shown here: always on Windows and macOS, elsewhere where a display is set."""
    return sys.platform in ("win32", "darwin") or any(map(os.environ.get, ("DISPLAY", "WAYLAND_DISPLAY")))


def find_notebook(chapter: int, folder: Path = CHECKOUT) -> Path:
    """The notebook of a chapter, as a path inside `folder`; CourseError where there is none."""
    if not (folder / "notebooks").is_dir():
        raise CourseError("the notebooks are not here: `course lab` runs in a clone of the course's repository")
    found = sorted((folder / "notebooks").glob(f"{chapter:02}_*.ipynb"))
    if not found:
        there = sorted(path.name[:2] for path in (folder / "notebooks").glob("[0-9][0-9]_*.ipynb"))
        raise CourseError(f"there is no chapter {chapter}; there is {', '.join(there)}")
    return found[0].relative_to(folder)


def open_lab(chapter: int = 0, *, browser: bool | None = None, port: int = 8888, ip: str = "localhost") -> None:
    """Run JupyterLab on the notebook of `chapter` until it is stopped; without a screen it prints the address."""
    notebook = find_notebook(chapter)
    try:
        from jupyterlab.labapp import LabApp
    except ImportError:
        raise CourseError("JupyterLab is not installed: pip install 'transformer-workshop[lab]'") from None
    options = [
        f"--ServerApp.root_dir={CHECKOUT}",
        f"--LabApp.default_url=/lab/tree/{notebook.as_posix()}",
        f"--ServerApp.port={port}",
        f"--ServerApp.ip={ip}",
        "--ServerApp.answer_yes=True",  # one Ctrl-C stops it
        "--Application.log_level=WARN",
    ]
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        options.append("--allow-root")
    if not (has_screen() if browser is None else browser):
        options.append("--no-browser")
    os.environ.pop("MPLBACKEND", None)  # a backend meant for scripts would keep pictures out of the notebooks
    LabApp.launch_instance(options)
