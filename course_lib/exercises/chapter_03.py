"""Chapter 03: scaled dot-product attention and masks.

This module is the pattern for the others. Of each exercise: first the authority that it is compared with, then wrong
implementations that need more than an expression, then alternatives, then the exercise. Sizes are pairwise distinct.
"""

import math

import torch
from torch import Tensor

from course_lib import attention, masks
from course_lib.grading.exercise import Check, Exercise, Misconception, not_attempted
from course_lib.grading.observe import check_gradients, check_values, generator, integers, normal

SDPA = torch.nn.functional.scaled_dot_product_attention


def starter(signature: str, docstring: str) -> str:
    name = signature.partition("(")[0]
    return f'def {signature}:\n    """{docstring}"""\n    raise NotImplementedError("{not_attempted(name)}")'


# --- softmax ----------------------------------------------------------------------------------------------------------


def softmax_by_loop(x: Tensor) -> Tensor:
    """Number by number, in Python's own arithmetic."""
    rows = []
    for row in x.reshape(-1, x.shape[-1]).tolist():
        exponentials = [math.exp(score - max(row)) for score in row]
        rows += [e / math.fsum(exponentials) for e in exponentials]
    return torch.tensor(rows, dtype=x.dtype).view(x.shape)


def exponentials(x: Tensor) -> Tensor:
    return (x - x.amax(-1, keepdim=True)).exp()


def softmax_in_place(x: Tensor) -> Tensor:
    x -= x.amax(-1, keepdim=True)
    return x.exp() / x.exp().sum(-1, keepdim=True)


def softmax_of_everything(x: Tensor) -> Tensor:
    return x.flatten().softmax(0).view_as(x)


def softmax_of_global_maximum(x: Tensor) -> Tensor:
    e = (x - x.max()).exp()
    return e / e.sum(-1, keepdim=True)


def softmax_by_logarithm(x: Tensor) -> Tensor:
    return (x - x.logsumexp(-1, keepdim=True)).exp()


def softmax_by_differences(x: Tensor) -> Tensor:
    return 1 / (x.unsqueeze(-2) - x.unsqueeze(-1)).exp().sum(-1)  # 1 / Σ_k exp(x_k - x_j)


def softmax_row_by_row(x: Tensor) -> Tensor:
    if x.dim() > 1:
        return torch.stack([softmax_row_by_row(row) for row in x])
    e = torch.stack([torch.exp(score - max(x)) for score in x])
    return e / sum(e)


SOFTMAX = Exercise(
    id="softmax",
    chapter=3,
    title="Softmax",
    signature="softmax(x)",
    statement=r"""Turn scores into weights: every number becomes positive, and those along the **last axis** sum to 1.

$$\mathrm{softmax}(x)_j = \frac{e^{x_j}}{\sum_k e^{x_k}}$$

- `x` has any number of axes; the result has its shape and dtype. `x` itself stays as it was.
- Scores may be large: it must work at ±10,000, where `exp` overflows. Which number may be added to all scores of a row
  without changing the result?
- Gradients must flow through it, so stay with torch operations.

(Document 001, §3.1, divides by "the sum of the scores". Try `[2, -1, -1]` to see why that cannot be.)""",
    minutes=10,
    difficulty=1,
    concepts=("C11",),
    errata=("E002", "E045"),
    reference=attention.softmax,
    starter=starter("softmax(x)", "Weights along the last axis: positive, summing to 1. x: [..., T]."),
    read_again="chapter 03, “From scores to weights”",
    library_calls=("softmax", "Softmax", "softmin", "log_softmax", "LogSoftmax"),
    checks=(
        check_values(
            "values", 3, "Take the exponential of every score, and divide each by the sum along the last axis.",
            lambda g: [(normal(g, 5),), (2 * normal(g, 3, 4),), (2 * normal(g, 2, 3, 6),)], softmax_by_loop,
        ),
        check_values(
            "same_shift", 1, "Adding the same number to all scores of a row must not change its weights.",
            lambda g: [(normal(g, 4, 7) + 30 * normal(g, 4, 1),), (normal(g, 5) - 50,)], softmax_by_loop,
            needs=("values",),
        ),
        check_values(
            "large", 3, "exp(1000) is infinite in float32. What may you subtract from a whole row beforehand?",
            lambda g: [
                (1e4 + normal(g, 5),), (-1e4 + normal(g, 6),),
                (torch.tensor([[1e4], [-1e4], [0.0]]) + normal(g, 3, 4),), (1e4 * normal(g, 2, 7),),
            ],
            softmax_by_loop, needs=("values",), atol=1e-3,
        ),
        check_gradients(
            "gradients", 2,
            "Stay with torch operations on x: no NumPy, `.item()`, `.detach()`, or new tensors of numbers.",
            lambda g: [(normal(g, 5),), (normal(g, 2, 3, 4),)], lambda x: x.softmax(-1), needs=("values",),
        ),
        check_values(
            "edges", 1, "Think of rows of length 1, of equal scores, and of other dtypes than float32.",
            lambda g: [
                (normal(g, 3, 1),), (torch.full((2, 4), 0.7),), (normal(g, 2, 5, dtype=torch.float64),),
                (normal(g, 2, 1, 3, 5),),
            ],
            softmax_by_loop, needs=("values",),
        ),
    ),
    misconceptions=(
        Misconception(
            "first_axis", lambda x: x.softmax(0),
            "These are exactly the values of a softmax along the first axis. Which scores compete with each other?",
        ),
        Misconception(
            "axis_one", lambda x: x.softmax(min(1, x.dim() - 1)),
            "These are exactly the values of a softmax along axis 1. Which axis is the last one when there are three?",
        ),
        Misconception(
            "second_last_axis", lambda x: x.softmax(-2),
            "This is what a softmax along the axis before the last one does.",
        ),
        Misconception(
            "everything", softmax_of_everything,
            "All numbers of your result together sum to 1. Each row should.",
        ),
        Misconception(
            "lost_axis", lambda x: exponentials(x) / exponentials(x).sum(-1),
            "A sum or a maximum along the last axis removes that axis, and then the shapes no longer line up row by "
            "row. There is an option that keeps it, with length 1.",
        ),
        Misconception(
            "divides_by_sum_of_scores", lambda x: x / x.sum(-1, keepdim=True),
            "These are the scores divided by the sum of the scores, as document 001 has it (E045). What makes all of "
            "them positive first?",
        ),
        Misconception(
            "not_normalised", exponentials,
            "These are the exponentials alone: their rows do not sum to 1.",
        ),
        Misconception(
            "plain_exponentials", lambda x: x.exp(),
            "These are the exponentials alone: their rows do not sum to 1.",
        ),
        Misconception(
            "two_shifts", lambda x: exponentials(x) / x.exp().sum(-1, keepdim=True),
            "You subtract the maximum above the fraction line, but not below it.",
        ),
        Misconception(
            "logarithm", lambda x: x.log_softmax(-1),
            "These are the logarithms of the weights.",
        ),
        Misconception(
            "unstable", lambda x: x.exp() / x.exp().sum(-1, keepdim=True),
            "This is what happens when exp is taken of the scores as they are: it overflows to inf (or all of a row "
            "become 0), and inf/inf is NaN.",
        ),
        Misconception(
            "one_maximum", softmax_of_global_maximum,
            "You subtract one number from the whole tensor. In a row far below the overall maximum every exponential "
            "is 0, and 0/0 is NaN.",
        ),
        Misconception(
            "in_place", softmax_in_place,
            "Operators like -= write into the caller's tensor. Make a new one.",
        ),
        Misconception(
            "float32_only", lambda x: x.float().softmax(-1),
            "Your result is always float32. It should have the dtype of the input.",
        ),
        Misconception(
            "detached", lambda x: x.detach().softmax(-1),
            "The values are right, but they are cut off from x, so that nothing in front of your softmax could be "
            "trained.",
        ),
    ),
    alternatives=(softmax_by_logarithm, softmax_by_differences, softmax_row_by_row, lambda x: x.log_softmax(-1).exp()),
)  # fmt: skip

