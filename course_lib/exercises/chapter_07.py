"""Chapter 07: the decoder, and the whole Transformer."""

import math
from collections.abc import Callable
from functools import lru_cache

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from course_lib import blocks, transformer
from course_lib.exercises.chapter_05 import StepByStep, attention_shapes, heads_by_loop
from course_lib.exercises.chapter_06 import (
    FeedForwardByMatrices,
    FeedForwardSteps,
    NormByStandardising,
    NormByTorch,
    NormFromMoments,
    NormSteps,
    feed_forward_by_formula,
    feed_forward_shapes,
    inside,
    module_starter,
    norm_shapes,
    under,
)
from course_lib.exercises.modules import (
    Shapes,
    Weights,
    check_module,
    check_module_errors,
    check_module_gradients,
    check_modules,
    check_parameters,
    linear,
    random_mask,
    random_weights,
)
from course_lib.grading.exercise import Check, Exercise, Misconception, not_attempted
from course_lib.grading.observe import check_values, generator, integers, normal
from course_lib.torch_bridge import torch_state

# --- shift_right ------------------------------------------------------------------------------------------------------


def shift_by_loop(ids: Tensor, bos_id: int) -> Tensor:
    """Token by token."""
    result = ids.clone()
    for row in range(ids.shape[0]):
        before = bos_id
        for t, token in enumerate(ids[row].tolist()):
            result[row, t], before = before, token
    return result


def shift_by_lists(ids, bos_id):
    rows = [[bos_id, *row[:-1]] for row in ids.tolist()]
    return torch.tensor(rows, dtype=ids.dtype).reshape(ids.shape)


def shift_by_padding(ids, bos_id):
    return F.pad(ids, (1, 0), value=bos_id)[:, :-1]


def shift_by_rolling(ids, bos_id):
    rolled = ids.roll(1, dims=-1)
    rolled[..., 0] = bos_id
    return rolled


def in_place(ids, bos_id):
    ids[:, 1:] = ids[:, :-1].clone()
    ids[:, 0] = bos_id
    return ids


def smeared(ids, bos_id):
    """Each place copies the one before, which has been written over already."""
    result = ids.clone()
    result[:, 0] = bos_id
    for t in range(1, ids.shape[1]):
        result[:, t] = result[:, t - 1]
    return result


def first_replaced(ids, bos_id):
    result = ids.clone()
    result[:, 0] = bos_id
    return result


def rows_shifted(ids, bos_id):
    result = ids.roll(1, dims=0)
    result[0] = bos_id
    return result


def shift_left(ids, bos_id):
    return torch.cat([ids[:, 1:], torch.full_like(ids[:, :1], bos_id)], dim=1)


def shift_twice(ids, bos_id):
    return shift_by_padding(shift_by_padding(ids, bos_id), bos_id)


def last_token_dropped(ids, bos_id):
    """Takes the end token off each sentence, and leaves padding where it was."""
    result = shift_by_padding(ids, bos_id)
    return result.masked_fill(ids == 0, 0)


def target(g: torch.Generator, b: int, t: int, dtype=torch.int64) -> Tensor:
    """Sentences of different lengths that end with 2; what follows is padding, 0. The first is the longest."""
    ids = integers(g, 4, 900, b, t)
    for row, length in enumerate([t, *integers(g, 1, max(2, t), b - 1).tolist()]):
        ids[row, length - 1] = 2
        ids[row, length:] = 0
    return ids.to(dtype)


def places_that_read(submission, inputs):
    """For each place of the target: at which places of the result its token is read."""
    ids, bos_id = inputs["ids"], inputs["bos_id"]
    before, found = submission(ids.clone(), bos_id), {}
    for t in range(ids.shape[1]):
        edited = ids.clone()
        edited[:, t] += inputs["step"]
        after = submission(edited, bos_id)
        read = [place for place in range(after.shape[1]) if not torch.equal(after[:, place], before[:, place])]
        found[f"the token of place {t} is read at places"] = read
    return found


def read_one_later(inputs: dict) -> dict:
    last = inputs["ids"].shape[1] - 1
    return {f"the token of place {t} is read at places": [t + 1] if t < last else [] for t in range(last + 1)}


def reading_inputs(seed: int) -> dict:
    g = generator(seed)
    return {"ids": integers(g, 4, 900, 3, 6), "bos_id": 1, "step": int(integers(g, 1, 90))}


SHIFT_RIGHT = Exercise(
    id="shift_right",
    chapter=7,
    title="Shift right",
    signature="shift_right(ids, bos_id)",
    statement=r"""Make what the decoder **reads** out of what it is to **write**. At place $t$ it may read every token
*before* the one that it is to predict there: so the whole target moves one place to the right, and a beginning token
takes the place that has become free.

| place | 0 | 1 | 2 | 3 |
|---|---|---|---|---|
| `ids`: to write | 17 | 23 | 2 (end) | 0 (padding) |
| result: to read, with `bos_id=1` | 1 | 17 | 23 | 2 |

- `ids` is an integer tensor `[B, T]` with $T \ge 1$. The result is a new tensor `[B, T]` of the **same dtype**;
  `ids` stays as it is.
- Every row moves in the same way. Padding and end tokens are tokens like any other; the last column drops out.""",
    minutes=5,
    difficulty=1,
    concepts=("C26", "C31"),
    errata=("E014", "E074"),
    reference=transformer.shift_right,
    starter=f'''def shift_right(ids, bos_id):
    """ids [B, T] of integers, bos_id an int -> [B, T]."""
    raise NotImplementedError("{not_attempted("shift_right")}")''',
    read_again="chapter 07, “What the decoder reads, by hand”",
    library_calls=("shift_tokens_right",),
    checks=(
        check_values(
            "values", 4, "Write one row of four tokens on paper, and below it the same row one place later.",
            lambda g: [(target(g, 3, 5), 1), (target(g, 2, 7), 3), (integers(g, 0, 50, 4, 3), 950)], shift_by_loop,
        ),
        Check(
            "never_the_answer", 2,
            "The token that is to be written at place t must be read at place t + 1, and only there.",
            reading_inputs, places_that_read, read_one_later, needs=("values",),
        ),
        check_values(
            "dtype", 1, "The result has the dtype of ids, whatever it is.",
            lambda g: [(target(g, 2, 4, torch.int32), 1), (target(g, 3, 5, torch.int16), 1)], shift_by_loop,
            needs=("values",),
        ),
        check_values(
            "edges", 2, "Think of a target of one token, of one sentence, and of a beginning token that is not 1.",
            lambda g: [(integers(g, 4, 99, 3, 1), 1), (integers(g, 4, 99, 1, 6), 0), (integers(g, 0, 3, 5, 4), 2),
                       (torch.full((2, 4), 7), int(integers(g, 100, 999)))],
            shift_by_loop, needs=("values",),
        ),
    ),
    misconceptions=(
        Misconception(
            "not_shifted", lambda ids, bos_id: ids.clone(),
            "Nothing has moved: the decoder would read at each place the very token that it is to predict there.",
        ),
        Misconception(
            "shift_left", shift_left,
            "You shift to the left: then the decoder reads the token *after* the one it is to predict.",
        ),
        Misconception(
            "first_replaced", first_replaced,
            "You replace the first token, and the others have not moved: from place 1 on the answer is read.",
        ),
        Misconception(
            "rolled", lambda ids, bos_id: ids.roll(1, dims=1),
            "The last column comes back at the front. There the beginning token belongs.",
        ),
        Misconception(
            "one_longer", lambda ids, bos_id: F.pad(ids, (1, 0), value=bos_id),
            "Your result is one token longer: the last column has to drop out, or reading and writing do not match.",
        ),
        Misconception(
            "shift_twice", shift_twice,
            "You have shifted by two places: the decoder would never read the token just before.",
        ),
        Misconception(
            "rows_shifted", rows_shifted, "You shift the sentences of the batch, not the tokens in each sentence.",
        ),
        Misconception(
            "smeared", smeared,
            "Every place holds the beginning token: you copy from a place that has been written over already.",
        ),
        Misconception(
            "padding_kept", last_token_dropped,
            "You leave padding in its place and so lose the end token. Here every token moves, padding as well; the "
            "loss ignores those places anyhow.",
        ),
        Misconception(
            "bos_is_one", lambda ids, bos_id: shift_by_padding(ids, 1),
            "Your beginning token is always 1, whatever `bos_id` says.",
        ),
        Misconception(
            "bos_is_zero", lambda ids, bos_id: shift_by_padding(ids, 0),
            "The free place holds 0, which is padding for most models. `bos_id` belongs there.",
        ),
        Misconception(
            "in_place", in_place,
            "You write into `ids` itself: whoever compares with it afterwards has lost the answers.",
        ),
        Misconception(
            "always_int64", lambda ids, bos_id: shift_by_padding(ids.long(), bos_id),
            "Your result is always int64. It should have the dtype of ids.",
        ),
        Misconception(
            "floats", lambda ids, bos_id: torch.cat([torch.full((len(ids), 1), float(bos_id)), ids[:, :-1]], dim=1),
            "Your result holds floating-point numbers. An embedding wants integers.",
        ),
    ),
    alternatives=(shift_by_loop, shift_by_lists, shift_by_padding, shift_by_rolling),
)  # fmt: skip

