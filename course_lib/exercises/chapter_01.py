"""Chapter 01: recurrences, convolutions, and what they cost beside attention."""

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from course_lib import recurrent
from course_lib.exercises.chapter_03 import size, starter
from course_lib.grading.exercise import Check, Exercise, Misconception
from course_lib.grading.observe import check_gradients, check_values, generator, normal

# --- rnn_forward ------------------------------------------------------------------------------------------------------


def rnn_of_torch(x: Tensor, w_x: Tensor, w_h: Tensor, b: Tensor, h0: Tensor) -> Tensor:
    """torch.nn.RNN's own kernel, which keeps its weights the other way round and has two biases."""
    states, _ = torch.rnn_tanh(
        x, h0[None], [w_x.T, w_h.T, b, torch.zeros_like(b)], True, 1, 0.0, False, False, True
    )  # fmt: skip
    return states


def rnn_by_numbers(x: Tensor, w_x: Tensor, w_h: Tensor, b: Tensor, h0: Tensor) -> Tensor:
    """Number by number, in Python's own arithmetic."""
    result = []
    for sentence, h in zip(x.tolist(), h0.tolist()):
        states = []
        for x_t in sentence:
            sums = [
                math.fsum([bias, *(v * w for v, w in zip(x_t, from_x)), *(v * w for v, w in zip(h, from_h))])
                for bias, from_x, from_h in zip(b.tolist(), w_x.T.tolist(), w_h.T.tolist())
            ]
            h = [math.tanh(total) for total in sums]
            states.append(h)
        result.append(states)
    return torch.tensor(result, dtype=x.dtype)


def rnn_case(g: torch.Generator, b: int, t: int, d_x: int, d_h: int, dtype=torch.float32) -> tuple:
    x, w_x, w_h = normal(g, b, t, d_x, dtype=dtype), normal(g, d_x, d_h, dtype=dtype), normal(g, d_h, d_h, dtype=dtype)
    bias, h0 = normal(g, d_h, dtype=dtype), normal(g, b, d_h, dtype=dtype)
    return x, 0.7 * w_x / math.sqrt(d_x), 0.9 * w_h / math.sqrt(d_h), 0.5 * bias, h0.tanh()


def read_in_two_parts(submission, inputs):
    """The first steps, and then the others, which begin with the last state of the first."""
    x, w_x, w_h, b, h0 = inputs["arguments"]
    cut = inputs["cut"]
    before = submission(x[:, :cut], w_x, w_h, b, h0)
    after = submission(x[:, cut:], w_x, w_h, b, before[:, -1])
    return {"states of both parts": torch.cat([before, after], dim=1)}


def parts_inputs(seed: int) -> dict:
    g = generator(seed)
    return {"arguments": rnn_case(g, 2, 7, 3, 5), "cut": size(g, 2, 5)}


def rnn(
    bend=torch.tanh, begin=lambda h0: h0, feed=lambda h: h, order=lambda steps: steps,
    total=lambda x, h, w_x, w_h, b: x @ w_x + h @ w_h + b, out=lambda states, h0: torch.stack(states, 1),
) -> Callable:  # fmt: skip
    """A recurrence with some of its parts replaced; without arguments it is right."""

    def run(x, w_x, w_h, b, h0):
        h, states = begin(h0), []
        for x_t in order(list(x.unbind(1))):
            h = bend(total(x_t, feed(h), w_x, w_h, b))
            states.append(h)
        return out(states, h0)

    return run


def rnn_without_memory(x, w_x, w_h, b, h0):
    return torch.tanh(x @ w_x + (h0 @ w_h)[:, None] + b)


def rnn_over_the_batch(x, w_x, w_h, b, h0):
    h, states = h0, []
    for x_t in x:
        h = torch.tanh(x_t @ w_x + h @ w_h + b)
        states.append(h)
    return torch.stack(states)


def rnn_in_place(x, w_x, w_h, b, h0):
    states = []
    for x_t in x.unbind(1):
        h0 += torch.tanh(x_t @ w_x + h0 @ w_h + b) - h0
        states.append(h0.clone())
    return torch.stack(states, 1)


def rnn_into_zeros(x, w_x, w_h, b, h0):
    states, h = torch.zeros(*x.shape[:2], w_h.shape[0]), h0
    for t in range(x.shape[1]):
        h = torch.tanh(x[:, t] @ w_x + h @ w_h + b)
        states[:, t] = h
    return states


def rnn_without_gradient(x, w_x, w_h, b, h0):
    states, h = torch.zeros(*x.shape[:2], w_h.shape[0], dtype=x.dtype), h0
    for t in range(x.shape[1]):
        h = torch.tanh(x[:, t] @ w_x + h @ w_h + b)
        states[:, t] = h.detach()
    return states


def rnn_residual(x, w_x, w_h, b, h0):
    h, states = h0, []
    for x_t in x.unbind(1):
        h = h + torch.tanh(x_t @ w_x + h @ w_h + b)
        states.append(h)
    return torch.stack(states, 1)


def rnn_by_one_matrix(x, w_x, w_h, b, h0):
    both, states = torch.cat([w_x, w_h]), [h0]
    for t in range(x.shape[1]):
        states.append(torch.tanh(torch.cat([x[:, t], states[-1]], dim=-1) @ both + b))
    return torch.stack(states[1:], dim=1)


def rnn_with_inputs_first(x, w_x, w_h, b, h0):
    pushed = torch.einsum("btx,xh->tbh", x, w_x) + b
    out = torch.empty(0, *h0.shape, dtype=h0.dtype)
    for push in pushed:
        out = torch.cat([out, (push + torch.einsum("bh,hk->bk", h0, w_h)).tanh()[None]])
        h0 = out[-1]
    return out.transpose(0, 1)


def rnn_by_recursion(x, w_x, w_h, b, h0):
    h = torch.addmm(b, x[:, 0], w_x).addmm(h0, w_h)
    h = 1 - 2 / ((2 * h).exp() + 1)
    rest = [rnn_by_recursion(x[:, 1:], w_x, w_h, b, h)] if x.shape[1] > 1 else []
    return torch.cat([h[:, None], *rest], 1)


