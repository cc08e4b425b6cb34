"""Sentence pairs to learn from: the embedded grammar corpus, Multi30k, Tatoeba, or a file of your own.

`load_corpus("multi30k", "de-en")` gives a `Corpus` whose splits are lists of `Pair`. Files are looked for in
`data_dir`, else in the folder that COURSE_DATA names, laid out like this (nothing else is needed):

    multi30k/   train.de.gz train.en.gz  val.…  test_2016_flickr.…  test_2017_flickr.…   one sentence a line
    tatoeba/    cmn-eng.tsv.gz, or cmn-eng.tsv, or cmn.txt, or cmn-eng.zip               English TAB Chinese [TAB …]

Where neither is given they are downloaded once, into COURSE_HOME/data or ~/.transformer-workshop/data.
"""

import difflib
import re
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from course_lib.corpora import downloads
from course_lib.corpora.pairs import Corpus, Pair
from course_lib.corpora.reading import read_lines, read_tsv, split_pairs
from course_lib.errors import CourseError

__all__ = ["CORPORA", "Corpus", "CorpusInfo", "Pair", "load_corpus"]


@dataclass(frozen=True)
class CorpusInfo:
    """What is known of a corpus before it is loaded; the first direction is the default."""

    directions: tuple[str, ...]
    splits: tuple[str, ...]
    license: str
    source: str


CORPORA = {
    "grammar": CorpusInfo(
        ("en-zh", "zh-en"),
        ("train", "val", "test", "compositional", "long"),
        "part of the course",
        "made by the course's own grammar; needs no download",
    ),
    "multi30k": CorpusInfo(
        ("de-en", "en-de"),
        ("train", "val", "test", "test2017"),
        "derived from Flickr30k; research and education, non-commercial",
        "https://github.com/multi30k/dataset",
    ),
    "tatoeba": CorpusInfo(
        ("en-zh", "zh-en"),
        ("train", "val", "test"),
        "CC BY 2.0 FR",
        "https://www.manythings.org/anki/",
    ),
}


def load_corpus(name_or_path: str | Path, direction: str | None = None, data_dir: str | Path | None = None) -> Corpus:
    """A corpus by name, or one of your own: a UTF-8 file `*.tsv` with source TAB target in every line.

    `direction` is source-target, as in "de-en"; for a file of your own it is only a label. `data_dir` names a folder
    with corpora already downloaded. Raises CourseError that says what is wrong and what to do.
    """
    name = str(name_or_path)
    if name in CORPORA:
        directions = CORPORA[name].directions
        direction = direction or directions[0]
        if direction not in directions:
            raise CourseError(f"the corpus {name} has no direction {direction!r}: choose {' or '.join(directions)}")
        return _LOADERS[name](direction, data_dir)
    if name.endswith((".tsv", ".tsv.gz")):
        return _load_own(Path(name).expanduser(), direction or "source-target")
    near = difflib.get_close_matches(name.lower(), CORPORA, n=1)
    hint = f"; did you mean {near[0]}?" if near else ""
    raise CourseError(f"unknown corpus {name!r}: choose {', '.join(CORPORA)}, or the path of a .tsv file{hint}")


def _load_grammar(direction: str, data_dir: object) -> Corpus:
    from course_lib.corpora.grammar import generate, reverse

    corpus = generate()
    if direction == corpus.direction:
        return corpus
    splits = {split: [reverse(pair) for pair in pairs] for split, pairs in corpus.splits.items()}
    return Corpus(corpus.name, direction, splits)


