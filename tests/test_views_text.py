"""Merges and batches: what the views show against the library, and how they behave in a browser, offline."""

import statistics
import time

import numpy as np
import pytest

from course_lib import tokenizer
from course_lib.batches import Example, bucketed_batches, padding_share
from course_lib.views import batch_explorer, bpe_explorer
from course_lib.views.batching import HEIGHT, ORDERS, PADDING_COLOUR, TOKEN_COLOUR, arrange, padding, paint
from tests.test_views_html import browser, embedded, show  # noqa: F401

CORPUS = "aaa aaaa Zebra zebra zebra ab ab b.a b.a 猫狗猫狗 猫狗 𝒳𝒳 𝒳𝒳 ﬁ ﬁ ca ca the then there the other"


def learn(text, limit=200, mark=""):
    """The merges as the library makes them, until no pair occurs twice."""
    words = {}
    for word in text.split():
        words[tuple(mark + word)] = words.get(tuple(mark + word), 0) + 1
    merges = []
    while len(merges) < limit and (pair := tokenizer.most_frequent_pair(words)):
        if sum(n * list(zip(word, word[1:])).count(pair) for word, n in words.items()) < 2:  # noqa: RUF007
            break
        words = tokenizer.merge_pair(words, pair)
        merges.append(pair)
    return merges


# ---- merges ----------------------------------------------------------------------------------------------------------
def test_the_page_is_self_contained_and_escapes_its_text():
    view = bpe_explorer("</script><script>boom()</script> a a", "<b>")
    assert "<script>boom()" not in view.document and "://" not in view.document
    assert embedded(view)["sentence"] == "<b>"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [(("  \n",), "no words"), (("a " * 10_001,), "20002 characters"), (("a", "b"), "limit=-1")],
)
def test_merges_name_what_is_wrong(arguments, message):
    with pytest.raises(ValueError, match=message):
        bpe_explorer(*arguments, **({"limit": -1} if "limit" in message else {}))


def learned(frame):
    """The merges on the page, at the end of training; it shows the last fourteen."""
    slider = frame.locator("input[type=range]")
    slider.fill(slider.get_attribute("max"))
    return int(slider.get_attribute("max")), frame.locator(".merge").all_inner_texts()


@pytest.mark.parametrize("mark", ["", "▁"])
def test_the_page_learns_what_the_library_learns(show, mark):  # noqa: F811
    _, frame = show(bpe_explorer(CORPUS, marker=bool(mark)))
    merges = learn(CORPUS, mark=mark)
    n, chips = learned(frame)
    assert n == len(merges) >= 14
    for rank in range(n):  # each merge on the page, one step after the other
        frame.locator("input[type=range]").fill(str(rank + 1))
        assert frame.locator(".merge").last.inner_text() == f"{rank} {' + '.join(merges[rank])}"
    assert len(chips) == 14


def test_a_sentence_is_cut_as_the_library_cuts_it(show):  # noqa: F811
    _, frame = show(bpe_explorer(CORPUS))
    merges = learn(CORPUS)
    frame.locator(".sentence").fill("therapy zebras 猫狗 aaaaa <b>")
    for step in (0, 3, len(merges)):
        frame.locator("input[type=range]").fill(str(step))
        for i, word in enumerate("therapy zebras 猫狗 aaaaa <b>".split()):
            shown = frame.locator(".pieces .word").nth(i).locator(".piece").evaluate_all(
                "pieces => pieces.map(piece => piece.firstChild.textContent)"
            )  # fmt: skip
            assert shown == tokenizer.bpe_encode(word, merges[:step])
    characters = sorted({*CORPUS} - {" "})
    first = frame.locator(".pieces .piece small").first.inner_text()
    piece = tokenizer.bpe_encode("therapy", merges)[0]
    vocabulary = [*characters, *("".join(pair) for pair in merges)]
    assert int(first) == 4 + vocabulary.index(piece)
    assert "[UNK], id 3" in frame.locator(".own .hint").inner_text()  # <, > and p are not in the corpus


def test_a_guess_comes_before_the_counts(show):  # noqa: F811
    _, frame = show(bpe_explorer("ab ab ab ac ac xy"))
    assert frame.locator(".pairs table").count() == 0 and "3" not in frame.locator(".pairs").inner_text()
    assert frame.locator(".guesses button").all_inner_texts() == ["a + b", "a + c", "x + y"]
    frame.get_by_role("button", name="a + c").click()
    assert "a + c occurs 2 times, a + b 3 times. (0 of 1 right so far.)" in frame.locator(".verdict").inner_text()
    frame.get_by_role("button", name="merge ▶").click()
    frame.get_by_role("button", name="a + c").click()
    assert "✓ Right. (1 of 2 so far.)" in frame.locator(".verdict").inner_text()
    frame.get_by_role("button", name="merge ▶").click()
    assert "no pair occurs twice" in frame.locator(".pairs").inner_text()
    frame.get_by_role("button", name="◀ back").click()
    frame.get_by_role("button", name="show counts").click()
    assert frame.locator(".pairs .best .count").inner_text().strip() == "2"


