"""Chapter 02: attention as alignment."""

import math

import torch
from torch import Tensor

from course_lib import additive
from course_lib.exercises.chapter_03 import padded, size, some, starter
from course_lib.grading.exercise import Exercise, Misconception
from course_lib.grading.observe import check_gradients, check_values, integers, normal

# --- masked_softmax ---------------------------------------------------------------------------------------------------


def masked_softmax_by_loop(scores: Tensor, mask: Tensor | None = None) -> Tensor:
    """Row by row, over those scores alone that are allowed; in float64."""
    allowed = torch.ones(scores.shape).bool() if mask is None else mask.expand(scores.shape)
    rows = []
    for row, keep in zip(scores.double().reshape(-1, scores.shape[-1]), allowed.reshape(-1, scores.shape[-1])):
        weights = torch.zeros_like(row)
        weights[keep] = row[keep].softmax(0)
        rows.append(weights)
    return torch.stack(rows).view(scores.shape).to(scores.dtype)


def masked_cases(g: torch.Generator) -> list[tuple]:
    return [
        (normal(g, 3, 5), some(g, 3, 5)),
        (normal(g, 4, 6), some(g, 1, 6)),
        (normal(g, 5, 4), torch.tensor([[True], [True], [True], [True], [True]])),
        (2 * normal(g, 2, 3, 5), some(g, 2, 3, 5)),
        (normal(g, 2, 4, 6), some(g, 4, 6)),
        (normal(g, 3, 4, 5), some(g, 3, 1, 5)),
        (normal(g, 2, 3, 4, 6), some(g, 2, 1, 1, 6)),
        (normal(g, 2, 3, 5, 4), some(g, 5, 4)),
    ]


def empty_cases(g: torch.Generator) -> list[tuple]:
    """Masks under which some or all rows are allowed nothing."""
    row = torch.arange(3)[:, None] == size(g, 0, 2)
    return [
        (normal(g, 3, 5), some(g, 3, 5) & ~row),
        (normal(g, 4, 3), torch.zeros(4, 3).bool()),
        (normal(g, 3, 6), ~row),
        (normal(g, 2, 3, 4), some(g, 2, 3, 4) & ~row),
        (normal(g, 3, 2, 5, 6), (padded(g, [6, 0, 2], 6, 0) != 0)[:, None, None]),
    ]


def hidden_giants(g: torch.Generator) -> list[tuple]:
    """The same scores twice; what is hidden is far above all others the second time."""
    scores, hidden = normal(g, 4, 6), ~some(g, 4, 6)
    return [(scores, ~hidden), (scores + 1e4 * hidden, ~hidden), (scores - 1e4 * hidden, ~hidden)]


def large_cases(g: torch.Generator) -> list[tuple]:
    return [
        (1e4 + normal(g, 3, 5), some(g, 3, 5)),
        (normal(g, 4, 6) - 1e4, some(g, 4, 6)),
        (normal(g, 3, 4) - 1e4, None),
        (torch.tensor([[1e4], [-1e4], [0.0]]) + normal(g, 3, 4), some(g, 3, 4)),
        (1e4 * normal(g, 2, 3, 7), some(g, 2, 3, 7)),
        (1e4 * normal(g, 2, 7), None),
    ]


def edge_cases(g: torch.Generator) -> list[tuple]:
    return [
        (normal(g, 1, 1), torch.ones(1, 1).bool()),
        (normal(g, 4, 1), some(g, 4, 2)[:, :1]),
        (normal(g, 1, 5), some(g, 1, 5)),
        (torch.full((2, 4), 0.7), some(g, 2, 4)),
        (normal(g, 6), None),
        (normal(g, 3, 5, dtype=torch.float64), some(g, 3, 5)),
        (normal(g, 2, 3, 4, dtype=torch.float64), torch.zeros(3, 1).bool()),
    ]


def masking(hide=None, weigh=None, finish=None):
    """A masked softmax of which some steps are replaced by wrong ones; without any it is right."""
    hide = hide or (lambda s, mask: s.masked_fill(~mask, torch.finfo(s.dtype).min))
    weigh = weigh or (lambda s: s.softmax(-1))
    finish = finish or (lambda a, mask: a.masked_fill(~mask, 0.0))

    def masked_softmax(scores, mask):
        if mask is None:
            return weigh(scores)
        return finish(weigh(hide(scores, mask)), mask)

    return masked_softmax


def untouched(weights: Tensor, mask: Tensor) -> Tensor:
    return weights


def masked_softmax_in_place(scores, mask):
    if mask is None:
        return scores.softmax(-1)
    scores[~mask.expand_as(scores)] = torch.finfo(scores.dtype).min
    return scores.softmax(-1).masked_fill(~mask, 0.0)