# --- causal_mask ------------------------------------------------------------------------------------------------------


def causal_by_loop(t_q: int, t_k: int) -> Tensor:
    return torch.tensor([[t_k - j >= t_q - i for j in range(t_k)] for i in range(t_q)])  # counted from the end


def attend_causally(submission, inputs):
    """PyTorch's attention under the mask: of a whole sequence, and of its last queries alone."""
    query, key, value, last = inputs["query"], inputs["key"], inputs["value"], inputs["last"]
    attend, t = torch.nn.functional.scaled_dot_product_attention, key.shape[-2]
    return {
        "attention under your mask": attend(query, key, value, attn_mask=submission(t, t)),
        "the last queries under your mask": attend(query[-last:], key, value, attn_mask=submission(last, t)),
    }


def expect_causal_attention(inputs: dict) -> dict:
    whole = SDPA(inputs["query"], inputs["key"], inputs["value"], is_causal=True)
    return {"attention under your mask": whole, "the last queries under your mask": whole[-inputs["last"] :]}


def causal_by_comparison(t_q, t_k):
    return torch.arange(t_k) <= torch.arange(t_k - t_q, t_k).unsqueeze(1)


def causal_by_loops(t_q, t_k):
    mask = torch.zeros(t_q, t_k, dtype=torch.bool)
    for i in range(t_q):
        mask[i, : max(0, i + 1 + t_k - t_q)] = True
    return mask


def size(g: torch.Generator, low: int, high: int) -> int:
    return int(integers(g, low, high + 1, 1))


def cached_sizes(g: torch.Generator) -> list[tuple]:
    t_q = size(g, 2, 4)
    return [(t_q, t_q + size(g, 1, 4)), (1, size(g, 6, 8))]


def longer_sizes(g: torch.Generator) -> list[tuple]:
    t_k = size(g, 2, 4)
    return [(t_k + size(g, 1, 4), t_k), (size(g, 6, 8), 1)]


CAUSAL_MASK = Exercise(
    id="causal_mask",
    chapter=3,
    title="The causal mask",
    signature="causal_mask(t_q, t_k)",
    statement=r"""While a sentence is being produced, a position may look at itself and at what came before, not ahead.
Say so in a boolean tensor `[Tq, Tk]`: **True where query i may attend to key j.**

When the keys of earlier positions are kept from step to step, there are more keys than queries: the queries are then
the *last* `t_q` positions. So the last query is aligned with the last key, and `causal_mask(2, 5)` is

    1 1 1 1 0
    1 1 1 1 1

It also has to work for more queries than keys; then the first rows may attend to nothing.""",
    minutes=10,
    difficulty=2,
    concepts=("C15",),
    errata=("E113",),
    reference=masks.causal_mask,
    starter=starter("causal_mask(t_q, t_k)", "bool [Tq, Tk], True where query i may attend to key j."),
    read_again="chapter 03, “Masks”",
    library_calls=("generate_square_subsequent_mask", "causal_lower_right", "causal_upper_left", "causal_mask"),
    checks=(
        check_values(
            "square", 3, "Write down the mask for three words by hand, one row for each query.",
            lambda g: [(size(g, 3, 7),) * 2, (1, 1)], causal_by_loop,
        ),
        check_values(
            "more_keys", 2,
            "Draw t_q=2, t_k=5. The last query is the last position: what may it see? And the one before?",
            cached_sizes, causal_by_loop, needs=("square",),
        ),
        check_values(
            "more_queries", 1, "Draw t_q=5, t_k=2. The last query is still aligned with the last key.",
            longer_sizes, causal_by_loop, needs=("square",),
        ),
        Check(
            "in_use", 2,
            "Under your mask, attention to a later position is possible or attention to an earlier one is not.",
            lambda seed: {
                "query": normal(generator(seed), 6, 4), "key": normal(generator(seed + 1), 6, 4),
                "value": normal(generator(seed + 2), 6, 3), "last": 2,
            },
            attend_causally, expect_causal_attention, needs=("square", "more_keys"),
        ),
    ),
    misconceptions=(
        Misconception(
            "looks_ahead", lambda t_q, t_k: torch.ones(t_q, t_k).bool().triu(t_k - t_q),
            "In your mask a position sees itself and what comes after it. (Rows are queries, columns are keys.)",
        ),
        Misconception(
            "blocks", lambda t_q, t_k: torch.ones(t_q, t_k).bool().triu(1 + t_k - t_q),
            "Your mask is True where attention is forbidden. In this course True means “may attend”.",
        ),
        Misconception(
            "not_itself", lambda t_q, t_k: torch.ones(t_q, t_k).bool().tril(t_k - t_q - 1),
            "In your mask a position does not see itself.",
        ),
        Misconception(
            "numbers", lambda t_q, t_k: torch.ones(t_q, t_k).tril(t_k - t_q),
            "The right places, but numbers: added to the scores or inverted with ~ they mean something else. Make it "
            "boolean.",
        ),
        Misconception(
            "integers", lambda t_q, t_k: torch.ones(t_q, t_k).long().tril(t_k - t_q),
            "The right places, but integers: ~1 is -2, not 0. Make it boolean.",
        ),
        Misconception(
            "penalties", lambda t_q, t_k: torch.full((t_q, t_k), -torch.inf).triu(1 + t_k - t_q),
            "These are numbers to add to the scores, 0 and -inf. A mask here says True or False.",
        ),
        Misconception(
            "top_left", lambda t_q, t_k: torch.ones(t_q, t_k).bool().tril(),
            "Your first query is aligned with the first key. It is the last ones that belong together.",
        ),
        Misconception(
            "wrong_way", lambda t_q, t_k: torch.ones(t_q, t_k).bool().tril(t_q - t_k),
            "You shift the diagonal by the right amount, but in the other direction.",
        ),
        Misconception(
            "square_of_keys", lambda t_q, t_k: torch.ones(t_k, t_k).bool().tril(),
            "You have a row for every key. There should be one for every query.",
        ),
        Misconception(
            "square_of_queries", lambda t_q, t_k: torch.ones(t_q, t_q).bool().tril(),
            "You have a column for every query. There should be one for every key.",
        ),
        Misconception(
            "four_axes", lambda t_q, t_k: torch.ones(1, 1, t_q, t_k).bool().tril(t_k - t_q),
            "Leave out the axes for batch and heads: [Tq, Tk] broadcasts over them by itself.",
        ),
        Misconception(
            "at_least_itself", lambda t_q, t_k: torch.ones(t_q, t_k).bool().tril(max(0, t_k - t_q)),
            "Right as long as there are at least as many keys as queries. With fewer, the first queries see nothing.",
        ),
    ),
    alternatives=(
        causal_by_comparison, causal_by_loops, lambda t_q, t_k: ~torch.ones(t_q, t_k).triu(1 + t_k - t_q).bool(),
    ),
)  # fmt: skip