RNN_FORWARD = Exercise(
    id="rnn_forward",
    chapter=1,
    title="A simple recurrence",
    signature="rnn_forward(x, w_x, w_h, b, h0)",
    statement=r"""Read a batch of sequences from left to right, with the same weights at every step:

$$h_t = \tanh(x_t W_x + h_{t-1} W_h + b), \qquad t = 1, \dots, T$$

- `x` is `[B, T, Dx]`, `w_x` `[Dx, Dh]`, `w_h` `[Dh, Dh]`, `b` `[Dh]`. `h0` `[B, Dh]` is the state before the first
  step.
- Return **all** states after each step, `[B, T, Dh]`, with the dtype of `x`. `h0` itself is not among them. T is at
  least 1.
- The arguments stay as they were, and gradients reach all of them: through time, too.""",
    minutes=15,
    difficulty=2,
    concepts=("C02",),
    errata=("E036", "E037"),
    reference=recurrent.rnn_forward,
    starter=starter("rnn_forward(x, w_x, w_h, b, h0)", "x [B, T, Dx], h0 [B, Dh] -> states [B, T, Dh]."),
    read_again="chapter 01, “A recurrence, by hand”",
    library_calls=("RNN", "RNNCell", "rnn_tanh", "rnn_tanh_cell"),
    checks=(
        check_values(
            "values", 4, "Take two steps with one number each, as in the chapter: what does the second step read?",
            lambda g: [rnn_case(g, 2, 5, 3, 4), rnn_case(g, 4, 3, 2, 5)], rnn_of_torch,
        ),
        Check(
            "in_two_parts", 2,
            "Read the beginning, keep the last state, and go on with it as h0: the states must be the same as at one "
            "go.",
            parts_inputs, read_in_two_parts,
            lambda inputs: {"states of both parts": rnn_of_torch(*inputs["arguments"])}, needs=("values",),
        ),
        check_gradients(
            "gradients", 2, "Every step depends on all inputs before it. Stay with torch operations, without detach.",
            lambda g: [rnn_case(g, 2, 5, 3, 4)], rnn_of_torch, needs=("values",),
        ),
        check_values(
            "edges", 2, "Think of one step, one sequence, one feature, and of float64.",
            lambda g: [
                rnn_case(g, 3, 1, 2, 4), rnn_case(g, 1, 4, 3, 2), rnn_case(g, 2, 3, 1, 1),
                rnn_case(g, 2, 4, 3, 5, dtype=torch.float64),
            ],
            rnn_by_numbers, needs=("values",),
        ),
    ),
    misconceptions=(
        Misconception("no_tanh", rnn(bend=lambda s: s), "There is no tanh: this recurrence is linear."),
        Misconception("sigmoid", rnn(bend=torch.sigmoid), "You bend with a sigmoid. A simple recurrence takes tanh."),
        Misconception("relu", rnn(bend=torch.relu), "You bend with a ReLU. Asked for is tanh."),
        Misconception(
            "starts_at_zero", rnn(begin=torch.zeros_like), "You begin with zeros. The state before the first step is "
            "given: h0.",
        ),
        Misconception(
            "no_memory", rnn_without_memory,
            "Every step reads h0. It should read the state of the step before.",
        ),
        Misconception(
            "memory_ignored", rnn(total=lambda x, h, w_x, w_h, b: x @ w_x + b),
            "The state before plays no part: each step sees only its own input.",
        ),
        Misconception(
            "state_not_multiplied", rnn(total=lambda x, h, w_x, w_h, b: x @ w_x + h + b),
            "You add the state before as it is. It goes through W_h first.",
        ),
        Misconception(
            "transposed_memory", rnn(total=lambda x, h, w_x, w_h, b: x @ w_x + h @ w_h.T + b),
            "Your W_h is turned over. PyTorch's modules keep it the other way round; here `h @ w_h` is right.",
        ),
        Misconception(
            "transposed_both", rnn(total=lambda x, h, w_x, w_h, b: x @ w_x.T + h @ w_h.T + b),
            "Both matrices are turned over, as PyTorch's modules keep them. Here w_x is [Dx, Dh].",
        ),
        Misconception(
            "exchanged_matrices", rnn(total=lambda x, h, w_x, w_h, b: x @ w_h + h @ w_x + b),
            "w_x belongs to the input and w_h to the state: you have them the wrong way round.",
        ),
        Misconception("no_bias", rnn(total=lambda x, h, w_x, w_h, b: x @ w_x + h @ w_h), "The bias is missing."),
        Misconception(
            "bias_twice", rnn(total=lambda x, h, w_x, w_h, b: (x @ w_x + b) + (h @ w_h + b)),
            "The bias is added twice. torch.nn.RNN has two biases; here there is one.",
        ),
        Misconception(
            "bias_outside",
            lambda x, w_x, w_h, b, h0: rnn(bend=lambda s: torch.tanh(s - b) + b)(x, w_x, w_h, b, h0),
            "The bias is added after the tanh. It belongs inside.",
        ),
        Misconception(
            "last_state_only", rnn(out=lambda states, h0: states[-1]),
            "You return the last state alone. Asked for are the states after every step, [B, T, Dh].",
        ),
        Misconception(
            "states_before", rnn(out=lambda states, h0: torch.stack([h0, *states[:-1]], 1)),
            "Your states are those *before* each step: the first is h0, and the last step is missing.",
        ),
        Misconception(
            "h0_included", rnn(out=lambda states, h0: torch.stack([h0, *states], 1)),
            "h0 stands in front of your states. There are T of them, the first after the first step.",
        ),
        Misconception(
            "time_first", rnn(out=lambda states, h0: torch.stack(states)),
            "Your result is [T, B, Dh]. The batch comes first.",
        ),
        Misconception(
            "joined_features", rnn(out=lambda states, h0: torch.cat(states, -1)),
            "The states stand side by side as features. Time is an axis of its own.",
        ),
        Misconception(
            "right_to_left", rnn(order=lambda steps: steps[::-1]),
            "You read from right to left. The first step reads `x[:, 0]`.",
        ),
        Misconception(
            "over_the_batch", rnn_over_the_batch,
            "Your loop goes over the batch, the first axis. Time is the second.",
        ),
        Misconception(
            "residual", rnn_residual, "You add the state before to the new one. There is no residual connection here.",
        ),
        Misconception(
            "truncated", rnn(feed=lambda h: h.detach()),
            "The values are right, but every step is cut off from the one before: nothing is learned through time.",
        ),
        Misconception(
            "detached", rnn_without_gradient,
            "The values are right, but they are cut off from the arguments: nothing can be trained.",
        ),
        Misconception(
            "in_place", rnn_in_place, "You write into h0, which belongs to the caller. Make a new tensor each step.",
        ),
        Misconception(
            "float32_only", rnn_into_zeros,
            "Your result is always float32, as `torch.zeros` is unless told otherwise. It should have the dtype of x.",
        ),
    ),
    alternatives=(rnn_by_one_matrix, rnn_with_inputs_first, rnn_by_recursion),
)  # fmt: skip

