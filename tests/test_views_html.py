"""The HTML views: what is embedded, what is refused, and how they behave in a real browser, offline."""

import html
import json
import math
import re

import pytest
import torch

from course_lib.attention import scaled_dot_product_attention
from course_lib.errors import CourseError
from course_lib.masks import causal_mask
from course_lib.recurrent import receptive_field
from course_lib.snapshots import shipped_snapshots
from course_lib.translator import Translator
from course_lib.views import (
    alignment_stepper,
    attention_heatmap,
    attention_stages,
    bertviz_view,
    receptive_field_explorer,
    translate_and_attend,
)
from course_lib.views.inside import attention_in_training, occlusion_view
from course_lib.views.palette import HEADS

NASTY = ["</script><script>boom()</script>", "\"quoted\" & 'single'", "<!--", "图书馆", "[EOS]"]
TARGET = ["one", "</s>", "two", "[EOS]"]


def random_weights(*shape, seed=0):
    return (3 * torch.randn(*shape, generator=torch.Generator().manual_seed(seed))).softmax(-1)


@pytest.fixture(scope="module")
def maps():
    """Two layers in each stack and three heads, over five source and four target tokens."""
    t_s, t_t, made = len(NASTY), len(TARGET), {}
    for layer in range(2):
        made[f"encoder.layers.{layer}.attention"] = random_weights(1, 3, t_s, t_s, seed=layer)
        made[f"decoder.layers.{layer}.self_attention"] = random_weights(1, 3, t_t, t_t, seed=10 + layer)
        made[f"decoder.layers.{layer}.cross_attention"] = random_weights(1, 3, t_t, t_s, seed=20 + layer)
    return made


@pytest.fixture(scope="module")
def qkv():
    generator = torch.Generator().manual_seed(4)
    return tuple(torch.randn(n, d, generator=generator) for n, d in ((4, 8), (5, 8), (5, 3)))


def embedded(view):
    """The data that the page's script will find."""
    return json.loads(re.search(r'<script type="application/json" id="data">(.*?)</script>', view.document, re.S)[1])


# ---- the page itself -------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("make", ["heatmap", "stages"])
def test_pages_are_self_contained_and_escape_their_tokens(make, maps, qkv):
    made = {"heatmap": lambda: attention_heatmap(maps, NASTY, TARGET),
            "stages": lambda: attention_stages(*qkv, None, NASTY[:4], NASTY)}  # fmt: skip
    view = made[make]()
    assert "://" not in view.document and "@import" not in view.document
    assert "default-src 'none'" in view.document
    assert "<script>boom()" not in view.document
    assert view.document.count("</script>") == 2  # the data and the code: no token ended them early
    assert html.unescape(re.search(r'srcdoc="([^"]*)"', view.html)[1]) == view.document
    assert NASTY[0] in json.dumps(embedded(view), ensure_ascii=False).replace('\\"', '"')
    bundle = view._repr_mimebundle_()
    assert bundle["text/html"] == view.html and bundle["text/plain"] == view.alt
    assert f'title="{html.escape(view.alt)}"' in view.html


def test_heatmap_embeds_the_weights_and_labels(maps):
    data = embedded(attention_heatmap(maps, NASTY, TARGET, gold={(4, 3), (0, 1)}))
    assert [kind["id"] for kind in data["kinds"]] == ["encoder", "decoder", "cross"]
    encoder, decoder, cross = data["kinds"]
    assert (encoder["rows"], encoder["cols"]) == (NASTY, NASTY)
    assert (decoder["rows"], decoder["cols"]) == (TARGET, ["[BOS]", *TARGET[:-1]])
    assert (cross["rows"], cross["cols"]) == (TARGET, NASTY)
    for layer in range(2):
        expected = maps[f"decoder.layers.{layer}.cross_attention"][0].double()
        torch.testing.assert_close(torch.tensor(cross["layers"][layer]).double(), expected, atol=5.1e-5, rtol=0)
    assert data["start"] == {"kind": 2, "layer": 1, "head": 0}
    assert data["gold"] == [[1, 0], [3, 4]]  # rows are targets, columns are sources