def mean_of_nothing(weights: Tensor, mask: Tensor) -> Tensor:
    return weights.masked_fill(~mask & mask.any(-1, keepdim=True), 0.0)


def masked_softmax_by_exponentials(scores, mask):
    allowed = torch.ones_like(scores, dtype=torch.bool) if mask is None else mask.expand_as(scores)
    top = scores.masked_fill(~allowed, torch.finfo(scores.dtype).min).amax(-1, keepdim=True)
    e = torch.where(allowed, (torch.where(allowed, scores, top) - top).exp(), 0.0)
    return e / e.sum(-1, keepdim=True).clamp(min=torch.finfo(scores.dtype).tiny)


def masked_softmax_with_infinity(scores, mask):
    if mask is None:
        return torch.softmax(scores, dim=-1)
    some_allowed = mask.any(-1, keepdim=True)
    hidden = torch.where(mask, scores, -torch.inf)
    return torch.where(some_allowed, torch.where(some_allowed, hidden, 0.0).softmax(-1), 0.0)


def masked_softmax_row_by_row(scores, mask):
    if mask is None:
        return scores.softmax(-1)
    out = torch.zeros_like(scores)
    keep = mask.expand_as(scores)
    for index in torch.cartesian_prod(*(torch.arange(n) for n in scores.shape[:-1])).view(-1, scores.dim() - 1):
        at = tuple(index.tolist())
        out = out.index_put((*(torch.tensor(i) for i in at), keep[at].nonzero()[:, 0]), scores[at][keep[at]].softmax(0))
    return out


