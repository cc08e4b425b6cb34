"""Chapter 08: from text to tensors. The order in this module is that of chapter 03, the pattern."""

import math
import re
from collections import Counter, defaultdict
from collections.abc import Callable
from itertools import pairwise

import torch
from tokenizers.models import BPE
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from course_lib import batches, tokenizer
from course_lib.exercises.chapter_03 import size, starter
from course_lib.grading.exercise import Check, Exercise, Misconception
from course_lib.grading.observe import check_values, generator, integers, normal

Word = tuple[str, ...]
Words = dict[Word, int]
Pair = tuple[str, str]


def letters(g: torch.Generator, n: int) -> list[str]:
    """So many different letters, in the order of the alphabet."""
    return [chr(ord("a") + i) for i in sorted(torch.randperm(26, generator=g)[:n].tolist())]


def random_words(g: torch.Generator, alphabet: list[str], n: int) -> Words:
    """Words of 2 to 5 symbols with counts from 1 to 9."""
    words = {}
    for _ in range(n):
        word = tuple(alphabet[i] for i in integers(g, 0, len(alphabet), size(g, 2, 5)).tolist())
        words[word] = size(g, 1, 9)
    return words


# --- most_frequent_pair -----------------------------------------------------------------------------------------------


def pair_by_loop(words: Words) -> Pair | None:
    """Every pair of symbols that there could be, in order, each counted anew."""
    alphabet = sorted({symbol for word in words for symbol in word})
    best, most = None, 0
    for left in alphabet:
        for right in alphabet:
            found = sum(
                count for word, count in words.items() for i in range(len(word) - 1) if word[i : i + 2] == (left, right)
            )
            if found > most:
                best, most = (left, right), found
    return best


def count_pairs(words: Words) -> Counter:
    counts = Counter()
    for word, count in words.items():
        for pair in pairwise(word):
            counts[pair] += count
    return counts


def best_by(key: Callable, count: Callable[[Words], dict] = count_pairs) -> Callable:
    """The pair that is smallest by `key(pair, its count)`."""

    def most_frequent_pair(words):
        counts = count(words)
        return min(counts, key=lambda pair: key(pair, counts[pair]), default=None)

    return most_frequent_pair


def most_then_smallest(pair: Pair, count: int) -> tuple:
    return -count, pair


def count_types(words: Words) -> Counter:
    return Counter(pair for word in words for pair in pairwise(word))


def count_once_a_word(words: Words) -> Counter:
    counts = Counter()
    for word, count in words.items():
        counts.update({pair: count for pair in pairwise(word)})
    return counts


def count_without_overlap(words: Words) -> Counter:
    counts = Counter()
    for word, count in words.items():
        taken = {}
        for i, pair in enumerate(pairwise(word)):
            if taken.get(pair, -2) < i - 1:
                counts[pair] += count
                taken[pair] = i
    return counts


def count_unordered(words: Words) -> Counter:
    counts = Counter()
    for pair, count in count_pairs(words).items():
        counts[tuple(sorted(pair))] += count
    return counts


def count_across_words(words: Words) -> Counter:
    text = [symbol for word, count in words.items() for symbol in word * count]
    return Counter(pairwise(text))


def count_in_one_word(words: Words) -> dict:
    best = {}
    for word, count in words.items():
        for pair, n in Counter(pairwise(word)).items():
            best[pair] = max(best.get(pair, 0), n * count)
    return best


def count_any_distance(words: Words) -> Counter:
    counts = Counter()
    for word, count in words.items():
        for i, left in enumerate(word):
            for right in word[i + 1 :]:
                counts[left, right] += count
    return counts


def best_association(words: Words) -> Pair | None:
    counts, single = count_pairs(words), Counter()
    for word, count in words.items():
        for symbol in word:
            single[symbol] += count
    return min(counts, key=lambda p: (-counts[p] / (single[p[0]] * single[p[1]]), p), default=None)


def most_frequent_symbols(words: Words) -> Pair | None:
    single = Counter()
    for word, count in words.items():
        for symbol in word:
            single[symbol] += count
    ranked = sorted(single, key=lambda symbol: (-single[symbol], symbol))
    return tuple(ranked[:2]) if len(ranked) > 1 else None


def pair_without_none(words: Words) -> Pair:
    counts = count_pairs(words)
    return min(counts, key=lambda pair: (-counts[pair], pair))


def pair_or_empty(words: Words) -> tuple:
    return tokenizer.most_frequent_pair(words) or ()


def pair_and_count(words: Words) -> tuple | None:
    pair = tokenizer.most_frequent_pair(words)
    return pair and (pair, count_pairs(words)[pair])


def pair_that_empties(words: Words) -> Pair | None:
    pair = tokenizer.most_frequent_pair(words)
    for word in list(words):
        if len(word) < 2:
            del words[word]
    return pair


def pair_by_sorting(words):
    counts = defaultdict(int)
    for word in words:
        for i in range(len(word) - 1):
            counts[word[i], word[i + 1]] += words[word]
    ranked = sorted(sorted(counts), key=counts.get, reverse=True)
    return ranked[0] if ranked else None


def pair_by_maximum(words):
    found = [pair for word, count in words.items() for pair in [*pairwise(word)] * count]
    if not found:
        return None
    most = max(found.count(pair) for pair in set(found))
    return min(pair for pair in set(found) if found.count(pair) == most)


def frequent_cases(g: torch.Generator) -> list[tuple]:
    a, b, c, d, e = letters(g, 5)
    n = size(g, 2, 5)
    return [
        ({(d, e): 3 * n, (b, c, a): 2 * n, (a, b, c): 2 * n},),
        ({(a, b): 1, (a, b, c): 1, (c, d): n + 2},),
        ({(a, b): n, (d, e): n + 1},),
        ({(b, a): 2 * n + 1, (a, b): n, (d, c): 3 * n},),
        ({(b, a, b): n, (c, d, e): n, (c, b, d, e): n, (e, a): n},),
        ({(a + b, c): n, (a, b, c): n + 1, (d, a + b, c): n},),
    ]


def overlapping_cases(g: torch.Generator) -> list[tuple]:
    a, b, c, d, e = letters(g, 5)
    n = size(g, 2, 5)
    return [
        ({(a, a, a): 2 * n, (b, c): 3 * n},),
        ({(d, e): 3 * n, (a, b, a, b): 2 * n},),
        ({(c, a): 5 * n, (b, b, b, b): 2 * n},),
    ]


def tied_cases(g: torch.Generator) -> list[tuple]:
    a, b, c, d, e = letters(g, 5)
    n = size(g, 2, 9)
    return [
        ({(b, d): n, (d, e): n, (a, c): n},),
        ({(b, d): n, (a, c): n, (d, e): n},),
        ({(a, d): n, (a, c): n, (a, e): n},),
        ({(a + b, b): n, (a, c): n},),
        ({(a, b): n, (b.upper(), a): n},),
    ]


def reordered_cases(g: torch.Generator) -> list[tuple]:
    words = random_words(g, letters(g, 4), 6)
    return [(words,), (dict(reversed(words.items())),), ({word: 10 * count for word, count in words.items()},)]


def few_symbols(g: torch.Generator) -> list[tuple]:
    a, b, c, d = letters(g, 4)
    n = size(g, 2, 9)
    return [
        ({(a, b): n},), ({},), ({(a,): n, (c,): n + 1},), ({(a,): 9 * n, (b,): 9 * n, (d, c): 1},),
        ({(a + b, c + d + "</w>"): n, (c,): 2 * n},),
    ]  # fmt: skip


