"""The slider views: every control through its range, the numbers against independent ones, the live dashboard."""

import json
import re
import signal
import warnings
from types import SimpleNamespace

import ipywidgets as widgets
import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
import torch.nn.functional as F

from course_lib import positions as library
from course_lib.config import Preset
from course_lib.corpora.pairs import Corpus, Pair
from course_lib.schedules import noam_rate
from course_lib.training import train
from course_lib.views import figures, schemes, training
from course_lib.views.depth import depth_explorer, layer_norm_explorer
from course_lib.views.editing import edit_explorer
from course_lib.views.figures import Picture, Prediction, View, readable, slider
from course_lib.views.heads import heads_side_by_side
from course_lib.views.masks import mask_explorer
from course_lib.views.positions import document_001_encoding, nearest_distances, sinusoid_explorer, wavelengths
from course_lib.views.scaling import N_KEYS, SIZES, dot_products, entropy, scaling_explorer, softmax_gradient
from course_lib.views.schemes import (
    METHODS,
    alibi_explorer,
    diagonal_spread,
    distance_explorer,
    rotary_explorer,
    rotary_score,
    scores_by_method,
)
from course_lib.views.training import TrainingDashboard, plot_metrics, plot_scores_by_time, schedule_view

MAPS = torch.randn(4, 5, 5, generator=torch.Generator().manual_seed(0)).softmax(-1)
VIEWS = {
    "heads_side_by_side": lambda predict=True: heads_side_by_side(MAPS, "a b c d e".split(), predict=predict),
    "depth_explorer": depth_explorer,
    "layer_norm_explorer": layer_norm_explorer,
    "edit_explorer": edit_explorer,
    "mask_explorer": mask_explorer,
    "scaling_explorer": scaling_explorer,
    "sinusoid_explorer": sinusoid_explorer,
    "rotary_explorer": rotary_explorer,
    "alibi_explorer": alibi_explorer,
    "distance_explorer": distance_explorer,
    "schedule_view": schedule_view,
}


@pytest.fixture(params=VIEWS, scope="module")
def view(request):
    return VIEWS[request.param](predict=False)


def visible(view):
    """All that the learner sees: pictures and text."""
    seen, todo = [], [view]
    while todo:
        widget = todo.pop()
        if getattr(widget, "layout", None) is not None and widget.layout.display == "none":
            continue
        if isinstance(widget, (widgets.Image, widgets.HTML)):
            seen.append(bytes(widget.value) if isinstance(widget.value, bytes | memoryview) else widget.value)
        todo += getattr(widget, "children", ())
    return seen


def stops(control, n=5):
    """Some values over a control's whole range, both ends among them."""
    if hasattr(control, "options"):
        return [option[1] if isinstance(option, tuple) else option for option in control.options]
    if isinstance(control, widgets.FloatLogSlider):
        return list(np.logspace(control.min, control.max, n, base=control.base))
    return sorted({round(value) for value in np.linspace(control.min, control.max, n)})


# ---- all views -------------------------------------------------------------------------------------------------------
def test_every_control_moves_through_its_range_and_changes_what_is_seen(view):
    opened, start = plt.get_fignums(), view.values
    for name, control in view.controls.items():
        seen = []
        for value in stops(control):
            view.set(**start)
            if name.startswith(("sentence", "length_")):
                view.set(kind="combined")
            if name == "divisor":
                view.set(scale="free")
            control.value = value
            assert view.failure is None and view.error.value == ""
            seen.append(visible(view))
        assert any(seen[0] != other for other in seen[1:]), f"moving {name} changes nothing"
    view.set(**start)
    assert plt.get_fignums() == opened


def test_what_was_updated_in_place_equals_what_is_drawn_afresh(view):
    """Only live artists are drawn again on a move: nothing that changes may have been left out of them."""
    moves = [(name, value) for name, control in view.controls.items() for value in stops(control)]
    np.random.default_rng(0).shuffle(moves)
    start = view.values
    for name, value in moves[:12]:
        control = view.controls[name]
        if not hasattr(control, "max") or float(value) <= control.max:
            control.value = type(control.value)(value)
        for picture in getattr(view, "pictures", ()):
            updated = np.asarray(picture.figure.canvas.buffer_rgba()).copy()
            picture._draw(full=True)
            afresh = np.asarray(picture.figure.canvas.buffer_rgba())
            assert (updated == afresh).all(), f"{picture.alt} after {name} = {value}"
    view.set(**start)