# --- padding_mask -----------------------------------------------------------------------------------------------------


def padding_by_loop(ids: Tensor, pad_id: int) -> Tensor:
    return torch.tensor([[[[id != pad_id for id in sentence]]] for sentence in ids.tolist()])


def padded(g: torch.Generator, lengths: list[int], t: int, pad_id: int) -> Tensor:
    """Ids from 0 to 9, none of them padding, and `pad_id` behind them: [B, T]."""
    ids = integers(g, 0, 9, len(lengths), t)
    ids += (ids >= pad_id).long() if 0 <= pad_id <= 9 else 0  # leave out the id of padding
    return ids.masked_fill(torch.arange(t) >= torch.tensor(lengths)[:, None], pad_id)


def attend_without_padding(submission, inputs):
    """PyTorch's attention of padded sentences, several heads, under the mask."""
    mask = submission(inputs["ids"], inputs["pad_id"])
    attend = torch.nn.functional.scaled_dot_product_attention
    return {"attention under your mask": attend(inputs["query"], inputs["key"], inputs["value"], attn_mask=mask)}


def padded_sentences(seed: int) -> dict:
    g = generator(seed)
    b, h, t_q, t_k = 2, 3, 4, 6
    return {
        "ids": padded(g, [6, size(g, 2, 4)], t_k, 0), "pad_id": 0,
        "query": normal(g, b, h, t_q, 5), "key": normal(g, b, h, t_k, 5), "value": normal(g, b, h, t_k, 7),
    }  # fmt: skip


def expect_each_sentence_alone(inputs: dict) -> dict:
    outputs = []
    for ids, query, key, value in zip(inputs["ids"].tolist(), inputs["query"], inputs["key"], inputs["value"]):
        length = sum(id != inputs["pad_id"] for id in ids)
        outputs.append(SDPA(query, key[:, :length], value[:, :length]))
    return {"attention under your mask": torch.stack(outputs)}


def padding_by_filling(ids, pad_id):
    mask = torch.ones(ids.shape[0], 1, 1, ids.shape[1], dtype=torch.bool)
    mask[:, 0, 0][ids == pad_id] = False
    return mask