MASKED_SOFTMAX = Exercise(
    id="masked_softmax",
    chapter=2,
    title="A softmax that leaves out",
    signature="masked_softmax(scores, mask)",
    statement=r"""A sentence in a batch is filled up with padding, and padding deserves no attention. Turn scores into
weights along the **last axis**, over those keys alone that may be attended to: with the allowed keys $A_i$ of row $i$,

$$\alpha_{ij} = \frac{e^{s_{ij}}}{\sum_{k \in A_i} e^{s_{ik}}} \;\text{ for } j \in A_i,
\qquad \alpha_{ij} = 0 \;\text{ elsewhere.}$$

- `scores`: a floating-point tensor `[…, Tk]` with any number of axes. The result has its shape and dtype.
- `mask`: boolean, **True = may attend**, with two axes or more; it broadcasts to `scores`, so an axis of it may have
  length 1 or be missing in front. `None` means no mask: an ordinary softmax.
- **A row in which nothing is allowed becomes zeros**, and the gradient of its scores is zero: neither NaN nor equal
  shares.
- What is not allowed has no influence, however large its score. All scores may be as large as ±10,000.
- Neither argument is modified, and gradients flow through the result. You may use `torch.softmax`.

For example, with a mask that hides the third key, scores `[1.9, -0.8, 2.3]` become weights `[0.94, 0.06, 0]`.""",
    minutes=15,
    difficulty=2,
    concepts=("C06", "C11"),
    errata=("E045",),
    reference=additive.masked_softmax,
    starter=starter("masked_softmax(scores, mask)", "[..., Tk] -> weights [..., Tk]. mask: True = may attend; None."),
    read_again="chapter 02, “What may not be seen”",
    library_calls=("masked_softmax", "scaled_dot_product_attention"),
    checks=(
        check_values(
            "no_mask", 2, "Without a mask this is an ordinary softmax along the last axis.",
            lambda g: [(normal(g, 3, 5), None), (2 * normal(g, 2, 4, 6), None)], lambda x, mask: x.softmax(-1),
        ),
        check_values(
            "mask", 3, "Where the mask is False the weight must be 0, and the others of the row still sum to 1.",
            masked_cases, masked_softmax_by_loop, needs=("no_mask",),
        ),
        check_values(
            "no_leak", 1, "A key that may not be attended to must have no influence, however large its score is.",
            hidden_giants, masked_softmax_by_loop, needs=("mask",),
        ),
        check_values(
            "nothing_to_attend", 2,
            "What does your softmax make of a row in which nothing is allowed? It should come to zeros.",
            empty_cases, masked_softmax_by_loop, needs=("mask",),
        ),
        check_values(
            "large", 1, "Scores may be huge. Does your exp overflow? Is a hidden score really below all others?",
            large_cases, masked_softmax_by_loop, needs=("mask",), atol=1e-3,
        ),
        check_gradients(
            "gradients", 1, "Stay with torch operations from the scores to the result.",
            lambda g: [(normal(g, 3, 5), None), (normal(g, 4, 6), some(g, 4, 6))], masked_softmax_by_loop,
            needs=("mask",),
        ),
        check_gradients(
            "gradients_of_nothing", 1,
            "Where NaN arises on the way its gradient is NaN too, even if the NaN is replaced later.",
            empty_cases, masked_softmax_by_loop, needs=("nothing_to_attend", "gradients"),
        ),
        check_values(
            "edges", 1, "Think of a single key, a single axis, equal scores, and of other dtypes than float32.",
            edge_cases, masked_softmax_by_loop, needs=("mask", "nothing_to_attend"),
        ),
    ),
    misconceptions=(
        Misconception(
            "first_axis", masking(weigh=lambda s: s.softmax(0)),
            "Your softmax runs along the first axis: the sentences of a batch compete with each other. Which axis are "
            "the keys?",
        ),
        Misconception(
            "everything", masking(weigh=lambda s: s.flatten().softmax(0).view_as(s)),
            "All numbers of your result together sum to 1. Each row should.",
        ),
        Misconception(
            "not_normalised", masking(weigh=lambda s: (s - s.amax(-1, keepdim=True)).exp()),
            "These are exponentials: their rows do not sum to 1 yet.",
        ),
        Misconception(
            "divides_by_sum_of_scores", masking(weigh=lambda s: s / s.sum(-1, keepdim=True)),
            "You divide the scores by their sum, as document 001, §3.1, has it (E045). Scores can be negative.",
        ),
        Misconception(
            "mask_ignored", masking(hide=lambda s, mask: s, finish=untouched),
            "These are exactly the weights without the mask.",
        ),
        Misconception(
            "mask_inverted",
            masking(
                hide=lambda s, mask: s.masked_fill(mask, torch.finfo(s.dtype).min),
                finish=lambda a, mask: a.masked_fill(mask, 0.0),
            ),
            "You hide what may be attended to. True means “may attend”.",
        ),
        Misconception(
            "mask_after_softmax", masking(hide=lambda s, mask: s),
            "You hide keys after the softmax: the weights that are left no longer sum to 1.",
        ),
        Misconception(
            "mask_renormalised",
            masking(hide=lambda s, mask: s, finish=lambda a, mask: a * mask / (a * mask).sum(-1, keepdim=True)),
            "You hide keys after the softmax and divide by what is left. That is 0/0 where nothing is left, be it "
            "because nothing is allowed or because a hidden score is far above the others.",
        ),
        Misconception(
            "masked_scores_are_zero", masking(hide=lambda s, mask: s * mask, finish=untouched),
            "Hidden scores become 0. But exp(0) is 1: these keys still get weight.",
        ),
        Misconception(
            "mask_added", masking(hide=lambda s, mask: s + mask, finish=untouched),
            "You add the mask to the scores: that is 1 for True and 0 for False, a gentle push and no mask.",
        ),
        Misconception(
            "small_penalty", masking(hide=lambda s, mask: s.masked_fill(~mask, -1e4)),
            "Hidden scores become -10,000: allowed scores can be as low, or lower.",
        ),
        Misconception(
            "penalty_added", masking(hide=lambda s, mask: s + -1e4 * ~mask, finish=untouched),
            "You add a penalty to hidden scores: a hidden score that is far above the others survives it, and where "
            "all are hidden nothing changes at all.",
        ),
        Misconception(
            "equal_shares", masking(hide=lambda s, mask: s.masked_fill(~mask, -1e9), finish=untouched),
            "A large negative number instead of -inf: where everything is hidden all scores are equal, and each key "
            "gets an equal share of what should be nothing.",
        ),
        Misconception(
            "nan_of_nothing", masking(hide=lambda s, mask: s.masked_fill(~mask, -torch.inf), finish=untouched),
            "A row with nothing but -inf becomes NaN in the softmax: there is nothing to normalise. Treat these rows.",
        ),
        Misconception(
            "nan_gradient",
            masking(
                hide=lambda s, mask: s + torch.zeros(mask.shape, dtype=s.dtype).masked_fill(~mask, -torch.inf),
                finish=lambda a, mask: a.nan_to_num(),
            ),
            "The NaN is gone from the result but not from the gradient: it went through the softmax. Let it not "
            "arise, or stop it before the softmax.",
        ),
        Misconception(
            "unstable", lambda s, mask: masking(weigh=lambda x: x.exp() / x.exp().sum(-1, keepdim=True))(s, mask),
            "This is what happens when exp is taken of large scores as they are: it overflows or becomes 0 all over, "
            "and inf/inf and 0/0 are NaN.",
        ),
        Misconception(
            "one_maximum",
            masking(weigh=lambda s: (s - s.max()).exp() / (s - s.max()).exp().sum(-1, keepdim=True)),
            "You subtract one number from the whole tensor. In a row far below the overall maximum every exponential "
            "is 0, and 0/0 is NaN.",
        ),
        Misconception(
            "two_axes_only",
            lambda s, mask: masking()(s, mask if mask is None or mask.dim() == s.dim() else mask.unsqueeze(1)),
            "You give the mask another axis. It broadcasts to the scores as it is.",
        ),
        Misconception(
            "needs_a_mask", lambda s, mask: masking()(s, mask.bool()),
            "None means that there is no mask; ask for that before you use it.",
        ),
        Misconception(
            "in_place", masked_softmax_in_place,
            "Assigning to scores[…] writes into the caller's tensor. Make a new one.",
        ),
        Misconception(
            "float32_only", lambda s, mask: masking()(s.float(), mask),
            "Your result is always float32. It should have the dtype of the scores.",
        ),
        Misconception(
            "detached", lambda s, mask: masking()(s.detach(), mask),
            "The values are right, but they are cut off from the scores, so that nothing in front of your softmax "
            "could be trained.",
        ),
    ),
    alternatives=(masked_softmax_by_exponentials, masked_softmax_with_infinity, masked_softmax_row_by_row),
)  # fmt: skip

