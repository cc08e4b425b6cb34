"""The learner's side: what `check` shows and keeps, and what `my_parts` makes of it."""

import json
import os
import re
import stat
import time
from dataclasses import fields

import pytest
import torch
from IPython.core.interactiveshell import InteractiveShell
from IPython.utils.capture import capture_output

from course_lib import attention, workshop
from course_lib.config import ModelConfig
from course_lib.errors import CourseError
from course_lib.exercises import bank, exercise
from course_lib.parts import REFERENCE, Parts
from course_lib.torch_bridge import to_torch
from course_lib.transformer import Transformer
from course_lib.workshop import check, hint, home, my_parts, progress, quiz, solution
from tests.unseen_answers import FEED, HEAD, MHA, NORM, RIGHT

SOFTMAX = """\
import torch

def softmax(x):
    e = (x - x.amax(-1, keepdim=True)).exp()
    return e / e.sum(-1, keepdim=True)
"""
UNSTABLE = "def softmax(x):\n    return x.exp() / x.exp().sum(-1, keepdim=True)"


class Notebook:
    """IPython's shell: runs cells and keeps what they show."""

    def __init__(self) -> None:
        InteractiveShell.clear_instance()
        self.shell = InteractiveShell.instance()
        self.shell.history_manager.enabled = False
        self.run("from course_lib.workshop import check, hint, my_parts, progress, quiz, solution")

    def run(self, source: str) -> list[dict]:
        """What the cell displays: a dict of MIME types for each output."""
        with capture_output() as captured:
            self.result = self.shell.run_cell(source, store_history=True)
        self.printed = captured.stdout
        return [output.data for output in captured.outputs]

    def text(self, source: str) -> str:
        return "\n".join(data["text/plain"] for data in self.run(source))


@pytest.fixture
def notebook():
    made = Notebook()
    yield made
    InteractiveShell.clear_instance()


@pytest.fixture
def kept(course_home):
    return course_home / "parts"


# --- check in a notebook ----------------------------------------------------------------------------------------------


def test_the_road_from_nothing_to_kept(notebook, kept):
    assert notebook.text("check('softmax')").startswith("softmax: not attempted: `softmax` is not defined here")
    notebook.run(exercise("softmax").starter)
    assert notebook.text("check('softmax')") == "softmax: not attempted"
    assert not kept.exists()
    notebook.run(UNSTABLE)
    said = notebook.text("check('softmax')")
    assert said.startswith("softmax: 7 of 10 points") and "overflows to inf" in said and "seed=" in said
    assert not kept.exists() and progress().to_json()["points"] == 7
    notebook.run(SOFTMAX)
    said = notebook.text("check('softmax')")
    assert said.startswith("softmax: 10 of 10 points") and "Kept: `my_parts()` builds models with it" in said
    assert (kept / "softmax.py").read_text().endswith(SOFTMAX.replace("import torch\n\n", ""))
    assert my_parts().mine() == ["softmax"]


def test_a_result_shows_itself_once_as_html_and_as_text(notebook):
    notebook.run(SOFTMAX)
    (data,) = notebook.run("check('softmax')")
    assert data["text/html"].startswith("<div") and "<script" not in data["text/html"]
    assert "points" not in notebook.printed, "as the last value of the cell it is not shown again"
    assert notebook.run("result = check('softmax')") and notebook.run("result") == []
    assert "points" not in notebook.printed
    notebook.run("'seen'")
    assert "'seen'" in notebook.printed
    assert repr(notebook.shell.user_ns["result"]) == "<softmax: 10 of 10 points>"
    assert notebook.shell.user_ns["result"].passed


def test_the_object_itself_can_be_handed_over(notebook, kept):
    notebook.run(SOFTMAX)
    assert "10 of 10 points" in notebook.text("check(softmax)")
    notebook.run(SOFTMAX.replace("def softmax", "def mine"))
    (kept / "softmax.py").unlink()
    assert "10 of 10 points" in notebook.text("check('softmax', mine)")
    assert (kept / "softmax.py").read_text().endswith("\n\nsoftmax = mine\n") and my_parts().mine() == ["softmax"]


