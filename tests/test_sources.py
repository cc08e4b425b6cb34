"""Submissions as source text, and what becomes of them when they run in this process."""

import json
import os
import sys

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_raw_cell

from course_lib.errors import CourseError
from course_lib.exercises import bank, exercise, exercises_of
from course_lib.grading import in_process, sources
from course_lib.grading.submission import judge_submission


def cells(*texts):
    return sources.from_history(texts)


def write_notebook(path, *texts, **metadata):
    nbformat.write(new_notebook(cells=[new_code_cell(text, metadata=metadata) for text in texts]), path)
    return path


# --- reading ----------------------------------------------------------------------------------------------------------


def test_notebook_gives_its_code_cells(tmp_path):
    notebook = new_notebook(
        cells=[
            new_markdown_cell("# x = 1"),
            new_code_cell("x = 1", metadata={"exercise": "softmax"}),
            new_raw_cell("y = 2"),
            new_code_cell("check('causal_mask')"),
            new_code_cell("z = 3", metadata={"exercise": ["not", "a", "name"]}),
        ]
    )
    nbformat.write(notebook, tmp_path / "n.ipynb")
    submission = sources.read(tmp_path / "n.ipynb")
    assert [cell.source for cell in submission.cells] == ["x = 1", "check('causal_mask')", "z = 3"]
    assert submission.name == "n.ipynb" and submission.folder == tmp_path
    assert submission.named() == {"softmax", "causal_mask"} and submission.defined() == {"x", "z"}


def test_old_notebooks_and_byte_order_marks_are_read(tmp_path):
    old = {
        "nbformat": 3, "nbformat_minor": 0, "metadata": {},
        "worksheets": [{"cells": [
            {"cell_type": "code", "input": ["x = 1\n", "y = 2"], "language": "python", "outputs": [], "metadata": {}},
        ], "metadata": {}}],
    }  # fmt: skip
    (tmp_path / "old.ipynb").write_bytes(b"\xef\xbb\xbf" + json.dumps(old).encode())
    assert sources.read(tmp_path / "old.ipynb").defined() == {"x", "y"}


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"", "it is empty"),
        (b" \n", "it is empty"),
        (b'{"cells": [', "no JSON in line 1"),
        (b"not\njson", "no JSON in line 1"),
        (b"[]", "JSON, but not of its format"),
        (b"{}", "JSON, but not of its format"),
        (b'"text"', "JSON, but not of its format"),
        (b'{"nbformat": 4, "nbformat_minor": 5, "metadata": {}}', "JSON, but not of its format"),
        (b'{"nbformat": 4, "nbformat_minor": 5, "metadata": {}, "cells": [7]}', "JSON, but not of its format"),
        (b'{"nbformat": 4, "nbformat_minor": 5, "metadata": {}, "cells": [{"cell_type": "code"}]}', "not of its form"),
        (b'{"nbformat": 99, "nbformat_minor": 0, "metadata": {}, "cells": []}', "JSON, but not of its format"),
        (b"[" * 100_000, "not of its format"),
        ("{ümlaut}".encode("latin-1"), "its text is not UTF-8"),
    ],
)
def test_what_is_no_notebook_is_said_to_be_none(tmp_path, content, problem):
    path = tmp_path / "n.ipynb"
    path.write_bytes(content)
    with pytest.raises(CourseError, match=r"n.ipynb is not a notebook: .*" + problem) as error:
        sources.read(path)
    assert "\n" not in str(error.value)


def test_other_files_are_refused(tmp_path):
    (tmp_path / "x.txt").write_text("x")
    (tmp_path / "folder.py").mkdir()
    (tmp_path / "latin.py").write_bytes(b'x = "\xe4"')
    for name, problem in [
        ("x.txt", "neither a notebook"),
        ("none.py", "there is no file"),
        ("folder.py", "there is no file"),
        ("latin.py", "latin.py is not a Python file: its text is not UTF-8"),
    ]:
        with pytest.raises(CourseError, match=problem):
            sources.read(tmp_path / name)


