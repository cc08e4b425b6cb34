"""Sequence models before attention: recurrences, causal convolutions, and a translator that reads into one vector."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def rnn_step(x: Tensor, h: Tensor, w_x: Tensor, w_h: Tensor, b: Tensor) -> Tensor:
    """One step of a simple recurrence: h_t = tanh(x_t W_x + h_{t-1} W_h + b)  (Elman 1990).

    Args:
        x: input of this step [B, Dx].
        h: state before it [B, Dh].
        w_x, w_h, b: weights [Dx, Dh], [Dh, Dh] and [Dh].

    Returns:
        [B, Dh]: the state after this step.
    """
    return torch.tanh(x @ w_x + h @ w_h + b)


def rnn_forward(x: Tensor, w_x: Tensor, w_h: Tensor, b: Tensor, h0: Tensor) -> Tensor:
    """Run a simple recurrence over a sequence: the same weights at every step, each step reads the one before.

    Args:
        x: inputs [B, T, Dx].
        w_x, w_h, b: weights [Dx, Dh], [Dh, Dh] and [Dh].
        h0: state before the first step [B, Dh].

    Returns:
        [B, T, Dh]: the state after each step. It is what ``torch.nn.RNN`` computes with W_x and W_h transposed.
    """
    h, states = h0, []
    for x_t in x.unbind(1):  # T times [B, Dx]
        h = rnn_step(x_t, h, w_x, w_h, b)
        states.append(h)
    return torch.stack(states, dim=1)  # [B, T, Dh]


def lstm_step(x: Tensor, h: Tensor, c: Tensor, w_x: Tensor, w_h: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    """One step of a long short-term memory (Hochreiter & Schmidhuber 1997; forget gate: Gers et al. 2000).

    The four blocks of columns stand in PyTorch's order: input gate, forget gate, new content, output gate.
    i, f, o = σ(·), g = tanh(·), each of x W_x + h W_h + b; then c' = f ⊙ c + i ⊙ g and h' = o ⊙ tanh(c').

    Args:
        x: input of this step [B, Dx].
        h, c: state and memory before it [B, Dh].
        w_x, w_h, b: weights [Dx, 4Dh], [Dh, 4Dh] and [4Dh].

    Returns:
        (h', c'), each [B, Dh].
    """
    i, f, g, o = (x @ w_x + h @ w_h + b).chunk(4, dim=-1)  # each [B, Dh]
    c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
    return torch.sigmoid(o) * torch.tanh(c), c


def gru_step(x: Tensor, h: Tensor, w_x: Tensor, w_h: Tensor, b_x: Tensor, b_h: Tensor) -> Tensor:
    """One step of a gated recurrent unit (Cho et al. 2014, §2.3), as PyTorch arranges it.

    The three blocks of columns are reset gate, update gate and new content:
    r, z = σ(x W_x + b_x + h W_h + b_h), n = tanh(x W_x + b_x + r ⊙ (h W_h + b_h)), h' = (1 - z) ⊙ n + z ⊙ h.
    (Cho et al. apply r to h before the product with W_h.)

    Args:
        x: input of this step [B, Dx].
        h: state before it [B, Dh].
        w_x, w_h: weights [Dx, 3Dh] and [Dh, 3Dh].
        b_x, b_h: biases [3Dh]; two of them, since r acts on one only.

    Returns:
        [B, Dh]: the state after this step.
    """
    x_r, x_z, x_n = (x @ w_x + b_x).chunk(3, dim=-1)  # each [B, Dh]
    h_r, h_z, h_n = (h @ w_h + b_h).chunk(3, dim=-1)  # each [B, Dh]
    z = torch.sigmoid(x_z + h_z)
    n = torch.tanh(x_n + torch.sigmoid(x_r + h_r) * h_n)
    return (1 - z) * n + z * h


class _Cell(nn.Module):
    """The weights of one step, with PyTorch's names and shapes, so that a state dict fits both."""

    n_blocks: int

    def __init__(self, d_in: int, d_model: int) -> None:
        super().__init__()
        self.d_model = d_model
        width = self.n_blocks * d_model
        self.weight_ih = nn.Parameter(torch.empty(width, d_in))
        self.weight_hh = nn.Parameter(torch.empty(width, d_model))
        self.bias_ih = nn.Parameter(torch.empty(width))
        self.bias_hh = nn.Parameter(torch.empty(width))
        for parameter in self.parameters():
            nn.init.uniform_(parameter, -1 / math.sqrt(d_model), 1 / math.sqrt(d_model))


class RNNCell(_Cell):
    """One step of a simple recurrence, with weights of its own; loads what ``torch.nn.RNNCell`` saves.

    ``forward(x [B, Dx], h [B, Dh]) -> [B, Dh]``.
    """

    n_blocks = 1

    def forward(self, x: Tensor, h: Tensor) -> Tensor:
        return rnn_step(x, h, self.weight_ih.mT, self.weight_hh.mT, self.bias_ih + self.bias_hh)


class GRUCell(_Cell):
    """One step of a gated recurrent unit, with weights of its own; loads what ``torch.nn.GRUCell`` saves.

    ``forward(x [B, Dx], h [B, Dh]) -> [B, Dh]``.
    """

    n_blocks = 3

    def forward(self, x: Tensor, h: Tensor) -> Tensor:
        return gru_step(x, h, self.weight_ih.mT, self.weight_hh.mT, self.bias_ih, self.bias_hh)


class LSTMCell(_Cell):
    """One step of a long short-term memory, with weights of its own; loads what ``torch.nn.LSTMCell`` saves.

    ``forward(x [B, Dx], (h, c) each [B, Dh]) -> (h, c)``.

    Args:
        d_in, d_model: width of the input (Dx) and of the state (Dh).
        forget_bias: where the forget gate's bias starts. At 1 or more an untrained memory keeps most of what it holds
            (Gers et al. 2000; Jozefowicz et al. 2015). Left out, it starts like all others, near 0.
    """

    n_blocks = 4

    def __init__(self, d_in: int, d_model: int, forget_bias: float | None = None) -> None:
        super().__init__(d_in, d_model)
        if forget_bias is not None:
            with torch.no_grad():
                self.bias_ih[d_model : 2 * d_model] = forget_bias
                self.bias_hh[d_model : 2 * d_model] = 0.0

    def forward(self, x: Tensor, state: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        return lstm_step(x, *state, self.weight_ih.mT, self.weight_hh.mT, self.bias_ih + self.bias_hh)


class _Recurrence(nn.Module):
    """A cell, run over a sequence from left to right."""

    def __init__(self, cell: nn.Module) -> None:
        super().__init__()
        self.cell = cell

    def start(self, x: Tensor) -> Tensor:
        return x.new_zeros(x.shape[0], self.cell.d_model)  # [B, Dh]

    def forward(self, x: Tensor, state=None):
        """Read [B, T, Dx] from left to right, from zeros unless a state is given.

        Returns:
            The states after each step [B, T, Dh], and the last state: [B, Dh], for the LSTM a pair (h, c) of them.
        """
        state = self.start(x) if state is None else state
        states = []
        for x_t in x.unbind(1):  # T times [B, Dx]
            state = self.cell(x_t, state)
            states.append(state[0] if isinstance(state, tuple) else state)
        return torch.stack(states, dim=1), state


class RNN(_Recurrence):
    """A simple recurrence over [B, T, Dx]; equals ``torch.nn.RNN(d_in, d_model, batch_first=True)``."""

    def __init__(self, d_in: int, d_model: int) -> None:
        super().__init__(RNNCell(d_in, d_model))


class GRU(_Recurrence):
    """Gated recurrent units over [B, T, Dx]; equals ``torch.nn.GRU(d_in, d_model, batch_first=True)``."""

    def __init__(self, d_in: int, d_model: int) -> None:
        super().__init__(GRUCell(d_in, d_model))


class LSTM(_Recurrence):
    """Long short-term memory over [B, T, Dx]; equals ``torch.nn.LSTM(d_in, d_model, batch_first=True)``.

    Args:
        d_in, d_model, forget_bias: as in ``LSTMCell``.
    """

    def __init__(self, d_in: int, d_model: int, forget_bias: float | None = None) -> None:
        super().__init__(LSTMCell(d_in, d_model, forget_bias))

    def start(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return super().start(x), super().start(x)


class CausalConv1d(nn.Module):
    """A convolution along the sequence that reads the present and the past: padded on the left only.

    Output t is the sum over j = 0 … K - 1 of W_j x_{t - j·dilation}, plus a bias; zeros stand in front of the first
    input (van den Oord et al. 2016, *WaveNet*, §2.1).

    Args:
        d_in, d_out: width of input and output.
        kernel_size: number of inputs that one output reads (K).
        dilation: distance between two of them.
    """

    def __init__(self, d_in: int, d_out: int, kernel_size: int, dilation: int = 1) -> None:
        super().__init__()
        self.reach = (kernel_size - 1) * dilation
        self.convolution = nn.Conv1d(d_in, d_out, kernel_size, dilation=dilation)

    def forward(self, x: Tensor) -> Tensor:
        """[B, T, Din] -> [B, T, Dout]; output t depends on inputs up to t."""
        padded = F.pad(x.mT, (self.reach, 0))  # [B, Din, reach + T]
        return self.convolution(padded).mT  # [B, T, Dout]


def receptive_field(kernel_size: int, n_layers: int, growth: int = 1) -> int:
    """How many inputs one output of a stack of convolutions (stride 1) depends on.

    Each layer with dilation δ adds (K - 1)·δ inputs to the one that it starts with.

    Args:
        kernel_size: K, the same in each layer.
        n_layers: how many layers; 0 leaves the input as it is.
        growth: the dilation of layer l = 0, 1, … is growth^l; 1 means no dilation, 2 doubles from layer to layer.
    """
    return 1 + (kernel_size - 1) * sum(growth**layer for layer in range(n_layers))


def attention_flops(n: int, d: int) -> int:
    """Operations in the two products of self-attention, QKᵀ and AV, for ``n`` positions of width ``d``: 4n²d.

    Multiply and add count as two. Projections and softmax are left out (Vaswani et al. 2017, table 1: O(n²d)).
    """
    return 4 * n * n * d


def recurrence_flops(n: int, d: int) -> int:
    """Operations in the products x W_x and h W_h of a simple recurrence, over ``n`` steps of width ``d``: 4nd²."""
    return 4 * n * d * d


def convolution_flops(n: int, d: int, kernel_size: int) -> int:
    """Operations of one convolution over ``n`` positions, from width ``d`` to ``d``, with kernel size K: 2Knd²."""
    return 2 * kernel_size * n * d * d


def layer_costs(n: int, d: int, kernel_size: int) -> dict[str, dict[str, int]]:
    """What one layer of each kind asks for on ``n`` >= 2 positions of width ``d`` (Vaswani et al. 2017, table 1).

    Returns:
        For "recurrent", "convolution" (causal, kernel size K >= 2) and "attention" a dict of three integers:
        "operations" in the matrix products, multiply and add counted as two; "steps" that must wait for each other in
        one layer; "path", how many steps or layers lie between the first input and the last output, at the least.
    """
    layers = -(-(n - 1) // (kernel_size - 1))  # rounded up: until one output sees n inputs
    return {
        "recurrent": {"operations": recurrence_flops(n, d), "steps": n, "path": n},
        "convolution": {"operations": convolution_flops(n, d, kernel_size), "steps": 1, "path": layers},
        "attention": {"operations": attention_flops(n, d), "steps": 1, "path": 1},
    }


class GRUEncoder(nn.Module):
    """Read a sentence from left to right with gated recurrent units.

    Args:
        vocab_size: number of different token ids (V).
        d_model: width of embeddings and states (D).
        pad_id: the id of padding, which stands on the right.
    """

    def __init__(self, vocab_size: int, d_model: int, pad_id: int = 0) -> None:
        super().__init__()
        self.pad_id = pad_id
        self.embedding = nn.Embedding(vocab_size, d_model, padding_idx=pad_id)
        self.gru = nn.GRU(d_model, d_model, batch_first=True)

    def forward(self, source: Tensor) -> tuple[Tensor, Tensor]:
        """Token ids [B, T] -> states [B, T, D], zeros at padding, and the state after the last token [B, D].

        Right padding changes nothing: it is read after everything else, and what it gives is thrown away.
        """
        keep = source != self.pad_id  # [B, T]
        states, _ = self.gru(self.embedding(source))  # [B, T, D]
        states = states * keep[..., None]
        last = (keep.sum(dim=1) - 1).clamp(min=0)  # [B]
        return states, states[torch.arange(len(source), device=source.device), last]


class GRUDecoder(nn.Module):
    """Write a sentence from one vector that sums up what was read (Cho et al. 2014, §2.2).

    The summary is the first state, and every step reads it beside the token before.

    Args:
        vocab_size: number of different token ids (V).
        d_model: width of embeddings, states and summary (D).
        pad_id: the id of padding.
    """

    def __init__(self, vocab_size: int, d_model: int, pad_id: int = 0) -> None:
        super().__init__()
        self.embedding = nn.Embedding(vocab_size, d_model, padding_idx=pad_id)
        self.gru = nn.GRU(2 * d_model, d_model, batch_first=True)
        self.output = nn.Linear(d_model, vocab_size)

    def forward(self, target_in: Tensor, summary: Tensor) -> Tensor:
        """Target ids, shifted right, [B, T] and a summary [B, D] -> logits [B, T, V]; t sees targets up to t."""
        tokens = self.embedding(target_in)  # [B, T, D]
        inputs = torch.cat([tokens, summary[:, None].expand_as(tokens)], dim=-1)  # [B, T, 2D]
        states, _ = self.gru(inputs, summary[None].contiguous())  # [B, T, D]
        return self.output(states)


class BottleneckSeq2Seq(nn.Module):
    """A recurrent encoder-decoder: all that the decoder learns of the source is one vector of fixed width.

    (Cho et al. 2014; Sutskever et al. 2014, who use four layers of LSTM.)

    Args:
        source_vocab, target_vocab: number of different token ids on either side.
        d_model: width of embeddings, states, and of the one vector between them (D).
        pad_id: the id of padding, which stands on the right.
    """

    def __init__(self, source_vocab: int, target_vocab: int, d_model: int, pad_id: int = 0) -> None:
        super().__init__()
        self.encoder = GRUEncoder(source_vocab, d_model, pad_id)
        self.decoder = GRUDecoder(target_vocab, d_model, pad_id)

    def forward(self, source: Tensor, target_in: Tensor) -> Tensor:
        """Source ids [B, Ts] and target ids, shifted right, [B, Tt] -> logits [B, Tt, V]."""
        _, summary = self.encoder(source)
        return self.decoder(target_in, summary)
