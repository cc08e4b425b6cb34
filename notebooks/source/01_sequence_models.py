# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown] id="title" documents=["001 §1.1", "001 §1.2", "004 §1", "004 §2.1", "004 §2.2"]
# # 01 · Sequence models: RNN, GRU, LSTM, CNN, and their bottleneck
#
# Before attention, networks read a sentence like a person with a small notebook: one word after the other, one page to
# write on. At the end of this chapter you can
#
# - compute a step of an RNN and of an LSTM by hand, and write both;
# - measure how a gradient vanishes or explodes, and say what a forget gate does about it;
# - tell how far a stack of convolutions sees;
# - compare recurrence, convolution and attention by cost, by waiting, and by distance;
# - say what a translator without attention has to squeeze into one vector.
#
# **Time:** about an hour, and an hour for the exercises. **You need:** Python and a little PyTorch. Numbers such as E036 name
# mistakes of the documents that this course is built on.

# %% id="imports"
import math
import time

import torch
import torch.nn.functional as F
from torch import nn

from course_lib import recurrent
from course_lib.views import cost_explorer, gradient_explorer, receptive_field_explorer

torch.set_printoptions(precision=3, sci_mode=False)

# %% [markdown] id="question" concepts=["C01", "C02"] documents=["004 §1"]
# ## 1. The question
#
# > The **keys** that my grandmother kept in a box on the shelf behind the kitchen door **were** lost.
#
# *Were*, not *was*: the word that decides stands fifteen words back. A network that reads from left to right has to carry it all the
# way, and when it gets the verb wrong in training, the blame has to come all the way back. **How far does blame travel, and what does
# another way of reading cost?**

# %% [markdown] id="sequences" concepts=["C01"] documents=["004 §1", "004 §2.1"] errata=["E105"]
# ### What a sequence model is
#
# Something that takes sequences of **any length**, whose **order** counts: words, notes, frames of speech.
#
# | task | comes in | goes out | such as |
# |---|---|---|---|
# | classify | a sequence | one label | TextCNN (below), BERT |
# | tag | a sequence | a label for each position | an LSTM tagger |
# | continue | a sequence | the next token, again and again | GPT-2 |
# | translate | a sequence | another sequence, of another length | the rest of this course |
#
# Only the last kind needs an encoder *and* a decoder (E105). To compute with several sequences at once, the shorter ones are padded:

# %% id="padded" concepts=["C01"]
from course_lib.batches import pad_batch

ids, lengths = pad_batch([[5, 9, 4], [7, 2], [3, 8, 6, 2, 1]], pad_id=0)
vectors = nn.Embedding(10, 6, padding_idx=0)(ids)
print(ids, "\nlengths", lengths.tolist(), "  ids [B, T] =", list(ids.shape), "  vectors [B, T, D] =", list(vectors.shape))

# %% [markdown] id="predict"
# ## 2. Predict
#
# Commit before you know.

# %% id="predict-power" concepts=["C02"] jupyter={"source_hidden": true} cellView="form"
# @title Predict first (the answer is in here)
from course_lib.views import predict, predict_number

predict_number(
    "Blame is multiplied by <b>0.9</b> on its way back through each word. How much of it is left <b>50</b> words back, in percent?",
    0.515,
    "0.9 multiplied by itself 50 times is 0.00515. A factor that looks harmless is deadly when it is taken fifty times.",
    within=0.3,
    unit="%",
)

# %% id="predict-cost" concepts=["C07"] errata=["E101"] jupyter={"source_hidden": true} cellView="form"
# @title Predict first (the answer is in here)
predict(
    "One layer of width 512 reads a sentence of <b>20 words</b>. Which takes fewer operations in its core products, self-attention or a recurrence?",
    [
        "self-attention",
        ("the recurrence", "That is so for long texts. Here there are only 20 · 20 pairs of words, while each step of the recurrence multiplies by two 512 × 512 matrices."),
        ("both the same", "They meet where the number of words equals the width: at 512 words."),
    ],
    "self-attention",
    "4 · 20² · 512 is 0.8 million, 4 · 20 · 512² is 21 million. Beyond 512 words it is the other way round. Document 004 has it wrong for long texts (E101).",
)

# %% [markdown] id="rnn-by-hand" concepts=["C02"] documents=["001 §1.1", "004 §2.1"]
# ## 3. By hand
#
# ### A recurrence, by hand
#
# $$h_t = \tanh(x_t W_x + h_{t-1} W_h + b)$$
#
# A **state** $h$, and one rule that makes the next state from the input and the state before. (Elman 1990.) The weights are the same at every step. With
# single numbers, $W_x = 1$, $W_h = 0.5$, $b = 0$, $h_0 = 0$ and $x = (1, 0, -1)$:
#
# | $t$ | $x_t + 0.5\,h_{t-1}$ | $h_t$ |
# |---|---|---|
# | 1 | 1 + 0 = 1 | tanh 1 = 0.762 |
# | 2 | 0 + 0.381 = 0.381 | tanh 0.381 = 0.363 |
# | 3 | −1 + 0.182 = −0.818 | tanh −0.818 = −0.674 |

