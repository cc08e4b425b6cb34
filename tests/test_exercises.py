"""Every exercise of the bank: its checks let what is right pass, and stop and name what is wrong."""

import builtins
import inspect
import json
import math
import re
from dataclasses import replace
from functools import partial

import nbformat
import pytest
import torch
from nbformat.v4 import new_code_cell

from course_lib.errors import CourseError
from course_lib.exercises import bank, chapter_exercises, exercise, exercises_of, sheets
from course_lib.grading import in_process, sources
from course_lib.grading.judge import compare, judge
from course_lib.grading.submission import judge_submission, library_calls
from course_lib.grading.values import plain
from course_lib.parts import Parts
from tests.conftest import ROOT
from tests.confusion import SEEDS, ask, failed, full_marks, row
from tests.execution import execute
from tests.unseen_answers import HEAD, RIGHT, WRONG

EXERCISES = list(bank().values())
CHAPTERS = sorted({e.chapter for e in EXERCISES})
# The design's section 5: what is called from outside, exactly so.
SIGNATURES = {
    1: "rnn_forward(x, w_x, w_h, b, h0) lstm_step(x, h, c, w_x, w_h, b) receptive_field(kernel_size, n_layers) "
    "attention_flops(n, d)",
    2: "masked_softmax(scores, mask) additive_scores(query, keys, w_q, w_k, v)",
    3: "softmax(x) causal_mask(t_q, t_k) padding_mask(ids, pad_id) "
    "scaled_dot_product_attention(query, key, value, mask=None)",
    4: "sinusoidal_encoding(length, d_model) LearnedPositions(max_len, d_model) apply_rotary(x, positions) "
    "alibi_bias(n_heads, t_q, t_k)",
    5: "split_heads(x, n_heads) merge_heads(x) MultiHeadAttention(d_model, n_heads)",
    6: "LayerNorm(d_model, eps=1e-5) gelu(x) FeedForward(d_model, d_ff) "
    'EncoderLayer(d_model, n_heads, d_ff, norm="pre")',
    7: 'shift_right(ids, bos_id) DecoderLayer(d_model, n_heads, d_ff, norm="pre") '
    "count_parameters(d_model, n_heads, d_ff, n_layers, vocab_size)",
    8: "most_frequent_pair(words) merge_pair(words, pair) bpe_encode(word, merges) pad_batch(sequences, pad_id)",
    9: "smoothed_cross_entropy(logits, targets, smoothing, pad_id) noam_rate(step, d_model, warmup) "
    "adam_step(parameter, gradient, m, v, step, lr, beta1, beta2, eps)",
    10: "greedy_decode(step, bos_id, eos_id, max_len) top_p_filter(probabilities, p) bleu(hypotheses, references) "
    "beam_search(step, bos_id, eos_id, beam_size, max_len, length_penalty)",
    11: "alignment_error_rate(predicted, gold) attention_rollout(maps)",
}
CORE = {chapter: re.findall(r"\w+\([^)]*\)", text) for chapter, text in SIGNATURES.items()}

each_exercise = pytest.mark.parametrize("e", EXERCISES, ids=lambda e: e.id)
each_misconception = pytest.mark.parametrize(
    ("e", "misconception"), [pytest.param(e, m, id=f"{e.id}-{m.id}") for e in EXERCISES for m in e.misconceptions]
)


@each_exercise
def test_definition_is_complete(e):
    assert len(e.checks) >= 3 and len(e.misconceptions) >= 5 and len(e.alternatives) >= 2
    assert 1 <= e.difficulty <= 5 and e.minutes > 0 and e.statement.strip() and e.title and e.read_again
    for things in (e.checks, e.misconceptions):
        assert len({thing.id for thing in things}) == len(things)
    earlier = set()
    for check in e.checks:
        assert set(check.needs) <= earlier, "a check needs earlier ones"
        assert check.points > 0 and check.hint
        earlier.add(check.id)
    assert all(m.message for m in e.misconceptions)
    assert all(re.fullmatch(r"C\d\d", concept) for concept in e.concepts)
    assert all(re.fullmatch(r"E\d\d\d", erratum) for erratum in e.errata)
    assert e.signature.partition("(")[0] == e.id


@each_exercise
def test_the_section_to_read_again_is_there(e):
    chapter, section = re.fullmatch(r"chapter (\d\d), “(.+)”", e.read_again).groups()
    assert int(chapter) == e.chapter
    (source,) = (ROOT / "notebooks/source").glob(f"{chapter}_*.py")
    headings = re.findall(r"^# #+ (.*)$", source.read_text(encoding="utf-8"), re.MULTILINE)
    assert any(section in heading for heading in headings)