# --- additive_scores --------------------------------------------------------------------------------------------------


def additive_scores_by_loop(query: Tensor, keys: Tensor, w_q: Tensor, w_k: Tensor, v: Tensor) -> Tensor:
    """One score at a time, in float64."""
    b, t_k, _ = keys.shape
    query, keys, w_q, w_k, v = (x.double() for x in (query, keys, w_q, w_k, v))
    scores = [[v.dot((w_q.T @ query[i] + w_k.T @ keys[i, j]).tanh()) for j in range(t_k)] for i in range(b)]
    return torch.stack([torch.stack(row) for row in scores])


def expect_scores(query: Tensor, *others: Tensor) -> Tensor:
    return additive_scores_by_loop(query, *others).to(query.dtype)


def asked(g: torch.Generator, b: int, t_k: int, d_q: int, d_k: int, d_a: int, dtype=torch.float32, scale=1.0) -> tuple:
    """Random query, keys, w_q, w_k, v."""
    shapes = (b, d_q), (b, t_k, d_k), (d_q, d_a), (d_k, d_a), (d_a,)
    query, keys, w_q, w_k, v = (normal(g, *shape, dtype=dtype) for shape in shapes)
    return query, keys, scale * w_q / math.sqrt(d_q), scale * w_k / math.sqrt(d_k), v


def one_query_after_another(g: torch.Generator) -> list[tuple]:
    """The same keys and weights with three different queries."""
    query, *others = asked(g, 2, 5, 3, 4, 6)
    return [(query, *others), (normal(g, 2, 3), *others), (torch.zeros(2, 3), *others)]


def one_sentence_changed(g: torch.Generator) -> list[tuple]:
    """A batch, the same with another sentence in one place, and each sentence alone."""
    query, keys, *weights = asked(g, 3, 4, 5, 2, 6)
    place = size(g, 0, 2)
    other_query, other_keys = query.clone(), keys.clone()
    other_query[place], other_keys[place] = normal(g, 5), normal(g, 4, 2)
    alone = [(query[i : i + 1], keys[i : i + 1], *weights) for i in range(3)]
    return [(query, keys, *weights), (other_query, other_keys, *weights), *alone]


def scoring(join=None, bend=torch.tanh, read=None):
    """Additive scores of which some steps are replaced by wrong ones; without any it is right."""
    join = join or (lambda q, k: q.unsqueeze(1) + k)
    read = read or (lambda hidden, v: hidden @ v)

    def additive_scores(query, keys, w_q, w_k, v):
        return read(bend(join(query @ w_q, keys @ w_k)), v)

    return additive_scores


def scores_in_place(query, keys, w_q, w_k, v):
    keys += 0 * keys + 1
    return scoring()(query, keys - 1, w_q, w_k, v)


def scores_by_einsum(query, keys, w_q, w_k, v):
    hidden = torch.einsum("bq,qa->ba", query, w_q)[:, None] + torch.einsum("bjk,ka->bja", keys, w_k)
    return torch.einsum("bja,a->bj", hidden.tanh(), v)


def scores_by_concatenation(query, keys, w_q, w_k, v):
    """[q; k] times the two matrices, one above the other."""
    pairs = torch.cat([query[:, None].expand(-1, keys.shape[1], -1), keys], dim=-1)
    return (torch.tanh(pairs @ torch.cat([w_q, w_k])) * v).sum(-1)