def test_fifty_moves_leave_no_figure_open_and_no_widget_behind(view):
    opened, alive = plt.get_fignums(), len(visible(view))
    control = next(control for control in view.controls.values() if isinstance(control, widgets.IntSlider))
    before = control.value
    for move in range(50):
        control.value = control.min + move % (control.max - control.min + 1)
    control.value = before
    assert plt.get_fignums() == opened and len(visible(view)) == alive


def test_every_picture_has_a_text_alternative_with_a_number(view):
    for picture in getattr(view, "pictures", ()):
        assert re.search(r"\d", picture.alt) and picture.alt.endswith(".")
        assert "workshop-caption" in picture.caption.value


@pytest.mark.parametrize("make", VIEWS.values(), ids=VIEWS)
def test_the_view_appears_when_the_learner_has_committed_to_an_answer(make):
    view = make()
    question, hidden = view.prediction, next(iter(view.controls.values()))
    inside = lambda: _holds(view, hidden)  # noqa: E731
    assert question.chosen is None and not inside()
    wrong = next(index for index in range(len(question.options)) if index != question.correct)
    question.buttons[wrong].click()
    assert inside() and question.chosen == wrong
    assert "Not quite" in question.reply.value and question.options[wrong][1] in question.reply.value
    question.answer(question.correct)
    assert "Right" in question.reply.value and question.chosen == wrong, "the first answer is the prediction"
    assert [button.button_style for button in question.buttons].count("success") == 1


def _holds(box, widget):
    return box is widget or any(_holds(child, widget) for child in getattr(box, "children", ()))


# ---- the machinery ---------------------------------------------------------------------------------------------------
def test_an_exception_while_drawing_is_shown_kept_and_raised():
    def draw(x):
        if x == 3:
            raise RuntimeError("x < 4 & odd")

    view = View("demo", {"x": slider(widgets.IntSlider, "x", 1, min=0, max=5)}, [], draw)
    with pytest.raises(RuntimeError, match="x < 4"):
        view.controls["x"].value = 3
    assert isinstance(view.failure, RuntimeError) and "RuntimeError: x &lt; 4 &amp; odd" in view.error.value
    assert _holds(view, view.error)
    view.controls["x"].value = 4
    assert view.failure is None and view.error.value == ""
    with pytest.raises(ValueError, match="no control named y; there are x"):
        view.set(y=1)


def test_setting_several_controls_draws_once():
    drawn = []
    controls = {name: slider(widgets.IntSlider, name, 1, min=0, max=5) for name in "xy"}
    view = View("demo", controls, [], lambda **values: drawn.append(values))
    view.set(x=2, y=3)
    assert drawn == [{"x": 1, "y": 1}, {"x": 2, "y": 3}]


def demo_picture():
    picture = Picture(200, 120, "A line.")
    with picture.drawing() as figure:
        axes = figure.add_subplot()
        (line,) = axes.plot([0, 1], [0, 1])
        axes.set(title="demo", xlim=(0, 1), ylim=(0, 2))
        picture.live(line)
    picture.show()
    return picture, axes, line


def test_a_picture_is_sent_only_when_it_changed():
    picture, axes, line = demo_picture()
    first, sent = picture.image.value, []
    picture.image.observe(sent.append, "value")
    picture.show("The same line.")
    assert not sent and picture.alt == "The same line."
    line.set_ydata([0, 2])
    picture.show()
    assert len(sent) == 1 and picture.image.value != first
    axes.set_ylim(0, 3)
    picture.show(layout=3)
    assert len(sent) == 2


def test_the_learners_pyplot_style_does_not_reach_the_pictures():
    plain = demo_picture()[0].image.value
    with plt.style.context("dark_background"), plt.rc_context({"font.size": 20}):
        assert demo_picture()[0].image.value == plain