def test_heatmap_orders_layers_by_number():
    maps = {f"layers.{n}.attention": torch.full((1, 1, 2, 2), n / 100) for n in (10, 2, 0)}
    layers = embedded(attention_heatmap(maps, ["a", "b"]))["kinds"][0]["layers"]
    assert [layer[0][0][0] for layer in layers] == [0, 0.02, 0.1]


@pytest.mark.parametrize("shape", [(2, 2), (3, 2, 2), (1, 3, 2, 2)])
def test_heatmap_takes_one_tensor(shape):
    (kind,) = embedded(attention_heatmap(random_weights(*shape), ["a", "b"]))["kinds"]
    assert len(kind["layers"]) == 1 and len(kind["layers"][0]) == (1 if len(shape) == 2 else 3)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (lambda: (random_weights(1, 3, 4, 5), ["a"] * 5, ["b"] * 3), "4 queries and 5 keys, but .* 3 and 5"),
        (lambda: (random_weights(1, 3, 4, 4), ["a"] * 5), "4 queries and 4 keys, but the tokens are 5 and 5"),
        (lambda: (random_weights(2, 3, 4, 4), ["a"] * 4), r"one sentence, got \[2, 3, 4, 4\]"),
        (lambda: (random_weights(101, 101), ["a"] * 101), "101 tokens; the view shows up to 100"),
        (lambda: (torch.randn(3, 4, 4) * 9, ["a"] * 4), "after the softmax, lie in 0…1"),
        (lambda: (torch.full((3, 4, 4), math.nan), ["a"] * 4), "after the softmax, lie in 0…1"),
        (lambda: ({}, ["a"]), "there are no maps"),
        (lambda: ({"attention": [[1.0]]}, ["a"]), "expected a tensor .* got list"),
        (lambda: ({"decoder.layers.0.cross_attention": random_weights(1, 1, 2, 1)}, ["a"]), "needs target_tokens"),
    ],
)
def test_heatmap_names_what_is_wrong(arguments, message):
    with pytest.raises(ValueError, match=message):
        attention_heatmap(*arguments())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"kind": "crossed"}, "kind='crossed' is not among .*encoder, decoder, cross"),
        ({"layer": 2}, "layer=2: cross has layers 0 to 1"),
        ({"head": 3}, "head=3: cross has heads 0 to 2"),
        ({"gold": [(5, 0)]}, r"gold pair \(source 5, target 0\)"),
        ({"gold": [(0, 4)]}, r"gold pair \(source 0, target 4\)"),
    ],
)
def test_heatmap_names_a_wrong_option(maps, options, message):
    with pytest.raises(ValueError, match=message):
        attention_heatmap(maps, NASTY, TARGET, **options)


def test_stages_embed_what_torch_computes(qkv):
    query, key, value = qkv
    mask = causal_mask(4, 5)
    data = embedded(attention_stages(query[None, None], key, value, mask, NASTY[:4], NASTY))
    scores = query @ key.T
    for name, expected in {
        "scores": scores,
        "scaled": scores / math.sqrt(8),
        "weights": (scores / math.sqrt(8)).masked_fill(~mask, -math.inf).softmax(-1),
        "output": torch.nn.functional.scaled_dot_product_attention(query, key, value, mask),
    }.items():
        torch.testing.assert_close(torch.tensor(data[name]), expected, atol=1e-6, rtol=1e-6)
    torch.testing.assert_close(torch.tensor(data["query"]), query, atol=0, rtol=1e-6)
    assert data["allowed"] == mask.tolist()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (lambda q, k, v: (q, k[:, :7], v), r"key is \[5, 7\].* need \[5, 8\]"),
        (lambda q, k, v: (q, k, v[:4]), r"key is \[5, 8\].* need \[4, 8\]"),
        (lambda q, k, v: (q, k, v, torch.ones(4, 5)), "mask is torch.float32; it must be torch.bool"),
        (lambda q, k, v: (q, k, v, torch.ones(3, 5, dtype=torch.bool)), r"must broadcast to \[4, 5\]"),
        (lambda q, k, v: (q, k, v, None, ["a"] * 4, ["b"] * 4), "4 and 4 tokens for 4 queries and 5 keys"),
        (lambda q, k, v: (q.repeat(2, 1, 1), k, v), r"query is \[2, 4, 8\]"),
        (lambda q, k, v: (torch.randn(17, 8), k, v), "up to 16 tokens"),
        (lambda q, k, v: (q * math.nan, k, v), "not finite"),
    ],
)
def test_stages_name_what_is_wrong(qkv, arguments, message):
    with pytest.raises(ValueError, match=message):
        attention_stages(*arguments(*qkv))