PADDING_MASK = Exercise(
    id="padding_mask",
    chapter=3,
    title="The padding mask",
    signature="padding_mask(ids, pad_id)",
    statement=r"""Sentences of a batch have different lengths, so the short ones are filled up with a padding id
that means nothing. No query should attend to it. From the ids `[B, Tk]` make a boolean mask `[B, 1, 1, Tk]`: **True
where the key is a real token.** The two axes of length 1 are for heads and queries: the mask broadcasts over both.

`pad_id` can be any id, and padding can stand anywhere. `ids` stays as it was.""",
    minutes=5,
    difficulty=1,
    concepts=("C15",),
    errata=("E059", "E060"),
    reference=masks.padding_mask,
    starter=starter("padding_mask(ids, pad_id)", "[B, Tk] -> bool [B, 1, 1, Tk], True where the key is a real token."),
    read_again="chapter 03, “Masks”",
    library_calls=("padding_mask",),
    checks=(
        check_values(
            "values", 3, "Compare every id with the padding id, then make room for heads and queries.",
            lambda g: [(padded(g, [5, size(g, 2, 4)], 5, 0), 0), (padded(g, [4, 1, 6], 7, 0), 0)], padding_by_loop,
        ),
        check_values(
            "other_id", 2, "The padding id is an argument: it need not be 0, and 0 may be a word.",
            lambda g: [
                (padded(g, [2, 4, 3], 4, 7), 7), (padded(g, [3, 5], 5, 1), 1), (padded(g, [4, 2], 6, -100), -100),
            ],
            padding_by_loop, needs=("values",),
        ),
        check_values(
            "edges", 1, "Think of one sentence alone, of nothing but padding, of none, and of padding in front.",
            lambda g: [
                (padded(g, [3], 5, 0), 0), (padded(g, [4, 0, 2], 4, 0), 0), (padded(g, [6, 6], 6, 0), 0),
                (padded(g, [4, 3], 6, 0).flip(1), 0), (padded(g, [1, 0], 1, 0), 0), (padded(g, [0], 3, 0), 0),
                (padded(g, [2, 3], 4, 0).int(), 0),
            ],
            padding_by_loop, needs=("values",),
        ),
        Check(
            "in_use", 2, "With your mask, padding still has an influence on a sentence, or a real token has none.",
            padded_sentences, attend_without_padding, expect_each_sentence_alone, needs=("values",),
        ),
    ),
    misconceptions=(
        Misconception(
            "blocks", lambda ids, pad_id: (ids == pad_id)[:, None, None],
            "Your mask is True at the padding. In this course True means “may attend”.",
        ),
        Misconception(
            "two_axes", lambda ids, pad_id: ids != pad_id,
            "[B, Tk] does not line up with scores [B, H, Tq, Tk]: broadcasting would take your batch for queries.",
        ),
        Misconception(
            "three_axes", lambda ids, pad_id: (ids != pad_id)[:, None],
            "[B, 1, Tk] lacks an axis: in scores [B, H, Tq, Tk] broadcasting would take your batch for heads.",
        ),
        Misconception(
            "three_leading_axes", lambda ids, pad_id: (ids != pad_id)[None, None],
            "The new axes stand in front of the batch; they belong between batch and keys.",
        ),
        Misconception(
            "hides_queries", lambda ids, pad_id: (ids != pad_id)[:, None, :, None],
            "Your long axis is the one of the queries. It is the keys that must be hidden.",
        ),
        Misconception(
            "every_pair", lambda ids, pad_id: ((ids != pad_id)[:, :, None] & (ids != pad_id)[:, None])[:, None],
            "You also forbid the padded queries everything. They need no mask (nobody looks at their results), and "
            "with cross-attention the number of queries is not known here.",
        ),
        Misconception(
            "numbers", lambda ids, pad_id: (ids != pad_id).float()[:, None, None],
            "The right places, but numbers: added to the scores they mean something else. Make it boolean.",
        ),
        Misconception(
            "penalties",
            lambda ids, pad_id: torch.zeros(ids.shape).masked_fill(ids == pad_id, -torch.inf)[:, None, None],
            "These are numbers to add to the scores, 0 and -inf. A mask here says True or False.",
        ),
        Misconception(
            "zero_is_padding", lambda ids, pad_id: (ids != 0)[:, None, None],
            "You compare with 0. The padding id is an argument, and 0 may be a word.",
        ),
        Misconception(
            "only_larger_ids", lambda ids, pad_id: (ids > pad_id)[:, None, None],
            "Ids below the padding id are words as well.",
        ),
        Misconception(
            "padding_at_the_end",
            lambda ids, pad_id: (torch.arange(ids.shape[1]) < (ids != pad_id).sum(1, keepdim=True))[:, None, None],
            "You count the tokens, and expect the padding behind them. It may also stand in front.",
        ),
        Misconception(
            "squeezed", lambda ids, pad_id: (ids != pad_id)[:, None, None].squeeze(0),
            "A batch of one sentence loses its batch axis.",
        ),
    ),
    alternatives=(
        padding_by_filling,
        lambda ids, pad_id: torch.logical_not(ids.eq(pad_id)).unsqueeze(1).unsqueeze(1),
        lambda ids, pad_id: torch.stack([sentence.ne(pad_id) for sentence in ids]).view(len(ids), 1, 1, -1),
    ),
)  # fmt: skip

# --- scaled_dot_product_attention -------------------------------------------------------------------------------------


def attention_by_loop(query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None = None) -> Tensor:
    """One query at a time, over those keys alone that it may attend to; in float64."""
    *lead, t_q, d = query.shape
    t_k, d_v = value.shape[-2:]
    allowed = torch.ones(*lead, t_q, t_k).bool() if mask is None else mask.expand(*lead, t_q, t_k)
    flat = (x.reshape(-1, *x.shape[-2:]) for x in (query.double(), key.double(), value.double(), allowed))
    outputs = []
    for q, k, v, rows in zip(*flat):
        for one, keep in zip(q, rows):
            weights = (k[keep] @ one / math.sqrt(d)).softmax(0)
            outputs.append(weights @ v[keep] if keep.any() else torch.zeros(d_v, dtype=torch.float64))
    return torch.stack(outputs).view(*lead, t_q, d_v).to(query.dtype)


def attend(g: torch.Generator, lead: tuple, t_q: int, t_k: int, d: int, d_v: int, dtype=torch.float32) -> tuple:
    """Random query, key and value."""
    return tuple(normal(g, *lead, *shape, dtype=dtype) for shape in ((t_q, d), (t_k, d), (t_k, d_v)))


def some(g: torch.Generator, *shape: int) -> Tensor:
    """A random mask whose rows each have a True and a False."""
    scores = torch.rand(*shape, generator=g)
    middle = (scores.amax(-1, keepdim=True) + scores.amin(-1, keepdim=True)) / 2
    return scores > middle


def masked_cases(g: torch.Generator) -> list[tuple]:
    return [
        (*attend(g, (), 3, 5, 4, 6), some(g, 3, 5)),
        (*attend(g, (), 4, 3, 2, 5), some(g, 1, 3)),
        (*attend(g, (2,), 3, 5, 4, 6), some(g, 3, 5)),
        (*attend(g, (2,), 4, 6, 3, 5), some(g, 2, 4, 6)),
        (*attend(g, (2, 3), 4, 6, 5, 7), some(g, 2, 1, 1, 6)),
        (*attend(g, (2, 3), 4, 6, 5, 7), some(g, 2, 1, 4, 6)),
        (*attend(g, (2, 3), 4, 6, 5, 7), some(g, 1, 3, 4, 6)),
        (*attend(g, (3,), 5, 4, 2, 6), None),
    ]


def scrambled_cases(g: torch.Generator) -> list[tuple]:
    """The same query twice: once with the keys and values that it may not attend to replaced by large numbers."""
    query, key, value = attend(g, (2,), 4, 6, 5, 3)
    hidden = torch.arange(6) >= size(g, 2, 4)
    mask = ~hidden[None] & torch.ones(4, 1).bool()
    noise = 1e3 * normal(g, 2, 6, 1)
    return [
        (query, key, value, mask),
        (query, torch.where(hidden[:, None], key * noise, key), torch.where(hidden[:, None], noise, value), mask),
    ]


