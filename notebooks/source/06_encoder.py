# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown] id="title" documents=["000 §2.4", "000 §3.1", "000 §4.3", "001 §2.1", "002 §3", "003 §4", "004 §3.1", "004 §3.2", "004 §4.1", "004 §4.2"]
# # 06 · Feed-forward, residuals, normalisation: the encoder
#
# Attention alone makes no Transformer. Between two attentions there are three plain things, and a model with twelve layers lives by them: a
# small network for each position, an addition, and a normalisation. At the end of this chapter you can
#
# - compute a feed-forward network and a layer normalisation by hand;
# - say what a residual connection is for, and measure what happens without it;
# - write an encoder layer in both orders, *pre* and *post*, that equals PyTorch’s weight for weight;
# - decide by an experiment which of the two trains at twelve layers;
# - tell GELU from GLU, and an FFN from what two of the documents print.
#
# **Time:** about an hour, and an hour for the exercises. **You need:** chapters 03 and 05. Numbers such as E007 name mistakes
# of the documents that this course is built on.

# %% id="imports"
import math

import torch
import torch.nn.functional as F
from torch import nn

from course_lib import attention, blocks
from course_lib.views import depth_explorer, layer_norm_explorer

torch.set_printoptions(precision=3, sci_mode=False)

# %% [markdown] id="question" concepts=["C22", "C24", "C25"]
# ## 1. The question
#
# > the little dog that the old man had lost came home
#
# Attention brings *dog* to *came*. A second attention works on what the first has made, and so on: twelve times in BERT, 96 times in
# GPT-3. But an attention is an *average*. **What is left of eleven different words when one takes averages of averages of averages,
# twelve times over?**

# %% id="averages" concepts=["C24", "C25"] errata=["E010", "E075"] documents=["000 §3.1", "002 §3"]
torch.manual_seed(0)
x = torch.randn(1, 11, 32)  # eleven tokens [B, T, D]
with torch.no_grad():
    for layer in range(1, 13):
        attend = attention.MultiHeadAttention(32, 4)
        x = attend(x, x, x)
        apart = ((x - x.mean(1, keepdim=True)).norm() / x.norm()).item()
        if layer in (1, 2, 4, 8, 12):
            print(f"after {layer:2} attentions the tokens differ by {apart:.0e} of their size")

# %% [markdown] id="averages-seen" concepts=["C24"]
# One vector, eleven times: the sentence is gone. None of the five documents names what prevents it: the Chinese word for
# *residual*, 残差, does not occur in them (E010). This chapter adds what is missing.

# %% [markdown] id="predict"
# ## 2. Predict
#
# Commit before you know. (The code of these cells is folded away, because the answers are in it.)

# %% id="predict-norm" concepts=["C24"] errata=["E120"] jupyter={"source_hidden": true} cellView="form"
# @title Predict first (the answer is in here)
from course_lib.views import predict, predict_number

predict(
    "Layer normalisation takes the mean off a token’s features and divides by the root of their mean squared difference from "
    "it. What does it make of <b>[1, 2, 3]</b>?",
    [
        ("[0, 0.5, 1]", "That would be squeezing between 0 and 1. Layer normalisation makes mean 0 and variance 1."),
        ("[−1, 0, 1]", "That is with the mean off, or divided by a standard deviation over D − 1. A norm divides by D."),
        "[−1.22, 0, 1.22]",
        ("[0.09, 0.24, 0.67]", "That is a softmax. There is none in a norm."),
    ],
    "[−1.22, 0, 1.22]",
    "The mean is 2, the differences are −1, 0, 1, their mean square is 2/3, and 1 / √(2/3) = 1.22.",
)

# %% id="predict-share" concepts=["C22"] jupyter={"source_hidden": true} cellView="form"
# @title Predict first (the answer is in here)
predict_number(
    "An encoder layer with d<sub>model</sub> = 512 and d<sub>ff</sub> = 2048, as in the paper. How many <b>percent</b> of its parameters are "
    "in the feed-forward network?",
    66.6,
    "Attention has 4 · 512 · 512 weights, the feed-forward network 2 · 512 · 2048: twice as many. Two thirds of a layer is the part "
    "that nobody talks about.",
    within=5,
    unit="%",
)