# ---- bertviz ---------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("view", ["head", "model"])
def test_bertviz_needs_no_network(maps, view):
    document = bertviz_view(maps, NASTY, TARGET, view=view).document
    assert "default-src 'none'" in document
    assert not re.search(r"<(script|link|img)[^>]+(src|href)=", document)
    assert document.count("</script>") == 1  # no token ended the script
    line = re.search(r"const params = (\{.*\});", document)[1]
    _, decoder, cross = json.loads(line)["attention"]
    assert decoder["right_text"] == ["[BOS]", *TARGET[:-1]] and cross["left_text"] == TARGET
    expected = maps["decoder.layers.1.cross_attention"][0].double()
    torch.testing.assert_close(torch.tensor(cross["attn"][1]).double(), expected, atol=5.1e-4, rtol=0)
    assert max(len(number) for number in re.findall(r"0\.\d+", line)) <= 5


def test_bertviz_names_what_is_wrong(maps):
    unequal = {name: weights for name, weights in maps.items() if name != "encoder.layers.1.attention"}
    with pytest.raises(ValueError, match=r"equally many layers .*'encoder': 1, 'decoder': 2"):
        bertviz_view(unequal, NASTY, TARGET)
    with pytest.raises(ValueError, match="view='neuron': bertviz has 'head' and 'model'"):
        bertviz_view(maps, NASTY, TARGET, view="neuron")
    with pytest.raises(ValueError, match=r"33 tokens; .* model view is legible up to 32"):
        bertviz_view(random_weights(2, 33, 33), ["a"] * 33, view="model")
    with pytest.raises(ValueError, match="5 queries and 5 keys, but the tokens are 4 and 4"):
        bertviz_view(maps, NASTY[:4], TARGET)


# ---- the live widget -------------------------------------------------------------------------------------------------
class FakeTranslator:
    """Knows no word with a z, reads no more than 120 tokens, and breaks on "bug"."""

    def translate(self, text):
        if len(text.split()) > 120:
            raise CourseError("the sentence has 121 tokens, and the model reads at most 120: shorten it")
        if text == "bug":
            raise RuntimeError("weights <lost>")
        return "<我>"

    def attend(self, text):
        source = [*text.split(), "[EOS]"]
        return source, ["我", "[EOS]"], {"decoder.layers.0.cross_attention": random_weights(1, 2, 2, len(source))}

    def unknown_words(self, text):
        return [word for word in text.split() if "z" in word]


def parts_of(widget):
    line, *_, answer, picture = widget.children
    return line.children[0], line.children[1], answer, picture


def test_live_translation_follows_the_sentence():
    widget = translate_and_attend(FakeTranslator(), "hello", examples=["good <day>"])
    box, _, answer, picture = parts_of(widget)
    assert "&lt;我&gt;" in answer.value and "<iframe" in picture.value and "hello" in picture.value
    box.value = "zebra <b>azure"
    assert "does not know “zebra”, “&lt;b&gt;azure”" in answer.value
    assert "zebra" in picture.value and "hello" not in picture.value
    widget.children[1].children[0].click()
    assert box.value == "good <day>" and "[EOS]" in picture.value and "good" in picture.value
    box.value = "  "
    assert "Type a sentence" in answer.value and picture.value == ""


