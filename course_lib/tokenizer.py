"""From text to numbers and back: byte-pair encoding by hand, and the fast tokenizer that training uses.

The three functions at the top are the whole algorithm (Sennrich et al. 2016), written to be read. `Tokenizer` is what
the course trains with: the same algorithm from Hugging Face `tokenizers`, or plain words for the grammar corpus.
"""

import itertools
import json
import random
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import tokenizers
from tokenizers import Regex, decoders, models, normalizers, pre_tokenizers, trainers

from course_lib.errors import CourseError

Word = tuple[str, ...]
Merge = tuple[str, str]

SPECIALS = ("[PAD]", "[BOS]", "[EOS]", "[UNK]")
SPACE = "▁"  # U+2581, stands for the space before a word in the pieces of a BPE tokenizer


def most_frequent_pair(words: Mapping[Word, int]) -> Merge | None:
    """The pair of neighbouring symbols that occurs most often; None where no word has two symbols.

    `words` maps each word, a tuple of symbols, to its count. Overlapping pairs all count: ("a", "a", "a") has two.
    Ties go to the lexicographically smallest pair.
    """
    counts = Counter()
    for word, count in words.items():
        for pair in itertools.pairwise(word):
            counts[pair] += count
    return min(counts, key=lambda pair: (-counts[pair], pair), default=None)


def merge_pair(words: Mapping[Word, int], pair: Merge) -> dict[Word, int]:
    """A new dictionary in which every occurrence of `pair`, from left to right, is one symbol.

    Words that become equal add their counts.
    """
    left, right = pair
    merged = Counter()
    for word, count in words.items():
        symbols, i = [], 0
        while i < len(word):
            found = word[i : i + 2] == (left, right)
            symbols.append(left + right if found else word[i])
            i += 2 if found else 1
        merged[tuple(symbols)] += count
    return dict(merged)


def bpe_encode(word: str, merges: Sequence[Merge]) -> list[str]:
    """The symbols of `word` after applying `merges`, which stand in the order in which they were learned.

    Starts from single characters and merges, again and again, the pair of lowest rank among those present.
    """
    ranks = {tuple(pair): rank for rank, pair in reversed(list(enumerate(merges)))}
    symbols = tuple(word)
    while True:
        pair = min(itertools.pairwise(symbols), key=lambda pair: ranks.get(pair, len(ranks)), default=None)
        if pair not in ranks:
            return list(symbols)
        (symbols,) = merge_pair({symbols: 1}, pair)


