"""Chapter 06: feed-forward networks, residuals, normalisation: the encoder layer."""

import math
from collections.abc import Callable
from statistics import NormalDist

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from course_lib import blocks
from course_lib.exercises.chapter_05 import StepByStep, attention_shapes, heads_by_loop
from course_lib.exercises.modules import (
    Shapes,
    Weights,
    check_module,
    check_module_errors,
    check_module_gradients,
    check_modules,
    check_parameters,
    linear,
    linear_shapes,
    random_mask,
)
from course_lib.grading.exercise import Exercise, Misconception, not_attempted
from course_lib.grading.observe import check_gradients, check_values, normal
from course_lib.torch_bridge import torch_state


def module_starter(id: str, sizes: str, docstring: str, forward: str) -> str:
    return f'''import torch
from torch import nn


class {id}(nn.Module):
    """{docstring}"""

    def __init__(self, {sizes}):
        super().__init__()
        raise NotImplementedError("{not_attempted(id)}")

    def forward(self, {forward}):
        raise NotImplementedError("{not_attempted(id)}")'''


# --- LayerNorm --------------------------------------------------------------------------------------------------------


def norm_shapes(d_model: int, eps: float = 1e-5) -> Shapes:
    return {"gain": [d_model], "bias": [d_model]}


def norm_by_loop(arguments: tuple, weights: Weights, x: Tensor) -> Tensor:
    """Vector by vector, from the definition."""
    eps = arguments[1] if len(arguments) > 1 else 1e-5
    rows = []
    for row in x.reshape(-1, x.shape[-1]):
        mean = sum(row) / len(row)
        variance = sum((number - mean) ** 2 for number in row) / len(row)
        rows.append((row - mean) / (variance + eps) ** 0.5 * weights["gain"] + weights["bias"])
    return torch.stack(rows).view(x.shape)


def norm_by_torch(arguments: tuple, weights: Weights, x: Tensor) -> Tensor:
    return F.layer_norm(x, x.shape[-1:], weights["gain"], weights["bias"], *arguments[1:])


class NormSteps(nn.Module):
    """Layer normalisation with each step on its own, so that each can be got wrong."""

    default = 1e-5

    def __init__(self, d_model, eps=None):
        super().__init__()
        self.eps = self.default if eps is None else eps
        self.make(d_model)

    def make(self, d):
        self.gain, self.bias = nn.Parameter(torch.ones(d)), nn.Parameter(torch.zeros(d))

    def centre(self, x):
        return x - x.mean(-1, keepdim=True)

    def size(self, x):
        return (x.var(-1, correction=0, keepdim=True) + self.eps).sqrt()

    def finish(self, y):
        return y * self.gain + self.bias

    def forward(self, x):
        return self.finish(self.centre(x) / self.size(x))


def norm_but(**steps) -> type:
    return type("But", (NormSteps,), steps)


class NormFromMoments(nn.Module):
    def __init__(self, width, epsilon=1e-5):
        super().__init__()
        self.epsilon = epsilon
        self.bias = nn.Parameter(torch.zeros(width))
        self.gain = nn.Parameter(torch.ones(width))

    def forward(self, z):
        mean = z.mean(dim=-1, keepdim=True)
        centred = z - mean
        second = centred.square().mean(-1, keepdim=True)
        return torch.addcmul(self.bias, self.gain, centred * torch.rsqrt(second + self.epsilon))


class NormByStandardising(nn.Module):
    def __init__(self, d, eps=1e-5):
        super().__init__()
        self.eps, self.gain, self.bias = eps, nn.Parameter(torch.ones(d)), nn.Parameter(torch.zeros(d))

    def forward(self, x):
        total = torch.einsum("...d->...", x)[..., None] / x.shape[-1]
        length = torch.linalg.vector_norm(x - total, dim=-1, keepdim=True)
        return (x - total) / torch.sqrt(length**2 / x.shape[-1] + self.eps) * self.gain + self.bias


class NormByTorch(nn.Module):
    def __init__(self, d, eps=1e-5):
        super().__init__()
        self.eps, self.gain, self.bias = eps, nn.Parameter(torch.ones(d)), nn.Parameter(torch.zeros(d))

    def forward(self, x):
        return F.layer_norm(x, (x.shape[-1],), self.gain, self.bias, self.eps)


def torch_names(self, d):
    self.weight, self.bias = nn.Parameter(torch.ones(d)), nn.Parameter(torch.zeros(d))


def exchanged_starts(self, d):
    self.gain, self.bias = nn.Parameter(torch.zeros(d)), nn.Parameter(torch.ones(d))


def random_start(self, d):
    self.gain, self.bias = nn.Parameter(torch.full((d,), 1 / d)), nn.Parameter(torch.zeros(d))


def one_number(self, d):
    self.gain, self.bias = nn.Parameter(torch.ones(1)), nn.Parameter(torch.zeros(1))


def gain_only(self, d):
    self.gain = nn.Parameter(torch.ones(d))


def untrained(self, d):
    self.register_buffer("gain", torch.ones(d))
    self.register_buffer("bias", torch.zeros(d))


def mixed_tokens(g: torch.Generator, *shape: int) -> tuple:
    """Tokens of quite different sizes and means, so that they cannot be normalised together."""
    x = normal(g, *shape)
    scale = 0.5 + 3 * torch.rand(*shape[:-1], 1, generator=g)
    return (scale * x + normal(g, *shape[:-1], 1),)