def test_chinese_shows_with_a_font_or_in_pinyin(monkeypatch):
    assert readable(["the", "cat"]) == ["the", "cat"]
    if figures.chinese_fonts():
        assert readable(["猫"]) == ["猫"]
        with warnings.catch_warnings():
            warnings.simplefilter("error", UserWarning)  # "Glyph … missing from font"
            picture = Picture(200, 120, "A word.")
            with picture.drawing() as figure:
                figure.text(0.5, 0.5, "我喜欢猫")
            picture.show()
    monkeypatch.setattr(figures, "chinese_fonts", lambda: ())
    shown = readable(["我", "cat"])
    assert shown == ["wǒ", "cat"]


# ---- masks -----------------------------------------------------------------------------------------------------------
def cells(card):
    """The text of a card's table, row by row."""
    rows = re.findall(r"<tr[^>]*>(.*?)</tr>", card.value.split("<tbody>")[1], re.S)
    return [re.findall(r'<td style="[^"]*">(.*?)</td>', row) for row in rows]


def number(cell):
    return -np.inf if cell == "−∞" else float(cell.replace("−", "-"))


@pytest.mark.parametrize("kind", ["causal", "padding", "combined"])
@pytest.mark.parametrize("t_q, t_k", [(3, 3), (2, 5), (6, 4), (8, 8), (1, 1)])
def test_masks_scores_and_weights_are_those_of_a_loop(kind, t_q, t_k):
    view = mask_explorer(predict=False)
    view.set(t_q=t_q, t_k=t_k, kind=kind, sentence=2)
    view.set(length_3=min(3, t_k))
    length, state = min(3, t_k), view.state
    allowed = [[(kind == "padding" or j <= i + t_k - t_q) and (kind == "causal" or j < length) for j in range(t_k)]
               for i in range(t_q)]  # fmt: skip
    assert state["mask"].tolist() == allowed
    assert cells(view.cards[1]) == [[str(cell) for cell in row] for row in allowed]
    scores = state["scores"]
    for i, row in enumerate(allowed):
        total = sum(np.exp(scores[i, j].item()) for j in range(t_k) if row[j])
        expected = [np.exp(scores[i, j].item()) / total if row[j] else 0.0 for j in range(t_k)]
        assert state["weights"][i].tolist() == pytest.approx(expected, abs=1e-6)
        assert [number(cell) for cell in cells(view.cards[5])[i]] == pytest.approx(expected, abs=0.00501)
        masked = [scores[i, j].item() if row[j] else -np.inf for j in range(t_k)]
        assert [number(cell) for cell in cells(view.cards[3])[i]] == pytest.approx(masked, abs=0.0501)
    free = scores.softmax(-1)
    assert np.array([[number(cell) for cell in row] for row in cells(view.cards[4])]) == pytest.approx(
        free, abs=0.00501
    )
    empty = [f"q{i}" for i, row in enumerate(allowed) if not any(row)]
    assert ("may attend to nothing" in view.message.value) == bool(empty)
    assert all(re.search(rf"▲[^.]*\b{name}\b", view.message.value) for name in empty)
    assert view.cards[5].value.count("no key: zeros") == len(empty)
    assert f"<b>{sum(map(sum, allowed))} of {t_q * t_k}</b>" in view.message.value


def test_the_conventions_are_opposites_and_the_mix_up_uses_exactly_the_forbidden_cells():
    view = mask_explorer(predict=False)
    view.set(t_q=3, t_k=5)
    course, weights = view.state["passed"], view.state["weights"]
    view.set(convention="torch")
    assert torch.equal(view.state["passed"], ~course) and torch.equal(view.state["weights"], weights)
    attention = torch.nn.MultiheadAttention(4, 1, batch_first=True)
    query, key = torch.randn(1, 3, 4), torch.randn(1, 5, 4)
    _, theirs = attention(query, key, key, attn_mask=view.state["passed"])
    assert torch.equal(theirs[0] > 0, course), "PyTorch reads the inverted mask as the course reads its own"
    view.set(convention="mixed")
    assert ((view.state["weights"] > 0) == ~course).all() and "Mixed up" in view.message.value