# %% id="rnn-confirmed" concepts=["C02"]
x = torch.tensor([1.0, 0.0, -1.0]).view(1, 3, 1)  # [B, T, Dx]
one, half, zero = torch.ones(1, 1), torch.full((1, 1), 0.5), torch.zeros(1)
states = recurrent.rnn_forward(x, one, half, zero, h0=torch.zeros(1, 1))  # [B, T, Dh]
print("states", states.flatten())
torch.testing.assert_close(states.flatten(), torch.tensor([0.762, 0.363, -0.674]), atol=1e-3, rtol=0)

# %% [markdown] id="gradient-by-hand" concepts=["C02"] errata=["E036"]
# ### What comes back, by hand
#
# How much does $h_3$ change when $h_1$ does? One factor for each step between. The slope of tanh at the state $h$ is $1 - h^2$, so
#
# $$\frac{\partial h_3}{\partial h_1} = (1 - h_3^2)\,W_h \cdot (1 - h_2^2)\,W_h = 0.546 \cdot 0.5 \cdot 0.868 \cdot 0.5 = 0.118$$
#
# Each factor is $W_h$, times something that is 1 at most. Over $k$ steps that is about $W_h^{\,k}$: it **vanishes** below 1 and may **explode** above.

# %% id="gradient-confirmed" concepts=["C02"] errata=["E036"]
h_1 = states[:, 0].detach().requires_grad_()
h_3 = recurrent.rnn_forward(x[:, 1:], one, half, zero, h_1)[:, -1]
(slope,) = torch.autograd.grad(h_3.sum(), h_1)
print(f"autograd: {slope.item():.3f}")
print("  k     0.9^k      1.1^k")
for k in (1, 10, 20, 50, 100):
    print(f"{k:3} {0.9**k:9.1e}  {1.1**k:9.1e}")
assert abs(slope.item() - 0.118) < 1e-3

# %% [markdown] id="lstm-by-hand" concepts=["C03"] documents=["001 §1.1", "004 §2.1"]
# ### One step of an LSTM, by hand
#
# The *long short-term memory* keeps a second vector, the memory $c$, that is never squeezed through a matrix. Three **gates**, numbers
# between 0 and 1, say what happens to it:
#
# $$c' = \sigma(f)\,c + \sigma(i)\tanh(g), \qquad h' = \sigma(o)\tanh(c')$$
#
# $f$ keeps or forgets, $i$ lets in, $o$ shows; $g$ is new content. All four come from $x W_x + h W_h + b$. Let $c = 2$, and let the sums be $i = 0$,
# $f = 2$, $g = 1$, $o = 0$:
#
# | σ(i) | σ(f) | tanh g | σ(o) | c′ | h′ |
# |---|---|---|---|---|---|
# | 0.5 | 0.881 | 0.762 | 0.5 | 0.881 · 2 + 0.5 · 0.762 = **2.142** | 0.5 · tanh 2.142 = **0.486** |

# %% id="lstm-confirmed" concepts=["C03"]
x_1, h_0, c_0 = torch.ones(1, 1), torch.zeros(1, 1), torch.full((1, 1), 2.0).requires_grad_()
w_x, w_h, b = torch.tensor([[0.0, 2.0, 1.0, 0.0]]), torch.zeros(1, 4), torch.zeros(4)  # blocks i, f, g, o
h_1, c_1 = recurrent.lstm_step(x_1, h_0, c_0, w_x, w_h, b)
(slope,) = torch.autograd.grad(c_1.sum(), c_0)
print(f"c' = {c_1.item():.3f}   h' = {h_1.item():.3f}   slope of c' in c = {slope.item():.3f} = the forget gate")
assert abs(c_1.item() - 2.142) < 1e-3 and abs(h_1.item() - 0.486) < 1e-3 and abs(slope.item() - 0.881) < 1e-3

# %% [markdown] id="lstm-road" concepts=["C03"]
# The slope from memory to memory is $\sigma(f)$: no matrix, no tanh. With the gate at 0.99, 100 steps leave $0.99^{100} = 0.37$. That is the whole trick.
# The memory of 1997 had no forget gate and so a slope of exactly 1; it could not let go of anything, and Gers et al. 2000 added the gate.

# %% [markdown] id="gru-by-hand" concepts=["C03"] documents=["004 §2.1"]
# ### A GRU, by hand
#
# The *gated recurrent unit* (Cho et al. 2014) has no second vector and two gates: $h' = (1 - z)\,n + z\,h$. How much is kept and how much is renewed is one decision, $z$; a second gate, $r$, may
# hide the old state from the new content $n = \tanh(\dots)$. With $h = 0.5$, $z = \sigma(2) = 0.881$ and $n = \tanh 1 = 0.762$: $h' = 0.119 \cdot 0.762 + 0.881 \cdot 0.5 = 0.531$. Per step it has three
# blocks of weights where an RNN has one, and the LSTM four:

# %% id="count" concepts=["C03"]
blocks = torch.tensor([[0.0, 2.0, 1.0]])  # r, z, n
h_1 = recurrent.gru_step(x_1, torch.full((1, 1), 0.5), blocks, torch.zeros(1, 3), torch.zeros(3), torch.zeros(3))
print(f"GRU: h' = {h_1.item():.3f}")
assert abs(h_1.item() - 0.531) < 1e-3
for kind in (nn.RNN, nn.GRU, nn.LSTM):
    n_parameters = sum(p.numel() for p in kind(10, 20).parameters())
    print(f"{kind.__name__:4} from 10 to 20 features: {n_parameters:5,} parameters")
