# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown] id="title" documents=["000 §2.3", "000 §4.2", "001 §2.5", "001 §3.4", "002 §3", "003 §4", "004 §2.1", "004 §4.2"]
# # 05 · Many heads
#
# One attention gives every token one blend of the others. A word needs more than one: its subject, its object, what comes
# next. In this chapter you let several attentions work side by side, without a single parameter more. At the end you can
#
# - say why one head is not enough, and show it with an experiment;
# - cut the features into heads and put them together again, and name the mistake that everybody makes once;
# - write multi-head attention that equals PyTorch’s, weight for weight;
# - say what the output projection is for, and what it is not;
# - tell what heads are (parallel), from what they are not (levels, sub-sequences).
#
# **Time:** about 45 minutes, and an hour for the exercises. **You need:** chapter 03. Numbers such as E086 name mistakes of
# the documents that this course is built on.

# %% id="imports"
import math

import torch
import torch.nn.functional as F
from torch import nn

from course_lib import attention
from course_lib.recording import record_attention
from course_lib.views import heads_side_by_side

torch.set_printoptions(precision=3, sci_mode=False)

# %% [markdown] id="question" concepts=["C16"] documents=["000 §2.3"]
# ## 1. The question
#
# > the dog that bit the **man** fled
#
# What does *bit* need to know? **Who** bit (*dog*, two words back across *that*), and **whom** (*man*, two ahead). In chapter
# 03 each query had one row of weights, summing to 1, and got one blend of values. **Half dog and half man: can what follows
# still tell who bit whom?**

# %% id="blend" concepts=["C16"]
dog, man = torch.tensor([1.0, 0.0]), torch.tensor([0.0, 1.0])
print("dog bit man:", 0.5 * dog + 0.5 * man)
print("man bit dog:", 0.5 * man + 0.5 * dog)

# %% [markdown] id="idea" concepts=["C16"]
# The same numbers. Two attentions, each with its own weights, would give two blends. Put them **side by side** in one vector,
# and nothing is lost: the first half says who, the second half says whom.

# %% id="side-by-side" concepts=["C16"]
print("dog bit man:", torch.cat([dog, man]))
print("man bit dog:", torch.cat([man, dog]))

# %% [markdown] id="predict"
# ## 2. Predict
#
# Commit before you know. (The code of these cells is folded away, because the answers are in it.)

# %% id="predict-parameters" concepts=["C16"] errata=["E034"] jupyter={"source_hidden": true} cellView="form"
# @title Predict first (the answer is in here)
from course_lib.views import predict, predict_number

predict_number(
    "Attention with d<sub>model</sub> = 16 has four matrices, for queries, keys, values and the output, each 16 × 16, with a bias "
    "of 16: <b>1,088</b> parameters. How many are there with <b>8 heads</b> instead of one?",
    1088,
    "As many as before. The heads do not multiply the features, they share them out: 8 heads of 2 features each.",
    within=0,
)

# %% id="predict-view" concepts=["C16"] errata=["E086"] jupyter={"source_hidden": true} cellView="form"
# @title Predict first (the answer is in here)
predict(
    "Five tokens with 8 features each lie in memory token by token. You want two heads of 4 features, and write "
    "<code>x.view(2, 5, 4)</code>, heads first. The shape is right. What is in head 0?",
    [
        ("the first 4 features of all five tokens", "That is what you wanted. But view only counts numbers out, in order."),
        "the first 20 numbers: tokens 0 and 1, and half of token 2",
        ("every second feature", "view does not skip numbers."),
        ("an error", "20 + 20 numbers are 40 numbers: the shape fits, and nobody complains."),
    ],
    "the first 20 numbers: tokens 0 and 1, and half of token 2",
    "<code>view</code> moves nothing: it reads the same numbers in the same order. Head 0 gets tokens 0 and 1, and half of "
    "token 2. In section 6 you see what that does.",
)

