"""Byte-pair encoding, stepped merge by merge."""

from course_lib.tokenizer import SPACE, SPECIALS
from course_lib.views.frames import HtmlView, page

MAX_CHARACTERS = 20_000  # of the corpus


def bpe_explorer(
    corpus: str, sentence: str = "", *, marker: bool = False, predict: bool = True, limit: int = 200
) -> HtmlView:
    """Learns byte-pair encoding from a text while the reader steps, drags, or guesses the next merge.

    Words stand between spaces. Ties go to the smallest pair, as in `tokenizer.most_frequent_pair`, and training ends
    where no pair occurs twice. The reader can type another sentence, and another corpus. No kernel is needed.

    Args:
        corpus: the text that is learned from.
        sentence: the text that is cut with what has been learned; the corpus' first words where it is left out.
        marker: put a "▁" in front of each word, so that pieces know where words begin.
        predict: ask which pair comes next before the counts show.
        limit: the largest number of merges.

    Raises:
        ValueError: the corpus has no word, or is too long; `limit` is negative.
    """
    if not corpus.split():
        raise ValueError("the corpus has no words")
    if len(corpus) > MAX_CHARACTERS:
        raise ValueError(f"the corpus has {len(corpus)} characters; the view learns from up to {MAX_CHARACTERS}")
    if limit < 0:
        raise ValueError(f"limit={limit} must not be negative")
    data = {
        "corpus": corpus, "sentence": sentence or " ".join(corpus.split()[:6]), "marker": marker, "predict": predict,
        "limit": limit, "mark": SPACE, "specials": list(SPECIALS), "most": MAX_CHARACTERS,
    }  # fmt: skip
    alt = (
        "Byte-pair encoding of a small text, merge by merge: the words as cut so far, the most frequent pairs, and a "
        "sentence of your own in pieces with their ids."
    )
    return page("merges", data, alt=alt, height=640)