def test_an_all_masked_row_is_nan_in_pytorchs_softmax_as_the_view_says():
    assert torch.full((4,), -torch.inf).softmax(-1).isnan().all()


# ---- editing a token -------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("edited", range(6))
def test_an_edit_reaches_whoever_may_see_the_token(edited):
    view = edit_explorer(predict=False)
    every, later, own = set(range(6)), set(range(edited, 6)), {edited}
    reached = {
        ("token", "none"): every, ("token", "causal"): later, ("token", "own"): own,
        ("query", "none"): own, ("query", "causal"): own if edited else set(), ("query", "own"): set(),
        ("key", "none"): every, ("key", "causal"): later - (set() if edited else own), ("key", "own"): set(),
        ("value", "none"): every, ("value", "causal"): later, ("value", "own"): own,
    }  # fmt: skip
    for (part, mask), who in reached.items():
        view.set(edited=edited, part=part, mask=mask, amount=0.5)
        moved = view.numbers["moved"]
        assert set((moved > 1e-4).nonzero().flatten().tolist()) == who, (part, mask)
        assert set((moved > 1e-6).nonzero().flatten().tolist()) == who, "nothing in between: moved or not is clear"
        assert f"<b>{len(who)} of 6</b> outputs move" in view.message.value
        allowed = {"none": torch.ones(6, 6), "causal": torch.ones(6, 6).tril(), "own": torch.eye(6)}[mask]
        assert ((view.numbers["weights"] > 0) == allowed.bool()).all()
    view.set(amount=0.0)
    assert view.numbers["moved"].max() == 0 and "Nothing is edited" in view.message.value


# ---- scaling ---------------------------------------------------------------------------------------------------------
def test_dot_products_have_the_variance_of_their_size():
    variances = dot_products().flatten(1).var(1).numpy()
    assert variances == pytest.approx(SIZES, rel=0.1)
    assert dot_products().shape == (len(SIZES), 256, N_KEYS)


def test_entropy_and_gradient_against_pytorch():
    weights = (3 * torch.randn(5, 7, dtype=torch.float64, generator=torch.Generator().manual_seed(0))).softmax(-1)
    assert torch.allclose(entropy(weights), torch.distributions.Categorical(weights).entropy() / np.log(2))
    for row in weights:
        jacobian = torch.autograd.functional.jacobian(lambda x: x.softmax(-1), row.log())
        assert torch.allclose(softmax_gradient(row), jacobian.norm())


@pytest.mark.parametrize("scale, divisor", [("nothing", 1.0), ("root", None), ("free", 5.0)])
@pytest.mark.parametrize("d_k", [4, 64, 1024])
def test_the_numbers_printed_are_those_of_an_independent_computation(d_k, scale, divisor):
    view = scaling_explorer(predict=False)
    view.set(d_k=d_k, scale=scale, query=3, **({"divisor": divisor} if scale == "free" else {}))
    products = dot_products()[SIZES.index(d_k)].numpy()
    scores = products / (divisor or np.sqrt(d_k))
    powers = np.exp(scores - scores.max(1, keepdims=True))
    weights = powers / powers.sum(1, keepdims=True)
    bits = -(weights * np.log2(np.where(weights > 0, weights, 1))).sum(1)
    jacobians = np.einsum("ni,ij->nij", weights, np.eye(N_KEYS)) - weights[:, :, None] * weights[:, None]
    gradient = np.median(np.sqrt((jacobians**2).sum((1, 2))))
    numbers = view.numbers
    assert numbers["variance"] == pytest.approx(products.var(ddof=1))
    assert numbers["scaled_variance"] == pytest.approx(scores.var(ddof=1))
    assert numbers["weights"] == pytest.approx(weights[2])
    assert numbers["entropy"] == pytest.approx(bits[2]) and numbers["mean_entropy"] == pytest.approx(bits.mean())
    assert numbers["gradient"] == pytest.approx(gradient, rel=0.02)
    raw, scaled, bars, spread, slope = (picture.alt for picture in view.pictures)
    assert f"{products.var(ddof=1):.1f} measured" in raw and f"d_k = {d_k}" in raw
    assert f"largest weight {weights[2].max():.2f}" in bars and f"entropy {bits[2]:.2f}" in bars
    assert f"{bits.mean():.2f} of 4 bits" in spread and f"{numbers['gradient']:.2g}" in slope
    beyond = (np.abs(scores) > 8).mean()
    assert (f"{beyond:.0%} of the scores" in scaled) == (beyond >= 0.005)