MOST_FREQUENT_PAIR = Exercise(
    id="most_frequent_pair",
    chapter=8,
    title="The pair to merge next",
    signature="most_frequent_pair(words)",
    statement=r"""Byte-pair encoding always merges the pair of neighbouring symbols that occurs most often. Find it.

`words` is a dictionary: each key is a word, a tuple of one or more symbols (a symbol is a string of one or more
characters), and its value says how often the word occurs, an integer from 1. A word that occurs 5 times counts each
of its pairs 5 times: in `{("l", "o", "w"): 5, ("l", "o"): 2}` the pair `("l", "o")` occurs 7 times.

- Return the pair as a tuple of two strings.
- Overlapping pairs all count: `("a", "a", "a")` has the pair `("a", "a")` twice.
- Pairs do not reach from one word into the next.
- **Ties** go to the smallest pair, as Python compares tuples of strings: `("a", "c")` comes before `("ab", "b")`, and
  capital letters come before small ones.
- Where no word has two symbols, or there are no words, return `None`.""",
    minutes=10,
    difficulty=2,
    concepts=("C08",),
    errata=(),
    reference=tokenizer.most_frequent_pair,
    starter=starter("most_frequent_pair(words)", "The most frequent pair of neighbouring symbols, or None."),
    read_again="chapter 08, “By hand”",
    library_calls=("most_frequent_pair",),
    checks=(
        check_values(
            "counts", 3, "Go through the words, take each two neighbours, and add the word's count to that pair.",
            frequent_cases, pair_by_loop,
        ),
        check_values(
            "overlaps", 2, "How many pairs of neighbours has a word of four equal symbols? And abab?",
            overlapping_cases, pair_by_loop, needs=("counts",),
        ),
        check_values(
            "ties", 2, "Among the pairs with the highest count, which one comes first when Python sorts them?",
            tied_cases, pair_by_loop,
        ),
        check_values(
            "same_corpus", 1, "The order of the words, and ten times as many of each, must not change the answer.",
            reordered_cases, pair_by_loop, needs=("counts", "ties"),
        ),
        check_values(
            "edges", 1, "Think of words of one symbol, of no words, and of one word alone.",
            few_symbols, pair_by_loop,
        ),
    ),
    misconceptions=(
        Misconception(
            "types", best_by(most_then_smallest, count_types),
            "You count each word once. A word that occurs nine times brings its pairs nine times.",
        ),
        Misconception(
            "once_a_word", best_by(most_then_smallest, count_once_a_word),
            "You count a pair once in a word. In abab the pair ab occurs twice.",
        ),
        Misconception(
            "no_overlap", best_by(most_then_smallest, count_without_overlap),
            "In aaa you count aa once, as if it were merged already. For counting, overlapping pairs all count.",
        ),
        Misconception(
            "unordered", best_by(most_then_smallest, count_unordered),
            "You count (a, b) and (b, a) together. Their order makes them two pairs.",
        ),
        Misconception(
            "across_words", best_by(most_then_smallest, count_across_words),
            "Your pairs reach from the end of one word to the beginning of the next.",
        ),
        Misconception(
            "one_word", best_by(most_then_smallest, count_in_one_word),
            "You find the word in which a pair is most frequent. Its counts in all words add up.",
        ),
        Misconception(
            "any_distance", best_by(most_then_smallest, count_any_distance),
            "You also count symbols that are not neighbours.",
        ),
        Misconception(
            "association", best_association,
            "You divide by how often the two symbols occur, which favours rare ones. That is how WordPiece chooses; "
            "byte-pair encoding takes the plain count.",
        ),
        Misconception(
            "two_symbols", most_frequent_symbols,
            "These are the two most frequent symbols. Do they stand side by side?",
        ),
        Misconception(
            "rarest", best_by(lambda pair, count: (count, pair)),
            "This is the rarest pair.",
        ),
        Misconception(
            "first_on_ties", best_by(lambda pair, count: -count),
            "Among equally frequent pairs you take the one that was counted first, so the answer depends on the order "
            "of the words.",
        ),
        Misconception(
            "last_on_ties", best_by(lambda pair, n: -n, lambda words: dict(reversed(count_pairs(words).items()))),
            "Among equally frequent pairs you take the one that was counted last, so the answer depends on the order "
            "of the words.",
        ),
        Misconception(
            "largest_on_ties", best_by(lambda pair, count: (-count, [[-ord(x) for x in symbol] for symbol in pair])),
            "Among equally frequent pairs you take the largest: max over (count, pair) prefers a high count and a "
            "*late* pair.",
        ),
        Misconception(
            "first_symbol_on_ties", best_by(lambda pair, count: (-count, pair[0])),
            "Among equally frequent pairs you compare only the first symbols.",
        ),
        Misconception(
            "joined_on_ties", best_by(lambda pair, count: (-count, "".join(pair))),
            "Among equally frequent pairs you compare the joined strings. Compare the pairs: “a” comes before “ab”, "
            "whatever follows.",
        ),
        Misconception(
            "letters_on_ties", best_by(lambda pair, count: (-count, [symbol.lower() for symbol in pair])),
            "Among equally frequent pairs you compare without regard to capitals. Python puts capitals first.",
        ),
        Misconception(
            "with_count", pair_and_count,
            "You return the pair together with its count. Return the pair alone.",
        ),
        Misconception(
            "joined", lambda words: (pair := tokenizer.most_frequent_pair(words)) and "".join(pair),
            "You return the merged symbol. Return the two symbols, as a tuple.",
        ),
        Misconception(
            "as_list", lambda words: (pair := tokenizer.most_frequent_pair(words)) and list(pair),
            "You return a list. A pair is a tuple, so that it can be the key of a dictionary.",
        ),
        Misconception(
            "raises", pair_without_none,
            "Where there is no pair at all, min or max of nothing raises an error. Return None there.",
        ),
        Misconception(
            "empty_tuple", pair_or_empty,
            "Where there is no pair, return None: an empty tuple is not a pair either.",
        ),
        Misconception(
            "deletes", pair_that_empties,
            "Your function takes words out of the caller's dictionary.",
        ),
    ),
    alternatives=(pair_by_sorting, pair_by_maximum, pair_by_loop),
)  # fmt: skip

# --- merge_pair -------------------------------------------------------------------------------------------------------


def merged_by_loop(words: Words, pair: Pair) -> Words:
    """Word by word, with a list of what has been read so far."""
    result = {}
    for word, count in words.items():
        rest, done = list(word), []
        while rest:
            if len(rest) >= 2 and (rest[0], rest[1]) == pair:
                done.append(rest.pop(0) + rest.pop(0))
            else:
                done.append(rest.pop(0))
        result[tuple(done)] = result.get(tuple(done), 0) + count
    return result


def each_word(merge: Callable[[Word, Pair], Word], *, add: bool = True) -> Callable:
    """A merge of whole dictionaries made of a merge of one word."""

    def merge_pair(words, pair):
        result = {}
        for word, count in words.items():
            new = merge(word, pair)
            result[new] = count + (result.get(new, 0) if add else 0)
        return result

    return merge_pair


def merge_word(word: Word, pair: Pair) -> Word:
    symbols, i = [], 0
    while i < len(word):
        step = 2 if tuple(word[i : i + 2]) == tuple(pair) else 1
        symbols.append("".join(word[i : i + step]))
        i += step
    return tuple(symbols)


def merge_from_the_right(word: Word, pair: Pair) -> Word:
    symbols, i = [], len(word)
    while i > 0:
        step = 2 if tuple(word[max(0, i - 2) : i]) == pair else 1
        symbols.insert(0, "".join(word[i - step : i]))
        i -= step
    return tuple(symbols)