assert n_parameters == 4 * (10 * 20 + 20 * 20 + 2 * 20)  # PyTorch has two biases

# %% [markdown] id="convolution-by-hand" concepts=["C04"] documents=["001 §1.2", "004 §2.1"]
# ### A convolution, by hand
#
# No state: every output reads a **window** of the inputs, with the same weights everywhere. Take kernel size 2, weight 1 for the present and −1 for the past, and
# $x = (1, 2, 4)$ with a zero in front: the outputs are $1 - 0$, $2 - 1$, $4 - 2$, that is $(1, 1, 2)$.
#
# One layer with kernel size $K$ sees $K$ inputs. A second one reads neighbours, each of which sees $K$; they overlap in all but one, so each layer adds $K - 1$:
#
# $$\text{receptive field} = 1 + L\,(K - 1)$$
#
# With $K = 3$: 3, 5, 9, 17 inputs for 1, 2, 4, 8 layers. With **dilation**, gaps in the window that double from layer to layer, it grows like $2^L$.

# %% id="convolution-confirmed" concepts=["C04"] errata=["E064"]
layer = recurrent.CausalConv1d(1, 1, kernel_size=2)
with torch.no_grad():
    layer.convolution.weight.copy_(torch.tensor([[[-1.0, 1.0]]]))  # past, present
    layer.convolution.bias.zero_()
    print("outputs", layer(torch.tensor([[[1.0], [2.0], [4.0]]])).flatten())


def inputs_seen(module, n=64, d=8):  # measured: which inputs have a gradient?
    x = torch.randn(1, n, d, requires_grad=True)
    (gradient,) = torch.autograd.grad(module(x)[0, -1].sum(), x)
    return int((gradient[0].abs().sum(-1) > 0).sum())


torch.manual_seed(0)
for n_layers in (1, 2, 4, 8):
    stack = nn.Sequential(*[recurrent.CausalConv1d(8, 8, 3) for _ in range(n_layers)])
    print(f"layers: {n_layers}, kernel size 3: {inputs_seen(stack):2} inputs measured, {recurrent.receptive_field(3, n_layers):2} computed")
    assert inputs_seen(stack) == recurrent.receptive_field(3, n_layers)

# %% [markdown] id="costs-by-hand" concepts=["C07"] errata=["E064", "E101"]
# ### What a layer costs
#
# Three questions about one layer over $n$ positions of width $d$ (Vaswani et al. 2017, §4, table 1). A product of $[a, b]$ with $[b, c]$ takes $2abc$ operations: a
# multiplication and its addition count as two.
#
# | | operations | steps that wait for each other | from the first input to the last output |
# |---|---|---|---|
# | **recurrence** | $n$ times $xW_x$ and $hW_h$: $4nd^2$ | $n$ | $n$ steps |
# | **convolution**, size $K$ | $n$ times $K$ matrices: $2Knd^2$ | 1 | $\lceil (n-1)/(K-1) \rceil$ layers |
# | **attention** | $QK^\top$ and $AV$: $4n^2d$ | 1 | 1 layer |
#
# “Waiting”: $h_5$ cannot be computed before $h_4$. The outputs of a convolution or an attention read the layer *below*, which is all there.

# %% id="costs-confirmed" concepts=["C07"] errata=["E101", "E064", "E109"] documents=["004 §1", "001 §6 Q1"]
from torch.utils.flop_counter import FlopCounterMode

with torch.device("meta"), FlopCounterMode(display=False) as counter:  # shapes only: counted, not computed
    query, key, value = torch.empty(3, 1024, 64)
    (query @ key.T).softmax(-1) @ value
assert counter.get_total_flops() == recurrent.attention_flops(1024, 64)

print("d = 64    recurrence     attention")
for n in (16, 64, 256, 1024):
    costs = recurrent.layer_costs(n, 64, kernel_size=3)
    print(f"n = {n:4} {costs['recurrent']['operations']:11,}  {costs['attention']['operations']:12,}")
assert recurrent.attention_flops(64, 64) == recurrent.recurrence_flops(64, 64)

# %% [markdown] id="costs-seen" concepts=["C07"] errata=["E101"]
# Twice the length doubles the recurrence and quadruples attention; they meet at $n = d$. Attention was never introduced to save operations on long texts, as document
# 004, §1, says (E101). What it saves is the two other columns.

# %% [markdown] id="build" concepts=["C02", "C03"]
# ## 4. Build it
#
# ### A recurrence and an LSTM
#
# Both in a few lines each, and then three ways to compute the same: ours, the library’s, PyTorch’s.

# %% id="toy" concepts=["C02", "C03"]
def run_rnn(x, w_x, w_h, b, h):  # x [B, T, Dx] -> [B, T, Dh]
    states = []
    for t in range(x.shape[1]):
        h = torch.tanh(x[:, t] @ w_x + h @ w_h + b)  # [B, Dh]
        states.append(h)
    return torch.stack(states, dim=1)