# %% [markdown] id="by-hand" concepts=["C16"] documents=["000 §4.2", "001 §3.4"] errata=["E024", "E050"]
# ## 3. By hand
#
# ### The formula
#
# $$\mathrm{MultiHead}(Q,K,V) = \mathrm{Concat}(\mathrm{head}_1,\dots,\mathrm{head}_h)\,W^O,\qquad
# \mathrm{head}_i = \mathrm{Attention}(QW_i^Q,\,KW_i^K,\,VW_i^V)$$
#
# $Q$, $K$, $V$ are the **same inputs for all heads**. What each head has of its own is its projections: $W_i^Q, W_i^K, W_i^V$, from
# $d_{\text{model}}$ to $d_h = d_{\text{model}} / h$ features. (Vaswani et al. 2017, §3.2.2.) Documents 000, §4.2, and 001, §3.4, print
# the left half; what $\mathrm{head}_i$ is, neither of them says (E024, E050).

# %% [markdown] id="hand-numbers" concepts=["C16"]
# ### Two queries, three keys, two heads
#
# Four features, two heads of two. Head 0 gets features 0 and 1, head 1 gets features 2 and 3. To keep it small, take the
# projected numbers as given:

# %% id="numbers" concepts=["C16"]
query = torch.tensor([[2.0, 0.0, 0.0, 1.0],   # q0
                      [0.0, 0.0, 3.0, 0.0]])  # q1         [Tq, D] = [2, 4]
key = torch.tensor([[1.0, 0.0, 0.0, 0.0],     # k0
                    [0.0, 1.0, 0.0, 2.0],     # k1
                    [0.0, 0.0, 1.0, 0.0]])    # k2         [Tk, D] = [3, 4]
value = torch.tensor([[10.0, 0.0, 1.0, 0.0],  # v0
                      [0.0, 10.0, 0.0, 1.0],  # v1
                      [5.0, 5.0, 2.0, 2.0]])  # v2         [Tk, D] = [3, 4]

# %% [markdown] id="hand-head-0" concepts=["C16"]
# **Head 0, query 0.** The two features of $q_0$ are $(2, 0)$.
#
# - scores with $k_0, k_1, k_2$: $\;2\cdot1 + 0\cdot0 = 2$, $\;0$, $\;0$; divided by $\sqrt{d_h} = \sqrt2$: **1.414, 0, 0**
# - exponentials: 4.113, 1, 1, together 6.113; weights: **0.673, 0.164, 0.164**
# - output: $0.673\,(10, 0) + 0.164\,(0, 10) + 0.164\,(5, 5) = (7.55,\; 2.45)$
#
# **Head 1, query 0.** Features $(0, 1)$: scores 0, 2, 0, again divided by $\sqrt2$: weights 0.164, **0.673**, 0.164; output $0.164\,(1,0) +
# 0.673\,(0,1) + 0.164\,(2,2) = (0.49, 1.00)$.
#
# **Concatenated:** $(7.55, 2.45, 0.49, 1.00)$. Query 0 looked at $k_0$ with one head and at $k_1$ with the other, in one step.

# %% id="hand-confirmed" concepts=["C16"] documents=["001 §3.4"]
heads = []
for h in range(2):
    block = slice(2 * h, 2 * h + 2)  # the features of head h
    weights = attention.softmax(query[:, block] @ key[:, block].T / math.sqrt(2))  # [Tq, Tk]
    heads.append(weights @ value[:, block])  # [Tq, Dh]
    print(f"head {h}, weights of query 0: {weights[0]}   output {heads[h][0]}")
side_by_side = torch.cat(heads, dim=-1)  # [Tq, D]
print("side by side:", side_by_side[0])
torch.testing.assert_close(side_by_side[0], torch.tensor([7.55, 2.45, 0.49, 1.00]), atol=0.01, rtol=0)