def test_scaling_keeps_entropy_and_gradient_and_its_lack_destroys_them():
    view, seen = scaling_explorer(predict=False), {}
    for scale in ("nothing", "root"):
        for d_k in (4, 1024):
            view.set(d_k=d_k, scale=scale)
            seen[scale, d_k] = view.numbers["mean_entropy"], view.numbers["gradient"]
    assert seen["root", 4] == pytest.approx(seen["root", 1024], rel=0.1)
    assert seen["nothing", 1024][0] < 0.2 < 2 < seen["nothing", 4][0]
    assert seen["nothing", 1024][1] < 1e-4 * seen["nothing", 4][1]


# ---- positions -------------------------------------------------------------------------------------------------------
def test_the_documents_formula_is_a_number_with_a_period_of_six_and_a_half_positions():
    table = document_001_encoding(40, 512)
    where = np.arange(40)
    assert table[:, 100] == pytest.approx(np.sin(where / 10000 ** (2 / 512)) + np.cos(where / 10000 ** (2 / 512)))
    assert (table == table[:, :1]).all()
    view = sinusoid_explorer(predict=False)
    view.set(formula="document", d_model=512)
    assert view.numbers["shortest"] == view.numbers["longest"] == pytest.approx(6.51, abs=0.005)  # as ERRATA E048 says
    assert "6.51" in view.message.value and "6.51" in view.pictures[1].alt
    x = torch.randn(3, 512, generator=torch.Generator().manual_seed(0))
    with_position = x + torch.from_numpy(table[7]).float()
    assert torch.allclose(F.layer_norm(with_position, (512,)), F.layer_norm(x, (512,)), atol=1e-5)  # "takes away again"


@pytest.mark.parametrize("formula", ["right", "document"])
def test_collisions_and_similarities_are_those_of_a_loop(formula):
    view = sinusoid_explorer(predict=False)
    view.set(formula=formula, d_model=16, length=48, base=1000.0, position=9, shift=5)
    right = library.sinusoidal_encoding(48, 16, 1000.0).double().numpy()
    table = right if formula == "right" else document_001_encoding(48, 16, 1000.0)
    distances = [[np.sqrt(((a - b) ** 2).mean()) for b in table] for a in table]
    pairs = [distances[i][j] for i in range(48) for j in range(i)]
    assert view.numbers["collisions"] == sum(distance < 0.01 for distance in pairs) == nearest_distances(table)[1]
    assert (view.numbers["collisions"] > 0) == (formula == "document")
    assert view.numbers["nearest"] == pytest.approx(min(pairs), abs=1e-6)
    assert view.numbers["similarity"] == pytest.approx(table[9] @ table[14] / 16)
    assert f"= {table[9] @ table[14] / 16:.2f}, at distance 5" in view.pictures[2].alt


def test_the_table_turns_once_in_each_wavelength():
    base, d_model = 50.0, 6
    for pair, wavelength in enumerate(wavelengths(d_model, base)):
        where = np.array([3.0, 3.0 + wavelength])
        assert np.sin(where * base ** (-2 * pair / d_model)) == pytest.approx(
            [np.sin(3 * base ** (-2 * pair / d_model))] * 2
        )
    view = sinusoid_explorer(predict=False)
    view.set(d_model=512, length=64)
    assert view.numbers["longest"] == pytest.approx(60611, abs=1)  # what the prediction's answer says
    assert view.numbers["turns"] == sum(2 * np.pi * 10000 ** (2 * i / 512) <= 64 for i in range(256))


