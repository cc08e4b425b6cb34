"""Byte-pair encoding by hand, and the tokenizer that training uses."""

import json
import os
import string
import subprocess
import sys
from collections import Counter

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import models

from course_lib.errors import CourseError
from course_lib.tokenizer import SPECIALS, SubwordSampler, Tokenizer, bpe_encode, merge_pair, most_frequent_pair

busy = settings(deadline=None, max_examples=60)  # no time limit: the machine may be busy

# --- by hand ---

WORDS = {tuple("low"): 5, tuple("lower"): 2, tuple("newest"): 6, tuple("widest"): 3}
symbols = st.text("abc", min_size=1, max_size=3)
vocabularies = st.dictionaries(st.lists(symbols, max_size=6).map(tuple), st.integers(1, 9), max_size=6)
pairs_of_symbols = st.tuples(symbols, symbols)


def learn(words, n_merges):
    merges = []
    while len(merges) < n_merges and (pair := most_frequent_pair(words)):
        merges.append(pair)
        words = merge_pair(words, pair)
    return merges, words


def test_most_frequent_pair_on_the_example_of_the_paper():
    # e-s: 6 + 3 = 9, s-t: 6 + 3 = 9; the smaller pair wins.
    assert most_frequent_pair(WORDS) == ("e", "s")
    merges, _ = learn(WORDS, 3)
    assert merges == [("e", "s"), ("es", "t"), ("l", "o")]


def test_overlapping_pairs_all_count():
    assert most_frequent_pair({("a", "a", "a"): 1, ("b", "c"): 1}) == ("a", "a")
    assert most_frequent_pair({("a", "a", "a"): 1, ("b", "c"): 2}) == ("a", "a")  # 2 against 2: the smaller pair
    assert most_frequent_pair({("a", "a", "a"): 1, ("b", "c"): 3}) == ("b", "c")


@pytest.mark.parametrize("words", [{}, {(): 3}, {("a",): 7, ("bc",): 2}])
def test_no_pair_gives_none(words):
    assert most_frequent_pair(words) is None


@busy
@given(vocabularies)
def test_most_frequent_pair_equals_counting_everything(words):
    all_pairs = [word[i : i + 2] for word, count in words.items() for i in range(len(word) - 1) for _ in range(count)]
    best = most_frequent_pair(words)
    if not all_pairs:
        assert best is None
    else:
        counts = Counter(all_pairs)
        assert best == sorted(pair for pair in counts if counts[pair] == max(counts.values()))[0]


@busy
@given(vocabularies, pairs_of_symbols)
def test_merge_pair_equals_text_replacement(words, pair):
    before = dict(words)
    code = {symbol: chr(0xE000 + i) for i, symbol in enumerate(sorted({s for w in words for s in w} | set(pair)))}
    back = {char: symbol for symbol, char in code.items()} | {"!": "".join(pair)}
    expected = Counter()
    for word, count in words.items():
        written = "".join(code[s] for s in word).replace(code[pair[0]] + code[pair[1]], "!")
        expected[tuple(back[char] for char in written)] += count
    merged = merge_pair(words, pair)
    assert merged == dict(expected)
    assert words == before and merged is not words


def test_merge_pair_goes_left_to_right_and_adds_equal_words():
    assert merge_pair({("a", "a", "a"): 2}, ("a", "a")) == {("aa", "a"): 2}
    assert merge_pair({("a", "b"): 2, ("ab",): 3}, ("a", "b")) == {("ab",): 5}


@busy
@given(st.dictionaries(st.text("abcd", min_size=1, max_size=8), st.integers(1, 9), max_size=8), st.integers(0, 12))
def test_encoding_a_training_word_repeats_its_merges(counts, n_merges):
    merges, segmented = learn({tuple(word): count for word, count in counts.items()}, n_merges)
    for word in counts:
        assert tuple(bpe_encode(word, merges)) in segmented