def empty_cases(g: torch.Generator) -> list[tuple]:
    """Masks under which some or all queries may attend to nothing."""
    row = torch.arange(3)[:, None] == size(g, 0, 2)
    return [
        (*attend(g, (), 3, 5, 4, 6), some(g, 3, 5) & ~row),
        (*attend(g, (), 4, 3, 2, 5), torch.zeros(4, 3).bool()),
        (*attend(g, (2,), 5, 3, 4, 6), causal_by_loop(5, 3)),
        (*attend(g, (3, 2), 4, 6, 5, 7), padding_by_loop(padded(g, [6, 0, 2], 6, 0), 0)),
        (*attend(g, (2,), 3, 4, 5, 6), ~row),
    ]


def large_cases(g: torch.Generator) -> list[tuple]:
    """Scores of ±100,000 that lie so far apart that each query takes one value alone, however they are computed."""
    direction = 2.0 * integers(g, 0, 2, 16) - 1
    query = 900 * torch.tensor([[1.0], [2.0], [1.0]]) * direction
    key = (30 + torch.randperm(20, generator=g)[:5, None]) * direction
    value, sign = normal(g, 5, 6), torch.tensor([[1.0], [-1.0], [1.0]])
    return [
        (query, key, value), (-query, key, value), (sign * query, key, value, some(g, 3, 5)),
        (-query, key, value, some(g, 3, 5)),
    ]  # fmt: skip


def edge_cases(g: torch.Generator) -> list[tuple]:
    return [
        attend(g, (), 1, 1, 1, 1), attend(g, (2,), 1, 4, 3, 5), attend(g, (1, 1), 3, 1, 2, 4),
        (*attend(g, (2,), 3, 4, 1, 6), torch.ones(1, 1).bool()),
        attend(g, (2,), 3, 5, 4, 6, torch.float64),
        (*attend(g, (2,), 3, 5, 4, 6, torch.float64), some(g, 3, 5) & (torch.arange(3)[:, None] > 0)),
    ]  # fmt: skip


def steps(scores=None, hide=None, weigh=None, finish=None):
    """Attention in four steps of which some are replaced by wrong ones; without any it is right."""
    scores = scores or (lambda q, k, v: q @ k.mT / math.sqrt(q.shape[-1]))
    hide = hide or (lambda s, mask: s.masked_fill(~mask, torch.finfo(s.dtype).min))
    weigh = weigh or (lambda s: s.softmax(-1))
    finish = finish or (lambda a, v, mask: (a if mask is None else a.masked_fill(~mask, 0.0)) @ v)

    def attention(query, key, value, mask=None):
        s = scores(query, key, value)
        return finish(weigh(s if mask is None else hide(s, mask)), value, mask)

    return attention


def plain_sum(weights: Tensor, value: Tensor, mask: Tensor | None) -> Tensor:
    return weights @ value


def attention_in_place(query, key, value, mask=None):
    query /= math.sqrt(query.shape[-1])
    return attention.scaled_dot_product_attention(query * math.sqrt(query.shape[-1]), key, value, mask)


def attention_by_einsum(query, key, value, mask=None):
    scores = torch.einsum("...qd,...kd->...qk", query, key) * query.shape[-1] ** -0.5
    if mask is None:
        return torch.einsum("...qk,...kv->...qv", scores.softmax(-1), value)
    weights = torch.where(mask, scores, -torch.inf).softmax(-1)
    return torch.einsum("...qk,...kv->...qv", weights.nan_to_num(0.0), value)


def attention_by_logarithm(query, key, value, mask=None):
    scores = (query / query.shape[-1] ** 0.25) @ (key / key.shape[-1] ** 0.25).transpose(-1, -2)
    mask = torch.ones_like(scores).bool() if mask is None else mask.expand_as(scores)
    scores = scores.masked_fill(~mask, torch.finfo(scores.dtype).min)
    return torch.where(mask, (scores - scores.logsumexp(-1, keepdim=True)).exp(), 0.0) @ value


def attention_query_by_query(query, key, value, mask=None):
    if mask is not None:
        mask = mask.expand(*query.shape[:-1], key.shape[-2])
    if query.dim() > 2:
        masks = [None] * len(query) if mask is None else mask
        return torch.stack([attention_query_by_query(*one) for one in zip(query, key, value, masks)])
    outputs = []
    for i, one in enumerate(query):
        keep = slice(None) if mask is None else mask[i]
        scores = (key[keep] * one).sum(-1) / math.sqrt(len(one))
        outputs.append((scores.softmax(0)[:, None] * value[keep]).sum(0))
    return torch.stack(outputs)


