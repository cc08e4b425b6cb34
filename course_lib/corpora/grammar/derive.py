"""Reading the rules, drawing derivations from them, and writing a derivation out in both languages."""

import re
from bisect import bisect
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from itertools import accumulate, count
from random import Random
from typing import NamedTuple

from course_lib.corpora.grammar.constructions import RULES
from course_lib.corpora.grammar.lexicon import LEXICON, Entry
from course_lib.corpora.pairs import Pair

AGREEMENT = {  # word: its forms for I, he or she, they
    "be": {"first": "am", "third": "is", "plural": "are"},
    "was": {"first": "was", "third": "was", "plural": "were"},
    "do": {"first": "do", "third": "does", "plural": "do"},
    "have": {"first": "have", "third": "has", "plural": "have"},
}
FEW = 8  # a choice among fewer words than this is never held out of training


@dataclass(frozen=True, eq=False)
class Slot:
    """What a slot may hold: a phrase, or an entry with all of `required`, none of `forbidden`, related to `other`."""

    name: str
    kind: str  # the name of a phrase (capital letter) or a category of the lexicon
    required: frozenset[str]
    forbidden: frozenset[str]
    relation: str  # "" or one of @ ~ <
    other: str  # the slot it relates to; classes joined by +; or "" for what the phrase was asked for


class Word(NamedTuple):
    """One place of a template: a slot or a fixed word, its form, the slot it agrees with, and its label."""

    slot: str
    text: str
    form: str
    agrees: str
    label: str


@dataclass(frozen=True, eq=False)
class Rule:
    """One rule of a phrase, with its English and Chinese templates."""

    phrase: str
    name: str
    english: tuple[Word, ...]
    chinese: tuple[Word, ...]
    slots: tuple[Slot, ...]
    weight: float
    agreement: str
    differ: tuple[tuple[str, str], ...]


class Tree(NamedTuple):
    """A derivation: a rule, what fills its slots, and the entry (or classes) whose objects it was asked for."""

    rule: Rule
    kids: "dict[str, Tree | Entry]"
    asked: "Entry | str | None"


class DeadEnd(Exception):
    """No word fits here; the derivation is drawn again."""


SLOT = re.compile(r"([A-Z])=(\w+)((?:[.!]\w+)*)(?:([@~<])([\w+]*))?$")
WORD = re.compile(r"([^/@:]+|:)(?::([\w*]+))?(?:@([A-Z]))?(?:/(\w+))?$")


def _template(text: str, slots: set[str]) -> tuple[Word, ...]:
    words = []
    for token in text.split():
        match = WORD.match(token)
        if not match:
            raise ValueError(f"template word {token!r} in {text!r}")
        base, form, agrees, label = match.groups(default="")
        words.append(Word(base if base in slots else "", base, form, agrees, label))
    return tuple(words)


def _rule(phrase: str, line: str) -> Rule:
    name, english, chinese, declared = (part.strip() for part in line.split("|"))
    slots, options = [], {}
    for item in declared.split():
        if match := SLOT.match(item):
            letter, kind, classes, relation, other = match.groups(default="")
            marks = re.findall(r"([.!])(\w+)", classes)
            required = frozenset(word for mark, word in marks if mark == ".")
            forbidden = frozenset(word for mark, word in marks if mark == "!")
            slots.append(Slot(letter, kind, required, forbidden, relation, other))
        else:
            key, value = item.split("=")
            options[key] = value
    names = {slot.name for slot in slots}
    return Rule(
        phrase,
        name,
        _template(english, names),
        _template(chinese, names),
        tuple(slots),
        float(options.get("weight", 1)),
        options.get("agr", next((letter for letter in "PNX" if letter in names), "third")),
        tuple(tuple(pair.split(",")) for pair in options.get("differ", "").split(";") if pair),
    )


def _read_rules(text: str) -> dict[str, list[Rule]]:
    grammar: dict[str, list[Rule]] = {}
    for line in text.strip().splitlines():
        if line.startswith("["):
            rules = grammar.setdefault(line.strip("[]"), [])
        elif line:
            rules.append(_rule(next(reversed(grammar)), line))
    return grammar


GRAMMAR = _read_rules(RULES)


@cache
def _by_category() -> dict[str, list[Entry]]:
    categories: dict[str, list[Entry]] = {}
    for entry in LEXICON:
        categories.setdefault(entry.category, []).append(entry)
    return categories


@cache
def entries(slot: Slot, asked: Entry | str | None) -> tuple[Entry, ...]:
    """The entries that may fill a slot, where `asked` is the entry (or the classes, joined by +) it relates to."""
    found = [e for e in _by_category()[slot.kind] if slot.required <= e.classes and not slot.forbidden & e.classes]
    if slot.relation == "@":
        wanted = asked.takes if isinstance(asked, Entry) else frozenset((asked or "").split("+"))
        found = [e for e in found if wanted & e.classes]
    elif slot.relation == "~":
        found = [e for e in found if e.takes & asked.classes]
    elif slot.relation == "<":
        found = [e for e in found if e.chinese == asked.measure]
    return tuple(found)


@cache
def _choices(phrase: str, asked: Entry | str | None) -> tuple[tuple[Rule, ...], tuple[float, ...]]:
    """The rules of a phrase that have words for what is asked, with their cumulated weights."""
    rules = [rule for rule in GRAMMAR[phrase] if _possible(rule, asked)]
    if not rules:
        raise DeadEnd(f"no rule of {phrase} for {asked}")
    return tuple(rules), tuple(accumulate(rule.weight for rule in rules))