class Tokenizer:
    """Text to ids and back; both languages share one vocabulary.

    Make one with `train_bpe`, `train_words` or `load`. `encode` adds neither beginning nor end, which belong to the
    batch; text is never read as a special token, so a sentence with "[EOS]" in it is only a sentence.
    """

    pad_id, bos_id, eos_id, unk_id = range(4)

    def __init__(self, inner: tokenizers.Tokenizer):
        inner.encode_special_tokens = True  # not kept in the file
        self._inner = inner

    @classmethod
    def train_bpe(cls, texts: Iterable[str], vocab_size: int) -> "Tokenizer":
        """Learn byte-pair encoding from `texts` of both languages together.

        A space becomes a "▁" in front of its word, so that decoding is exact: `decode(encode(text))` is
        `normalise(text)` wherever every character is known. No piece crosses a punctuation mark, a digit or the border
        of a run of Chinese characters. At most half of the vocabulary goes to single characters, the most frequent
        first. The same texts always give the same tokenizer.

        Raises ValueError for a `vocab_size` that leaves no room beside the four special tokens.
        """
        if vocab_size < 2 * len(SPECIALS):
            raise ValueError(f"vocab_size={vocab_size} is too small: at least {2 * len(SPECIALS)} are needed")
        inner = tokenizers.Tokenizer(models.BPE(unk_token=SPECIALS[cls.unk_id]))
        inner.normalizer = normalizers.Sequence([normalizers.NFC(), normalizers.Replace(SPACE, "_"), *_one_space()])
        inner.pre_tokenizer = pre_tokenizers.Sequence(
            [
                pre_tokenizers.Metaspace(replacement=SPACE),
                pre_tokenizers.Punctuation(behavior="isolated"),
                pre_tokenizers.Digits(individual_digits=True),
                pre_tokenizers.Split(Regex(r"\p{Han}+"), behavior="isolated"),
            ]
        )
        inner.decoder = decoders.Metaspace(replacement=SPACE)
        trainer = trainers.BpeTrainer(
            vocab_size=vocab_size, limit_alphabet=vocab_size // 2, special_tokens=list(SPECIALS), show_progress=False
        )
        inner.train_from_iterator(texts, trainer)
        return cls(inner)

    @classmethod
    def train_words(cls, texts: Iterable[str]) -> "Tokenizer":
        """Take every word between spaces as one token, in lower case, so that "Tom" and "tom" are one word."""
        inner = tokenizers.Tokenizer(models.WordLevel(unk_token=SPECIALS[cls.unk_id]))
        inner.normalizer = normalizers.Sequence([normalizers.NFC(), normalizers.Lowercase(), *_one_space()])
        inner.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
        every_word = 2**31
        trainer = trainers.WordLevelTrainer(vocab_size=every_word, special_tokens=list(SPECIALS), show_progress=False)
        inner.train_from_iterator(texts, trainer)
        return cls(inner)

    @property
    def vocab_size(self) -> int:
        """The number of tokens, special ones included."""
        return self._inner.get_vocab_size()

    @property
    def kind(self) -> str:
        """What the tokens are: "bpe" or "words"."""
        return "words" if isinstance(self._inner.model, models.WordLevel) else "bpe"

    def normalise(self, text: str) -> str:
        """The text as the tokenizer sees it, and `decode` gives it back: NFC, single spaces, no control characters.

        A tokenizer of words also puts it in lower case.
        """
        return self._inner.normalizer.normalize_str(text)

    def encode(self, text: str) -> list[int]:
        """The ids of `text`, without beginning and end."""
        return self._inner.encode(text).ids

    def encode_batch(self, texts: Sequence[str]) -> list[list[int]]:
        """`encode` of many texts, much faster."""
        return [encoding.ids for encoding in self._inner.encode_batch_fast(list(texts))]

    def decode(self, ids: Iterable[int]) -> str:
        """The text of `ids` (a list or a tensor [T]); special tokens are left out."""
        return self._inner.decode([int(i) for i in ids])

    def tokens(self, text: str) -> list[str]:
        """The tokens of `text` as strings, one for each id of `encode`."""
        return [self.token(i) for i in self.encode(text)]

    def token(self, id: int) -> str:
        """The token with this id. Raises ValueError outside the vocabulary."""
        token = self._inner.id_to_token(int(id)) if id >= 0 else None
        if token is None:
            raise ValueError(f"id={int(id)} is not in the vocabulary of {self.vocab_size} tokens")
        return token

    def offsets(self, text: str) -> list[tuple[int, int]]:
        """Where each token of `encode` stands in `text`: (start, end) in characters, end excluded, spaces left out."""
        spans = self._inner.encode(text).offsets
        return [(end - len(text[start:end].lstrip()), end) for start, end in spans]

    def unknown_words(self, text: str) -> list[str]:
        """The words of `text`, in order and each once, that hold something the vocabulary does not know.

        Chinese, written without spaces, gives the single unknown characters, unless the tokens are words.
        """
        encoding = self._inner.encode(text)
        unknown = {start for id, (start, _) in zip(encoding.ids, encoding.offsets) if id == self.unk_id}
        word = r"\S+" if self.kind == "words" else r"[^\W\u4e00-\u9fff]+|\S"
        found = (match for match in re.finditer(word, text) if unknown.intersection(range(*match.span())))
        return list(dict.fromkeys(match.group() for match in found))

    def save(self, path: str | Path) -> None:
        """Write everything to one JSON file, which Hugging Face `tokenizers` can read too."""
        Path(path).write_text(self._inner.to_str(), encoding="utf-8")

    @classmethod
    def load(cls, path: str | Path) -> "Tokenizer":
        """Read a file that `save` wrote. Raises CourseError for a missing, broken or foreign one."""
        try:
            text = Path(path).read_text(encoding="utf-8")
            json.loads(text)
        except OSError as error:
            raise CourseError(f"cannot read the tokenizer {path}: {error.strerror}") from error
        except ValueError as error:  # not UTF-8, or not JSON
            raise CourseError(f"the tokenizer {path} is damaged or no tokenizer: it is not valid JSON") from error
        try:
            inner = tokenizers.Tokenizer.from_str(text)
        except Exception as error:  # the Rust side raises bare Exception
            raise CourseError(f"{path} is JSON but not a tokenizer: {error}") from error
        specials = tuple(inner.id_to_token(i) for i in range(len(SPECIALS)))
        known = isinstance(inner.model, models.BPE | models.WordLevel) and inner.normalizer is not None
        if specials != SPECIALS or not known:
            raise CourseError(f"the tokenizer {path} was not made by this course: its first tokens are {specials}")
        return cls(inner)