def merge_first_only(word: Word, pair: Pair) -> Word:
    for i in range(len(word) - 1):
        if word[i : i + 2] == pair:
            return (*word[:i], pair[0] + pair[1], *word[i + 2 :])
    return word


def merge_either_order(word: Word, pair: Pair) -> Word:
    symbols, i = [], 0
    while i < len(word):
        step = 2 if word[i : i + 2] in (pair, pair[::-1]) else 1
        symbols.append("".join(word[i : i + step]))
        i += step
    return tuple(symbols)


def merge_as_text(word: Word, pair: Pair) -> Word:
    return tuple(" ".join(word).replace(" ".join(pair), "".join(pair)).split(" "))


def merge_as_pattern(word: Word, pair: Pair) -> Word:
    return tuple(re.sub(rf"(?<!\S){' '.join(pair)}(?!\S)", "".join(pair), " ".join(word)).split(" "))


def merge_by_spelling(word: Word, pair: Pair) -> Word:
    symbols, i = [], 0
    while i < len(word):
        step = 2 if "".join(word[i : i + 2]) == "".join(pair) and len(word) > i + 1 else 1
        symbols.append("".join(word[i : i + step]))
        i += step
    return tuple(symbols)


def merge_and_keep(word: Word, pair: Pair) -> Word:
    """The right part stays where it was."""
    symbols = list(word)
    for i in range(len(word) - 1):
        if word[i : i + 2] == pair:
            symbols[i] = pair[0] + pair[1]
    return tuple(symbols)


def merge_with_overlap(word: Word, pair: Pair) -> Word:
    """Every occurrence becomes a symbol, overlapping or not."""
    symbols, after = [], False
    for i, symbol in enumerate(word):
        if word[i : i + 2] == pair:
            symbols.append("".join(pair))
            after = True
        else:
            if not after:
                symbols.append(symbol)
            after = False
    return tuple(symbols)


def merged_words_only(words: Words, pair: Pair) -> Words:
    return {new: count for new, count in tokenizer.merge_pair(words, pair).items() if "".join(pair) in new}


def merge_in_place(words: Words, pair: Pair) -> Words:
    for word, count in list(words.items()):
        del words[word]
        words[merge_word(word, pair)] = words.get(merge_word(word, pair), 0) + count
    return words


def same_dict_without_the_pair(words: Words, pair: Pair) -> Words:
    merged = tokenizer.merge_pair(words, pair)
    return words if merged == words else merged


def merge_by_looking_back(words, pair):
    left, right = pair
    result = Counter()
    for word, count in words.items():
        done = []
        for symbol in word:
            if symbol == right and done and done[-1] == left:
                done[-1] = left + right
            else:
                done.append(symbol)
        result[tuple(done)] += count
    return result


def merge_by_recursion(words, pair):
    def merged(word):
        if len(word) < 2:
            return word
        if word[:2] == pair:
            return (word[0] + word[1], *merged(word[2:]))
        return (word[0], *merged(word[1:]))

    result = defaultdict(int)
    for word in words:
        result[merged(word)] += words[word]
    return dict(result)


def spelt(submission, inputs):
    """Whether the result is a new dictionary, and how often each spelling occurs in it."""
    found = []
    for words, pair in inputs["pairs"]:
        result = submission(words, pair)
        spellings = {}
        for word, count in result.items():
            spellings["".join(word)] = spellings.get("".join(word), 0) + count
        found.append({"a new dictionary": result is not words, "spellings": spellings, "the old one": words})
    return found


def expect_spelt(inputs: dict) -> list:
    found = []
    for words, _ in inputs["pairs"]:
        spellings = Counter()
        for word, count in words.items():
            spellings["".join(word)] += count
        found.append({"a new dictionary": True, "spellings": dict(spellings), "the old one": words})
    return found


def merging_cases(g: torch.Generator) -> list[tuple]:
    a, b, c, d = letters(g, 4)
    n = size(g, 2, 5)
    return [
        ({(a, b, c): n, (c, a, b): n + 1, (d, a, b, c): n + 2, (c, d): 1}, (a, b)),
        ({(a, b, d, a, b): n, (b, a): n + 3, (b, a, b): n + 1}, (a, b)),
        ({(a, b): n, (a,): 1, (b,): 2, (c, b, d): n + 2}, (c, b)),
        ({(c, a, b, d, c, b, a, a, b, d, d, b, a): n, (d, c, d, b, c, c, d): n + 1}, (a, b)),
    ]


def repeated_cases(g: torch.Generator) -> list[tuple]:
    a, b = letters(g, 2)
    n = size(g, 2, 5)
    return [
        ({(a, a, a): n}, (a, a)),
        ({(a,) * 4: n, (a,) * 5: n + 1, (b, a, a, a, b): n + 2}, (a, a)),
        ({(a, b, b, b): n, (b, b, b, a): n + 1}, (b, b)),
    ]


def equal_cases(g: torch.Generator) -> list[tuple]:
    a, b, c, d = letters(g, 4)
    n = size(g, 2, 5)
    return [
        ({(a, b, c): n, (a + b, c): n + 3, (d,): 2}, (a, b)),
        ({(a + b, a + b): n, (a, b, a + b): n + 1, (a + b, a, b): n + 2, (a, b, a, b): n + 3}, (a, b)),
    ]


def symbol_cases(g: torch.Generator) -> list[tuple]:
    a, b, c, d = letters(g, 4)
    n = size(g, 2, 5)
    return [
        ({(d + a, b): n, (a, b): n + 1, (a, b + c): n + 2}, (a, b)),
        ({(a + b, c): n, (a, b + c): n + 1, (d, a, b + c): n + 2}, (a, b + c)),
        ({(".", a): n, (c, a): n + 1}, (".", a)),
        ({(a, b, "</w>"): n, (b, "</w>"): n + 1}, (b, "</w>")),
    ]


def missing_cases(seed: int) -> dict:
    g = generator(seed)
    a, b, c, d = letters(g, 4)
    words = {**random_words(g, [a, b], 4), (c,): 3}
    return {"pairs": [(dict(words), (c, d)), (dict(words), (a, b)), (dict(words), (b, a)), ({}, (a, b))]}