def run_lstm(x, w_x, w_h, b, h, c):  # x [B, T, Dx] -> [B, T, Dh]
    states = []
    for t in range(x.shape[1]):
        i, f, g, o = (x[:, t] @ w_x + h @ w_h + b).chunk(4, dim=-1)  # [B, Dh] each
        c = f.sigmoid() * c + i.sigmoid() * g.tanh()
        h = o.sigmoid() * c.tanh()
        states.append(h)
    return torch.stack(states, dim=1)


# %% id="agree" concepts=["C02", "C03"]
torch.manual_seed(0)
x = torch.randn(2, 7, 3)  # [B, T, Dx]
h_0 = c_0 = torch.zeros(2, 5)
for kind, toy in (("RNN", lambda *w: run_rnn(x, *w, h_0)), ("LSTM", lambda *w: run_lstm(x, *w, h_0, c_0))):
    theirs = getattr(nn, kind)(3, 5, batch_first=True)
    w_ih, w_hh, b_ih, b_hh = (p.detach() for p in theirs.parameters())  # PyTorch keeps them transposed, with two biases
    ours = getattr(recurrent, kind)(3, 5)
    ours.cell.load_state_dict({name.removesuffix("_l0"): p for name, p in theirs.state_dict().items()})
    torch.testing.assert_close(toy(w_ih.T, w_hh.T, b_ih + b_hh), theirs(x)[0])
    torch.testing.assert_close(ours(x)[0], theirs(x)[0])
    print(f"{kind}: all three agree, states {list(theirs(x)[0].shape)} = [B, T, Dh]")

# %% [markdown] id="textcnn" concepts=["C04"] documents=["001 §1.2"] errata=["E038"]
# ### A convolutional classifier
#
# Kim 2014, *Convolutional Neural Networks for Sentence Classification*: windows of several widths run over the word vectors, each filter keeps its **maximum over time**, and a linear layer with a
# softmax decides. Document 001, §1.2, calls it “ConvSVM”, with a support vector machine, by “Kim et al.” (E038): no such model was published, and Kim wrote alone. (Dropout before the last layer is left out here.) Below it learns to
# find the pattern *7 8 9*, in this order, anywhere in 20 tokens; every text contains all three.

# %% id="textcnn-shown" concepts=["C04"] errata=["E038"] documents=["001 §1.2"]
class TextCNN(nn.Module):
    def __init__(self, vocab_size, d_model, widths, n_filters, n_classes):
        super().__init__()
        self.embedding = nn.Embedding(vocab_size, d_model)
        self.windows = nn.ModuleList(nn.Conv1d(d_model, n_filters, width) for width in widths)
        self.read = nn.Linear(len(widths) * n_filters, n_classes)

    def forward(self, ids):  # [B, T] -> logits [B, classes]
        x = self.embedding(ids).mT  # [B, D, T]
        maxima = [window(x).relu().amax(-1) for window in self.windows]  # over time: [B, filters] each
        return self.read(torch.cat(maxima, dim=-1))


def text(planted):  # every token once, in random order; with 7 8 9 side by side or not
    ids = torch.randperm(20)
    rest, place = ids[(ids < 7) | (ids > 9)], int(torch.randint(18, ()))
    return torch.cat([rest[:place], torch.tensor([7, 8, 9]), rest[place:]]) if planted else ids


def texts(n):
    label = torch.arange(n) % 2
    return torch.stack([text(planted) for planted in label]), label


torch.manual_seed(0)
classifier = TextCNN(20, 16, widths=(2, 3, 4), n_filters=16, n_classes=2)
optimizer = torch.optim.Adam(classifier.parameters(), lr=0.01)
for _ in range(80):
    ids, label = texts(64)
    loss = F.cross_entropy(classifier(ids), label)  # a softmax and its loss; no hinge, no support vectors
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
ids, label = texts(200)
right = (classifier(ids).argmax(-1) == label).float().mean().item()
print(f"last layer: {classifier.read}   right on new texts: {right:.0%}")
assert right > 0.9 and isinstance(classifier.read, nn.Linear)

# %% [markdown] id="seq2seq" concepts=["C05"] documents=["004 §3.1"] errata=["E106"]
# ### A translator with a bottleneck
#
# Cho et al. 2014 and Sutskever et al. 2014 put two recurrences together. An **encoder** reads the source; its last state $c = h_T$ is all that is handed on. A **decoder** begins with it
# and writes, one token after the other. Document 004, §3.1, says of encoders in general that they end on one vector of fixed length (E106). This kind does. Chapter 02’s keeps all states.

# %% id="seq2seq-shown" concepts=["C05"] errata=["E106"] documents=["004 §3.1"]
torch.manual_seed(0)
translator = recurrent.BottleneckSeq2Seq(source_vocab=30, target_vocab=40, d_model=32)
for n in (5, 50):
    states, last = translator.encoder(torch.randint(1, 30, (1, n)))
    print(f"{n:2} words: all states {list(states.shape)}, {states.numel():5,} numbers;   handed on {list(last.shape)}, {last.numel()} numbers")
logits = translator(torch.randint(1, 30, (2, 5)), torch.randint(1, 40, (2, 7)))
print("logits", list(logits.shape), "= [B, T, V]")
assert torch.equal(last, states[:, -1]) and logits.shape == (2, 7, 40)