def test_live_translation_says_what_is_wrong():
    box, button, answer, picture = parts_of(translate_and_attend(FakeTranslator()))
    assert "Type a sentence" in answer.value
    box.value = "a " * 121
    assert "reads at most 120" in answer.value and picture.value == ""
    box.value = "a " * 110
    assert "111 tokens are too many for a map" in answer.value and "&lt;我&gt;" in answer.value
    with pytest.raises(RuntimeError, match="lost"):
        box.value = "bug"
    assert "RuntimeError: weights &lt;lost&gt;" in answer.value
    box.value = "fine"
    shown = picture.value
    button.click()  # the same sentence is not translated again
    assert picture.value is shown


# ---- in a browser ----------------------------------------------------------------------------------------------------
@pytest.fixture(scope="module")
def browser():
    from course_lib.doctor import find_browser

    if find_browser() is None:
        pytest.skip("no Chromium or Chrome on the PATH (Debian and Ubuntu: apt-get install chromium)")
    from playwright.sync_api import sync_playwright

    from tests.browser import CHROMIUM_ARGS

    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=find_browser(), args=CHROMIUM_ARGS)
        yield running
        running.close()


@pytest.fixture
def show(browser, tmp_path):
    """Opens a view in the browser, inside its iframe as in a notebook, and watches for errors and requests."""
    page = browser.new_page(viewport={"width": 1200, "height": 900})
    errors, requests = [], []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
    page.on("request", lambda request: requests.append(request.url))

    def opened(view):
        file = tmp_path / "view.html"
        file.write_text(f"<!doctype html><meta charset=utf-8>{view.html}", encoding="utf-8")
        page.goto(file.as_uri())
        return page, page.frame_locator("iframe")

    yield opened
    assert not errors, errors
    assert all(url.startswith("file:") for url in requests), requests
    page.close()


def point_at(frame, row, col, n_rows, n_cols, which=0):
    canvas = frame.locator(".map canvas").nth(which)
    canvas.scroll_into_view_if_needed()
    box = canvas.bounding_box()
    canvas.hover(position={"x": (col + 0.5) * box["width"] / n_cols, "y": (row + 0.5) * box["height"] / n_rows})


def test_heatmap_links_row_column_and_value(show, maps):
    _, frame = show(attention_heatmap(maps, NASTY, TARGET, gold={(3, 2)}))
    reading = frame.locator(".reading")
    value = maps["decoder.layers.1.cross_attention"][0, 0, 2, 3].item()
    point_at(frame, 2, 3, len(TARGET), len(NASTY))
    assert reading.inner_text() == f"query 2 writes “two” → key 3 “图书馆”: weight {value:.3f} · aligned"
    assert frame.locator(".field .row.on").inner_text() == "two"
    assert frame.locator(".field .col.on").inner_text() == "图书馆"
    row = maps["decoder.layers.1.cross_attention"][0, 0, 2]
    assert frame.locator(".tokens small").all_inner_texts() == [f"{x:.2f}" for x in row.double().round(decimals=4)]
    # Choose other heads, layers and kinds with the mouse: the reading follows.
    frame.get_by_role("button", name="head 1", exact=True).click()
    assert f"{maps['decoder.layers.1.cross_attention'][0, 1, 2, 3].item():.3f}" in reading.inner_text()
    frame.get_by_role("group", name="layer").get_by_role("button", name="0").click()
    assert f"{maps['decoder.layers.0.cross_attention'][0, 1, 2, 3].item():.3f}" in reading.inner_text()
    frame.get_by_role("button", name="encoder self").click()
    value = maps["encoder.layers.0.attention"][0, 1, 2, 3].item()
    assert reading.inner_text() == f"query 2 “<!--” → key 3 “图书馆”: weight {value:.3f}"


