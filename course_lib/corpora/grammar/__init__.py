"""The embedded corpus: English and Chinese sentences made side by side by a synchronous grammar.

`generate()` gives the corpus; every pair carries its word alignment, because each construction writes both of its
sides at once (`constructions.py`) with words from one lexicon (`lexicon.py`). What is aligned: every word with a
counterpart, also one with several ("older brother" and 哥哥). A measure word is aligned with the noun that asks for
it, and 把, 了, 吗, 很, "the", "did" and their like have no counterpart.

Splits: `train`, `val` and `test` are different sentences of one distribution. `compositional` holds only sentences
with a combination of two words, or of a construction and a verb, that no sentence of the others has
(`combinations`, `is_held_out`), though each of the two is common there. Sentences of `long` are longer than any of
the others, on both sides, because a clause within a clause is itself a complex one.
"""

import re
import zlib
from collections.abc import Iterator
from functools import cache
from random import Random
from typing import NamedTuple

from course_lib.corpora.grammar.derive import (
    FEW,
    GRAMMAR,
    DeadEnd,
    Rule,
    Tree,
    draw,
    draw_rule,
    entries,
    pair_of,
)
from course_lib.corpora.grammar.lexicon import LEXICON, Entry
from course_lib.corpora.pairs import Corpus, Pair

__all__ = [
    "LEXICON",
    "MAX_WORDS",
    "Construction",
    "Derivation",
    "Entry",
    "combinations",
    "constructions",
    "derivations",
    "generate",
    "is_held_out",
    "join_chinese",
    "join_english",
    "pinyin",
    "reverse",
    "segment_chinese",
    "tokenize_english",
]

MAX_WORDS = 16  # words and punctuation of the longest sentences outside `long`, on either side
LONGEST = 32  # … and within it
EVALUATION = {"val": 1000, "test": 1000, "compositional": 1000, "long": 500}
FULL_WIDTH = str.maketrans(".?,", "。？，")
CLAUSES = ("Simple", "Complex", "Question", "Command")


class Derivation(NamedTuple):
    """A sentence pair with the name of its construction and the tree that it was written from."""

    construction: str
    pair: Pair
    tree: Tree


class Construction(NamedTuple):
    """A construction of the grammar with one example."""

    name: str
    kind: str  # Simple, Complex, Question or Command
    english: str
    chinese: str


def combinations(tree: Tree) -> Iterator[str]:
    """What a derivation combines: verb and object, adjective and noun, construction and verb.

    Only choices among several words count, so that neither of the two is bound to the other.
    """
    for slot in tree.rule.slots:
        kid = tree.kids[slot.name]
        if isinstance(kid, Tree):
            yield from combinations(kid)
            continue
        if slot.kind == "verb" and not slot.relation and tree.rule.phrase in CLAUSES:
            if len(entries(slot, None)) >= FEW:
                yield f"{tree.rule.name}+{kid.english}/{kid.chinese}"
            continue
        source = tree.kids.get(slot.other) if slot.other else tree.asked
        if isinstance(source, Entry) and source.category in ("verb", "adjective") and kid.category == "noun":
            if len(entries(slot, source)) >= FEW:
                yield f"{source.english}/{source.chinese}+{kid.english}"
        elif slot.relation == "~" and source.category == "noun" and kid.category == "adjective":
            yield f"{kid.english}/{kid.chinese}+{source.english}"


@cache
def is_held_out(combination: str) -> bool:
    """Whether a combination is kept for the split `compositional`: about one in twelve, by its checksum."""
    return zlib.crc32(combination.encode()) % 12 == 0


def _derive(rng: Random, depth: int = 0) -> Derivation:
    """One sentence; with a depth, a complex one whose clauses are complex again."""
    complex_rule = next(rule for rule in GRAMMAR["Sentence"] if rule.name == "complex")
    while True:
        try:
            tree = draw_rule(complex_rule, rng, None, depth) if depth else draw("Sentence", rng)
        except DeadEnd:
            continue
        return Derivation(tree.kids["C"].rule.name, pair_of(tree), tree)


def derivations(seed: int = 1) -> Iterator[Derivation]:
    """An endless stream of sentence pairs with their constructions; pairs may come again."""
    rng = Random(seed)
    while True:
        yield _derive(rng)


def _is_short(pair: Pair) -> bool:
    return max(pair.source.count(" "), pair.target.count(" ")) < MAX_WORDS


def _is_long(pair: Pair) -> bool:
    counts = pair.source.count(" "), pair.target.count(" ")
    return min(counts) >= MAX_WORDS and max(counts) < LONGEST