SCALED_DOT_PRODUCT_ATTENTION = Exercise(
    id="scaled_dot_product_attention",
    chapter=3,
    title="Scaled dot-product attention",
    signature="scaled_dot_product_attention(query, key, value, mask=None)",
    statement=r"""The heart of the Transformer (Vaswani et al. 2017, eq. 1):

$$\mathrm{Attention}(Q, K, V) = \mathrm{softmax}\!\left(\frac{QK^\top}{\sqrt{d_k}}\right) V$$

| argument | shape | |
|---|---|---|
| `query` | `[…, Tq, D]` | the leading axes … may be none, or a batch, or a batch and heads |
| `key` | `[…, Tk, D]` | |
| `value` | `[…, Tk, Dv]` | |
| `mask` | two axes or more, broadcasts to `[…, Tq, Tk]` | boolean, **True = may attend**; None: no mask |

The result is `[…, Tq, Dv]`, in the dtype of the inputs, which stay as they were.

- What a query may not attend to has no influence on it at all, however large.
- **A query that may attend to nothing gets zeros**, and its gradient is zero: no NaN, and not the mean of the values.
- You may use your own `softmax` or `torch.softmax`.""",
    minutes=25,
    difficulty=3,
    concepts=("C11", "C12", "C15"),
    errata=("E011", "E022", "E045", "E084", "E121"),
    reference=attention.scaled_dot_product_attention,
    starter=starter(
        "scaled_dot_product_attention(query, key, value, mask=None)",
        "[..., Tq, D], [..., Tk, D], [..., Tk, Dv] -> [..., Tq, Dv]. mask: True = may attend.",
    ),
    read_again="chapter 03, “One formula, three steps”",
    requires=("softmax",),
    library_calls=("scaled_dot_product_attention", "MultiheadAttention", "multi_head_attention_forward"),
    checks=(
        check_values(
            "values", 3, "Compute scores, weights and output one after the other, and look at the shape of each.",
            lambda g: [attend(g, (), 3, 5, 4, 6), attend(g, (2,), 3, 5, 4, 6), (*attend(g, (2, 3), 4, 6, 5, 7), None)],
            SDPA,
        ),
        check_values(
            "mask", 3, "Where the mask is False the weight must be 0, and the others still sum to 1.",
            masked_cases, attention_by_loop, needs=("values",),
        ),
        check_values(
            "no_leak", 1, "A key that may not be attended to must have no influence, however large it is.",
            scrambled_cases, attention_by_loop, needs=("mask",),
        ),
        check_values(
            "nothing_to_attend", 2,
            "What does your softmax make of a row in which nothing is allowed? It should come to zeros.",
            empty_cases, attention_by_loop, needs=("mask",),
        ),
        check_values(
            "large", 1, "Scores may be huge. Does your softmax overflow? Is a masked score really below all others?",
            large_cases, attention_by_loop, needs=("values",),
        ),
        check_gradients(
            "gradients", 2, "Stay with torch operations from the arguments to the result.",
            lambda g: [attend(g, (2,), 3, 5, 4, 6), (*attend(g, (2, 3), 4, 6, 5, 7), some(g, 2, 1, 4, 6))],
            attention_by_loop, needs=("values", "mask"),
        ),
        check_gradients(
            "gradients_of_nothing", 1,
            "Where NaN arises on the way its gradient is NaN too, even if the NaN is replaced later.",
            empty_cases, attention_by_loop, needs=("nothing_to_attend", "gradients"),
        ),
        check_values(
            "edges", 1, "Think of a single query, a single key, width 1, and of other dtypes than float32.",
            edge_cases, attention_by_loop, needs=("values", "nothing_to_attend"),
        ),
    ),
    misconceptions=(
        Misconception(
            "unscaled", steps(lambda q, k, v: q @ k.mT),
            "These are exactly the values you get without dividing by √d_k.",
        ),
        Misconception(
            "divided_by_d", steps(lambda q, k, v: q @ k.mT / q.shape[-1]),
            "These are exactly the values you get when you divide by d_k instead of its root.",
        ),
        Misconception(
            "multiplied", steps(lambda q, k, v: q @ k.mT * math.sqrt(q.shape[-1])),
            "These are exactly the values you get when you multiply by √d_k. Large scores should get smaller.",
        ),
        Misconception(
            "root_of_value_width", steps(lambda q, k, v: q @ k.mT / math.sqrt(v.shape[-1])),
            "You divide by the root of the width of the values. It is the dot products of queries and keys that grow.",
        ),
        Misconception(
            "root_of_keys", steps(lambda q, k, v: q @ k.mT / math.sqrt(k.shape[-2])),
            "You divide by the root of the number of keys. d_k is the length of one key vector.",
        ),
        Misconception(
            "root_of_queries", steps(lambda q, k, v: q @ k.mT / math.sqrt(q.shape[-2])),
            "You divide by the root of the number of queries. d_k is the length of one key vector.",
        ),
        Misconception(
            "scaled_after_softmax", lambda q, *rest: steps(lambda q, k, v: q @ k.mT)(q, *rest) / math.sqrt(q.shape[-1]),
            "You scale after the softmax: then the weights no longer sum to 1.",
        ),
        Misconception(
            "over_queries", steps(weigh=lambda s: s.softmax(-2)),
            "Your softmax runs over the queries. The weights of one query must sum to 1 (E084).",
        ),
        Misconception(
            "axis_one", steps(weigh=lambda s: s.softmax(1)),
            "Your softmax runs along axis 1: with a batch that is no longer the keys. Which axis are the keys, always?",
        ),
        Misconception(
            "no_softmax", steps(weigh=lambda s: s),
            "These are the values you get without a softmax, as document 004 has it (E121): scores are not weights "
            "yet.",
        ),
        Misconception(
            "divides_by_sum_of_scores", steps(weigh=lambda s: s / s.sum(-1, keepdim=True)),
            "You divide the scores by their sum, as document 001 has it (E045). Scores can be negative, and sum to 0.",
        ),
        Misconception(
            "not_transposed", steps(lambda q, k, v: q @ k / math.sqrt(q.shape[-1])),
            "The shapes do not match: for all dot products of queries and keys, one of the two has to lie on its side.",
        ),
        Misconception(
            "all_axes_transposed", steps(lambda q, k, v: q @ k.T / math.sqrt(q.shape[-1])),
            "`.T` turns around all axes, the batch too. Exchange only the last two.",
        ),
        Misconception(
            "two_axes_only", steps(lambda q, k, v: q @ k.transpose(0, 1) / math.sqrt(q.shape[-1])),
            "transpose(0, 1) exchanges the first two axes: right without a batch. Count from the end.",
        ),
        Misconception(
            "three_axes_only", steps(lambda q, k, v: q @ k.transpose(1, 2) / math.sqrt(q.shape[-1])),
            "transpose(1, 2) is right only for [B, T, D]. Count from the end.",
        ),
        Misconception(
            "returns_weights", steps(finish=lambda a, v, mask: a),
            "These are the weights. What do they weigh?",
        ),
        Misconception(
            "returns_both", steps(finish=lambda a, v, mask: (a @ v, a)),
            "You return output and weights. Return the output alone; `record_attention` shows the weights.",
        ),
        Misconception(
            "always_causal", lambda q, k, v, mask=None: steps()(q, k, v, masks.causal_mask(q.shape[-2], k.shape[-2])),
            "Without a mask every query may attend to every key; you hide the later ones.",
        ),
        Misconception(
            "mask_ignored", steps(hide=lambda s, mask: s, finish=plain_sum),
            "These are exactly the values without the mask.",
        ),
        Misconception(
            "mask_inverted", steps(hide=lambda s, mask: s.masked_fill(mask, -torch.inf), finish=plain_sum),
            "You hide what may be attended to. True means “may attend”.",
        ),
        Misconception(
            "mask_after_softmax", steps(hide=lambda s, mask: s, finish=lambda a, v, m: (a if m is None else a * m) @ v),
            "You hide keys after the softmax: the weights that are left no longer sum to 1.",
        ),
        Misconception(
            "mask_renormalised",
            steps(
                hide=lambda s, mask: s,
                finish=lambda a, v, m: (a if m is None else a * m / (a * m).sum(-1, keepdim=True)) @ v,
            ),
            "You hide keys after the softmax and divide by what is left. That is 0/0 where nothing is left, be it "
            "because nothing is allowed or because a hidden score is far above the others.",
        ),
        Misconception(
            "masked_scores_are_zero", steps(hide=lambda s, mask: s * mask, finish=plain_sum),
            "Masked scores become 0. But exp(0) is 1: these keys still get weight.",
        ),
        Misconception(
            "mask_added", steps(hide=lambda s, mask: s + mask, finish=plain_sum),
            "You add the mask to the scores: that is 1 for True and 0 for False, a gentle push and no mask.",
        ),
        Misconception(
            "small_penalty", steps(hide=lambda s, mask: s.masked_fill(~mask, -1e4), finish=plain_sum),
            "Masked scores become -10,000: allowed scores can be lower still.",
        ),
        Misconception(
            "mean_of_nothing", steps(hide=lambda s, mask: s.masked_fill(~mask, -1e9), finish=plain_sum),
            "A large negative number instead of -inf: where everything is masked all scores are equal, and the "
            "softmax takes the mean of what should be hidden.",
        ),
        Misconception(
            "nan_of_nothing", steps(hide=lambda s, mask: s.masked_fill(~mask, -torch.inf), finish=plain_sum),
            "A row with nothing but -inf becomes NaN in the softmax: there is nothing to normalise. Treat these rows.",
        ),
        Misconception(
            "nan_gradient",
            steps(
                hide=lambda s, mask: s + torch.zeros(mask.shape, dtype=s.dtype).masked_fill(~mask, -torch.inf),
                finish=lambda a, v, mask: a.nan_to_num() @ v,
            ),
            "The NaN is gone from the result but not from the gradient: it went through the softmax. Let it not "
            "arise, or stop it before the softmax.",
        ),
        Misconception(
            "nan_replaced_at_the_end",
            steps(
                hide=lambda s, mask: s.masked_fill(~mask, -torch.inf),
                finish=lambda a, v, mask: (a @ v).nan_to_num(),
            ),
            "The NaN is gone from the result but not from the gradient of the values: they were multiplied by NaN. Let "
            "it not arise, or replace it before the weights meet the values.",
        ),
        Misconception(
            "unstable", steps(weigh=lambda s: s.exp() / s.exp().sum(-1, keepdim=True)),
            "This is what happens when exp is taken of large scores as they are: it overflows, and inf/inf is NaN.",
        ),
        Misconception(
            "detached", steps(weigh=lambda s: s.softmax(-1).detach()),
            "The values are right, but the weights are cut off from queries and keys: neither could ever be trained.",
        ),
        Misconception(
            "in_place", attention_in_place,
            "Operators like /= write into the caller's tensor. Make a new one.",
        ),
        Misconception(
            "float32_only", lambda q, k, v, mask=None: steps()(q.float(), k.float(), v.float(), mask),
            "Your result is always float32. It should have the dtype of the inputs.",
        ),
    ),
    alternatives=(attention_by_einsum, attention_by_logarithm, attention_query_by_query),
)  # fmt: skip

