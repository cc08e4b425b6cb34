"""Corpora: files found, judged, split; and one clear line for everything that can be wrong with them."""

import gzip
import hashlib
import io
import os
import re
import threading
import zipfile
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from course_lib import corpora
from course_lib.corpora import CORPORA, Corpus, Pair, downloads, load_corpus
from course_lib.corpora.reading import split_pairs
from course_lib.errors import CourseError

busy = settings(deadline=None, max_examples=60)  # no time limit: the machine may be busy

CLOSED = "http://127.0.0.1:9/"  # the discard port of this machine: nothing answers there


@pytest.fixture(autouse=True)
def no_data_and_no_network(monkeypatch, tmp_path):
    """Each test starts without data, with an empty cache, and with addresses where nothing answers."""
    monkeypatch.delenv("COURSE_DATA", raising=False)
    monkeypatch.setenv("COURSE_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("NO_PROXY", "*")
    monkeypatch.setattr(corpora, "MULTI30K_URLS", (CLOSED + "one/", CLOSED + "two/"))
    monkeypatch.setattr(corpora, "TATOEBA_URLS", (CLOSED + "cmn-eng.zip",))


@pytest.fixture
def real_data():
    folder = REAL_DATA
    if not folder.is_dir():
        pytest.skip(f"the real corpora are not here: {folder} is no folder (name theirs with COURSE_DATA)")
    return folder


# Read when the module is loaded: the fixture above hides the variable from the tests.
REAL_DATA = Path(os.environ.get("COURSE_DATA") or Path(__file__).parents[2] / "shared" / "data")


def error_of(*arguments, **named):
    """The message of the CourseError, which must be one line."""
    with pytest.raises(CourseError) as raised:
        load_corpus(*arguments, **named)
    message = str(raised.value)
    assert message and "\n" not in message
    return message


def write(path, content):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def rows(n):
    return "".join(f"source number {i}\tcible numéro {i}\n" for i in range(n))


def contents(corpus):
    return sorted((pair.source, pair.target) for pairs in corpus.splits.values() for pair in pairs)


# --- a file of one's own ---


def test_own_file(tmp_path):
    path = write(tmp_path / "own.tsv", rows(200))
    corpus = load_corpus(path, "fr-en")
    assert isinstance(corpus, Corpus) and corpus.direction == "fr-en" and corpus.name == str(path)
    assert {split: len(pairs) for split, pairs in corpus.splits.items()} == {"train": 180, "val": 10, "test": 10}
    assert contents(corpus) == sorted((f"source number {i}", f"cible numéro {i}") for i in range(200))
    assert all(pair.alignment is None for pair in corpus.splits["train"])
    assert load_corpus(str(path)).direction == "source-target"
    assert load_corpus(str(path), "fr-en") == corpus


def test_own_file_may_come_from_windows_or_be_packed(tmp_path):
    plain = load_corpus(write(tmp_path / "plain.tsv", rows(40)))
    windows = load_corpus(write(tmp_path / "windows.tsv", "\ufeff" + rows(40).replace("\n", "\r\n")))
    packed = load_corpus(write(tmp_path / "packed.tsv.gz", gzip.compress(rows(40).encode())))
    unfinished = load_corpus(write(tmp_path / "unfinished.tsv", rows(40).removesuffix("\n")))
    assert plain.splits == windows.splits == packed.splits == unfinished.splits


def test_a_line_separator_within_a_sentence_ends_no_line(tmp_path):
    corpus = load_corpus(write(tmp_path / "own.tsv", rows(40) + "a\u2028b\tc\x0bd\n"))
    assert ("a\u2028b", "c\x0bd") in contents(corpus)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        ({2: "one column"}, "not two columns in line 3$"),
        ({1: "a\tb\tc", 4: "", 6: "alone"}, "nothing in line 5; not two columns in lines 2, 7$"),
        ({0: "  ", 9: "\t"}, "nothing in lines 1, 10$"),
        ({3: "a\t", 5: "\tb", 7: "a\t  "}, "an empty source or target in lines 4, 6, 8$"),
        (dict.fromkeys(range(10, 18), "x"), "not two columns in lines 11, 12, 13, 14, 15 and 3 more$"),
        ({19: ""}, "nothing in line 20$"),
    ],
)
def test_wrong_lines_are_named(tmp_path, spoil, message):
    lines = rows(20).splitlines()
    for index, line in spoil.items():
        lines[index] = line
    path = write(tmp_path / "own.tsv", "\n".join(lines) + "\n")
    said = error_of(path)
    assert said.startswith(f"{path} must have source TAB target in every line, but has ")
    assert re.search(message, said), said


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (b"\n \n\t\n", "is empty"),
        (b"\xef\xbb\xbf", "is empty"),
        (rows(20).encode("latin-1"), "is not UTF-8 text in lines 1, 2, 3, 4, 5 and 15 more: save it with"),
        (rows(2).encode() + b"ok\tna\xefve\n" + rows(9).encode(), "is not UTF-8 text in line 3: save it with"),
        (rows(20).encode("utf-16"), "is not UTF-8 text in line"),
        (rows(2).encode(), "too few pairs to split into train, val and test: 2 pairs"),
        (b"same\tm\xc3\xaame\n" * 50, "50 pairs in 1 groups"),
    ],
)
def test_a_wrong_file_is_named(tmp_path, content, message):
    path = write(tmp_path / "own.tsv", content)
    said = error_of(path)
    assert str(path) in said and message in said, said