@each_exercise
def test_the_reference_is_the_library(e):
    assert e.reference.__module__.startswith("course_lib.")
    if e.id in Parts.__dataclass_fields__:
        part = Parts.__dataclass_fields__[e.id].default
        assert e.reference in (part, *getattr(part, "__bases__", ()))  # the fused norm stands for the one written out


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_the_chapter_has_the_exercises_of_the_design(chapter):
    found = chapter_exercises(chapter)
    assert set(CORE.get(chapter, [])) <= {e.signature for e in found}
    assert any(e.id.startswith("spot_the_bug") for e in found)


@each_exercise
@pytest.mark.parametrize("seed", SEEDS)
def test_reference_and_alternatives_get_full_marks(e, seed):
    for right in (e.reference, *e.alternatives):
        assert full_marks(e, right, seed), f"{right}\n{ask(e, right, seed)}"


@each_misconception
@pytest.mark.parametrize("seed", SEEDS)
def test_misconception_fails_and_is_named(e, misconception, seed):
    wrong = failed(ask(e, misconception.implementation, seed))
    assert wrong, "it passes"
    for check in wrong:
        assert check.misconception == misconception.id, check
        assert misconception.message in check.message


def test_the_confusion_table_says_what_these_tests_say():
    e = exercise("softmax")
    whole = row(e)
    assert whole["failed"] == whole["named"] == whole["misconceptions"] == len(e.misconceptions)
    assert whole["full_marks"] == whole["right_answers"] == len(e.alternatives) + 1
    one, other, *_ = e.misconceptions
    broken = replace(e, misconceptions=(one, replace(other, implementation=one.implementation)), alternatives=(len,))
    assert row(broken)["confused"] == {other.id: [one.id]} and row(broken)["refused"] == ["right answer 1"]


@each_exercise
def test_what_it_builds_on_comes_before(e):
    ids = list(bank())
    assert all(ids.index(need) < ids.index(e.id) for need in e.requires)


@each_exercise
def test_starter_is_not_attempted(e):
    loaded = in_process.load(sources.from_history([e.starter]))
    assert not loaded.flags, "the starter raises where it is defined"
    submission = sources.Submission("sheet.ipynb", ROOT, sources.from_history([e.starter]))
    result = judge_submission(submission, [e], seed=5).exercises[0]
    assert {check.status for check in result.checks} == {"missing"} and result.points == 0
    assert {check.message for check in result.checks} == {"not attempted"}
    if not e.id.startswith("spot_the_bug"):  # without its source, too
        assert ask(e, loaded.namespace[e.id]).missing


@each_exercise
def test_starter_has_the_signature(e):
    wanted = f"def wanted{e.signature[len(e.id):]}: ..."
    namespace = in_process.load(sources.from_history([e.starter, wanted])).namespace
    made, wanted = (list(inspect.signature(namespace[name]).parameters) for name in (e.id, "wanted"))
    assert made == wanted


def test_a_broken_starter_is_really_broken():
    for e in EXERCISES:
        if e.id.startswith("spot_the_bug"):
            loaded = in_process.load(sources.from_history(["import math, torch", e.starter]))
            assert ask(e, loaded.namespace[e.id]).points == 0


@each_exercise
def test_observers_travel_alone(e):
    """An observer's source, in an empty namespace, sees what the observer itself sees."""
    for check in e.checks:
        source, namespace = inspect.getsource(check.observe), {"torch": torch, "math": math}
        (statement,) = sources.from_history([source])[0].statements
        assert {name for name in statement.now | statement.later if not hasattr(builtins, name)} <= set(namespace)
        exec(source, namespace)
        alone = namespace[check.observe.__name__]
        inputs = check.inputs(11)
        assert compare(plain(alone(e.reference, inputs)), plain(check.expected(check.inputs(11))), check.atol) is None


@each_exercise
def test_inputs_are_plain_and_fresh(e):
    for check in e.checks:
        first, again, other = (check.inputs(seed) for seed in (3, 3, 4))
        assert compare(plain(first), plain(again), 0, 0) is None, "the same seed gives the same inputs"
        assert compare(plain(first), plain(other), 0, 0) is not None, "another seed gives others"
        assert "Foreign" not in repr(plain(first))


@each_exercise
def test_the_librarys_own_object_earns_nothing(e):
    for own in (e.reference, partial(e.reference)):
        result = judge(e, in_process.observer(e, own), 0)
        assert result.points == 0 and result.library_object
        assert {check.status for check in result.checks} == {"failed"}
        assert "the library's own" in result.checks[0].message


@each_exercise
def test_signatures_are_called_by_position(e):
    """What the parameters are called is the learner's affair."""
    renamed = lambda *arguments: e.reference(*arguments)  # noqa: E731
    assert ask(e, renamed).passed