LAYER_NORM = Exercise(
    id="LayerNorm",
    chapter=6,
    title="Layer normalisation",
    signature="LayerNorm(d_model, eps=1e-5)",
    statement=r"""Give every token's vector mean 0 and variance 1, **on its own**, and then a learned gain and bias:

$$\mathrm{LN}(x) = g \odot \frac{x - \mu}{\sqrt{\sigma^2 + \epsilon}} + b, \qquad
\mu = \frac1D\sum_i x_i,\quad \sigma^2 = \frac1D\sum_i (x_i - \mu)^2$$

- Two parameters of length `d_model`: `gain`, ones at the start, and `bias`, zeros.
- The input is `[…, D]`, with any number of axes in front. Only the last one is averaged over.
- Mind what `var` divides by, and where $\epsilon$ stands.""",
    minutes=15,
    difficulty=2,
    concepts=("C24",),
    errata=("E010", "E120"),
    reference=blocks.LayerNorm,
    starter=module_starter(
        "LayerNorm", "d_model, eps=1e-5", "gain, bias: nn.Parameter [D]; forward(x [..., D]) -> [..., D].", "x"
    ),
    read_again="chapter 06, “Normalisation, by hand”",
    library_calls=("LayerNorm", "layer_norm", "native_layer_norm", "RMSNorm", "batch_norm"),
    checks=(
        check_parameters(
            "parameters", 2, "Two nn.Parameter of length d_model, gain and bias: ones and zeros at the start.",
            norm_shapes, lambda g: [(6,), (int(torch.randint(7, 9999, (), generator=g)), 1e-3)],
            lambda *_: {"gain": 1.0, "bias": 0.0},
        ),
        check_module(
            "values", 4,
            "Take one vector of four numbers, and do it by hand: mean, differences, mean of their squares.",
            norm_shapes, (6,), lambda g: [mixed_tokens(g, 5, 6), mixed_tokens(g, 2, 4, 6)], norm_by_torch,
            needs=("parameters",),
        ),
        check_module(
            "own_statistics", 1, "A token's result must not depend on the other tokens, or on other sentences.",
            norm_shapes, (5,),
            lambda g: [(torch.cat([one, k * one + k]),) for one in [normal(g, 1, 3, 5)] for k in (4, 9)],
            norm_by_loop, needs=("values",),
        ),
        check_module(
            "large_eps", 2, "ε is added to the variance, inside the root, and may be chosen.",
            norm_shapes, (6, 0.5), lambda g: [mixed_tokens(g, 3, 6), (0.1 * normal(g, 2, 4, 6),)], norm_by_torch,
            needs=("values",),
        ),
        check_module(
            "small_numbers", 1, "Without an eps given it is 1e-5. For small vectors that makes a difference.",
            norm_shapes, (6,), lambda g: [(0.003 * normal(g, 3, 6),), (0.0005 * normal(g, 2, 4, 6),)], norm_by_torch,
            needs=("values",),
        ),
        check_module_gradients(
            "gradients", 1,
            "Mean and variance depend on x, too: let gradients flow through them, and into gain and bias.",
            norm_shapes, (6,), lambda g: [mixed_tokens(g, 2, 4, 6)], norm_by_loop, needs=("values",),
        ),
        check_modules(
            "edges", 1,
            "Think of equal numbers, whose variance is 0, of a single feature, of one vector, and of float64.",
            norm_shapes,
            lambda g: {
                "with equal numbers": ((4,), (torch.full((2, 3, 4), 0.7),)),
                "with a single feature": ((1,), (normal(g, 3, 2, 1),)),
                "of one vector": ((7,), (normal(g, 7),)),
                "with four axes": ((5,), (normal(g, 2, 3, 4, 5),)),
                "in float64": ((6,), (normal(g, 2, 4, 6, dtype=torch.float64),)),
            },
            norm_by_loop, needs=("values",),
        ),
    ),
    misconceptions=(
        Misconception(
            "corrected_variance", norm_but(size=lambda self, x: (x.var(-1, keepdim=True) + self.eps).sqrt()),
            "These are the values when the variance is divided by D − 1, as `var` and `std` do unless told otherwise.",
        ),
        Misconception(
            "eps_outside",
            norm_but(size=lambda self, x: x.var(-1, correction=0, keepdim=True).sqrt() + self.eps),
            "You add ε to the standard deviation. It is added to the variance, inside the root.",
        ),
        Misconception(
            "no_eps", norm_but(size=lambda self, x: x.var(-1, correction=0, keepdim=True).sqrt()),
            "There is no ε: a vector of equal numbers gives 0/0.",
        ),
        Misconception(
            "eps_fixed", norm_but(size=lambda self, x: (x.var(-1, correction=0, keepdim=True) + 1e-5).sqrt()),
            "Your ε is always 1e-5, whatever is given.",
        ),
        Misconception(
            "other_default", norm_but(default=1e-6),
            "Your ε, when none is given, is not 1e-5. On small vectors this shows.",
        ),
        Misconception(
            "divided_by_variance", norm_but(size=lambda self, x: x.var(-1, correction=0, keepdim=True) + self.eps),
            "You divide by the variance. It takes its root to make the variance 1.",
        ),
        Misconception(
            "not_centred", norm_but(centre=lambda self, x: x),
            "You divide without taking the mean off first: the result has not mean 0.",
        ),
        Misconception(
            "root_mean_square",
            norm_but(
                centre=lambda self, x: x, size=lambda self, x: (x.square().mean(-1, keepdim=True) + self.eps).sqrt()
            ),
            "This is RMSNorm, which leaves the mean where it is. Many newer models use it; here the mean comes off.",
        ),
        Misconception(
            "only_centred", norm_but(size=lambda self, x: 1.0),
            "The mean is off, but nothing is divided.",
        ),
        Misconception(
            "over_the_tokens",
            norm_but(
                centre=lambda self, x: x - x.mean(-2, keepdim=True) if x.dim() > 1 else x,
                size=lambda self, x: (x.var(-2, correction=0, keepdim=True) + self.eps).sqrt() if x.dim() > 1 else 1.0,
            ),
            "You average over the tokens. A token is normalised on its own: over its features, the last axis.",
        ),
        Misconception(
            "over_the_batch",
            norm_but(
                centre=lambda self, x: x - x.mean(tuple(range(x.dim() - 1)), keepdim=True),
                size=lambda self, x: (x.var(tuple(range(x.dim() - 1)), correction=0, keepdim=True) + self.eps).sqrt(),
            ),
            "This is batch normalisation: each feature over all tokens of the batch. Layer normalisation takes each "
            "token over its features.",
        ),
        Misconception(
            "over_everything",
            norm_but(
                centre=lambda self, x: x - x.mean(), size=lambda self, x: (x.var(correction=0) + self.eps).sqrt()
            ),
            "You take one mean and one variance of the whole tensor. Each token has its own.",
        ),
        Misconception(
            "gain_ignored", norm_but(finish=lambda self, y: y),
            "Gain and bias are there, but take no part.",
        ),
        Misconception(
            "bias_first", norm_but(finish=lambda self, y: (y + self.bias) * self.gain),
            "You add the bias before you multiply by the gain.",
        ),
        Misconception(
            "statistics_detached", norm_but(size=lambda self, x: NormSteps.size(self, x).detach()),
            "The values are right, but the standard deviation is cut off from x, and the gradient is another one.",
        ),
        Misconception(
            "float32_only", norm_but(forward=lambda self, x: NormSteps.forward(self, x.float()).float()),
            "Your result is always float32. It should have the dtype of the input.",
        ),
        Misconception(
            "torch_names", norm_but(make=torch_names),
            "The gain is called `gain` here, not `weight` as in PyTorch: weights are exchanged by name.",
        ),
        Misconception(
            "exchanged_starts", norm_but(make=exchanged_starts),
            "The gain starts at 0 and the bias at 1: then every vector is normalised to ones. It is the other way "
            "round.",
        ),
        Misconception(
            "small_start", norm_but(make=random_start),
            "The gain starts at 1: at the beginning the layer normalises, and nothing else.",
        ),
        Misconception(
            "one_gain", norm_but(make=one_number),
            "Your gain and bias are single numbers. Each feature has its own.",
        ),
        Misconception(
            "no_bias", norm_but(make=gain_only, finish=lambda self, y: y * self.gain),
            "There is no bias. Some newer models leave it out; here it belongs to the layer.",
        ),
        Misconception(
            "not_trained", norm_but(make=untrained),
            "Gain and bias are buffers: they are saved, but never trained. Make them nn.Parameter.",
        ),
    ),
    alternatives=(NormSteps, NormFromMoments, NormByStandardising, NormByTorch),
)  # fmt: skip

# --- gelu -------------------------------------------------------------------------------------------------------------


def gelu_by_loop(x: Tensor) -> Tensor:
    """x·Φ(x), number by number, with Python's normal distribution."""
    values = [number * NormalDist().cdf(number) for number in x.double().flatten().tolist()]
    return torch.tensor(values, dtype=x.dtype).view(x.shape)


def gelu_by_torch(x: Tensor) -> Tensor:
    return F.gelu(x)


def gelu_by_tanh(x):
    return 0.5 * x * (1 + torch.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))