def test_python_file_with_a_declared_encoding(tmp_path):
    (tmp_path / "latin.py").write_bytes(b'# -*- coding: latin-1 -*-\nx = "\xe4"')
    assert in_process.load(sources.read(tmp_path / "latin.py").cells).namespace["x"] == "ä"


def test_each_statement_of_a_python_file_is_a_cell(tmp_path):
    (tmp_path / "x.py").write_text(
        '"""Mine."""\nimport math\nprint(undefined)\n\n\n'
        "@staticmethod\ndef f(x):  # one\n    return math.pi\n\na = 1; b = 2"
    )
    loaded = in_process.load(sources.read(tmp_path / "x.py").cells)
    assert loaded.flags == ("line 3 raised NameError: name 'undefined' is not defined",)
    assert loaded.namespace["f"](0) > 3 and loaded.namespace["b"] == 2
    assert loaded.namespace["f"].__func__.__code__.co_firstlineno in (6, 7)


def test_percent_format_is_cells(tmp_path):
    (tmp_path / "x.py").write_text(
        "# ---\n# jupyter: x\n# ---\n\n# %% [markdown]\n# # Title\n\n# %%\nx = 1\nraise Exception\n\n# %%\ny = 2\n"
    )
    loaded = in_process.load(sources.read(tmp_path / "x.py").cells)
    assert loaded.namespace["x"] == 1 and loaded.namespace["y"] == 2 and len(loaded.flags) == 1


def test_a_file_that_is_no_python_is_flagged(tmp_path):
    (tmp_path / "x.py").write_text("x = 1\ndef f(:\n")
    submission = sources.read(tmp_path / "x.py")
    (flag,) = in_process.load(submission.cells).flags
    assert flag.startswith("the file: SyntaxError in line 2")
    assert exercises_of(submission) == list(bank().values())


# --- magics -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("%matplotlib inline\nx = 1", "pass\nx = 1\n"),
        ("!pip install torch\nx = 1", "pass\nx = 1\n"),
        ("x = 1\nx?", "x = 1\npass\n"),
        ("?x", "pass\n"),
        ("files = !ls\nx = 1", "pass\nx = 1\n"),
        ("x = %pwd", "pass\n"),
        ("if True:\n    !ls\n    x = 1", "if True:\n    pass\n    x = 1\n"),
        ("%%bash\nls\nrm -rf x", "pass\n"),
        ("%%html\n<b>", "pass\n"),
        ("%%time\ndef f():\n    return 1", "\ndef f():\n    return 1"),
        ("\n%%capture out\n%matplotlib inline\nx = 1", "\n\npass\nx = 1\n"),
        ("get_ipython().run_line_magic('pip', 'x')\nx = 1", "pass\nx = 1"),
        ("x = '%s' % 3", "x = '%s' % 3"),
        ("x = 7 % 3\n# !no", "x = 7 % 3\n# !no"),
        ("'''\n!no\n%no\n'''", "'''\n!no\n%no\n'''"),
        ("ä = 'ü'; get_ipython().system('x')", "ä = 'ü'; pass"),
        ("", ""),
        ("# nothing", "# nothing"),
    ],
)
def test_magics_become_pass(text, left):
    (cell,) = cells(text)
    assert cell.error is None and cell.source == left


def test_magics_keep_line_numbers():
    (cell,) = cells("\n%%time\n!a\nx = 1\n\n1 / 0")
    assert "line 6" in in_process.load([cell]).flags[0]


@pytest.mark.parametrize("text", ["def f(:", "x = = 1", "x = '\x00'", "\ufeff\ufeff x", "  x = 1\n y = 2", "(" * 5_000])
def test_what_is_no_python_has_an_error(text):
    (cell,) = cells(text)
    assert cell.error and cell.statements == ()
    good = cells("y = 1")
    loaded = in_process.load([cell, *good])
    assert loaded.namespace["y"] == 1 and len(loaded.flags) == 1