# %% [markdown] id="by-hand" concepts=["C22"] documents=["000 §2.4", "000 §4.3"]
# ## 3. By hand
#
# ### The feed-forward network, by hand
#
# $$\mathrm{FFN}(x) = \max(0,\; xW_1 + b_1)\,W_2 + b_2$$
#
# Two linear maps with one bend between them: from $d_{\text{model}}$ up to $d_{\text{ff}}$, cut off what is negative, and down again. (Vaswani et al. 2017, §3.3, eq. 2.)
# Take $d_{\text{model}} = 2$, $d_{\text{ff}} = 3$ and one token, $x = (1, 2)$:
#
# | inner feature | reads $x_1, x_2$ with | $+\, b_1$ | gives | after $\max(0, \cdot)$ | writes |
# |---|---|---|---|---|---|
# | 0 | (1, 0) | 0 | 1 | 1 | (1, 1) |
# | 1 | (1, −1) | 0 | −1 | **0** | (5, 5) |
# | 2 | (0, 1) | −1 | 1 | 1 | (0, −3) |
#
# Result: $1\cdot(1,1) + 0\cdot(5,5) + 1\cdot(0,-3) + b_2 = (1, -2)$ with $b_2 = 0$. Feature 1 stayed silent for this token; for $x = (2, 1)$ it would speak.

# %% id="ffn-by-hand" concepts=["C22"]
w_1 = torch.tensor([[1.0, 1.0, 0.0],
                    [0.0, -1.0, 1.0]])  # [D, F]: a column for each inner feature
b_1 = torch.tensor([0.0, 0.0, -1.0])
w_2 = torch.tensor([[1.0, 1.0],
                    [5.0, 5.0],
                    [0.0, -3.0]])  # [F, D]: a row for each inner feature
for token in ([1.0, 2.0], [2.0, 1.0]):
    inner = (torch.tensor(token) @ w_1 + b_1).relu()
    print(token, "-> inner", inner, "-> result", inner @ w_2)
assert torch.equal((torch.tensor([1.0, 2.0]) @ w_1 + b_1).relu() @ w_2, torch.tensor([1.0, -2.0]))

# %% [markdown] id="norm-by-hand" concepts=["C24"] documents=["004 §4.1"]
# ### Normalisation, by hand
#
# $$\mathrm{LN}(x) = g \odot \frac{x - \mu}{\sqrt{\sigma^2 + \epsilon}} + b$$
#
# $\mu$ and $\sigma^2$ are the mean and the variance of the features of **one token**; $g$ (gain, ones at first) and $b$ (bias, zeros) are learned. (Ba, Kiros
# & Hinton 2016.) For $x = (1, 2, 3)$: $\mu = 2$; differences $-1, 0, 1$; $\sigma^2 = (1 + 0 + 1)/3 = 0.667$; $\sqrt{\sigma^2} = 0.816$; result
# $(-1.22, 0, 1.22)$. Two traps: $\sigma^2$ is divided by $D$, not by $D - 1$ as `x.var()` does, and $\epsilon$ stands **inside** the root.

# %% id="norm-confirmed" concepts=["C24"]
token = torch.tensor([1.0, 2.0, 3.0])
by_hand = (token - 2) / math.sqrt(2 / 3)
print("by hand:  ", by_hand)
print("PyTorch:  ", F.layer_norm(token, (3,)))
print("with D-1: ", (token - token.mean()) / token.std())
torch.testing.assert_close(by_hand, F.layer_norm(token, (3,)), atol=1e-4, rtol=0)

# %% [markdown] id="residual-by-hand" concepts=["C24"] errata=["E010"]
# ### A residual connection, by hand
#
# $x + f(x)$ instead of $f(x)$: the sub-layer only says what should be **changed**. Its derivative is $1 + f'(x)$. Suppose each of 24
# sub-layers has slope 0.3. Without residuals the gradient that arrives at the first is $0.3^{24}$; with them it is $1.3^{24}$, which is too
# much rather than too little, and that is what the norms are for.