def test_a_damaged_archive_is_named(tmp_path):
    packed = gzip.compress(rows(2000).encode())
    for content in (packed[:-9], packed[:300] + b"xxxx" + packed[304:], b"no gzip"):
        path = write(tmp_path / "own.tsv.gz", content)
        assert error_of(path) == f"{path} is damaged and cannot be unpacked: copy or download it again"


def test_a_missing_file_is_named_with_where_it_was_looked_for(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert f"there is no file {tmp_path / 'own.tsv'}" in error_of("own.tsv")
    (tmp_path / "folder.tsv").mkdir()
    assert "there is no file" in error_of("folder.tsv")


@pytest.mark.parametrize("direction", ["fren", "fr-en-de", "fr-", "-", "fr - en"])
def test_a_direction_that_is_none(tmp_path, direction):
    path = write(tmp_path / "own.tsv", rows(20))
    assert f"the direction {direction!r} must be two names with one hyphen" in error_of(path, direction)


# --- names ---


def test_unknown_names_and_directions_list_the_valid_ones():
    assert error_of("moses") == (
        "unknown corpus 'moses': choose grammar, multi30k, tatoeba, or the path of a .tsv file"
    )
    assert error_of("Multi-30k").endswith("did you mean multi30k?")
    assert error_of("pairs.csv").startswith("unknown corpus 'pairs.csv'")
    assert error_of("multi30k", "fr-en") == "the corpus multi30k has no direction 'fr-en': choose de-en or en-de"
    assert error_of("tatoeba", "zh") == "the corpus tatoeba has no direction 'zh': choose en-zh or zh-en"
    assert error_of("grammar", "en-de") == "the corpus grammar has no direction 'en-de': choose en-zh or zh-en"


# --- splits ---

sentences = st.text("abc XY.", min_size=1, max_size=5).filter(str.strip)


@busy
@given(st.lists(st.tuples(sentences, sentences), min_size=1, max_size=60))
def test_no_sentence_leaks_whatever_the_pairs_share(raw):
    pairs = [Pair(source, target) for source, target in raw]
    try:
        splits = split_pairs(pairs, "these")
    except CourseError as error:
        assert "too few pairs to split" in str(error)
        return
    assert Counter(pair for split in splits.values() for pair in split) == Counter(pairs)
    most = max(1, len(pairs) // 20)
    assert 1 <= len(splits["val"]) <= most and 1 <= len(splits["test"]) <= most and splits["train"]
    assert_disjoint(splits)
    assert split_pairs(pairs[::-1], "these").keys() == splits.keys()
    for split, members in split_pairs(pairs[::-1], "these").items():
        assert Counter(members) == Counter(splits[split])  # the order of the lines decides nothing


def assert_disjoint(splits):
    def bare(sentence):
        return "".join(char for char in sentence.casefold() if char.isalnum()) or sentence

    for side in ("source", "target"):
        seen = {}
        for split, pairs in splits.items():
            for sentence in {bare(getattr(pair, side)) for pair in pairs}:
                assert seen.setdefault(sentence, split) == split, f"{sentence!r} is in {seen[sentence]} and {split}"


def test_three_groups_are_enough():
    for n in (1, 5, 30):
        pairs = [Pair(f"source {i}", "the same") for i in range(n)] + [Pair("b", "b"), Pair("c", "c")]
        splits = split_pairs(pairs, "these")
        assert sorted(len(members) for members in splits.values()) == [1, 1, n]


def test_pairs_joined_by_a_chain_stay_together():
    def chain(i):
        return [Pair(f"A {i}", f"x{i}"), Pair(f"b {i}", f"x{i}."), Pair(f"B, {i}", f"y{i}"), Pair(f"c{i}", f"Y{i}!")]

    chains = [chain(i) for i in range(100)]
    splits = split_pairs([pair for chain in chains for pair in chain], "these")
    assert {split: len(members) for split, members in splits.items()} == {"train": 360, "val": 20, "test": 20}
    for chain in chains:
        assert len({split for split, members in splits.items() for pair in chain if pair in members}) == 1


def test_a_split_changes_little_when_the_pack_grows():
    before = split_pairs([Pair(f"source {i}", f"target {i}") for i in range(2000)], "these")
    after = split_pairs([Pair(f"source {i}", f"target {i}") for i in range(2100)], "these")
    assert len(set(before["test"]) & set(after["test"])) > 85
    assert len(set(before["test"]) & set(after["train"])) == 0


# --- data already here ---


def tiny_multi30k(folder, monkeypatch):
    """A folder like Multi30k's with four pairs a split, and the checksums of its files."""
    checksums = {}
    for name in corpora.MULTI30K_SHA256:
        stem, language, _ = name.split(".")
        lines = "".join(f"{stem} {language} {i}\n" for i in range(4))
        content = gzip.compress(lines.encode(), mtime=0)
        write(folder / "multi30k" / name, content)
        checksums[name] = hashlib.sha256(content).hexdigest()
    monkeypatch.setattr(corpora, "MULTI30K_SHA256", checksums)
    return folder


def test_multi30k_from_a_folder(tmp_path, monkeypatch):
    folder = tiny_multi30k(tmp_path / "data", monkeypatch)
    corpus = load_corpus("multi30k", data_dir=folder)
    assert corpus.name == "multi30k" and corpus.direction == "de-en"
    assert list(corpus.splits) == ["train", "val", "test", "test2017"] == list(CORPORA["multi30k"].splits)
    assert corpus.splits["test"][1] == Pair("test_2016_flickr de 1", "test_2016_flickr en 1")
    assert corpus.splits["test2017"][3] == Pair("test_2017_flickr de 3", "test_2017_flickr en 3")
    monkeypatch.setenv("COURSE_DATA", str(folder))
    assert load_corpus("multi30k", "en-de").splits["val"][0] == Pair("val en 0", "val de 0")
    with pytest.raises(CourseError, match="--data-dir"):  # what is named comes before the environment
        load_corpus("multi30k", data_dir=tmp_path / "elsewhere")


def test_a_missing_data_file_is_named_with_its_place(tmp_path, monkeypatch):
    folder = tiny_multi30k(tmp_path / "data", monkeypatch)
    (folder / "multi30k" / "val.en.gz").unlink()
    assert error_of("multi30k", data_dir=folder).startswith(f"missing val.en.gz in {folder / 'multi30k'}: ")
    said = error_of("tatoeba", data_dir=folder)
    assert said.startswith(f"missing cmn-eng.tsv.gz or cmn-eng.tsv or cmn.txt or cmn-eng.zip in {folder / 'tatoeba'}")


def test_a_damaged_data_file_is_named_with_both_checksums(tmp_path, monkeypatch):
    folder = tiny_multi30k(tmp_path / "data", monkeypatch)
    path = folder / "multi30k" / "train.de.gz"
    expected = hashlib.sha256(path.read_bytes()).hexdigest()
    path.write_bytes(path.read_bytes()[:-3])
    actual = hashlib.sha256(path.read_bytes()).hexdigest()
    said = error_of("multi30k", data_dir=folder)
    assert all(part in said for part in (str(path), expected, actual, "SHA-256"))


def test_a_data_folder_that_does_not_exist_is_named(tmp_path, monkeypatch):
    assert f"the data folder {tmp_path / 'no'} (--data-dir) does not exist" in error_of(
        "multi30k", data_dir=tmp_path / "no"
    )
    monkeypatch.setenv("COURSE_DATA", str(tmp_path / "no"))
    assert "(COURSE_DATA) does not exist" in error_of("tatoeba")


def tatoeba_lines(n, columns=2):
    """`n` pairs whose English and Chinese are all different."""
    digits = "零一二三四五六七八九"
    for i in range(n):
        chinese = "".join(digits[int(digit)] for digit in str(i))
        yield "\t".join([f"Number {i}.", f"第{chinese}。", "CC-BY 2.0 (France) Attribution: tatoeba.org"][:columns])


def tatoeba_zip(n, name="cmn.txt"):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("_about.txt", "about the pack")
        archive.writestr(name, "\n".join(tatoeba_lines(n, columns=3)) + "\n")
    return file.getvalue()


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("cmn-eng.tsv.gz", gzip.compress("\n".join(tatoeba_lines(60)).encode())),
        ("cmn-eng.tsv", "\n".join(tatoeba_lines(60)).encode()),
        ("cmn.txt", "\n".join(tatoeba_lines(60, columns=3)).encode()),
        ("cmn-eng.zip", tatoeba_zip(60)),
    ],
)
def test_tatoeba_in_every_form(tmp_path, name, content):
    write(tmp_path / "tatoeba" / name, content)
    there, back = (load_corpus("tatoeba", direction, tmp_path) for direction in ("en-zh", "zh-en"))
    assert (there.direction, back.direction) == ("en-zh", "zh-en")
    assert {split: len(pairs) for split, pairs in there.splits.items()} == {"train": 54, "val": 3, "test": 3}
    assert ("Number 12.", "第一二。") in contents(there)
    for split in there.splits:
        assert back.splits[split] == [Pair(pair.target, pair.source) for pair in there.splits[split]]