# --- definitions ------------------------------------------------------------------------------------------------------


def test_the_last_definition_counts():
    book = cells("def f(): return 1", "f = lambda: 2\ng = 3", "from os import path as f", "def g(): ...")
    assert sources.definition_of("f", book) == "from os import path as f"
    assert sources.definition_of("g", book) == "def g(): ..."
    assert sources.definition_of("h", book) is None
    assert sources.definition_of("f", book[:1]) == "def f(): return 1"


@pytest.mark.parametrize(
    "text",
    ["def f(): ...", "class f: ...", "f = 1", "f: int = 1", "f += 1", "import f", "import f.g", "import x as f",
     "a, (b, *f) = x", "for f in x: ...", "with x as f: ...", "if x:\n    def f(): ...", "(f := 1)",
     "try:\n    f = 1\nexcept E: ...",
     "async def f(): ...", "@x\ndef f(): ..."],
)  # fmt: skip
def test_every_way_to_bind_a_name(text):
    assert sources.definition_of("f", cells("f = 0", text, "y = 1")) == text


@pytest.mark.parametrize(
    "text", ["f.x = 1", "f[0] = 1", "x = f", "def g(f): ...", "def g():\n    f = 1", "[f for f in x]", "f(1)"]
)
def test_what_does_not_bind_a_name(text):
    assert sources.definition_of("f", cells(text)) is None


def test_changes_belong_to_the_definition():
    book = cells("class f: ...", "f.x = 1", "f['a'] = 2")
    assert sources.definition_of("f", book) == "class f: ...\nf.x = 1\nf['a'] = 2"


def alone(name, *texts):
    """What `name` is when its standalone source is all there is."""
    source = sources.standalone(name, cells(*texts))
    loaded = in_process.load(cells(source))
    assert loaded.flags == (), (source, loaded.flags)
    return loaded.namespace[name], source


def test_standalone_takes_what_is_needed_and_no_more():
    f, source = alone(
        "f",
        "import math\nimport os\nfrom functools import partial as p",
        "raise Exception('not this')",
        "SCALE = 2\nOTHER = 3",
        "def helper(x):\n    return math.sqrt(x) * SCALE",
        "def f(x):\n    OTHER = 1\n    return helper(x) + OTHER",
        "print(f(4))",
    )
    assert f(4) == 5.0
    assert "import os" not in source and "OTHER = 3" not in source and "print" not in source and "raise" not in source


def test_standalone_takes_the_last_helper_even_if_it_comes_later():
    f, _ = alone("f", "def g(): return 1", "def f(): return g()", "def g(): return 2")
    assert f() == 2


def test_standalone_takes_for_a_default_what_was_there_then():
    f, _ = alone("f", "x = 1", "def f(a=x): return a", "x = 2")
    assert f() == 1
    f, _ = alone("f", "class Base:\n    n = 1", "class f(Base): ...", "class Base:\n    n = 2")
    assert f.n == 1


def test_standalone_follows_classes_decorators_and_changes():
    f, source = alone(
        "f",
        "from __future__ import annotations\nimport functools",
        "def twice(g):\n    @functools.wraps(g)\n    def h(x): return 2 * g(x)\n    return h",
        "class Part:\n    size = len('abc')",
        "@twice\ndef f(x: Part) -> Unknown:\n    return x + Part.size + sum(k for k in table)",
        "table = {}",
        "table[5] = 1\nPart.size += 1",
    )
    assert f(1) == 2 * (1 + 4 + 5) and source.startswith("from __future__")


def test_standalone_follows_aug_assignments_and_recursion():
    f, _ = alone("f", "n = 1", "n += 1", "def f(k): return n if k == 0 else g(k - 1)", "def g(k): return f(k)")
    assert f(3) == 2