# %% [markdown] id="bottleneck" concepts=["C05"]
# ### What fits through it
#
# **Expectation:** with training, short sequences pass; somewhere the vector is full, and a wider one holds more. The task is to repeat up to ten random letters; counted are the
# sequences without a single mistake, each letter with the right ones before it given.

# %% id="bottleneck-run" concepts=["C05"]
def some_letters(n, t):
    ids = torch.randint(2, 12, (n, t))
    return ids, torch.cat([torch.ones(n, 1, dtype=torch.long), ids[:, :-1]], dim=1)  # shifted right, 1 begins


def repeat_through(d_model, steps=600, longest=10):
    torch.manual_seed(0)
    model = recurrent.BottleneckSeq2Seq(12, 12, d_model)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.005)
    for _ in range(steps):
        ids, shifted = some_letters(64, int(torch.randint(1, longest + 1, ())))
        loss = F.cross_entropy(model(ids, shifted).flatten(0, 1), ids.flatten())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    found = {}
    for t in (2, 4, 6, 8, 10):
        ids, shifted = some_letters(256, t)
        found[t] = (model(ids, shifted).argmax(-1) == ids).all(1).float().mean().item()
    return found


print("without a mistake   ", *(f"{t:2} letters" for t in (2, 4, 6, 8, 10)))
passed = {d_model: repeat_through(d_model) for d_model in (16, 64)}
for d_model, found in passed.items():
    print(f"a vector of {d_model:2}        ", *(f"{share:10.0%}" for share in found.values()))
assert passed[64][2] > 0.9 > 0.2 > passed[64][10] and passed[64][6] > passed[16][6]

# %% [markdown] id="bottleneck-seen" concepts=["C05"]
# As expected: ten letters hardly ever pass. (One task, one seed, a few seconds of training: with more, more would pass, at either width.) Chapter 02 gives the decoder
# attention, and measures again.

# %% [markdown] id="move" concepts=["C02", "C03"] errata=["E036"]
# ## 5. Move it
#
# ### How far back does a gradient reach?
#
# Three networks with fresh weights read random numbers. The RNN’s $W_h$ makes every vector longer or shorter by the same factor, its “size”. The picture shows how much the last state still depends on an input at each distance, on a log axis. **Try:** “linear” with a size of 0.9 and then 1.1: straight lines, your powers.
# Back to tanh: is there a size of $W_h$ at which the RNN neither vanishes nor explodes, for every choice of weights? Then move the forget bias from 0 to 6.

# %% id="gradient-view" concepts=["C02", "C03"] errata=["E036"] documents=["001 §1.1"]
gradient_explorer()

# %% [markdown] id="gradient-seen" concepts=["C02", "C03"] errata=["E036"]
# Document 001, §1.1, says that RNN and LSTM capture long-range dependencies (E036). An RNN’s gradient is gone after some dozen steps, and that of a *fresh* LSTM, too, since its forget
# gates stand near one half. With a forget bias it stays. An RNN can be balanced by its size, but on a knife’s edge: a little less vanishes, a little more explodes, and where the edge lies
# changes with the weights. The numbers, in PyTorch’s own modules:

# %% id="gradient-numbers" concepts=["C02", "C03"] errata=["E036"] documents=["001 §1.1"]
def reach_of(make, length):
    torch.manual_seed(0)
    network = make()
    x = torch.randn(length, 1, 1, requires_grad=True)  # [T, B, Dx], PyTorch’s default
    network(x)[0][-1].sum().backward()
    return (x.grad[0].abs() / x.grad[-1].abs()).item()


def lstm_with(forget_bias):
    network = nn.LSTM(1, 32)
    with torch.no_grad():
        network.bias_ih_l0[32:64], network.bias_hh_l0[32:64] = forget_bias, 0.0  # the second block of four
    return network


print("distance        RNN   fresh LSTM   LSTM, forget bias 4")
for length in (5, 20, 50, 100):
    row = [reach_of(make, length) for make in (lambda: nn.RNN(1, 32), lambda: nn.LSTM(1, 32), lambda: lstm_with(4.0))]
    print(f"{length - 1:8} {row[0]:10.0e} {row[1]:12.0e} {row[2]:14.2f}")
assert max(row[:2]) < 1e-15 and row[2] > 0.1

# %% [markdown] id="forget-experiment" concepts=["C03"]
# ### Does it matter when one trains?
#
# Forty steps: at the first the network is told one of eight letters, then it hears noise, and at the end it must say the letter. **Expectation:** the LSTM with the open forget gate learns it; the
# fresh one gets no gradient from the first step, and keeps guessing.

# %% id="forget-run" concepts=["C03"]
def remember(forget_bias, distance=40, steps=400):
    torch.manual_seed(0)
    network, read = nn.LSTM(10, 32, batch_first=True), nn.Linear(32, 8)
    if forget_bias is not None:
        with torch.no_grad():
            network.bias_ih_l0[32:64], network.bias_hh_l0[32:64] = forget_bias, 0.0
    optimizer = torch.optim.Adam([*network.parameters(), *read.parameters()], lr=0.01)
    losses = []
    for _ in range(steps):
        letter = torch.randint(8, (32,))
        x = torch.zeros(32, distance + 1, 10)  # [B, T, Dx]
        x[torch.arange(32), 0, letter] = 1.0
        x[:, 1:, 8:] = torch.randn(32, distance, 2)  # noise, on features of its own
        loss = F.cross_entropy(read(network(x)[0][:, -1]), letter)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return sum(losses[-10:]) / 10