def test_another_language_is_not_taken_for_tatoeba(tmp_path):
    write(tmp_path / "tatoeba" / "cmn.txt", rows(60))
    assert "must be English TAB Chinese" in error_of("tatoeba", data_dir=tmp_path)
    write(tmp_path / "tatoeba" / "cmn.txt", "a\tb\tc\td\n")
    assert "not two columns in line 1" in error_of("tatoeba", data_dir=tmp_path)
    write(tmp_path / "tatoeba" / "cmn-eng.zip", b"PK no zip")
    (tmp_path / "tatoeba" / "cmn.txt").unlink()
    assert "is damaged and cannot be unpacked" in error_of("tatoeba", data_dir=tmp_path)


# --- downloads ---


@pytest.fixture
def server(monkeypatch):
    """A server of this machine: `served[path] = bytes`; what is not there is answered with 404."""
    served, asked = {}, []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append(self.path)
            content = served.get(self.path)
            self.send_response(200 if content is not None else 404)
            self.send_header("Content-Length", str(len(content or b"")))
            self.end_headers()
            self.wfile.write(content or b"")

        def log_message(self, *_):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as running:
        thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        address = f"http://127.0.0.1:{running.server_port}/"
        mirrors = (CLOSED, address + "empty/", address + "spoilt/", address)
        monkeypatch.setattr(corpora, "MULTI30K_URLS", mirrors)
        monkeypatch.setattr(corpora, "TATOEBA_URLS", tuple(url + "cmn-eng.zip" for url in mirrors))
        yield served, asked
        running.shutdown()
        thread.join()