MERGE_PAIR = Exercise(
    id="merge_pair",
    chapter=8,
    title="One merge",
    signature="merge_pair(words, pair)",
    statement=r"""Carry out one merge: wherever the two symbols of `pair` stand side by side in this order, they become
one symbol. `words` is as in the exercise before, `pair` a tuple of two symbols. With `("l", "o")`

    {("l", "o", "w"): 5, ("l", "o"): 2}   becomes   {("lo", "w"): 5, ("lo",): 2}

- Go **from left to right** and use each symbol once: with `("a", "a")`, the word `("a", "a", "a")` becomes
  `("aa", "a")`.
- Symbols can be longer than a character, and can hold any character, a full stop for example. Only whole symbols are
  compared: `("da", "b")` has no `("a", "b")`.
- Words that become equal **add their counts**.
- Return a **new** dictionary with all words, also those without the pair, and also when nothing was merged. `words`
  stays as it was. (The order of the entries does not matter.)""",
    minutes=10,
    difficulty=2,
    concepts=("C08",),
    errata=(),
    reference=tokenizer.merge_pair,
    starter=starter("merge_pair(words, pair)", "A new dictionary in which each `pair` is one symbol."),
    read_again="chapter 08, “By hand”",
    library_calls=("merge_pair",),
    checks=(
        check_values(
            "values", 3, "Walk along each word with an index: it moves by 2 where the pair begins, and by 1 elsewhere.",
            merging_cases, merged_by_loop,
        ),
        check_values(
            "left_to_right", 2, "Write down aaa, aaaa and aaaaa after the merge of (a, a), beginning at the left.",
            repeated_cases, merged_by_loop, needs=("values",),
        ),
        check_values(
            "equal_words", 2, "Two different words can be the same after the merge. Whose count holds then?",
            equal_cases, merged_by_loop, needs=("values",),
        ),
        check_values(
            "whole_symbols", 2, "Compare symbol with symbol. In a joined text the borders between symbols get lost.",
            symbol_cases, merged_by_loop, needs=("values",),
        ),
        Check(
            "nothing_lost", 1,
            "A merge changes how words are cut, not how they are spelt or how often they occur; and the result is a "
            "new dictionary, always.",
            missing_cases, spelt, expect_spelt,
        ),
    ),
    misconceptions=(
        Misconception(
            "from_the_right", each_word(merge_from_the_right),
            "You go from right to left: aaa becomes (a, aa) with you.",
        ),
        Misconception(
            "first_only", each_word(merge_first_only),
            "You merge the first occurrence in a word and leave the others.",
        ),
        Misconception(
            "either_order", each_word(merge_either_order),
            "You also merge the two symbols in the opposite order.",
        ),
        Misconception(
            "as_text", each_word(merge_as_text),
            "You replace in a text with spaces: in “da b” there is an “a b”, but the symbols are “da” and “b”.",
        ),
        Misconception(
            "as_pattern", each_word(merge_as_pattern),
            "You use the pair as a regular expression: a full stop in it stands for any character.",
        ),
        Misconception(
            "by_spelling", each_word(merge_by_spelling),
            "You merge whatever spells the same: (ab, c) and (a, bc) are two different pairs.",
        ),
        Misconception(
            "keeps_the_right", each_word(merge_and_keep),
            "The right symbol of the pair is still there after the merge.",
        ),
        Misconception(
            "overlapping", each_word(merge_with_overlap),
            "You use symbols twice: for the merge aaa holds one pair, not two.",
        ),
        Misconception(
            "overwritten", each_word(merge_word, add=False),
            "Where two words become equal, the later one overwrites the earlier one's count.",
        ),
        Misconception(
            "merged_words_only", merged_words_only,
            "Words without the pair have disappeared.",
        ),
        Misconception(
            "in_place", merge_in_place,
            "You change the caller's dictionary. Make a new one.",
        ),
        Misconception(
            "same_dictionary", same_dict_without_the_pair,
            "Where there is nothing to merge you return the very dictionary that you got. Who changes the result would "
            "change the argument.",
        ),
        Misconception(
            "joined_keys", lambda words, pair: {" ".join(w): n for w, n in tokenizer.merge_pair(words, pair).items()},
            "Your words are strings. A word is a tuple of symbols.",
        ),
        Misconception(
            "as_list", lambda words, pair: list(tokenizer.merge_pair(words, pair).items()),
            "You return a list. Return a dictionary.",
        ),
        Misconception(
            "counts_lost", lambda words, pair: dict.fromkeys(tokenizer.merge_pair(words, pair), 1),
            "The counts are lost: every word has 1.",
        ),
        Misconception(
            "no_return", lambda words, pair: None,
            "Your function returns nothing.",
        ),
    ),
    alternatives=(merge_by_looking_back, merge_by_recursion, each_word(merge_word)),
)  # fmt: skip

# --- bpe_encode -------------------------------------------------------------------------------------------------------

Merges = list[Pair]


def encode_by_hugging_face(word: str, merges: Merges) -> list[str]:
    """What `tokenizers` makes of it, whose BPE is written in Rust."""
    pieces = dict.fromkeys([*word, *(symbol for pair in merges for symbol in pair), *map("".join, merges)])
    theirs = BPE(vocab={piece: i for i, piece in enumerate(pieces)}, merges=[*merges])
    return [token.value for token in theirs.tokenize(word)] if word else []


def neighbours(symbols: list[str]) -> list[Pair]:
    return list(pairwise(symbols))


def join_at(symbols: list[str], i: int) -> list[str]:
    return [*symbols[:i], symbols[i] + symbols[i + 1], *symbols[i + 2 :]]


def one_place_at_a_time(choose: Callable) -> Callable:
    """Merge at `choose(the places where a merge is possible, their ranks)` until none is possible."""

    def bpe_encode(word, merges):
        symbols = list(word)
        while places := [i for i, pair in enumerate(neighbours(symbols)) if pair in merges]:
            ranks = {i: merges.index((symbols[i], symbols[i + 1])) for i in places}
            symbols = join_at(symbols, choose(places, ranks))
        return symbols

    return bpe_encode


lowest_rank_first = one_place_at_a_time(lambda places, ranks: min(places, key=lambda i: (ranks[i], i)))


def longest_piece_first(word: str, merges: Merges) -> list[str]:
    known, result = {*map("".join, merges)}, []
    while word:
        length = next(n for n in range(len(word), 0, -1) if n == 1 or word[:n] in known)
        result.append(word[:length])
        word = word[length:]
    return result


def in_order(merge: Callable[[Word, Pair], Word], *, stop: bool = False) -> Callable:
    """One merge after the other; `stop` at the first that finds nothing."""

    def bpe_encode(word, merges):
        symbols = tuple(word)
        for pair in merges:
            before, symbols = symbols, merge(symbols, pair)
            if stop and symbols == before:
                break
        return list(symbols)

    return bpe_encode


def single_sweep(word: str, merges: Merges) -> list[str]:
    symbols = []
    for character in word:
        if symbols and (symbols[-1], character) in merges:
            symbols[-1] += character
        else:
            symbols.append(character)
    return symbols


def best_merge_only(word: str, merges: Merges) -> list[str]:
    symbols = tuple(word)
    pair = next((pair for pair in merges if pair in neighbours(word)), None)
    return list(merge_word(symbols, pair) if pair else symbols)


def known_characters_only(word: str, merges: Merges) -> list[str]:
    known = {character for pair in merges for symbol in pair for character in symbol}
    return lowest_rank_first("".join(c for c in word if c in known), merges)


def unknown_marked(word: str, merges: Merges) -> list[str]:
    known = {character for pair in merges for symbol in pair for character in symbol}
    pieces = lowest_rank_first(word, merges)
    return [piece if len(piece) > 1 or piece in known else "[UNK]" for piece in pieces]


def uses_up_merges(word: str, merges: Merges) -> list[str]:
    symbols = tuple(word)
    while merges:
        symbols = merge_word(symbols, merges.pop(0))
    return list(symbols)


def encode_again_and_again(word, merges):
    ranks = {pair: rank for rank, pair in enumerate(merges)}
    symbols = list(word)
    while len(symbols) > 1:
        rank, i = min((ranks.get(pair, math.inf), i) for i, pair in enumerate(neighbours(symbols)))
        if rank == math.inf:
            break
        symbols[i : i + 2] = [symbols[i] + symbols[i + 1]]
    return symbols


def encode_with_borders(word, merges):
    """Borders between symbols as a sorted list of places; a merge takes one away."""
    borders = list(range(len(word) + 1))
    for left, right in merges:
        i = 1
        while i < len(borders) - 1:
            a, b, c = borders[i - 1 : i + 2]
            if word[a:b] == left and word[b:c] == right:
                del borders[i]
            i += 1
    return [word[a:b] for a, b in pairwise(borders)]


def learned(g: torch.Generator) -> tuple[Merges, list[str]]:
    """Merges as training finds them, and the words that they were learned from."""
    words = random_words(g, letters(g, 4), 8)
    spelt, merges = ["".join(word) for word in words], []
    while len(merges) < 6 and (pair := tokenizer.most_frequent_pair(words)):
        words = tokenizer.merge_pair(words, pair)
        merges.append(pair)
    return merges, spelt