MULTI30K_FILES = {"train": "train", "val": "val", "test": "test_2016_flickr", "test2017": "test_2017_flickr"}
MULTI30K_SHA256 = {
    "test_2016_flickr.de.gz": "9204244e408ccb38d2a55cfcd344df15005fc42a07a6e55ca6c52b6ababb8cc8",
    "test_2016_flickr.en.gz": "611d361c6334bc7246101d48097c13cf5c4413c5befc793cc629934359d532d9",
    "test_2017_flickr.de.gz": "a2c89666db00c495cd8513b9d708d5a3acc205d7de312ef2bf5fb7ebc1540aee",
    "test_2017_flickr.en.gz": "76a444ee25172e72695cddb13ae4a3bda59430617be88e0bb46b60504f054074",
    "train.de.gz": "726e39b2fa9eb9ffb6dc763fb35a179f80fae06ffc5d28b6ace5faa883de28a6",
    "train.en.gz": "d79cfa999dd4c51d2cb42499b6796d5a882c3a8a961923c25a898c90f8bbd56f",
    "val.de.gz": "f0cba2f995189cf5770f29a8a9a537a3ad3f51657ad873405082ff6863a5e75a",
    "val.en.gz": "14f7d25ddd868909a9213e361768460edcacdd6ab9d1e77b92560dc10c10dc28",
}
MULTI30K_URLS = (
    "https://raw.githubusercontent.com/multi30k/dataset/master/data/task1/raw/",
    "https://cdn.jsdelivr.net/gh/multi30k/dataset@master/data/task1/raw/",
    "https://github.com/multi30k/dataset/raw/master/data/task1/raw/",
)


def _load_multi30k(direction: str, data_dir: str | Path | None) -> Corpus:
    folder = downloads.local_folder(data_dir)

    def sentences(stem: str, language: str) -> list[str]:
        name = f"{stem}.{language}.gz"
        sha256 = MULTI30K_SHA256[name]
        check = partial(downloads.check_sha256, expected=sha256)
        if folder:
            path = downloads.local_file(folder, "multi30k", [name])
            check(path)
        else:
            path = downloads.download("multi30k", name, [url + name for url in MULTI30K_URLS], check, sha256)
        return [line.strip() for line in read_lines(path)]

    source, target = direction.split("-")
    splits = {
        split: [Pair(s, t) for s, t in zip(sentences(stem, source), sentences(stem, target), strict=True)]
        for split, stem in MULTI30K_FILES.items()
    }
    return Corpus("multi30k", direction, splits)


TATOEBA_FILES = ("cmn-eng.tsv.gz", "cmn-eng.tsv", "cmn.txt", "cmn-eng.zip")
# The pack changes with every release, so that no checksum can be named: what arrives is read and judged instead.
TATOEBA_URLS = (
    "https://www.manythings.org/anki/cmn-eng.zip",
    "https://web.archive.org/web/2024id_/https://www.manythings.org/anki/cmn-eng.zip",
)
TATOEBA_LEAST = 10_000  # pairs in a complete download


def _load_tatoeba(direction: str, data_dir: str | Path | None) -> Corpus:
    folder = downloads.local_folder(data_dir)
    if folder:
        path = downloads.local_file(folder, "tatoeba", TATOEBA_FILES)
    else:
        path = downloads.download("tatoeba", "cmn-eng.zip", TATOEBA_URLS, _check_tatoeba)
    splits = split_pairs(_read_tatoeba(path), "tatoeba")
    if direction == "zh-en":
        splits = {split: [Pair(pair.target, pair.source) for pair in pairs] for split, pairs in splits.items()}
    return Corpus("tatoeba", direction, splits)


def _read_tatoeba(path: Path) -> list[Pair]:
    pairs = read_tsv(path, columns=(2, 3))
    chinese = sum(bool(re.search("[\u4e00-\u9fff]", pair.target)) for pair in pairs)
    if chinese < 0.9 * len(pairs):
        raise CourseError(f"{path} is not the Chinese pack: its lines must be English TAB Chinese")
    return pairs


def _check_tatoeba(path: Path) -> None:
    pairs = _read_tatoeba(path)
    if len(pairs) < TATOEBA_LEAST:
        raise CourseError(f"{path} has {len(pairs)} pairs, fewer than {TATOEBA_LEAST}: it is incomplete")


def _load_own(path: Path, direction: str) -> Corpus:
    if not re.fullmatch(r"[^\s-]+-[^\s-]+", direction):
        raise CourseError(f"the direction {direction!r} must be two names with one hyphen, such as fr-en")
    if not path.is_file():
        raise CourseError(f"there is no file {path.resolve()}: give a .tsv file with source TAB target in every line")
    return Corpus(str(path), direction, split_pairs(read_tsv(path), str(path)))


_LOADERS = {"grammar": _load_grammar, "multi30k": _load_multi30k, "tatoeba": _load_tatoeba}