def generate(seed: int = 1, n_train: int = 80_000) -> Corpus:
    """The grammar corpus, English to Chinese: the same for the same arguments, on every machine.

    Args:
        seed: another one gives other sentences; what is held out for `compositional` stays the same.
        n_train: sentence pairs in the split `train`.

    Raises:
        ValueError: when n_train is not positive.
    """
    if n_train < 1:
        raise ValueError(f"n_train={n_train} must be at least 1")
    rng = Random(seed)
    seen: set[str] = set()

    def new(pair: Pair) -> bool:
        """Whether neither side has been seen; so that a sentence has one translation in both directions."""
        if pair.source in seen or pair.target in seen:
            return False
        seen.update((pair.source, pair.target))
        return True

    usual: list[Pair] = []
    unusual: list[Pair] = []
    wanted = n_train + EVALUATION["val"] + EVALUATION["test"]
    while len(usual) < wanted or len(unusual) < EVALUATION["compositional"]:
        _, pair, tree = _derive(rng)
        if not _is_short(pair):
            continue
        pairs, size = usual, wanted
        if any(map(is_held_out, combinations(tree))):
            pairs, size = unusual, EVALUATION["compositional"]
        if len(pairs) < size and new(pair):
            pairs.append(pair)
    long: list[Pair] = []
    while len(long) < EVALUATION["long"]:
        _, pair, tree = _derive(rng, depth=2)
        if _is_long(pair) and not any(map(is_held_out, combinations(tree))) and new(pair):
            long.append(pair)
    test = n_train + EVALUATION["val"]
    _shuffle(usual, rng)
    splits = {"train": usual[:n_train], "val": usual[n_train:test], "test": usual[test:]}
    return Corpus("grammar", "en-zh", {**splits, "compositional": unusual, "long": long})


def _shuffle(items: list, rng: Random) -> None:
    """Fisher and Yates' shuffle with `random()` alone, whose numbers are the same in every version of Python."""
    for i in range(len(items) - 1, 0, -1):
        j = int(rng.random() * (i + 1))
        items[i], items[j] = items[j], items[i]


def reverse(pair: Pair) -> Pair:
    """The pair in the other direction, with its alignment turned round."""
    alignment = None if pair.alignment is None else frozenset((j, i) for i, j in pair.alignment)
    return Pair(pair.target, pair.source, alignment)


def constructions() -> list[Construction]:
    """All constructions, each with one example; the same examples every time."""
    first = {rule.name: (kind, rule) for kind in CLAUSES for rule in reversed(GRAMMAR[kind])}
    return [_example(*first[name]) for name in dict.fromkeys(rule.name for kind in CLAUSES for rule in GRAMMAR[kind])]


def _example(kind: str, rule: Rule) -> Construction:
    rng = Random(zlib.crc32(rule.name.encode()))
    top = next(top for top in GRAMMAR["Sentence"] if top.slots[0].kind == kind)
    while True:
        try:
            pair = pair_of(Tree(top, {"C": draw_rule(rule, rng)}, None))
        except DeadEnd:
            continue
        return Construction(rule.name, kind, pair.source, pair.target)


@cache
def _pinyin_by_word() -> dict[str, str]:
    words: dict[str, str] = {}
    for entry in LEXICON:
        words.setdefault(entry.chinese, entry.pinyin)
        if entry.bare != entry.chinese:
            words.setdefault(entry.bare, entry.bare_pinyin)
    return words


def join_chinese(text: str) -> str:
    """Words as Chinese is written: 他 买 了 书 。 gives 他买了书。"""
    return text.replace(" ", "")


def segment_chinese(text: str) -> str:
    """Chinese with spaces between words: from left to right the longest word of the lexicon; others alone."""
    words, characters = _pinyin_by_word(), join_chinese(text)
    longest = max(map(len, words))
    found, start = [], 0
    while start < len(characters):
        size = min(longest, len(characters) - start)
        while size > 1 and characters[start : start + size] not in words:
            size -= 1
        found.append(characters[start : start + size])
        start += size
    return " ".join(found).translate(FULL_WIDTH)


def pinyin(text: str) -> str:
    """The pinyin of Chinese words; what the lexicon does not know, and punctuation, stays as it is."""
    words = _pinyin_by_word()
    return " ".join(words.get(word, word) for word in segment_chinese(text).split())


CONTRACTIONS = {
    "can't": "cannot",
    "won't": "will not",
    "n't": " not",
    "'m": " am",
    "'re": " are",
    "'ve": " have",
    "'ll": " will",
}
IS = re.compile(r"\b(he|she|it|that|this|what|who|where|there|how|when|why)'s\b", re.IGNORECASE)


def tokenize_english(text: str) -> str:
    """English as the corpus writes it: He doesn't like Tom's book. gives He does not like Tom 's book ."""
    text = IS.sub(r"\1 is", text.replace("’", "'"))
    for short, full in CONTRACTIONS.items():
        text = re.sub(rf"{short}\b", full, text, flags=re.IGNORECASE)
    text = re.sub(r"([.,?!])", r" \1 ", re.sub(r"'s\b", " 's", text))
    return " ".join(text.split())


def join_english(text: str) -> str:
    """Words and punctuation as English is written: Tom 's book , please . gives Tom's book, please."""
    return re.sub(r" ([.,?!]|'s\b)", r"\1", text)