# %% id="residual-shown" concepts=["C24"]
print(f"0.3 ** 24 = {0.3**24:.1e}    1.3 ** 24 = {1.3**24:.0f}")

# %% [markdown] id="two-places" concepts=["C24", "C25"] documents=["000 §3.1", "004 §4.1"]
# ### Two places for the norm
#
# | **post-norm** (Vaswani et al. 2017) | **pre-norm** (Xiong et al. 2020) |
# |---|---|
# | $x \leftarrow \mathrm{LN}(x + \mathrm{MHA}(x))$ | $x \leftarrow x + \mathrm{MHA}(\mathrm{LN}(x))$ |
# | $x \leftarrow \mathrm{LN}(x + \mathrm{FFN}(x))$ | $x \leftarrow x + \mathrm{FFN}(\mathrm{LN}(x))$ |
#
# In post-norm the norm stands **on** the road from input to output, after each sum. In pre-norm it stands in the branch: $x$ itself, the
# *residual stream*, is only ever added to, and a last norm follows after the whole stack. While training, dropout zeroes part of each sub-layer’s output before
# it is added.

# %% [markdown] id="activations" concepts=["C23"] documents=["004 §4.2"] errata=["E126"]
# ### The bend in the middle
#
# The paper of 2017 uses ReLU, $\max(0, x)$. BERT and GPT use **GELU**, the *Gaussian error linear unit*: $x\,\Phi(x)$, where $\Phi(x)$ is the probability
# that a standard normal number is below $x$. By hand: $\Phi(1) = 0.8413$, so GELU(1) = 0.8413; and GELU(−1) = −1 · 0.1587.
# It is no gate: **GLU** halves the width and lets one half open and close the other, $a \odot \sigma(b)$.

# %% id="activations-shown" concepts=["C23"] errata=["E126"] documents=["004 §4.2"]
at = torch.tensor([-3.0, -1.0, 0.0, 1.0, 3.0])
print("x            ", at)
print("ReLU         ", at.relu())
print("GELU         ", blocks.gelu(at))
print("SiLU x·σ(x)  ", F.silu(at))
eight = torch.arange(8.0)
print("GLU of 0 … 7 ", F.glu(eight, -1), " 8 numbers became", len(F.glu(eight, -1)))
a, b = eight.chunk(2)
torch.testing.assert_close(F.glu(eight, -1), a * torch.sigmoid(b))
torch.testing.assert_close(blocks.gelu(at), at * torch.distributions.Normal(0, 1).cdf(at))

# %% [markdown] id="build" concepts=["C25"] documents=["002 §3", "003 §4"] errata=["E075", "E088"]
# ## 4. Build it
#
# All parts, in a dozen lines. Documents 002, §3, and 003, §4, list steps in which the feed-forward network, residuals, norms and the
# repetition are missing (E075, E088). This is what they leave out:

# %% id="toy" concepts=["C22", "C24", "C25"] errata=["E010", "E075", "E088"] documents=["002 §3", "003 §4"]
class Layer(nn.Module):
    def __init__(self, d_model, n_heads, d_ff, norm):
        super().__init__()
        self.pre = norm == "pre"
        self.attention = attention.MultiHeadAttention(d_model, n_heads)  # chapter 05
        self.expand, self.contract = nn.Linear(d_model, d_ff), nn.Linear(d_ff, d_model)
        self.norm_1, self.norm_2 = nn.LayerNorm(d_model), nn.LayerNorm(d_model)

    def feed_forward(self, x):
        return self.contract(self.expand(x).relu())

    def forward(self, x, mask=None):  # [B, T, D] -> [B, T, D]
        if self.pre:
            y = self.norm_1(x)
            x = x + self.attention(y, y, y, mask)
            return x + self.feed_forward(self.norm_2(x))
        x = self.norm_1(x + self.attention(x, x, x, mask))
        return self.norm_2(x + self.feed_forward(x))


# %% [markdown] id="real" concepts=["C25"]
# The library has the same, with the placement decided in one place (`blocks.Residual`). PyTorch has it, too, with other names. Do
# all three agree, in both orders, with the same weights?