def test_heatmap_answers_the_keyboard(show, maps):
    page, frame = show(attention_heatmap(maps, NASTY, TARGET))
    cross, reading = maps["decoder.layers.1.cross_attention"][0], frame.locator(".reading")
    frame.locator(".map canvas").focus()
    for key in ["ArrowDown", "ArrowDown", "ArrowUp", *["ArrowLeft"] * 5, "ArrowRight", "ArrowRight"]:
        page.keyboard.press(key)
    assert f"query 1 writes “</s>” → key 2 “<!--”: weight {cross[0, 1, 2].item():.3f}" == reading.inner_text()
    page.keyboard.press("Home")
    assert f"key {cross[0, 1].argmax()} " in reading.inner_text()
    page.keyboard.press("p")
    page.keyboard.press("h")  # the focus has stayed on the map
    j = int(cross[0, 1].argmax())
    expected = f"weight {cross[1, 1, j].item():.3f}; layer 1, head 0: {cross[0, 1, j].item():.3f}"
    assert expected in reading.inner_text()
    assert frame.locator(".map h3").all_inner_texts() == ["layer 1, head 1", "layer 1, head 0 (pinned)"]
    point_at(frame, 0, 4, len(TARGET), len(NASTY), which=1)  # the pinned map moves both
    assert f"{cross[1, 0, 4].item():.3f}; layer 1, head 0: {cross[0, 0, 4].item():.3f}" in reading.inner_text()
    assert reading.get_attribute("aria-live") == "polite"
    page.keyboard.press("l")
    page.keyboard.press("p")
    assert frame.locator(".map").count() == 1


def test_heatmap_is_white_at_zero_and_dark_at_one(show):
    weights = torch.tensor([[0.0, 1.0], [0.5, 0.5]])
    _, frame = show(attention_heatmap(weights, ["a", "b"]))
    pixels = frame.locator(".head canvas").evaluate(
        "c => [0.25, 0.75].map(x => [...c.getContext('2d').getImageData(c.width * x, c.height * .25, 1, 1).data])"
    )
    assert pixels == [[255, 255, 255, 255], [8, 48, 107, 255]]


def test_heatmap_frame_fits_its_content_and_remembers_its_head(show, maps):
    view = attention_heatmap(maps, NASTY, TARGET, remember="mine")
    page, frame = show(view)
    frame.get_by_role("button", name="head 2", exact=True).click()
    height = frame.locator("main").bounding_box()["height"]
    assert abs(page.locator("iframe").bounding_box()["height"] - height) < 3
    page.reload()
    assert frame.locator(".map h3").inner_text() == "layer 1, head 2"


def test_views_work_in_a_sandbox_without_storage_or_parent(show, maps):
    """As in Colab, where a view cannot reach the page around it: it keeps the height that Python gave."""
    view = attention_heatmap(maps, NASTY, TARGET, remember="mine")
    view.document = f'<iframe sandbox="allow-scripts" height="500" srcdoc="{html.escape(view.document)}"></iframe>'
    _, frame = show(view)
    inner = frame.frame_locator("iframe")
    inner.get_by_role("button", name="head 1", exact=True).click()
    assert inner.locator(".map h3").inner_text() == "layer 1, head 1"
    assert frame.locator("iframe").bounding_box()["height"] >= 500


def test_a_cell_opens_into_its_numbers(show, qkv):
    query, key, value = qkv
    mask = causal_mask(4, 5)
    page, frame = show(attention_stages(query, key, value, mask, list("abcd"), list("vwxyz"), start=(0, 0)))
    frame.locator(".stage").nth(0).locator("tbody tr").nth(2).locator("td").nth(1).click()
    text = frame.locator(".opened").inner_text().replace("−", "-")
    scores = query @ key.T
    scaled = scores / math.sqrt(8)
    weights = scaled.masked_fill(~mask, -math.inf).softmax(-1)
    assert f"query 2 “c” asks key 1 “w”: weight {weights[2, 1]:.3f}" in text
    for x in [*query[2], *key[1], *(query[2] * key[1])]:
        assert f"{x:.3f}" in text
    assert f"sum of the 8 products = {scores[2, 1]:.3f}" in text
    assert f"= {scaled[2, 1]:.3f}" in text and f"weight {weights[2, 1]:.3f}" in text
    output = frame.locator(".step").last.locator("tr.total td").all_inner_texts()[1:]
    expected = scaled_dot_product_attention(query, key, value, mask)[2]
    assert [float(x.replace("−", "-")) for x in output] == pytest.approx(expected.tolist(), abs=6e-4)
    # A blocked cell, reached with the keyboard: −∞ and a weight of exactly 0.
    for key_name in ["ArrowRight"] * 3:
        page.keyboard.press(key_name)
    frame.locator(".stage table").nth(3).focus()
    page.keyboard.press("ArrowUp")
    page.keyboard.press("ArrowRight")
    text = frame.locator(".opened").inner_text()
    assert "query 1 “b” asks key" in text and "may not attend" in text and "−∞" in text
    assert frame.locator(".stage").nth(3).locator("td.on").inner_text() == "0"