def scores_key_by_key(query, keys, w_q, w_k, v):
    asked = torch.matmul(query, w_q)
    return torch.stack([torch.tanh(asked + torch.matmul(key, w_k)).matmul(v) for key in keys.unbind(1)], dim=1)


ADDITIVE_SCORES = Exercise(
    id="additive_scores",
    chapter=2,
    title="Additive scores",
    signature="additive_scores(query, keys, w_q, w_k, v)",
    statement=r"""How well does each state of the encoder fit what the decoder is about to write? Bahdanau, Cho & Bengio
(2015, §A.1.2) ask a small network with one hidden layer. For every sentence $b$ of the batch and every key $j$:

$$e_{bj} = \sum_{a} v_a \tanh\!\big(q_b W_q + k_{bj} W_k\big)_a$$

| argument | shape | |
|---|---|---|
| `query` | `[B, Dq]` | one query for each sentence |
| `keys` | `[B, Tk, Dk]` | the keys of each sentence |
| `w_q` | `[Dq, Da]` | |
| `w_k` | `[Dk, Da]` | |
| `v` | `[Da]` | |

The result is `[B, Tk]`, in the dtype of the inputs, which stay as they were: the scores as they are, without a softmax.
`Dq`, `Dk` and `Da` may all differ; any size may be 1, and `Tk` may happen to equal `B`. Sentences of a batch have
nothing to do with each other. There is no bias and no division by a root. Gradients flow to all five arguments.""",
    minutes=15,
    difficulty=2,
    concepts=("C06", "C10"),
    errata=("E039", "E107"),
    reference=additive.additive_scores,
    starter=starter("additive_scores(query, keys, w_q, w_k, v)", "[B, Dq], [B, Tk, Dk] -> scores [B, Tk]."),
    read_again="chapter 02, “The same in six lines”",
    library_calls=("additive_scores", "AdditiveAttention"),
    checks=(
        check_values(
            "values", 3, "Project both, give the query an axis for the keys, add, take tanh, and weigh the sum with v.",
            lambda g: [asked(g, 2, 5, 3, 4, 6), asked(g, 3, 4, 6, 2, 5), asked(g, 2, 3, 5, 7, 4, scale=2.0)],
            expect_scores,
        ),
        check_values(
            "query_matters", 2, "Another query must give other differences between the scores of the same keys.",
            one_query_after_another, expect_scores, needs=("values",),
        ),
        check_values(
            "sentences_apart", 2,
            "Each query meets the keys of its own sentence. What does broadcasting do when there are as many keys as "
            "sentences, or one sentence alone?",
            lambda g: [*one_sentence_changed(g), asked(g, 4, 4, 3, 5, 2), asked(g, 3, 3, 2, 2, 4)], expect_scores,
            needs=("values",),
        ),
        check_gradients(
            "gradients", 2, "Stay with torch operations from all five arguments to the scores.",
            lambda g: [asked(g, 2, 5, 3, 4, 6), asked(g, 3, 4, 2, 5, 6)], expect_scores, needs=("values",),
        ),
        check_values(
            "edges", 1, "Think of one key, one sentence, widths of 1, large numbers, and of other dtypes than float32.",
            lambda g: [
                asked(g, 1, 1, 1, 1, 1), asked(g, 2, 1, 3, 4, 5), asked(g, 1, 6, 3, 2, 4), asked(g, 3, 4, 2, 5, 1),
                asked(g, 2, 3, 4, 5, 6, scale=8.0), asked(g, 2, 5, 3, 4, 6, torch.float64),
            ],
            expect_scores, needs=("values",),
        ),
    ),
    misconceptions=(
        Misconception(
            "no_tanh", scoring(bend=lambda x: x),
            "These are the values without the tanh. Then the query adds the same number to all scores of its row, "
            "and the softmax cancels it: the weights would not depend on the query at all.",
        ),
        Misconception(
            "tanh_of_each", scoring(lambda q, k: q.tanh().unsqueeze(1) + k.tanh(), lambda x: x),
            "You take tanh of query and key apart and add then. The query still adds the same number to all scores "
            "of its row: the two must meet inside the tanh.",
        ),
        Misconception(
            "tanh_of_the_score", scoring(bend=lambda x: x, read=lambda hidden, v: (hidden @ v).tanh()),
            "You take tanh of the finished score. It belongs inside, to each of the Da numbers.",
        ),
        Misconception("relu", scoring(bend=torch.relu), "These are the values with a ReLU in the place of the tanh."),
        Misconception(
            "sigmoid", scoring(bend=torch.sigmoid), "These are the values with a sigmoid in the place of the tanh.",
        ),
        Misconception(
            "product", scoring(lambda q, k: q.unsqueeze(1) * k),
            "You multiply query and key. That is another kind of score; this one adds them.",
        ),
        Misconception(
            "dot_product", lambda q, k, w_q, w_k, v: ((k @ w_k) @ (q @ w_q).unsqueeze(-1)).squeeze(-1),
            "These are dot products of the projected query and keys: neither a tanh nor v takes part.",
        ),
        Misconception(
            "difference", scoring(lambda q, k: k - q.unsqueeze(1)),
            "You subtract the query from the keys. Add them.",
        ),
        Misconception(
            "no_query", lambda q, k, w_q, w_k, v: torch.tanh(k @ w_k) @ v,
            "The query takes no part: one score for each key, whoever asks, as document 004, §3.1, tells it (E107).",
        ),
        Misconception(
            "no_v", scoring(read=lambda hidden, v: hidden.sum(-1)),
            "You add up the hidden numbers without v: each of them should count as much as v says.",
        ),
        Misconception(
            "divided_by_root", scoring(read=lambda hidden, v: hidden @ v / math.sqrt(len(v))),
            "You divide by √Da. That belongs to dot products (chapter 03); here v is learned, at any size it needs.",
        ),
        Misconception(
            "softmaxed", lambda *arguments: scoring()(*arguments).softmax(-1),
            "These are weights already. Scores are asked for; the softmax comes later, and needs a mask.",
        ),
        Misconception(
            "axis_kept", scoring(read=lambda hidden, v: hidden @ v.unsqueeze(-1)),
            "Your result has one axis too many: [B, Tk, 1] instead of [B, Tk].",
        ),
        Misconception(
            "transposed", lambda *arguments: scoring()(*arguments).T,
            "Your result is [Tk, B]. Sentences come first.",
        ),
        Misconception(
            "v_not_summed", scoring(read=lambda hidden, v: hidden * v),
            "You multiply with v and do not add up: [B, Tk, Da] instead of one number for each key.",
        ),
        Misconception(
            "no_axis_for_keys", scoring(lambda q, k: q + k),
            "[B, Da] and [B, Tk, Da] do not line up: broadcasting takes the sentences for keys. Give the projected "
            "query an axis of length 1 where the keys are.",
        ),
        Misconception(
            "weights_swapped", lambda q, k, w_q, w_k, v: scoring()(q, k, w_k, w_q, v),
            "You project the query with w_k, or the keys with w_q.",
        ),
        Misconception(
            "weights_transposed", lambda q, k, w_q, w_k, v: scoring()(q, k, w_q.T, w_k.T, v),
            "The shapes do not match: w_q is [Dq, Da], so the query stands on its left as it is.",
        ),
        Misconception(
            "first_query", lambda q, k, w_q, w_k, v: torch.tanh((q @ w_q)[0] + k @ w_k) @ v,
            "The query of the first sentence is asked everywhere. Each sentence has its own.",
        ),
        Misconception(
            "in_place", scores_in_place, "Operators like += write into the caller's tensor. Make a new one.",
        ),
        Misconception(
            "float32_only", lambda *arguments: scoring()(*(x.float() for x in arguments)),
            "Your result is always float32. It should have the dtype of the inputs.",
        ),
        Misconception(
            "detached", lambda *arguments: scoring()(*(x.detach() for x in arguments)),
            "The values are right, but they are cut off from the arguments: none of them could be trained.",
        ),
    ),
    alternatives=(scores_by_einsum, scores_by_concatenation, scores_key_by_key, expect_scores),
)  # fmt: skip

