"""Recurrences and convolutions against PyTorch's own, and what a fixed vector can and cannot see."""

import pytest
import torch
from torch import nn

from course_lib import recurrent

B, T, D_IN, D = 3, 6, 4, 5


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(0)


@pytest.mark.parametrize("name", ["RNN", "GRU", "LSTM"])
def test_sequence_forms_equal_torch(name):
    theirs = getattr(nn, name)(D_IN, D, batch_first=True)
    ours = getattr(recurrent, name)(D_IN, D)
    ours.cell.load_state_dict({key.removesuffix("_l0"): value for key, value in theirs.state_dict().items()})
    x = torch.randn(B, T, D_IN)
    start = torch.randn(1, B, D)
    for state in (None, (start, torch.randn(1, B, D)) if name == "LSTM" else start):
        ours_state = tuple(s[0] for s in state) if isinstance(state, tuple) else None if state is None else state[0]
        states, last = ours(x, ours_state)
        their_states, their_last = theirs(x, state)
        torch.testing.assert_close(states, their_states)
        if name == "LSTM":
            torch.testing.assert_close(torch.stack(last), torch.cat(their_last))
        else:
            torch.testing.assert_close(last, their_last[0])


@pytest.mark.parametrize("name", ["RNNCell", "GRUCell", "LSTMCell"])
def test_cells_equal_torch_and_share_its_state_dict(name):
    theirs = getattr(nn, name)(D_IN, D)
    ours = getattr(recurrent, name)(D_IN, D)
    ours.load_state_dict(theirs.state_dict())
    x, h, c = torch.randn(B, D_IN), torch.randn(B, D), torch.randn(B, D)
    state = (h, c) if name == "LSTMCell" else h
    torch.testing.assert_close(ours(x, state), theirs(x, state))


def test_rnn_forward_equals_torch_and_keeps_dtype():
    theirs = nn.RNN(D_IN, D, batch_first=True).double()
    w_x, w_h, b_x, b_h = (p.detach() for p in theirs.parameters())
    x, h0 = torch.randn(B, T, D_IN).double(), torch.randn(B, D).double()
    states = recurrent.rnn_forward(x, w_x.T, w_h.T, b_x + b_h, h0)
    torch.testing.assert_close(states, theirs(x, h0[None])[0])


def test_a_recurrence_sees_the_past_only():
    ours, x = recurrent.LSTM(D_IN, D), torch.randn(B, T, D_IN, requires_grad=True)
    (gradient,) = torch.autograd.grad(ours(x)[0][:, 2].sum(), x)
    assert (gradient[:, 3:] == 0).all() and (gradient[:, :3] != 0).all()


def test_the_forget_bias_starts_where_it_is_told():
    cell = recurrent.LSTMCell(D_IN, D, forget_bias=3.0)
    assert (cell.bias_ih + cell.bias_hh)[D : 2 * D].tolist() == [3.0] * D
    rest = torch.cat([cell.bias_ih[:D], cell.bias_ih[2 * D :]])
    assert rest.abs().max() < 1 / D**0.5


def test_a_memory_with_open_forget_gate_keeps_its_content():
    cell = recurrent.LSTMCell(D_IN, D, forget_bias=20.0)
    with torch.no_grad():
        cell.bias_ih[:D] = -20.0  # nothing new gets in
        content = torch.randn(B, D)
        _, (_, kept) = _run(cell, torch.randn(B, 50, D_IN), (torch.zeros(B, D), content))
    torch.testing.assert_close(kept, content, atol=1e-4, rtol=1e-4)


def _run(cell, x, state):
    for x_t in x.unbind(1):
        state = cell(x_t, state)
    return x, state


@pytest.mark.parametrize(("kernel_size", "dilation"), [(1, 1), (2, 1), (3, 1), (3, 2), (2, 4)])
def test_causal_convolution_is_the_sum_over_past_inputs(kernel_size, dilation):
    layer, x = recurrent.CausalConv1d(D_IN, D, kernel_size, dilation), torch.randn(B, 11, D_IN)
    weight, bias = layer.convolution.weight, layer.convolution.bias  # [Dout, Din, K]
    out = layer(x)
    assert out.shape == (B, 11, D)
    for t in range(11):
        wanted = bias.clone().expand(B, D)
        for j in range(kernel_size):
            if (past := t - j * dilation) >= 0:
                wanted = wanted + x[:, past] @ weight[:, :, kernel_size - 1 - j].T
        torch.testing.assert_close(out[:, t], wanted)