@busy
@given(st.lists(st.text("abc", min_size=2, max_size=8), min_size=1, max_size=8), st.text("abc", max_size=12))
def test_bpe_encode_equals_hugging_face(training, word):
    merges, _ = learn(Counter(tuple(w) for w in training), 10)
    pieces = dict.fromkeys(["a", "b", "c", *(left + right for left, right in merges)])
    theirs = models.BPE(vocab={piece: i for i, piece in enumerate(pieces)}, merges=merges)
    assert bpe_encode(word, merges) == [token.value for token in theirs.tokenize(word)]


def test_bpe_encode_merges_the_lowest_rank_first():
    assert bpe_encode("abc", [("b", "c"), ("a", "b")]) == ["a", "bc"]
    assert bpe_encode("abc", [["a", "b"], ["b", "c"]]) == ["ab", "c"]
    assert bpe_encode("aaaa", [("a", "a"), ("aa", "aa")]) == ["aaaa"]
    assert bpe_encode("abc", [("a", "b"), ("b", "c"), ("a", "b")]) == ["ab", "c"]  # the first of two ranks holds
    assert bpe_encode("", [("a", "b")]) == []
    assert bpe_encode("xyz", []) == ["x", "y", "z"]


# --- the tokenizer of the course ---

TEXTS = [
    "Zwei junge Männer sitzen draußen, im Schatten.",
    "Two young men are sitting outside, in the shade.",
    "A man's dog has 12 balls - isn't it funny?",
    "Ein Mann mit 3 Hunden; 45 Bälle!",
    "我把他誤認為是他的兄弟。",
    "汤姆在9点前到那里，是吗？",
    *(f"{letter} {letter.upper()}" for letter in string.ascii_lowercase),
]
KNOWN = sorted({char for text in TEXTS for char in text} | {" "})


@pytest.fixture(scope="module")
def bpe():
    return Tokenizer.train_bpe(TEXTS, 300)


@pytest.fixture(scope="module")
def words():
    return Tokenizer.train_words(["Tom sees the red cat .", "the cat sees Tom .", "汤姆 看见 红 猫 。"])


def test_special_ids(bpe, words):
    for tokenizer in (bpe, words):
        assert (tokenizer.pad_id, tokenizer.bos_id, tokenizer.eos_id, tokenizer.unk_id) == (0, 1, 2, 3)
        assert [tokenizer.token(i) for i in range(4)] == list(SPECIALS)
    assert bpe.kind == "bpe" and words.kind == "words"


@busy
@given(text=st.text(KNOWN, max_size=40))
def test_bpe_is_reversible(bpe, text):
    ids = bpe.encode(text)
    assert bpe.decode(ids) == bpe.normalise(text)
    assert bpe.unk_id not in ids and all(4 <= i < bpe.vocab_size for i in ids)
    assert bpe.normalise(text) == " ".join(text.split())


@busy
@given(text=st.text(max_size=30))
def test_any_text_at_all_can_be_encoded(bpe, words, text):
    for tokenizer in (bpe, words):
        ids, tokens, offsets = tokenizer.encode(text), tokenizer.tokens(text), tokenizer.offsets(text)
        assert len(ids) == len(tokens) == len(offsets)
        assert all(0 <= start <= end <= len(text) for start, end in offsets)
        assert tokenizer.encode(tokenizer.normalise(text)) == ids
        assert bool(tokenizer.unknown_words(text)) == (tokenizer.unk_id in ids)
        assert set(tokenizer.unknown_words(text)) <= set(text.split()) or tokenizer is bpe


def test_pieces_stay_within_words_punctuation_digits_and_chinese(bpe):
    assert bpe.tokens("men, 12")[-4:] == [",", "▁", "1", "2"]
    assert bpe.tokens("兄弟。")[0] == "▁" and bpe.tokens("兄弟。")[-1] == "。"
    for id in range(4, bpe.vocab_size):
        piece = bpe.token(id)
        assert len(piece) == 1 or piece.lstrip("▁").isalpha(), piece
        assert "▁" not in piece[1:]