def test_standalone_takes_star_imports_only_for_names_it_knows_nothing_of():
    f, source = alone("f", "from math import *\nx = 1", "def f(): return sqrt(4) + x")
    assert f() == 3.0
    _, source = alone("f", "from math import *\nx = 1", "def f(): return len('abc') + x")
    assert "math" not in source


def test_standalone_of_an_alias_and_of_nothing():
    f, _ = alone("f", "def mine(x): return x + 1", "f = mine")
    assert f(1) == 2
    assert sources.standalone("f", cells("g = 1")) is None


@pytest.mark.parametrize(
    ("a", "b", "same"),
    [
        ("def f(x):\n    return x", 'def f(x):\n    """New."""\n    # comment\n    return (x)', True),
        ("def f(x): return x", "def f(x): return x + 1", False),
        ("def f(x): return x", "def f(y): return y", False),
        ("class A:\n    'a'\n    def f(s):\n        'b'\n        raise E", "class A:\n    def f(s): raise E", True),
        ("def f(:", "def f(:", False),
    ],
)
def test_same_code(a, b, same):
    assert sources.same_code(a, b) is same


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("y = F.softmax(x)", ["softmax"]),
        ("y = x.softmax(-1)", ["softmax"]),
        ("from torch.nn.functional import softmax as s", ["softmax"]),
        ("from course_lib.attention import softmax", ["softmax"]),
        ("from mine import softmax", []),
        ("def softmax(x): return softmax(x)", []),
        ("# F.softmax", []),
    ],
)
def test_library_calls(text, found):
    assert sources.library_calls(text, ("softmax", "log_softmax")) == found


# --- running ----------------------------------------------------------------------------------------------------------


def test_cells_run_in_order_and_a_raising_one_costs_only_itself():
    loaded = in_process.load(cells("x = 1", "y = x + 1\n1 / 0\nz = 9", "x = y + 1", "import sys; sys.exit(3)", "w = 4"))
    assert (loaded.namespace["x"], loaded.namespace["w"]) == (3, 4) and "z" not in loaded.namespace
    assert loaded.flags == (
        "cell 2 raised ZeroDivisionError: division by zero (line 2: `1 / 0`)",
        "cell 4 raised SystemExit: 3 (line 1: `import sys; sys.exit(3)`)",
    )


def test_what_notebooks_do_is_harmless(capsys, monkeypatch):
    monkeypatch.delenv("MPLBACKEND", raising=False)
    loaded = in_process.load(
        cells(
            "from course_lib.workshop import check, hint, my_parts, quiz, solution",
            "from IPython.display import display, HTML",
            "check('softmax')\nhint('softmax')\nsolution('softmax')\nquiz(3)\nparts = my_parts()",
            "display(HTML('<b>x</b>'), 3)",
            "get_ipython()",
            "import os\nassert os.environ['MPLBACKEND'] == 'Agg'",
            "import matplotlib.pyplot as plt\nplt.plot([1, 2]); plt.show()",
            "print('x' * 10**6)",
            "import warnings; warnings.warn('careful')",
            "import ipywidgets; ipywidgets.IntSlider()",
        )
    )
    assert loaded.flags == () and loaded.namespace["parts"].mine() == []
    assert capsys.readouterr().out == "" and len(loaded.output) <= in_process.OUTPUT_LIMIT
    assert "MPLBACKEND" not in os.environ


def test_there_is_nothing_to_read():
    (flag,) = in_process.load(cells("input('name? ')")).flags
    assert "EOFError" in flag


def test_a_cell_that_takes_too_long_is_stopped():
    loaded = in_process.load(cells("while True: pass", "x = 1"), seconds=0.2)
    assert loaded.flags == ("cell 1 was stopped after 0.2 s",) and loaded.namespace["x"] == 1


def test_modules_know_their_source():
    loaded = in_process.load(
        cells(
            "from __future__ import annotations\nimport inspect, dataclasses",
            "@dataclasses.dataclass\nclass Size:\n    n: int = 3",
            "def f():\n    return 'me'\nsource = inspect.getsource(f)",
        )
    )
    assert loaded.flags == () and loaded.namespace["source"] == "def f():\n    return 'me'\n"
    assert loaded.namespace["Size"]().n == 3