# %% id="real-agrees" concepts=["C24", "C25"]
from course_lib.torch_bridge import torch_state

torch.manual_seed(0)
tokens = torch.randn(2, 5, 12)
for placement in ("pre", "post"):
    toy = Layer(12, 3, 20, placement)
    ours = blocks.EncoderLayer(12, 3, 20, placement)
    torchs = nn.TransformerEncoderLayer(12, 3, 20, dropout=0.0, batch_first=True, norm_first=toy.pre)
    ours.attention.load_state_dict(toy.attention.state_dict())
    ours.feed_forward.expand.load_state_dict(toy.expand.state_dict())
    ours.feed_forward.contract.load_state_dict(toy.contract.state_dict())
    torchs.load_state_dict(torch_state(ours.state_dict()))  # the same weights under PyTorch’s names
    torch.testing.assert_close(toy(tokens), ours(tokens))
    torch.testing.assert_close(torchs(tokens), ours(tokens))
    print(f"{placement}-norm: all three agree, output {list(ours(tokens).shape)} = [B, T, D]")

# %% [markdown] id="count" concepts=["C22", "C25"] documents=["004 §4.2"] errata=["E125"]
# What does it cost? With $d = 32$ and $d_{\text{ff}} = 64$: attention $4d^2 + 4d = 4224$, feed-forward $2\,d\,d_{\text{ff}} + d_{\text{ff}} + d = 4192$, two norms $4d = 128$.

# %% id="count-shown" concepts=["C22", "C25"]
parts = blocks.EncoderLayer(32, 4, 64)
for name, part in parts.named_children():
    if n := sum(p.numel() for p in part.parameters()):
        print(f"{name:13} {n:6,}")
total = sum(p.numel() for p in parts.parameters())
print(f"{'together':13} {total:6,}")
assert total == 4224 + 4192 + 128 == 8544

# %% [markdown] id="stack" concepts=["C25"] documents=["000 §3.1", "002 §3"] errata=["E009", "E013"]
# ### The encoder: embed once, then repeat
#
# $h_0 = \text{Embed}(\text{ids})\sqrt{d_{\text{model}}} + \text{positions}$, and then $h_l = \text{Layer}_l(h_{l-1})$, each layer with its own weights.
# Document 000, §3.1, step 6, repeats “the steps above”, the positions among them (E013), and speaks of *one* continuous vector (E009). Count:

# %% id="stack-shown" concepts=["C25"] errata=["E009", "E013"] documents=["000 §3.1"]
from collections import Counter

from course_lib.config import ModelConfig
from course_lib.transformer import Encoder, Transformer

torch.manual_seed(0)
model = Transformer(ModelConfig(vocab_size=50, d_model=32, n_heads=4, d_ff=64, n_layers=6, dropout=0.0)).eval()
calls = Counter()
for module in model.modules():
    module.register_forward_hook(lambda module, *_: calls.update([type(module).__name__]))
memory = model.encode(torch.randint(4, 50, (2, 7)))  # two sentences of seven tokens
print("calls:", {name: calls[name] for name in ("Embedding", "SinusoidalPositions", "EncoderLayer")})
print("comes out:", list(memory.shape), "= [B, T, D]: a vector for each of the seven tokens")
assert calls["SinusoidalPositions"] == 1 and calls["EncoderLayer"] == 6 and memory.shape == (2, 7, 32)

# %% [markdown] id="move" concepts=["C24"]
# ## 5. Move it
#
# ### One token through the norm
#
# **Try:** multiply the token by 100, then shift it by 20; what does the third picture do? Then give feature 3 an outlier of 50, and look at what is
# left of the others. Then set “times” to its smallest value and move ε: now you see what ε is for.

# %% id="norm-view" concepts=["C24"] errata=["E120"]
layer_norm_explorer()

# %% [markdown] id="norm-view-seen" concepts=["C24"] errata=["E120"] documents=["004 §4.1"]
# Size and offset of a token make no difference to what comes out: a layer always reads numbers of the same size, however much has been added
# to the stream. Gain and bias give back what the model wants to keep.