# --- DecoderLayer -----------------------------------------------------------------------------------------------------


def decoder_shapes(d_model: int, n_heads: int, d_ff: int, norm: str = "pre") -> Shapes:
    shapes = under("self_attention", attention_shapes(d_model, n_heads))
    shapes |= under("cross_attention", attention_shapes(d_model, n_heads))
    shapes |= under("feed_forward", feed_forward_shapes(d_model, d_ff))
    for number in (1, 2, 3):
        shapes |= under(f"norm_{number}", norm_shapes(d_model))
    return shapes


def decoder_by_torch(arguments: tuple, weights: Weights, x: Tensor, memory: Tensor, self_mask=None, memory_mask=None):
    """`nn.TransformerDecoderLayer` with these weights."""
    d_model, n_heads, d_ff, norm = (*arguments, "pre")[:4]
    layer = nn.TransformerDecoderLayer(d_model, n_heads, d_ff, 0.0, batch_first=True, norm_first=norm == "pre")
    layer.load_state_dict(torch_state(weights))

    def blocked(mask: Tensor | None, t_k: int) -> Tensor | None:
        return None if mask is None else ~mask.expand(len(x), n_heads, x.shape[1], t_k).flatten(0, 1)

    with torch.no_grad():
        return layer(x, memory, blocked(self_mask, x.shape[1]), blocked(memory_mask, memory.shape[1]))


def decoder_by_formula(arguments: tuple, weights: Weights, x: Tensor, memory: Tensor, self_mask=None, memory_mask=None):
    """The three equations, with PyTorch's layer norm and attention by loops."""
    d_model, n_heads, _, norm = (*arguments, "pre")[:4]

    def normalise(k: int, y: Tensor) -> Tensor:
        return F.layer_norm(y, (d_model,), weights[f"norm_{k}.gain"], weights[f"norm_{k}.bias"])

    def attend(name: str, y: Tensor, keys: Tensor, mask: Tensor | None) -> Tensor:
        return heads_by_loop((d_model, n_heads), inside(name, weights), y, keys, keys, mask)

    def feed(y: Tensor) -> Tensor:
        return feed_forward_by_formula((), inside("feed_forward", weights), y)

    if norm == "pre":
        y = normalise(1, x)
        x = x + attend("self_attention", y, y, self_mask)
        x = x + attend("cross_attention", normalise(2, x), memory, memory_mask)
        return x + feed(normalise(3, x))
    x = normalise(1, x + attend("self_attention", x, x, self_mask))
    x = normalise(2, x + attend("cross_attention", x, memory, memory_mask))
    return normalise(3, x + feed(x))


class DecoderSteps(nn.Module):
    """A decoder layer whose steps can be got wrong one by one."""

    default = "pre"

    def __init__(self, d_model, n_heads, d_ff, norm=None):
        super().__init__()
        self.norm = self.default if norm is None else norm
        self.check(self.norm)
        self.make(d_model, n_heads, d_ff)

    def check(self, norm):
        if norm not in ("pre", "post"):
            raise ValueError(f"norm={norm!r}")

    def make(self, d, h, d_ff):
        self.self_attention, self.cross_attention = StepByStep(d, h), StepByStep(d, h)
        self.feed_forward = FeedForwardSteps(d, d_ff)
        self.norm_1, self.norm_2, self.norm_3 = NormSteps(d), NormSteps(d), NormSteps(d)

    def own(self, y, memory, self_mask, memory_mask):
        return self.self_attention(y, y, y, self_mask)

    def cross(self, y, memory, self_mask, memory_mask):
        return self.cross_attention(y, memory, memory, memory_mask)

    def feed(self, y, *_):
        return self.feed_forward(y)

    def steps(self):
        """The three sub-layers, each with its norm, in the order in which they act."""
        return [(self.own, self.norm_1), (self.cross, self.norm_2), (self.feed, self.norm_3)]

    def before(self, x, work, norm, *others):
        return x + work(norm(x), *others)

    def after(self, x, work, norm, *others):
        return norm(x + work(x, *others))

    def forward(self, x, memory, self_mask=None, memory_mask=None):
        step = self.before if self.norm == "pre" else self.after
        for work, norm in self.steps():
            x = step(x, work, norm, memory, self_mask, memory_mask)
        return x


def decoder_but(**steps) -> type:
    return type("But", (DecoderSteps,), steps)


def without_residual(number: int) -> type:
    def before(self, x, work, norm, *others):
        kept = 0 if norm is getattr(self, f"norm_{number}") else x
        return kept + work(norm(x), *others)

    def after(self, x, work, norm, *others):
        kept = 0 if norm is getattr(self, f"norm_{number}") else x
        return norm(kept + work(x, *others))

    return decoder_but(before=before, after=after)


def in_order(*numbers: int) -> Callable:
    """Other sub-layers, or the same in another order."""
    return lambda self: [DecoderSteps.steps(self)[number] for number in numbers]


def norms_moved(self):
    return [(self.own, self.norm_2), (self.cross, self.norm_1), (self.feed, self.norm_3)]


def one_norm_for_all(self):
    return [(self.own, self.norm_1), (self.cross, self.norm_1), (self.feed, self.norm_1)]


def memory_normalised(self, y, memory, self_mask, memory_mask):
    memory = self.norm_2(memory) if self.norm == "pre" else memory
    return self.cross_attention(y, memory, memory, memory_mask)


def memory_normalised_first(self, x, memory, self_mask=None, memory_mask=None):
    memory = self.norm_1(memory) if self.norm == "pre" else memory
    return DecoderSteps.forward(self, x, memory, self_mask, memory_mask)


def always_causal(self, y, memory, self_mask, memory_mask):
    causal = torch.ones(y.shape[1], y.shape[1], dtype=torch.bool).tril()
    return self.self_attention(y, y, y, causal if self_mask is None else self_mask & causal)


def cross_to_itself(self, y, memory, self_mask, memory_mask):
    return self.cross_attention(y, y, y, self_mask)


def values_from_target(self, y, memory, self_mask, memory_mask):
    """Queries and keys change places: the source asks, and the answer has the source's length."""
    return self.cross_attention(memory, y, y, None if memory_mask is None else memory_mask.mT)


def over_the_source(self, y, memory, self_mask, memory_mask):
    return self.self_attention(y, memory, memory, memory_mask)


def with_source_in_front(self, y, memory, self_mask, memory_mask):
    both = torch.cat([memory, y], dim=1)
    return self.self_attention(y, both, both)


def side_by_side(self, x, memory, self_mask=None, memory_mask=None):
    def branch(work, norm):
        return work(norm(x) if self.norm == "pre" else x, memory, self_mask, memory_mask)

    (own, norm_1), (cross, norm_2), (feed, norm_3) = self.steps()
    step = self.before if self.norm == "pre" else self.after
    if self.norm == "pre":
        return step(x + branch(own, norm_1) + branch(cross, norm_2), feed, norm_3)
    return step(norm_2(x + branch(own, norm_1) + branch(cross, norm_2)), feed, norm_3)


def mean_of_source(self, y, memory, self_mask, memory_mask):
    memory = memory.mean(1, keepdim=True)
    return self.cross_attention(y, memory, memory)


def same_attention(self, d, h, d_ff):
    DecoderSteps.make(self, d, h, d_ff)
    self.cross_attention = self.self_attention


def two_norms(self, d, h, d_ff):
    DecoderSteps.make(self, d, h, d_ff)
    del self.norm_3


def names_of_torch(self, d, h, d_ff):
    DecoderSteps.make(self, d, h, d_ff)
    self.self_attn, self.multihead_attn = self.self_attention, self.cross_attention
    del self.self_attention, self.cross_attention