# --- spot the bug -----------------------------------------------------------------------------------------------------

BROKEN = '''\
def spot_the_bug_02(states, memory, w_q, w_k, v):
    """Attention, step by step as documents 004 (§3.1) and 001 (§3.1) describe it."""
    hidden = torch.tanh(memory @ w_k)  # "compare the elements of the sequence …"
    scores = hidden @ v  # "… which gives a set of weights: one for each element"
    weights = scores / scores.sum(dim=-1, keepdim=True)  # "divide by the sum of the scores"
    return weights @ memory  # "one vector of fixed length, which stands for the sequence"'''


def contexts(states: Tensor, memory: Tensor, w_q: Tensor, w_k: Tensor, v: Tensor) -> Tensor:
    """A context for each state of the decoder: c_i = Σ_j α_ij h_j  (Bahdanau et al. 2015, eq. 5 and 6, §A.1.2).

    Args:
        states: [Tq, Dq], the decoder's; memory: [Tk, Dk], the encoder's; w_q: [Dq, Da]; w_k: [Dk, Da]; v: [Da].

    Returns:
        [Tq, Dk].
    """
    scores = additive.additive_scores(states, memory.expand(len(states), -1, -1), w_q, w_k, v)  # [Tq, Tk]
    return additive.masked_softmax(scores) @ memory  # [Tq, Tk] @ [Tk, Dk]


