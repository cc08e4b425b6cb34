"""How good a translation is: BLEU by hand and by sacreBLEU, chrF, perplexity, alignment error rate."""

import math
from collections import Counter
from collections.abc import Sequence
from collections.abc import Set as AbstractSet


def bleu(hypotheses: Sequence[Sequence[str]], references: Sequence[Sequence[str]]) -> float:
    """Corpus BLEU-4 on tokens: the geometric mean of the n-gram precisions times a brevity penalty (Papineni 2002).

    Matches and totals are summed over the corpus before they are divided; a hypothesis' n-gram matches at most as
    often as the reference has it. No smoothing.

    Args:
        hypotheses: a list of tokens for each sentence.
        references: one list of tokens for each hypothesis.

    Returns:
        From 0 to 100; 0.0 when an order has no match.
    """
    matches, totals = [0] * 4, [0] * 4
    for hypothesis, reference in zip(hypotheses, references, strict=True):
        for n in range(1, 5):
            ours, theirs = _ngrams(hypothesis, n), _ngrams(reference, n)
            matches[n - 1] += (ours & theirs).total()
            totals[n - 1] += ours.total()
    if min(matches) == 0:
        return 0.0
    log_precision = sum(math.log(match / total) for match, total in zip(matches, totals, strict=True)) / 4
    length, reference_length = sum(map(len, hypotheses)), sum(map(len, references))
    brevity = min(0.0, 1.0 - reference_length / length)
    return 100.0 * math.exp(log_precision + brevity)


def _ngrams(tokens: Sequence[str], n: int) -> Counter:
    return Counter(tuple(tokens[i : i + n]) for i in range(len(tokens) - n + 1))


def corpus_scores(hypotheses: list[str], references: list[str], target_language: str) -> dict:
    """sacreBLEU's BLEU and chrF of detokenised sentences.

    Args:
        hypotheses, references: one string each for every sentence.
        target_language: Chinese ("zh") is scored character by character, everything else with tokenizer 13a.

    Returns:
        ``{"bleu": {"score", "lowercase_score", "signature"}, "chrf"}``; the signature belongs to ``score``, and the
        other one differs from it only in ``case:lc``.
    """
    from sacrebleu.metrics import BLEU, CHRF

    tokenize = "zh" if target_language == "zh" else "13a"
    cased, lowercased = BLEU(tokenize=tokenize), BLEU(tokenize=tokenize, lowercase=True)
    return {
        "bleu": {
            "score": cased.corpus_score(hypotheses, [references]).score,
            "lowercase_score": lowercased.corpus_score(hypotheses, [references]).score,
            "signature": str(cased.get_signature()),
        },
        "chrf": CHRF().corpus_score(hypotheses, [references]).score,
    }


def perplexity(mean_loss: float) -> float:
    """Between how many equally likely tokens the model hesitates: e to the mean cross-entropy in nats a token."""
    return math.exp(mean_loss)


def alignment_error_rate(predicted: AbstractSet[tuple[int, int]], gold: AbstractSet[tuple[int, int]]) -> float:
    """How far two alignments are apart: 1 - 2 |P ∩ G| / (|P| + |G|) (Och and Ney 2003, all links sure).

    Args:
        predicted, gold: sets of (source, target) index pairs.

    Returns:
        From 0 (the same links) to 1 (none in common); 0.0 for two empty sets.
    """
    if not predicted and not gold:
        return 0.0
    return 1.0 - 2.0 * len(predicted & gold) / (len(predicted) + len(gold))