def _possible(rule: Rule, asked: Entry | str | None) -> bool:
    return all(
        slot.kind[0].isupper() or slot.relation != "@" or slot.other or entries(slot, asked) for slot in rule.slots
    )


def draw(phrase: str, rng: Random, asked: Entry | str | None = None, depth: int = 0) -> Tree:
    """One derivation of a phrase; `depth` is how often a clause within a clause may itself be a complex one.

    Raises:
        DeadEnd: when the words chosen so far leave no word for a slot.
    """
    if phrase == "Simple" and depth > 0 and rng.random() < 0.7:
        phrase, depth = "Complex", depth - 1
    rules, weights = _choices(phrase, asked)
    return draw_rule(rules[bisect(weights, rng.random() * weights[-1])], rng, asked, depth)


def draw_rule(rule: Rule, rng: Random, asked: Entry | str | None = None, depth: int = 0) -> Tree:
    """One derivation that begins with this rule; see `draw`."""
    kids: dict[str, Tree | Entry] = {}
    for slot in rule.slots:
        source = asked
        if slot.other:
            source = kids.get(slot.other, slot.other)
            if isinstance(source, Tree):
                source = source.kids["N"]
        if slot.kind[0].isupper():
            kids[slot.name] = draw(slot.kind, rng, source if slot.relation else None, depth)
        else:
            found = entries(slot, source if slot.relation else None)
            if not found:
                raise DeadEnd(f"no {slot.kind} for {source}")
            kids[slot.name] = found[int(rng.random() * len(found))]
    for one, other in rule.differ:
        if _overlap(kids[one], kids[other]):
            raise DeadEnd(f"{one} and {other} are the same")
    return Tree(rule, kids, asked)


def _overlap(one: Tree | Entry, other: Tree | Entry) -> bool:
    """Whether two phrases are the same, or I and we."""

    def person(filler: Tree | Entry) -> Tree | Entry | str:
        while isinstance(filler, Tree) and len(filler.kids) == 1:
            (filler,) = filler.kids.values()
        return "I" if isinstance(filler, Entry) and "speaker" in filler.classes else filler

    return person(one) == person(other)


def _agreement(tree: Tree, name: str) -> str:
    """The agreement of what fills the slot `name`: "first" (I), "third" (he, she, it) or "plural"."""
    kid = tree.kids[name]
    if isinstance(kid, Entry):
        plural = any(word.slot == name and word.form == "plural" for word in tree.rule.english)
        return "plural" if plural else kid.agreement
    own = kid.rule.agreement
    return _agreement(kid, own) if own in kid.kids else own


Linked = list[tuple[str, int]]  # words, each with the number of its link, or -1


def write(tree: Tree, ids: Iterator[int], form: str = "") -> tuple[Linked, Linked]:
    """A derivation as English and Chinese words; words with the same number are aligned."""
    labels: dict[str, int] = {}
    phrases: dict[str, tuple[Linked, Linked]] = {}

    def link(label: str) -> int:
        if not label:
            return -1
        if label not in labels:
            labels[label] = next(ids)
        return labels[label]

    def phrase(name: str, kid: Tree, wanted: str) -> tuple[Linked, Linked]:
        if name not in phrases:
            phrases[name] = write(kid, ids, wanted)
        return phrases[name]

    english: Linked = []
    for slot, text, shape, agrees, label in tree.rule.english:
        if not slot:
            if agrees:
                text = AGREEMENT[text][_agreement(tree, agrees)]
            english.append((text, link(label)))
            continue
        kid = tree.kids[slot]
        shape = form if shape == "*" else shape
        if agrees:
            shape = "third" if _agreement(tree, agrees) == "third" else "base"
        if isinstance(kid, Tree):
            english += phrase(slot, kid, shape)[0]
        else:
            number = link(label or slot)
            english += [(word, number) for word in kid.forms[shape]]
    chinese: Linked = []
    for slot, text, shape, _, label in tree.rule.chinese:
        if not slot:
            chinese.append((text, link(label)))
            continue
        kid = tree.kids[slot]
        if isinstance(kid, Tree):
            chinese += phrase(slot, kid, "")[1]
        else:
            word = kid.measure if shape == "measure" else kid.bare if shape == "bare" else kid.chinese
            chinese.append((word, link(label or slot)))
    return english, chinese


AN = ("a", "e", "i", "o", "umbrella", "hour", "ugly", "uncle", "honest")
A = ("one", "useful", "university", "european")


def needs_an(word: str) -> bool:
    """Whether the article before this word is "an": it begins with a vowel sound."""
    word = word.lower()
    return word.startswith(AN) and not word.startswith(A)


def pair_of(tree: Tree) -> Pair:
    """The sentence pair of a derivation, with its word alignment."""
    english, chinese = write(tree, count())
    words = [word for word, _ in english]
    for i, word in enumerate(words[:-1]):
        if word == "a" and needs_an(words[i + 1]):
            words[i] = "an"
    words[0] = words[0][0].upper() + words[0][1:]
    where: dict[int, list[int]] = {}
    for j, (_, number) in enumerate(chinese):
        where.setdefault(number, []).append(j)
    where.pop(-1, None)
    alignment = frozenset((i, j) for i, (_, number) in enumerate(english) for j in where.get(number, ()))
    return Pair(" ".join(words), " ".join(word for word, _ in chinese), alignment)