def solved_sheet(chapter):
    """The problem sheet with the library's own code as the answers."""
    sheet = sheets.problem_sheet(chapter)
    for cell in sheet.cells:
        if "exercise" in cell.metadata:
            e = exercise(cell.metadata["exercise"])
            module = sources.from_history([inspect.getsource(inspect.getmodule(e.reference))])
            cell.source = sources.standalone(e.reference.__name__, module)
            if e.reference.__name__ != e.id:
                cell.source += f"\n{e.id} = {e.reference.__name__}"
    return sheet


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_sheet_is_whole_and_always_the_same(chapter):
    sheet = sheets.problem_sheet(chapter)
    assert nbformat.writes(sheet) == nbformat.writes(sheets.problem_sheet(chapter))
    nbformat.validate(sheet)
    assert [c.metadata["exercise"] for c in sheet.cells if "exercise" in c.metadata] == [
        e.id for e in chapter_exercises(chapter)
    ]
    assert len({cell.id for cell in sheet.cells}) == len(sheet.cells)


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_sheet_untouched_runs_and_says_not_attempted(chapter, tmp_path):
    run = execute(sheets.problem_sheet(chapter), tmp_path, tmp_path)
    assert run.errors == [] and run.network == []
    shown = {cell.id: str(cell.get("outputs", "")) for cell in run.notebook.cells}
    for e in chapter_exercises(chapter):
        assert "not attempted" in shown[f"{e.id}-check"]


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_sheet_solved_gets_full_marks(chapter, tmp_path, course_home):
    sheet = solved_sheet(chapter)
    sheet.cells.append(new_code_cell("print(len(my_parts().mine()), 'mine', progress().to_json()['points'])", id="end"))
    sheet.cells[1].source += ", progress"
    run = execute(sheet, tmp_path, tmp_path)
    assert run.errors == []
    shown = {cell.id: str(cell.get("outputs", "")) for cell in run.notebook.cells}
    exercises = chapter_exercises(chapter)
    for e in exercises:
        assert f"{e.points} of {e.points} points" in shown[f"{e.id}-check"]
        assert "kept" in shown[f"{e.id}-check"].lower()
    parts = sum(e.id in Parts.__dataclass_fields__ for e in exercises)
    assert f"{parts} mine {sum(e.points for e in exercises)}" in shown["end"]
    nbformat.write(sheet, tmp_path / "sheet.ipynb")
    submission = sources.read(tmp_path / "sheet.ipynb")
    # A solution may bring other exercises' functions along, and then these are judged as well.
    assert [e for e in exercises_of(submission) if e.chapter == chapter] == exercises
    result = judge_submission(submission, exercises, seed=8)
    assert result.points == result.max_points > 0 and result.flags == ()


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_quiz_gives_a_reason_for_every_wrong_option(chapter):
    questions = sheets.quiz_questions(chapter)
    assert len(questions) >= 5
    for question in questions:
        assert question["type"] == "multiple_choice" and question["question"]
        answers = question["answers"]
        assert sum(answer["correct"] for answer in answers) == 1 and len(answers) >= 3
        assert all(answer["feedback"].strip() for answer in answers)
        assert len({answer["answer"] for answer in answers}) == len(answers)
        assert "$" not in json.dumps(question), "formulas would need MathJax from outside"


def test_unknown_exercise_names_the_closest():
    with pytest.raises(CourseError, match="no exercise 'softmx'; did you mean softmax"):
        exercise("softmx")
    with pytest.raises(CourseError, match="no exercise 'qqqq'; `course exercises` lists them"):
        exercise("qqqq")


# --- answers that are not in the bank ---------------------------------------------------------------------------------

def run_source(id, source, seed):
    cells = sources.from_history([HEAD, source])
    return judge_submission(sources.Submission("x.py", ROOT, cells), [exercise(id)], seed).exercises[0]


@pytest.mark.parametrize(("id", "source"), [(id, source) for id, answers in RIGHT.items() for source in answers])
def test_unseen_right_answers_get_full_marks(id, source):
    for seed in SEEDS:
        assert (result := run_source(id, source, seed)).passed, result


@pytest.mark.parametrize(
    ("id", "right", "old", "new"), [(id, *change) for id, changes in WRONG.items() for change in changes]
)
def test_unseen_wrong_answers_fail(id, right, old, new):
    assert old in right
    for seed in SEEDS:
        result = run_source(id, right.replace(old, new), seed)
        assert not result.passed, result
    if "(e / " not in new:
        assert right.startswith("causal_mask = lambda q, k: torch.ones(q, k).tril") or run_source(id, right, 0).passed


def test_the_operator_itself_is_pointed_out_but_not_failed():
    cells = sources.from_history([HEAD, "def softmax(x):\n    return F.softmax(x, -1)"])
    assert library_calls(exercise("softmax"), cells) == ["softmax"]
    result = judge_submission(sources.Submission("x.py", ROOT, cells), [exercise("softmax")], 0)
    assert result.exercises[0].passed and result.flags == ("library call: softmax is written with a library's softmax",)