def learned_cases(g: torch.Generator) -> list[tuple]:
    merges, words = learned(g)
    return [(word, list(merges)) for word in [*words, words[0] + words[1]]]


def ranked_cases(g: torch.Generator) -> list[tuple]:
    a, b, c, d, e = letters(g, 5)
    return [
        (a + b + c, [(b, c), (a, b)]),
        (a + b + c, [(a, b), (b, c)]),
        (a + b + c + d, [(c, d), (a, b), (a + b, c)]),
        (a + b + c + e, [(c, d), (a, b), (a + b, c)]),
        (a + b + c + d, [(b, c), (c, d), (a, b), (a, b + c)]),
        (d + b + c + a, [(a, b), (b, c), (c, a)]),
    ]


def repeated_merges(g: torch.Generator) -> list[tuple]:
    a, b, c = letters(g, 3)
    return [
        (a + b + c + a + b, [(a, b)]),
        (3 * a, [(a, a)]),
        (5 * a, [(a, a), (2 * a, 2 * a)]),
        (4 * a + b, [(a, a), (2 * a, a)]),
        (3 * (b + c) + a, [(b, c), (b + c, b + c), (b + c, a)]),
    ]


def spelling(submission, inputs):
    """What the pieces spell together, and whether each is a character or the result of a merge."""
    found = []
    for word, merges in inputs["words"]:
        pieces = submission(word, merges)
        known = [len(piece) == 1 or piece in [left + right for left, right in merges] for piece in pieces]
        left = [pieces[i : i + 2] for i in range(len(pieces) - 1) if (pieces[i], pieces[i + 1]) in merges]
        found.append({"together": "".join(pieces), "all known": all(known), "merges left": left, "merges": merges})
    return found


def learned_words(seed: int) -> dict:
    merges, words = learned(generator(seed))
    return {"words": [(word, list(merges)) for word in words]}


def expect_spelling(inputs: dict) -> list:
    return [
        {"together": word, "all known": True, "merges left": [], "merges": merges} for word, merges in inputs["words"]
    ]


def short_words(g: torch.Generator) -> list[tuple]:
    a, b, c, d = letters(g, 4)
    return [
        (a, [(a, b)]), ("", [(a, b)]), (a + b, [(a, b)]), (a + b + c, []), (a + c + "猫" + a + b + d, [(a, b)]),
        (c + d + "é", [(c, d), (a, b)]),
    ]  # fmt: skip


BPE_ENCODE = Exercise(
    id="bpe_encode",
    chapter=8,
    title="Cutting a new word",
    signature="bpe_encode(word, merges)",
    statement=r"""Training has left a list of merges. Cut a word, known or new, into the pieces that they give.

`word` is a string, without an end marker; `merges` is a list of pairs (tuples of two strings) in the order in which
training found them: the first has **rank** 0. As in any such list, each part of a pair is a character or the result of
an earlier merge, and no pair comes twice.

1. Begin with single characters.
2. Of all pairs of neighbours that are in the list, take the one with the **lowest rank** and merge it wherever it
   occurs, from left to right.
3. Do so again, until no pair of neighbours is in the list. Return the pieces as a **list of strings**.

With `[("b", "c"), ("a", "b")]`, the word `"abc"` gives `["a", "bc"]`: the pair b, c has the lower rank, although a, b
comes first in the word. A character that is in no merge stays as it is; an empty word gives an empty list. `merges`
stays as it was. You may call your `merge_pair`.""",
    minutes=15,
    difficulty=3,
    concepts=("C08",),
    errata=(),
    reference=tokenizer.bpe_encode,
    starter=starter("bpe_encode(word, merges)", "The pieces of a word (str) under merges (list of pairs), a list."),
    read_again="chapter 08, “A new word”",
    requires=("merge_pair",),
    library_calls=("bpe_encode", "BPE", "tokenize", "Tokenizer"),
    checks=(
        check_values(
            "ranks", 3, "Write down the neighbours of abc with their ranks. Which is lowest? And after it?",
            ranked_cases, encode_by_hugging_face,
        ),
        check_values(
            "repeated", 2, "A merge holds wherever its pair occurs, left to right, and its result can be merged again.",
            repeated_merges, encode_by_hugging_face,
        ),
        check_values(
            "learned", 2, "With merges from a real training, something is different.",
            learned_cases, encode_by_hugging_face, needs=("ranks", "repeated"),
        ),
        Check(
            "spelling", 1, "All pieces together spell the word, and nothing that could be merged is left.",
            learned_words, spelling, expect_spelling,
        ),
        check_values(
            "edges", 1, "Think of one character, of none, of no merges, and of characters that no merge knows.",
            short_words, encode_by_hugging_face,
        ),
    ),
    misconceptions=(
        Misconception(
            "leftmost", one_place_at_a_time(lambda places, ranks: places[0]),
            "You merge the first pair from the left that is in the list. The one of lowest rank comes first, wherever "
            "it stands.",
        ),
        Misconception(
            "latest", one_place_at_a_time(lambda places, ranks: max(places, key=lambda i: (ranks[i], -i))),
            "You merge the pair of highest rank first.",
        ),
        Misconception(
            "longest_piece", longest_piece_first,
            "You take the longest known piece from the left, as WordPiece does. Byte-pair encoding repeats its merges "
            "in their order.",
        ),
        Misconception(
            "first_occurrence", in_order(merge_first_only),
            "Each merge is applied once. It holds wherever its pair occurs in the word.",
        ),
        Misconception(
            "from_the_right", in_order(merge_from_the_right),
            "You merge from right to left: aaa becomes a, aa with you.",
        ),
        Misconception(
            "stops_early", in_order(merge_word, stop=True),
            "You stop at the first merge that finds nothing in the word. Later ones may.",
        ),
        Misconception(
            "single_sweep", single_sweep,
            "You go through the characters once and join what you can. Ranks play no part, and two longer pieces are "
            "never joined.",
        ),
        Misconception(
            "one_merge", best_merge_only,
            "You carry out the first merge and stop. Its result can take part in the next.",
        ),
        Misconception(
            "characters", lambda word, merges: list(word),
            "These are the characters: nothing was merged. Do you compare tuples with tuples?",
        ),
        Misconception(
            "end_marker", lambda word, merges: [*lowest_rank_first(word, merges), "</w>"],
            "You add an end marker. Here a word comes and goes without one.",
        ),
        Misconception(
            "as_tuple", lambda word, merges: tuple(lowest_rank_first(word, merges)),
            "You return a tuple. Return a list.",
        ),
        Misconception(
            "as_text", lambda word, merges: " ".join(lowest_rank_first(word, merges)),
            "You return one string. Return a list of pieces.",
        ),
        Misconception(
            "as_dict", lambda word, merges: {tuple(lowest_rank_first(word, merges)): 1},
            "You return a dictionary, as merge_pair does. Take the word out of it, as a list.",
        ),
        Misconception(
            "drops_unknown", known_characters_only,
            "Characters that are in no merge have disappeared from your word.",
        ),
        Misconception(
            "unknown_marked", unknown_marked,
            "You replace characters that are in no merge. Whether they are known is a later question: here they stay.",
        ),
        Misconception(
            "uses_up_merges", uses_up_merges,
            "You take the merges out of the caller's list: the next word would find none.",
        ),
    ),
    alternatives=(encode_again_and_again, encode_with_borders, in_order(merge_word)),
)  # fmt: skip

# --- pad_batch --------------------------------------------------------------------------------------------------------