fresh, opened = remember(None), remember(4.0)
print(f"loss after 400 steps:   guessing {math.log(8):.2f}   fresh LSTM {fresh:.2f}   forget bias 4: {opened:.2f}")
assert fresh > 1.8 and opened < 1.5

# %% [markdown] id="forget-seen" concepts=["C03"]
# As expected. One number, set before training, decides whether anything is learned here. (One task and one seed. In tasks where near words help, too, a fresh LSTM opens its gates by and by. Jozefowicz et al. 2015
# found a bias of 1 to help in general.)

# %% [markdown] id="see" concepts=["C04", "C07"] errata=["E064"]
# ### Who sees what
#
# **Try:** four layers with kernel size 3, then 5, then “doubling”. How few layers bring input 0 to output 23? Look at attention beside it.

# %% id="receptive-view" concepts=["C04", "C07"] errata=["E064"] documents=["001 §1.2", "001 §6 Q1"]
receptive_field_explorer()

# %% [markdown] id="see-seen" concepts=["C04", "C07"]
# A stack of convolutions sees further with every layer, and no further. Attention sees everything that it may, in one layer. A convolution knows *which* of its inputs stands where; attention
# has to be told (chapter 04).

# %% [markdown] id="cost-move" concepts=["C07"] errata=["E101", "E109"]
# ### What it costs
#
# **Try:** width 64, and move $n$ from 32 to 64, and on. Then width 1,024: at which length is attention the dearest now?

# %% id="cost-view" concepts=["C07"] errata=["E101", "E109"] documents=["004 §1", "001 §6 Q1"]
cost_explorer()

# %% [markdown] id="clock" concepts=["C07"] errata=["E037", "E096"]
# ### And by the clock
#
# The same width, three layers, and how long *this* machine takes for one pass. **Look at** how each column grows with $n$.

# %% id="clock-run" concepts=["C07"] errata=["E037", "E096"] documents=["001 §1.1", "003 §5"]
def milliseconds(compute, *arguments):
    compute(*arguments)  # warm up
    best = math.inf
    for _ in range(3):
        begin = time.perf_counter()
        compute(*arguments)
        best = min(best, time.perf_counter() - begin)
    return 1000 * best


torch.manual_seed(0)
d = 64
rnn, convolution = nn.RNN(d, d, batch_first=True), recurrent.CausalConv1d(d, d, 3)
with torch.no_grad():
    print("     n   recurrence   convolution   attention   (ms)")
    for n in (64, 256, 1024):
        x = torch.randn(1, n, d)
        row = [milliseconds(*work) for work in ((rnn, x), (convolution, x), (F.scaled_dot_product_attention, x, x, x))]
        print(f"{n:6} {row[0]:12.2f} {row[1]:13.2f} {row[2]:11.2f}")
    alone, together = (milliseconds(rnn, torch.randn(b, 256, d)) for b in (1, 16))
    print(f"recurrence, n = 256: one sequence {alone:.2f} ms; 16 sequences together {together:.2f} ms, {together / 16:.2f} ms each")

# %% [markdown] id="clock-seen" concepts=["C07"] errata=["E037", "E096", "E041"]
# The recurrence grows like $n$, whatever the machine: its steps wait for each other. Attention grows faster and faster, but everything in it may be done at once, and the more cores there are, the more of it *is*. Two
# gain little from that; graphics cards have thousands. Document 001, §1.1, says that RNNs cannot compute in parallel (E037): over time they cannot; over the
# batch and the features they do, as the last line shows.

# %% [markdown] id="break" concepts=["C02"]
# ## 6. Break it
#
# ### Explode
#
# A linear recurrence with factor 1.1, 200 steps, one gradient step at a rate of 0.01. **Look at** where the weight lands; then at the same step with the gradient *clipped* to length 1
# (Pascanu et al. 2013).

# %% id="explode" concepts=["C02"] errata=["E036"]
for clip in (False, True):
    weight = torch.tensor([1.1], requires_grad=True)
    state = torch.ones(1)
    for _ in range(200):
        state = weight * state
    state.backward()
    size = weight.grad.norm().item()
    if clip:
        nn.utils.clip_grad_norm_([weight], 1.0)
    print(f"gradient {size:.1e}, {'clipped to 1:' if clip else 'as it is:':13} the weight goes from 1.1 to {(weight - 0.01 * weight.grad).item():,.2f}")
assert size > 1e9

# %% [markdown] id="explode-seen" concepts=["C02"]
# Clipping tames an explosion. It cannot bring back what has vanished.

# %% [markdown] id="padding-break" concepts=["C05"]
# ### Read on into the padding
#
# A batch is padded on the right, and the encoder hands on its last state. Which one is the last? `states[:, -1]` has read the padding as well:

# %% id="padding-shown" concepts=["C05"]
torch.manual_seed(0)
encoder = recurrent.GRUEncoder(vocab_size=30, d_model=8)
alone, padded = torch.tensor([[5, 9, 4]]), torch.tensor([[5, 9, 4, 0, 0, 0]])
with torch.no_grad():
    _, wanted = encoder(alone)
    read_on = encoder.gru(encoder.embedding(padded))[0][:, -1]
    _, right_one = encoder(padded)