def test_a_query_without_any_key_is_explained(show, qkv):
    mask = torch.ones(4, 5, dtype=torch.bool)
    mask[2] = False
    _, frame = show(attention_stages(*qkv, mask, start=(2, 0)))
    assert "may attend to no key at all" in frame.locator(".opened").inner_text()


def test_the_guess_comes_before_the_weight(show):
    query = key = torch.eye(3, 8) * 4  # each query agrees with its own key only
    _, frame = show(attention_stages(query, key, torch.randn(3, 2), None, list("abc"), start=(1, 1), predict=True))
    weight = (query @ key.T / math.sqrt(8)).softmax(-1)[1, 1].item()
    last = frame.locator(".stage").nth(3)
    assert set(last.locator("tbody td").all_inner_texts()) == {"?"}
    assert f"{weight:.3f}" not in frame.locator("main").inner_text()
    frame.get_by_role("button", name="under 0.1").click()
    assert f"You said under 0.1; it is {weight:.3f}. (0 of 1 right so far)" in frame.locator(".opened").inner_text()
    assert last.locator("tbody tr").nth(1).locator("td").all_inner_texts().count("?") == 0
    assert last.locator("tbody tr").nth(0).locator("td").all_inner_texts() == ["?"] * 3
    last.locator("tbody tr").nth(0).locator("td").nth(0).click()
    frame.get_by_role("button", name="0.6 or more").click()
    assert "Right! (1 of 2 right so far)" in frame.locator(".opened").inner_text()


def test_receptive_fields_are_counted(show):
    page, frame = show(receptive_field_explorer())
    assert frame.locator("svg").count() == 0  # a guess comes first
    frame.get_by_role("button", name="12", exact=True).click()
    assert "Not quite" in frame.locator("main").inner_text()
    convolutions, attention = (frame.locator(".panel p").nth(i) for i in (0, 1))
    picture = frame.locator("svg").first

    def press(group, name):
        frame.get_by_role("group", name=group).get_by_role("button", name=name, exact=True).click()

    def point_at(output):
        width = picture.bounding_box()["width"]
        picture.hover(position={"x": (15 + 22 * output) / (30 + 22 * 23) * width, "y": 12})

    for kernel, layers, growth in ((3, 4, 1), (2, 5, 1), (5, 2, 1), (2, 4, 2), (3, 3, 2), (5, 5, 2)):
        press("kernel size", str(kernel))
        press("layers", str(layers))
        press("dilation", "doubling" if growth == 2 else "none")
        point_at(23)
        seen = min(24, receptive_field(kernel, layers, growth))
        assert f"Output 23 sees {seen} of 24" in convolutions.inner_text()
        assert "Output 23 sees 24 of 24" in attention.inner_text()
        assert picture.locator("circle.seen").count() >= seen
    press("dilation", "none")
    press("kernel size", "3")
    press("layers", "4")
    point_at(5)
    assert "Output 5 sees 6 of 24: inputs 0 to 5; 9 where the sequence goes on" in convolutions.inner_text()
    press("may see", "both sides")
    picture.focus()
    page.keyboard.press("ArrowRight")
    assert "Output 6 sees 9 of 24: inputs 2 to 10." in convolutions.inner_text()
    assert "Output 6 sees 24 of 24: inputs 0 to 23." in attention.inner_text()


@pytest.mark.parametrize("view", ["head", "model"])
def test_bertviz_draws_in_a_browser(show, maps, view):
    _, frame = show(bertviz_view(maps, NASTY, TARGET, view=view))
    frame.locator("#filter").select_option(label="Cross")
    if view == "head":
        assert frame.locator("#layer option").all_inner_texts() == ["0", "1"]
        texts = frame.locator("svg text").all_text_contents()
        assert NASTY[0] in texts and "two" in texts
        fills = frame.locator("svg rect").evaluate_all("all => all.map(r => r.getAttribute('fill'))")
        assert HEADS[0] in fills and HEADS[1] in fills
    else:
        assert frame.locator("svg line").count() >= 2 * 3 * len(NASTY) * len(TARGET)