def test_ties_are_told_and_another_corpus_is_learned_at_once(show):  # noqa: F811
    page, frame = show(bpe_explorer("ab cd ab cd", predict=False))
    assert "2 pairs occur 2 times: the smallest goes first" in frame.locator(".verdict").inner_text()
    frame.locator("details summary").click()
    frame.locator("textarea").fill("")
    assert "Training ends here" in frame.locator(".pairs").inner_text()
    text = " ".join(f"{a}{b}{c}er" for a in "bcdfgh" for b in "aeiou" for c in "klmnprst") * 3
    frame.locator("textarea").fill(text)
    assert learned(frame)[0] == len(learn(text))
    step = page.frames[1].evaluate(
        """() => { const slider = document.querySelector('input[type=range]'), times = [];
        for (let k = 0; k <= slider.max; k++) { slider.value = k; const start = performance.now();
            slider.dispatchEvent(new Event('input')); times.push(performance.now() - start); }
        return times; }"""
    )
    assert statistics.median(step) < 100


# ---- batches ---------------------------------------------------------------------------------------------------------
def random_examples(n=200, seed=0):
    lengths = np.random.default_rng(seed).integers(3, 30, (n, 2))
    return [Example([7] * int(s), [9] * int(t)) for s, t in lengths]


def test_every_sentence_is_in_one_batch_that_fits():
    examples = random_examples()
    for order in ORDERS:
        batches = arrange(examples, order, 256)
        rows = sorted(zip(*(np.concatenate(side).tolist() for side in zip(*batches))))
        assert rows == sorted((len(e.source_ids), len(e.target_ids) + 1) for e in examples)
        assert all(len(side) * side.max() <= 256 for batch in batches for side in batch)


def test_padding_is_what_the_library_counts():
    examples = random_examples()
    for order, shuffle in (("bucketed", True), ("sorted", False)):
        theirs = bucketed_batches(examples, 256, pad_id=0, bos_id=1, eos_id=2, shuffle=shuffle)
        assert padding(arrange(examples, order, 256)) == pytest.approx(padding_share(theirs))
    assert padding([(np.array([2, 4]), np.array([3, 3]))]) == pytest.approx(2 / 14)
    assert padding([(np.array([2, 4]), np.array([3, 3]))], 1) == 0


def test_the_numbers_are_those_of_the_batches():
    examples = random_examples()
    view = batch_explorer({"mine": examples, "short": random_examples(30, 1)}, 256)
    for order in ORDERS:
        batches = arrange(examples, order, 256)
        assert view.numbers[order] == {"padding": padding(batches), "batches": len(batches)}
    assert view.numbers["random"]["padding"] > 1.5 * view.numbers["bucketed"]["padding"]
    view.set(order="sorted", side=0)
    assert f"{padding(arrange(examples, 'sorted', 256), 0):.1%} of the source side" in captions(view)
    view.set(corpus="short")
    assert view.numbers["random"]["batches"] == len(arrange(random_examples(30, 1), "random", 256))


def captions(view):
    return " ".join(child.value for child in view.children[4].children if isinstance(getattr(child, "value", 0), str))


def test_painted_is_what_is_there():
    pixels, shown = paint([np.array([2, 4]), np.array([3, 3])], tallest=2)
    blue, orange = ((pixels == colour).all(-1).sum() for colour in (TOKEN_COLOUR, PADDING_COLOUR))
    assert shown == 2 and blue == 6 * orange  # 12 tokens, 2 places of padding
    assert paint([np.full(999, 5)], tallest=999)[1] == 1, "the tallest batch fits"
    many = [np.array([200, 200])] * 500
    assert 0 < paint(many, tallest=2)[1] < 500 and paint(many, tallest=2)[0].shape[0] == HEIGHT


def test_every_setting_draws_quickly():
    view = batch_explorer({"mine": random_examples(1000)})
    seconds = []
    for places in range(64, 2049, 128):
        start = time.process_time()
        view.set(places=places, order=list(ORDERS)[places // 64 % 3])
        seconds.append(time.process_time() - start)
        assert view.failure is None
    assert statistics.median(seconds) < 0.1


def test_batches_name_what_is_wrong():
    with pytest.raises(ValueError, match="corpus none has no examples"):
        batch_explorer({"none": []})
    with pytest.raises(ValueError, match="an example of long has 3001 places"):
        batch_explorer({"long": [Example([1] * 3001, [1])]})
