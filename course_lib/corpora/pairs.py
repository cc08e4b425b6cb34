"""A sentence pair, and a corpus of them."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Pair:
    """One sentence and its translation.

    `alignment` holds pairs (source word index, target word index) over `str.split()`; None where it is not known.
    """

    source: str
    target: str
    alignment: frozenset[tuple[int, int]] | None = None


@dataclass(frozen=True)
class Corpus:
    """Sentence pairs by split ("train", "val", "test", …), with their name and direction ("de-en")."""

    name: str
    direction: str
    splits: dict[str, list[Pair]]
