"""Predict, then reveal: what the learner sees before and after committing, by mouse and keyboard, with no kernel."""

import re

import pytest

from course_lib.views import predict, predict_number

QUESTION = "Which share does the best of three keys get, if its score is <b>2</b>?"
OPTIONS = [("all of it", "No weight is exactly 1."), "about 0.79", "a third"]
WHY = "e<sup>2</sup> is 7.39 of 9.41."


def ask(**options):
    return predict(QUESTION, OPTIONS, "about 0.79", WHY, **options)


def test_wrong_arguments_are_named():
    with pytest.raises(ValueError, match=r"'0\.8' is not among the options: all of it, about 0\.79, a third"):
        predict(QUESTION, OPTIONS, "0.8", WHY)
    with pytest.raises(ValueError, match="two or more"):
        predict(QUESTION, ["yes"], "yes", WHY)
    with pytest.raises(ValueError, match="two or more different"):
        predict(QUESTION, ["yes", "yes", "no"], "no", WHY)
    with pytest.raises(ValueError, match="within=-1"):
        predict_number(QUESTION, 8, WHY, within=-1)


def test_a_figure_needs_words():
    from matplotlib.figure import Figure

    figure = Figure(figsize=(2, 1))
    with pytest.raises(ValueError, match="needs alt"):
        ask(picture=figure)
    assert "data:image/png;base64," in ask(picture=figure, alt="nothing").document


@pytest.fixture(scope="module")
def browser():
    from playwright.sync_api import sync_playwright

    from course_lib.doctor import find_browser
    from tests.browser import CHROMIUM_ARGS

    if find_browser() is None:
        pytest.skip("no Chromium or Chrome on the PATH (Debian and Ubuntu: apt-get install chromium)")
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=find_browser(), args=CHROMIUM_ARGS)
        yield chromium
        chromium.close()


@pytest.fixture
def show(browser, tmp_path):
    """Shows a view as a notebook does, in an iframe; gives the page and the frame. Scripts must not fail."""
    page = browser.new_page(viewport={"width": 900, "height": 700})
    page.set_default_timeout(10_000)
    errors = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)

    def open_(view):
        (tmp_path / "view.html").write_text(f"<!doctype html><meta charset=utf-8>{view.html}", encoding="utf-8")
        page.goto((tmp_path / "view.html").as_uri())
        frame = page.frame_locator("iframe")
        frame.locator("main fieldset").wait_for()
        return page, frame

    yield open_
    page.close()
    assert errors == []


def test_nothing_is_given_away_before_committing(show):
    _, frame = show(ask(picture="<p id=extra>a picture</p>"))
    assert "7.39" not in frame.locator("main").inner_text()
    assert frame.locator("#extra").count() == 0
    assert frame.get_by_role("button", name="Commit").is_disabled()
    assert not frame.get_by_text("right", exact=False).count()


def test_a_wrong_choice_is_answered_with_its_remark_and_the_reason(show):
    page, frame = show(ask(picture="<p id=extra>a picture</p>"))
    height = page.locator("iframe").bounding_box()["height"]
    frame.get_by_label("all of it").check()
    frame.get_by_role("button", name="Commit").click()
    said = frame.locator(".result").inner_text()
    for part in ("✗ Not quite.", "No weight is exactly 1.", "7.39 of 9.41", "a picture"):
        assert part in said
    assert re.sub(r"\s+", " ", frame.locator(".option.right").inner_text()) == "about 0.79 ✓ right"
    assert "your answer ✗" in frame.locator(".option.chosen").inner_text()
    assert frame.get_by_label("a third").is_disabled(), "the learner has committed"
    page.wait_for_function("height => document.querySelector('iframe').clientHeight > height", arg=height)
    inside = frame.locator("main").bounding_box()
    outside = page.locator("iframe").bounding_box()
    assert inside["y"] + inside["height"] <= outside["y"] + outside["height"] + 1, "the answer does not fit the frame"


def test_the_keyboard_alone_will_do(show):
    page, frame = show(ask())
    page.keyboard.press("Tab")  # the frame
    frame.get_by_label("all of it").focus()
    page.keyboard.press("ArrowDown")
    assert frame.get_by_label("about 0.79").is_checked()
    page.keyboard.press("Enter")
    assert "✓ Right." in frame.locator(".result").inner_text()
    assert "No weight is exactly 1." not in frame.locator(".result").inner_text()
    assert frame.locator(".result").get_attribute("aria-live") == "polite"
    assert frame.locator(".result:focus").count() == 1


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        ("512", "✓ Right: 512 MiB."),
        ("520", "✓ Right: 512 MiB."),
        ("1,024", "✗ You said 1,024 MiB; it is 512 MiB."),
        ("0,5", "✗ You said 0.5 MiB; it is 512 MiB."),
        ("−3", "✗ You said −3 MiB; it is 512 MiB."),
    ],
)
def test_numbers(show, typed, said):
    _, frame = show(predict_number("How much memory?", 512, "n² weights.", within=10, unit="MiB"))
    frame.get_by_role("textbox").fill("a lot")
    assert frame.get_by_role("button", name="Commit").is_disabled()
    assert "a number, please" in frame.locator("main").inner_text()
    frame.get_by_role("textbox").fill(typed)
    frame.get_by_role("textbox").press("Enter")
    assert frame.locator(".verdict").inner_text() == said
    assert "n² weights." in frame.locator(".result").inner_text()