# %% [markdown] id="hand-scale" concepts=["C16"] documents=["004 §4.2"] errata=["E123"]
# Note the $\sqrt2$, not $\sqrt4$: a dot product of one head adds up $d_h$ terms, so its variance is $d_h$. That is the derivation
# of chapter 03 with the width of *one head*; document 004, §4.2, announces one for multi-head attention, and prints neither heads
# nor a derivation (E123).

# %% [markdown] id="build" concepts=["C16"] documents=["003 §4"] errata=["E086"]
# ## 4. Build it
#
# ### Splitting, and how it goes wrong
#
# Nobody loops over heads. One large projection makes the features of all heads at once, and they are dealt out by counting:
# `[B, T, D]` is read as `[B, T, H, Dh]`, and then heads and positions change places, so that each head has a matrix
# `[T, Dh]` of its own. **Look at** where the numbers go; the tens are the token, the ones are the feature.

# %% id="split-shown" concepts=["C16"] errata=["E086"] documents=["003 §4"]
x = (10 * torch.arange(1, 4)[:, None] + torch.arange(4)).float()[None]  # [B, T, D] = [1, 3, 4]
print("x, three tokens of four features:", *x[0].int().tolist(), sep="\n  ")

read = x.view(1, 3, 2, 2)  # [B, T, H, Dh]: only counted out anew
split = read.transpose(1, 2)  # [B, H, T, Dh]: heads before positions
for h in range(2):
    print(f"head {h}:", split[0, h].int().tolist())
assert torch.equal(split, attention.split_heads(x, 2))

# %% [markdown] id="merge" concepts=["C16"] documents=["002 §3"]
# Every head sees **all three tokens**, and half of the features. The way back is the same two steps in reverse. It computes
# nothing and has no parameters: it is the “Concat” of the formula.

# %% id="merge-shown" concepts=["C16"]
merged = split.transpose(1, 2).flatten(2)  # [B, T, H, Dh] -> [B, T, D]
assert torch.equal(merged, x) and torch.equal(attention.merge_heads(split), x)
print("split and merged:", merged[0].int().tolist())

# %% [markdown] id="toy-intro" concepts=["C16"]
# ### The module
#
# Project, split, attend in all heads at once, merge, project. The attention itself is the function of chapter 03, unchanged:
# it has always taken any number of axes in front.

# %% id="toy" concepts=["C16"]
class ManyHeads(nn.Module):
    def __init__(self, d_model, n_heads):
        super().__init__()
        self.n_heads = n_heads
        self.query, self.key, self.value, self.output = (nn.Linear(d_model, d_model) for _ in range(4))

    def forward(self, q, k, v, mask=None):
        def split(x):
            return x.unflatten(-1, (self.n_heads, -1)).transpose(1, 2)  # [B, H, T, Dh]

        heads = attention.scaled_dot_product_attention(
            split(self.query(q)), split(self.key(k)), split(self.value(v)), mask
        )  # [B, H, Tq, Dh]
        return self.output(heads.transpose(1, 2).flatten(2))  # [B, Tq, D]


# %% [markdown] id="real" concepts=["C16"]
# The library’s module has the same names, so that weights can be moved from one to the other by name. PyTorch keeps the three
# input projections in one matrix, one above the other. Do all three agree? All sizes are different, so that no mix-up can hide.

# %% id="real-agrees" concepts=["C16"] errata=["E024", "E050"]
torch.manual_seed(0)
B, T_Q, T_K, D, H = 2, 5, 7, 12, 3
toy, ours, torchs = ManyHeads(D, H), attention.MultiHeadAttention(D, H), nn.MultiheadAttention(D, H, batch_first=True)