def padded_by_torch(sequences: list[list[int]], pad_id: int) -> tuple[Tensor, Tensor]:
    rows = [torch.tensor(sequence, dtype=torch.int64) for sequence in sequences]
    ids = pad_sequence(rows, batch_first=True, padding_value=pad_id)
    return ids, torch.tensor([len(sequence) for sequence in sequences])


def fill(
    width: Callable = max, pad: Callable = lambda row, n, pad_id: row + n * [pad_id], pad_id: int | None = None
) -> Callable:
    """Padding, with some of its steps replaced."""

    def pad_batch(sequences, given_pad_id):
        lengths = [len(sequence) for sequence in sequences]
        t, filling = width(lengths), given_pad_id if pad_id is None else pad_id
        rows = [pad(list(sequence), t - len(sequence), filling)[:t] for sequence in sequences]
        return torch.tensor(rows, dtype=torch.int64).view(len(rows), t), torch.tensor(lengths)

    return pad_batch


def change(ids: Callable = lambda ids: ids, lengths: Callable = lambda n, ids, pad_id: n) -> Callable:
    """The right answer, spoilt."""

    def pad_batch(sequences, pad_id):
        right, n = padded_by_torch(sequences, pad_id)
        return ids(right), lengths(n, right, pad_id)

    return pad_batch


def pad_in_place(sequences: list[list[int]], pad_id: int) -> tuple[Tensor, Tensor]:
    lengths = torch.tensor([len(sequence) for sequence in sequences])
    for sequence in sequences:
        sequence += [pad_id] * (int(lengths.max()) - len(sequence))
    return torch.tensor(sequences, dtype=torch.int64), lengths


def pad_sorted(sequences: list[list[int]], pad_id: int) -> tuple[Tensor, Tensor]:
    return padded_by_torch(sorted(sequences, key=len, reverse=True), pad_id)


def dtype_by_itself(sequences: list[list[int]], pad_id: int) -> tuple[Tensor, Tensor]:
    t = max(map(len, sequences))
    rows = [[*sequence, *[pad_id] * (t - len(sequence))] for sequence in sequences]
    return torch.tensor(rows), torch.tensor([len(sequence) for sequence in sequences])


def pad_by_index(sequences, pad_id):
    lengths = torch.tensor([len(sequence) for sequence in sequences])
    ids = torch.full((len(sequences), int(lengths.max())), pad_id)
    ids[torch.arange(ids.shape[1]) < lengths[:, None]] = torch.tensor(
        [id for sequence in sequences for id in sequence], dtype=torch.int64
    )
    return ids, lengths


def pad_cell_by_cell(sequences, pad_id):
    longest = 0
    for sequence in sequences:
        longest = max(longest, len(sequence))
    ids = torch.empty(len(sequences), longest, dtype=torch.long)
    lengths = torch.zeros(len(sequences), dtype=torch.long)
    for i, sequence in enumerate(sequences):
        for j in range(longest):
            ids[i, j] = sequence[j] if j < len(sequence) else pad_id
        lengths[i] = len(sequence)
    return [(ids, lengths)][0]


def id_lists(g: torch.Generator, lengths: list[int], low: int = 4) -> list[list[int]]:
    return [integers(g, low, 60, n).tolist() for n in lengths]


def lengths_in_disorder(g: torch.Generator) -> list[int]:
    """Neither the first nor the last is the longest or the shortest."""
    n = size(g, 2, 4)
    return [n + 1, n + 3, n - 1, n]


def usual_batches(g: torch.Generator) -> list[tuple]:
    return [(id_lists(g, lengths_in_disorder(g)), 0), (id_lists(g, [2, 4, 3]), 0), (id_lists(g, [3, 1, 5, 2, 4]), 0)]


def other_ids(g: torch.Generator) -> list[tuple]:
    return [
        (id_lists(g, lengths_in_disorder(g)), 3), (id_lists(g, [2, 5, 1]), -100), (id_lists(g, [3, 2, 4], low=0), 77),
        ([[0, size(g, 1, 9)], [5, 0, 0], [0]], 0), ([[7, 1], [1, 7, 7, size(g, 2, 6)], [7]], 7),
    ]  # fmt: skip


def recovered(submission, inputs):
    """The sequences again, cut out of the rectangle; and what stands behind them."""
    sequences, pad_id = inputs["sequences"], inputs["pad_id"]
    ids, lengths = submission(sequences, pad_id)
    rows = [(row[:n].tolist(), row[n:].tolist()) for row, n in zip(ids, lengths.tolist())]
    return {"sequences": [row for row, _ in rows], "filling": [rest for _, rest in rows]}


def sequences_to_recover(seed: int) -> dict:
    g = generator(seed)
    return {"sequences": id_lists(g, lengths_in_disorder(g)), "pad_id": size(g, 0, 3)}


def expect_recovered(inputs: dict) -> dict:
    longest = max(map(len, inputs["sequences"]))
    filling = [[inputs["pad_id"]] * (longest - len(sequence)) for sequence in inputs["sequences"]]
    return {"sequences": inputs["sequences"], "filling": filling}


def unusual_batches(g: torch.Generator) -> list[tuple]:
    return [
        (id_lists(g, [5]), 0), (id_lists(g, [3, 3, 3]), 0), (id_lists(g, [0, 2, 4]), 0), (id_lists(g, [1, 0]), 2),
        ([[], []], 0), (id_lists(g, [1, 1]), 0), ([[2**40 + size(g, 1, 9), 5], [6]], 0),
    ]  # fmt: skip