def test_helpers_are_kept_with_it(notebook, kept):
    notebook.run("import torch\nimport math as m\nUNUSED = m.pi")
    notebook.run("%pwd\nclass Largest:\n    axis = -1\n    def of(self, x): return x.amax(self.axis, keepdim=True)")
    notebook.run("1 / 0")
    notebook.run("def softmax(x):\n    e = torch.exp(x - Largest().of(x))\n    return e / e.sum(-1, keepdim=True)")
    assert "Kept" in notebook.text("check('softmax')")
    source = (kept / "softmax.py").read_text()
    assert "class Largest" in source and "UNUSED" not in source and "pwd" not in source
    my_parts().softmax(torch.ones(3))


def test_what_cannot_stand_alone_is_not_kept_and_that_is_said(notebook, kept):
    notebook.run("import torch, builtins\nbuiltins.secret_scale = 1.0")
    notebook.run("def make():\n    one = torch.tensor(1.0)\n    def f(x): return (x * one).softmax(-1)\n    return f")
    notebook.run("softmax = make()")
    assert "Kept" in notebook.text("check('softmax')")  # a closure can: its maker is kept
    notebook.run("globals()['padding_mask'] = lambda ids, pad_id: (ids != pad_id)[:, None, None]")
    said = notebook.text("check('padding_mask')")
    assert "8 of 8 points" in said and "not kept: its source is not known here" in said
    notebook.run("table = [99]\ndef padding_mask(ids, pad): return (ids != pad)[: globals()['table'][0], None, None]")
    said = notebook.text("check('padding_mask')")
    assert "8 of 8 points" in said and "alone it does not run" in said and "KeyError" in said
    assert not (kept / "padding_mask.py").exists()


def test_a_spot_the_bug_is_kept_but_is_no_part(notebook, kept):
    notebook.run("import math, torch")
    broken = exercise("spot_the_bug_03").starter
    notebook.run(broken)
    assert notebook.text("check('spot_the_bug_03')") == "spot_the_bug_03: not attempted"
    wrong = r"    total = .*\n    weights = .*\n    value = .*\n    return .*"
    repaired = re.sub(wrong, "    return scores.softmax(-1) @ value", broken)
    notebook.run(repaired)
    assert "Done, and kept." in notebook.text("check('spot_the_bug_03')")
    assert (kept / "spot_the_bug_03.py").exists() and my_parts().mine() == []


def test_the_librarys_own_object_is_not_yours(notebook, kept):
    notebook.run("from course_lib.attention import softmax")
    said = notebook.text("check('softmax')")
    assert "library's own" in said and said.count("\n") == 0
    assert not kept.exists() and progress().to_json()["points"] == 0


def test_using_the_operator_is_pointed_out(notebook):
    notebook.run("import torch\nsoftmax = torch.nn.Softmax(dim=-1)")
    said = notebook.text("check('softmax')")
    assert "10 of 10" in said and "Your code uses `Softmax` of a library" in said


def test_the_same_seed_repeats_the_numbers(notebook):
    notebook.run(UNSTABLE)
    seed = re.search(r"seed=(\d+)", notebook.text("check('softmax')"))[1]
    assert notebook.text(f"check('softmax', seed={seed})") == notebook.text(f"check('softmax', seed={seed})")
    assert notebook.text("check('softmax')") != notebook.text("check('softmax')")


def test_an_unknown_exercise_is_one_line(notebook):
    notebook.run("check('softmx')")
    error = notebook.result.error_in_exec
    assert isinstance(error, CourseError) and "did you mean softmax?" in str(error)
    assert notebook.printed.strip() == "CourseError: there is no exercise 'softmx'; did you mean softmax?"
    notebook.run("check(len)")
    assert "there is no exercise 'len'" in notebook.printed