def test_moving_p_keeps_the_dot_products_of_the_right_formula_only():
    view = sinusoid_explorer(predict=False)
    for formula in ("right", "document"):
        seen = []
        for position in (10, 33):
            view.set(formula=formula, position=position, shift=4)
            seen.append(view.numbers["similarity"])
        assert (abs(seen[0] - seen[1]) < 1e-6) == (formula == "right")


def test_rotary_scores_depend_on_the_distance_and_added_ones_do_not():
    view, seen = rotary_explorer(predict=False), []
    for shift in (0, 7, 40):
        view.set(query=9, key=4, shift=shift)
        seen.append((view.numbers["score"], view.numbers["added"]))
        assert sum(view.numbers["shares"]) == pytest.approx(view.numbers["score"])
    assert seen[0][0] == pytest.approx(seen[1][0]) == pytest.approx(seen[2][0]) == pytest.approx(rotary_score(5, 0)[0])
    assert abs(seen[0][1] - seen[1][1]) > 0.01
    query, key = (x.view(4, 2).numpy() @ [1, 1j] for x in schemes._query_and_key())  # pairs as complex numbers
    turned = query * np.exp(1j * 5 * 10000.0 ** (-np.arange(4) / 4))
    assert rotary_score(5, 0)[0] == pytest.approx((turned * key.conj()).real.sum() / np.sqrt(8))


def test_alibi_numbers_are_those_of_the_paper():
    view = alibi_explorer(predict=False)
    view.set(n_heads=8, head=3, keys=12, queries=12)
    assert view.numbers["slope"] == 1 / 8 and view.numbers["halving"] == pytest.approx(8 * np.log(2))
    weights = np.exp(-np.arange(12) / 8)
    assert view.numbers["near"] == pytest.approx(weights[:4].sum() / weights.sum())
    view.set(n_heads=2)
    assert view.controls["head"].value == 2 and view.numbers["slope"] == 2**-8


@pytest.mark.parametrize("method", [method for _, method in METHODS])
def test_only_absolute_positions_give_one_distance_different_scores(method):
    spread = diagonal_spread(scores_by_method(method))
    assert (spread > 0.5) == (method in ("sinusoidal", "learned")) and (spread > 0.5 or spread < 1e-5)
    view = distance_explorer(predict=False)
    view.set(method=method)
    assert view.numbers["spread"] == spread
    assert ("Absolute" in view.message.value) == (spread > 0.5)


# ---- schedules -------------------------------------------------------------------------------------------------------
def test_the_peaks_printed_are_the_peaks():
    view = schedule_view(predict=False)
    view.set(d_model=512, noam_warmup=1000, peak=1e-3, warmup=200, steps=2000)
    rates = [512**-0.5 * min(step**-0.5, step * 1000**-1.5) for step in range(1, 2001)]
    assert view.numbers["noam_peak"] == pytest.approx(max(rates)) == pytest.approx((512 * 1000) ** -0.5)
    assert view.numbers["noam_peak_step"] == 1 + rates.index(max(rates)) == 1000
    linear = [1e-3 * min(1, step / 200) * (1 - (step - 1) / 2000) for step in range(1, 2001)]
    assert view.numbers["linear_peak"] == pytest.approx(max(linear), rel=1e-3)
    assert view.numbers["linear_peak_step"] == 1 + linear.index(max(linear)) == 200
    assert f"{max(rates):.2e}" in view.pictures[0].alt and f"{(512 * 1000) ** -0.5:.2e}" in view.message.value
    assert noam_rate(1000, 512, 1000) == pytest.approx(2 * noam_rate(4000, 512, 4000)), "the prediction's answer"