def gated(x):
    a, b = x.chunk(2, -1)
    return a * torch.sigmoid(b)


def gelu_by_math(x):
    return torch.tensor([v / 2 * (1 + math.erf(v / 2**0.5)) for v in x.flatten().tolist()], dtype=x.dtype).view(x.shape)


def gelu_in_place(x):
    x *= 0.5 * (1 + torch.erf(x / math.sqrt(2)))
    return x


GELU = Exercise(
    id="gelu",
    chapter=6,
    title="GELU",
    signature="gelu(x)",
    statement=r"""The **Gaussian error linear unit**: each number, times the probability that a standard normal variable
is below it. Exactly, with the error function:

$$\mathrm{GELU}(x) = x\,\Phi(x) = \frac x2\left(1 + \mathrm{erf}\!\left(\frac{x}{\sqrt2}\right)\right)$$

`x` may have any shape; the result has its shape and dtype. There is an approximation with tanh, which is not asked
for here.

(Document 004, §4.2, calls GELU the “Gated Linear Unit”. That is GLU, another function, which halves the width:
E126.)""",
    minutes=5,
    difficulty=1,
    concepts=("C23",),
    errata=("E126",),
    reference=blocks.gelu,
    starter=f'''def gelu(x):
    """x times the normal distribution function at x; any shape."""
    raise NotImplementedError("{not_attempted("gelu")}")''',
    read_again="chapter 06, “The bend in the middle”",
    library_calls=("gelu", "GELU"),
    checks=(
        check_values(
            "values", 4, "Work out GELU(1): Φ(1) = 0.8413. And GELU(−1)?",
            lambda g: [(2 * normal(g, 7),), (normal(g, 3, 4),), (torch.linspace(-3, 3, 13) + 0.1 * normal(g, 1),)],
            gelu_by_loop,
        ),
        check_values(
            "far_out", 2, "Far to the right it is x, far to the left it is 0.",
            lambda g: [(10 + 5 * normal(g, 6).abs(),), (-10 - 5 * normal(g, 5).abs(),), (1e4 * normal(g, 4),)],
            gelu_by_loop, needs=("values",),
        ),
        check_gradients(
            "gradients", 2, "Stay with torch operations on x: `torch.erf`, not `math.erf`.",
            lambda g: [(2 * normal(g, 3, 5),)], gelu_by_torch, needs=("values",),
        ),
        check_values(
            "edges", 1, "Think of 0, of a tensor without axes, and of float64.",
            lambda g: [
                (torch.zeros(2, 3),), (normal(g, 1)[0],), (normal(g, 2, 4, dtype=torch.float64),),
                (normal(g, 2, 3, 4, 5),),
                (normal(g, 3, 1),),
            ],
            gelu_by_loop, needs=("values",),
        ),
    ),
    misconceptions=(
        Misconception(
            "tanh_approximation", gelu_by_tanh,
            "This is the approximation with tanh, as in GPT-2: close, but up to 5 in 10,000 off. Use erf.",
        ),
        Misconception(
            "sigmoid_approximation", lambda x: x * torch.sigmoid(1.702 * x),
            "This is the approximation x·σ(1.702x), up to 0.02 off. Use erf.",
        ),
        Misconception(
            "gated_linear_unit", gated,
            "This is GLU, the gated linear unit: half of the features gate the other half, and the width is halved "
            "(E126).",
        ),
        Misconception(
            "silu", lambda x: x * torch.sigmoid(x), "This is SiLU, x·σ(x). GELU weighs by Φ, the normal distribution.",
        ),
        Misconception("relu", lambda x: x.relu(), "This is ReLU. GELU is smooth, and below 0 to the left of 0."),
        Misconception(
            "root_forgotten", lambda x: x / 2 * (1 + torch.erf(x)),
            "You take erf of x itself. Φ(x) needs erf(x/√2).",
        ),
        Misconception(
            "half_forgotten", lambda x: x * (1 + torch.erf(x / math.sqrt(2))),
            "Far to the right your values are 2x: what is 1 + erf there?",
        ),
        Misconception(
            "probability_only", lambda x: (1 + torch.erf(x / math.sqrt(2))) / 2,
            "This is Φ(x) alone. What is it multiplied by?",
        ),
        Misconception(
            "one_forgotten", lambda x: x / 2 * torch.erf(x / math.sqrt(2)),
            "This is the same to the left and to the right of 0: where is the 1?",
        ),
        Misconception(
            "density", lambda x: x * torch.exp(-(x**2) / 2) / math.sqrt(2 * math.pi),
            "You multiply by the density of the normal distribution. It is the distribution function, its integral.",
        ),
        Misconception(
            "elu", lambda x: F.elu(x), "This is ELU, another function with a similar name.",
        ),
        Misconception(
            "no_torch", gelu_by_math,
            "The values are right. But numbers that pass through Python's math have no gradient.",
        ),
        Misconception(
            "in_place", gelu_in_place, "Operators like *= write into the caller's tensor. Make a new one.",
        ),
        Misconception(
            "float32_only", lambda x: F.gelu(x.float()), "Your result is always float32. Keep the dtype of the input.",
        ),
    ),
    alternatives=(
        lambda x: x * torch.special.ndtr(x), lambda x: x * 0.5 * torch.erfc(-x / math.sqrt(2)),
        lambda x: x * torch.distributions.Normal(x.new_zeros(()), x.new_ones(())).cdf(x),
    ),
)  # fmt: skip

# --- FeedForward ------------------------------------------------------------------------------------------------------


def feed_forward_shapes(d_model: int, d_ff: int) -> Shapes:
    return linear_shapes("expand", d_model, d_ff) | linear_shapes("contract", d_ff, d_model)


def feed_forward_by_formula(arguments: tuple, weights: Weights, x: Tensor) -> Tensor:
    return linear(weights, "contract", torch.clamp(linear(weights, "expand", x), min=0))


def feed_forward_by_loop(arguments: tuple, weights: Weights, x: Tensor) -> Tensor:
    """Neuron by neuron: what it reads, when it fires, what it writes."""
    result = weights["contract.bias"].expand(x.shape)
    for j in range(arguments[1]):
        reads = (x * weights["expand.weight"][j]).sum(-1) + weights["expand.bias"][j]
        result = result + torch.where(reads > 0, reads, 0)[..., None] * weights["contract.weight"][:, j]
    return result


class FeedForwardSteps(nn.Module):
    """The feed-forward network with each step on its own, so that each can be got wrong."""

    def __init__(self, d_model, d_ff):
        super().__init__()
        self.make(d_model, d_ff)

    def make(self, d, d_ff):
        self.expand, self.contract = nn.Linear(d, d_ff), nn.Linear(d_ff, d)

    def bend(self, h):
        return h.relu()

    def forward(self, x):
        return self.contract(self.bend(self.expand(x)))


def feed_but(**steps) -> type:
    return type("But", (FeedForwardSteps,), steps)


class FeedForwardByMatrices(nn.Module):
    def __init__(self, outer, inner):
        super().__init__()
        self.contract = nn.Linear(inner, outer)
        self.expand = nn.Linear(outer, inner)

    def forward(self, x):
        inner = torch.maximum(x @ self.expand.weight.T + self.expand.bias, x.new_zeros(()))
        return inner @ self.contract.weight.T + self.contract.bias