def cached():
    folder = downloads.cache_folder()
    return sorted(str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file())


def test_multi30k_is_downloaded_once_from_the_first_mirror_that_has_it(tmp_path, monkeypatch, server):
    served, asked = server
    folder = tiny_multi30k(tmp_path / "elsewhere", monkeypatch)
    for path in (folder / "multi30k").iterdir():
        served[f"/{path.name}"] = path.read_bytes()
        served[f"/spoilt/{path.name}"] = b"not this"
    corpus = load_corpus("multi30k")
    assert corpus == load_corpus("multi30k", data_dir=folder)
    assert cached() == sorted(f"multi30k/{name}" for name in corpora.MULTI30K_SHA256)
    assert {"/empty/train.de.gz", "/spoilt/train.de.gz", "/train.de.gz"} <= set(asked)
    asked.clear()
    assert load_corpus("multi30k") == corpus and not asked
    (downloads.cache_folder() / "multi30k" / "val.de.gz").write_bytes(b"half")
    assert load_corpus("multi30k") == corpus and asked[-1] == "/val.de.gz"  # a damaged copy is replaced


def test_when_no_mirror_serves_each_answer_is_told_and_nothing_is_kept(tmp_path, monkeypatch, server):
    served, _ = server
    tiny_multi30k(tmp_path / "elsewhere", monkeypatch)
    served["/spoilt/train.de.gz"] = b"not this"
    said = error_of("multi30k")
    assert said.startswith("cannot download train.de.gz of the corpus multi30k (")
    for reason in ("no connection", "HTTP status 404", "wrong checksum"):
        assert reason in said
    assert cached() == []


