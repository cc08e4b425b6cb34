"""Text files into pairs, with every fault named by its line; and a split that leaks nothing."""

import gzip
import hashlib
import re
import unicodedata
import zipfile
import zlib
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

from course_lib.corpora.pairs import Pair
from course_lib.errors import CourseError

SHOWN = 5  # line numbers named in an error
HELD_OUT = 0.05  # share of the pairs in val, and again in test …
MOST_HELD_OUT = 1000  # … but no more than this


def read_bytes(path: Path) -> bytes:
    """The content of a file, unpacked if it ends in .gz, or the one .txt member of a .zip."""
    try:
        if path.suffix == ".gz":
            with gzip.open(path) as file:
                return file.read()
        if path.suffix == ".zip":
            with zipfile.ZipFile(path) as archive:
                texts = [name for name in archive.namelist() if name.endswith(".txt") and not name.startswith("_")]
                return archive.read(texts[0])
        return path.read_bytes()
    except (gzip.BadGzipFile, zipfile.BadZipFile, EOFError, zlib.error, IndexError) as error:
        raise CourseError(f"{path} is damaged and cannot be unpacked: copy or download it again") from error
    except OSError as error:
        raise CourseError(f"cannot read {path}: {error.strerror}") from error


def read_lines(path: Path) -> list[str]:
    """The lines of a UTF-8 file; CourseError with the line numbers where it is not UTF-8, or where it is empty."""
    content = read_bytes(path).removeprefix(b"\xef\xbb\xbf")  # some programs put a byte-order mark first
    if not content.strip():
        raise CourseError(f"{path} is empty")
    lines, wrong = [], []
    for number, line in enumerate(content.removesuffix(b"\n").split(b"\n"), start=1):
        try:
            lines.append(line.decode("utf-8").removesuffix("\r"))
        except UnicodeDecodeError:
            wrong.append(number)
    if wrong:
        raise CourseError(f"{path} is not UTF-8 text in {_where(wrong)}: save it with the encoding UTF-8")
    return lines


def read_tsv(path: Path, columns: Sequence[int] = (2,)) -> list[Pair]:
    """Pairs from lines of the form source TAB target; `columns` are the numbers of columns allowed, only two are used.

    Raises CourseError that names the lines which are empty, have another number of columns, or an empty side.
    """
    pairs = []
    empty, ragged, one_sided = [], [], []
    for number, line in enumerate(read_lines(path), start=1):
        cells = [cell.strip() for cell in line.split("\t")]
        if not any(cells):
            empty.append(number)
        elif len(cells) not in columns:
            ragged.append(number)
        elif not (cells[0] and cells[1]):
            one_sided.append(number)
        else:
            pairs.append(Pair(cells[0], cells[1]))
    problems = [
        f"{what} in {_where(numbers)}"
        for what, numbers in (
            ("nothing", empty),
            ("not two columns", ragged),
            ("an empty source or target", one_sided),
        )
        if numbers
    ]
    if problems:
        raise CourseError(f"{path} must have source TAB target in every line, but has {'; '.join(problems)}")
    return pairs


def _where(numbers: list[int]) -> str:
    shown = ", ".join(str(number) for number in numbers[:SHOWN])
    more = f" and {len(numbers) - SHOWN} more" if len(numbers) > SHOWN else ""
    return f"line{'s' if len(numbers) > 1 else ''} {shown}{more}"


def split_pairs(pairs: Sequence[Pair], name: str) -> dict[str, list[Pair]]:
    """Train, val and test, such that no sentence of either language stands in two of them.

    Pairs that share a source or a target (spelled alike but for case, spaces and punctuation) stay together. Which
    group goes where is decided by a hash of its sentences, so it is the same everywhere, every time, for both
    directions, and nearly the same after a few pairs were added. Each split is in the order of the hash, so that its
    first sentences are a fair sample.
    """
    groups = _connected(pairs)
    ordered = sorted(groups, key=_hash)
    wanted = min(MOST_HELD_OUT, max(1, int(len(pairs) * HELD_OUT)))
    splits = {"train": [], "val": [], "test": []}
    for group in ordered:
        for split in ("test", "val"):
            last = group is ordered[-1] and not splits["train"]
            if len(splits[split]) + len(group) <= wanted and not last:
                splits[split] += group
                break
        else:
            splits["train"] += group
    if not all(splits.values()):
        raise CourseError(
            f"{name} has too few pairs to split into train, val and test: {len(pairs)} pairs in {len(groups)} groups "
            "without a common sentence; give it more different sentences"
        )
    return splits


def _connected(pairs: Sequence[Pair]) -> list[list[Pair]]:
    parent: dict[tuple[str, str], tuple[str, str]] = {}

    def root(node):
        parent.setdefault(node, node)
        while parent[node] != node:
            parent[node] = parent[parent[node]]
            node = parent[node]
        return node

    for pair in pairs:
        parent[root(("source", _key(pair.source)))] = root(("target", _key(pair.target)))
    groups = defaultdict(list)
    for pair in pairs:
        groups[root(("source", _key(pair.source)))].append(pair)
    return list(groups.values())


def _key(sentence: str) -> str:
    letters = re.sub(r"[\W_]+", "", unicodedata.normalize("NFKC", sentence).casefold())
    return letters or sentence


def _hash(group: list[Pair]) -> bytes:
    return hashlib.sha256(min(_key(pair.source) for pair in group).encode()).digest()