class FeedForwardByGate(nn.Module):
    def __init__(self, d, f):
        super().__init__()
        self.expand, self.contract = nn.Linear(d, f), nn.Linear(f, d)

    def forward(self, x):
        h = torch.einsum("...d,fd->...f", x, self.expand.weight) + self.expand.bias
        return torch.einsum("...f,df->...d", h * (h > 0), self.contract.weight) + self.contract.bias


def no_biases(self, d, d_ff):
    self.expand, self.contract = nn.Linear(d, d_ff, bias=False), nn.Linear(d_ff, d, bias=False)


def four_times(self, d, d_ff):
    self.expand, self.contract = nn.Linear(d, 4 * d), nn.Linear(4 * d, d)


def square(self, d, d_ff):
    self.expand, self.contract = nn.Linear(d, d), nn.Linear(d, d)


def exchanged_sizes(self, d, d_ff):
    self.expand, self.contract = nn.Linear(d_ff, d), nn.Linear(d, d_ff)


def numbered(self, d, d_ff):
    self.linear_1, self.linear_2 = nn.Linear(d, d_ff), nn.Linear(d_ff, d)


def with_norm(self, d, d_ff):
    FeedForwardSteps.make(self, d, d_ff)
    self.norm = nn.LayerNorm(d)


def over_positions(self, x):
    if x.dim() < 2:
        return FeedForwardSteps.forward(self, x)
    return FeedForwardSteps.forward(self, x.mean(-2, keepdim=True)).expand(x.shape)


FEED_FORWARD = Exercise(
    id="FeedForward",
    chapter=6,
    title="The feed-forward network",
    signature="FeedForward(d_model, d_ff)",
    statement=r"""Two linear maps with one bend between them, for every position alone:

$$\mathrm{FFN}(x) = \max(0,\; xW_1 + b_1)\,W_2 + b_2$$

- `expand`: an `nn.Linear` from `d_model` to `d_ff`; `contract`: one back. Both have biases.
- The input is `[…, D]`, the result has its shape. There is **one** activation, ReLU, in the middle: nothing at the end.
- No residual, no norm: they stand around this module.""",
    minutes=10,
    difficulty=1,
    concepts=("C22", "C23"),
    errata=("E007", "E025", "E125"),
    reference=blocks.FeedForward,
    starter=module_starter(
        "FeedForward", "d_model, d_ff", "expand, contract: nn.Linear; forward(x [..., D]) -> [..., D].", "x"
    ),
    read_again="chapter 06, “The feed-forward network, by hand”",
    library_calls=("FeedForward",),
    checks=(
        check_parameters(
            "parameters", 2, "Two Linear layers with biases: expand from d_model to d_ff, contract back.",
            feed_forward_shapes, lambda g: [(5, 12), (8, int(torch.randint(9, 999, (), generator=g))), (7, 3)],
        ),
        check_module(
            "values", 4, "Expand, cut off what is negative, contract. Nothing before, nothing after.",
            feed_forward_shapes, (5, 12), lambda g: [(normal(g, 2, 4, 5),), (3 * normal(g, 3, 7, 5),)],
            feed_forward_by_formula, needs=("parameters",),
        ),
        check_module(
            "each_position_alone", 2, "Each position is treated alone, and all in the same way.",
            feed_forward_shapes, (5, 12),
            lambda g: [(x[:, order],) for x in [normal(g, 2, 6, 5)] for order in (torch.randperm(6, generator=g), [3])],
            feed_forward_by_loop, needs=("values",),
        ),
        check_module_gradients(
            "gradients", 2, "Both layers learn, and so does what comes before them.",
            feed_forward_shapes, (5, 12), lambda g: [(normal(g, 2, 4, 5),)], feed_forward_by_loop, needs=("values",),
        ),
        check_modules(
            "edges", 1, "Think of a d_ff smaller than d_model, of one vector, of four axes, and of float64.",
            feed_forward_shapes,
            lambda g: {
                "narrow inside": ((6, 2), (normal(g, 3, 4, 6),)),
                "with one inner feature": ((3, 1), (normal(g, 2, 4, 3),)),
                "of one vector": ((4, 9), (normal(g, 4),)),
                "with four axes": ((4, 6), (normal(g, 2, 3, 5, 4),)),
                "in float64": ((5, 8), (normal(g, 2, 3, 5, dtype=torch.float64),)),
            },
            feed_forward_by_loop, needs=("values",),
        ),
    ),
    misconceptions=(
        Misconception(
            "softmax_output", feed_but(forward=lambda self, x: FeedForwardSteps.forward(self, x).softmax(-1)),
            "There is a softmax at the end, as documents 000, §2.4 and §4.3, have it (E007): every token would get "
            "only "
            "positive numbers that sum to 1.",
        ),
        Misconception(
            "activated_output", feed_but(forward=lambda self, x: FeedForwardSteps.forward(self, x).relu()),
            "There is an activation at the end. Then a token's features could only ever be raised.",
        ),
        Misconception(
            "activated_input", feed_but(forward=lambda self, x: FeedForwardSteps.forward(self, x.relu())),
            "There is an activation in front, too, as document 000, §2.4, has it (E007): it cuts off half of the "
            "input.",
        ),
        Misconception(
            "no_activation", feed_but(bend=lambda self, h: h),
            "Nothing happens between the two linear maps: together they are one linear map.",
        ),
        Misconception("gelu", feed_but(bend=lambda self, h: F.gelu(h)), "You use GELU. Asked for is ReLU."),
        Misconception(
            "leaky_relu", feed_but(bend=lambda self, h: F.leaky_relu(h)), "Your ReLU leaks: below 0 it is not 0.",
        ),
        Misconception("sigmoid", feed_but(bend=lambda self, h: h.sigmoid()), "You use a sigmoid. Asked for is ReLU."),
        Misconception("tanh", feed_but(bend=lambda self, h: h.tanh()), "You use tanh. Asked for is ReLU."),
        Misconception(
            "softmax_inside", feed_but(bend=lambda self, h: h.softmax(-1)),
            "You use a softmax inside. It belongs to attention, and to the very end of a model.",
        ),
        Misconception(
            "same_matrix",
            feed_but(forward=lambda self, x: self.expand(x).relu() @ self.expand.weight + self.contract.bias),
            "You use one matrix for the way there and the way back, as documents 000, §4.3, and 004, §4.2, do (E025, "
            "E125).",
        ),
        Misconception(
            "residual", feed_but(forward=lambda self, x: x + FeedForwardSteps.forward(self, x)),
            "You add the input. That is the residual connection, which stands around this module.",
        ),
        Misconception(
            "one_for_all", feed_but(forward=over_positions),
            "You treat the mean of all positions. Each position goes through alone.",
        ),
        Misconception(
            "output_bias_forgotten",
            feed_but(forward=lambda self, x: self.bend(self.expand(x)) @ self.contract.weight.T),
            "The second bias takes no part.",
        ),
        Misconception(
            "detached", feed_but(bend=lambda self, h: h.detach().relu()),
            "The values are right, but the first layer is cut off, and never learns.",
        ),
        Misconception(
            "float32_only", feed_but(forward=lambda self, x: FeedForwardSteps.forward(self.float(), x.float())),
            "Your result is always float32. It should have the dtype of the input.",
        ),
        Misconception("no_biases", feed_but(make=no_biases), "Your Linear layers have no biases. Both should."),
        Misconception(
            "always_four_times", feed_but(make=four_times),
            "Your inner width is always 4·d_model. That is a custom; the module is told its d_ff.",
        ),
        Misconception(
            "square", feed_but(make=square),
            "Your matrices are square. Where is d_ff? The bend has to happen in the wider space (E125).",
        ),
        Misconception(
            "sizes_exchanged", feed_but(make=exchanged_sizes), "nn.Linear is told the width that comes in first.",
        ),
        Misconception(
            "other_names", feed_but(make=numbered, forward=lambda self, x: self.linear_2(self.linear_1(x).relu())),
            "The layers should be called expand and contract: weights are exchanged by name.",
        ),
        Misconception(
            "norm_inside",
            feed_but(make=with_norm, forward=lambda self, x: FeedForwardSteps.forward(self, self.norm(x))),
            "There is a norm inside. It stands around this module.",
        ),
    ),
    alternatives=(FeedForwardSteps, FeedForwardByMatrices, FeedForwardByGate),
)  # fmt: skip