# %% [markdown] id="depth" concepts=["C24", "C25"] errata=["E010", "E075"]
# ### Gradient by depth, with and without
#
# The same attention and the same feed-forward networks in five arrangements, with fresh weights, one backward pass. **Look at** the first layer in
# the first picture, and at the last layer in the second. **Try:** all five arrangements at 12 layers; then “residual, no norm” at 24.

# %% id="depth-view" concepts=["C24", "C25"] errata=["E010", "E075"] documents=["000 §3.1", "002 §3"]
depth_explorer()

# %% [markdown] id="depth-seen" concepts=["C24"] errata=["E010", "E075"]
# “Neither”, which is what the documents’ lists of steps describe, kills both the gradient and the differences between tokens. The norm alone saves the gradient, and not the
# sentence: averages stay averages. The residual alone saves both, but the stream grows with depth. Together they do what each alone cannot. The
# numbers:

# %% id="depth-numbers" concepts=["C24", "C25"] errata=["E010", "E075"] documents=["000 §3.1", "002 §3", "003 §4"]
from course_lib.views.depth import VARIANTS, measure

print("12 layers            gradient, layer 1   tokens differ by   size of stream")
for variant, label in VARIANTS.items():
    m = measure(variant, 12, seed=0)
    print(f"{label:20} {m['gradient'][0]:17.1e} {m['spread'][-1]:18.1e} {m['size'][-1]:16.2f}")
whole, bare = measure("pre", 12, 0), measure("neither", 12, 0)
assert whole["gradient"][0] > 1e6 * bare["gradient"][0] and bare["spread"][-1] < 1e-4 < 0.1 < whole["spread"][-1]

# %% [markdown] id="experiment" concepts=["C24", "C25"]
# ### Pre against post at depth 12
#
# Both arrangements look healthy *before* training. Do both train? The task: eight random digits, to be given out in reverse order. Twelve layers,
# Adam at a learning rate of 0.01, no warm-up, 40 steps.
#
# **Expectation:** pre-norm learns it. Post-norm gets lost at this rate: its norms stand on the road itself, and large first steps spoil what all
# later layers rely on. That is why the paper of 2017 needs a warm-up (chapter 09).

# %% id="experiment-run" concepts=["C24", "C25"]
def train(norm, rate, depth=12, steps=40, t=8, d_model=32):
    torch.manual_seed(0)
    token, place = nn.Embedding(10, d_model), nn.Embedding(t, d_model)
    layers = nn.Sequential(*[blocks.EncoderLayer(d_model, 4, 64, norm) for _ in range(depth)])
    read = nn.Sequential(blocks.LayerNorm(d_model), nn.Linear(d_model, 10))  # the last norm, for both
    optimizer = torch.optim.Adam([p for part in (token, place, layers, read) for p in part.parameters()], lr=rate)
    losses = []
    for _ in range(steps):
        ids = torch.randint(10, (32, t))
        logits = read(layers(token(ids) + place.weight))  # [B, T, V]
        loss = F.cross_entropy(logits.flatten(0, 1), ids.flip(1).flatten())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses


runs = {("pre", 0.01): train("pre", 0.01), ("post", 0.01): train("post", 0.01), ("post", 0.001): train("post", 0.001)}
print(f"a guess: {math.log(10):.2f}        loss at step   1     10     20     30     40")
for (norm, rate), losses in runs.items():
    print(f"{norm:4}-norm, rate {rate:5}  ", *(f"{losses[i]:14.2f}" if i == 0 else f"{losses[i]:6.2f}" for i in (0, 9, 19, 29, 39)))
assert min(runs["pre", 0.01][-5:]) < 1.0 < 2.2 < min(runs["post", 0.01][-5:])
assert runs["post", 0.001][-1] < 2.15

# %% [markdown] id="experiment-seen" concepts=["C24", "C25"]
# As expected: at this rate pre-norm learns, and post-norm is still where guessing is. At a tenth of the rate post-norm begins to learn,
# slowly. (One task, one size, one seed: enough to see the effect, not to rank the two. With warm-up and patience post-norm trains well, and
# the models of 2017 and 2018 are post-norm. Xiong et al. 2020, *On Layer Normalization in the Transformer Architecture*.)