@pytest.mark.parametrize(("kernel_size", "n_layers", "growth"), [(3, 0, 1), (1, 4, 1), (3, 3, 1), (2, 4, 2), (3, 3, 3)])
def test_receptive_field_is_what_the_gradient_reaches(kernel_size, n_layers, growth):
    length = recurrent.receptive_field(kernel_size, n_layers, growth) + 4
    layers = [recurrent.CausalConv1d(D, D, kernel_size, growth**layer) for layer in range(n_layers)]
    x = torch.randn(1, length, D, requires_grad=True)
    (gradient,) = torch.autograd.grad(nn.Sequential(*layers)(x)[:, -1].sum(), x)
    reached = int((gradient.abs().sum(-1) > 0).sum())
    assert reached == recurrent.receptive_field(kernel_size, n_layers, growth)


def test_flops_are_what_torch_counts():
    from torch.utils.flop_counter import FlopCounterMode

    n, d, k = 7, 5, 3

    def counted(function):
        with FlopCounterMode(display=False) as counter:
            function()
        return counter.get_total_flops()

    q, x = torch.randn(n, d), torch.randn(1, n, d)
    assert counted(lambda: (q @ q.T).softmax(-1) @ q) == recurrent.attention_flops(n, d) == 4 * 7 * 7 * 5
    w, b = torch.randn(d, d), torch.zeros(d)
    assert counted(lambda: recurrent.rnn_forward(x, w, w, b, b[None])) == recurrent.recurrence_flops(n, d)
    wide = nn.Conv1d(d, d, k, padding="same")
    assert counted(lambda: wide(x.mT)) == recurrent.convolution_flops(n, d, k)


def test_padding_on_the_right_changes_nothing():
    model = recurrent.BottleneckSeq2Seq(9, 11, 6).eval()
    source, target = torch.tensor([[3, 5, 4]]), torch.tensor([[1, 7, 2, 8]])
    padded = torch.tensor([[3, 5, 4, 0, 0], [8, 7, 6, 5, 4]])
    states, last = model.encoder(padded)
    alone_states, alone_last = model.encoder(source)
    torch.testing.assert_close(states[:1, :3], alone_states)
    torch.testing.assert_close(last[:1], alone_last)
    torch.testing.assert_close(last[0], states[0, 2])
    torch.testing.assert_close(last[1], states[1, 4])
    assert (states[0, 3:] == 0).all()
    logits = model(padded, target.expand(2, -1))
    assert logits.shape == (2, 4, 11)
    torch.testing.assert_close(logits[:1], model(source, target))


def test_an_empty_source_gives_zeros():
    states, last = recurrent.GRUEncoder(9, 6)(torch.zeros(2, 4, dtype=torch.long))
    assert (states == 0).all() and (last == 0).all()


def test_the_decoder_sees_targets_up_to_now_and_the_source_through_one_vector():
    model = recurrent.BottleneckSeq2Seq(9, 11, 6).eval()
    source, target = torch.tensor([[3, 5, 4]]), torch.tensor([[1, 7, 2, 8]])
    other = target.clone()
    other[0, 2] = 9
    difference = (model(source, target) - model(source, other)).abs().sum(-1)[0]
    assert (difference[:2] == 0).all() and (difference[2:] > 0).all()
    summary = torch.randn(1, 6, requires_grad=True)
    (gradient,) = torch.autograd.grad(model.decoder(target, summary)[:, 0].sum(), summary)
    assert (gradient != 0).all()


def test_the_encoder_decoder_learns_to_copy_short_sequences():
    model = recurrent.BottleneckSeq2Seq(8, 8, 32)
    optimiser = torch.optim.Adam(model.parameters(), lr=0.01)
    for _ in range(150):
        ids = torch.randint(2, 8, (64, 3))
        target_in = torch.cat([torch.ones(64, 1, dtype=torch.long), ids[:, :-1]], dim=1)
        loss = nn.functional.cross_entropy(model(ids, target_in).flatten(0, 1), ids.flatten())
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    assert loss < 0.1


@pytest.mark.parametrize(("n", "kernel_size"), [(2, 2), (7, 3), (8, 3), (9, 3), (30, 5)])
def test_the_path_of_a_convolution_is_the_number_of_layers_that_reach_the_first_input(n, kernel_size):
    costs = recurrent.layer_costs(n, 6, kernel_size)
    layers = costs["convolution"]["path"]
    reach = recurrent.receptive_field
    assert reach(kernel_size, layers - 1) < n <= reach(kernel_size, layers)
    assert costs["recurrent"] == {"operations": 4 * n * 36, "steps": n, "path": n}
    assert costs["attention"] == {"operations": 4 * n * n * 6, "steps": 1, "path": 1}
