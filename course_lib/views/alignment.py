"""Alignment, one output token at a time: guess where the model looks, then see the row of weights."""

from collections.abc import Iterable, Sequence

from torch import Tensor

from course_lib.views.attention import check_weights
from course_lib.views.frames import HtmlView, page, rounded

MAX_SOURCE = 24  # columns that a page shows with their numbers


def alignment_stepper(
    weights: Tensor,
    source_tokens: Sequence[str],
    target_tokens: Sequence[str],
    *,
    gold: Iterable[tuple[int, int]] = (),
    predict: bool = True,
) -> HtmlView:
    """Steps through the tokens that a decoder writes and shows for each where it looked in the source.

    The rows that have been written stay below the bars and make up the alignment.

    Args:
        weights: [Tt, Ts], rows summing to 1; leading axes of size 1, as `record_attention` collects them, are dropped.
        source_tokens: what was read, Ts of them, at most 24.
        target_tokens: what was written, Tt of them.
        gold: pairs (source index, target index) of a known alignment, outlined.
        predict: ask for a guess at every step before the row is shown.

    Raises:
        ValueError: the weights do not fit the tokens, or are none; too many source tokens; a gold pair lies outside.
    """
    source_tokens, target_tokens = list(source_tokens), list(target_tokens)
    while weights.dim() > 2 and len(weights) == 1:
        weights = weights[0]
    if weights.dim() != 2:
        raise ValueError(f"weights: expected [Tt, Ts], one sentence and one head, got {list(weights.shape)}")
    check_weights("weights", weights[None], target_tokens, source_tokens)
    if len(source_tokens) > MAX_SOURCE:
        raise ValueError(f"{len(source_tokens)} source tokens; the view shows up to {MAX_SOURCE}: shorten the sentence")
    gold = sorted([t, s] for s, t in gold)
    for t, s in gold:
        if not (0 <= s < len(source_tokens) and 0 <= t < len(target_tokens)):
            sizes = f"{len(source_tokens)} and {len(target_tokens)} tokens"
            raise ValueError(f"gold pair (source {s}, target {t}) lies outside {sizes}")
    data = {
        "source": source_tokens, "target": target_tokens, "weights": rounded(weights), "gold": gold, "predict": predict,
    }  # fmt: skip
    alt = (
        f"Alignment step by step: for each of the {len(target_tokens)} tokens of “{' '.join(target_tokens)}”, "
        f"how much it took from each of the {len(source_tokens)} tokens of “{' '.join(source_tokens)}”."
    )
    return page("alignment", data, alt=alt, height=300 + 28 * len(target_tokens))