# %% [markdown] id="break" concepts=["C22", "C23"] documents=["000 §2.4", "000 §4.3"] errata=["E007"]
# ## 6. Break it
#
# ### A softmax at the end of the feed-forward network
#
# Document 000, §2.4 and §4.3, puts ReLU on the input and the hidden layer and a **softmax on the output** (E007, E025). Then each token’s
# features could only be raised, by 1 altogether, spread over all of them:

# %% id="softmax-output" concepts=["C22", "C23"] errata=["E007"] documents=["000 §2.4", "000 §4.3"]
torch.manual_seed(0)
feed, tokens = blocks.FeedForward(16, 64), torch.randn(5, 16)
right = feed(tokens).detach()
broken = right.softmax(-1)
for name, update in (("as it is", right), ("with a softmax", broken)):
    print(f"{name:15} sums {update.sum(-1)}  smallest {update.min():.2f}  spread {update.std():.3f}")
assert right.min() < 0 < broken.min() and torch.allclose(broken.sum(-1), torch.ones(5))

# %% [markdown] id="no-bend" concepts=["C22", "C23"] documents=["000 App. Q4"]
# ### No bend in the middle
#
# Without an activation two linear maps are one: $(xW_1)W_2 = x(W_1W_2)$. *Exclusive or* is the classic task that no linear map can do: say 1 if exactly one of
# two features is 1. **Look at** what each network makes of the four cases.

# %% id="no-bend-shown" concepts=["C22", "C23"] documents=["000 App. Q4"]
cases, wanted = torch.tensor([[0.0, 0], [0, 1], [1, 0], [1, 1]]), torch.tensor([0.0, 1, 1, 0])
for name, bend in (("with ReLU", nn.ReLU()), ("without", nn.Identity())):
    torch.manual_seed(1)
    network = nn.Sequential(nn.Linear(2, 16), bend, nn.Linear(16, 1))
    optimizer = torch.optim.Adam(network.parameters(), lr=0.03)
    for _ in range(300):
        optimizer.zero_grad()
        F.mse_loss(network(cases).flatten(), wanted).backward()
        optimizer.step()
    answers = network(cases).flatten().detach()
    print(f"{name:10} {answers}   wanted {wanted}")
    assert ((answers - wanted).abs().max() < 0.1) == (name == "with ReLU")

# %% [markdown] id="position-wise" concepts=["C22"]
# ### What “position-wise” means
#
# The same network for every position, and no position sees another. Shuffle the tokens, and the results are shuffled. Words meet in attention, and
# nowhere else.

# %% id="position-wise-shown" concepts=["C22"]
order = torch.tensor([3, 0, 4, 1, 2])
torch.testing.assert_close(feed(tokens[order]), feed(tokens)[order])
print("shuffle, then feed = feed, then shuffle")

# %% [markdown] id="wrong-axis" concepts=["C24"]
# ### Normalise over the wrong axis
#
# Over the *tokens* instead of the features, everything still has the right shape. But now a sentence’s padding, or its neighbour in the batch, changes the result of a word:

# %% id="wrong-axis-shown" concepts=["C24"]
short, padded = tokens[:4], torch.cat([tokens[:4], torch.zeros(3, 16)])
over_tokens = lambda x: (x - x.mean(0)) / x.std(0, correction=0)  # noqa: E731
for name, norm in (("over features", blocks.LayerNorm(16)), ("over tokens", over_tokens)):
    change = (norm(padded)[:4] - norm(short)).abs().max().item()
    print(f"{name:14} three padding tokens change the other four by up to {change:.2f}")
    assert (change > 0.1) == (name == "over tokens")

# %% [markdown] id="documents" concepts=["C24"] documents=["004 §4.1"] errata=["E120"]
# ## 7. What the documents say, and what is true
#
# ### LayerNorm(X + X_embedding)
#
# 004, §4.1 (E120; three times more in §4.2): $Q = \mathrm{LayerNorm}(X + X_{\text{embedding}})W^Q$. What $X_{\text{embedding}}$ is, is never said. If $X$ is the embedding, it is
# added to itself, and a norm does not notice. Positions are missing, and the residual is not there at all.