def test_future_imports_hold_for_later_cells_of_the_same_submission_only():
    loaded = in_process.load(cells("from __future__ import annotations", "def f(x: Unknown): ..."))
    assert loaded.flags == () and loaded.namespace["f"].__annotations__ == {"x": "Unknown"}
    assert len(in_process.load(cells("def f(x: Unknown): ...")).flags) == 1


def test_submissions_run_where_they_lie_and_do_not_meet(tmp_path):
    (tmp_path / "beside_it.py").write_text("VALUE = 5\n")
    (tmp_path / "data.txt").write_text("7")
    (tmp_path / "s.py").write_text("from beside_it import VALUE\nn = int(open('data.txt').read())\n")
    submission, here = sources.read(tmp_path / "s.py"), os.getcwd()
    loaded = in_process.load(submission.cells, submission.folder)
    assert loaded.namespace["VALUE"] == 5 and loaded.namespace["n"] == 7
    assert os.getcwd() == here and str(tmp_path) not in sys.path
    assert "n" not in in_process.load(cells("x = 1")).namespace


# --- whole submissions ------------------------------------------------------------------------------------------------


def test_messy_notebook(tmp_path):
    path = write_notebook(
        tmp_path / "messy.ipynb",
        "%matplotlib inline\nimport torch, math\nfrom course_lib.workshop import check",
        "def causal_mask(t_q, t_k):\n    raise NotImplementedError('causal_mask: your code goes here')",
        "check('causal_mask')",
        "softmax = torch.nn.functional.softmax",
        "this cell is broken",
        "%%time\ndef softmax(x):\n    return largest(x).exp() / largest(x).exp().sum(-1, keepdim=True)",
        "softmax(torch.ones(3))",
        "def largest(x):\n    return x - x.amax(-1, keepdim=True)",
        "from course_lib.masks import padding_mask",
        "!rm -rf /nothing",
    )
    submission = sources.read(path)
    result = judge_submission(submission, exercises_of(submission), seed=1)
    by_id = {e.id: e for e in result.exercises}
    assert by_id["softmax"].passed
    assert by_id["causal_mask"].missing and by_id["causal_mask"].checks[0].message == "not attempted"
    assert by_id["padding_mask"].library_object and by_id["padding_mask"].points == 0
    assert by_id["spot_the_bug_03"].checks[0].message == "not attempted: `spot_the_bug_03` is not defined"
    assert {e.chapter for e in exercises_of(submission)} == {3}
    assert [flag.split(":")[0] for flag in result.flags] == [
        "code cell 5", "code cell 7 raised NameError", "library object",
    ]  # fmt: skip


def test_starters_are_recognised_in_disguise():
    for e in bank().values():
        disguised = e.starter.replace('"""', '"""Mine now. ', 1) + "\n# nothing done yet\n"
        submission = sources.Submission("s.py", None, cells("import torch, math", disguised))
        assert judge_submission(submission, [e], 0).exercises[0].missing, e.id


def test_a_wrapper_of_the_librarys_own_is_pointed_out():
    text = "from course_lib.attention import softmax as theirs\ndef softmax(x): return theirs(x)"
    result = judge_submission(sources.Submission("s.py", None, cells(text)), [exercise("softmax")], 0)
    assert result.flags == ("library call: softmax is written with a library's softmax",)


def test_exercises_of_a_submission():
    def ids(*texts):
        return {e.id for e in exercises_of(sources.Submission("s.py", None, cells(*texts)))}

    third = {e.id for e in bank().values() if e.chapter == 3}
    assert ids("def softmax(x): ...") == third
    assert ids("check('causal_mask')", "def helper(): ...") == third
    assert ids("from course_lib.attention import softmax") == ids("x = 1") == set(bank())