def torch_norms(self, d, h, d_ff):
    DecoderSteps.make(self, d, h, d_ff)
    self.norm_1, self.norm_2, self.norm_3 = nn.LayerNorm(d), nn.LayerNorm(d), nn.LayerNorm(d)


def zero_gains(self, d, h, d_ff):
    DecoderSteps.make(self, d, h, d_ff)
    for norm in (self.norm_1, self.norm_2, self.norm_3):
        nn.init.zeros_(norm.gain)


def asserted(self, norm):
    assert norm in ("pre", "post")


class DecoderInALine(nn.Module):
    """Both placements in one expression; raises when it is called."""

    def __init__(self, d, h, f, norm="pre"):
        super().__init__()
        self.self_attention, self.cross_attention = StepByStep(d, h), StepByStep(d, h)
        self.feed_forward = FeedForwardByMatrices(d, f)
        self.norm_1, self.norm_2, self.norm_3, self.norm = NormByTorch(d), NormFromMoments(d), NormByTorch(d), norm

    def forward(self, x, memory, self_mask=None, memory_mask=None):
        if self.norm not in {"pre", "post"}:
            raise ValueError(self.norm)
        same = nn.Identity()
        for norm, work in (
            (self.norm_1, lambda y: self.self_attention(y, y, y, self_mask)),
            (self.norm_2, lambda y: self.cross_attention(y, memory, memory, memory_mask)),
            (self.norm_3, self.feed_forward),
        ):
            before, after = (norm, same) if self.norm == "pre" else (same, norm)
            x = after(x + work(before(x)))
        return x


class DecoderOnTop(nn.Module):
    """Written out twice, the way a paper prints it."""

    def __init__(self, width, heads, inner, norm="pre"):
        super().__init__()
        if norm == "pre":
            self.run = self.pre
        elif norm == "post":
            self.run = self.post
        else:
            raise ValueError(f"{norm} is neither pre nor post")
        self.norm_3, self.norm_2, self.norm_1 = (NormByStandardising(width) for _ in range(3))
        self.feed_forward = FeedForwardSteps(width, inner)
        self.cross_attention, self.self_attention = StepByStep(width, heads), StepByStep(width, heads)

    def pre(self, x, memory, own, other):
        a = self.norm_1(x)
        h = x + self.self_attention(a, a, a, own)
        z = h + self.cross_attention(self.norm_2(h), memory, memory, other)
        return z + self.feed_forward(self.norm_3(z))

    def post(self, x, memory, own, other):
        h = self.norm_1(x + self.self_attention(x, x, x, own))
        z = self.norm_2(h + self.cross_attention(h, memory, memory, other))
        return self.norm_3(z + self.feed_forward(z))

    def forward(self, x, memory, self_mask=None, memory_mask=None):
        return self.run(x, memory, self_mask, memory_mask)


def pair(g: torch.Generator, b: int, t_t: int, t_s: int, d: int, dtype=torch.float32) -> tuple:
    """Target states and a memory, both of sizes and means that a norm would change."""
    x, memory = (2 * normal(g, b, t, d, dtype=dtype) + normal(g, b, t, 1, dtype=dtype) for t in (t_t, t_s))
    return x, 1.5 * memory


def causal(t: int) -> Tensor:
    return torch.ones(t, t, dtype=torch.bool).tril()


def decoder_masks(g: torch.Generator) -> list[tuple]:
    x, memory = pair(g, 2, 4, 6, 12)
    return [
        (x, memory, causal(4)), (x, memory, None, random_mask(g, 2, 1, 1, 6)),
        (x, memory, causal(4), random_mask(g, 2, 1, 1, 6)),
        (x, memory, random_mask(g, 2, 3, 4, 4), random_mask(g, 2, 3, 4, 6)), (x, memory, None, None),
    ]  # fmt: skip


def blind_decoder_cases(g: torch.Generator) -> list[tuple]:
    x, memory = pair(g, 2, 4, 6, 12)
    source, own = torch.ones(2, 1, 1, 6, dtype=torch.bool), causal(4)
    source[1] = False  # an empty source
    own[2] = False  # a place that may read nothing
    return [(x, memory, causal(4), source), (x, memory, own, source)]


def influence(submission, inputs):
    """Which places of the target, and of the source, each output depends on."""
    module = submission(*inputs["arguments"])
    module.load_state_dict(inputs["weights"])
    module.eval()
    x, memory = (inputs[name].clone().requires_grad_() for name in ("x", "memory"))
    output, found = module(x, memory, inputs["self_mask"], inputs["memory_mask"]), {}
    for t in range(output.shape[1]):
        weighted = (output[0, t] * inputs["factors"]).sum()
        slopes = torch.autograd.grad(weighted, [x, memory], retain_graph=True, allow_unused=True)
        for name, slope in zip(("target", "source"), slopes):
            reached = [] if slope is None else slope[0].abs().amax(-1).gt(1e-7).nonzero().flatten().tolist()
            found[f"output {t} depends on places of the {name}"] = reached
    return found


def expected_influence(inputs: dict) -> dict:
    own, found = inputs["self_mask"] | torch.eye(5, dtype=torch.bool), {}  # the residual: a place sees itself
    for t in range(5):
        found[f"output {t} depends on places of the target"] = own[t].nonzero().flatten().tolist()
        found[f"output {t} depends on places of the source"] = (
            inputs["memory_mask"][0, 0, 0].nonzero().flatten().tolist()
        )
    return found


def influence_inputs(seed: int) -> dict:
    g = generator(seed)
    x, memory = normal(g, 2, 5, 6), normal(g, 2, 4, 6)  # small, so that no weight of an attention is nearly 0
    own = torch.rand(5, 5, generator=g) < 0.4
    arguments = (6, 2, 11)
    return {"arguments": arguments, "weights": random_weights(g, decoder_shapes(*arguments)), "x": x, "memory": memory,
            "self_mask": own, "memory_mask": random_mask(g, 2, 1, 1, 4), "factors": normal(g, 6)}  # fmt: skip