# --- EncoderLayer -----------------------------------------------------------------------------------------------------


def under(name: str, shapes: Shapes) -> Shapes:
    return {f"{name}.{key}": shape for key, shape in shapes.items()}


def inside(name: str, weights: Weights) -> Weights:
    return {key.removeprefix(f"{name}."): value for key, value in weights.items() if key.startswith(f"{name}.")}


def encoder_shapes(d_model: int, n_heads: int, d_ff: int, norm: str = "pre") -> Shapes:
    return (
        under("attention", attention_shapes(d_model, n_heads))
        | under("feed_forward", feed_forward_shapes(d_model, d_ff))
        | under("norm_1", norm_shapes(d_model))
        | under("norm_2", norm_shapes(d_model))
    )


def encoder_by_torch(arguments: tuple, weights: Weights, x: Tensor, mask: Tensor | None = None) -> Tensor:
    """`nn.TransformerEncoderLayer` with these weights."""
    d_model, n_heads, d_ff, norm = (*arguments, "pre")[:4]
    layer = nn.TransformerEncoderLayer(d_model, n_heads, d_ff, 0.0, batch_first=True, norm_first=norm == "pre")
    layer.load_state_dict(torch_state(weights))
    blocked = None if mask is None else ~mask.expand(len(x), n_heads, x.shape[1], x.shape[1]).flatten(0, 1)
    with torch.no_grad():
        return layer(x, src_mask=blocked)  # in training mode: the ordinary path, and no dropout


def encoder_by_formula(arguments: tuple, weights: Weights, x: Tensor, mask: Tensor | None = None) -> Tensor:
    """The two equations, with PyTorch's layer norm and attention by loops."""
    d_model, n_heads, _, norm = (*arguments, "pre")[:4]

    def normalise(k: int, y: Tensor) -> Tensor:
        return F.layer_norm(y, (d_model,), weights[f"norm_{k}.gain"], weights[f"norm_{k}.bias"])

    def attend(y: Tensor) -> Tensor:
        return heads_by_loop((d_model, n_heads), inside("attention", weights), y, y, y, mask)

    def feed(y: Tensor) -> Tensor:
        return feed_forward_by_formula((), inside("feed_forward", weights), y)

    if norm == "pre":
        x = x + attend(normalise(1, x))
        return x + feed(normalise(2, x))
    x = normalise(1, x + attend(x))
    return normalise(2, x + feed(x))


class EncoderSteps(nn.Module):
    """An encoder layer whose two orders can be got wrong one by one."""

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
        self.attention, self.feed_forward = StepByStep(d, h), FeedForwardSteps(d, d_ff)
        self.norm_1, self.norm_2 = NormSteps(d), NormSteps(d)

    def attend(self, x, mask):
        return self.attention(x, x, x, mask)

    def pre(self, x, mask):
        x = x + self.attend(self.norm_1(x), mask)
        return x + self.feed_forward(self.norm_2(x))

    def post(self, x, mask):
        x = self.norm_1(x + self.attend(x, mask))
        return self.norm_2(x + self.feed_forward(x))

    def forward(self, x, mask=None):
        return self.pre(x, mask) if self.norm == "pre" else self.post(x, mask)


def layer_but(**steps) -> type:
    return type("But", (EncoderSteps,), steps)


def both(order: Callable) -> type:
    """A layer with an order of its own; `order(self, x, mask, before, after)`, one of the last two is the identity."""
    same = lambda y: y  # noqa: E731

    def pre(self, x, mask):
        return order(self, x, mask, (self.norm_1, self.norm_2), (same, same))

    def post(self, x, mask):
        return order(self, x, mask, (same, same), (self.norm_1, self.norm_2))

    return layer_but(pre=pre, post=post)


def without_residuals(self, x, mask, before, after):
    x = after[0](self.attend(before[0](x), mask))
    return after[1](self.feed_forward(before[1](x)))


def without_first_residual(self, x, mask, before, after):
    x = after[0](self.attend(before[0](x), mask))
    return after[1](x + self.feed_forward(before[1](x)))


def without_second_residual(self, x, mask, before, after):
    x = after[0](x + self.attend(before[0](x), mask))
    return after[1](self.feed_forward(before[1](x)))


def without_norms(self, x, mask, before, after):
    x = x + self.attend(x, mask)
    return x + self.feed_forward(x)


def feeding_first(self, x, mask, before, after):
    x = after[0](x + self.feed_forward(before[0](x)))
    return after[1](x + self.attend(before[1](x), mask))


def side_by_side(self, x, mask, before, after):
    return after[1](x + self.attend(before[0](x), mask) + self.feed_forward(before[1](x)))


def norms_exchanged(self, x, mask, before, after):
    x = after[1](x + self.attend(before[1](x), mask))
    return after[0](x + self.feed_forward(before[0](x)))


def one_norm_twice(self, x, mask, before, after):
    x = after[0](x + self.attend(before[0](x), mask))
    return after[0](x + self.feed_forward(before[0](x)))


def attention_only(self, x, mask, before, after):
    return after[0](x + self.attend(before[0](x), mask))


def first_input_twice(self, x, mask, before, after):
    y = after[0](x + self.attend(before[0](x), mask))
    return after[1](x + self.feed_forward(before[1](y)))


def normalised_stream(self, x, mask):
    x = self.norm_1(x)
    x = x + self.attend(x, mask)
    x = self.norm_2(x)
    return x + self.feed_forward(x)


def norm_of_branch(self, x, mask):
    x = x + self.norm_1(self.attend(x, mask))
    return x + self.norm_2(self.feed_forward(x))


def queries_only_normalised(self, x, mask):
    x = x + self.attention(self.norm_1(x), x, x, mask)
    return x + self.feed_forward(self.norm_2(x))


def as_document_004(self, x, mask):
    """The stream itself is replaced by normalised and projected vectors."""
    y = self.norm_1(x + x)
    x = y + self.attend(y, mask)
    return self.norm_2(x + x) + self.feed_forward(x)


def torch_norms(self, d, h, d_ff):
    EncoderSteps.make(self, d, h, d_ff)
    self.norm_1, self.norm_2 = nn.LayerNorm(d), nn.LayerNorm(d)


def one_norm(self, d, h, d_ff):
    self.attention, self.feed_forward, self.norm_1 = StepByStep(d, h), FeedForwardSteps(d, d_ff), NormSteps(d)
    self.norm_2 = self.norm_1