def test_bpe_learns_pieces_longer_than_a_character(bpe):
    assert bpe.vocab_size > len(KNOWN) + 4
    assert "▁sitting" in bpe.tokens("men sitting") or len(bpe.encode("men sitting")) < len("men sitting")
    frequent = Tokenizer.train_bpe(["the men"] * 5 + ["the men sit"] * 5, 40)
    assert frequent.tokens("the men") == ["▁the", "▁men"]


def test_text_is_never_a_special_token(bpe, tmp_path):
    bpe.save(tmp_path / "tokenizer.json")
    for tokenizer in (bpe, Tokenizer.load(tmp_path / "tokenizer.json")):
        ids = tokenizer.encode("a [EOS] b [PAD]")
        assert not {0, 1, 2} & set(ids)


def test_equal_characters_written_differently_are_one(bpe):
    assert bpe.encode("Ma\u0308nner") == bpe.encode("Männer")
    assert bpe.encode("a\u00a0b\u3000\tc \n") == bpe.encode("a b c")
    assert bpe.normalise("a▁b") == "a_b"


def test_decode_leaves_special_tokens_out_and_takes_tensors(bpe, words):
    ids = bpe.encode("Two young men")
    assert bpe.decode([1, *ids, 2, 0, 0]) == "Two young men"
    assert bpe.decode(torch.tensor([1, *ids, 2])) == "Two young men"
    assert bpe.decode([]) == ""
    assert words.decode([1, *words.encode("Tom sees 红 猫"), 2]) == "tom sees 红 猫"


def test_encode_batch_is_encode(bpe):
    assert bpe.encode_batch(TEXTS) == [bpe.encode(text) for text in TEXTS]
    assert bpe.encode_batch([]) == []


@busy
@given(text=st.text([*KNOWN, "ß", "漢"]), epoch=st.integers(0, 3))
def test_without_dropout_a_sampler_is_encode(bpe, text, epoch):
    assert SubwordSampler(bpe, seed=0).at(epoch, 0.0).encode_batch([text, *TEXTS]) == bpe.encode_batch([text, *TEXTS])


def test_a_sampler_cuts_words_up_differently_and_loses_nothing(bpe):
    times = ((0, 0), (0, 0), (0, 1), (1, 0))
    draws = [SubwordSampler(bpe, seed).at(epoch, 0.3).encode_batch(TEXTS) for seed, epoch in times]
    assert draws[0] == draws[1] and draws[0] not in draws[2:]
    assert all([bpe.decode(ids) for ids in draw] == [bpe.normalise(text) for text in TEXTS] for draw in draws)
    pieces = [sum(map(len, SubwordSampler(bpe, 0).at(0, p).encode_batch(TEXTS))) for p in (0.0, 0.1, 0.5, 0.99)]
    assert pieces == sorted(set(pieces))


def test_the_last_merge_of_a_word_is_passed_over_with_that_probability():
    tokenizer = Tokenizer.train_bpe(["ab"] * 9, 12)
    assert tokenizer.tokens("ab") == ["▁ab"]
    sampler = SubwordSampler(tokenizer, seed=0).at(epoch=0, dropout=0.25)
    sampler.DRAWS = 10_000
    whole = sum(len(ids) == 1 for ids in sampler.encode_batch(["ab"] * 10_000)) / 10_000
    # Two merges are possible at first, of which either will do, and then one: 1 - (1/4)² times 1 - 1/4.
    possible = [pair for pair in (("▁", "a"), ("a", "b")) if pair in sampler._ranks]
    assert whole == pytest.approx((1 - 0.25 ** len(possible)) * 0.75, abs=0.02)


def test_words_have_no_merges_to_pass_over(words):
    with pytest.raises(ValueError, match="needs byte-pair encoding"):
        SubwordSampler(words, 0)


def test_offsets_point_at_the_characters(bpe, words):
    text = "  Zwei  junge Ma\u0308nner"
    assert [text[start:end] for start, end in words.offsets(text)] == ["Zwei", "junge", "Ma\u0308nner"]
    pieces = bpe.tokens(text)
    covered = [text[start:end] for start, end in bpe.offsets(text)]
    assert [bpe.normalise(piece) for piece in covered] == [piece.lstrip("▁") for piece in pieces]
    assert "".join(covered) == "".join(text.split())


