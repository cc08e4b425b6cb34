"""Merges, batches, embeddings: what the views show against the library, and how they behave in a browser, offline."""

import statistics
import time

import numpy as np
import pytest
import torch

from course_lib import tokenizer
from course_lib.batches import Example, bucketed_batches, padding_share
from course_lib.transformer import Transformer
from course_lib.translator import Translator
from course_lib.views import batch_explorer, bpe_explorer, embedding_map, kinds_of_words
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


# ---- embeddings ------------------------------------------------------------------------------------------------------
@pytest.fixture(scope="module")
def shipped():
    return Translator.shipped()


def clustered(n=6, d=9, seed=0):
    """Rows around three directions, and their kinds; beside them rows around none."""
    generator = torch.Generator().manual_seed(seed)
    centres, noise = torch.eye(d)[:3].repeat_interleave(n, 0), torch.randn(3 * n, d, generator=generator)
    names = [f"{letter}{i}" for letter in "abc" for i in range(n)]
    kinds = {f"kind {k}": {name: n * k + i for i, name in enumerate(names[n * k :][:n])} for k in range(3)}
    return {"before": noise, "after": centres + 0.1 * noise}, kinds


def counted(points, kind, angle):
    """The share of points whose nearest other is of their kind, point by point."""
    found = 0
    points = [point / np.linalg.norm(point) for point in points] if angle else points
    for i, point in enumerate(points):
        others = [j for j in range(len(points)) if j != i]
        nearest = min(others, key=lambda j: np.linalg.norm(point - points[j]))
        found += kind[nearest] == kind[i]
    return found / len(points)


def test_the_map_s_numbers_are_those_of_the_rows():
    tables, kinds = clustered()
    kind = np.repeat([0, 1, 2], 6)
    view = embedding_map(tables, kinds)
    data = embedded(view)
    for table in data["tables"]:
        name, rows = table["name"], tables[table["name"]].numpy()
        numbers = view.numbers[name]
        assert numbers["same_kind"] == pytest.approx(counted(rows, kind, angle=True))
        places = np.array(table["places"])
        for k in range(3):
            flat = counted(places[:, 2 * k : 2 * k + 2], kind, angle=False)
            assert numbers["on_the_map"][k] == pytest.approx(flat, abs=1e-6)
        unit = rows / np.linalg.norm(rows, axis=1, keepdims=True)
        spread = np.sort(np.linalg.eigvalsh(np.cov(unit.T)))[::-1]
        np.testing.assert_allclose(numbers["variance"], (spread / spread.sum())[:6], atol=1e-5)
        np.testing.assert_allclose(places.var(0, ddof=1), spread[:6], atol=1e-3)
        closest = [max((j for j in range(18) if j != i), key=lambda j: unit[i] @ unit[j]) for i in range(18)]
        assert [near[0] for near in table["near"]] == closest
    assert view.numbers["after"]["same_kind"] == 1 > view.numbers["before"]["same_kind"]
    assert data["chance"] == pytest.approx(5 / 17)
    assert "after 100%; by chance 29%" in view.alt


def test_words_have_one_kind_and_training_brings_kinds_together(shipped):
    kinds = kinds_of_words(shipped.tokenizer)
    words = [word for its in kinds.values() for word in its]
    assert len(kinds) == 8 and len(words) == len(set(words)) and "cook" not in words
    for its in kinds.values():
        assert len(its) >= 12 and any(word.isascii() for word in its) and not all(word.isascii() for word in its)
        assert all(shipped.tokenizer.encode(word) == [id] for word, id in its.items())
    torch.manual_seed(0)
    fresh = Transformer(shipped.model.config)
    tables = {"new": fresh.embedding.weight, "trained": shipped.model.embedding.weight}
    numbers = embedding_map(tables, kinds).numbers
    assert numbers["new"]["same_kind"] < 0.25 < 0.5 < numbers["trained"]["same_kind"]
    assert sum(numbers["trained"]["variance"]) < 0.5, "six axes hold less than half: the text says so of two"


def test_the_map_names_what_is_wrong():
    tables, kinds = clustered()
    with pytest.raises(ValueError, match="9 kinds: there are eight"):
        embedding_map(tables, {str(i): {f"w{i}": i} for i in range(9)})
    with pytest.raises(ValueError, match="6 words: more than 6"):
        embedding_map(tables, {"one": kinds["kind 0"]})


def test_the_map_answers_to_the_mouse_and_the_keys(show):  # noqa: F811
    tables, kinds = clustered()
    _, frame = show(embedding_map(tables, kinds))
    pictures, said = frame.locator("svg[role=img]"), frame.locator(".said")
    assert pictures.count() == 2 and pictures.first.locator("path[transform]").count() == 18
    frame.get_by_role("button", name="kind 1").click()
    assert pictures.last.locator("path.faint").count() == 12
    pictures.last.focus()
    pictures.last.press("ArrowRight")
    assert said.locator("b").inner_text() == "b0 (kind 1)"
    after = said.locator("p").last.inner_text()
    assert after.startswith("after: nearest are b") and after.count("✓") == 4 and "kind" not in after
    assert pictures.last.locator("path.link").count() == 3
    frame.get_by_role("button", name="all").click()
    shape = pictures.first.locator("path[transform]").last
    shape.hover(force=True)
    assert said.locator("p").count() == 3
    cells = frame.locator("td").all_inner_texts()
    frame.get_by_role("button", name="3 and 4").click()
    assert frame.locator("td").all_inner_texts()[:2] == cells[:2] != frame.locator("td").all_inner_texts()[4:]
    assert frame.locator("td").all_inner_texts()[4:] != cells[4:]