def torch_attention(self, d, h, d_ff):
    EncoderSteps.make(self, d, h, d_ff)
    self.attention = nn.MultiheadAttention(d, h, batch_first=True)


def zero_gains(self, d, h, d_ff):
    EncoderSteps.make(self, d, h, d_ff)
    nn.init.zeros_(self.norm_1.gain)
    nn.init.zeros_(self.norm_2.gain)


def asserted(self, norm):
    assert norm in ("pre", "post")


class WithResidual(nn.Module):
    """Written around a function that knows the placement."""

    def __init__(self, d, h, f, norm="pre"):
        super().__init__()
        if norm != "pre" and norm != "post":
            raise ValueError(norm)
        self.placement = norm
        self.norm_1, self.norm_2 = NormFromMoments(d), NormByStandardising(d)
        self.attention, self.feed_forward = StepByStep(d, h), FeedForwardByMatrices(d, f)

    def add(self, x, norm, work):
        return x + work(norm(x)) if self.placement == "pre" else norm(x + work(x))

    def forward(self, x, mask=None):
        x = self.add(x, self.norm_1, lambda y: self.attention(y, y, y, mask))
        return self.add(x, self.norm_2, self.feed_forward)


class InALine(nn.Module):
    """Both placements in one expression: what is not wanted is the identity. Raises when it is called."""

    def __init__(self, d, h, f, norm="pre"):
        super().__init__()
        self.attention, self.feed_forward = StepByStep(d, h), FeedForwardSteps(d, f)
        self.norm_1, self.norm_2, self.norm = NormByTorch(d), NormByTorch(d), norm

    def forward(self, x, mask=None):
        same = nn.Identity()
        if self.norm not in {"pre", "post"}:
            raise ValueError(f"unknown norm {self.norm}")
        for norm, work in ((self.norm_1, lambda y: self.attention(y, y, y, mask)), (self.norm_2, self.feed_forward)):
            before, after = (norm, same) if self.norm == "pre" else (same, norm)
            x = after(x + work(before(x)))
        return x


def encoder_masks(g: torch.Generator) -> list[tuple]:
    x = 2 * normal(g, 2, 5, 12)
    causal = torch.ones(5, 5, dtype=torch.bool).tril()
    return [(x, causal), (x, random_mask(g, 2, 1, 1, 5)), (x, random_mask(g, 2, 3, 5, 5)), (x, None)]


def blind_encoder_cases(g: torch.Generator) -> list[tuple]:
    padding = torch.ones(2, 1, 1, 5, dtype=torch.bool)
    padding[1] = False  # an empty sentence
    return [(2 * normal(g, 2, 5, 12), padding)]


def stream(g: torch.Generator, *shape: int) -> list[tuple]:
    return [(2 * normal(g, *shape) + normal(g, *shape[:-1], 1),)]