def contexts_by_loop(states: Tensor, memory: Tensor, w_q: Tensor, w_k: Tensor, v: Tensor) -> Tensor:
    """One state at a time, in float64."""
    dtype = states.dtype
    states, memory, w_q, w_k, v = (x.double() for x in (states, memory, w_q, w_k, v))
    rows = []
    for state in states:
        scores = torch.stack([((state @ w_q + key @ w_k).tanh() * v).sum() for key in memory])
        exponentials = (scores - scores.max()).exp()
        rows.append(sum(e * key for e, key in zip(exponentials, memory)) / exponentials.sum())
    return torch.stack(rows).to(dtype)


def decoded(g: torch.Generator, t_q: int, t_k: int, d_q: int, d_k: int, d_a: int, dtype=torch.float32) -> tuple:
    """Random states, memory, w_q, w_k, v."""
    shapes = (t_q, d_q), (t_k, d_k), (d_q, d_a), (d_k, d_a), (d_a,)
    states, memory, w_q, w_k, v = (normal(g, *shape, dtype=dtype) for shape in shapes)
    return states, memory, w_q / math.sqrt(d_q), w_k / math.sqrt(d_k), v


def longer_and_longer(g: torch.Generator) -> list[tuple]:
    """Fewer output tokens than input tokens, as many, and more."""
    return [decoded(g, t_q, 5, 3, 4, 6) for t_q in (2, 5, 8)]


def equal_scores(g: torch.Generator) -> list[tuple]:
    """All scores are 0."""
    states, memory, w_q, w_k, v = decoded(g, 3, 5, 4, 2, 6)
    return [(states, memory, w_q, w_k, torch.zeros_like(v)), (states, memory, 0 * w_q, 0 * w_k, v)]


def repeated_states(g: torch.Generator) -> list[tuple]:
    """The same states in another order, and one of them alone: each row depends on its own state only."""
    states, *others = decoded(g, 4, 6, 3, 5, 2)
    return [(states, *others), (states[integers(g, 0, 4, 5)], *others), (states[1:2], *others)]


def repair(scores=None, weigh=None, combine=None):
    """The broken code with its steps repaired, except those that are given."""
    scores = scores or (lambda q, k, v: torch.tanh(q[:, None] + k) @ v)
    weigh = weigh or (lambda s: s.softmax(-1))
    combine = combine or (lambda a, memory: a @ memory)
    return lambda states, memory, w_q, w_k, v: combine(weigh(scores(states @ w_q, memory @ w_k, v)), memory)


def by_sum(scores: Tensor) -> Tensor:
    return scores / scores.sum(-1, keepdim=True)