# --- lstm_step --------------------------------------------------------------------------------------------------------


def lstm_of_torch(x: Tensor, h: Tensor, c: Tensor, w_x: Tensor, w_h: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    """torch.nn.LSTMCell's own kernel, which keeps its weights the other way round and has two biases."""
    return torch.lstm_cell(x, (h, c), w_x.T, w_h.T, b, torch.zeros_like(b))


def lstm_by_numbers(x: Tensor, h: Tensor, c: Tensor, w_x: Tensor, w_h: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    """Number by number, in Python's own arithmetic."""

    def sigmoid(number: float) -> float:
        return 0.5 + 0.5 * math.tanh(number / 2)

    d_h, states, memories = h.shape[1], torch.empty_like(h), torch.empty_like(c)
    columns = list(zip(w_x.T.tolist(), w_h.T.tolist(), b.tolist()))
    for n, (x_n, h_n, c_n) in enumerate(zip(x.tolist(), h.tolist(), c.tolist())):
        sums = [
            math.fsum([bias, *(v * w for v, w in zip(x_n, from_x)), *(v * w for v, w in zip(h_n, from_h))])
            for from_x, from_h, bias in columns
        ]
        for j in range(d_h):
            i, f, g, o = (sums[block * d_h + j] for block in range(4))
            memory = sigmoid(f) * c_n[j] + sigmoid(i) * math.tanh(g)
            memories[n, j], states[n, j] = memory, sigmoid(o) * math.tanh(memory)
    return states, memories


def lstm_case(g: torch.Generator, b: int, d_x: int, d_h: int, dtype=torch.float32, scale: float = 1.0) -> tuple:
    x, w_x, w_h, bias = (
        scale * normal(g, *shape, dtype=dtype) for shape in ((b, d_x), (d_x, 4 * d_h), (d_h, 4 * d_h), (4 * d_h,))
    )
    h, c = normal(g, b, d_h, dtype=dtype).tanh(), 1.5 * normal(g, b, d_h, dtype=dtype)
    return x, h, c, w_x / math.sqrt(d_x), w_h / math.sqrt(d_h), bias


def decided_gates(g: torch.Generator) -> list[tuple]:
    """Three gates that are quite open or quite shut, whatever is read: the four blocks of the bias decide."""
    b, d_x, d_h, wide = 2, 3, 5, 40.0
    cases = []
    for i, f, o in ((-1, 1, 1), (1, -1, 1), (-1, 1, -1), (1, 1, 1), (-1, -1, 1)):
        x, h, c, w_x, w_h, _ = lstm_case(g, b, d_x, d_h)
        bias = torch.cat([wide * i * torch.ones(d_h), wide * f * torch.ones(d_h), normal(g, d_h),
                          wide * o * torch.ones(d_h)])  # fmt: skip
        cases.append((x, h, c, 0 * w_x, 0 * w_h, bias))
    return cases


def gates_by_words(x, h, c, w_x, w_h, b):
    d_h = c.shape[1]
    lets_in, keeps, shows = (b[k * d_h] > 0 for k in (0, 1, 3))
    memory = (c if keeps else torch.zeros_like(c)) + (b[2 * d_h : 3 * d_h].tanh() if lets_in else torch.zeros_like(c))
    return (memory.tanh() if shows else torch.zeros_like(c)), memory


def lstm_gradients(submission, inputs):
    """Each case: the gradient of a weighted sum of both results with respect to every argument."""
    found = []
    for arguments, (state_weights, memory_weights) in zip(inputs["cases"], inputs["weights"]):
        leaves = [a.clone().requires_grad_() for a in arguments]
        state, memory = submission(*leaves)
        total = (state * state_weights).sum() + (memory * memory_weights).sum()
        slopes = [None] * len(leaves)
        if total.requires_grad:
            slopes = torch.autograd.grad(total, leaves, allow_unused=True)
        found.append({"gradients": [torch.zeros_like(a) if s is None else s for a, s in zip(leaves, slopes)]})
    return found


def lstm_gradient_inputs(seed: int) -> dict:
    g = generator(seed)
    return {"cases": [lstm_case(g, 3, 5, 4)], "weights": [(normal(g, 3, 4), normal(g, 3, 4))]}


def lstm(
    order="ifgo", gate=torch.sigmoid, new=torch.tanh, show=torch.tanh, cut=lambda sums: sums.chunk(4, -1),
    total=lambda x, h, w_x, w_h, b: x @ w_x + h @ w_h + b,
    keep=lambda i, f, g, c: f * c + i * g, give=lambda h, c, o, old: (h, c), read=lambda h, c: h,
) -> Callable:  # fmt: skip
    """An LSTM step with some of its parts replaced; without arguments it is right."""

    def step(x, h, c, w_x, w_h, b):
        sums = dict(zip(order, cut(total(x, read(h, c), w_x, w_h, b))))
        i, f, o, g = gate(sums["i"]), gate(sums["f"]), gate(sums["o"]), new(sums["g"])
        memory = keep(i, f, g, c)
        return give(o * show(memory), memory, o, c)

    return step


def interleaved(sums):
    return sums.unflatten(-1, (-1, 4)).unbind(-1)


def rows_cut(sums):
    return sums.reshape(4, sums.shape[0], -1).unbind(0)


def lstm_in_place(x, h, c, w_x, w_h, b):
    i, f, g, o = (x @ w_x + h @ w_h + b).chunk(4, -1)
    c *= torch.sigmoid(f)
    c += torch.sigmoid(i) * torch.tanh(g)
    return torch.sigmoid(o) * torch.tanh(c), c


def lstm_float32(*arguments):
    return lstm()(*(a.float() for a in arguments))


def lstm_unstable(x, h, c, w_x, w_h, b):
    def sigmoid(s):
        return s.exp() / (1 + s.exp())

    return lstm(gate=sigmoid)(x, h, c, w_x, w_h, b)


def lstm_by_slices(x, h, c, w_x, w_h, b):
    d, parts = h.shape[-1], []
    for k, bend in enumerate((torch.sigmoid, torch.sigmoid, torch.tanh, torch.sigmoid)):
        columns = slice(k * d, (k + 1) * d)
        parts.append(bend(x @ w_x[:, columns] + h @ w_h[:, columns] + b[columns]))
    memory = torch.addcmul(parts[0] * parts[2], parts[1], c)
    return memory.tanh().mul(parts[3]), memory


def lstm_by_einsum(x, h, c, w_x, w_h, b):
    sums = torch.einsum("bi,ij->bj", torch.cat([x, h], 1), torch.cat([w_x, w_h], 0)) + b
    squashed = (1 + torch.tanh(sums / 2)) / 2  # σ(z) = (1 + tanh(z / 2)) / 2
    i, f, _, o = squashed.view(len(x), 4, -1).unbind(1)
    c = torch.stack([f * c, i * sums.view(len(x), 4, -1)[:, 2].tanh()]).sum(0)
    return (o * c.tanh(), c)


def lstm_one_by_one(x, h, c, w_x, w_h, b):
    pairs = []
    for x_n, h_n, c_n in zip(x, h, c):
        i, f, g, o = torch.split(w_x.T @ x_n + w_h.T @ h_n + b, len(c_n))
        c_n = c_n / (1 + (-f).exp()) + g.tanh() / (1 + (-i).exp())
        pairs.append((c_n.tanh() / (1 + (-o).exp()), c_n))
    return tuple(torch.stack(side) for side in zip(*pairs))


LSTM_STEP = Exercise(
    id="lstm_step",
    chapter=1,
    title="One step of an LSTM",
    signature="lstm_step(x, h, c, w_x, w_h, b)",
    statement=r"""A long short-term memory carries two vectors: the state $h$, which it shows, and the memory $c$,
which it only multiplies and adds to. One step:

$$(i \mid f \mid g \mid o) = x W_x + h W_h + b$$
$$c' = \sigma(f) \odot c + \sigma(i) \odot \tanh(g), \qquad h' = \sigma(o) \odot \tanh(c')$$

- `x` is `[B, Dx]`, `h` and `c` `[B, Dh]`, `w_x` `[Dx, 4Dh]`, `w_h` `[Dh, 4Dh]`, `b` `[4Dh]`.
- The four blocks of `Dh` columns each stand in PyTorch's order: input gate $i$, forget gate $f$, new content $g$,
  output gate $o$.
- Return the pair `(h', c')`, in this order, two new tensors `[B, Dh]` with the dtype of the arguments.
- It must also work where the sums are large: a gate at ±1000 is open or shut, and no NaN.""",
    minutes=20,
    difficulty=3,
    concepts=("C03",),
    errata=("E036",),
    reference=recurrent.lstm_step,
    starter=starter(
        "lstm_step(x, h, c, w_x, w_h, b)", "x [B, Dx]; h, c [B, Dh] -> (h, c), each [B, Dh]; gates i, f, g, o."
    ),
    read_again="chapter 01, “One step of an LSTM, by hand”",
    library_calls=("LSTM", "LSTMCell", "lstm", "lstm_cell"),
    checks=(
        check_values(
            "values", 4, "Do the step of the chapter with single numbers, and compare gate by gate.",
            lambda g: [lstm_case(g, 3, 5, 4), lstm_case(g, 5, 2, 3)], lstm_of_torch,
        ),
        check_values(
            "gates", 2,
            "Here the gates are fully open or shut. With the input gate shut and the forget gate open, the memory must "
            "stay as it was.",
            decided_gates, gates_by_words,
        ),
        Check(
            "gradients", 2, "All six arguments take part, and gradients must reach each of them.",
            lstm_gradient_inputs, lstm_gradients, lambda inputs: lstm_gradients(lstm_of_torch, inputs),
            needs=("values",),
        ),
        check_values(
            "edges", 2, "Think of one sequence, of single features, of float64, and of very large sums.",
            lambda g: [
                lstm_case(g, 1, 3, 2), lstm_case(g, 2, 1, 1), lstm_case(g, 3, 4, 5, dtype=torch.float64),
                lstm_case(g, 2, 3, 4, scale=60.0),
            ],
            lstm_by_numbers, needs=("values",),
        ),
    ),
    misconceptions=(
        Misconception(
            "order_ifog", lstm(order="ifog"),
            "Your blocks are i, f, o, g. In PyTorch's order the new content comes third and the output gate last.",
        ),
        Misconception(
            "order_figo", lstm(order="figo"),
            "Input gate and forget gate have changed places: the first block is the input gate, and the forget gate "
            "multiplies the memory.",
        ),
        Misconception(
            "order_fiog", lstm(order="fiog"),
            "Your blocks are f, i, o, g, as many textbooks write them. PyTorch's are i, f, g, o.",
        ),
        Misconception(
            "order_iofg", lstm(order="iofg"), "Your blocks are i, o, f, g. PyTorch's are i, f, g, o.",
        ),
        Misconception(
            "order_gifo", lstm(order="gifo"), "Your blocks are g, i, f, o. PyTorch's are i, f, g, o.",
        ),
        Misconception(
            "interleaved", lstm(cut=interleaved),
            "You take every fourth column. The four gates are consecutive blocks of Dh columns.",
        ),
        Misconception(
            "cut_along_the_batch", lstm(cut=rows_cut),
            "A reshape to [4, …] mixes the sequences of the batch: the blocks stand side by side in each row.",
        ),
        Misconception(
            "no_forget_gate", lstm(keep=lambda i, f, g, c: c + i * g),
            "Nothing is ever forgotten: this is the memory of 1997, before the forget gate was added.",
        ),
        Misconception(
            "coupled", lstm(keep=lambda i, f, g, c: (1 - i) * c + i * g),
            "You forget 1 − i of the memory, as a GRU does. The LSTM has a forget gate of its own.",
        ),
        Misconception(
            "forgets_reversed", lstm(keep=lambda i, f, g, c: (1 - f) * c + i * g),
            "Your forget gate works the wrong way round: open (1) means keep.",
        ),
        Misconception(
            "no_input_gate", lstm(keep=lambda i, f, g, c: f * c + g),
            "The new content is added whole: the input gate takes no part.",
        ),
        Misconception(
            "forgets_everything", lstm(keep=lambda i, f, g, c: i * g),
            "The memory before takes no part in the new one.",
        ),
        Misconception(
            "forget_bias_added",
            lambda x, h, c, w_x, w_h, b: lstm(keep=lambda i, f, g, c: (f.logit() + 1).sigmoid() * c + i * g)(
                x, h, c, w_x, w_h, b
            ),
            "You add 1 to the forget gate. A bias of 1 is a good place to *start*; it is a value of b, not part of the "
            "step.",
        ),
        Misconception(
            "no_output_gate", lstm(give=lambda h, c, o, old: (c.tanh(), c)), "The output gate takes no part in h'.",
        ),
        Misconception(
            "shows_the_memory", lstm(show=lambda c: c), "h' lacks the tanh around the memory.",
        ),
        Misconception(
            "shows_the_old_memory", lstm(give=lambda h, c, o, old: (o * old.tanh(), c)),
            "h' is made from the memory before the step. It shows the new one.",
        ),
        Misconception(
            "content_by_sigmoid", lstm(new=torch.sigmoid),
            "The new content goes through a sigmoid: it could only ever be positive. It takes tanh.",
        ),
        Misconception("content_not_bent", lstm(new=lambda g: g), "The new content lacks its tanh."),
        Misconception(
            "gates_by_tanh", lstm(gate=torch.tanh), "Your gates go through tanh. A gate is between 0 and 1.",
        ),
        Misconception(
            "pair_exchanged", lstm(give=lambda h, c, o, old: (c, h)), "You return (c, h). Asked for is (h, c).",
        ),
        Misconception(
            "state_only", lstm(give=lambda h, c, o, old: h), "You return h alone. The next step needs c as well.",
        ),
        Misconception(
            "torch_nested", lstm(give=lambda h, c, o, old: (h, (h, c))),
            "You return (h, (h, c)), as torch.nn.LSTM does. Asked for is (h, c).",
        ),
        Misconception(
            "reads_the_memory", lstm(read=lambda h, c: c), "Your gates read the memory c. They read the state h.",
        ),
        Misconception(
            "no_bias", lstm(total=lambda x, h, w_x, w_h, b: x @ w_x + h @ w_h), "The bias is missing.",
        ),
        Misconception(
            "state_ignored", lstm(total=lambda x, h, w_x, w_h, b: x @ w_x + b), "The state before takes no part.",
        ),
        Misconception(
            "transposed", lstm(total=lambda x, h, w_x, w_h, b: x @ w_x.T + h @ w_h.T + b),
            "Your matrices are turned over, as PyTorch's modules keep them. Here w_x is [Dx, 4Dh].",
        ),
        Misconception(
            "unstable", lstm_unstable,
            "exp of a large number is infinite, and ∞/∞ is NaN. `torch.sigmoid` does it without that.",
        ),
        Misconception(
            "detached_memory", lstm(keep=lambda i, f, g, c: f * c.detach() + i * g),
            "The values are right, but the memory before is cut off, and with it the road that makes an LSTM learn.",
        ),
        Misconception(
            "in_place", lstm_in_place, "Operators like *= write into the caller's memory. Make a new tensor.",
        ),
        Misconception(
            "float32_only", lstm_float32, "Your result is always float32. It should have the dtype of the arguments.",
        ),
    ),
    alternatives=(lstm_by_slices, lstm_by_einsum, lstm_one_by_one),
)  # fmt: skip

# --- receptive_field --------------------------------------------------------------------------------------------------


def reach(kernel_size: int, n_layers: int) -> int:
    """Followed back, layer by layer: the positions that the output at 0 depends on."""
    seen = {0}
    for _ in range(n_layers):
        seen = {place - j for place in seen for j in range(kernel_size)}
    return len(seen)


def one_layer_more(submission, inputs):
    """How much each further layer adds, and each further input of the kernel."""
    k, n = inputs["kernel_size"], inputs["n_layers"]
    by_layer = [submission(k, layers + 1) - submission(k, layers) for layers in range(n)]
    by_kernel = [submission(size + 1, n) - submission(size, n) for size in range(1, k)]
    return {"each further layer adds": by_layer, "a kernel that is one wider adds": by_kernel}


def layer_inputs(seed: int) -> dict:
    g = generator(seed)
    return {"kernel_size": size(g, 3, 6), "n_layers": size(g, 7, 12)}


RECEPTIVE_FIELD = Exercise(
    id="receptive_field",
    chapter=1,
    title="How far a stack of convolutions sees",
    signature="receptive_field(kernel_size, n_layers)",
    statement=r"""`n_layers` convolutions stand on top of each other; each output of a layer reads `kernel_size`
neighbouring outputs of the layer below (stride 1, no dilation). **How many inputs** does one output of the last layer
depend on?

- Return an `int`. No layer (`n_layers=0`) sees exactly its own input: 1.
- `kernel_size` is 1 or more. Ignore the ends of the sequence: it is as long as you need.
- Draw kernel size 3 and two layers: which three does the top read, and which do these read?""",
    minutes=5,
    difficulty=1,
    concepts=("C04", "C07"),
    errata=("E064",),
    reference=recurrent.receptive_field,
    starter=starter("receptive_field(kernel_size, n_layers)", "How many inputs one output depends on: an int."),
    read_again="chapter 01, “A convolution, by hand”",
    checks=(
        check_values(
            "values", 3, "Draw it for kernel size 3: one layer, two layers, three.",
            lambda g: [(3, size(g, 2, 4)), (size(g, 4, 6), size(g, 2, 3)), (size(g, 7, 11), size(g, 4, 6))], reach,
        ),
        Check(
            "one_more", 2, "What does one further layer add? It should be the same at every height.",
            layer_inputs, one_layer_more,
            lambda inputs: {
                "each further layer adds": [inputs["kernel_size"] - 1] * inputs["n_layers"],
                "a kernel that is one wider adds": [inputs["n_layers"]] * (inputs["kernel_size"] - 1),
            },
            needs=("values",),
        ),
        check_values(
            "edges", 2, "Think of no layer at all, of a kernel of size 1, of even kernels, and of many layers.",
            lambda g: [
                (size(g, 2, 9), 0), (1, size(g, 3, 9)), (1, 0), (2, size(g, 3, 9)), (4, 1), (3, size(g, 40, 90)),
            ],
            reach,
        ),
    ),
    misconceptions=(
        Misconception(
            "multiplied", lambda k, n: k * n,
            "Kernel size times layers counts the overlaps twice: neighbours read mostly the same inputs.",
        ),
        Misconception(
            "powers", lambda k, n: k**n,
            "A power would need neighbours that share nothing. With stride 1 they overlap.",
        ),
        Misconception(
            "own_input_forgotten", lambda k, n: n * (k - 1),
            "The growth is right, but the output's own place is not counted: without layers it would see nothing.",
        ),
        Misconception(
            "one_layer_too_many", lambda k, n: k + n * (k - 1), "That is one layer more than there is.",
        ),
        Misconception(
            "full_kernel_each_layer", lambda k, n: 1 + n * k,
            "Each layer adds the whole kernel here. One of its inputs stands where it was already.",
        ),
        Misconception(
            "one_side", lambda k, n: 1 + n * ((k - 1) // 2), "You count one side of the kernel only.",
        ),
        Misconception(
            "both_sides_rounded", lambda k, n: 1 + n * 2 * ((k - 1) // 2),
            "For odd kernels this is right. An even one reads k − 1 neighbours as well.",
        ),
        Misconception(
            "doubling", lambda k, n: 1 + (k - 1) * (2**n - 1),
            "This is what comes of doubling the dilation from layer to layer. Here there is no dilation.",
        ),
        Misconception(
            "at_least_one_layer", lambda k, n: 1 + (k - 1) * max(1, n), "With no layer at all the answer is 1.",
        ),
        Misconception(
            "nothing_for_nothing", lambda k, n: 1 + (k - 1) * n if n else 0,
            "With no layer the input itself is left: 1, not 0.",
        ),
        Misconception(
            "float", lambda k, n: 1.0 + (k - 1) * n, "The number is right, but it is a float. Return an int.",
        ),
        Misconception(
            "tensor", lambda k, n: torch.tensor(1 + (k - 1) * n), "The number is right, but it is a tensor.",
        ),
    ),
    alternatives=(
        lambda k, n: len(range(-n * (k - 1), 1)),
        lambda k, n: sum([1, *([k - 1] * n)]),
        reach,
    ),
)  # fmt: skip

# --- attention_flops --------------------------------------------------------------------------------------------------


def counted(work: Callable) -> int:
    """The operations that PyTorch itself counts while `work` runs, on tensors without contents."""
    with torch.device("meta"), FlopCounterMode(display=False) as counter:
        work()
    return counter.get_total_flops()


def attention_counted(n: int, d: int) -> int:
    def attend():
        query, key, value = torch.empty(3, n, d)
        return (query @ key.T).softmax(-1) @ value

    return counted(attend)


def scaling(submission, inputs):
    """What becomes of the number when n or d is doubled: the quotient."""
    n, d = inputs["n"], inputs["d"]
    whole = submission(n, d)
    return {
        "times as many with twice the positions": submission(2 * n, d) / whole,
        "times as many with twice the width": submission(n, 2 * d) / whole,
    }


ATTENTION_FLOPS = Exercise(
    id="attention_flops",
    chapter=1,
    title="What attention costs",
    signature="attention_flops(n, d)",
    statement=r"""Self-attention over `n` positions of width `d` multiplies $QK^\top$, which gives $n \times n$ scores,
and then $AV$, the weights times the values. **How many operations do these two products take?**

- A product of `[a, b]` and `[b, c]` has $ac$ results of $b$ products each. Count every multiplication together with its
  addition as **two** operations: $2abc$.
- Count nothing else: no projections, no softmax, no scaling.
- Return an `int`. Beyond `n = d` it grows past what a recurrence needs; document 004 says the opposite.""",
    minutes=5,
    difficulty=1,
    concepts=("C07", "C17"),
    errata=("E101", "E109"),
    reference=recurrent.attention_flops,
    starter=starter("attention_flops(n, d)", "Operations in QKᵀ and AV, multiply and add as two: an int."),
    read_again="chapter 01, “What a layer costs”",
    library_calls=("FlopCounterMode",),
    checks=(
        check_values(
            "values", 3, "Take n=2, d=3 and write down the shapes of both products.",
            lambda g: [(size(g, 3, 9), size(g, 10, 20)), (size(g, 30, 60), size(g, 4, 8))], attention_counted,
        ),
        Check(
            "doubling", 2, "Twice the positions: how many pairs of positions are there now? And twice the width?",
            lambda seed: {"n": size(generator(seed), 3, 50), "d": size(generator(seed + 1), 60, 90)}, scaling,
            lambda inputs: {
                "times as many with twice the positions": 4.0, "times as many with twice the width": 2.0,
            },
        ),
        check_values(
            "edges", 2, "Think of one position, of one feature, and of a whole book.",
            lambda g: [(1, size(g, 2, 9)), (size(g, 2, 9), 1), (1, 1), (100_000 + size(g, 1, 9999), 512)],
            lambda n, d: 2 * (n * d * n) + 2 * (n * n * d),
        ),
    ),
    misconceptions=(
        Misconception(
            "half", lambda n, d: 2 * n * n * d,
            "This is half of it: one product of the two, or both with a multiplication and its addition as one.",
        ),
        Misconception(
            "a_quarter", lambda n, d: n * n * d,
            "This is the order of growth. Two products, and two operations for each pair of numbers.",
        ),
        Misconception(
            "recurrence", lambda n, d: 4 * n * d * d,
            "This is what a recurrence takes: the width squared. In attention all pairs of positions meet.",
        ),
        Misconception(
            "linear", lambda n, d: 4 * n * d,
            "This grows like n: it is what the documents hope for (E109). Each of n queries meets n keys.",
        ),
        Misconception("scores_only", lambda n, d: 4 * n * n, "The width is missing: a score is a sum of d products."),
        Misconception(
            "one_addition_fewer", lambda n, d: n * n * (2 * d - 1) + n * d * (2 * n - 1),
            "You count b − 1 additions for b products. The rule here: each multiplication with its addition is two.",
        ),
        Misconception(
            "with_projections", lambda n, d: 4 * n * n * d + 8 * n * d * d,
            "You count the four projections as well. Asked for are the two products QKᵀ and AV alone.",
        ),
        Misconception(
            "with_three_projections", lambda n, d: 4 * n * n * d + 6 * n * d * d,
            "You count the projections of queries, keys and values as well. Asked for are QKᵀ and AV alone.",
        ),
        Misconception(
            "causal", lambda n, d: 2 * n * (n + 1) * d,
            "You count the pairs that a causal mask leaves. No mask is spoken of, and the products compute them all.",
        ),
        Misconception("twice_too_much", lambda n, d: 8 * n * n * d, "This is twice too much: two products, 2abc each."),
        Misconception(
            "float", lambda n, d: 4.0 * n**2 * d, "The number is right, but it is a float. Return an int.",
        ),
        Misconception(
            "tensor", lambda n, d: torch.tensor(4 * n * n * d), "The number is right, but it is a tensor.",
        ),
    ),
    alternatives=(
        lambda n, d: sum(2 * a * b * c for a, b, c in ((n, d, n), (n, n, d))),
        lambda n, d: d * (2 * n) ** 2,
        attention_counted,
    ),
)  # fmt: skip

# --- spot the bug -----------------------------------------------------------------------------------------------------

BROKEN = '''\
def spot_the_bug_01(n, d, kernel_size):
    """What one layer costs, as the documents have it."""
    return {
        "recurrent": {
            "operations": 4 * n * n * d,  # 004, §3.3: recurrent networks have the problem with long sequences
            "steps": n,
            "path": 1,  # 001, §1.1: they capture long-range dependencies
        },
        "convolution": {
            "operations": 2 * kernel_size * n * d * d,
            "steps": n,  # 004, §1: sequence models take one element after the other
            "path": 1,
        },
        "attention": {
            "operations": 4 * n * d * d,  # 004, §1 and §3.1: attention makes long sequences cheap
            "steps": n,
            "path": 1,
        },
    }'''


def measured_costs(n: int, d: int, kernel_size: int) -> dict:
    """Counted while real layers run, and by following the arrows from output to input."""

    def recurrence():
        x, w_x, w_h, h = torch.empty(n, 1, d), torch.empty(d, d), torch.empty(d, d), torch.empty(1, d)
        for x_t in x:
            h = torch.tanh(x_t @ w_x + h @ w_h)

    def convolution():
        F.conv1d(torch.empty(1, d, n + kernel_size - 1), torch.empty(d, d, kernel_size))

    layers = 1
    while reach(kernel_size, layers) < n:
        layers += 1
    return {
        "recurrent": {"operations": counted(recurrence), "steps": n, "path": n},
        "convolution": {"operations": counted(convolution), "steps": 1, "path": layers},
        "attention": {"operations": attention_counted(n, d), "steps": 1, "path": 1},
    }


def one_column(submission, inputs):
    """One of the three columns of the table, for each case."""
    found = []
    for case in inputs["cases"]:
        table = submission(*case)
        found.append({"result": {kind: {inputs["column"]: row[inputs["column"]]} for kind, row in table.items()}})
    return found


def check_column(id: str, points: int, hint: str, cases: Callable) -> Check:
    def expected(inputs: dict) -> list:
        tables = [measured_costs(*case) for case in inputs["cases"]]
        return [{"result": {kind: {id: row[id]} for kind, row in table.items()}} for table in tables]

    return Check(
        id, points, hint, lambda seed: {"cases": cases(generator(seed)), "column": id}, one_column, expected
    )  # fmt: skip


def ordinary_sizes(g: torch.Generator) -> list[tuple]:
    return [(size(g, 10, 16), size(g, 3, 7), 3), (size(g, 4, 7), size(g, 10, 14), 2), (size(g, 20, 30), 8, 5)]


def twice_as_long(submission, inputs):
    """How many times as many operations twice the sequence takes."""
    n, d, kernel_size = inputs["case"]
    once, twice = submission(n, d, kernel_size), submission(2 * n, d, kernel_size)
    return {
        f"{kind}, operations for twice the sequence": twice[kind]["operations"] / once[kind]["operations"]
        for kind in once
    }


def costs(changes: dict | None = None) -> Callable:
    """The right table with some numbers replaced: (kind, column) -> function of n, d, kernel size."""

    def table(n, d, kernel_size):
        found = {kind: dict(row) for kind, row in recurrent.layer_costs(n, d, kernel_size).items()}
        for (kind, column), number in (changes or {}).items():
            found[kind][column] = number(n, d, kernel_size)
        return found

    return table


def written_out(n, d, kernel_size):
    return dict(
        recurrent=dict(operations=2 * n * (d * d + d * d), steps=n, path=n),
        convolution=dict(
            operations=n * d * 2 * d * kernel_size, steps=1, path=1 + (n - 2) // (kernel_size - 1)
        ),
        attention=dict(operations=n * n * d * 2 + n * d * n * 2, steps=1, path=1),
    )  # fmt: skip


def by_columns(n, d, kernel_size):
    layers = next(layers for layers in range(1, n + 1) if 1 + layers * (kernel_size - 1) >= n)
    columns = {
        "path": (n, layers, 1), "steps": (n, 1, 1),
        "operations": (4 * n * d**2, 2 * kernel_size * n * d**2, 4 * n**2 * d),
    }  # fmt: skip
    kinds = ("recurrent", "convolution", "attention")
    return {kind: {column: numbers[k] for column, numbers in columns.items()} for k, kind in enumerate(kinds)}


SPOT_THE_BUG = Exercise(
    id="spot_the_bug_01",
    chapter=1,
    title="Spot the bug: what the documents say about cost",
    signature="spot_the_bug_01(n, d, kernel_size)",
    statement=r"""Documents 001 and 004 say what recurrent networks, convolutions and attention are good at. The code
below puts their sentences into numbers. **Repair the numbers**, for one layer on `n` positions of width `d`:

- `"operations"`: in the matrix products, a multiplication with its addition as two. Recurrent: $xW_x$ and $hW_h$ at
  each of the `n` steps, both matrices `[d, d]`. Convolution: `n` outputs, each from `kernel_size` inputs, with one
  `[d, d]` matrix for each of these. Attention: $QK^\top$ and $AV$.
- `"steps"`: how many computations of the layer **must wait for each other**, given all inputs at once. What can be done
  side by side is one step.
- `"path"`: how many steps or layers, at the least, lie on the way from the **first input to the last output**.
  Recurrent: steps, from $x_1$ to $h_n$. Convolution: layers of a stack of *causal* ones (output t reads inputs up
  to t), without dilation. Attention: layers.

`n` and `kernel_size` are at least 2. Return the same dict of dicts, with nine numbers, each an `int`. Some of them are
right as they stand.""",
    minutes=10,
    difficulty=2,
    concepts=("C07", "C02", "C04"),
    errata=("E036", "E064", "E100", "E101", "E109"),
    reference=recurrent.layer_costs,
    starter=BROKEN,
    read_again="chapter 01, “What a layer costs”",
    requires=("receptive_field", "attention_flops"),
    checks=(
        check_column(
            "operations", 3, "Which of them grows with the square of n? Both exercises before this one help.",
            ordinary_sizes,
        ),
        check_column(
            "steps", 2, "For which of the three does position 5 need the result of position 4 of the same layer?",
            ordinary_sizes,
        ),
        check_column(
            "path", 3, "Follow the first input: through how many steps, or layers, does it pass on its way to the end?",
            lambda g: [*ordinary_sizes(g), (2, 5, 3), (9, 4, 3), (10, 4, 3), (7, 3, size(g, 10, 20))],
        ),
        Check(
            "twice_as_long", 2, "Double n. Which number of operations doubles, and which one quadruples?",
            lambda seed: {"case": (size(generator(seed), 5, 40), size(generator(seed + 1), 3, 30), 3)}, twice_as_long,
            lambda inputs: {
                f"{kind}, operations for twice the sequence": times
                for kind, times in (("recurrent", 2.0), ("convolution", 2.0), ("attention", 4.0))
            },
        ),
    ),
    misconceptions=(
        Misconception(
            "attention_linear", costs({("attention", "operations"): lambda n, d, k: 4 * n * d * d}),
            "Attention still grows like n, as document 004 has it (E101, E109). All pairs of positions meet.",
        ),
        Misconception(
            "recurrence_quadratic", costs({("recurrent", "operations"): lambda n, d, k: 4 * n * n * d}),
            "The recurrence still has the square of n (E109). It takes n steps, and each costs the same.",
        ),
        Misconception(
            "operations_as_printed",
            costs({("attention", "operations"): lambda n, d, k: 4 * n * d * d,
                   ("recurrent", "operations"): lambda n, d, k: 4 * n * n * d}),
            "The operations of recurrence and attention are still as printed: the wrong way round (E101, E109).",
        ),
        Misconception(
            "all_one_by_one", costs({(kind, "steps"): lambda n, d, k: n for kind in ("convolution", "attention")}),
            "Everything still works one element after the other, as document 004, §1, has it (E100).",
        ),
        Misconception(
            "attention_one_by_one", costs({("attention", "steps"): lambda n, d, k: n}),
            "Attention needs no result of its own layer: all positions are computed at once (E100).",
        ),
        Misconception(
            "convolution_one_by_one", costs({("convolution", "steps"): lambda n, d, k: n}),
            "A convolution reads the layer below, not its own outputs: all positions at once (E100).",
        ),
        Misconception(
            "recurrence_at_once", costs({("recurrent", "steps"): lambda n, d, k: 1}),
            "A recurrence cannot take its steps at once: each reads the state of the one before.",
        ),
        Misconception(
            "paths_as_printed", costs({(kind, "path"): lambda n, d, k: 1 for kind in ("recurrent", "convolution")}),
            "All paths have length 1. What document 001, §1.1, says of recurrent networks holds for attention (E036).",
        ),
        Misconception(
            "recurrent_path_short", costs({("recurrent", "path"): lambda n, d, k: 1}),
            "The first input reaches the last state through every state between (E036).",
        ),
        Misconception(
            "recurrent_path_one_short", costs({("recurrent", "path"): lambda n, d, k: n - 1}),
            "You count the arrows between states. The step that reads the first input is one, too.",
        ),
        Misconception(
            "convolution_path_short", costs({("convolution", "path"): lambda n, d, k: 1}),
            "One layer sees kernel_size inputs. How many layers until one output sees the first of n?",
        ),
        Misconception(
            "convolution_divided", costs({("convolution", "path"): lambda n, d, k: -(-n // k)}),
            "n / kernel_size would be right if the layers did not overlap. Each adds kernel_size − 1 inputs.",
        ),
        Misconception(
            "convolution_rounded_down", costs({("convolution", "path"): lambda n, d, k: max(1, (n - 1) // (k - 1))}),
            "Where n − 1 cannot be divided by kernel_size − 1, you are one layer short: round up.",
        ),
        Misconception(
            "convolution_one_too_many", costs({("convolution", "path"): lambda n, d, k: -(-n // (k - 1))}),
            "The output's own place is seen without any layer: the layers must add n − 1 inputs, not n.",
        ),
        Misconception(
            "convolution_logarithm",
            costs({("convolution", "path"): lambda n, d, k: next(i for i in range(1, 99) if k**i >= n)}),
            "That is the number of layers with dilations that grow. Here there is no dilation.",
        ),
        Misconception(
            "attention_path_long", costs({("attention", "path"): lambda n, d, k: n}),
            "In attention every position reads every other directly.",
        ),
        Misconception(
            "multiplications_only",
            costs({("attention", "operations"): lambda n, d, k: 2 * n * n * d,
                   ("recurrent", "operations"): lambda n, d, k: 2 * n * d * d,
                   ("convolution", "operations"): lambda n, d, k: k * n * d * d}),
            "Your operations are multiplications alone. Each comes with an addition: two.",
        ),
        Misconception(
            "kernel_forgotten", costs({("convolution", "operations"): lambda n, d, k: 2 * n * d * d}),
            "A convolution reads kernel_size inputs for each output. That factor was right as it stood.",
        ),
    ),
    alternatives=(written_out, by_columns, measured_costs),
)  # fmt: skip

EXERCISES = (RNN_FORWARD, LSTM_STEP, RECEPTIVE_FIELD, ATTENTION_FLOPS, SPOT_THE_BUG)