class SubwordSampler:
    """Encodes the same texts differently in each epoch: BPE-dropout (Provilkov, Emelianenko and Voita 2020).

    A model that trains on it meets a word in several pieces, as it will meet the words that it does not know. It is
    for training only: what is translated is encoded by the tokenizer itself.

    Args:
        tokenizer: one of byte-pair encoding, whose merges and ids are used.
        seed: with the epoch it decides everything.

    Raises:
        ValueError: the tokenizer's tokens are words, which have no merges.
    """

    DRAWS = 4  # a word of many occurrences is cut up so many times an epoch, and its occurrences take turns

    def __init__(self, tokenizer: Tokenizer, seed: int):
        if tokenizer.kind != "bpe":
            raise ValueError("bpe_dropout needs byte-pair encoding: tokens that are whole words have no merges")
        self._tokenizer, self._seed, self.eos_id = tokenizer, seed, tokenizer.eos_id
        merges = json.loads(tokenizer._inner.to_str())["model"]["merges"]
        self._ranks = {tuple(pair): rank for rank, pair in enumerate(merges)}
        self._ids = tokenizer._inner.get_vocab()
        self._words: dict[str, list[str]] = {}
        self.at(epoch=0, dropout=0.0)

    def at(self, epoch: int, dropout: float) -> "SubwordSampler":
        """Begin an epoch, in which a merge is passed over with probability `dropout` each time that one is possible."""
        self._chance, self._dropout = random.Random(f"{self._seed} {epoch}").random, dropout
        return self

    def encode_batch(self, texts: Sequence[str]) -> list[list[int]]:
        """The ids of each text, without beginning and end, as `Tokenizer.encode_batch` gives them."""
        words = [self._words_of(text) for text in texts]
        counts = Counter(itertools.chain.from_iterable(words))
        draws = {
            word: itertools.cycle([self._cut_up(word) for _ in range(min(count, self.DRAWS))])
            for word, count in counts.items()
        }
        return [[id for word in text for id in next(draws[word])] for text in words]

    def _words_of(self, text: str) -> list[str]:
        """What no merge crosses, in order; remembered, because every epoch asks again."""
        if text not in self._words:
            split = self._tokenizer._inner.pre_tokenizer.pre_tokenize_str(self._tokenizer.normalise(text))
            self._words[text] = [word for word, _ in split]
        return self._words[text]

    def _cut_up(self, word: str) -> list[int]:
        symbols = list(word)
        while True:
            ranked = ((self._ranks.get(pair), i) for i, pair in enumerate(itertools.pairwise(symbols)))
            found = [(rank, i) for rank, i in ranked if rank is not None and self._chance() >= self._dropout]
            if not found:
                return [self._ids.get(symbol, self._tokenizer.unk_id) for symbol in symbols]
            _, i = min(found)
            symbols[i : i + 2] = [symbols[i] + symbols[i + 1]]


def _one_space() -> list[normalizers.Normalizer]:
    return [normalizers.Replace(Regex(r"[\s\p{Cc}]+"), " "), normalizers.Strip()]