ours.load_state_dict(toy.state_dict())
state = toy.state_dict()
torchs.load_state_dict({
    "in_proj_weight": torch.cat([state[f"{name}.weight"] for name in ("query", "key", "value")]),
    "in_proj_bias": torch.cat([state[f"{name}.bias"] for name in ("query", "key", "value")]),
    "out_proj.weight": state["output.weight"],
    "out_proj.bias": state["output.bias"],
})
q, k, v = torch.randn(B, T_Q, D), torch.randn(B, T_K, D), torch.randn(B, T_K, D)
torch.testing.assert_close(toy(q, k, v), ours(q, k, v))
torch.testing.assert_close(torchs(q, k, v)[0], ours(q, k, v))
print("all three agree; names:", *state, sep="\n  ")

# %% [markdown] id="slices" concepts=["C16"] documents=["001 §3.4"] errata=["E050"]
# Where are the formula’s $W_i^Q$ now? They are **slices** of the large matrix: rows 4 to 7 of `query.weight` make the
# queries of head 1. The matrices differ from head to head, the input does not (E050).

# %% id="slices-shown" concepts=["C16"] errata=["E050"] documents=["001 §3.4"]
block = slice(4, 8)  # head 1 of three heads of four features
own = q @ toy.query.weight[block].T + toy.query.bias[block]  # Q W_1^Q
torch.testing.assert_close(own, attention.split_heads(toy.query(q), H)[:, 1])
print("the queries of head 1:", list(own.shape), "= [B, Tq, Dh]")

# %% [markdown] id="move" concepts=["C16"]
# ## 5. Move it
#
# ### One head against eight, at equal parameters
#
# An experiment that decides something. Twelve random tokens in a circle; every position shall report the token **before** it
# and the token **after** it. One layer of attention, one linear read-out, nothing else.
#
# **Expectation:** one head can find either neighbour, but gives one blend of both, in which nobody can tell which is which.
# With two heads or more, both are found. The number of parameters is the same.

# %% id="experiment" concepts=["C16"] errata=["E034"] documents=["000 App. Q3"]
def train(n_heads, steps=250, t=12, vocabulary=8, d_model=32):
    torch.manual_seed(0)
    token, place = nn.Embedding(vocabulary, d_model), nn.Embedding(t, d_model)
    attend, read = attention.MultiHeadAttention(d_model, n_heads), nn.Linear(d_model, 2 * vocabulary)
    optimizer = torch.optim.Adam([p for part in (token, place, attend, read) for p in part.parameters()], lr=1e-2)
    for step in range(steps + 1):
        ids = torch.randint(vocabulary, (64, t))
        neighbours = torch.stack([ids.roll(1, 1), ids.roll(-1, 1)], -1)  # [B, T, 2]: before, after
        x = token(ids) + place.weight  # [B, T, D]
        logits = read(attend(x, x, x)).unflatten(-1, (2, vocabulary))  # [B, T, 2, V]
        loss = F.cross_entropy(logits.flatten(0, 2), neighbours.flatten())
        if step < steps:
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    with record_attention(attend) as maps, torch.no_grad():
        attend(x[:1], x[:1], x[:1])
    hits = (logits.argmax(-1) == neighbours).float().mean((0, 1))
    return hits, attend, (token, place, read), maps[""][0]


found = {n: train(n) for n in (1, 2, 8)}
print("heads   parameters   before   after")
for n, (hits, attend, _, _) in found.items():
    print(f"{n:5} {sum(p.numel() for p in attend.parameters()):12,} {hits[0]:8.2f} {hits[1]:7.2f}")
assert found[1][0].mean() < 0.8 and found[2][0].min() > 0.95 and found[8][0].min() > 0.95

# %% [markdown] id="experiment-seen" concepts=["C16"] errata=["E034"] documents=["000 App. Q3"]
# The expectation holds. With one head the two accuracies together stay near what *one* neighbour and a guess at the other
# would give (one of 8 tokens is right by chance); which neighbour it settles for depends on the start. Two heads solve the task, and eight do, with
# **the same 4,224 parameters**. (An honest limit: this task was made to need two. That many heads help on language was found by
# experiment, not derived.)