def unasked(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    return k.tanh() @ v


def contexts_by_einsum(states, memory, w_q, w_k, v):
    hidden = torch.einsum("iq,qa->ia", states, w_q)[:, None] + torch.einsum("jk,ka->ja", memory, w_k)
    return torch.einsum("ij,jk->ik", torch.einsum("ija,a->ij", hidden.tanh(), v).softmax(-1), memory)


def contexts_state_by_state(states, memory, w_q, w_k, v):
    projected = memory @ w_k
    return torch.stack([(torch.tanh(state @ w_q + projected) @ v).softmax(0) @ memory for state in states])


SPOT_THE_BUG = Exercise(
    id="spot_the_bug_02",
    chapter=2,
    title="Spot the bug: one vector for everything",
    signature="spot_the_bug_02(states, memory, w_q, w_k, v)",
    statement=r"""The code below follows document 004, §3.1: one weight for each element of the source (E107), and one
vector of fixed length for the whole of it (E106); the weights are made as in document 001, §3.1, step 3 (E045).
**Repair it**, so that **each** state $s_i$ of the decoder gets a context of its own, by the equations of this chapter:

$$e_{ij} = \sum_a v_a \tanh\!\big(s_i W_q + h_j W_k\big)_a, \qquad
\alpha_{ij} = \frac{e^{e_{ij}}}{\sum_k e^{e_{ik}}}, \qquad c_i = \sum_j \alpha_{ij} h_j .$$

There is one sentence and no batch: `states` is `[Tq, Dq]`, `memory` is `[Tk, Dk]` with the rows $h_j$, `w_q` is
`[Dq, Da]`, `w_k` is `[Dk, Da]`, `v` is `[Da]`. The result is `[Tq, Dk]`: one context for each state, in the dtype of
the inputs. There is no padding, so no mask. Arguments stay as they were, and gradients flow to all of them.

Before you begin: which argument is never used? What are the shapes of `scores` and of the result now, and what should
they be?""",
    minutes=15,
    difficulty=2,
    concepts=("C05", "C06", "C11"),
    errata=("E045", "E106", "E107"),
    reference=contexts,
    starter=BROKEN,
    read_again="chapter 02, “What the documents say”",
    requires=("masked_softmax", "additive_scores"),
    library_calls=("AdditiveAttention", "scaled_dot_product_attention"),
    checks=(
        check_values(
            "values", 3, "Go through the three equations one after the other, with the shape of each result beside it.",
            lambda g: [decoded(g, 3, 5, 4, 2, 6), decoded(g, 4, 3, 2, 6, 5)], contexts_by_loop,
        ),
        check_values(
            "any_lengths", 2, "There is one context for each state, whatever the length of the source.",
            longer_and_longer, contexts_by_loop,
        ),
        check_values(
            "equal_scores", 2, "When all scores are equal all states of the source deserve the same weight.",
            equal_scores, contexts_by_loop,
        ),
        check_values(
            "each_its_own", 1, "A context depends on its own state: the order of the states must not matter.",
            repeated_states, contexts_by_loop, needs=("values",),
        ),
        check_gradients(
            "gradients", 1, "Stay with torch operations from the arguments to the result.",
            lambda g: [decoded(g, 3, 5, 4, 2, 6)], contexts_by_loop, needs=("values",),
        ),
        check_values(
            "edges", 1, "Think of a single state, of one source token, widths of 1, and other dtypes than float32.",
            lambda g: [
                decoded(g, 1, 5, 4, 2, 6), decoded(g, 3, 1, 2, 4, 5), decoded(g, 1, 1, 1, 1, 1),
                decoded(g, 4, 4, 3, 3, 3), decoded(g, 3, 5, 4, 2, 6, torch.float64),
            ],
            contexts_by_loop, needs=("values",),
        ),
    ),
    misconceptions=(
        Misconception(
            "only_softmax_repaired", repair(unasked),
            "The weights are weights now. But nobody asks: there is still one row of them, for no state in particular.",
        ),
        Misconception(
            "only_query_repaired", repair(weigh=by_sum),
            "Every state asks now. But dividing by the sum of the scores makes no weights: look for a negative one.",
        ),
        Misconception(
            "same_for_every_state", repair(lambda q, k, v: (k.tanh() @ v).expand(len(q), -1)),
            "One context for each state, but they are all the same: the states take no part in the scores.",
        ),
        Misconception(
            "mean_state", repair(lambda q, k, v: torch.tanh(q.mean(0) + k) @ v),
            "You ask once, with the mean of all states. Each state asks for itself.",
        ),
        Misconception(
            "last_state", repair(lambda q, k, v: torch.tanh(q[-1] + k) @ v),
            "Only the last state asks: one context is left. Each state asks for itself.",
        ),
        Misconception(
            "no_tanh", repair(lambda q, k, v: (q[:, None] + k) @ v),
            "The tanh is gone. Without it the query cancels in the softmax, and all contexts are equal.",
        ),
        Misconception(
            "over_states", repair(weigh=lambda s: s.softmax(0)),
            "Your softmax runs over the states of the decoder. The weights of one state must sum to 1.",
        ),
        Misconception(
            "summed_up", repair(combine=lambda a, memory: (a @ memory).sum(0)),
            "You add up the contexts at the end: again one vector for everything.",
        ),
        Misconception(
            "weights_only", repair(combine=lambda a, memory: a),
            "These are the weights. What do they weigh?",
        ),
        Misconception(
            "last_of_memory", repair(combine=lambda a, memory: memory[-1].expand(len(a), -1)),
            "Every context is the encoder's last state: the bottleneck itself (E106).",
        ),
        Misconception(
            "not_lined_up", repair(lambda q, k, v: torch.tanh(q + k) @ v),
            "[Tq, Da] and [Tk, Da] do not line up: every state has to meet every row of the memory. Where does an axis "
            "of length 1 help?",
        ),
        Misconception(
            "dot_product", repair(lambda q, k, v: q @ k.T),
            "These are dot products of what was projected. v and tanh belong to the additive score.",
        ),
    ),
    alternatives=(contexts_by_einsum, contexts_state_by_state, contexts_by_loop),
)  # fmt: skip

EXERCISES = (MASKED_SOFTMAX, ADDITIVE_SCORES, SPOT_THE_BUG)