ENCODER_LAYER = Exercise(
    id="EncoderLayer",
    chapter=6,
    title="The encoder layer",
    signature='EncoderLayer(d_model, n_heads, d_ff, norm="pre")',
    statement=r"""Put the parts together: `attention`, `feed_forward`, `norm_1`, `norm_2`, each with the parameter
names of its own exercise (`attention.query.weight`, `feed_forward.expand.bias`, `norm_1.gain` …).

| `norm="pre"` | `norm="post"` |
|---|---|
| $x \leftarrow x + \mathrm{MHA}(\mathrm{LN}_1(x))$ | $x \leftarrow \mathrm{LN}_1(x + \mathrm{MHA}(x))$ |
| $x \leftarrow x + \mathrm{FFN}(\mathrm{LN}_2(x))$ | $x \leftarrow \mathrm{LN}_2(x + \mathrm{FFN}(x))$ |

- `forward(x, mask=None)`: `x` is `[B, T, D]`, the mask is handed on to the attention. No dropout here.
- Any other `norm` raises a `ValueError` when the layer is built.

Build it from your own parts, or import `MultiHeadAttention` (`course_lib.attention`), `FeedForward` and `LayerNorm`
(`course_lib.blocks`).""",
    minutes=20,
    difficulty=3,
    concepts=("C24", "C25"),
    errata=("E010", "E075", "E088", "E120"),
    reference=blocks.EncoderLayer,
    starter=module_starter(
        "EncoderLayer", 'd_model, n_heads, d_ff, norm="pre"',
        "attention, feed_forward, norm_1, norm_2; forward(x [B, T, D], mask=None) -> [B, T, D].", "x, mask=None",
    ),
    read_again="chapter 06, “Two places for the norm”",
    requires=("MultiHeadAttention", "FeedForward", "LayerNorm"),
    library_calls=("TransformerEncoderLayer", "TransformerEncoder", "EncoderLayer"),
    checks=(
        check_parameters(
            "parameters", 2, "Each part under its own name, with the names of its exercise inside.",
            encoder_shapes, lambda g: [(12, 3, int(torch.randint(13, 999, (), generator=g))), (6, 2, 5, "post")],
            lambda *_: {"norm_1.gain": 1.0, "norm_1.bias": 0.0, "norm_2.gain": 1.0, "norm_2.bias": 0.0},
        ),
        check_module(
            "pre", 3, "Pre-norm: only what goes into a sub-layer is normalised. The stream x itself is only added to.",
            encoder_shapes, (12, 3, 20, "pre"), lambda g: stream(g, 2, 5, 12), encoder_by_torch, needs=("parameters",),
        ),
        check_module(
            "post", 3, "Post-norm: first add, then normalise the sum.",
            encoder_shapes, (12, 3, 20, "post"), lambda g: stream(g, 2, 5, 12), encoder_by_torch, needs=("parameters",),
        ),
        check_module(
            "default", 1, "Without a fourth argument the layer is pre-norm.",
            encoder_shapes, (12, 3, 20), lambda g: stream(g, 2, 4, 12), encoder_by_torch, needs=("pre",),
        ),
        check_module(
            "masks", 2, "Hand the mask on to the attention, as it is.",
            encoder_shapes, (12, 3, 20, "pre"), encoder_masks, encoder_by_torch, needs=("pre",),
        ),
        check_module(
            "empty_sentence", 1,
            "Where nothing may be attended to, what remains is the residual and the output's bias.",
            encoder_shapes, (12, 3, 20, "post"), blind_encoder_cases, encoder_by_formula, needs=("post",),
        ),
        check_module_gradients(
            "gradients", 2, "All parts learn, in both sub-layers.",
            encoder_shapes, (12, 3, 20, "pre"), lambda g: stream(g, 2, 4, 12), encoder_by_formula, needs=("pre",),
        ),
        check_modules(
            "edges", 1, "Think of one token, of one head, of a narrow feed-forward network, and of float64.",
            encoder_shapes,
            lambda g: {
                "with one token": ((6, 2, 10, "post"), (normal(g, 3, 1, 6),)),
                "with one head": ((6, 1, 3, "pre"), (normal(g, 2, 4, 6),)),
                "in float64": ((8, 2, 10, "pre"), (normal(g, 2, 3, 8, dtype=torch.float64),)),
                "post-norm with a mask": ((8, 4, 6, "post"), (normal(g, 2, 3, 8), random_mask(g, 2, 1, 3, 3))),
            },
            encoder_by_formula, needs=("pre", "post"),
        ),
        check_module_errors(
            "unknown_norm", 1, 'Only "pre" and "post" are known. Anything else deserves a ValueError.',
            lambda g: {
                f"EncoderLayer(6, 2, 10, {norm!r})": ((6, 2, 10, norm), (normal(g, 2, 3, 6),))
                for norm in ("middle", "Pre", "", "postnorm")
            },
            needs=("parameters",),
        ),
    ),
    misconceptions=(
        Misconception(
            "always_post", layer_but(pre=EncoderSteps.post),
            "These are the values of a post-norm layer: `norm` makes no difference, and the stream is normalised.",
        ),
        Misconception(
            "always_pre", layer_but(post=EncoderSteps.pre),
            'These are the values of a pre-norm layer: `norm="post"` makes no difference.',
        ),
        Misconception(
            "exchanged", layer_but(pre=EncoderSteps.post, post=EncoderSteps.pre),
            "You have the two placements the wrong way round: “pre” normalises *before* the sub-layer.",
        ),
        Misconception(
            "default_post", layer_but(default="post"), "Without a fourth argument your layer is post-norm.",
        ),
        Misconception(
            "without_residuals", both(without_residuals),
            "Nothing is added to x: the residual connections are missing. No document names them (E010).",
        ),
        Misconception(
            "without_first_residual", both(without_first_residual),
            "There is no residual connection around the attention.",
        ),
        Misconception(
            "without_second_residual", both(without_second_residual),
            "There is no residual connection around the feed-forward network.",
        ),
        Misconception(
            "without_norms", both(without_norms),
            "Nothing is normalised: the norms are there, but take no part (E010).",
        ),
        Misconception(
            "feed_forward_first", both(feeding_first),
            "The feed-forward network comes before the attention. It is the other way round.",
        ),
        Misconception(
            "side_by_side", both(side_by_side),
            "Attention and feed-forward network work side by side on the same x. The second one works on what the "
            "first has made.",
        ),
        Misconception(
            "norms_exchanged", both(norms_exchanged),
            "norm_1 belongs to the attention, norm_2 to the feed-forward network.",
        ),
        Misconception(
            "one_norm_twice", both(one_norm_twice), "You use norm_1 both times. Each sub-layer has its own.",
        ),
        Misconception(
            "attention_only", both(attention_only), "There is no feed-forward network in the result.",
        ),
        Misconception(
            "first_input_twice", both(first_input_twice),
            "The second residual adds the layer's first input, so that what the attention had added is lost.",
        ),
        Misconception(
            "normalised_stream", layer_but(pre=normalised_stream),
            "You normalise x and go on with the normalised one. In pre-norm only the sub-layer sees it; what is added "
            "to is x as it was.",
        ),
        Misconception(
            "norm_of_branch", layer_but(pre=norm_of_branch),
            "You normalise what the sub-layer gives. Pre-norm normalises what it is given.",
        ),
        Misconception(
            "queries_only_normalised", layer_but(pre=queries_only_normalised),
            "Only the queries are normalised. In self-attention queries, keys and values come from the same vectors.",
        ),
        Misconception(
            "as_document_004", layer_but(pre=as_document_004),
            "This is what document 004, §4.1, prints: the normalised sum takes the place of the stream (E120).",
        ),
        Misconception(
            "mask_ignored", layer_but(attend=lambda self, x, mask: self.attention(x, x, x)),
            "These are exactly the values without the mask.",
        ),
        Misconception(
            "mask_inverted",
            layer_but(attend=lambda self, x, mask: self.attention(x, x, x, None if mask is None else ~mask)),
            "Your mask is turned around. Here True means “may attend”, in the layer and in the attention.",
        ),
        Misconception(
            "detached_stream",
            layer_but(
                pre=lambda self, x, mask: (lambda y: y + self.feed_forward(self.norm_2(y)))(
                    x.detach() + self.attend(self.norm_1(x), mask)
                )
            ),
            "The values are right, but the residual path is cut off: the gradient's own road past the sub-layers.",
        ),
        Misconception(
            "unchecked", layer_but(check=lambda self, norm: None),
            "A `norm` that you do not know is taken for one that you do. A typing error would train for a week.",
        ),
        Misconception(
            "asserted", layer_but(check=asserted), "An `assert` raises an AssertionError. Raise a ValueError.",
        ),
        Misconception(
            "torch_norms", layer_but(make=torch_norms),
            "PyTorch's LayerNorm calls its gain `weight`. Take yours, or the course's.",
        ),
        Misconception(
            "torch_attention", layer_but(make=torch_attention),
            "PyTorch's attention has other parameter names than yours, and other masks.",
        ),
        Misconception(
            "one_norm", layer_but(make=one_norm),
            "norm_1 and norm_2 are the same module: there is one gain and one bias under two names.",
        ),
        Misconception(
            "zero_gains", layer_but(make=zero_gains), "The gains of the norms start at 1.",
        ),
        Misconception(
            "float32_only", layer_but(forward=lambda self, x, mask=None: EncoderSteps.forward(self.float(),
            x.float(), mask)),
            "Your result is always float32. It should have the dtype of the input.",
        ),
    ),
    alternatives=(EncoderSteps, WithResidual, InALine),
)  # fmt: skip

# --- spot the bug -----------------------------------------------------------------------------------------------------

BROKEN = '''\
def spot_the_bug_06(x, gain, bias, w_1, b_1, w_2, b_2):
    """The feed-forward sub-layer, as documents 004 (§4.2) and 000 (§4.3) write it."""
    x = torch.nn.functional.layer_norm(x + x, x.shape[-1:], gain, bias) @ w_1  # X = LayerNorm(X + X_embedding) W
    value, gate = x.chunk(2, dim=-1)
    hidden = value * torch.sigmoid(gate)  # "GELU, the gated linear unit"
    hidden = hidden @ w_1  # X + GELU(X) W, the same W
    return x + hidden.softmax(dim=-1)  # "the output layer uses softmax"'''


def feed_forward_sublayer(x, gain, bias, w_1, b_1, w_2, b_2):
    """X + GELU(LN(X) W_1 + b_1) W_2 + b_2: a pre-norm feed-forward sub-layer (Xiong et al. 2020).

    Args:
        x: [..., D]; gain, bias: [D] of the norm; w_1: [D, F], b_1: [F], w_2: [F, D], b_2: [D].

    Returns:
        [..., D].
    """
    normalised = torch.nn.functional.layer_norm(x, x.shape[-1:], gain, bias)
    return x + blocks.gelu(normalised @ w_1 + b_1) @ w_2 + b_2


def sublayer_by_torch(x, gain, bias, w_1, b_1, w_2, b_2):
    hidden = F.gelu(F.linear(F.layer_norm(x, x.shape[-1:], gain, bias), w_1.mT, b_1))
    return x + F.linear(hidden, w_2.mT, b_2)


def sublayer_by_loop(x, gain, bias, w_1, b_1, w_2, b_2):
    """Vector by vector, neuron by neuron."""
    rows = []
    for row in x.reshape(-1, x.shape[-1]):
        centred = row - row.mean()
        normalised = centred / (centred.square().mean() + 1e-5) ** 0.5 * gain + bias
        for j in range(len(b_1)):
            reads = normalised @ w_1[:, j] + b_1[j]
            row = row + reads * torch.special.ndtr(reads) * w_2[j]
        rows.append(row + b_2)
    return torch.stack(rows).view(x.shape)