DECODER_LAYER = Exercise(
    id="DecoderLayer",
    chapter=7,
    title="The decoder layer",
    signature='DecoderLayer(d_model, n_heads, d_ff, norm="pre")',
    statement=r"""Three sub-layers, each with a residual and a norm of its own: `self_attention`, `cross_attention`,
`feed_forward`, and `norm_1`, `norm_2`, `norm_3`, in this order. Inside each, the parameter names are those of its own
exercise (`cross_attention.key.weight`, `norm_3.gain` …).

| `norm="pre"` | `norm="post"` |
|---|---|
| $x \leftarrow x + \mathrm{Self}(\mathrm{LN}_1(x))$ | $x \leftarrow \mathrm{LN}_1(x + \mathrm{Self}(x))$ |
| $x \leftarrow x + \mathrm{Cross}(\mathrm{LN}_2(x),\, M)$ | $x \leftarrow \mathrm{LN}_2(x + \mathrm{Cross}(x,\, M))$ |
| $x \leftarrow x + \mathrm{FFN}(\mathrm{LN}_3(x))$ | $x \leftarrow \mathrm{LN}_3(x + \mathrm{FFN}(x))$ |

- `forward(x, memory, self_mask=None, memory_mask=None)`: `x` is `[B, Tt, D]`, the memory $M$ `[B, Ts, D]`, the
  result `[B, Tt, D]`.
- Self takes its queries, keys and values from what the table puts in its brackets, with `self_mask`. Cross takes only
  its queries from there; keys and values are the **memory as it is** (it is never normalised here), with `memory_mask`.
- Both masks are handed on to the attention; True means *may attend*; the layer adds none of its own.
- Where a query may attend to nothing, the attention gives its `output.bias` (chapter 05 sees to that).
- No dropout. Any other `norm` raises a `ValueError`.

Build it from your own parts, or import `MultiHeadAttention` (`course_lib.attention`), `FeedForward` and `LayerNorm`
(`course_lib.blocks`).""",
    minutes=25,
    difficulty=3,
    concepts=("C14", "C26"),
    errata=("E015", "E040", "E112", "E114", "E124"),
    reference=blocks.DecoderLayer,
    starter=module_starter(
        "DecoderLayer", 'd_model, n_heads, d_ff, norm="pre"',
        "self_attention, cross_attention, feed_forward, norm_1, norm_2, norm_3.",
        "x, memory, self_mask=None, memory_mask=None",
    ),
    read_again="chapter 07, “The decoder layer”",
    requires=("MultiHeadAttention", "FeedForward", "LayerNorm"),
    library_calls=("TransformerDecoderLayer", "TransformerDecoder", "DecoderLayer"),
    checks=(
        check_parameters(
            "parameters", 2,
            "Each part under its own name, with the names of its exercise inside: two attentions, three norms.",
            decoder_shapes, lambda g: [(12, 3, int(torch.randint(13, 999, (), generator=g))), (6, 2, 5, "post")],
            lambda *_: {f"norm_{n}.{name}": start for n in (1, 2, 3) for name, start in (("gain", 1.0), ("bias", 0.0))},
        ),
        check_module(
            "pre", 3, "Pre-norm: what goes into a sub-layer is normalised; the stream and the memory are not.",
            decoder_shapes, (12, 3, 20, "pre"),
            lambda g: [pair(g, 2, 4, 6, 12), pair(g, 2, 5, 3, 12)], decoder_by_torch,
            needs=("parameters",),
        ),
        check_module(
            "post", 3, "Post-norm: first add, then normalise the sum; three times.",
            decoder_shapes, (12, 3, 20, "post"), lambda g: [pair(g, 2, 4, 6, 12), pair(g, 2, 5, 3, 12)],
            decoder_by_torch, needs=("parameters",),
        ),
        check_module(
            "default", 1, "Without a fourth argument the layer is pre-norm.",
            decoder_shapes, (12, 3, 20), lambda g: [pair(g, 2, 4, 6, 12)], decoder_by_torch, needs=("pre",),
        ),
        check_module(
            "masks", 2, "There are two masks: which attention does each belong to?",
            decoder_shapes, (12, 3, 20, "pre"), decoder_masks, decoder_by_torch, needs=("pre",),
        ),
        Check(
            "influence", 2,
            "An output may depend on what self_mask and memory_mask allow, on its own place, and on nothing else.",
            influence_inputs, influence, expected_influence, needs=("pre",),
        ),
        check_module(
            "nothing_to_attend_to", 1,
            "Where nothing may be attended to, what remains is the residual and the attention's output.bias.",
            decoder_shapes, (12, 3, 20, "post"), blind_decoder_cases, decoder_by_formula, needs=("post",),
        ),
        check_module_gradients(
            "gradients", 2, "All parts learn, and so does the encoder, through the memory.",
            decoder_shapes, (12, 3, 20, "pre"), lambda g: [(*pair(g, 2, 3, 5, 12), causal(3))], decoder_by_formula,
            needs=("pre",),
        ),
        check_modules(
            "edges", 1,
            "Think of one target token, of one source token, of one head, of a narrow inner width, and of float64.",
            decoder_shapes,
            lambda g: {
                "with one target token": ((6, 2, 10, "post"), pair(g, 3, 1, 4, 6)),
                "with one source token": ((6, 1, 3, "pre"), pair(g, 2, 4, 1, 6)),
                "in float64": ((8, 2, 10, "pre"), pair(g, 2, 3, 5, 8, torch.float64)),
                "post-norm with masks": (
                    (8, 4, 6, "post"), (*pair(g, 2, 3, 5, 8), causal(3), random_mask(g, 2, 1, 1, 5)),
                ),
            },
            decoder_by_formula, needs=("pre", "post"),
        ),
        check_module_errors(
            "unknown_norm", 1, 'Only "pre" and "post" are known. Anything else deserves a ValueError.',
            lambda g: {
                f"DecoderLayer(6, 2, 10, {norm!r})": ((6, 2, 10, norm), pair(g, 2, 3, 4, 6))
                for norm in ("middle", "Post", "", "prenorm")
            },
            needs=("parameters",),
        ),
    ),
    misconceptions=(
        Misconception(
            "always_post", decoder_but(before=DecoderSteps.after),
            "These are the values of a post-norm layer: `norm` makes no difference, and the stream is normalised.",
        ),
        Misconception(
            "always_pre", decoder_but(after=DecoderSteps.before),
            'These are the values of a pre-norm layer: `norm="post"` makes no difference.',
        ),
        Misconception(
            "exchanged", decoder_but(before=DecoderSteps.after, after=DecoderSteps.before),
            "You have the two placements the wrong way round: “pre” normalises *before* the sub-layer.",
        ),
        Misconception(
            "default_post", decoder_but(default="post"), "Without a fourth argument your layer is post-norm.",
        ),
        Misconception(
            "no_cross_attention", decoder_but(steps=in_order(0, 2)),
            "The memory takes no part: this decoder could not read the source. Document 000, §3.2, describes it "
            "so (E015).",
        ),
        Misconception(
            "no_self_attention", decoder_but(steps=in_order(1, 2)),
            "There is no self-attention: a place knows nothing of the words written so far.",
        ),
        Misconception(
            "no_feed_forward", decoder_but(steps=in_order(0, 1)), "There is no feed-forward network in the result.",
        ),
        Misconception(
            "feed_forward_second", decoder_but(steps=in_order(0, 2, 1)),
            "The feed-forward network comes before the cross-attention, as in document 004, §3.2 (E114). It is "
            "the last.",
        ),
        Misconception(
            "cross_first", decoder_but(steps=in_order(1, 0, 2)),
            "The cross-attention comes first. The self-attention does: it gathers what has been written, and "
            "then asks.",
        ),
        Misconception(
            "memory_normalised", decoder_but(cross=memory_normalised),
            "You normalise the memory with norm_2 as well. Pre-norm normalises the stream; the encoder has normalised "
            "its output already.",
        ),
        Misconception(
            "memory_normalised_with_first", decoder_but(forward=memory_normalised_first),
            "You normalise the memory with norm_1. It is taken as it is.",
        ),
        Misconception(
            "self_over_source", decoder_but(own=over_the_source),
            "Your self-attention looks at the encoder's output, as in document 004, §3.2, step 4 (E112). It looks at "
            "the target.",
        ),
        Misconception(
            "self_over_both", decoder_but(own=with_source_in_front),
            "Your self-attention looks at source and target together. Here the source has an attention of its own.",
        ),
        Misconception(
            "cross_to_itself", decoder_but(cross=cross_to_itself),
            "Both attentions look at the target: where does the source come in? Its keys and values are the memory's.",
        ),
        Misconception(
            "source_asks", decoder_but(cross=values_from_target),
            "In your cross-attention the source asks and the target answers. The queries are the target's.",
        ),
        Misconception(
            "one_vector", decoder_but(cross=mean_of_source),
            "Your memory is squeezed into one vector. Each source token has its own key and value.",
        ),
        Misconception(
            "side_by_side", decoder_but(forward=side_by_side),
            "The two attentions work side by side on the same x. The second works on what the first has made.",
        ),
        Misconception(
            "without_residual_1", without_residual(1), "There is no residual connection around the self-attention.",
        ),
        Misconception(
            "without_residual_2", without_residual(2), "There is no residual connection around the cross-attention.",
        ),
        Misconception(
            "without_residual_3", without_residual(3),
            "There is no residual connection around the feed-forward network.",
        ),
        Misconception(
            "without_residuals",
            decoder_but(
                before=lambda self, x, work, norm, *others: work(norm(x), *others),
                after=lambda self, x, work, norm, *others: norm(work(x, *others)),
            ),
            "Nothing is added to x: all three residual connections are missing.",
        ),
        Misconception(
            "without_norms",
            decoder_but(
                before=lambda self, x, work, norm, *others: x + work(x, *others),
                after=lambda self, x, work, norm, *others: x + work(x, *others),
            ),
            "Nothing is normalised: the norms are there, but take no part.",
        ),
        Misconception(
            "stream_normalised",
            decoder_but(before=lambda self, x, work, norm, *others: (lambda y: y + work(y, *others))(norm(x))),
            "You go on with the normalised stream. In pre-norm only the sub-layer sees it; what is added to is x.",
        ),
        Misconception(
            "norms_exchanged", decoder_but(steps=norms_moved),
            "norm_1 belongs to the self-attention, norm_2 to the cross-attention.",
        ),
        Misconception(
            "one_norm_for_all", decoder_but(steps=one_norm_for_all),
            "You use norm_1 three times. Each sub-layer has its own.",
        ),
        Misconception(
            "self_mask_ignored",
            decoder_but(own=lambda self, y, memory, *masks: self.self_attention(y, y, y)),
            "Your self-attention takes no notice of its mask: every place sees the words that it is to predict.",
        ),
        Misconception(
            "memory_mask_ignored",
            decoder_but(cross=lambda self, y, memory, *masks: self.cross_attention(y, memory, memory)),
            "Your cross-attention takes no notice of its mask: it also reads the source's padding.",
        ),
        Misconception(
            "both_masks_ignored",
            decoder_but(
                own=lambda self, y, memory, *masks: self.self_attention(y, y, y),
                cross=lambda self, y, memory, *masks: self.cross_attention(y, memory, memory),
            ),
            "Neither mask is handed on.",
        ),
        Misconception(
            "masks_inverted",
            decoder_but(
                own=lambda self, y, memory, own, other: self.self_attention(y, y, y, None if own is None else ~own),
                cross=lambda self, y, memory, own, other: self.cross_attention(
                    y, memory, memory, None if other is None else ~other
                ),
            ),
            "Your masks are turned around. Here True means “may attend”, in the layer and in the attention.",
        ),
        Misconception(
            "always_causal", decoder_but(own=always_causal),
            "You add a causal mask of your own. The layer is handed its masks; None means none.",
        ),
        Misconception(
            "memory_detached",
            decoder_but(
                cross=lambda self, y, memory, own, other: DecoderSteps.cross(self, y, memory.detach(), own, other)
            ),
            "The values are right, but the memory is cut off: the encoder would never learn.",
        ),
        Misconception(
            "unchecked", decoder_but(check=lambda self, norm: None),
            "A `norm` that you do not know is taken for one that you do.",
        ),
        Misconception(
            "asserted", decoder_but(check=asserted), "An `assert` raises an AssertionError. Raise a ValueError.",
        ),
        Misconception(
            "same_attention", decoder_but(make=same_attention),
            "self_attention and cross_attention are one module under two names. Each has weights of its own.",
        ),
        Misconception(
            "two_norms", decoder_but(make=two_norms), "There are only two norms. Three sub-layers have three.",
        ),
        Misconception(
            "names_of_torch", decoder_but(make=names_of_torch),
            "The attentions are called self_attention and cross_attention here: weights are exchanged by name.",
        ),
        Misconception(
            "torch_norms", decoder_but(make=torch_norms),
            "PyTorch's LayerNorm calls its gain `weight`. Take yours, or the course's.",
        ),
        Misconception("zero_gains", decoder_but(make=zero_gains), "The gains of the norms start at 1."),
        Misconception(
            "float32_only",
            decoder_but(
                forward=lambda self, x, memory, own=None, other=None: DecoderSteps.forward(
                    self.float(), x.float(), memory.float(), own, other
                )
            ),
            "Your result is always float32. It should have the dtype of the input.",
        ),
    ),
    alternatives=(DecoderSteps, DecoderInALine, DecoderOnTop),
)  # fmt: skip