def test_a_check_takes_a_tenth_of_a_second(notebook):
    """Of processor time, after the first."""
    for e in bank().values():
        notebook.shell.user_ns[e.id] = e.alternatives[0]
        taken = []
        for _ in range(4):
            started = time.process_time()
            notebook.run(f"check('{e.id}')")
            taken.append(time.process_time() - started)
        assert min(taken[1:]) < 0.1, e.id


# --- elsewhere --------------------------------------------------------------------------------------------------------


def test_in_a_script(tmp_path, capsys, kept):
    script = tmp_path / "s.py"
    script.write_text(f"{SOFTMAX}\nfrom course_lib.workshop import check\nr = check('softmax')\ncheck('causal_mask')\n")
    namespace = {"__name__": "script", "__file__": str(script)}
    exec(compile(script.read_text(), str(script), "exec"), namespace)
    said = capsys.readouterr().out
    assert "softmax: 10 of 10 points" in said and "  ✓ values (3/3)" in said and "`causal_mask` is not defined" in said
    assert (kept / "softmax.py").exists() and namespace["r"].passed


def test_in_a_function(capsys):
    def causal_mask(t_q, t_k):
        return torch.ones(t_q, t_k).bool().tril(t_k - t_q)

    assert check("causal_mask").passed
    assert "8 of 8" in capsys.readouterr().out


