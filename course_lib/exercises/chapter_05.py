"""Chapter 05: many heads."""

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from course_lib import attention
from course_lib.exercises.modules import (
    Shapes,
    Weights,
    check_module,
    check_module_errors,
    check_module_gradients,
    check_modules,
    check_parameters,
    errors,
    linear,
    linear_shapes,
    random_mask,
)
from course_lib.grading.exercise import Check, Exercise, Misconception, not_attempted
from course_lib.grading.observe import check_gradients, check_values, generator, normal

# --- split_heads ------------------------------------------------------------------------------------------------------


def split_by_loop(x: Tensor, n_heads: int) -> Tensor:
    width = x.shape[-1] // n_heads
    return torch.stack([x[:, :, h * width : (h + 1) * width] for h in range(n_heads)], dim=1)


def split_by_unflatten(x, n_heads):
    if x.shape[-1] % n_heads != 0:
        raise ValueError("heads do not divide the width")
    return x.unflatten(-1, (n_heads, -1)).movedim(2, 1)


def split_by_chunks(x, n_heads):
    if x.size(2) % n_heads:
        raise ValueError(f"{x.size(2)} features for {n_heads} heads")
    return torch.stack(x.chunk(n_heads, dim=-1), dim=1)


def split_feature_by_feature(x, n_heads):
    b, t, d = x.shape
    if d != n_heads * (d // n_heads):
        raise ValueError(n_heads)
    result = x.new_empty(b, n_heads, t, d // n_heads)
    for feature in range(d):
        head, place = divmod(feature, d // n_heads)
        result[:, head, :, place] = x[:, :, feature]
    return result


def divisible(split: Callable) -> Callable:
    """The wrong split, with the right complaint."""

    def checked(x, n_heads):
        if x.shape[-1] % n_heads:
            raise ValueError(f"d_model={x.shape[-1]} is not divisible by n_heads={n_heads}")
        return split(x, n_heads, x.shape[-1] // n_heads)

    return checked


def split_without_check(x, n_heads):
    b, t, d = x.shape
    return x.reshape(b, t, n_heads, d // n_heads).transpose(1, 2)


def split_dropping_features(x, n_heads):
    width = x.shape[-1] // n_heads
    return split_by_loop(x[..., : n_heads * width], n_heads)


def split_with_assert(x, n_heads):
    assert x.shape[-1] % n_heads == 0
    return split_by_loop(x, n_heads)


def split_of_shape(g: torch.Generator, *sizes: tuple[int, int, int, int]) -> list[tuple]:
    return [(normal(g, b, t, d), h) for b, t, d, h in sizes]


def check_split_errors() -> Check:
    def inputs(seed: int) -> dict:
        g = generator(seed)
        return {"cases": split_of_shape(g, (2, 4, 10, 4), (2, 6, 6, 4), (1, 3, 5, 7))}

    return Check(
        "not_divisible", 2, "10 features cannot be dealt out evenly to 4 heads: say so, with a ValueError.",
        inputs, errors, lambda inputs: [{"raises": "ValueError"}] * len(inputs["cases"]), ("values",),
    )  # fmt: skip


SPLIT_HEADS = Exercise(
    id="split_heads",
    chapter=5,
    title="Split the heads",
    signature="split_heads(x, n_heads)",
    statement=r"""Deal out the features of every token to the heads: `[B, T, D]` becomes `[B, H, T, Dh]`, with
$D_h = D / H$.

- Head 0 gets the first $D_h$ features of each token, head 1 the next $D_h$, and so on: **consecutive blocks**.
- Every head still sees **all** $T$ positions. Only the features are divided.
- Where `n_heads` does not divide the width, raise a `ValueError` that names both numbers.

Two axes exchange their places here. Which of `view`, `transpose` and `permute` exchanges axes, and which only counts
the numbers out anew?""",
    minutes=10,
    difficulty=2,
    concepts=("C16",),
    errata=("E086",),
    reference=attention.split_heads,
    starter=f'''def split_heads(x, n_heads):
    """Consecutive blocks of features: [B, T, D] -> [B, H, T, Dh]."""
    raise NotImplementedError("{not_attempted("split_heads")}")''',
    read_again="chapter 05, “Splitting, and how it goes wrong”",
    library_calls=("split_heads",),
    checks=(
        check_values(
            "values", 4,
            "Number the features of one token 0, 1, 2, … and write down on paper which head should get which.",
            lambda g: split_of_shape(g, (2, 5, 12, 3), (3, 4, 10, 2)), split_by_loop,
        ),
        check_split_errors(),
        check_gradients(
            "gradients", 1, "Stay with torch operations on x: no new tensors of numbers, no `.detach()`.",
            lambda g: split_of_shape(g, (2, 5, 12, 3)), split_by_loop, needs=("values",),
        ),
        check_values(
            "edges", 2, "Think of one head, of as many heads as features, of a single token, and of float64.",
            lambda g: [
                *split_of_shape(g, (2, 3, 5, 1), (2, 3, 4, 4), (1, 1, 6, 2), (2, 7, 6, 3)),
                (normal(g, 2, 5, 6, dtype=torch.float64), 3),
                (normal(g, 4, 8, 2).permute(2, 0, 1), 4),  # not contiguous in memory
            ],
            split_by_loop, needs=("values",),
        ),
    ),
    misconceptions=(
        Misconception(
            "cut_across_tokens", divisible(lambda x, h, d: x.reshape(x.shape[0], h, x.shape[1], d)),
            "The shape is right, the contents are not: `view` or `reshape` to [B, H, T, Dh] counts the numbers out in "
            "the order in which they lie in memory, so that a head gets whole tokens and pieces of others (E086). "
            "First cut the features, then exchange two axes.",
        ),
        Misconception(
            "interleaved", divisible(lambda x, h, d: x.reshape(*x.shape[:2], d, h).permute(0, 3, 1, 2)),
            "Your head 0 gets every H-th feature. Blocks are consecutive: which of the two new axes comes first?",
        ),
        Misconception(
            "not_exchanged", divisible(lambda x, h, d: x.reshape(*x.shape[:2], h, d)),
            "The features are cut as they should be, [B, T, H, Dh]. Now heads have to come before positions.",
        ),
        Misconception(
            "features_before_positions", divisible(lambda x, h, d: x.reshape(*x.shape[:2], h, d).permute(0, 2, 3, 1)),
            "You give [B, H, Dh, T]: each head's vectors lie on their side.",
        ),
        Misconception(
            "heads_first", divisible(lambda x, h, d: torch.stack(x.split(d, -1))),
            "You give [H, B, T, Dh]. The batch stays in front.",
        ),
        Misconception(
            "sub_sequences", divisible(lambda x, h, d: x.reshape(x.shape[0], h, -1, x.shape[-1])),
            "You divide the *sequence* into pieces, as document 003, §4, has it (E086). A head sees every position, "
            "and a part of the features.",
        ),
        Misconception(
            "list_of_heads", divisible(lambda x, h, d: x.split(d, -1)),
            "These are the right pieces in a tuple. Make one tensor of them, with an axis for the heads.",
        ),
        Misconception(
            "not_checked", split_without_check,
            "The values are right. But when the width cannot be divided, PyTorch's own RuntimeError speaks of "
            "something else: check first.",
        ),
        Misconception(
            "drops_features", split_dropping_features,
            "When the width cannot be divided, your heads leave out the last features without a word.",
        ),
        Misconception(
            "asserted", split_with_assert,
            "An `assert` raises an AssertionError, and nothing at all under `python -O`. Raise a ValueError.",
        ),
        Misconception(
            "detached", divisible(lambda x, h, d: split_by_loop(x.detach(), h)),
            "The values are right, but they are cut off from x: nothing before the heads could be trained.",
        ),
        Misconception(
            "float32_only", divisible(lambda x, h, d: split_by_loop(x.float(), h)),
            "Your result is always float32. It should have the dtype of the input.",
        ),
        Misconception(
            "needs_contiguous_memory",
            divisible(lambda x, h, d: x.view(*x.shape[:2], h, d).transpose(1, 2) if x.is_contiguous() else x.view(-1)),
            "`view` needs its numbers to lie in memory in order.",
        ),
    ),
    alternatives=(split_by_unflatten, split_by_chunks, split_feature_by_feature),
)  # fmt: skip

# --- merge_heads ------------------------------------------------------------------------------------------------------


def merge_by_loop(x: Tensor) -> Tensor:
    return torch.cat([x[:, h] for h in range(x.shape[1])], dim=-1)


def merge_feature_by_feature(x):
    h, width = x.shape[1], x.shape[3]
    features = [x[:, f // width, :, f % width] for f in range(h * width)]
    return torch.stack(features, -1)


def merge_round_trip(submission, inputs):
    """Heads that a tensor was cut into, merged again; and with two heads exchanged."""
    heads = inputs["heads"]
    return {
        "a tensor cut into heads and merged": submission(heads),
        "the same with heads 0 and 1 exchanged": submission(heads[:, inputs["order"]]),
    }


def expect_round_trip(inputs: dict) -> dict:
    whole, order = inputs["whole"], inputs["order"]
    blocks = whole.chunk(len(order), -1)
    return {
        "a tensor cut into heads and merged": whole,
        "the same with heads 0 and 1 exchanged": torch.cat([blocks[h] for h in order], -1),
    }


def round_trip(seed: int) -> dict:
    whole = normal(generator(seed), 2, 5, 12)
    return {"whole": whole, "heads": split_by_loop(whole, 3), "order": [1, 0, 2]}


MERGE_HEADS = Exercise(
    id="merge_heads",
    chapter=5,
    title="Merge the heads",
    signature="merge_heads(x)",
    statement=r"""The way back: `[B, H, T, Dh]` becomes `[B, T, D]`, with the heads' features side by side, head 0
first. It undoes `split_heads` exactly. This is the “Concat” of the formula: it has no parameters and computes
nothing.""",
    minutes=5,
    difficulty=1,
    concepts=("C16",),
    errata=("E005", "E024"),
    reference=attention.merge_heads,
    starter=f'''def merge_heads(x):
    """Features of all heads side by side: [B, H, T, Dh] -> [B, T, D]."""
    raise NotImplementedError("{not_attempted("merge_heads")}")''',
    read_again="chapter 05, “Splitting, and how it goes wrong”",
    library_calls=("merge_heads",),
    checks=(
        check_values(
            "values", 3, "Which axis has to stand beside Dh before the two become one?",
            lambda g: [(normal(g, 2, 3, 5, 4),), (normal(g, 3, 2, 4, 7),)], merge_by_loop,
        ),
        Check(
            "round_trip", 2, "Merging undoes splitting, and keeps the heads in their order.",
            round_trip, merge_round_trip, expect_round_trip, ("values",),
        ),
        check_gradients(
            "gradients", 1, "Stay with torch operations on x.",
            lambda g: [(normal(g, 2, 3, 5, 4),)], merge_by_loop, needs=("values",),
        ),
        check_values(
            "edges", 2, "Think of one head, of heads with a single feature, of one token, and of float64.",
            lambda g: [
                (normal(g, 2, 1, 3, 4),), (normal(g, 2, 5, 3, 1),), (normal(g, 3, 2, 1, 4),), (normal(g, 1, 1, 1, 1),),
                (normal(g, 2, 3, 4, 5, dtype=torch.float64),), (normal(g, 2, 5, 3, 4).transpose(1, 2),),
            ],
            merge_by_loop, needs=("values",),
        ),
    ),
    misconceptions=(
        Misconception(
            "not_exchanged", lambda x: x.reshape(x.shape[0], x.shape[2], -1),
            "The shape is right, the contents are not: the numbers lie in memory head by head, so that your tokens "
            "are made of pieces of one head. Exchange two axes before you join.",
        ),
        Misconception(
            "view_after_transpose", lambda x: x.transpose(1, 2).view(x.shape[0], x.shape[2], -1),
            "You exchange the right axes. But `transpose` moves nothing in memory, and `view` cannot join what does "
            "not lie side by side: read what the error message offers instead.",
        ),
        Misconception(
            "interleaved", lambda x: x.permute(0, 2, 3, 1).flatten(2),
            "You put the first feature of all heads first, then the second … Heads stay together: head 0's features "
            "come first.",
        ),
        Misconception(
            "joined_in_time", lambda x: x.flatten(1, 2),
            "You put the heads one after the other in time: [B, H·T, Dh]. They belong side by side, in the features.",
        ),
        Misconception(
            "mean_of_heads", lambda x: x.mean(1),
            "You average the heads, and what each of them found is lost in the mean. They are concatenated.",
        ),
        Misconception(
            "sum_of_heads", lambda x: x.sum(1),
            "You add the heads up. They are concatenated; adding and weighing is the output projection's job.",
        ),
        Misconception(
            "not_joined", lambda x: x.transpose(1, 2),
            "The axes are in order now, [B, T, H, Dh]: the last two have yet to become one.",
        ),
        Misconception(
            "heads_reversed", lambda x: x.flip(1).transpose(1, 2).flatten(2),
            "The heads are side by side, in the wrong order.",
        ),
        Misconception(
            "batch_exchanged", lambda x: x.transpose(0, 1).flatten(2),
            "You exchange heads with the batch. Which axis should stand beside Dh?",
        ),
        Misconception(
            "detached", lambda x: merge_by_loop(x.detach()),
            "The values are right, but they are cut off from x.",
        ),
        Misconception(
            "float32_only", lambda x: merge_by_loop(x.float()),
            "Your result is always float32. It should have the dtype of the input.",
        ),
    ),
    alternatives=(
        merge_feature_by_feature, lambda x: torch.einsum("bhtd->bthd", x).reshape(x.shape[0], x.shape[2], -1),
        lambda x: torch.cat(x.unbind(1), -1),
    ),
)  # fmt: skip

# --- MultiHeadAttention -----------------------------------------------------------------------------------------------


def attention_shapes(d_model: int, n_heads: int) -> Shapes:
    names = ("query", "key", "value", "output")
    return {key: shape for name in names for key, shape in linear_shapes(name, d_model, d_model).items()}


def heads_by_torch(arguments: tuple, weights: Weights, q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None = None):
    """PyTorch's own multi-head attention, with these weights."""
    d_model, n_heads = arguments
    blocked = None if mask is None else ~mask.expand(len(q), n_heads, q.shape[1], k.shape[1]).flatten(0, 1)
    output, _ = F.multi_head_attention_forward(
        q.transpose(0, 1), k.transpose(0, 1), v.transpose(0, 1), d_model, n_heads,
        torch.cat([weights[f"{name}.weight"] for name in ("query", "key", "value")]),
        torch.cat([weights[f"{name}.bias"] for name in ("query", "key", "value")]),
        None, None, False, 0.0, weights["output.weight"], weights["output.bias"],
        training=False, need_weights=False, attn_mask=blocked,
    )  # fmt: skip
    return output.transpose(0, 1)


def heads_by_loop(arguments: tuple, weights: Weights, q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None = None):
    """Sentence by sentence, query by query, head by head, from the formula."""
    d_model, n_heads = arguments
    width = d_model // n_heads
    query, key, value = linear(weights, "query", q), linear(weights, "key", k), linear(weights, "value", v)
    may = torch.ones(1, 1, dtype=torch.bool) if mask is None else mask
    may = may.expand(len(q), n_heads, q.shape[1], k.shape[1])
    rows = []
    for b in range(len(q)):
        for i in range(q.shape[1]):
            heads = []
            for h in range(n_heads):
                block = slice(h * width, (h + 1) * width)
                allowed = [j for j in range(k.shape[1]) if may[b, h, i, j]]
                if not allowed:
                    heads.append(query.new_zeros(width))
                    continue
                scores = torch.stack([query[b, i, block] @ key[b, j, block] for j in allowed]) / math.sqrt(width)
                shares = (scores - scores.max().detach()).exp()
                heads.append(sum(s * value[b, j, block] for s, j in zip(shares, allowed)) / shares.sum())
            rows.append(torch.cat(heads))
    return linear(weights, "output", torch.stack(rows).view(len(q), q.shape[1], d_model))


class StepByStep(nn.Module):
    """Multi-head attention with each step on its own, so that each can be got wrong."""

    def __init__(self, d_model, n_heads):
        super().__init__()
        self.check(d_model, n_heads)
        self.d_model, self.n_heads = d_model, n_heads
        self.make(d_model)

    def check(self, d_model, n_heads):
        if d_model % n_heads:
            raise ValueError(f"{n_heads} heads, {d_model} features")

    def make(self, d):
        self.query, self.key, self.value, self.output = (nn.Linear(d, d) for _ in range(4))

    def project(self, q, k, v):
        return self.query(q), self.key(k), self.value(v)

    def split(self, x):
        return split_by_loop(x, self.n_heads)

    def scores(self, query, key):
        return query @ key.mT / math.sqrt(query.shape[-1])

    def hide(self, scores, mask):
        return scores if mask is None else scores.masked_fill(~mask, torch.finfo(scores.dtype).min)

    def weigh(self, scores):
        return scores.softmax(-1)

    def clean(self, weights, mask):
        return weights if mask is None else weights.masked_fill(~mask, 0)

    def merge(self, x):
        return merge_by_loop(x)

    def finish(self, x):
        return self.output(x)

    def forward(self, q, k, v, mask=None):
        query, key, value = (self.split(x) for x in self.project(q, k, v))
        return self.finish(self.merge(self.clean(self.weigh(self.hide(self.scores(query, key), mask)), mask) @ value))


def but(**steps) -> type:
    """Multi-head attention with some steps exchanged."""
    return type("But", (StepByStep,), steps)


def plain(self, weights, mask):
    return weights


class HeadByHead(nn.Module):
    def __init__(self, width, heads):
        super().__init__()
        if width // heads * heads != width:
            raise ValueError("not divisible")
        self.heads = heads
        for name in ("output", "value", "key", "query"):
            setattr(self, name, nn.Linear(width, width))

    def forward(self, a, b, c, may=None):
        per_head = (layer(x).chunk(self.heads, -1) for layer, x in ((self.query, a), (self.key, b), (self.value, c)))
        found = []
        for h, (query, key, value) in enumerate(zip(*per_head)):
            mine = None
            if may is not None:
                mine = may.expand(len(a), self.heads, a.shape[1], b.shape[1])[:, h]
            found.append(F.scaled_dot_product_attention(query, key, value, mine))
        return self.output(torch.cat(found, -1))


class Einsum(nn.Module):
    def __init__(self, d, h):
        super().__init__()
        self.h = h
        self.query, self.key, self.value, self.output = (nn.Linear(d, d) for _ in range(4))

    def forward(self, q, k, v, mask=None):
        if q.shape[-1] % self.h:
            raise ValueError("heads do not divide the width")
        q, k, v = (
            layer(x).unflatten(-1, (self.h, -1)) for layer, x in ((self.query, q), (self.key, k), (self.value, v))
        )
        scores = torch.einsum("bqhd,bkhd->bhqk", q, k) * q.shape[-1] ** -0.5
        if mask is None:
            weights = scores.softmax(-1)
        else:
            empty = ~mask.any(-1, keepdim=True)
            weights = scores.masked_fill(~mask & ~empty, -torch.inf).softmax(-1).masked_fill(empty, 0)
        return self.output(torch.einsum("bhqk,bkhd->bqhd", weights, v).flatten(2))


class OneWeight(nn.Module):
    """The projections as bare parameters under the same names, and PyTorch's own function."""

    class Affine(nn.Module):
        def __init__(self, d):
            super().__init__()
            self.weight, self.bias = nn.Parameter(torch.empty(d, d).normal_()), nn.Parameter(torch.zeros(d))

    def __init__(self, d_model, n_heads):
        super().__init__()
        if d_model % n_heads:
            raise ValueError
        self.n_heads = n_heads
        self.query, self.key, self.value, self.output = (self.Affine(d_model) for _ in range(4))

    def forward(self, q, k, v, mask=None):
        heads = []
        for x, part in ((q, self.query), (k, self.key), (v, self.value)):
            heads.append(split_by_unflatten(F.linear(x, part.weight, part.bias), self.n_heads))
        out = F.scaled_dot_product_attention(*heads, attn_mask=mask)
        return F.linear(out.permute(0, 2, 1, 3).flatten(2), self.output.weight, self.output.bias)


class PerHeadLinears(nn.Module):
    def __init__(self, d, h):
        super().__init__()
        self.queries, self.keys, self.values = (nn.ModuleList(nn.Linear(d, d // h) for _ in range(h)) for _ in range(3))
        self.output = nn.Linear(d, d)


def only_output_biased(self, d):
    self.query, self.key, self.value = (nn.Linear(d, d, bias=False) for _ in range(3))
    self.output = nn.Linear(d, d)


def no_biases(self, d):
    self.query, self.key, self.value, self.output = (nn.Linear(d, d, bias=False) for _ in range(4))


def no_output(self, d):
    self.query, self.key, self.value = (nn.Linear(d, d) for _ in range(3))


def other_names(self, d):
    self.w_q, self.w_k, self.w_v, self.w_o = (nn.Linear(d, d) for _ in range(4))


def two_axes_too_many(self, scores, mask):
    return scores if mask is None else scores.masked_fill(~mask[None, None], torch.finfo(scores.dtype).min)


def head_axis_added(self, scores, mask):
    if mask is None:
        return scores
    return scores.masked_fill(~(mask.unsqueeze(1) if mask.dim() == 3 else mask), torch.finfo(scores.dtype).min)


def head_axis_cleaned(self, weights, mask):
    if mask is None:
        return weights
    return weights.masked_fill(~(mask.unsqueeze(1) if mask.dim() == 3 else mask), 0)


def sentence(g: torch.Generator, b: int, t_q: int, t_k: int, d: int, dtype=torch.float32) -> tuple:
    """Three different inputs: q [B, Tq, D], k and v [B, Tk, D]."""
    return tuple(normal(g, b, t, d, dtype=dtype) for t in (t_q, t_k, t_k))


def self_attention_cases(g: torch.Generator) -> list[tuple]:
    x = normal(g, 2, 5, 12)
    return [(x, x, x)]


def masked_cases(g: torch.Generator) -> list[tuple]:
    inputs = sentence(g, 2, 5, 7, 12)
    shapes = ((5, 7), (2, 1, 1, 7), (2, 1, 5, 7), (1, 3, 5, 7), (2, 3, 5, 7), (3, 5, 7))
    return [(*inputs, random_mask(g, *shape)) for shape in shapes]


def blind_cases(g: torch.Generator) -> list[tuple]:
    """Some queries may attend to nothing; in the last case none may."""
    one = random_mask(g, 2, 1, 5, 7)
    one[0, 0, 1] = one[1, 0, 4] = False
    return [(*sentence(g, 2, 5, 7, 12), mask) for mask in (one, torch.zeros(5, 7, dtype=torch.bool))]


MULTI_HEAD_ATTENTION = Exercise(
    id="MultiHeadAttention",
    chapter=5,
    title="Multi-head attention",
    signature="MultiHeadAttention(d_model, n_heads)",
    statement=r"""Build the module. Four `nn.Linear(d_model, d_model)` with biases: `query`, `key`, `value`, `output`.

$$\mathrm{MultiHead}(Q,K,V) = \mathrm{Concat}(\mathrm{head}_1,\dots,\mathrm{head}_H)\,W^O,\qquad
\mathrm{head}_h = \mathrm{Attention}(QW_h^Q, KW_h^K, VW_h^V)$$

- `forward(q, k, v, mask=None)`: `q` is `[B, Tq, D]`, `k` and `v` are `[B, Tk, D]`; the result is `[B, Tq, D]`.
- Heads are consecutive blocks of features, as in `split_heads`. Each divides by the root of **its own** width.
- `mask` is boolean, True = may attend, and broadcasts to the scores `[B, H, Tq, Tk]`. A query that may attend to
  nothing gets zeros from its heads, so that `output.bias` is what comes out.
- An `n_heads` that does not divide `d_model` raises a `ValueError` when the module is built.

You may use what you wrote before, or `course_lib.attention.scaled_dot_product_attention`.""",
    minutes=25,
    difficulty=3,
    concepts=("C16",),
    errata=("E005", "E024", "E050", "E073", "E123"),
    reference=attention.MultiHeadAttention,
    starter=f'''import torch
from torch import nn


class MultiHeadAttention(nn.Module):
    """query, key, value, output: nn.Linear; forward(q, k, v, mask=None) -> [B, Tq, D]."""

    def __init__(self, d_model, n_heads):
        super().__init__()
        raise NotImplementedError("{not_attempted("MultiHeadAttention")}")

    def forward(self, q, k, v, mask=None):
        raise NotImplementedError("{not_attempted("MultiHeadAttention")}")''',
    read_again="chapter 05, “Build it”",
    requires=("softmax", "scaled_dot_product_attention", "split_heads", "merge_heads"),
    library_calls=("MultiheadAttention", "multi_head_attention_forward", "MultiHeadAttention"),
    checks=(
        check_parameters(
            "parameters", 2,
            "Four Linear layers, D to D, with biases, called query, key, value and output; nothing else.",
            attention_shapes, lambda g: [(12, 3), (int(torch.randint(2, 150, (), generator=g)) * 2, 2)],
        ),
        check_module(
            "self_attention", 3, "Follow one token by hand: project, split, attend in each head, merge, project.",
            attention_shapes, (12, 3), self_attention_cases, heads_by_torch, needs=("parameters",),
        ),
        check_module(
            "cross_attention", 2, "Three different inputs now, and more keys than queries: who is projected by what?",
            attention_shapes, (12, 3), lambda g: [sentence(g, 2, 5, 7, 12), sentence(g, 3, 4, 2, 12)], heads_by_torch,
            needs=("parameters",),
        ),
        check_module(
            "masks", 3, "Masks may have two, three or four axes: let them broadcast to [B, H, Tq, Tk] as they are.",
            attention_shapes, (12, 3), masked_cases, heads_by_torch, needs=("cross_attention",),
        ),
        check_module(
            "nothing_to_attend_to", 2, "Whoever may attend to nothing gets zeros from each head.",
            attention_shapes, (12, 3), blind_cases, heads_by_loop, needs=("cross_attention",),
        ),
        check_module_gradients(
            "gradients", 2, "All four projections must be trained, and no gradient may be NaN.",
            attention_shapes, (12, 3), lambda g: [sentence(g, 2, 5, 7, 12), *blind_cases(g)], heads_by_loop,
            needs=("cross_attention",),
        ),
        check_modules(
            "edges", 2, "Think of one head, of heads with one feature, of a single token, and of float64.",
            attention_shapes,
            lambda g: {
                "with one head": ((6, 1), sentence(g, 2, 3, 5, 6)),
                "with as many heads as features": ((4, 4), sentence(g, 2, 3, 5, 4)),
                "with one query and one key": ((8, 2), sentence(g, 3, 1, 1, 8)),
                "in float64": ((12, 4), sentence(g, 2, 5, 7, 12, torch.float64)),
                "in float64, masked": (
                    (12, 4), (*sentence(g, 2, 5, 7, 12, torch.float64), random_mask(g, 2, 1, 1, 7))
                ),
                "with scores in the hundreds": ((6, 2), tuple(20 * x for x in sentence(g, 2, 3, 4, 6))),
            },
            heads_by_loop, needs=("masks",),
        ),
        check_module_errors(
            "not_divisible", 1, "10 features cannot be dealt out evenly to 4 heads: say so, with a ValueError.",
            lambda g: {
                "MultiHeadAttention(10, 4)": ((10, 4), sentence(g, 2, 3, 3, 10)),
                "MultiHeadAttention(6, 4)": ((6, 4), sentence(g, 2, 4, 4, 6)),
                "MultiHeadAttention(3, 5)": ((3, 5), sentence(g, 2, 4, 4, 3)),
            },
            needs=("parameters",),
        ),
    ),
    misconceptions=(
        Misconception(
            "cut_across_tokens",
            but(split=lambda self, x: x.reshape(len(x), self.n_heads, x.shape[1], -1)),
            "These are the values when the projections are reshaped straight to [B, H, T, Dh]: each head then gets "
            "pieces of several tokens (E086). Cut the features, then exchange two axes.",
        ),
        Misconception(
            "merged_across_heads", but(merge=lambda self, x: x.reshape(len(x), x.shape[2], -1)),
            "The heads are right; putting them together goes wrong. Exchange heads and positions before you join.",
        ),
        Misconception(
            "interleaved",
            but(
                split=lambda self, x: x.unflatten(-1, (-1, self.n_heads)).permute(0, 3, 1, 2),
                merge=lambda self, x: x.permute(0, 2, 3, 1).flatten(2),
            ),
            "Your heads take every H-th feature. They are consecutive blocks.",
        ),
        Misconception(
            "scaled_by_whole_width",
            but(scores=lambda self, query, key: query @ key.mT / math.sqrt(self.d_model)),
            "These are the values when the scores are divided by the root of d_model. The dot products of one head "
            "add up how many terms?",
        ),
        Misconception(
            "unscaled", but(scores=lambda self, query, key: query @ key.mT),
            "These are the values without dividing the scores by the root of the head's width.",
        ),
        Misconception(
            "one_head", but(split=lambda self, x: x[:, None], merge=lambda self, x: x[:, 0]),
            "These are the values of a single head over all features. Where is n_heads used?",
        ),
        Misconception(
            "no_output_projection", but(finish=lambda self, x: x),
            "These are the heads side by side, as document 002 has it (E073). What follows the concatenation?",
        ),
        Misconception(
            "one_projection", but(project=lambda self, q, k, v: (self.query(q), self.query(k), self.query(v))),
            "One projection serves for queries, keys and values. There are three.",
        ),
        Misconception(
            "values_not_projected", but(project=lambda self, q, k, v: (self.query(q), self.key(k), v)),
            "The values go into the heads as they are, without their projection.",
        ),
        Misconception(
            "all_from_the_query", but(project=lambda self, q, k, v: (self.query(q), self.key(q), self.value(q))),
            "Right for self-attention, where q, k and v are the same. Keys come from `k`, values from `v`.",
        ),
        Misconception(
            "values_from_keys", but(project=lambda self, q, k, v: (self.query(q), self.key(k), self.value(k))),
            "Your values are made from `k`. The module is given a `v` of its own.",
        ),
        Misconception(
            "activated",
            but(project=lambda self, q, k, v: (self.query(q).relu(), self.key(k).relu(), self.value(v).relu())),
            "There is an activation behind the projections, as document 004 has it (E111). They are linear.",
        ),
        Misconception(
            "heads_averaged",
            but(merge=lambda self, x: x.mean(1).repeat(1, 1, self.n_heads)),
            "You average the heads. They are put side by side, so that each keeps what it found.",
        ),
        Misconception(
            "softmax_over_queries", but(weigh=lambda self, s: s.softmax(-2)),
            "Your softmax runs over the queries. The weights of one query sum to 1.",
        ),
        Misconception(
            "softmax_over_heads", but(weigh=lambda self, s: s.softmax(1)),
            "Your softmax runs over the heads. Each head has its own distribution over the keys.",
        ),
        Misconception(
            "residual", but(forward=lambda self, q, k, v, mask=None: q + StepByStep.forward(self, q, k, v, mask)),
            "You add the input. That is the residual connection, which stands around this module (chapter 06).",
        ),
        Misconception(
            "mask_ignored", but(hide=lambda self, s, mask: s, clean=plain),
            "These are exactly the values without the mask.",
        ),
        Misconception(
            "mask_inverted",
            but(hide=lambda self, s, mask: s if mask is None else s.masked_fill(mask, -1e30), clean=plain),
            "You hide what may be attended to. True means “may attend”.",
        ),
        Misconception(
            "mask_after_softmax", but(hide=lambda self, s, mask: s),
            "You hide keys after the softmax: what is left no longer sums to 1.",
        ),
        Misconception(
            "head_axis_added", but(hide=head_axis_added, clean=head_axis_cleaned),
            "You insert an axis into masks that have three. Masks broadcast as they are: [H, Tq, Tk] is one for each "
            "head.",
        ),
        Misconception(
            "two_axes_only", but(hide=two_axes_too_many, clean=plain),
            "You put two axes before every mask. That is right for [Tq, Tk], but masks may come with all four.",
        ),
        Misconception(
            "mean_of_nothing",
            but(hide=lambda self, s, mask: s if mask is None else s.masked_fill(~mask, -1e9), clean=plain),
            "A query that may attend to nothing gets the mean of what it must not see: all its scores are the same "
            "large negative number.",
        ),
        Misconception(
            "nan_of_nothing",
            but(hide=lambda self, s, mask: s if mask is None else s.masked_fill(~mask, -torch.inf), clean=plain),
            "A row with nothing but -inf becomes NaN in the softmax.",
        ),
        Misconception(
            "zeros_after_the_projection",
            but(
                forward=lambda self, q, k, v, mask=None: (
                    StepByStep.forward(self, q, k, v, mask)
                    * (1 if mask is None else mask.expand(len(q), self.n_heads, -1, -1).any(-1).any(1)[..., None])
                )
            ),
            "You give zeros for a query that may attend to nothing. The zeros come from the heads, and the output "
            "projection still adds its bias.",
        ),
        Misconception(
            "detached", but(weigh=lambda self, s: s.softmax(-1).detach()),
            "The values are right, but the weights are cut off from queries and keys, whose projections would never "
            "learn.",
        ),
        Misconception(
            "float32_scores",
            but(scores=lambda self, query, key: query.float() @ key.float().mT / query.shape[-1] ** 0.5),
            "Your scores are always float32: results keep the dtype of the inputs.",
        ),
        Misconception(
            "returns_both",
            but(forward=lambda self, q, k, v, mask=None: (StepByStep.forward(self, q, k, v, mask), None)),
            "You return two things. Return the output alone.",
        ),
        Misconception("no_biases", but(make=no_biases), "Your Linear layers have no biases. Each should have one."),
        Misconception(
            "only_output_biased", but(make=only_output_biased),
            "Only your output projection has a bias. Each of the four should have one.",
        ),
        Misconception(
            "no_output_layer", but(make=no_output, finish=lambda self, x: x),
            "There is no output projection: concatenation alone does not let the heads work together (E024, E073).",
        ),
        Misconception(
            "other_names", but(make=other_names, project=lambda self, q, k, v: (self.w_q(q), self.w_k(k), self.w_v(v))),
            "The layers should be called query, key, value and output: their weights are exchanged by name.",
        ),
        Misconception(
            "a_layer_for_each_head", PerHeadLinears,
            "You have a layer for each head. Put them together: one Linear from D to D, whose output is cut into "
            "heads, is the same computation in one product.",
        ),
        Misconception(
            "not_checked",
            but(check=lambda self, d, h: None, split=lambda self, x: split_without_check(x, self.n_heads)),
            "When the heads do not divide the width, PyTorch's own RuntimeError speaks of something else. Check first.",
        ),
    ),
    alternatives=(StepByStep, HeadByHead, Einsum, OneWeight),
)  # fmt: skip

# --- spot the bug -----------------------------------------------------------------------------------------------------

BROKEN = '''\
def spot_the_bug_05(x, w_q, w_k, w_v, w_o, n_heads):
    """Multi-head self-attention, as documents 003 (§4), 000 (§2.3) and 002 (§3) describe it."""
    b, t, d_model = x.shape
    d_head = d_model // n_heads
    query, key, value = x @ w_q, x @ w_k, x @ w_v
    query = query.reshape(b, n_heads, t, d_head)  # "the input is decomposed into sub-sequences"
    key = key.reshape(b, n_heads, t, d_head)
    value = value.reshape(b, n_heads, t, d_head)
    scores = query @ key.transpose(-2, -1) / math.sqrt(d_head)  # each head has its scores …
    scores = torch.cat(scores.unbind(dim=1), dim=-1)  # … "then they are concatenated": [B, T, H·T]
    weights = scores.softmax(dim=-1)
    value = torch.cat(value.unbind(dim=1), dim=1)  # [B, H·T, Dh]
    return weights @ value  # "combined by concatenation"'''


def multi_head_self_attention(x, w_q, w_k, w_v, w_o, n_heads):
    """Concat(head_1 … head_H) W^O of one sequence, without biases (Vaswani et al. 2017, §3.2.2).

    Args:
        x: [B, T, D]; w_q, w_k, w_v, w_o: [D, D], applied from the right; n_heads divides D.

    Returns:
        [B, T, D].
    """
    heads = (attention.split_heads(x @ w, n_heads) for w in (w_q, w_k, w_v))
    return attention.merge_heads(attention.scaled_dot_product_attention(*heads)) @ w_o


def self_heads_by_torch(x, w_q, w_k, w_v, w_o, n_heads):
    weights = {f"{name}.weight": w.mT for name, w in zip(("query", "key", "value", "output"), (w_q, w_k, w_v, w_o))}
    weights |= {f"{name}.bias": x.new_zeros(x.shape[-1]) for name in ("query", "key", "value", "output")}
    return heads_by_torch((x.shape[-1], n_heads), weights, x, x, x)


def self_heads_one_by_one(x, w_q, w_k, w_v, w_o, n_heads):
    """Every head with its own slices of the four matrices; their contributions add up."""
    width, result = x.shape[-1] // n_heads, 0
    for h in range(n_heads):
        block = slice(h * width, (h + 1) * width)
        query, key, value = (x @ w[:, block] for w in (w_q, w_k, w_v))
        weights = (query @ key.mT / math.sqrt(width)).softmax(-1)
        result = result + weights @ value @ w_o[block]
    return result


def self_heads_by_einsum(x, w_q, w_k, w_v, w_o, n_heads):
    q, k, v = (torch.einsum("btd,dhe->bhte", x, w.unflatten(1, (n_heads, -1))) for w in (w_q, w_k, w_v))
    weights = (torch.einsum("bhie,bhje->bhij", q, k) / q.shape[-1] ** 0.5).softmax(-1)
    return torch.einsum("bhij,bhje,hed->bid", weights, v, w_o.unflatten(0, (n_heads, -1)))


def wrong_split(y: Tensor, n_heads: int) -> Tensor:
    return y.reshape(y.shape[0], n_heads, y.shape[1], -1)


def partly(split=split_by_loop, joint=False, merge=merge_by_loop, project=True) -> Callable:
    """The broken code with some of its steps repaired; without arguments all of them."""

    def attend(x, w_q, w_k, w_v, w_o, n_heads):
        query, key, value = (split(x @ w, n_heads) for w in (w_q, w_k, w_v))
        scores = query @ key.mT / math.sqrt(query.shape[-1])
        if joint:
            heads = torch.cat(scores.unbind(1), -1).softmax(-1) @ torch.cat(value.unbind(1), 1)
        else:
            heads = merge(scores.softmax(-1) @ value)
        return heads @ w_o if project else heads

    return attend


def each_scores_concatenated(x, w_q, w_k, w_v, w_o, n_heads):
    query, key = (split_by_loop(x @ w, n_heads) for w in (w_q, w_k))
    weights = (query @ key.mT / math.sqrt(query.shape[-1])).softmax(-1)
    return torch.cat(weights.unbind(1), -1)


def matrices(g: torch.Generator, b: int, t: int, d: int, n_heads: int, dtype=torch.float32) -> tuple:
    return normal(g, b, t, d, dtype=dtype), *(normal(g, d, d, dtype=dtype) / math.sqrt(d) for _ in range(4)), n_heads


def tokens_do_not_leak(submission, inputs):
    """What each head takes of a token: with an output matrix that lets one head through, only its block matters."""
    x, w_q, w_k, w_v, w_o, n_heads = inputs["arguments"]
    width = x.shape[-1] // n_heads
    found = {}
    for h in range(n_heads):
        others = torch.ones(x.shape[-1], dtype=torch.bool)
        others[h * width : (h + 1) * width] = False
        only = w_o.masked_fill(others[:, None], 0)
        found[f"head {h} alone"] = submission(x, w_q, w_k, w_v, only, n_heads)
    return found


def expect_heads_alone(inputs: dict) -> dict:
    x, w_q, w_k, w_v, w_o, n_heads = inputs["arguments"]
    width, found = x.shape[-1] // n_heads, {}
    for h in range(n_heads):
        block = slice(h * width, (h + 1) * width)
        head = F.scaled_dot_product_attention(*(x @ w[:, block] for w in (w_q, w_k, w_v)))
        found[f"head {h} alone"] = head @ w_o[block]
    return found


SPOT_THE_BUG = Exercise(
    id="spot_the_bug_05",
    chapter=5,
    title="Spot the bug: many heads as three of the documents tell it",
    signature="spot_the_bug_05(x, w_q, w_k, w_v, w_o, n_heads)",
    statement=r"""Three documents, three sentences, three mistakes: the input is decomposed into sub-sequences (003,
§4), the heads' scores are concatenated (000, §2.3), and concatenation is how heads are combined (002, §3). The code
below does what they say. **Repair it**, so that it computes

$$\mathrm{Concat}(\mathrm{head}_1,\dots,\mathrm{head}_H)\,W^O,\qquad
\mathrm{head}_h = \mathrm{softmax}\!\left(\frac{Q_hK_h^\top}{\sqrt{d_h}}\right) V_h,$$

where $Q_h, K_h, V_h$ are the $h$-th blocks of features of $XW^Q, XW^K, XW^V$. `x` is `[B, T, D]`, the four matrices are
`[D, D]` and stand on the right, and the result is `[B, T, D]`. There are no biases and no mask.

Before you begin, run it on `x` of shape `[1, 5, 8]` with two heads. What is the shape of the result, and what should
it be?""",
    minutes=15,
    difficulty=3,
    concepts=("C16",),
    errata=("E005", "E073", "E086"),
    reference=multi_head_self_attention,
    starter=BROKEN,
    read_again="chapter 05, “What the documents say”",
    requires=("split_heads", "merge_heads", "scaled_dot_product_attention"),
    library_calls=("MultiheadAttention", "multi_head_attention_forward", "MultiHeadAttention"),
    checks=(
        check_values(
            "values", 4, "Write the shape beside every line, and ask of each number in it: which token, which head?",
            lambda g: [matrices(g, 2, 5, 12, 3), matrices(g, 3, 4, 10, 2)], self_heads_by_torch,
        ),
        Check(
            "heads_alone", 2, "One head alone depends on its own block of features, and on no other head's softmax.",
            lambda seed: {"arguments": matrices(generator(seed), 2, 5, 12, 3)}, tokens_do_not_leak, expect_heads_alone,
            ("values",),
        ),
        check_gradients(
            "gradients", 1, "All four matrices take part, and stay connected to the result.",
            lambda g: [matrices(g, 2, 4, 6, 3)], self_heads_one_by_one, needs=("values",),
        ),
        check_values(
            "edges", 2, "Think of one head, of heads with one feature, of a single token, and of float64.",
            lambda g: [
                matrices(g, 2, 3, 5, 1), matrices(g, 2, 3, 4, 4), matrices(g, 3, 1, 6, 2),
                matrices(g, 2, 5, 6, 3, torch.float64),
            ],
            self_heads_one_by_one, needs=("values",),
        ),
    ),
    misconceptions=(
        Misconception(
            "sub_sequences", partly(wrong_split),
            "Scores and heads are treated rightly now. But the reshape still deals out tokens to heads instead of "
            "features: follow the first number of the second token.",
        ),
        Misconception(
            "scores_concatenated", partly(joint=True, project=False),
            "The heads are cut rightly. But one softmax still runs over the scores of all heads together, so that they "
            "share a single 1, and the result is as wide as one head (E005). What is concatenated are the heads' "
            "outputs.",
        ),
        Misconception(
            "no_output_projection", partly(project=False),
            "These are the heads side by side. W^O is given to the function and not used (E073).",
        ),
        Misconception(
            "split_and_scores_wrong", partly(wrong_split, joint=True, project=False),
            "This is what the code gives as it stands: start with the shapes of query, key and value.",
        ),
        Misconception(
            "split_and_projection_wrong", partly(wrong_split, project=False),
            "Each head has its softmax now. Two lines are still wrong: how heads are cut, and what follows their "
            "concatenation.",
        ),
        Misconception(
            "projected_too_early", partly(joint=True),
            "There is W^O now, but it does not fit: what reaches it is as wide as one head. What should be "
            "concatenated, and when?",
        ),
        Misconception(
            "merged_across_heads", partly(merge=lambda x: x.reshape(x.shape[0], x.shape[2], -1)),
            "The heads are right. Putting them side by side goes wrong: heads and positions must change places first.",
        ),
        Misconception(
            "cut_and_merged_across_tokens", partly(wrong_split, merge=lambda x: x.reshape(x.shape[0], x.shape[2], -1)),
            "Cut and merged by the same reshape: the shapes come out right, and every head works on pieces of several "
            "tokens.",
        ),
        Misconception(
            "weights_concatenated", each_scores_concatenated,
            "You concatenate the weights: [B, T, H·T]. Where have the values gone?",
        ),
        Misconception(
            "heads_averaged", partly(merge=lambda x: x.mean(1).repeat(1, 1, x.shape[1])),
            "You average the heads. They are put side by side.",
        ),
        Misconception(
            "scaled_by_whole_width",
            lambda x, w_q, w_k, w_v, w_o, n: partly()(x, w_q / math.sqrt(n), w_k, w_v, w_o, n),
            "These are the values when the scores are divided by the root of the whole width. That line was right.",
        ),
    ),
    alternatives=(self_heads_one_by_one, self_heads_by_einsum),
)  # fmt: skip

EXERCISES = (SPLIT_HEADS, MERGE_HEADS, MULTI_HEAD_ATTENTION, SPOT_THE_BUG)