# --- count_parameters -------------------------------------------------------------------------------------------------


def counted_by_torch(d_model: int, n_heads: int, d_ff: int, n_layers: int, vocab_size: int) -> int:
    """PyTorch's layers, a final norm for each stack, and one table; on a device that stores no numbers."""
    with torch.device("meta"):
        layers = nn.TransformerEncoderLayer(d_model, n_heads, d_ff), nn.TransformerDecoderLayer(d_model, n_heads, d_ff)
        norms = nn.LayerNorm(d_model), nn.LayerNorm(d_model)
    layer, norm = (sum(p.numel() for part in parts for p in part.parameters()) for parts in (layers, norms))
    return vocab_size * d_model + n_layers * layer + norm


def counted_by_shapes(d_model, n_heads, d_ff, n_layers, vocab_size):
    """Add up the shapes of all tensors, one after the other."""
    linear = lambda a, b: [(b, a), (b,)]  # noqa: E731
    attention = 4 * linear(d_model, d_model)
    norm = [(d_model,), (d_model,)]
    feed = linear(d_model, d_ff) + linear(d_ff, d_model)
    layer = attention + norm + feed + norm
    shapes = n_layers * (layer + layer + attention + norm) + 2 * norm + [(vocab_size, d_model)]
    return sum(math.prod(shape) for shape in shapes)


def counted_in_one_line(d, h, f, n, v):
    return d * (v + 4 + n * (12 * d + 4 * f + 24)) + 2 * n * f


def count_but(**changes) -> Callable:
    """A count with some of its numbers changed."""

    def count(d_model, n_heads, d_ff, n_layers, vocab_size):
        d, f = d_model, d_ff
        c = {
            "attention": 4 * d * d + 4 * d, "feed": 2 * d * f + f + d, "encoder_norms": 2, "decoder_norms": 3,
            "final": 2,
            "crosses": 1, "norm": 2 * d, "tables": 1, "encoders": n_layers, "decoders": n_layers, "more": 0,
        }  # fmt: skip
        c |= {name: change(d, n_heads, f, n_layers, vocab_size) for name, change in changes.items()}
        encoder = c["attention"] + c["feed"] + c["encoder_norms"] * c["norm"]
        decoder = (1 + c["crosses"]) * c["attention"] + c["feed"] + c["decoder_norms"] * c["norm"]
        return (
            c["encoders"] * encoder + c["decoders"] * decoder + c["final"] * c["norm"]
            + c["tables"] * vocab_size * d + c["more"]
        )  # fmt: skip

    return count


def sizes(g: torch.Generator) -> list[tuple]:
    """Sizes as in the exercise's signature, all different."""
    found = []
    for n_heads, n_layers in ((3, 2), (4, 5), (2, 7)):
        d = n_heads * int(integers(g, 3, 40))
        found.append((d, n_heads, d + int(integers(g, 2, 300)), n_layers, int(integers(g, 400, 9000))))
    return found


def more_heads(g: torch.Generator) -> list[tuple]:
    d_ff, v = int(integers(g, 30, 400)), int(integers(g, 50, 900))
    return [(24, n_heads, d_ff, 3, v) for n_heads in (1, 2, 3, 12, 24)]


def differences(submission, inputs):
    """By how much the number grows from one more layer, and from one more word."""
    d, h, f, n, v = inputs["sizes"]
    start = submission(d, h, f, n, v)
    return {
        "one more layer in each stack": submission(d, h, f, n + 1, v) - start,
        "one more word": submission(d, h, f, n, v + 1) - start,
        "one more inner feature": submission(d, h, f + 1, n, v) - start,
    }