# %% [markdown] id="maps" concepts=["C16"] errata=["E006"] documents=["000 §2.3"]
# ### Heads side by side, two of them pinned
#
# These are the eight heads that you have just trained, on one sequence of twelve tokens. **Look at** the small maps first: which
# heads look one place back, which one ahead? Pin one of each with the sliders, and move the query. The text above the maps
# says how much of their weight the two heads share.

# %% id="maps-shown" concepts=["C16"] errata=["E006"] documents=["000 §2.3"]
eight = found[8][3]  # [H, T, T]
places = torch.arange(12)
back, ahead = eight[:, places, places - 1].mean(-1), eight[:, places, (places + 1) % 12].mean(-1)
print("head                      ", *(f"{h:5}" for h in range(8)))
print("weight on the token before", *(f"{weight:5.2f}" for weight in back.tolist()))
print("weight on the token after ", *(f"{weight:5.2f}" for weight in ahead.tolist()))
heads_side_by_side(eight, [str(i) for i in range(12)], pinned=(int(back.argmax()), int(ahead.argmax())), query=5)

# %% [markdown] id="maps-seen" concepts=["C16"] errata=["E006"] documents=["000 §2.3"]
# Diagonals, one place below or above the middle: nobody told the heads to share out the work. And note what you see:
# **eight maps of one layer, made from the same vectors at the same time**. Document 000, §2.3, speaks of dependencies of
# different *levels* (E006). Levels come from stacking layers, each of which reads what the one before has written. Heads stand side by side.

# %% [markdown] id="trained" concepts=["C16"] documents=["004 §4.2"]
# ### Heads of a model that translates
#
# The small translator that comes with the course, its encoder’s last layer. **Try:** pin two heads, and move the query to a
# noun, then to the full stop. Do any two heads look alike?

# %% id="trained-shown" concepts=["C16"]
from course_lib.translator import Translator

translator = Translator.shipped()
words, _, maps = translator.attend("my sister reads an old book in the library .")
layer = max(name for name in maps if name.startswith("encoder"))
print(layer, list(maps[layer].shape), "= [B, H, Tq, Tk]")
heads_side_by_side(maps[layer], words, pinned=(0, 1), query=1, predict=False)

# %% [markdown] id="break" concepts=["C16"] documents=["003 §4"] errata=["E086"]
# ## 6. Break it
#
# ### Cut the sequence instead of the features
#
# Document 003, §4, steps 1 and 2, decomposes the input into *sub-sequences* (E086). In code that is the mistake of the prediction:
# `x.view(B, H, T, Dh)`, without exchanging axes. **Look at** which tokens are in head 0.

# %% id="wrong-split" concepts=["C16"] errata=["E086"] documents=["003 §4"]
wrong = x.view(1, 2, 3, 2)  # [B, H, T, Dh]: the right shape
for h in range(2):
    print(f"head {h}:", wrong[0, h].int().tolist(), "  right:", split[0, h].int().tolist())

# %% id="wrong-leak" concepts=["C16"] errata=["E086"] documents=["003 §4"]
from course_lib.masks import causal_mask


def attend_with(split, x):  # self-attention under a causal mask, without projections
    b, t, d = x.shape
    heads = F.scaled_dot_product_attention(*[split(x)] * 3, attn_mask=causal_mask(t))
    return heads.reshape(b, t, d) if split is cut_tokens else heads.transpose(1, 2).reshape(b, t, d)


def cut_tokens(x):
    return x.reshape(x.shape[0], 3, x.shape[1], -1)


def cut_features(x):
    return attention.split_heads(x, 3)