# ---- the dashboard ---------------------------------------------------------------------------------------------------
def fake_run(dashboard, steps=400, every=10):
    """What `train` tells its callbacks, without the training."""
    dashboard("start", {"parameters": 1000, "total_steps": steps, "minutes": None, "device": "cpu", "step": 0})
    for step in range(every, steps + 1, every):
        where = {"step": step, "epoch": step // 200, "seconds": step / 10}
        dashboard("step", where | {"loss": 8 * 0.99**step + 1, "lr": step * 1e-6, "tokens_per_second": 4000.0 + step})
        if step % 200 == 0:
            dashboard("validation", where | {"val_loss": 8 * 0.99**step + 1.25})
            dashboard(
                "samples", where | {"samples": [{"source": "ein <Hund>", "reference": "a dog", "hypothesis": "狗 & a"}]}
            )
    dashboard(
        "end", {"steps": steps, "seconds": 40.0, "val_loss": 1.3, "bleu": {"score": 12.34, "lowercase_score": 13.0}}
    )


def test_the_dashboard_shows_what_a_run_reports():
    opened = plt.get_fignums()
    dashboard = TrainingDashboard(front_end=True, every=0)
    fake_run(dashboard)
    figures_shown = re.sub("<[^>]+>", " ", dashboard.table.value).split()
    loss, val_loss = 8 * 0.99**400 + 1, 8 * 0.99**400 + 1.25
    for shown in ("400", f"{loss:.3f}", f"{val_loss:.3f}", "12.3", "4.00e-04", "4,400", "0:40"):
        assert shown in figures_shown, shown
    assert "ein &lt;Hund&gt;" in dashboard.sample_table.value and "狗 &amp; a" in dashboard.sample_table.value
    assert "at step 400" in dashboard.sample_table.value
    assert f"training loss {loss:.3f}" in dashboard.curves.loss.alt and f"{val_loss:.3f}" in dashboard.curves.loss.alt
    assert len(dashboard.curves.loss.image.value) > 1000 and len(dashboard.curves.rate.image.value) > 1000
    assert dashboard.curves.train_line.get_ydata()[-1] == pytest.approx(loss)
    assert list(dashboard.curves.val_line.get_xdata()) == [200, 400]
    assert not dashboard.running and "Finished" in dashboard.status.value and plt.get_fignums() == opened


@pytest.mark.parametrize("cost, every, redraws", [(0.04, 0.5, 50), (0.001, 0.5, 200)])
def test_the_dashboard_keeps_to_its_share_of_the_time(monkeypatch, cost, every, redraws):
    """100 seconds of a run, on a clock of our own: slow redraws become rarer, quick ones come every half second."""
    now = [1000.0]
    monkeypatch.setattr(training, "time", SimpleNamespace(perf_counter=lambda: now[0]))
    dashboard, drawn = TrainingDashboard(front_end=True, every=every, max_share=0.02), []

    def redraw():
        drawn.append(now[0])
        now[0] += cost

    monkeypatch.setattr(dashboard, "_redraw", redraw)
    dashboard("start", {"minutes": 1})
    for step in range(10_000):
        now[0] += 0.01
        dashboard.on_step({"step": step, "loss": 1.0})
    assert len(drawn) == pytest.approx(redraws, rel=0.05)
    assert min(np.diff(drawn)) >= every
    assert dashboard.share == pytest.approx(len(drawn) * cost / 100, rel=0.05) and dashboard.share <= 0.0205


def test_without_a_front_end_the_dashboard_prints(capsys):
    dashboard = TrainingDashboard(text_every=0)
    assert dashboard.front_end is False and dashboard.view is None
    fake_run(dashboard, steps=200, every=100)
    printed = capsys.readouterr().out.splitlines()
    assert printed[0].startswith("step 100 · epoch 1 · loss 3.928") and "4,100" in printed[0]
    assert any("validation 2.322" in line for line in printed) and "BLEU 12.3" in printed[-1]
    assert [line.strip() for line in printed if "dog" in line or "Hund" in line or "狗" in line] == [
        "ein <Hund>", "→ 狗 & a", "= a dog",
    ]  # fmt: skip


def test_text_is_printed_now_and_then_only(capsys):
    dashboard = TrainingDashboard(front_end=False, text_every=60)
    for step in range(500):
        dashboard.on_step({"step": step, "loss": 1.0})
    assert capsys.readouterr().out.count("\n") == 1


def test_the_dashboard_says_how_to_stop_and_has_no_button_that_a_busy_kernel_would_not_hear():
    dashboard = TrainingDashboard(front_end=True)
    dashboard("start", {"minutes": 1})
    assert "interrupt the kernel" in dashboard.status.value and "checkpoint" in dashboard.status.value
    todo = [dashboard.view]
    while todo:
        widget = todo.pop()
        assert not isinstance(widget, widgets.Button)
        todo += getattr(widget, "children", ())


def test_an_interrupt_ends_a_real_run_and_the_dashboard_says_so(tmp_path):
    words = "null eins zwei drei vier fünf".split()
    pairs = [Pair(f"{a} {b}", f"{b} {a}") for a in words for b in words]
    corpus = Corpus("pairs", "de-ed", {"train": pairs, "val": pairs[:4]})
    sizes = dict(d_model=16, n_heads=2, d_ff=16, n_layers=1, max_len=20)
    preset = Preset("for tests", 40, sizes, dict(batch_tokens=60, learning_rate=1e-3, warmup=5))
    dashboard = TrainingDashboard(front_end=True, every=0)

    def interrupt(event, record):
        if event == "step" and record["step"] == 30:
            signal.raise_signal(signal.SIGINT)

    result = train(corpus, preset, preset.train_config(minutes=5.0, device="cpu"), tmp_path / "run",
                   callbacks=[interrupt, dashboard])  # fmt: skip
    assert result["interrupted"] and 30 <= result["steps"] <= 32
    assert "Stopped by you; a checkpoint was saved." in dashboard.status.value and not dashboard.running
    view = plot_metrics(tmp_path / "run")
    assert [step for step, *_ in view.history.steps] == [10, 20, 30]


def test_an_unknown_event_is_refused():
    with pytest.raises(ValueError, match="unknown event 'epoch': expected start, step, validation, samples or end"):
        TrainingDashboard(front_end=False)("epoch", {})


def test_metrics_are_plotted_also_while_the_last_line_is_being_written(tmp_path):
    lines = [
        {"event": "step", "step": step, "loss": 9 - step / 10, "lr": 1e-3, "tokens_per_second": 5e3}
        for step in (10, 20)
    ]
    lines.append({"event": "validation", "step": 20, "val_loss": 6.5})
    file = tmp_path / "metrics.jsonl"
    file.write_text("".join(json.dumps(line) + "\n" for line in lines) + '{"event": "st')
    for path in (file, tmp_path, str(file)):
        view = plot_metrics(path)
        assert view.history.steps == [(10, 8.0, 1e-3, 5e3), (20, 7.0, 1e-3, 5e3)] and view.history.validations == [
            (20, 6.5)
        ]
        assert "validation loss 6.500 (step 20)" in view.pictures[0].alt
    file.write_text('{"event": \n' + json.dumps(lines[0]) + "\n")
    with pytest.raises(ValueError, match="line 1 is no JSON"):
        plot_metrics(file)
    file.write_text("")
    with pytest.raises(ValueError, match="records no training step yet"):
        plot_metrics(file)
    with pytest.raises(FileNotFoundError):
        plot_metrics(tmp_path / "missing.jsonl")


def test_scores_by_time_show_every_run_and_say_the_means():
    picture = plot_scores_by_time({10: [40.0, 41.0], 2.5: [30.0]}).picture
    assert picture.alt.startswith("Mean BLEU after 2.5 minutes 30.0; 10 minutes 40.5.")
    (axes,) = picture.figure.axes
    line, *points = axes.lines
    assert line.get_xydata().tolist() == [[2.5, 30.0], [10, 40.5]]
    assert [dots.get_ydata().tolist() for dots in points] == [[30.0], [40.0, 41.0]]
    for wrong in ({}, {0: [1.0]}, {5: []}):
        with pytest.raises(ValueError, match="at least one run"):
            plot_scores_by_time(wrong)


def test_predictions_have_one_right_answer_and_a_reason_for_each_option():
    for make in VIEWS.values():
        question = make().prediction
        assert isinstance(question, Prediction) and 0 <= question.correct < len(question.options)
        assert all(len(why) > 30 for _, why in question.options)