COUNT = Exercise(
    id="count_parameters",
    chapter=7,
    title="Count the parameters",
    signature="count_parameters(d_model, n_heads, d_ff, n_layers, vocab_size)",
    statement=r"""How many numbers does the whole encoder-decoder Transformer learn? Write a formula (no model needs to
be built), which returns an `int`.

- **Encoder:** `n_layers` layers, each with one attention, one feed-forward network and two layer norms.
- **Decoder:** `n_layers` layers, each with two attentions, one feed-forward network and three layer norms.
- **After each stack** one more layer norm.
- An attention has four linear maps (query, key, value, output) from `d_model` to `d_model`; a feed-forward network
  one from `d_model` to `d_ff` and one back. All of these have a weight **and a bias**. A layer norm has a gain and a
  bias.
- **One** table of `vocab_size` vectors of length `d_model` serves the source, the target and the output; the output
  has **no bias**.
- Positions are sinusoids: they are not learned. Nothing is shared but the table.""",
    minutes=10,
    difficulty=2,
    concepts=("C28", "C29", "C30"),
    errata=("E043", "E051"),
    reference=transformer.count_parameters,
    starter=f'''def count_parameters(d_model, n_heads, d_ff, n_layers, vocab_size):
    """All five are ints; n_layers is the number of layers in each stack -> int."""
    raise NotImplementedError("{not_attempted("count_parameters")}")''',
    read_again="chapter 07, “The parameters, by hand”",
    library_calls=("numel", "parameters"),
    checks=(
        check_values(
            "values", 4,
            "Take one layer of each kind, and count its parts one by one; the chapter does it for d_model = 8.",
            sizes, counted_by_torch,
        ),
        Check(
            "differences", 2, "What does one more layer cost, what one more word, what one more inner feature?",
            lambda seed: {"sizes": sizes(generator(seed))[0]}, differences,
            lambda inputs: differences(counted_by_torch, inputs), needs=("values",),
        ),
        check_values(
            "heads_are_free", 1, "Heads share the width among themselves: does their number change a matrix?",
            more_heads, counted_by_torch, needs=("values",),
        ),
        check_values(
            "known_models", 2,
            "The base and the big model of the paper, one layer in each stack, and an inner width of 1.",
            lambda g: [(512, 8, 2048, 6, 37000), (1024, 16, 4096, 6, 37000), (8, 2, 16, 1, int(integers(g, 5, 99))),
                       (6, 3, 1, 2, 3), (12288, 96, 49152, 96, 50257)],
            counted_by_torch, needs=("values",),
        ),
    ),
    misconceptions=(
        Misconception(
            "no_cross_attention", count_but(crosses=lambda *_: 0),
            "Your decoder layer has only one attention. It has two.",
        ),
        Misconception(
            "decoder_like_encoder", count_but(crosses=lambda *_: 0, decoder_norms=lambda *_: 2),
            "You count a decoder layer like an encoder layer. It has a second attention and a third norm.",
        ),
        Misconception(
            "two_norms_in_decoder", count_but(decoder_norms=lambda *_: 2),
            "A decoder layer has three norms, one for each sub-layer.",
        ),
        Misconception(
            "no_final_norms", count_but(final=lambda *_: 0), "The norm after each stack is missing.",
        ),
        Misconception(
            "one_final_norm", count_but(final=lambda *_: 1), "There is a norm after *each* stack: two of them.",
        ),
        Misconception(
            "gain_only", count_but(norm=lambda d, *_: d), "A layer norm has a gain and a bias: 2·d_model numbers.",
        ),
        Misconception(
            "no_norms", count_but(norm=lambda *_: 0), "The layer norms are missing: they learn a gain and a bias.",
        ),
        Misconception(
            "no_attention_biases", count_but(attention=lambda d, *_: 4 * d * d),
            "The four linear maps of an attention have biases.",
        ),
        Misconception(
            "no_feed_forward_biases", count_but(feed=lambda d, h, f, *_: 2 * d * f),
            "The two linear maps of the feed-forward network have biases: one of length d_ff, one of length d_model.",
        ),
        Misconception(
            "no_biases", count_but(attention=lambda d, *_: 4 * d * d, feed=lambda d, h, f, *_: 2 * d * f),
            "Only weights are counted. Every linear map inside the layers has a bias.",
        ),
        Misconception(
            "equal_biases", count_but(feed=lambda d, h, f, *_: 2 * d * f + 2 * d),
            "Both biases of your feed-forward network have length d_model. The inner one has length d_ff.",
        ),
        Misconception(
            "no_output_projection", count_but(attention=lambda d, *_: 3 * (d * d + d)),
            "Your attention has three linear maps. There is a fourth, after the heads are put together.",
        ),
        Misconception(
            "heads_multiply", count_but(attention=lambda d, h, *_: h * 3 * (d * d + d) + d * d + d),
            "You give each head full matrices. The heads divide the width among themselves.",
        ),
        Misconception(
            "one_matrix_feed_forward", count_but(feed=lambda d, h, f, *_: d * f + f),
            "The feed-forward network has two matrices: there and back.",
        ),
        Misconception(
            "three_tables", count_but(tables=lambda *_: 3),
            "You count three tables. Source, target and output share one.",
        ),
        Misconception(
            "two_tables", count_but(tables=lambda *_: 2), "You count two tables. One serves source, target and output.",
        ),
        Misconception(
            "no_table", count_but(tables=lambda *_: 0),
            "The embedding table is missing; it is often the largest matrix of all.",
        ),
        Misconception(
            "output_bias", count_but(more=lambda d, h, f, n, v: v), "The map to the vocabulary has no bias here.",
        ),
        Misconception(
            "positions_learned", count_but(more=lambda d, *_: 512 * d),
            "You count a table of 512 positions. Sinusoids are computed, not learned.",
        ),
        Misconception(
            "one_stack", count_but(decoders=lambda *_: 0, final=lambda *_: 1), "You count the encoder alone.",
        ),
        Misconception(
            "layers_in_all",
            lambda d, h, f, n, v: count_but(encoders=lambda *_: n // 2, decoders=lambda *_: n - n // 2)(d, h, f, n, v),
            "You divide n_layers among the stacks. Each stack has n_layers of its own.",
        ),
        Misconception(
            "layers_shared", count_but(encoders=lambda *_: 1, decoders=lambda *_: 1),
            "You count one layer in each stack, as if all were shared. Here each has weights of its own.",
        ),
        Misconception(
            "a_float", lambda *arguments: float(counted_in_one_line(*arguments)),
            "A number of parameters is an int: divide with // if at all.",
        ),
    ),
    alternatives=(counted_by_torch, counted_by_shapes, counted_in_one_line),
)  # fmt: skip

# --- spot the bug -----------------------------------------------------------------------------------------------------

BROKEN = '''\
import math
import torch
from torch import nn


class spot_the_bug_07(nn.Module):
    """Document 001, §4: a Transformer around nn.Transformer. Source and target are token ids."""

    def __init__(self, vocab_size, d_model, n_heads, n_layers, max_len):
        super().__init__()
        self.embedding = nn.Linear(vocab_size, d_model)
        self.positions = nn.Parameter(torch.zeros(1, d_model))
        self.transformer = nn.Transformer(vocab_size, d_model, n_heads, n_layers, 0.1)

    def forward(self, source, target_in, source_mask=None, target_mask=None):
        source = self.embedding(source)
        target_in = self.embedding(target_in)
        source = self.positions(source)
        target_in = self.positions(target_in)
        return self.transformer(source, target_in, source_mask, target_mask)'''


class RepairedTransformer(nn.Module):
    """What document 001, §4, wanted: ``nn.Transformer`` with the embeddings, positions, masks and output that it lacks.

    Args:
        vocab_size: entries of the one vocabulary; id 0 is padding.
        d_model, n_heads, n_layers: as in ``nn.Transformer``, ``n_layers`` in each stack; the inner width is 4·d_model.
        max_len: number of positions that there are vectors for.
    """

    def __init__(self, vocab_size, d_model, n_heads, n_layers, max_len):
        super().__init__()
        self.embedding = nn.Embedding(vocab_size, d_model)
        self.positions = nn.Parameter(torch.zeros(max_len, d_model))
        self.transformer = nn.Transformer(
            d_model, n_heads, num_encoder_layers=n_layers, num_decoder_layers=n_layers,
            dim_feedforward=4 * d_model, dropout=0.1, batch_first=True,
        )  # fmt: skip
        self.output = nn.Linear(d_model, vocab_size)

    def embed(self, ids):
        """ids [B, T] -> [B, T, D]."""
        return self.embedding(ids) * math.sqrt(self.embedding.embedding_dim) + self.positions[: ids.shape[1]]

    def forward(self, source, target_in):
        """ids [B, Ts] and [B, Tt] -> logits [B, Tt, V]."""
        blocked = torch.ones(target_in.shape[1], target_in.shape[1], dtype=torch.bool).triu(1)  # True: may not, here
        padding = source == 0
        states = self.transformer(
            self.embed(source), self.embed(target_in), tgt_mask=blocked,
            src_key_padding_mask=padding, memory_key_padding_mask=padding,
        )  # fmt: skip
        return self.output(states)


@lru_cache(maxsize=16)  # every check asks for them, and each time a whole model would be made
def repaired_shapes(vocab_size: int, d_model: int, n_heads: int, n_layers: int, max_len: int) -> Shapes:
    with torch.device("meta"):
        state = RepairedTransformer(vocab_size, d_model, n_heads, n_layers, max_len).state_dict()
    return {name: list(value.shape) for name, value in state.items()}


def repaired_by_formula(arguments: tuple, weights: Weights, source: Tensor, target_in: Tensor) -> Tensor:
    """Lookup, layers and output by formula: no ``nn.Transformer`` in it."""
    _, d_model, n_heads, n_layers, _ = arguments
    keep = (source != 0)[:, None, None]

    def embed(ids: Tensor) -> Tensor:
        return F.embedding(ids, weights["embedding.weight"]) * d_model**0.5 + weights["positions"][: ids.shape[1]]

    def norm(name: str, x: Tensor) -> Tensor:
        return F.layer_norm(x, (d_model,), weights[f"transformer.{name}.weight"], weights[f"transformer.{name}.bias"])

    def attend(name: str, x: Tensor, keys: Tensor, mask: Tensor) -> Tensor:
        own = inside(f"transformer.{name}", weights)
        w_q, w_k, w_v = own["in_proj_weight"].chunk(3)
        b_q, b_k, b_v = own["in_proj_bias"].chunk(3)
        heads = [
            (rows @ w.mT + b).unflatten(-1, (n_heads, -1)).transpose(1, 2)
            for rows, w, b in ((x, w_q, b_q), (keys, w_k, b_k), (keys, w_v, b_v))
        ]
        joined = F.scaled_dot_product_attention(*heads, mask).transpose(1, 2).flatten(2)
        return linear(own, "out_proj", joined)

    def feed(name: str, x: Tensor) -> Tensor:
        own = inside(f"transformer.{name}", weights)
        return linear(own, "linear2", linear(own, "linear1", x).relu())

    memory, x = embed(source), embed(target_in)
    for number in range(n_layers):
        layer = f"encoder.layers.{number}"
        memory = norm(f"{layer}.norm1", memory + attend(f"{layer}.self_attn", memory, memory, keep))
        memory = norm(f"{layer}.norm2", memory + feed(layer, memory))
    memory = norm("encoder.norm", memory)
    for number in range(n_layers):
        layer = f"decoder.layers.{number}"
        x = norm(f"{layer}.norm1", x + attend(f"{layer}.self_attn", x, x, causal(x.shape[1])))
        x = norm(f"{layer}.norm2", x + attend(f"{layer}.multihead_attn", x, memory, keep))
        x = norm(f"{layer}.norm3", x + feed(layer, x))
    return linear(weights, "output", norm("decoder.norm", x))


class RepairedByHalves(nn.Module):
    """Calls encoder and decoder one after the other, with masks of floats."""

    def __init__(self, v, d, h, n, m):
        super().__init__()
        self.output, self.embedding = nn.Linear(d, v), nn.Embedding(v, d)
        self.positions = nn.Parameter(torch.randn(m, d) * 0.02)
        self.transformer = nn.Transformer(
            d_model=d, nhead=h, num_encoder_layers=n, num_decoder_layers=n, dim_feedforward=4 * d, batch_first=True
        )

    def forward(self, source, target_in):
        places = self.positions[None]
        x = F.embedding(source, self.embedding.weight) * self.positions.shape[1] ** 0.5 + places[:, : source.size(1)]
        y = self.embedding(target_in) * self.positions.shape[1] ** 0.5 + places[:, : target_in.size(1)]
        empty = torch.zeros(source.shape).masked_fill(source.eq(0), float("-inf"))
        memory = self.transformer.encoder(x, src_key_padding_mask=empty)
        mask = nn.Transformer.generate_square_subsequent_mask(target_in.shape[1])
        return self.output(self.transformer.decoder(y, memory, tgt_mask=mask, memory_key_padding_mask=empty))


class RepairedTransposed(nn.Module):
    """Leaves batch_first as it is, and turns the tensors round instead."""

    def __init__(self, v, d, h, n, m):
        super().__init__()
        self.embedding, self.d = nn.Embedding(v, d), d
        self.positions = nn.Parameter(torch.zeros(m, d))
        self.transformer = nn.Transformer(d, h, n, n, 4 * d)
        self.output = nn.Linear(d, v)

    def embed(self, ids):
        return self.embedding(ids.T) * math.sqrt(self.d) + self.positions[: ids.shape[1], None]

    def forward(self, source, target_in):
        t, padding = target_in.shape[1], source == 0
        blocked = torch.arange(t)[None] > torch.arange(t)[:, None]
        states = self.transformer(
            self.embed(source), self.embed(target_in), None, blocked, None, padding, None, padding
        )
        return self.output(states).transpose(0, 1)


class RepairedSteps(RepairedByHalves):
    """The repaired class whose steps can be got wrong one by one."""

    norm_first, batch_first, activation = False, True, "relu"

    def __init__(self, v, d, h, n, m):
        nn.Module.__init__(self)
        self.d = d
        self.make(v, d, h, n, m)

    def make(self, v, d, h, n, m):
        self.embedding, self.output = nn.Embedding(v, d), nn.Linear(d, v)
        self.positions = nn.Parameter(torch.zeros(m, d))
        self.transformer = self.stacks(d, h, n)

    def stacks(self, d, h, n):
        return nn.Transformer(
            d, h, n, n, 4 * d, batch_first=self.batch_first, norm_first=self.norm_first, activation=self.activation
        )

    def place(self, x, side):
        return x + self.positions[: x.shape[1]]

    def scale(self):
        return self.d**0.5

    def masks(self, source, target_in):
        padding = source == 0
        return {"tgt_mask": ~causal(target_in.shape[1]), "src_key_padding_mask": padding,
                "memory_key_padding_mask": padding}  # fmt: skip

    def finish(self, states):
        return self.output(states)

    def forward(self, source, target_in):
        x, y = (self.place(self.embedding(ids) * self.scale(), side) for side, ids in enumerate((source, target_in)))
        return self.finish(self.transformer(x, y, **self.masks(source, target_in)))


def repaired_but(**steps) -> type:
    return type("But", (RepairedSteps,), steps)


def without(*names: str) -> Callable:
    def masks(self, source, target_in):
        return {name: m for name, m in RepairedSteps.masks(self, source, target_in).items() if name not in names}

    return masks


def causal_source(self, source, target_in):
    return RepairedSteps.masks(self, source, target_in) | {"src_mask": ~causal(source.shape[1])}


def inverted_causal(self, source, target_in):
    t = target_in.shape[1]
    return RepairedSteps.masks(self, source, target_in) | {"tgt_mask": torch.ones(t, t, dtype=torch.bool).tril(-1)}


def causal_memory(self, source, target_in):
    mask = torch.ones(target_in.shape[1], source.shape[1], dtype=torch.bool).triu(1)
    return RepairedSteps.masks(self, source, target_in) | {"memory_mask": mask}


def one_position(self, v, d, h, n, m):
    RepairedSteps.make(self, v, d, h, n, m)
    self.positions = nn.Parameter(torch.zeros(1, d))


def linear_embedding(self, v, d, h, n, m):
    RepairedSteps.make(self, v, d, h, n, m)
    self.embedding = nn.Linear(v, d)


def no_output(self, v, d, h, n, m):
    RepairedSteps.make(self, v, d, h, n, m)
    del self.output


def position_of_number(self, x, side):
    """Every place gets the first vector."""
    return x + self.positions[:1]


def position_by_sentence(self, x, side):
    """The vectors go along the batch."""
    return x + self.positions[: x.shape[0], None]


def id_pairs(g: torch.Generator, v: int, b: int, t_s: int, t_t: int) -> tuple:
    """Source ids with padding at the end of all but the first sentence, and target ids without any."""
    source = integers(g, 1, v, b, t_s)
    for row in range(1, b):
        source[row, int(integers(g, 1, t_s)) :] = 0
    return source, integers(g, 1, v, b, t_t)


def leaks(submission, inputs):
    """Which target places change when one token is edited: of the target, of the padding, of another sentence."""
    module = submission(*inputs["arguments"])
    module.load_state_dict(inputs["weights"])
    module.eval()
    source, target_in = inputs["source"], inputs["target_in"]
    longer = torch.cat([source, torch.zeros_like(source[:, :2])], dim=1)
    before, found = module(source, target_in), {}
    changed = lambda after: ((after - before)[0].abs().amax(-1) > 1e-4).nonzero().flatten().tolist()  # noqa: E731
    for t in range(target_in.shape[1]):
        edited = target_in.clone()
        edited[0, t] = edited[0, t] % inputs["other"] + 1
        found[f"target token {t} edited: changes at"] = changed(module(source, edited))
    edited = source.clone()
    edited[1] = edited[1].flip(0)
    found["another sentence edited: changes at"] = changed(module(edited, target_in))
    found["padding added to the source: changes at"] = changed(module(longer, target_in))
    return found


def expected_leaks(inputs: dict) -> dict:
    t_t = inputs["target_in"].shape[1]
    found = {f"target token {t} edited: changes at": list(range(t, t_t)) for t in range(t_t)}
    return found | {"another sentence edited: changes at": [], "padding added to the source: changes at": []}


def leak_inputs(seed: int) -> dict:
    g, arguments = generator(seed), (19, 8, 2, 1, 12)
    source, target_in = integers(g, 1, 19, 2, 5), integers(g, 1, 19, 2, 4)
    return {"arguments": arguments, "weights": random_weights(g, repaired_shapes(*arguments)), "source": source,
            "target_in": target_in, "other": 18}  # fmt: skip


SPOT_THE_BUG = Exercise(
    id="spot_the_bug_07",
    chapter=7,
    title="Spot the bug: a Transformer around nn.Transformer",
    signature="spot_the_bug_07(vocab_size, d_model, n_heads, n_layers, max_len)",
    statement=r"""Document 001, §4, wraps `nn.Transformer` into a model. The class below does what it does, with our
names. Hardly a line of it is right. **Repair it**, so that it maps source ids `[B, Ts]` and target ids `[B, Tt]`, which
are shifted already, to logits `[B, Tt, V]`: `forward(source, target_in)`.

| attribute | what it has to be |
|---|---|
| `embedding` | an `nn.Embedding` for ids, one for both sides; its vectors are multiplied by $\sqrt{d_{\text{model}}}$ |
| `positions` | an `nn.Parameter` `[max_len, d_model]`: place $t$ gets row $t$, **added**, on both sides |
| `transformer` | an `nn.Transformer`: `n_layers` in each stack, inner width `4 * d_model`, post-norm and ReLU |
| `output` | an `nn.Linear` to the vocabulary, with bias |

- Id 0 is padding, and stands only at the end of sources. It must be invisible: in the encoder, and from the
  decoder. Build the masks **inside** `forward`; no target place sees a later one.
- `nn.Transformer`'s masks are the other way round than ours: True means *blocked*. Look up its arguments with
  `help(nn.Transformer)` and `help(nn.Transformer.forward)`:
  `batch_first`, `tgt_mask`, `src_key_padding_mask`, `memory_key_padding_mask`.
- The checks run in evaluation mode; the dropout rate does not matter.""",
    minutes=25,
    difficulty=4,
    concepts=("C15", "C20", "C28"),
    errata=("E053", "E054", "E055", "E056", "E057", "E058", "E059", "E060", "E061", "E062"),
    reference=RepairedTransformer,
    starter=BROKEN,
    read_again="chapter 07, “The class of document 001, line by line”",
    requires=("causal_mask", "padding_mask"),
    checks=(
        check_parameters(
            "parameters", 2, "Four attributes: an Embedding, a Parameter with max_len rows, an nn.Transformer "
            "with keywords, a Linear.",
            repaired_shapes, lambda g: [(23, 8, 4, 2, 17), (int(integers(g, 11, 99)), 6, 2, 1, 9)],
        ),
        check_module(
            "values", 4, "Embed times √d_model plus positions, on both sides; masks; output.",
            repaired_shapes, (23, 8, 2, 2, 17), lambda g: [id_pairs(g, 23, 3, 6, 4), id_pairs(g, 23, 2, 4, 7)],
            repaired_by_formula, needs=("parameters",), atol=1e-4,
        ),
        Check(
            "no_leaks", 2, "Edit the last target token: nothing before it may change. Edit another sentence, "
            "add padding: nothing at all.",
            leak_inputs, leaks, expected_leaks, needs=("values",),
        ),
        check_module_gradients(
            "gradients", 1, "Every parameter that takes part learns.",
            repaired_shapes, (13, 6, 2, 1, 7),
            lambda g: [id_pairs(g, 13, 2, 5, 3)], repaired_by_formula, needs=("values",),
        ),
        check_module(
            "edges", 1,
            "Think of one target token, of one source token, of sequences of max_len, and of as many tokens as "
            "sentences.",
            repaired_shapes, (11, 6, 2, 1, 6),
            lambda g: [id_pairs(g, 11, *sizes) for sizes in ((3, 4, 1), (1, 1, 4), (2, 6, 6), (4, 4, 4))],
            repaired_by_formula, needs=("values",), atol=1e-4,
        ),
    ),
    misconceptions=(
        Misconception(
            "no_causal_mask", repaired_but(masks=without("tgt_mask")),
            "There is no causal mask: each place sees the token that it is to predict (E059).",
        ),
        Misconception(
            "inverted_causal_mask", repaired_but(masks=inverted_causal),
            "Your causal mask is turned round: True means “blocked” here, and the future is what has to be blocked.",
        ),
        Misconception(
            "causal_source", repaired_but(masks=causal_source),
            "The source has a causal mask as well. It is known as a whole: only its padding is hidden (E060).",
        ),
        Misconception(
            "causal_memory", repaired_but(masks=causal_memory),
            "Your cross-attention is causal: target place t sees only the first t source words. It may see them all.",
        ),
        Misconception(
            "no_padding_masks", repaired_but(masks=without("src_key_padding_mask", "memory_key_padding_mask")),
            "Padding is read like words, in the encoder and from the decoder: two arguments are missing.",
        ),
        Misconception(
            "padding_in_memory", repaired_but(masks=without("memory_key_padding_mask")),
            "The encoder ignores padding, but the decoder still reads it from the memory.",
        ),
        Misconception(
            "padding_in_encoder", repaired_but(masks=without("src_key_padding_mask")),
            "The decoder ignores padding, but the encoder still mixes it into the words.",
        ),
        Misconception(
            "no_masks", repaired_but(masks=lambda self, source, target_in: {}),
            "There is no mask at all, as in the document's default (E059).",
        ),
        Misconception(
            "batch_second", repaired_but(batch_first=False),
            "`batch_first` is not set: nn.Transformer takes the batch for the sequence (E062).",
        ),
        Misconception(
            "pre_norm", repaired_but(norm_first=True),
            "Your layers are pre-norm. nn.Transformer is post-norm if left alone.",
        ),
        Misconception(
            "gelu", repaired_but(activation="gelu"), "Your layers use GELU. nn.Transformer uses ReLU if left alone.",
        ),
        Misconception(
            "not_scaled", repaired_but(scale=lambda self: 1.0),
            "The vectors are not multiplied by √d_model: against the positions the words would be too faint.",
        ),
        Misconception(
            "no_positions", repaired_but(place=lambda self, x, side: x),
            "No positions are added: nn.Transformer has none of its own (E061).",
        ),
        Misconception(
            "source_only_placed",
            repaired_but(place=lambda self, x, side: x if side else RepairedSteps.place(self, x, side)),
            "Positions are added to the source only.",
        ),
        Misconception(
            "target_only_placed",
            repaired_but(place=lambda self, x, side: RepairedSteps.place(self, x, side) if side else x),
            "Positions are added to the target only.",
        ),
        Misconception(
            "one_row_for_all", repaired_but(place=position_of_number),
            "Every place gets the same vector: that says nothing of order (E055).",
        ),
        Misconception(
            "position_by_sentence", repaired_but(place=position_by_sentence),
            "Your positions run along the batch: the first sentence gets row 0. They run along the tokens.",
        ),
        Misconception(
            "positions_called", repaired_but(place=lambda self, x, side: self.positions(x)),
            "A Parameter is a tensor: it cannot be called, only added (E054).",
        ),
        Misconception(
            "positions_scaled",
            repaired_but(
                place=lambda self, x, side: x + self.scale() * self.positions[: x.shape[1]],
            ),
            "You multiply the positions by √d_model, too. Only the words are.",
        ),
        Misconception(
            "states_returned", repaired_but(finish=lambda self, states: states),
            "You return the decoder's states. The map to the vocabulary takes no part (E058).",
        ),
        Misconception(
            "probabilities", repaired_but(finish=lambda self, states: self.output(states).softmax(-1)),
            "You return probabilities. Asked for are logits, as everywhere in the course.",
        ),
        Misconception(
            "one_position", repaired_but(make=one_position), "`positions` has one row for all places (E055).",
        ),
        Misconception(
            "linear_embedding", repaired_but(make=linear_embedding),
            "`embedding` is a Linear, which wants vectors of floats. For ids there is nn.Embedding (E057).",
        ),
        Misconception(
            "no_output", repaired_but(make=no_output), "There is no map to the vocabulary (E058).",
        ),
        Misconception(
            "decoder_by_default",
            repaired_but(stacks=lambda self, d, h, n: nn.Transformer(d, h, n, dim_feedforward=4 * d, batch_first=True)),
            "Your third number sets the encoder's depth only; the decoder keeps its six layers (E091).",
        ),
        Misconception(
            "default_width", repaired_but(stacks=lambda self, d, h, n: nn.Transformer(d, h, n, n, batch_first=True)),
            "The inner width is PyTorch's 2048. Asked for is 4·d_model.",
        ),
    ),
    alternatives=(RepairedByHalves, RepairedTransposed, RepairedSteps),
)  # fmt: skip

EXERCISES = (SHIFT_RIGHT, DECODER_LAYER, COUNT, SPOT_THE_BUG)