torch.manual_seed(0)
sentence = torch.randn(1, 6, 12)
for cut in (cut_features, cut_tokens):
    before = attend_with(cut, sentence)
    reach = []
    for t in range(6):
        edited = sentence.clone()
        edited[0, t] += 1
        changed = (attend_with(cut, edited) - before)[0].abs().amax(-1) > 1e-6
        reach.append(changed.nonzero().flatten().tolist())
    print(cut.__name__, *(f"  editing token {t} changes {tokens}" for t, tokens in enumerate(reach)), sep="\n")
assert reach[0] == [0, 1]

# %% [markdown] id="wrong-seen" concepts=["C16"] errata=["E086"]
# With the wrong split, editing token 0 reaches tokens 0 and 1 and nobody else: the sentence has been cut into three pieces that
# never meet. The shapes are right, and training runs. **No error message will ever tell you.** Numbers that can be followed,
# as the tens and ones above, do.

# %% [markdown] id="no-output" concepts=["C16"] documents=["000 §4.2", "002 §3"] errata=["E024", "E073"]
# ### Leave out the output projection
#
# Document 002, §3, combines heads by concatenation alone (E073); document 000, §4.2, says that $W^O$ is there *to concatenate* (E024).
# What does it do, then? Change the values of head 0 only, and see which of the 12 output features move.

# %% id="no-output-shown" concepts=["C16"] errata=["E024", "E073"] documents=["000 §4.2", "002 §3"]
from copy import deepcopy


def moved(module):
    other = deepcopy(module)
    other.value.weight.data[:4] += 0.5  # head 0 of three
    return ((other(q, k, v) - module(q, k, v)).abs().amax((0, 1)) > 1e-6).int().tolist()


plain = deepcopy(ours)
plain.output.weight.data, plain.output.bias.data = torch.eye(D), torch.zeros(D)  # W^O does nothing
print("W^O = identity: features that move", moved(plain))
print("W^O as it is:   features that move", moved(ours))
print("difference from PyTorch without W^O:", round((plain(q, k, v) - torchs(q, k, v)[0]).abs().max().item(), 3))
assert moved(plain) == [1] * 4 + [0] * 8 and moved(ours) == [1] * 12

# %% [markdown] id="no-output-seen" concepts=["C16"] errata=["E024"]
# With $W^O = I$ the heads are side by side already: concatenation is not its job. What it does is **mix**: every
# output feature may draw on every head. Without it, what head 0 found stays in the first four features.

# %% [markdown] id="too-many" concepts=["C16"]
# ### Heads that do not fit, and heads that are too thin
#
# Features must be dealt out evenly; the library says so at once. And more heads are not always better: with 32 heads on 32 features, a
# head compares tokens by a single number.

# %% id="too-many-shown" concepts=["C16"]
try:
    attention.MultiHeadAttention(50, 8)
except ValueError as error:
    print("ValueError:", error)

# %% [markdown] id="documents" concepts=["C16"] documents=["000 §2.3", "001 §2.5"] errata=["E005", "E042"]
# ## 7. What the documents say, and what is true
#
# ### What is concatenated
#
# 000, §2.3 (E005; again in §4.2 and App. Q3): the heads’ *scores* are concatenated, to a high-dimensional attention vector. Scores are
# `[T, T]` for each head. Concatenated, they would give $h \cdot T$ numbers for each token: not $d_{\text{model}}$, and another width for
# every sentence. It is the **outputs** that are concatenated, and the result is exactly as wide as before.

# %% id="concatenated" concepts=["C16"] errata=["E005"] documents=["000 §2.3", "000 §4.2"]
torch.manual_seed(0)
small, tokens = nn.MultiheadAttention(8, 2, batch_first=True), torch.randn(1, 5, 8)
output, weights = small(tokens, tokens, tokens, average_attn_weights=False)
print("weights", list(weights.shape), "  concatenated:", list(torch.cat(weights.unbind(1), -1).shape))
print("output ", list(output.shape))

# %% [markdown] id="several-positions" concepts=["C16"] documents=["001 §2.5"] errata=["E042"]
# ### What a single head can do
#
# 001, §2.5 (E042): multi-head attention lets the model attend to *several positions at once*. One head does that:

# %% id="several-positions-shown" concepts=["C16"] errata=["E042"] documents=["001 §2.5"]
torch.manual_seed(0)
single = nn.MultiheadAttention(8, 1, batch_first=True)
row = single(tokens, tokens, tokens)[1][0, 0].detach()
print("one head, one query, five keys:", row)
assert (row > 0.05).all()

# %% [markdown] id="several-positions-seen" concepts=["C16"] errata=["E042"]
# What several heads add is not more positions but **more patterns**: different weights, over different features, for the same query.

# %% [markdown] id="generalises" concepts=["C16"] documents=["004 §2.1", "004 §3.3", "004 §9 Q8"] errata=["E116"]
# ### Do many heads generalise better?
#
# 004, §3.3, §2.1 and §9 Q8 (E116), say so. Nothing in the formula does. What can be measured is what each head is *worth*: switch
# off one head of the trained eight, by setting its columns of $W^O$ to 0, and measure again.

# %% id="prune" concepts=["C16"] errata=["E116"] documents=["004 §3.3", "004 §9 Q8"]
_, trained, (token, place, read_out), _ = found[8]
torch.manual_seed(1)
ids = torch.randint(8, (200, 12))
neighbours = torch.stack([ids.roll(1, 1), ids.roll(-1, 1)], -1)


@torch.no_grad()
def accuracy(off=()):
    model, x = deepcopy(trained), token(ids) + place.weight
    for h in off:
        model.output.weight[:, 4 * h : 4 * h + 4] = 0  # head h has features 4h … 4h+3
    return (read_out(model(x, x, x)).unflatten(-1, (2, 8)).argmax(-1) == neighbours).float().mean().item()


print(f"all heads {accuracy():.2f}   without one:", [round(accuracy([h]), 2) for h in range(8)])
without = [accuracy(range(n)) for n in range(1, 9)]
print("without the first n:", [round(share, 2) for share in without])
assert accuracy() > 0.95 > 0.3 > without[-1]

# %% [markdown] id="prune-seen" concepts=["C16"] errata=["E116"]
# Heads are worth differently much, and some hardly anything; together they carry the task. The same was found in large models: many heads
# can be removed after training, a few cannot (Michel et al. 2019, *Are Sixteen Heads Really Better than One?*; Voita et al. 2019). Heads
# make a model more *expressive*. Whether it generalises is decided by data, training and regularisation, and by measuring.

# %% [markdown] id="single-head-equations" concepts=["C16"] documents=["004 §4.1", "004 §4.2"] errata=["E123"]
# ### Equations without heads
#
# 004, §4.1 and §4.2 (E123), call their attention multi-head: there is no index for the head, no concatenation and no $W^O$. How far is
# that from the real thing, with the same matrices?

# %% id="single-head-shown" concepts=["C16"] errata=["E123"] documents=["004 §4.1", "004 §4.2"]
as_printed = F.scaled_dot_product_attention(ours.query(q), ours.key(k), ours.value(v))
difference = (as_printed - ours(q, k, v)).abs().max().item()
print(f"as printed, against three heads: differs by up to {difference:.2f}")
assert difference > 0.1

# %% [markdown] id="contradictions" concepts=["C16"] documents=["000 §2.3", "001 §3.4", "002 §3", "003 §4"]
# ### Where the documents contradict each other
#
# | question | one says | another says | decided by |
# |---|---|---|---|
# | What is concatenated? | 000, §2.3: scores | 001, §3.4, 002, §3: what the heads give | the cell on concatenation: **outputs** |
# | What is divided among heads? | 003, §4: the sequence | 001, §3.4: each head has projections of its own | the wrong split: **the features** |
# | What is $W^O$ for? | 000, §4.2: concatenating; 002: there is none | 001, §3.4: it follows the concatenation | the cell without it: **mixing** |