PAD_BATCH = Exercise(
    id="pad_batch",
    chapter=8,
    title="Sentences of different lengths as one tensor",
    signature="pad_batch(sequences, pad_id)",
    statement=r"""`sequences` is a list of one or more lists of ids (Python integers), one for each sentence. Make one
rectangle of them: each sentence a row, the short ones filled up **on the right** with `pad_id`.

Return a tuple `(ids, lengths)` of two int64 tensors:

- `ids [B, T]`, where T is the length of the longest sequence, in the order of the sequences;
- `lengths [B]`, the number of ids of each sequence, filling not counted.

`pad_id` can be any integer and may also occur *within* a sequence, as an id like any other: so take the lengths from
the lists. A sequence can be empty; when all are, T is 0, and `ids` is still int64. `sequences` and its lists stay as
they were.""",
    minutes=10,
    difficulty=2,
    concepts=("C08",),
    errata=("E079",),
    reference=batches.pad_batch,
    starter=starter("pad_batch(sequences, pad_id)", "list of lists of ids -> (ids [B, T], lengths [B]), both int64."),
    read_again="chapter 08, “A rectangle of ids”",
    library_calls=("pad_sequence", "pad_batch"),
    checks=(
        check_values(
            "values", 3, "How wide must the rectangle be? How many times does pad_id stand behind a sequence?",
            usual_batches, padded_by_torch,
        ),
        check_values(
            "other_ids", 2, "pad_id need not be 0, and 0 may be a word. Whether an id is filling, its place decides.",
            other_ids, padded_by_torch, needs=("values",),
        ),
        Check(
            "recovered", 2, "With ids and lengths every sequence can be cut out again: ids[i, :lengths[i]].",
            sequences_to_recover, recovered, expect_recovered,
        ),
        check_values(
            "edges", 1, "Think of one sequence, of equal lengths, of empty sequences, and of their dtype.",
            unusual_batches, padded_by_torch, needs=("values",),
        ),
    ),
    misconceptions=(
        Misconception(
            "left", fill(pad=lambda row, n, pad_id: n * [pad_id] + row),
            "Your padding stands on the left.",
        ),
        Misconception(
            "cut_to_the_shortest", fill(width=min),
            "You cut all sentences to the length of the shortest: words are lost.",
        ),
        Misconception(
            "first_length", fill(width=lambda lengths: lengths[0]),
            "You take the width from the first sentence. The longest decides.",
        ),
        Misconception(
            "one_too_wide", fill(width=lambda lengths: max(lengths) + 1),
            "Every row has padding, even the longest: the rectangle is one column too wide.",
        ),
        Misconception(
            "always_zero", fill(pad_id=0),
            "You fill with 0. The padding id is an argument.",
        ),
        Misconception(
            "repeats_last", fill(pad=lambda row, n, pad_id: row + n * (row[-1:] or [pad_id])),
            "You repeat the last id instead of filling with pad_id.",
        ),
        Misconception(
            "turned", change(ids=lambda ids: ids.T),
            "Your ids are [T, B]: each sentence is a column. It should be a row.",
        ),
        Misconception(
            "floats", change(ids=lambda ids: ids.float()),
            "Your ids are float32: an embedding takes integers only.",
        ),
        Misconception(
            "int32", change(ids=lambda ids: ids.int()),
            "Your ids are int32. Make them int64, the dtype of ids throughout the course.",
        ),
        Misconception(
            "dtype_left_to_torch", dtype_by_itself,
            "torch.tensor of empty lists gives float32: say the dtype.",
        ),
        Misconception(
            "lengths_by_counting", change(lengths=lambda n, ids, pad_id: (ids != pad_id).sum(1)),
            "You count the ids that are not pad_id. The same id may also occur within a sentence.",
        ),
        Misconception(
            "lengths_of_nonzero", change(lengths=lambda n, ids, pad_id: (ids != 0).sum(1)),
            "You count the ids that are not 0. With another padding id the filling counts too, and 0 may be a word.",
        ),
        Misconception(
            "padded_lengths", change(lengths=lambda n, ids, pad_id: torch.full_like(n, ids.shape[1])),
            "Your lengths include the padding.",
        ),
        Misconception(
            "amount_of_padding", change(lengths=lambda n, ids, pad_id: ids.shape[1] - n),
            "You return how much padding each row has. Its length is the other part.",
        ),
        Misconception(
            "list_of_lengths", change(lengths=lambda n, ids, pad_id: n.tolist()),
            "Your lengths are a list. Make them a tensor.",
        ),
        Misconception(
            "float_lengths", change(lengths=lambda n, ids, pad_id: n.float()),
            "Your lengths are float32. Make them int64.",
        ),
        Misconception(
            "mask", change(lengths=lambda n, ids, pad_id: torch.arange(ids.shape[1]) < n[:, None]),
            "You return a mask in place of the lengths.",
        ),
        Misconception(
            "ids_only", lambda sequences, pad_id: padded_by_torch(sequences, pad_id)[0],
            "You return the ids alone. Return a tuple of ids and lengths.",
        ),
        Misconception(
            "as_list", lambda sequences, pad_id: list(padded_by_torch(sequences, pad_id)),
            "You return a list of two tensors. Return a tuple: `return ids, lengths`.",
        ),
        Misconception(
            "sorted", pad_sorted,
            "You sort the sentences by length. Then a row no longer belongs to the sentence that it came from.",
        ),
        Misconception(
            "in_place", pad_in_place,
            "You fill up the caller's own lists. Make new ones.",
        ),
    ),
    alternatives=(pad_by_index, pad_cell_by_cell, fill()),
)  # fmt: skip

# --- spot the bug -----------------------------------------------------------------------------------------------------

BROKEN = '''\
def spot_the_bug_08(sequences, table, pad_id):
    """What an encoder reads: vectors [B, T, D] and a mask [B, 1, 1, T], True where there is a token."""
    longest = max(len(sequence) for sequence in sequences)
    ids = torch.tensor([sequence + [pad_id] * (longest - len(sequence)) for sequence in sequences])  # [B, T]

    # Document 002, §4: `tokenizer.encode` gives the ids, and nothing that says which of them are padding.
    mask = torch.ones(ids.shape[0], 1, 1, longest, dtype=torch.bool)

    # Document 001, §4: a linear layer reads the ids, as if they were measurements. (In place of its weights: a row.)
    vectors = ids.unsqueeze(-1) * table[0]

    # Document 001, §4: what comes out goes on as it is.
    return vectors, mask'''


def encoder_input(sequences, table, pad_id):
    """Token vectors times √D, and the padding mask  (Vaswani et al. 2017, §3.4).

    Args:
        sequences: list of lists of ids; table: [V, D]; pad_id: the id of padding.

    Returns:
        vectors [B, T, D]; mask bool [B, 1, 1, T], True where there is a token.
    """
    ids, lengths = batches.pad_batch(sequences, pad_id)
    mask = torch.arange(ids.shape[1]) < lengths[:, None]  # [B, T]
    return table[ids] * math.sqrt(table.shape[1]), mask[:, None, None]


def encoder_input_by_loop(sequences: list[list[int]], table: Tensor, pad_id: int) -> tuple[Tensor, Tensor]:
    longest = max(map(len, sequences))
    vectors, masks = [], []
    for sequence in sequences:
        filled = [*sequence, *[pad_id] * (longest - len(sequence))]
        vectors.append(torch.stack([table[id] * table.shape[1] ** 0.5 for id in filled]))
        masks.append([[[i < len(sequence) for i in range(longest)]]])
    return torch.stack(vectors), torch.tensor(masks)


def table_gradient(submission, inputs):
    """The gradient of a weighted sum of the vectors with respect to the table."""
    sequences, table, pad_id = inputs["arguments"]
    table = table.clone().requires_grad_()
    vectors, mask = submission(sequences, table, pad_id)
    total = (vectors * inputs["weights"] * mask[:, 0, 0, :, None]).sum()
    if not total.requires_grad:
        return {"gradient of the table": torch.zeros_like(table)}
    return {"gradient of the table": torch.autograd.grad(total, table)[0]}


def expect_table_gradient(inputs: dict) -> dict:
    return table_gradient(encoder_input_by_loop, inputs)


def sentences(g: torch.Generator, lengths: list[int], v: int, d: int, pad_id: int = 0, dtype=torch.float32) -> tuple:
    """Sequences without the id of padding, a table, and that id."""
    sequences = [integers(g, 0, v - 1, n) for n in lengths]
    sequences = [(ids + (ids >= pad_id)).tolist() for ids in sequences]
    return sequences, normal(g, v, d, dtype=dtype), pad_id


def gradient_case(seed: int) -> dict:
    g = generator(seed)
    return {"arguments": sentences(g, [2, 4, 3], 7, 5), "weights": normal(g, 3, 4, 5)}


def attended_alone(submission, inputs):
    """PyTorch's attention over the vectors under the mask: what comes out at the places of the tokens."""
    sequences, table, pad_id = inputs["arguments"]
    vectors, mask = submission(sequences, table, pad_id)
    x = vectors.unsqueeze(1)
    mixed = torch.nn.functional.scaled_dot_product_attention(x, x, x, attn_mask=mask)
    return {"attention": [mixed[i, 0, : len(sequence)] for i, sequence in enumerate(sequences)]}


def expect_attended_alone(inputs: dict) -> dict:
    sequences, table, _ = inputs["arguments"]
    outputs = []
    for sequence in sequences:
        x = table[sequence][None, None] * math.sqrt(table.shape[1])
        outputs.append(torch.nn.functional.scaled_dot_product_attention(x, x, x)[0, 0])
    return {"attention": outputs}


