"""What the course finds on this machine, and what to do about each problem."""

import importlib.metadata
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

PACKAGE = "transformer-workshop"
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
FREE_GIB = 2  # for corpora, checkpoints and runs


@dataclass(frozen=True)
class Finding:
    """One thing looked at: `status` is "ok", "warning" (the course works, something is less good) or "broken"."""

    name: str
    status: str
    found: str
    advice: str = ""


def examine() -> list[Finding]:
    """Look at everything the course needs on this machine; changes nothing."""
    return [
        _python(),
        *_packages(),
        *_device(),
        _jupyterlab(),
        _chinese_font(),
        _browser(),
        *_home(),
    ]


def find_browser() -> str | None:
    """The path of a Chromium or Chrome on this machine, None where there is none."""
    return next(filter(None, map(shutil.which, BROWSERS)), None)


def constraints() -> dict[str, str]:
    """The versions last verified together, package name to version: constraints.txt of the checkout or of the wheel."""
    here = Path(__file__).resolve().parent
    file = next(path for path in (here / "constraints.txt", here.parent / "constraints.txt") if path.exists())
    lines = [line.strip() for line in file.read_text(encoding="utf-8").splitlines()]
    return dict(line.split("==") for line in lines if line and not line.startswith("#"))


def _python() -> Finding:
    found = f"{sys.version.split()[0]} at {sys.executable}"
    if sys.version_info >= (3, 14):
        return Finding("Python", "warning", found, "The course is tested on Python 3.11 to 3.13.")
    return Finding("Python", "ok", found)


def _packages() -> Iterator[Finding]:
    """One finding for each package that is missing or out of range, and one for the rest."""
    verified, same, other = constraints(), 0, []
    for text in importlib.metadata.requires(PACKAGE) or []:
        need = Requirement(text)
        if need.marker is not None and not need.marker.evaluate({"extra": ""}):
            continue
        try:
            version = importlib.metadata.version(need.name)
        except importlib.metadata.PackageNotFoundError:
            yield Finding(need.name, "broken", "not installed", f"pip install '{need}'")
            continue
        if not need.specifier.contains(version, prereleases=True):
            yield Finding(need.name, "broken", f"{version}, but the course needs {need}", f"pip install '{need}'")
        elif version.split("+")[0] == verified[canonicalize_name(need.name)]:
            same += 1
        else:
            other.append(f"{need.name} {version} (verified: {verified[canonicalize_name(need.name)]})")
    if other:
        advice = "Within the range that the course asks for; if something misbehaves, install the verified versions."
        yield Finding("Packages", "warning", f"{same} as verified; {', '.join(other)}", advice)
    else:
        yield Finding("Packages", "ok", f"{same} in the versions last verified together")


def _device() -> Iterator[Finding]:
    try:
        import torch
    except Exception as error:  # a broken installation may raise anything
        yield Finding("PyTorch", "broken", f"does not load: {error}", "pip install --force-reinstall torch")
        return
    from course_lib.training import supports_bf16

    yield Finding("PyTorch", "ok", torch.__version__)
    names = {"cpu": f"CPU, {torch.get_num_threads()} threads"}
    if torch.cuda.is_available():
        names["cuda"] = torch.cuda.get_device_name()
    if torch.backends.mps.is_available():
        names["mps"] = "Apple GPU"
    for device, name in names.items():
        yield Finding(f"Device {device}", "ok", f"{name}, {'bf16 and fp32' if supports_bf16(device) else 'fp32'}")


def _jupyterlab() -> Finding:
    try:
        return Finding("JupyterLab", "ok", importlib.metadata.version("jupyterlab"))
    except importlib.metadata.PackageNotFoundError:
        return Finding("JupyterLab", "warning", "not installed", f"For `course lab`: pip install '{PACKAGE}[lab]'")


def _chinese_font() -> Finding:
    try:
        from course_lib.views.figures import chinese_fonts
    except ImportError as error:
        return Finding("Chinese", "broken", f"the pictures do not load: {error}", "Install the packages named above.")
    if fonts := chinese_fonts():
        return Finding("Chinese", "ok", fonts[0])
    advice = "Pictures will show pinyin instead. On Debian and Ubuntu: apt-get install fonts-noto-cjk"
    return Finding("Chinese", "warning", "no font with Chinese characters", advice)


def _browser() -> Finding:
    if path := find_browser():
        return Finding("Browser", "ok", path)
    advice = "Only the course's own tests need it. On Debian and Ubuntu: apt-get install chromium"
    return Finding("Browser", "warning", "no Chromium or Chrome on the PATH", advice)


def _home() -> Iterator[Finding]:
    """Can the learner's folder be written to, and is there room in it? The folder itself is not made here."""
    home = Path(os.environ.get("COURSE_HOME") or "~/.transformer-workshop").expanduser()
    there = next(folder for folder in (home, *home.parents) if folder.exists())
    try:
        tempfile.TemporaryFile(dir=there).close()
    except OSError as error:
        advice = "Make it writable, or set COURSE_HOME to another folder."
        yield Finding("Your folder", "broken", f"cannot write to {home}: {error.strerror}", advice)
    else:
        yield Finding("Your folder", "ok", str(home))
    free = shutil.disk_usage(there).free / 2**30
    if free >= FREE_GIB:
        yield Finding("Free disk", "ok", f"{free:.1f} GiB")
    else:
        advice = f"Corpora and trained models want {FREE_GIB} GiB: make room, or set COURSE_HOME to another disk."
        yield Finding("Free disk", "warning", f"{free:.1f} GiB", advice)
