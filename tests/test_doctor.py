"""`course doctor`: what it finds, what it advises, and its exit status."""

import importlib.metadata
import json
import os
import shutil
import sys
from collections import namedtuple

import pytest

from course_lib import doctor
from course_lib.cli import main


def finding(name):
    return next(found for found in doctor.examine() if found.name == name)


def test_this_machine_can_run_the_course(capsys):
    assert main(["doctor", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["usable"] is True
    names = {check["name"] for check in report["checks"]}
    assert {"Python", "Packages", "PyTorch", "Device cpu", "Chinese", "Browser", "Your folder", "Free disk"} <= names
    assert all(set(check) == {"name", "status", "found", "advice"} for check in report["checks"])
    for check in report["checks"]:
        assert check["status"] == "ok" or check["advice"], f"a problem without advice: {check}"


def test_the_table_says_the_same(capsys):
    assert main(["doctor"]) == 0
    out = capsys.readouterr().out
    assert sys.version.split()[0] in out and "PyTorch" in out


def test_a_missing_package_is_broken(monkeypatch, capsys):
    real = importlib.metadata.version

    def version(name):
        if name == "tokenizers":
            raise importlib.metadata.PackageNotFoundError(name)
        return real(name)

    monkeypatch.setattr(importlib.metadata, "version", version)
    found = finding("tokenizers")
    assert found.status == "broken" and "pip install 'tokenizers>=" in found.advice
    assert main(["doctor"]) == 1
    assert "pip install 'tokenizers>=" in capsys.readouterr().out


@pytest.mark.parametrize("version, name, status", [("1.0", "numpy", "broken"), ("1.26.4", "Packages", "warning")])
def test_another_version_than_the_verified(version, name, status, monkeypatch):
    real = importlib.metadata.version
    monkeypatch.setattr(importlib.metadata, "version", lambda name: version if name == "numpy" else real(name))
    found = finding(name)
    assert found.status == status and version in found.found and found.advice


def test_a_broken_torch_is_told(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "torch", None)  # makes `import torch` raise
    assert finding("PyTorch").status == "broken"
    assert main(["doctor", "--json"]) == 1
    assert json.loads(capsys.readouterr().out)["usable"] is False


def test_a_folder_that_cannot_be_written_is_broken(monkeypatch, tmp_path):
    (tmp_path / "file").touch()
    monkeypatch.setenv("COURSE_HOME", str(tmp_path / "file" / "home"))
    found = finding("Your folder")
    assert found.status == "broken" and "COURSE_HOME" in found.advice and str(tmp_path) in found.found


def test_looking_changes_nothing(monkeypatch, tmp_path):
    monkeypatch.setenv("COURSE_HOME", str(tmp_path / "home"))
    assert finding("Your folder").status == "ok"
    assert os.listdir(tmp_path) == []


def test_what_is_less_good_does_not_break(monkeypatch, capsys):
    """No browser, no Chinese font, little disk: said, with advice, and the course is usable all the same."""
    from course_lib.views import figures

    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "which", lambda name: None)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage(9, 9, 2**29))
    monkeypatch.setattr(figures, "chinese_fonts", lambda: ())
    for name, advice in [("Browser", "chromium"), ("Chinese", "fonts-noto-cjk"), ("Free disk", "COURSE_HOME")]:
        found = finding(name)
        assert found.status == "warning" and advice in found.advice
    assert main(["doctor"]) == 0


def test_the_verified_versions_are_read():
    versions = doctor.constraints()
    assert versions["torch"] == "2.13.0" and len(versions) > 100