# %% [markdown] id="in-a-line" documents=["000 §2.3", "000 App. Q3", "001 §3.4", "002 §3", "004 §3.3"] errata=["E006", "E034", "E050", "E073", "E116"]
# ### And in a line each
#
# | | said | better |
# |---|---|---|
# | E006 | 000: heads capture dependencies of different levels | different *subspaces*; levels come from layers |
# | E034 | 000, App. Q3: many heads, because they consider many heads | one head, one distribution; $h$ heads, $h$ distributions at the same price |
# | E050 | 001: each head gets its own queries, keys and values | its own *projections* of the same inputs |
# | E073 | 002: heads are combined by concatenation | concatenation, then $W^O$; and $d_{\text{model}}$ is the width of a token’s vector |
# | E116 | 004: many heads generalise better | they express more; generalisation has to be measured |

# %% [markdown] id="faq-why" concepts=["C16"] documents=["000 App. Q3"] errata=["E034"]
# ## 8. The documents’ questions, answered
#
# **Why multi-head attention?** (000, App. Q3; the answer printed there is circular, E034.) A head gives each query one distribution over the
# keys, and so one blend; two needs at once are averaged into something that serves neither. $h$ heads of width $d_{\text{model}}/h$ give $h$ distributions, over
# different features, for exactly the same number of parameters and practically the same work. The experiment above shows the difference on a task that needs two.

# %% [markdown] id="faq-generalise" concepts=["C16"] documents=["004 §9 Q8"] errata=["E116"]
# **How does a Transformer generalise better?** (004, §9 Q8; its answer is many heads, E116.) By more and more varied data, pretraining (chapter 12),
# regularisation such as dropout, weight decay and label smoothing (chapter 09), stopping in time, and by measuring on data that the model has not seen. The
# number of heads is a choice of architecture, tried out like the others.

# %% [markdown] id="exercises"
# ## 9. Exercises
#
# Write each in its cell, run it, then run the `check` below it: it says at once which value differs, and names the misunderstanding where it
# knows it. The third is a module: it is given weights by name, so the names count. Arguments stay as they were, and results
# keep the dtype of the inputs. What passes is kept, and runs in later chapters.

# %% id="check-import"
from course_lib.workshop import check, hint, my_parts, quiz

# %% exercise="split_heads"

# %% exercise="merge_heads"

# %% exercise="MultiHeadAttention"

# %% exercise="spot_the_bug_05"

# %% [markdown] id="quiz-intro"
# ### Quiz
#
# Every wrong option has its reason; try the one you believe in first.

# %% quiz="05"

# %% [markdown] id="recap" concepts=["C16"]
# ## 10. Recap
#
# - One head, one distribution for each query: needs that compete are averaged. Several heads, several blends, side by side.
# - $\mathrm{Concat}(\mathrm{head}_1 \dots \mathrm{head}_h) W^O$: the heads’ *outputs* are concatenated; $W^O$ mixes them.
# - Heads divide the **features**, never the sequence: `view` to `[B, T, H, Dh]`, *then* exchange two axes.
# - Scores are divided by $\sqrt{d_h}$, the width of one head.
# - The number of heads changes no number of parameters. Heads are parallel; levels come from layers.
#
# **Read the code:** `course_lib/attention.py` (`split_heads`, `merge_heads`, `MultiHeadAttention`). **Papers:** Vaswani et al. 2017, *Attention Is All You
# Need*, §3.2.2; Michel, Levy & Neubig 2019, *Are Sixteen Heads Really Better than One?*; Voita et al. 2019, *Analyzing Multi-Head
# Self-Attention: Specialized Heads Do the Heavy Lifting, the Rest Can Be Pruned*.
#
# **Next:** [chapter 06](06_encoder.ipynb) puts a feed-forward network, residuals and norms around it: the encoder. Which parts are yours by now?

# %% id="my-parts"
my_parts()