# --- spot the bug -----------------------------------------------------------------------------------------------------

BROKEN = '''\
def spot_the_bug_03(x, w_q, w_k, w_v):
    """Self-attention, step by step as documents 000 (§3.1) and 001 (§3.1) describe it."""
    query, key, value = x @ w_q, x @ w_k, x @ w_v
    scores = query @ key.transpose(-2, -1) / math.sqrt(key.shape[-1])
    total = scores.sum(dim=-1, keepdim=True)  # "compute the sum of the attention scores of all positions"
    weights = scores / total  # "compute the attention weight of each position"
    value = value + weights @ value  # "add the weighted sum into the vectors"
    return torch.cat([query, key, value], dim=-1)  # "concatenate query, key and value vectors"'''


def self_attention(x, w_q, w_k, w_v):
    """Self-attention: Attention(XW^Q, XW^K, XW^V)  (Vaswani et al. 2017, eq. 1; all from one sequence, §3.2.3).

    Args:
        x: [..., T, D]; w_q, w_k: [D, Dk]; w_v: [D, Dv].

    Returns:
        [..., T, Dv].
    """
    return attention.scaled_dot_product_attention(x @ w_q, x @ w_k, x @ w_v)


def self_attention_by_loop(x: Tensor, w_q: Tensor, w_k: Tensor, w_v: Tensor) -> Tensor:
    return attention_by_loop(x @ w_q, x @ w_k, x @ w_v)


def who_depends_on_whom(submission, inputs):
    """Change one token after the other: which outputs change?"""
    x, *weights = inputs["arguments"]
    before = submission(x, *weights)
    changes = []
    for j in range(len(x)):
        other = x.clone()
        other[j] = other[j].flip(0) + 1
        changes.append((submission(other, *weights) - before).abs().amax(-1) > 1e-9)
    return {"outputs (rows) that change with a token (columns)": torch.stack(changes, -1)}


def expect_all_depend_on_all(inputs: dict) -> dict:
    t = len(inputs["arguments"][0])
    return {"outputs (rows) that change with a token (columns)": torch.ones(t, t).bool()}


def tokens(g: torch.Generator, lead: tuple, t: int, d: int, d_k: int, d_v: int, dtype=torch.float32) -> tuple:
    """Random x, w_q, w_k, w_v."""
    weights = (normal(g, d, width, dtype=dtype) / math.sqrt(d) for width in (d_k, d_k, d_v))
    return normal(g, *lead, t, d, dtype=dtype), *weights


def repair(weigh=lambda s: s.softmax(-1), combine=lambda a, q, k, v: a @ v):
    """The broken code with some of its steps repaired; without arguments all of them."""

    def attention(x, w_q, w_k, w_v):
        query, key, value = x @ w_q, x @ w_k, x @ w_v
        scores = query @ key.mT / math.sqrt(key.shape[-1])
        return combine(weigh(scores), query, key, value)

    return attention


def by_sum(scores: Tensor) -> Tensor:
    return scores / scores.sum(-1, keepdim=True)