def repaired(
    look: Callable = lambda ids, table: table[ids],
    scale: Callable = lambda v, d: math.sqrt(d),
    may: Callable = lambda ids, lengths, pad_id: (torch.arange(ids.shape[1]) < lengths[:, None])[:, None, None],
) -> Callable:
    """The broken code with some of its lines repaired; without arguments all of them."""

    def spot_the_bug_08(sequences, table, pad_id):
        ids, lengths = batches.pad_batch(sequences, pad_id)
        return look(ids, table) * scale(*table.shape), may(ids, lengths, pad_id)

    return spot_the_bug_08


def everything_allowed(ids: Tensor, lengths: Tensor, pad_id: int) -> Tensor:
    return torch.ones(len(ids), 1, 1, ids.shape[1]).bool()


def as_measurements(ids: Tensor, table: Tensor) -> Tensor:
    return ids.unsqueeze(-1) * table[0]


def unscaled(v: int, d: int) -> float:
    return 1.0


def one_hot_times_table(sequences, table, pad_id):
    longest = max(len(sequence) for sequence in sequences)
    ids = torch.tensor([sequence + [pad_id] * (longest - len(sequence)) for sequence in sequences])
    one_hot = torch.nn.functional.one_hot(ids, table.shape[0]).to(table.dtype)
    return one_hot @ table * table.shape[-1] ** 0.5, ids.ne(pad_id).unsqueeze(1).unsqueeze(1)


def embedding_of_pytorch(sequences, table, pad_id):
    ids = pad_sequence([torch.tensor(sequence) for sequence in sequences], batch_first=True, padding_value=pad_id)
    return torch.nn.functional.embedding(ids, table) * math.sqrt(table.size(1)), (ids != pad_id)[:, None, None, :]


SPOT_THE_BUG = Exercise(
    id="spot_the_bug_08",
    chapter=8,
    title="Spot the bug: from ids to vectors as two of the documents have it",
    signature="spot_the_bug_08(sequences, table, pad_id)",
    statement=r"""Between the tokenizer and the encoder, document 002 (§4) hands on ids and nothing else, and document
001 (§4) puts a linear layer where an embedding belongs. The code below follows both. **Three things are wrong: repair
them**, so that the function returns a tuple of

- `vectors [B, T, D]`: for each id its row of `table [V, D]`, **times √D**, also at the places of padding;
- `mask [B, 1, 1, T]`, bool: **True where there is a token**, False at padding.

`sequences` is a list of lists of ids from 0 to V − 1, none of them empty and none with `pad_id` in it; padding is on
the right, and T is the longest length (that part of the code is right). `pad_id` is one of the V ids, not always 0.
`vectors` has the dtype of `table`, and the gradient must reach `table`.

Before you begin: what would the code say about ids 10 and 20? Is a word with id 20 twice as much of anything?""",
    minutes=10,
    difficulty=2,
    concepts=("C08", "C09"),
    errata=("E057", "E079"),
    reference=encoder_input,
    starter=BROKEN,
    read_again="chapter 08, “What the documents say”",
    requires=("pad_batch",),
    library_calls=(),
    checks=(
        check_values(
            "values", 4, "Take the three comments one by one: what should the line below each of them do?",
            lambda g: [sentences(g, [size(g, 2, 3), 5, 1], 9, 4), sentences(g, [4, 2], 7, 5)], encoder_input_by_loop,
        ),
        check_values(
            "other_padding", 1, "The padding id is an argument.",
            lambda g: [sentences(g, [2, 4, 3], 8, 5, pad_id=size(g, 1, 7)), sentences(g, [3, 1], 6, 4, pad_id=5)],
            encoder_input_by_loop, needs=("values",),
        ),
        Check(
            "in_use", 2,
            "Under your mask, attention of a sentence in a batch is not what it is for the sentence alone.",
            lambda seed: {"arguments": sentences(generator(seed), [2, 5, 3], 9, 4)},
            attended_alone, expect_attended_alone, needs=("values",),
        ),
        Check(
            "gradient", 1, "Take rows of the table as they are: no `.detach()`, `.item()`, or new tensors of numbers.",
            gradient_case, table_gradient, expect_table_gradient, needs=("values",),
        ),
        check_values(
            "edges", 1, "Think of one sentence without padding, of one token, and of a table in float64.",
            lambda g: [
                sentences(g, [4], 6, 3), sentences(g, [1], 5, 2), sentences(g, [3, 3], 7, 1),
                sentences(g, [2, 3], 6, 5, dtype=torch.float64),
            ],
            encoder_input_by_loop, needs=("values",),
        ),
    ),
    misconceptions=(
        Misconception(
            "no_mask", repaired(may=everything_allowed),
            "The vectors are right. But the mask still allows everything: padding would be attended to like words.",
        ),
        Misconception(
            "still_linear", repaired(look=as_measurements),
            "Mask and factor are right. The ids are still treated as quantities: id 20 gets twice the vector of id 10.",
        ),
        Misconception(
            "unscaled", repaired(scale=unscaled),
            "Rows and mask are right. The factor √D is missing.",
        ),
        Misconception(
            "only_lookup", repaired(scale=unscaled, may=everything_allowed),
            "The rows are right. Two things are left: the factor, and the mask.",
        ),
        Misconception(
            "only_mask", repaired(look=as_measurements, scale=unscaled),
            "The mask is right. What about the vectors?",
        ),
        Misconception(
            "only_scale", repaired(look=as_measurements, may=everything_allowed),
            "The factor is there. The ids are still quantities, and the mask still allows everything.",
        ),
        Misconception(
            "divided", repaired(scale=lambda v, d: 1 / math.sqrt(d)),
            "You divide by √D. That is for the scores of attention; embeddings are multiplied.",
        ),
        Misconception(
            "times_d", repaired(scale=lambda v, d: d),
            "You multiply by D. It is the square root.",
        ),
        Misconception(
            "vocabulary_root", repaired(scale=lambda v, d: math.sqrt(v)),
            "You multiply by the root of the vocabulary size. The table is [V, D]: take the width of a row.",
        ),
        Misconception(
            "mask_turned_round", repaired(may=lambda i, n, p: ~(torch.arange(i.shape[1]) < n[:, None])[:, None, None]),
            "Your mask is True at the padding. In this course True means “may attend”.",
        ),
        Misconception(
            "mask_of_two_axes", repaired(may=lambda ids, n, pad_id: torch.arange(ids.shape[1]) < n[:, None]),
            "Your mask is [B, T]. It needs two more axes in the middle, for heads and queries.",
        ),
        Misconception(
            "mask_of_numbers",
            repaired(may=lambda i, n, p: (torch.arange(i.shape[1]) < n[:, None])[:, None, None].float()),
            "The right places, but numbers. A mask says True or False.",
        ),
        Misconception(
            "zero_is_padding", repaired(may=lambda ids, n, pad_id: (ids != 0)[:, None, None]),
            "You compare with 0. The padding id is an argument.",
        ),
        Misconception(
            "padding_is_zeros", lambda s, table, p: (
                (right := encoder_input(s, table, p))[0] * right[1][:, 0, 0, :, None], right[1]
            ),
            "You set the vectors of padding to 0. They are rows of the table like any others; it is the mask that "
            "keeps everyone from reading them.",
        ),
        Misconception(
            "detached", repaired(look=lambda ids, table: table.detach()[ids]),
            "The values are right, but cut off from the table: its rows could never be trained.",
        ),
        Misconception(
            "float32_only", repaired(look=lambda ids, table: table.float()[ids]),
            "Your vectors are always float32. They should have the dtype of the table.",
        ),
    ),
    alternatives=(one_hot_times_table, embedding_of_pytorch, encoder_input_by_loop),
)  # fmt: skip

EXERCISES = (MOST_FREQUENT_PAIR, MERGE_PAIR, BPE_ENCODE, PAD_BATCH, SPOT_THE_BUG)