def test_words_are_whitespace_words_in_lower_case(words):
    assert words.tokens("Tom sees tom .") == ["tom", "sees", "tom", "."]
    assert words.encode("TOM") == words.encode("tom")
    assert words.tokens("汤姆 看见 猫") == ["汤姆", "看见", "猫"]
    assert words.tokens("the dog") == ["the", "[UNK]"]
    assert words.vocab_size == 4 + len({*"tom sees the red cat . 汤姆 看见 红 猫 。".split()})


def test_unknown_words(bpe, words):
    assert words.unknown_words("the Green cat sees a Green dog .") == ["Green", "a", "dog"]
    assert words.unknown_words("the red cat .") == []
    assert bpe.unknown_words("A naïve café man, ein œuvre") == ["naïve", "café", "œuvre"]
    assert bpe.unknown_words("他的猫🙂") == ["猫", "🙂"]


def test_training_is_deterministic_across_processes(bpe, words):
    program = (
        "import json, sys; from course_lib.tokenizer import Tokenizer; texts = json.load(sys.stdin);"
        "print(ascii(Tokenizer.train_bpe(texts, 300)._inner.to_str() + Tokenizer.train_words(texts)._inner.to_str()))"
    )
    outputs = {
        subprocess.run(
            [sys.executable, "-c", program],
            env=os.environ | {"PYTHONHASHSEED": seed, "PYTHONPATH": os.pathsep.join(sys.path)},
            input=json.dumps(TEXTS),
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("0", "1", "2")
    }
    here = bpe._inner.to_str() + Tokenizer.train_words(TEXTS)._inner.to_str()
    assert outputs == {ascii(here) + "\n"}


def test_vocab_size_is_a_promise():
    assert Tokenizer.train_bpe(TEXTS * 3, 150).vocab_size == 150
    # More different characters than room: the frequent ones stay, the others become unknown.
    many = ["".join(chr(0x4E00 + i) for i in range(500)), "aaaa bbbb aaaa bbbb " * 50]
    small = Tokenizer.train_bpe(many, 60)
    assert small.vocab_size <= 60 and small.unk_id not in small.encode("aaaa bbbb")
    with pytest.raises(ValueError, match="vocab_size=3"):
        Tokenizer.train_bpe(TEXTS, 3)


def test_saved_and_loaded_is_the_same(bpe, words, tmp_path):
    for tokenizer in (bpe, words):
        path = tmp_path / "tokenizer.json"
        tokenizer.save(path)
        loaded = Tokenizer.load(path)
        assert [p.name for p in tmp_path.iterdir()] == ["tokenizer.json"]
        assert loaded.vocab_size == tokenizer.vocab_size and loaded.kind == tokenizer.kind
        for text in TEXTS:
            assert loaded.encode(text) == tokenizer.encode(text)
            assert loaded.decode(loaded.encode(text)) == tokenizer.decode(tokenizer.encode(text))


@pytest.mark.parametrize("id", [-1, 300, 10**6])
def test_an_id_outside_the_vocabulary_is_named(bpe, id):
    with pytest.raises(ValueError, match=f"id={id} is not in the vocabulary"):
        bpe.token(id)


def foreign():
    from tokenizers import Tokenizer as Theirs

    return Theirs(models.WordLevel({"hello": 0, "[UNK]": 1}, unk_token="[UNK]")).to_str().encode()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "cannot read the tokenizer"),
        (b"", "not valid JSON"),
        (b"\xff\xfe\x00", "not valid JSON"),
        (b'{"version": "1.0", "model": {"ty', "not valid JSON"),
        (b"[1, 2]", "not a tokenizer"),
        (json.dumps({"a": 1}).encode(), "not a tokenizer"),
        (foreign(), "not made by this course"),
    ],
)
def test_a_broken_or_foreign_file_is_one_clear_line(tmp_path, content, message):
    path = tmp_path / "tokenizer.json"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(CourseError, match=message) as raised:
        Tokenizer.load(path)
    assert str(path) in str(raised.value) and "\n" not in str(raised.value)