# %% id="doubled" concepts=["C24"] errata=["E120"] documents=["004 §4.1", "004 §4.2"]
norm = blocks.LayerNorm(16)
print(f"largest difference between LN(X + X) and LN(X): {(norm(2 * tokens) - norm(tokens)).abs().max():.0e}")
torch.testing.assert_close(norm(2 * tokens), norm(tokens), atol=1e-4, rtol=0)

# %% [markdown] id="one-matrix" concepts=["C22"] documents=["000 §4.3", "004 §4.2"] errata=["E025", "E125"]
# ### One matrix for two maps
#
# 000, §4.3 (E025): $f(x) = \mathrm{ReLU}(Wx+b)$ and $g(x) = \mathrm{softmax}(Wx+b)$, the same $W$, and never one after the other. 004, §4.2 (E125):
# $X = \mathrm{LayerNorm}(\dots)W^X$, then $X = X + \mathrm{GELU}(X)W^X$, the same $W^X$, which also overwrites the stream. A matrix that widens cannot be applied twice:

# %% id="one-matrix-shown" concepts=["C22"] errata=["E025", "E125"] documents=["000 §4.3", "004 §4.2"]
w = torch.randn(16, 32)  # from d_model = 16 to d_ff = 32
try:
    F.gelu(tokens @ w) @ w
except RuntimeError as error:
    print("RuntimeError:", error)
d, d_ff = 512, 2048
print(f"parameters: {2 * d * d_ff + d_ff + d:,} in the real network, {d * d:,} in one square matrix")

# %% [markdown] id="gelu-name" concepts=["C23"] documents=["004 §4.2"] errata=["E126"]
# ### “GELU, the Gated Linear Unit”
#
# 004, §4.2 (E126). Two functions, one name mixed up: one keeps the width, the other halves it, and fails where it is odd.

# %% id="gelu-name-shown" concepts=["C23"] errata=["E126"] documents=["004 §4.2"]
print("GELU:", list(F.gelu(torch.randn(3, 8)).shape), "  GLU:", list(F.glu(torch.randn(3, 8)).shape))
try:
    F.glu(torch.randn(3, 7))
except RuntimeError as error:
    print("GLU of 7 features:", error)
exact = torch.linspace(-4, 4, 81, dtype=torch.float64)
print(f"|GELU - x·Φ(x)| at most {(blocks.gelu(exact) - exact * torch.special.ndtr(exact)).abs().max():.0e}")

# %% [markdown] id="activation-in-attention" concepts=["C23", "C25"] documents=["004 §3.2", "004 §4.2"] errata=["E111"]
# ### An activation in attention
#
# 004, §3.2, steps 2, 4, 6 and 7 (E111): attention’s weights and the embeddings go through a linear map and an *activation*. The activation is here, in the feed-forward
# network. In attention there are linear maps and one softmax: with a ReLU on the values PyTorch’s layer is no longer met.

# %% id="activation-shown" concepts=["C25"] errata=["E111"] documents=["004 §3.2"]
torch.manual_seed(0)
real, sentence = attention.MultiHeadAttention(16, 2), torch.randn(1, 5, 16)
query, key, value = (attention.split_heads(part(sentence), 2) for part in (real.query, real.key, real.value))
for name, values in (("linear", value), ("with a ReLU", value.relu())):
    rebuilt = real.output(attention.merge_heads(F.scaled_dot_product_attention(query, key, values)))
    difference = (rebuilt - real(sentence, sentence, sentence)).abs().max()
    print(f"{name:12} differs by {difference:.0e}")
    assert (difference < 1e-5) == (name == "linear")