print(f"states[:, -1]: off by {(read_on - wanted).abs().max():.2f}    the state after the last word: off by {(right_one - wanted).abs().max():.0e}")
torch.testing.assert_close(right_one, wanted)

# %% [markdown] id="future-break" concepts=["C04"]
# ### Pad on both sides
#
# A language model must not see the word that it is to guess. `padding="same"` pads on both sides, and so lets every output look ahead. Change the last input, and see which outputs change:

# %% id="future-shown" concepts=["C04"]
torch.manual_seed(0)
x = torch.randn(1, 8, 4)  # [B, T, D]
changed = x.clone()
changed[:, 7] += 1
same, causal = nn.Conv1d(4, 4, 3, padding="same"), recurrent.CausalConv1d(4, 4, 3)
for name, layer in (("padded on both sides", lambda x: same(x.mT).mT), ("on the left only", causal)):
    moved = (layer(changed) - layer(x)).abs().sum(-1)[0] > 0
    print(f"{name:21} outputs that change: {moved.nonzero().flatten().tolist()}")

# %% [markdown] id="documents" concepts=["C07"] documents=["004 §1"] errata=["E100", "E101"]
# ## 7. What the documents say, and what is true
#
# ### “One element after the other”
#
# Document 004, §1 (E100): sequence models work through their input element by element. Its next section lists the CNN and the Transformer among them. To compute output 20 alone:

# %% id="one-by-one" concepts=["C01", "C07"] errata=["E100"] documents=["004 §1", "004 §2.1"]
torch.manual_seed(0)
x = torch.randn(1, 32, 8)
convolution = recurrent.CausalConv1d(8, 8, 3)
window = convolution(x[:, 18:21])[:, -1]  # three inputs, nothing else
looking = F.scaled_dot_product_attention(x[:, 20:21], x, x)[:, 0]  # one query
torch.testing.assert_close(window, convolution(x)[:, 20])
torch.testing.assert_close(looking, F.scaled_dot_product_attention(x, x, x)[:, 20])
steps = {kind: row["steps"] for kind, row in recurrent.layer_costs(32, 8, 3).items()}
print("outputs 0 to 19 were not needed\nsteps that wait for each other at n = 32:", steps)

# %% [markdown] id="efficiency" concepts=["C07"] documents=["004 §1", "004 §2.1"] errata=["E101", "E109"]
# ### “Attention, to save computation”
#
# 004, §1 and §2.1 (E101): attention was brought in because sequence models compute too much on long sequences, and made them more efficient; it comes back as “efficient on long sequences”, seven times (E109). Bahdanau et al. 2015 brought it in for *quality*, to be rid of the one vector. It
# **adds** operations. A document of 8,000 words, width 512:

# %% id="efficiency-shown" concepts=["C07"] errata=["E101", "E109"] documents=["004 §1", "004 §2.1"]
costs = recurrent.layer_costs(8000, 512, 3)
for kind, row in costs.items():
    print(f"{kind:12} {row['operations'] / 1e9:7.1f} billion operations, {row['steps']:5,} steps that wait, path {row['path']:5,}")
assert costs["attention"]["operations"] > 15 * costs["recurrent"]["operations"]

# %% [markdown] id="not-a-mechanism" concepts=["C07"] documents=["003 §8 Q1"] errata=["E097"]
# ### “The Transformer is a self-attention mechanism”
#
# 003, §8 Q1 (E097), as its difference from an RNN. It is an architecture with self-attention *in* it. How much of a layer is attention?

# %% id="not-a-mechanism-shown" concepts=["C07"] errata=["E097"] documents=["003 §8 Q1"]
layer = nn.TransformerEncoderLayer(d_model=512, nhead=8, dim_feedforward=2048)
in_attention = sum(p.numel() for p in layer.self_attn.parameters())
everything = sum(p.numel() for p in layer.parameters())
print(f"{in_attention:,} of {everything:,} parameters are attention’s: {in_attention / everything:.0%}\nthe rest: feed-forward network and norms")
assert 0.3 < in_attention / everything < 0.35

# %% [markdown] id="contradictions" concepts=["C02", "C07"] documents=["000 §1", "001 §1.1", "004 §3.3"] errata=["E035", "E036", "E101"]
# ### Where the documents contradict each other
#
# | question | one says | another says | decided by |
# |---|---|---|---|
# | Do RNNs capture what is far away? | 001, §1.1: they do | 000, §1, and 004, §3.3: attention is needed for it | `gradient-numbers`: **hardly**; an LSTM with open gates does |
# | Is attention cheap on long texts? | 004, in seven places: yes | 001, §6 Q5: costly | `costs-confirmed`: **costly**, beyond $n = d$ |
# | What does the R stand for? | 001 and 003: 递归, *recursive* | 000: 循环, *recurrent* | **recurrent**: a chain. A recursive network follows a tree (E035) |