def self_attention_by_einsum(x, w_q, w_k, w_v):
    scores = torch.einsum("...id,dk,ek,...je->...ij", x, w_q, w_k, x) / math.sqrt(w_k.shape[1])
    return torch.einsum("...ij,...jd,dv->...iv", scores.softmax(-1), x, w_v)


def self_attention_token_by_token(x, w_q, w_k, w_v):
    if x.dim() > 2:
        return torch.stack([self_attention_token_by_token(one, w_q, w_k, w_v) for one in x])
    outputs = []
    for token in x:
        scores = torch.stack([(token @ w_q) @ (other @ w_k) for other in x]) / math.sqrt(w_k.shape[-1])
        exponentials = (scores - scores.max()).exp()
        outputs.append(sum(e * (other @ w_v) for e, other in zip(exponentials, x)) / exponentials.sum())
    return torch.stack(outputs)


SPOT_THE_BUG = Exercise(
    id="spot_the_bug_03",
    chapter=3,
    title="Spot the bug: self-attention as two of the documents tell it",
    signature="spot_the_bug_03(x, w_q, w_k, w_v)",
    statement=r"""Documents 000 (§3.1) and 001 (§3.1) describe self-attention in steps. The code below follows them to
the letter; their formula says something else. **Three lines are wrong: repair them**, so that the function computes

$$\mathrm{softmax}\!\left(\frac{QK^\top}{\sqrt{d_k}}\right) V, \qquad Q = XW^Q,\quad K = XW^K,\quad V = XW^V.$$

`x` is `[…, T, D]`, `w_q` and `w_k` are `[D, Dk]`, `w_v` is `[D, Dv]`; the result is `[…, T, Dv]`: one vector for each
token, made of the values of all tokens.

Before you begin: which of the lines give weights that can be negative, or divide by zero? What are the shapes of
`weights` and of `value`, and what is `[T, T]` good for?""",
    minutes=15,
    difficulty=2,
    concepts=("C10", "C11", "C13"),
    errata=("E008", "E011", "E012", "E045"),
    reference=self_attention,
    starter=BROKEN,
    read_again="chapter 03, “What the documents say”",
    requires=("softmax", "scaled_dot_product_attention"),
    library_calls=("MultiheadAttention", "multi_head_attention_forward"),
    checks=(
        check_values(
            "values", 3, "Go through the formula from the inside out, and find the line for each of its parts.",
            lambda g: [tokens(g, (), 4, 5, 3, 6), tokens(g, (2,), 4, 5, 3, 6)],
            lambda x, w_q, w_k, w_v: SDPA(x @ w_q, x @ w_k, x @ w_v),
        ),
        Check(
            "all_from_all", 2,
            "Every output is made of the values of all tokens: change one token, and all outputs change.",
            lambda seed: {"arguments": tokens(generator(seed), (), 5, 6, 4, 3, torch.float64)},
            who_depends_on_whom, expect_all_depend_on_all, needs=("values",),
        ),
        check_values(
            "equal_scores", 2,
            "When all scores are 0, all tokens deserve the same weight, and nothing is divided by 0.",
            lambda g: [
                (x, w_q, torch.zeros_like(w_k), w_v)
                for x, w_q, w_k, w_v in [tokens(g, (), 4, 5, 3, 6), tokens(g, (3,), 2, 4, 6, 5)]
            ],
            self_attention_by_loop,
        ),
        check_gradients(
            "gradients", 1, "Stay with torch operations from the arguments to the result.",
            lambda g: [tokens(g, (2,), 4, 5, 3, 6)], self_attention_by_loop, needs=("values",),
        ),
        check_values(
            "edges", 1, "Think of a single token, of several leading axes, and of other dtypes than float32.",
            lambda g: [
                tokens(g, (), 1, 5, 3, 4), tokens(g, (2, 3), 4, 6, 5, 7), tokens(g, (), 3, 5, 1, 4),
                tokens(g, (2,), 4, 5, 3, 6, torch.float64),
            ],
            self_attention_by_loop, needs=("values",),
        ),
    ),
    misconceptions=(
        Misconception(
            "sum_of_scores", repair(by_sum),
            "Values are now combined rightly. But dividing by the sum of the scores makes no weights: look for a "
            "negative one.",
        ),
        Misconception(
            "added", repair(combine=lambda a, q, k, v: v + a @ v),
            "You still add the weighted sum to the values. Around attention there will be such a sum one day, a "
            "residual connection, but it is no part of it.",
        ),
        Misconception(
            "concatenated", repair(combine=lambda a, q, k, v: torch.cat([q, k, a @ v], -1)),
            "Queries and keys have done their work in the scores: they are no part of the result. What is "
            "concatenated, later, are the results of several heads.",
        ),
        Misconception(
            "only_softmax_repaired", repair(combine=lambda a, q, k, v: torch.cat([q, k, v + a @ v], -1)),
            "The weights are right. There is still something wrong with what is done with them.",
        ),
        Misconception(
            "sum_of_scores_and_added", repair(by_sum, lambda a, q, k, v: v + a @ v),
            "The concatenation is gone. Two lines are still wrong.",
        ),
        Misconception(
            "sum_of_scores_and_concatenated", repair(by_sum, lambda a, q, k, v: torch.cat([q, k, a @ v], -1)),
            "The addition is gone. Two lines are still wrong.",
        ),
        Misconception(
            "weights_added_to_query", repair(combine=lambda a, q, k, v: q + a),
            "Weights are [T, T] and queries [T, Dk]: they cannot be added. What are weights for?",
        ),
        Misconception(
            "own_position_only", repair(combine=lambda a, q, k, v: v),
            "Every output is its own token's value, as document 000, §2.5, has it (E008). Where have the weights gone?",
        ),
        Misconception(
            "over_queries", repair(lambda s: s.softmax(-2)),
            "Your softmax runs over the queries. The weights of one query must sum to 1.",
        ),
        Misconception(
            "one_vector", repair(combine=lambda a, q, k, v: (a @ v).sum(-2)),
            "You sum over the tokens at the end, as document 004 does (E107): one vector is left of the whole "
            "sentence.",
        ),
    ),
    alternatives=(self_attention_by_einsum, self_attention_token_by_token, self_attention_by_loop),
)  # fmt: skip

EXERCISES = (SOFTMAX, CAUSAL_MASK, PADDING_MASK, SCALED_DOT_PRODUCT_ATTENTION, SPOT_THE_BUG)