def test_home(monkeypatch, tmp_path):
    monkeypatch.setenv("COURSE_HOME", str(tmp_path / "mine"))
    assert home() == tmp_path / "mine"
    monkeypatch.delenv("COURSE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr(workshop, "COLAB_DRIVE", tmp_path / "no drive")
    assert home() == tmp_path / ".transformer-workshop"
    (tmp_path / "drive").mkdir()
    monkeypatch.setattr(workshop, "COLAB_DRIVE", tmp_path / "drive")
    assert home() == tmp_path / "drive/transformer-workshop"


def test_a_home_that_cannot_be_written(notebook, monkeypatch, tmp_path):
    (tmp_path / "file").write_text("not a folder")
    monkeypatch.setenv("COURSE_HOME", str(tmp_path / "file"))
    notebook.run(SOFTMAX)
    said = notebook.text("check('softmax')")
    assert "10 of 10 points" in said and said.count("Nothing was kept") == 1 and "Set COURSE_HOME" in said
    assert my_parts().mine() == [] and progress().to_json()["done"] == 0


def test_nothing_half_written_stays(course_home, monkeypatch, capsys):
    monkeypatch.setattr(os, "replace", lambda *_: (_ for _ in ()).throw(OSError(28, "No space left on device")))
    check("softmax", bank()["softmax"].alternatives[0])
    assert "No space left on device" in capsys.readouterr().out
    assert [path for path in course_home.rglob("*") if path.is_file()] == []


def test_kept_code_is_readable_by_its_owner(notebook, kept):
    notebook.run(SOFTMAX)
    notebook.run("check('softmax')")
    assert (kept / "softmax.py").stat().st_mode & stat.S_IRUSR


# --- my_parts ---------------------------------------------------------------------------------------------------------


def keep(kept, id, source):
    kept.mkdir(parents=True, exist_ok=True)
    (kept / f"{id}.py").write_text(source)


def test_without_anything_kept_it_is_the_library():
    parts = my_parts()
    assert isinstance(parts, Parts) and parts.mine() == [] and parts.problems == ()
    assert parts.softmax is REFERENCE.softmax
    assert f"0 of {len(Parts.__dataclass_fields__)} parts are yours" in str(parts)


def test_yours_and_the_librarys(kept):
    keep(kept, "softmax", SOFTMAX)
    keep(kept, "my_notes", "1 / 0")
    parts = my_parts()
    assert parts.mine() == ["softmax"] and parts.problems == ()
    assert parts.softmax is not REFERENCE.softmax and parts.causal_mask is REFERENCE.causal_mask
    assert my_parts().softmax is parts.softmax, "loaded once"
    html = parts._repr_html_()
    assert html.count("✓ yours") == 1 and "<script" not in html
    assert re.search(r"softmax +yours\n  causal_mask +the library", str(parts))


@pytest.mark.parametrize(
    ("source", "problem"),
    [
        (UNSTABLE, "large: with x [5]: expected"),
        ("def softmax(:", "SyntaxError"),
        ("import nowhere_to_be_found\n" + SOFTMAX.replace("x -", "nowhere_to_be_found.x -"), "No module named"),
        ("", "it does not define softmax"),
        ("def softmax(x): raise ValueError('no')", "it raised ValueError: no"),
        ("from course_lib.attention import softmax", "the library's own"),
    ],
)
def test_a_part_that_no_longer_works_is_named_and_replaced(kept, source, problem):
    keep(kept, "softmax", source)
    keep(kept, "causal_mask", "import torch\ncausal_mask = lambda q, k: torch.ones(q, k).bool().tril(k - q)")
    parts = my_parts()
    assert parts.mine() == ["causal_mask"] and parts.softmax is attention.softmax
    (said,) = parts.problems
    assert said.startswith(f"Your softmax in {kept / 'softmax.py'} cannot be used") and problem in said
    assert said in str(parts) and "cannot be used" in parts._repr_html_()


def test_a_changed_part_is_loaded_anew(kept):
    keep(kept, "softmax", SOFTMAX)
    first = my_parts().softmax
    keep(kept, "softmax", SOFTMAX + "# better\n")
    assert my_parts().softmax is not first


def test_a_model_is_built_from_them(kept):
    keep(kept, "scaled_dot_product_attention", bank_source_of_attention())
    parts = my_parts()
    assert parts.mine() == ["scaled_dot_product_attention"]
    config = ModelConfig(vocab_size=11, d_model=8, n_heads=2, d_ff=12, n_layers=1, dropout=0.0)
    torch.manual_seed(0)
    reference = Transformer(config)
    torch.manual_seed(0)
    own = Transformer(config, parts)
    source, target = torch.randint(1, 11, (2, 5)), torch.randint(1, 11, (2, 4))
    torch.testing.assert_close(own(source, target), reference(source, target))


def bank_source_of_attention() -> str:
    return (
        "import torch\n\ndef scaled_dot_product_attention(query, key, value, mask=None):\n"
        "    scores = query @ key.mT / query.shape[-1] ** 0.5\n"
        "    if mask is not None:\n        scores = scores.masked_fill(~mask, -torch.inf)\n"
        "    return scores.softmax(-1).nan_to_num() @ value\n"
    )


# --- progress, hints, solutions, quizzes ------------------------------------------------------------------------------


def test_progress_keeps_the_best(notebook, course_home):
    assert progress().to_json()["points"] == 0
    notebook.run(SOFTMAX)
    notebook.run("check('softmax')")
    notebook.run(UNSTABLE)
    notebook.run("check('softmax')")
    found = progress().to_json()
    (third,) = [c for c in found["chapters"] if c["chapter"] == 3]
    assert (third["done"], third["points"]) == (1, 10) and third["total"] >= 5
    assert third["exercises"][0] == {"id": "softmax", "title": "Softmax", "done": True, "points": 10, "max_points": 10}
    assert json.loads(json.dumps(found)) == found
    assert "✓ softmax (10/10)" in str(progress()) and "✓ <code" in progress()._repr_html_()


@pytest.mark.parametrize("content", ["", "{", "[]", '{"softmax": "many"}', '{"softmax": null}', "7", '{"softmax": 99}'])
def test_a_spoiled_progress_file_does_no_harm(course_home, content, capsys):
    (course_home / "progress.json").write_text(content)
    assert progress().to_json()["points"] in (0, 10)
    check("softmax", bank()["softmax"].alternatives[0])
    assert "10 of 10" in capsys.readouterr().out and progress().to_json()["points"] == 10


def test_hints_come_one_after_the_other(capsys):
    hints = []
    for _ in exercise("softmax").checks:
        hint("softmax")
        hints.append(capsys.readouterr().out)
    assert len(set(hints)) == len(hints) and hints[0].startswith("Hint 1 of 5. values: ")
    assert 'solution("softmax")' in hints[-1]


def test_the_solution_is_the_library(capsys, notebook):
    solution("scaled_dot_product_attention")
    (data,) = notebook.run("solution('spot_the_bug_03')")
    assert data["text/html"].startswith("<details>") and "def self_attention" in data["text/html"]
    source = data["text/plain"]
    namespace = {}
    exec(source, namespace)
    assert callable(namespace["self_attention"])


@pytest.mark.parametrize("id", list(bank()))
def test_every_solution_runs_alone(id, capsys):
    InteractiveShell.clear_instance()
    solution(id)
    namespace = {}
    exec(capsys.readouterr().out, namespace)
    assert exercise(id).reference.__name__ in namespace


def test_a_quiz_loads_nothing_from_outside(notebook):
    html, script = notebook.run("quiz(3)")
    code = script["application/javascript"]
    assert not re.search(r"^\s*if \(typeof MathJax", code, re.MULTILINE), "what would fetch MathJax is never reached"
    assert "(E008)" in code and "<div id=" in html["text/html"]
    assert "https:" not in code + html["text/html"]


def test_a_quiz_in_a_terminal_is_text(capsys):
    InteractiveShell.clear_instance()
    quiz(3)
    assert capsys.readouterr().out.startswith("1. You replace the fourth word")
    with pytest.raises(CourseError, match="no quiz for chapter 99"):
        quiz(99)


def test_sheet_in_a_browser(lab_page):
    """In a real JupyterLab: the checks show their cards, and a quiz answers a click; nothing comes from outside."""
    lab_page.open("exercises/03_attention.ipynb")
    assert lab_page.run_all_cells() == []
    cards = lab_page.page.locator(".jp-OutputArea-output [role=status]", has_text="not attempted")
    assert cards.count() == sum(e.chapter == 3 for e in bank().values())
    options = lab_page.page.locator(".jp-OutputArea-output label.MCButton", has_text="Only the fourth")
    options.first.scroll_into_view_if_needed()
    lab_page.click(options.first)
    lab_page.page.locator(".Feedback", has_text="document 000, §2.5").first.wait_for(timeout=5_000)
    assert lab_page.problems() == []


@pytest.mark.parametrize("norm", ["pre", "post"])
def test_by_the_end_of_chapter_07_a_whole_model_is_ones_own(course_home, norm):
    """Every part of ``Parts`` has an exercise; a model of learners' parts alone is PyTorch's, weight for weight."""
    names = [part.name for part in fields(Parts)]
    (course_home / "parts").mkdir()
    for name in names:  # what a layer imports from the library is replaced by learners' code, too
        whole = NORM + FEED + MHA + re.sub("from course_lib.*", "", RIGHT[name][0])
        source = HEAD + (whole if name.endswith("coderLayer") else RIGHT[name][0])
        (course_home / "parts" / f"{name}.py").write_text(source, encoding="utf-8")
    parts = my_parts()
    assert parts.mine() == names and parts.problems == ()
    model = Transformer(ModelConfig(vocab_size=20, d_model=16, n_heads=4, d_ff=24, n_layers=2, norm=norm), parts).eval()
    for module in model.modules():
        library = type(module).__module__.startswith("course_lib.") and type(module).__name__ in names
        assert not library, f"{type(module).__name__} is the library's"
    source, target_in = torch.tensor([[5, 6, 7, 2], [8, 2, 0, 0]]), torch.tensor([[1, 9, 4], [1, 11, 12]])
    padding = source == 0
    states = to_torch(model)(
        model.embed(source), model.embed_target(target_in), tgt_mask=torch.ones(3, 3, dtype=torch.bool).triu(1),
        src_key_padding_mask=padding, memory_key_padding_mask=padding,
    )  # fmt: skip
    torch.testing.assert_close(model(source, target_in), model.logits(states), atol=1e-5, rtol=1e-4)