# %% [markdown] id="in-a-line" concepts=["C01", "C05", "C07"] documents=["001 §1.1", "003 §5", "003 §8 Q1", "004 §2.1", "004 §2.2", "004 §3.1"] errata=["E035", "E037", "E096", "E041", "E102", "E103", "E104", "E105", "E106"]
# ### And in a line each
#
# | | said | better |
# |---|---|---|
# | E035 | 001, §1.1, and 003, §8 Q1: 递归神经网络 | 循环神经网络, a *recurrent* network |
# | E037 | 001, §1.1: RNNs lack parallel computation | over time, yes; over batch and features they have it |
# | E041 | 001, §2.1: the Transformer computes in parallel | in training and in the encoder; writing goes token by token |
# | E096 | 003, §5: it is faster than RNNs | in *training*. When writing, an RNN’s step costs $O(d^2)$ with a state that never grows, a Transformer’s $O(td + d^2)$ with a cache that does |
# | E102 | 004, §2.1: self-attention works top-down | all positions alike (chapter 03 shuffles them) |
# | E103, E104 | 004, §2: self-attention and Transformer side by side | one is part of the other: the map of chapter 00 |
# | E105 | 004, §3.1: sequence models have an encoder and a decoder | translators do; classifiers and language models have one of the two |
# | E106 | 004, §3.1: the encoder ends on one vector | that of 2014 does; with attention, one for each word |

# %% [markdown] id="faq-difference" concepts=["C07"] documents=["001 §6 Q1", "003 §8 Q1"] errata=["E064", "E097", "E035"]
# ## 8. The documents’ questions, answered
#
# **What distinguishes a Transformer from RNN and CNN?** (001, §6 Q1; 003, §8 Q1.) Document 001 breaks off in the middle of the answer (E064). A recurrence hands a state from word to word: $n$ steps that wait, and
# $n$ steps between far words. A convolution reads a window: at once, but far words meet only after many layers. Attention compares all pairs: at once, in one layer, for a cost that grows with
# $n^2$. The Transformer is built *on* attention; two thirds of a layer’s parameters are something else (E097).

# %% [markdown] id="faq-long" concepts=["C07"] documents=["000 App. Q1", "001 §6 Q2"]
# **Why can it relate distant words?** (000, App. Q1; 001, §6 Q2.) Because the path between any two is one layer long. A gradient passes no chain of factors on its way, so there is nothing that vanishes with distance, and no vector
# through which everything between must fit. That is all that the architecture gives. Whether a model *uses* what is far away it has to learn, and beyond the lengths of its training it often does not.

# %% [markdown] id="faq-faster" concepts=["C07"] documents=["003 §5"] errata=["E096", "E041"]
# **Is it faster than an RNN?** (003, §5; E096.) Trained on a graphics card with texts up to some thousand words: yes, since all positions of a text are computed together. At writing: both go token by token (E041). Per token, the RNN’s
# work stays the same, while the Transformer’s grows with what it has written. That is why recurrent ideas keep coming back for very long texts.

# %% [markdown] id="exercises"
# ## 9. Exercises
#
# Write each in its cell, run it, then run the `check` below it. It tells you *what* went wrong where it can; run it as often as you like.

# %% id="check-import"
from course_lib.workshop import check, hint, quiz

# %% exercise="rnn_forward"

# %% exercise="lstm_step"

# %% exercise="receptive_field"

# %% exercise="attention_flops"

# %% exercise="spot_the_bug_01"

# %% [markdown] id="quiz-intro"
# ### Quiz
#
# Every wrong option has its reason; try the one you believe in first.

# %% quiz="01"

# %% [markdown] id="recap" concepts=["C01", "C02", "C03", "C04", "C05", "C07"]
# ## 10. Recap
#
# - A recurrence carries a state from step to step; its gradient is a product of as many factors as there are steps, and vanishes or explodes.
# - An LSTM’s memory is multiplied by a forget gate and added to. Near 1, the gate lets gradients pass; fresh from PyTorch it stands near one half.
# - Convolutions see windows: $1 + L(K-1)$ inputs after $L$ layers. Kim’s classifier ends on a softmax, not on a support vector machine.
# - Recurrence $4nd^2$, attention $4n^2d$: attention is the cheaper one up to $n = d$, waits for nothing, and has paths of length 1.
# - An encoder-decoder without attention passes on one vector, whatever the length of the sentence.
#
# **Read the code:** `course_lib/recurrent.py`. **Papers:** Elman 1990, *Finding Structure in Time*; Bengio, Simard & Frasconi 1994, *Learning Long-Term Dependencies with Gradient Descent is Difficult*; Hochreiter & Schmidhuber 1997, *Long
# Short-Term Memory*; Gers, Schmidhuber & Cummins 2000, *Learning to Forget: Continual Prediction with LSTM*; Pascanu, Mikolov & Bengio 2013, *On the difficulty of training recurrent neural networks*; Cho et al. 2014, *Learning Phrase
# Representations using RNN Encoder–Decoder for Statistical Machine Translation*; Sutskever, Vinyals & Le 2014, *Sequence to Sequence Learning with Neural Networks*; Kim 2014, *Convolutional Neural Networks for Sentence Classification*; Jozefowicz, Zaremba
# & Sutskever 2015, *An Empirical Exploration of Recurrent Network Architectures*; Vaswani et al. 2017, *Attention Is All You Need*, §4.
#
# **Next:** [chapter 02](02_alignment.ipynb) takes the bottleneck away: the decoder looks back at every word. That is where attention began.