def test_tatoeba_download_is_judged_by_what_is_in_it(monkeypatch, server):
    served, asked = server
    monkeypatch.setattr(corpora, "TATOEBA_LEAST", 50)
    served["/empty/cmn-eng.zip"] = b"<html>log in to this network first</html>"
    served["/spoilt/cmn-eng.zip"] = tatoeba_zip(49)
    assert "not the file expected" in error_of("tatoeba") and cached() == []
    served["/cmn-eng.zip"] = tatoeba_zip(60)
    corpus = load_corpus("tatoeba")
    assert len(contents(corpus)) == 60 and cached() == ["tatoeba/cmn-eng.zip"]
    asked.clear()
    assert load_corpus("tatoeba") == corpus and not asked


@pytest.mark.parametrize("name", ["multi30k", "tatoeba"])
def test_without_network_and_data_the_error_says_what_to_do(name):
    said = error_of(name)
    for part in (name, "127.0.0.1:9: no connection", "--data-dir", "COURSE_DATA", "--corpus grammar needs no download"):
        assert part in said
    assert cached() == []


def test_an_unwritable_cache_is_named(tmp_path, monkeypatch):
    monkeypatch.setenv("COURSE_HOME", str(write(tmp_path / "file", "a file, not a folder")))
    said = error_of("multi30k")
    assert said.startswith(f"cannot keep downloads in {tmp_path / 'file' / 'data' / 'multi30k'}")
    assert "set COURSE_HOME to another folder" in said


def test_the_cache_is_in_the_course_home(tmp_path, monkeypatch):
    assert downloads.cache_folder() == tmp_path / "home" / "data"
    monkeypatch.delenv("COURSE_HOME")
    assert downloads.cache_folder() == Path.home() / ".transformer-workshop" / "data"


# --- the grammar corpus, through the loader (its own tests look inside) ---


def test_grammar_in_both_directions():
    there = load_corpus("grammar")
    back = load_corpus("grammar", "zh-en", data_dir=None)
    assert (there.direction, back.direction) == ("en-zh", "zh-en")
    assert tuple(there.splits) == CORPORA["grammar"].splits == tuple(back.splits)
    for split, pairs in there.splits.items():
        for pair, reverse in list(zip(pairs, back.splits[split]))[:50]:
            assert (reverse.source, reverse.target) == (pair.target, pair.source)
            assert reverse.alignment == frozenset((j, i) for i, j in pair.alignment)
            assert all(i < len(pair.source.split()) and j < len(pair.target.split()) for i, j in pair.alignment)


# --- the real corpora ---


def test_real_multi30k(real_data):
    corpus = load_corpus("multi30k", data_dir=real_data)
    sizes = {split: len(pairs) for split, pairs in corpus.splits.items()}
    assert sizes == {"train": 29_000, "val": 1_014, "test": 1_000, "test2017": 1_000}
    assert corpus.splits["test"][0] == Pair(
        "Ein Mann mit einem orangefarbenen Hut, der etwas anstarrt.", "A man in an orange hat starring at something."
    )
    assert all(pair.source and pair.target for pairs in corpus.splits.values() for pair in pairs)


def test_real_tatoeba(real_data):
    corpus = load_corpus("tatoeba", data_dir=real_data)
    sizes = {split: len(pairs) for split, pairs in corpus.splits.items()}
    assert sizes == {"train": 19_116, "val": 1_000, "test": 1_000}
    assert_disjoint(corpus.splits)
    mean = {split: sum(len(pair.source) for pair in pairs) / len(pairs) for split, pairs in corpus.splits.items()}
    assert abs(mean["test"] - mean["train"]) < 3 and abs(mean["val"] - mean["train"]) < 3  # a fair sample


def test_real_sentences_survive_the_tokenizer(real_data):
    from course_lib.batches import bucketed_batches, encode_pairs, padding_share
    from course_lib.tokenizer import Tokenizer

    corpus = load_corpus("multi30k", data_dir=real_data)
    tokenizer = Tokenizer.train_bpe((s for p in corpus.splits["train"] for s in (p.source, p.target)), 4000)
    assert tokenizer.vocab_size == 4000
    for pair in corpus.splits["test"]:
        for text in (pair.source, pair.target):
            assert tokenizer.decode(tokenizer.encode(text)) == tokenizer.normalise(text)
    examples, dropped = encode_pairs(corpus.splits["train"], tokenizer, max_len=256)
    assert (len(examples), dropped) == (29_000, 0)
    assert sum(len(example.target_ids) for example in examples) / len(examples) < 16
    assert padding_share(bucketed_batches(examples, 1000, pad_id=0, bos_id=1, eos_id=2)) < 0.04