# %% [markdown] id="contradictions" concepts=["C22", "C24"] documents=["000 §4.3", "001 §2.1", "004 §3.1", "004 §4.1", "004 §4.2"]
# ### Where the documents contradict each other
#
# | question | one says | another says | decided by |
# |---|---|---|---|
# | Which activation ends the FFN? | 000: softmax | 004, §4.2: none | the cell with a softmax: **none** |
# | Is there a norm? | 000, 001, 002, 003: not mentioned | 004, §4.1: before the projections | the depth explorer: **yes**, pre or post |
# | Is anything added to $x$? | 000 to 003: no | 004, §4.2: once, around the FFN | the depth explorer: around **both** sub-layers |
# | How many vectors leave the encoder? | 000, §3.1: one | 001, §2.1: a sequence of them | the count in section 4: **one for each token** |

# %% [markdown] id="in-a-line" documents=["000 §3.1", "000 §3.2", "002 §3", "003 §4", "004 §3.2"] errata=["E009", "E010", "E013", "E075", "E088"]
# ### And in a line each
#
# | | said | better |
# |---|---|---|
# | E009 | 000: the encoder turns a sequence into one vector | one vector for each position |
# | E010 | 000, and all others: a layer is attention and a feed-forward network | each with a residual, a norm and dropout |
# | E013 | 000: repeat all steps for each layer | embedding and positions once; attention and FFN $N$ times, with weights of their own |
# | E075 | 002: positions, attention, “the context vector” | $N \times$ [MHA, add & norm, FFN, add & norm]; a vector for each position |
# | E088 | 003: stack the vectors and combine them linearly | the whole layer of section 4 is missing there |

# %% [markdown] id="faq-ffn" concepts=["C22", "C23"] documents=["000 App. Q4"]
# ## 8. The documents’ questions, answered
#
# **Why does a Transformer need the feed-forward network?** (000, App. Q4.) Attention moves information *between* positions, and what it moves is a linear function
# of the values. The feed-forward network is where each position *works* on what it has gathered: the only non-linear map along the features, and two thirds of a layer’s parameters. Without its
# bend it would collapse into one matrix, as *exclusive or* shows. That it gives “expressive power” is right; that it ends on a softmax, as the same document says, is not (E007).

# %% [markdown] id="exercises"
# ## 9. Exercises
#
# Write each in its cell, run it, then run the `check` below it. Three of them are modules, which are given weights by name; the last of these is a whole encoder
# layer, built from your own parts. Arguments stay as they were, and results keep the dtype of the inputs. What passes is
# kept, and runs in later chapters.

# %% id="check-import"
from course_lib.workshop import check, hint, my_parts, quiz

# %% exercise="LayerNorm"

# %% exercise="gelu"

# %% exercise="FeedForward"

# %% exercise="EncoderLayer"

# %% exercise="spot_the_bug_06"

# %% [markdown] id="quiz-intro"
# ### Quiz
#
# Every wrong option has its reason; try the one you believe in first.

# %% quiz="06"

# %% [markdown] id="recap" concepts=["C22", "C23", "C24", "C25"]
# ## 10. Recap
#
# - Feed-forward: expand, bend, contract, for each position alone. One activation, nothing at the end; two thirds of the parameters.
# - GELU is $x\,\Phi(x)$ and keeps the width; GLU gates, and halves it.
# - Layer normalisation: one token, over its features; the size of the input does not matter.
# - Residuals: a sub-layer says what to change. Without them twelve layers forget the sentence, and learn nothing.
# - Post-norm normalises the stream, pre-norm the branch; pre-norm trains deep stacks without warm-up.
# - The encoder: embed and place once, then $N$ layers; one vector for each token comes out.
#
# **Read the code:** `course_lib/blocks.py`, and `Encoder` in `course_lib/transformer.py`. **Papers:** Vaswani et al. 2017, *Attention Is All You Need*, §3.1, §3.3; He et al. 2016, *Deep
# Residual Learning for Image Recognition*; Ba, Kiros & Hinton 2016, *Layer Normalization*; Hendrycks & Gimpel 2016, *Gaussian Error Linear Units (GELUs)*; Xiong et al. 2020, *On Layer
# Normalization in the Transformer Architecture*; Dong, Cordonnier & Loukas 2021, *Attention is not all you need: pure attention loses rank doubly exponentially with depth*.
#
# **Next:** [chapter 07](07_transformer.ipynb) adds the decoder, and puts the whole model together. Which parts are yours by now?

# %% id="my-parts"
my_parts()