def sublayer_by_einsum(x, gain, bias, w_1, b_1, w_2, b_2):
    variance, mean = torch.var_mean(x, -1, correction=0, keepdim=True)
    y = (x - mean) / (variance + 1e-5).sqrt() * gain + bias
    h = torch.einsum("...d,df->...f", y, w_1) + b_1
    return torch.einsum("...f,fd->...d", h / 2 * torch.erfc(-h / math.sqrt(2)), w_2) + b_2 + x


def sublayer(g: torch.Generator, d: int, d_ff: int, *lead: int, dtype=torch.float32) -> tuple:
    x = 2 * normal(g, *lead, d, dtype=dtype) + normal(g, *lead, 1, dtype=dtype)
    w_1, w_2 = normal(g, d, d_ff, dtype=dtype) / math.sqrt(d), normal(g, d_ff, d, dtype=dtype) / math.sqrt(d_ff)
    gain, bias, b_1, b_2 = (normal(g, size, dtype=dtype) for size in (d, d, d_ff, d))
    return x, 1 + 0.5 * gain, bias, w_1, b_1, w_2, b_2


def nothing_learned(g: torch.Generator) -> list[tuple]:
    """A sub-layer that contributes nothing, or the same to every token: x must still be there."""
    x, gain, bias, w_1, b_1, w_2, b_2 = sublayer(g, 6, 14, 2, 5)
    return [(x, gain, bias, w_1, b_1, torch.zeros_like(w_2), shift) for shift in (torch.zeros_like(b_2), b_2)]


def mended(
    read=lambda x, gain, bias: F.layer_norm(x, x.shape[-1:], gain, bias), keep=lambda x, gain, bias: x,
    bend=F.gelu, back=lambda h, w_1, w_2: h @ w_2, first=lambda b: b, last=lambda b: b, end=lambda y: y,
) -> Callable:  # fmt: skip
    """The broken code with some of its steps repaired; without arguments all of them."""

    def sub_layer(x, gain, bias, w_1, b_1, w_2, b_2):
        hidden = bend(read(x, gain, bias) @ w_1 + first(b_1))
        return keep(x, gain, bias) + end(back(hidden, w_1, w_2) + last(b_2))

    return sub_layer


def normalised(x, gain, bias):
    return F.layer_norm(x, x.shape[-1:], gain, bias)


def zero(b: Tensor) -> Tensor:
    return torch.zeros_like(b)


SPOT_THE_BUG = Exercise(
    id="spot_the_bug_06",
    chapter=6,
    title="Spot the bug: the feed-forward network of two documents",
    signature="spot_the_bug_06(x, gain, bias, w_1, b_1, w_2, b_2)",
    statement=r"""Document 004, §4.2, prints two lines for the feed-forward network and says that GELU is the gated
linear unit; document 000, §4.3, adds a softmax at the end. The code below does what they say. **Repair it**, so that it
computes the pre-norm sub-layer

$$X + \mathrm{GELU}\big(\mathrm{LN}(X)\,W_1 + b_1\big)\,W_2 + b_2.$$

`x` is `[…, D]`, `gain` and `bias` `[D]` belong to the norm, `w_1` is `[D, F]`, `b_1` `[F]`, `w_2` `[F, D]`, `b_2`
`[D]`.
Five things are wrong; before you begin, find the one that makes the code fail, and ask what the others would do in
silence.""",
    minutes=15,
    difficulty=2,
    concepts=("C22", "C23", "C24"),
    errata=("E007", "E025", "E120", "E125", "E126"),
    reference=feed_forward_sublayer,
    starter=BROKEN,
    read_again="chapter 06, “What the documents say”",
    requires=("gelu", "LayerNorm", "FeedForward"),
    checks=(
        check_values(
            "values", 4, "Take the formula from the inside out: norm, first map, GELU, second map, sum.",
            lambda g: [sublayer(g, 6, 14, 5), sublayer(g, 6, 14, 2, 4)], sublayer_by_torch,
        ),
        check_values(
            "stream_survives", 2, "When the second map is zero, x has to come out as it went in, plus the last bias.",
            nothing_learned, lambda x, gain, bias, w_1, b_1, w_2, b_2: x + b_2,
        ),
        check_gradients(
            "gradients", 1, "All seven arguments take part.",
            lambda g: [sublayer(g, 6, 14, 2, 4)], sublayer_by_loop, needs=("values",),
        ),
        check_values(
            "edges", 2, "Think of an odd inner width, of one that is narrower than x, of one vector, and of float64.",
            lambda g: [
                sublayer(g, 5, 7, 3), sublayer(g, 6, 4, 2, 3), sublayer(g, 4, 10), sublayer(g, 4, 6, 2, 3, 5),
                sublayer(g, 6, 9, 4, dtype=torch.float64),
            ],
            sublayer_by_loop, needs=("values",),
        ),
    ),
    misconceptions=(
        Misconception(
            "softmax_output", mended(end=lambda y: y.softmax(-1)),
            "There is still a softmax at the end (E007): every token's features are only raised, by 1 altogether.",
        ),
        Misconception(
            "stream_normalised", mended(keep=normalised),
            "The normalised vectors take the place of the stream. Only the branch reads them; what is added to is x.",
        ),
        Misconception(
            "stream_lost", mended(keep=lambda x, gain, bias: 0.0),
            "Nothing is added to x any more: the residual connection is gone.",
        ),
        Misconception(
            "norm_forgotten", mended(read=lambda x, gain, bias: x), "The first map reads x without its norm.",
        ),
        Misconception(
            "gain_forgotten", mended(read=lambda x, gain, bias: F.layer_norm(x, x.shape[-1:])),
            "The norm has lost its gain and bias.",
        ),
        Misconception(
            "same_matrix", mended(back=lambda h, w_1, w_2: h @ w_1.mT),
            "The way back uses the first matrix, turned over. The network has two (E025, E125).",
        ),
        Misconception(
            "same_matrix_to_the_letter", mended(back=lambda h, w_1, w_2: h @ w_1),
            "The first matrix leads from D to F. It cannot be used again on what has width F (E125).",
        ),
        Misconception(
            "biases_forgotten", mended(first=zero, last=zero), "Both biases are missing (E125).",
        ),
        Misconception("first_bias_forgotten", mended(first=zero), "The first bias takes no part."),
        Misconception("last_bias_forgotten", mended(last=zero), "The last bias takes no part."),
        Misconception(
            "gated", mended(bend=gated),
            "This is still the gated linear unit, which halves the width. GELU keeps it (E126).",
        ),
        Misconception("relu", mended(bend=torch.relu), "This is ReLU, as in the paper of 2017. Asked for is GELU."),
        Misconception(
            "silu", mended(bend=F.silu), "This is x·σ(x), a gate that each number makes for itself: SiLU, not GELU.",
        ),
        Misconception(
            "no_activation", mended(bend=lambda h: h), "There is no activation left: two linear maps make one.",
        ),
        Misconception(
            "tanh_approximation", mended(bend=gelu_by_tanh),
            "This is GELU's approximation with tanh. Use the exact one.",
        ),
    ),
    alternatives=(sublayer_by_torch, sublayer_by_loop, sublayer_by_einsum),
)  # fmt: skip

EXERCISES = (LAYER_NORM, GELU, FEED_FORWARD, ENCODER_LAYER, SPOT_THE_BUG)