def test_alignment_asks_first_and_then_shows(show):
    weights, read = torch.tensor([[0.1, 0.2, 0.7], [0.6, 0.4, 0.0]]), ["</script>", "b&", "图"]
    _, frame = show(alignment_stepper(weights, read, ["x", "y"], gold={(2, 0)}))
    message, columns, rows = frame.locator(".message"), frame.locator(".column"), frame.locator("tbody:last-child tr")
    classes = lambda row: (rows.nth(row).get_attribute("class") or "").split()  # noqa: E731
    assert "writes token 1, “x”? Click a column." in message.inner_text()
    assert classes(0) == classes(1) == ["ahead"]
    columns.nth(1).click()  # a wrong guess: the third gets most
    assert "✗ You said 2 “b&”, which gets 20%. (0 of 1 guesses right.)" in message.inner_text()
    assert "“x” took most from 3 “图”: 70%." in message.inner_text()
    assert "context = 0.70 · h3 + 0.20 · h2 + 0.10 · h1" in message.inner_text()
    assert classes(0) == ["on"] and classes(1) == ["ahead"]
    columns.nth(0).click()
    assert "✓ You said so. (1 of 2 guesses right.)" in message.inner_text()
    assert columns.all_inner_texts() == [".60", ".40", ""]
    assert frame.get_by_role("button", name="all").is_disabled()
    frame.locator(".shell").press("ArrowLeft")
    assert classes(0) == ["on"] and classes(1) == ["ahead"]
    frame.get_by_role("button", name="from the start").click()
    assert classes(0) == ["ahead"]
    frame.get_by_role("button", name="show without a guess").click()
    assert "took most from 3" in message.inner_text() and "You said" not in message.inner_text()
    _, frame = show(alignment_stepper(weights, read, ["x", "y"], predict=False))
    assert "took most from 3" in frame.locator(".message").inner_text()
    frame.get_by_role("button", name="next token").click()
    assert "“y” took most from 1" in frame.locator(".message").inner_text()


# ---- looking inside --------------------------------------------------------------------------------------------------
def test_training_view_moves_with_slider_keys_and_mouse(show):
    pairs, shots = shipped_snapshots()
    _, frame = show(attention_in_training(pairs, shots))
    reading, weights = frame.locator(".reading"), shots[-1].maps[0]["decoder.layers.1.cross_attention"][0]
    frame.locator("input[type=range]").fill("7")
    assert frame.locator(".now").inner_text() == f"{shots[-1].step:,} steps"
    assert shots[-1].translations[0] in frame.locator(".said").inner_text()
    assert frame.locator("td.gold").count() == len(pairs[0].alignment)
    frame.locator("table").press("ArrowDown")
    frame.locator("table").press("ArrowRight")
    value = weights[2, 1, 1].item()
    assert reading.inner_text().startswith("“昨天” and “ran”") and f"{value:.3f}; not aligned" in reading.inner_text()
    frame.get_by_role("group", name="head").get_by_role("button", name="0").click()
    frame.locator("tbody tr").nth(1).locator("td").nth(5).hover()
    assert f"{weights[0, 1, 5].item():.3f}; aligned" in reading.inner_text()


def test_occlusion_view_points_into_all_maps_at_once(show):
    pairs, _ = shipped_snapshots()
    _, frame = show(occlusion_view(Translator.shipped(), pairs[:2]))
    frame.locator("table").nth(1).locator("tbody tr").nth(0).locator("td").nth(0).hover()
    assert frame.locator("td.on").count() == 4
    assert "leaving the word out (nats): 8." in frame.locator(".reading").inner_text()
    frame.get_by_role("group", name="sentence").get_by_role("button").nth(1).click()
    assert frame.locator("table").nth(3).locator("tbody tr").count() == len(pairs[1].target.split())
