"""How the repository hangs together: who imports whom, what an import costs, one source for each generated thing."""

import ast
import importlib.metadata
import json
import os
import re
import subprocess
import sys
import tomllib
from itertools import pairwise
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from course_lib.doctor import constraints
from tests.conftest import ROOT

PACKAGE = ROOT / "course_lib"
# A module imports only what stands above it. Training decodes samples and measures BLEU: so it stands below both.
ORDER = """errors config recording masks recurrent additive letters attention positions blocks parts transformer
    torch_bridge tokenizer corpora batches losses schedules optimisers decoding incremental evaluation
    checkpoints translator interpretation training snapshots
    views grading exercises workshop doctor lab commands cli""".split()
PICTURES = {"matplotlib", "ipywidgets", "bertviz"}  # only views/ imports them
HEAVY = PICTURES | {"transformers", "sacrebleu", "accelerate", "IPython"}
MODULES = sorted(path for path in PACKAGE.rglob("*.py"))
# What Google Colab brought in August 2026, and must still have after the course was installed.
COLAB = {"torch": "2.11.0", "numpy": "2.1.3", "ipywidgets": "7.7.1"}


def dotted(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imported(path: Path, code: str | None = None) -> set[str]:
    """Every module that a file imports, at its top or inside a function, by its full name."""
    package = dotted(path) if path.name == "__init__.py" else dotted(path).rpartition(".")[0]
    names = set()
    for node in ast.walk(ast.parse(code or path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = package.rsplit(".", node.level - 1)[0] if node.level else ""
            base = ".".join(filter(None, [base, node.module]))
            names |= {f"{base}.{alias.name}" for alias in node.names} if base == "course_lib" else {base}
        elif isinstance(node, ast.Call) and getattr(node.func, "id", "") == "files":  # the data files of a package
            names |= {argument.value for argument in node.args if isinstance(argument, ast.Constant)}
    return names


def room(name: str) -> str | None:
    """`course_lib.views.palette` -> `views`; None for what is not ours, and for the package itself."""
    parts = name.split(".")
    return parts[1] if parts[0] == "course_lib" and len(parts) > 1 else None


@pytest.mark.parametrize("path", MODULES, ids=dotted)
def test_a_module_imports_only_what_stands_above_it(path):
    own = room(dotted(path))
    if own is None:
        assert not {name for name in imported(path) if room(name)}, "course_lib/__init__.py imports nothing of ours"
        return
    assert own in ORDER, f"{own} has no place in the module order: the design's section 2 and tests/test_structure.py"
    for name in imported(path):
        other = room(name)
        above = other in (None, own) or ORDER.index(other) < ORDER.index(own)
        assert above, f"{own} imports {name}, which stands below it"


def test_every_kind_of_import_is_seen():
    file = PACKAGE / "views" / "imagined.py"
    code = "import course_lib.cli\nfrom course_lib import workshop\n"
    code += "def f():\n    from ..training import train\n    from .x import y\n"
    names = imported(file, code)
    assert {room(name) for name in names} == {"cli", "workshop", "training", "views"}


@pytest.mark.parametrize("path", [path for path in MODULES if room(dotted(path)) != "views"], ids=dotted)
def test_only_views_import_what_draws(path):
    assert not PICTURES & {name.split(".")[0] for name in imported(path)}


def run_python(code: str, home: Path) -> str:
    """What a fresh Python prints that runs `code`; its files would go to `home`."""
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True, text=True, check=True, cwd=home, env=os.environ | {"COURSE_HOME": str(home / "course")},
    )  # fmt: skip
    assert done.stderr == ""
    return done.stdout


def test_importing_the_package_loads_nothing(tmp_path):
    code = "import sys; before = set(sys.modules); import course_lib; print(*set(sys.modules) - before)"
    assert run_python(code, tmp_path).split() == ["course_lib"]


def test_importing_the_library_loads_nothing_that_draws(tmp_path):
    names = [dotted(path) for path in MODULES if room(dotted(path)) not in ("views", None)]
    code = f"import importlib, sys\nfor name in {names}: importlib.import_module(name)"
    assert run_python(f"{code}\nprint(*{HEAVY} & set(sys.modules))", tmp_path).split() == []


def test_imports_have_no_side_effects(tmp_path):
    names = [dotted(path) for path in MODULES]
    code = f"""if True:
        import importlib, os, random, numpy, torch
        def state():
            return (
                torch.get_rng_state().sum(), random.getstate(), numpy.random.get_state()[1].sum(),
                torch.get_default_dtype(), torch.get_num_threads(), torch.is_grad_enabled(),
                torch.are_deterministic_algorithms_enabled(), dict(os.environ),
            )
        torch.manual_seed(1)
        before = state()
        for name in {names}: importlib.import_module(name)
        assert state() == before"""
    assert run_python(code, tmp_path) == ""
    assert list(tmp_path.iterdir()) == []


def test_help_does_not_load_torch(tmp_path):
    code = "import sys; from course_lib.cli import main; main(['--help']); print('torch' in sys.modules)"
    assert run_python(code, tmp_path).endswith("False\n")


def test_the_style_is_kept():
    ruff = [sys.executable, "-m", "ruff", "check", "--quiet", "--output-format=concise", "."]
    done = subprocess.run(ruff, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


# ---- packaging -------------------------------------------------------------------------------------------------------

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
EXTRAS = PROJECT["optional-dependencies"]
REQUIREMENTS = [Requirement(text) for texts in (PROJECT["dependencies"], *EXTRAS.values()) for text in texts]


def test_dependencies_are_ranges_and_the_verified_versions_are_in_them():
    versions = constraints()
    for need in REQUIREMENTS:
        assert {part.operator for part in need.specifier} <= {">=", "<", "!="}, f"{need} is a pin"
        assert need.specifier.contains(versions[canonicalize_name(need.name)]), f"{need} leaves out what was verified"


def test_what_is_imported_is_declared_and_what_is_declared_is_used():
    outside = {name.split(".")[0] for path in MODULES for name in imported(path)}
    declared = {canonicalize_name(Requirement(text).name) for text in PROJECT["dependencies"]}
    found, used = importlib.metadata.packages_distributions(), set()
    for name in outside - sys.stdlib_module_names - {"course_lib"}:
        makers = {canonicalize_name(distribution) for distribution in found[name]}
        used |= makers & declared or makers
    assert used - {"jupyterlab"} == declared  # an extra: `course lab` says so where it is missing


def test_nothing_we_need_replaces_what_colab_brings():
    """No package that comes with the course asks for another torch, numpy or ipywidgets than Colab's."""
    waiting, seen = [Requirement(text) for text in PROJECT["dependencies"]], set()
    while waiting:
        need = waiting.pop()
        name = canonicalize_name(need.name)
        if name in COLAB:
            assert need.specifier.contains(COLAB[name]), f"{need} would replace Colab's {COLAB[name]}"
        if name in seen or name in COLAB:
            continue
        seen.add(name)
        for text in importlib.metadata.requires(name) or []:
            inner = Requirement(text)
            if inner.marker is None or any(inner.marker.evaluate({"extra": extra}) for extra in need.extras or {""}):
                waiting.append(inner)


# ---- notebooks -------------------------------------------------------------------------------------------------------

NOTEBOOKS = sorted([*(ROOT / "notebooks").glob("*.ipynb"), *(ROOT / "exercises").glob("*.ipynb")])
GENERATE = "run `make notebooks` and commit the result"


def test_regenerating_changes_nothing():
    from notebooks.generate import everything, present

    wanted = everything()
    assert present() == wanted.keys(), GENERATE
    for path, text in wanted.items():
        same = path.read_text(encoding="utf-8") == text
        assert same, f"{path.relative_to(ROOT)} is not what its source gives: {GENERATE}"


def test_generating_twice_gives_the_same():
    from notebooks.generate import everything

    assert everything() == everything()


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_a_notebook_is_committed_clean(path):
    from notebooks.generate import setup_cell

    notebook = json.loads(path.read_text(encoding="utf-8"))
    assert "widgets" not in notebook["metadata"]
    for cell in notebook["cells"]:
        assert not cell.get("outputs") and cell.get("execution_count") is None
    first = notebook["cells"][0]
    assert "".join(first["source"]) == setup_cell().source and "setup" in first["metadata"]["tags"]
    ids = [cell["id"] for cell in notebook["cells"]]
    assert len(ids) == len(set(ids))


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_headings_are_in_order(path):
    """One title; a heading is at most one level below the one before it."""
    notebook = json.loads(path.read_text(encoding="utf-8"))
    text = "\n".join("".join(cell["source"]) for cell in notebook["cells"] if cell["cell_type"] == "markdown")
    text = re.sub(r"^(```|~~~).*?^\1", "", text, flags=re.M | re.S)  # a comment in a code block is no heading
    levels = [len(marks) for marks in re.findall(r"^(#+) ", text, flags=re.M)]
    assert levels[0] == 1 and levels.count(1) == 1
    for above, below in pairwise(levels):
        assert below <= above + 1, f"heading level {below} after {above}"
