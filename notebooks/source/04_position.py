# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown] id="title" documents=["000 §2.2", "001 §2.4", "001 §2.7", "001 §3.3", "001 §3.6", "002 §3"]
# # 04 · Position
#
# Attention compares every word with every other one, and does not know which of them comes first. In this chapter you
# see how blind it is, and build the five ways in which people have told it. At the end you can
#
# - prove with three tokens that attention without positions reads a bag of words;
# - compute sinusoidal positions by hand, and say what their wavelengths are for;
# - say what *absolute* and *relative*, *fixed* and *learned* mean, and test which one a method is;
# - turn queries and keys (rotary), lower the scores of what is far (ALiBi), and learn a number for each distance (T5);
# - choose a method for a model of yours, and know what it does on texts longer than any it has seen.
#
# **Time:** about an hour, and another hour for the exercises. **You need:** chapter 03. Numbers such as E048 name mistakes
# of the documents that this course is built on.

# %% id="imports"
import math

import torch
import torch.nn.functional as F
from torch import nn

from course_lib import attention, masks, positions
from course_lib.config import ModelConfig
from course_lib.transformer import Transformer
from course_lib.views import alibi_explorer, distance_explorer, predict, rotary_explorer, sinusoid_explorer

torch.set_printoptions(precision=3, sci_mode=False)

# %% [markdown] id="question" concepts=["C18"] documents=["000 §2.2", "001 §2.4", "004 §3.2", "004 §3.3"] errata=["E110"]
# ## 1. The question
#
# > dog bites man
# >
# > man bites dog
#
# The same three words, and only one of the two sentences is news. Document 004 (§3.2) turns words into vectors and hands
# them to the encoder; the word *position* does not occur in it once (E110). **What does its encoder make of the two
# sentences?**

# %% id="bag-of-words" concepts=["C18"] errata=["E110"] documents=["004 §3.2"]
torch.manual_seed(0)
vocabulary = {"dog": 1, "bites": 2, "man": 3}
news, no_news = (torch.tensor([[vocabulary[word] for word in text.split()]]) for text in ("man bites dog", "dog bites man"))

reader = Transformer(ModelConfig(vocab_size=4, d_model=32, n_heads=4, positions="none")).eval()
with torch.no_grad():
    dog_in_news, dog = reader.encode(news)[0, 2], reader.encode(no_news)[0, 0]
print("dog, last word: ", dog_in_news[:5])
print("dog, first word:", dog[:5])
torch.testing.assert_close(dog_in_news, dog, atol=1e-5, rtol=0)

# %% [markdown] id="bag-seen" concepts=["C18"] errata=["E110"]
# Three layers, four heads, and *dog* is the same vector whether it bites or is bitten. Training cannot help: there is
# nothing to learn from. A recurrent network does not have this trouble, since it reads one word after the other.

# %% [markdown] id="predict"
# ## 2. Predict
#
# Commit before you know. (The code of these cells is folded away, because the answers are in it.)

# %% id="predict-count" concepts=["C19"] jupyter={"source_hidden": true} cellView="form"
# @title Predict first (the answer is in here)
predict(
    "You want to tell the model positions by adding something to each word vector. The numbers in a word vector are about "
    "as large as 1. Which trouble do you expect, if you add the plain number of the position, 0, 1, 2 …, to every feature?",
    [
        ("none: every position has a number of its own", "True, and yet at position 500 you add 500 to numbers of size 1."),
        "late positions drown the words",
        ("positions collide", "No two numbers are equal."),
        ("the model cannot count beyond its width", "The width does not enter here."),
    ],
    "late positions drown the words",
    "At position 500 the words are a ripple of size 1 on a hill of 500; and the LayerNorm that follows removes what is "
    "equal in all features, so that the hill is gone and nothing is left of the position. Section 6 shows it.",
)

# %% id="predict-shift" concepts=["C18", "C21"] jupyter={"source_hidden": true} cellView="form"
# @title Predict first (the answer is in here)
predict(
    "A sentence gets five padding tokens <b>in front</b>, which nobody may attend to. All its words now stand five "
    "places further right. For which kind of position information does the encoder give the words the same vectors as before?",
    [
        ("a vector for each position, added to the word", "Then the word at place 0 is now told that it is at place 5."),
        "scores that depend on the distance of two words",
        ("both", "Distances have not changed, but places have."),
        ("neither", "Between the words of the sentence all distances are what they were."),
    ],
    "scores that depend on the distance of two words",
    "That is the difference between <i>absolute</i> and <i>relative</i> positions, and a test for it. Section 5 runs it.",
)

# %% [markdown] id="by-hand" concepts=["C18"] documents=["000 App. Q2"]
# ## 3. By hand
#
# ### Shuffle three tokens
#
# Let *dog* = (1, 0), *bites* = (0, 1), *man* = (1, 1), and let query, key and value be the token itself. For the query *dog*:
#
# | | dog | bites | man | sum |
# |---|---|---|---|---|
# | dot product | 1 | 0 | 1 | |
# | ÷ √2 | 0.707 | 0 | 0.707 | |
# | exponential | 2.028 | 1 | 2.028 | 5.056 |
# | weight | 0.401 | 0.198 | 0.401 | 1 |
#
# The output is $0.401\binom10 + 0.198\binom01 + 0.401\binom11 = \binom{0.802}{0.599}$. Read the table from right to left: the
# sentence is reversed, every number is in another column, and **each sum is the same**.

# %% id="shuffled" concepts=["C18"]
sentence = torch.tensor([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]])  # dog, bites, man
order = torch.tensor([2, 1, 0])

output = attention.scaled_dot_product_attention(sentence, sentence, sentence)
reversed_output = attention.scaled_dot_product_attention(sentence[order], sentence[order], sentence[order])
print("dog bites man:", output, "man bites dog:", reversed_output, sep="\n")
torch.testing.assert_close(reversed_output, output[order])

# %% [markdown] id="equivariance" concepts=["C18"]
# Shuffle the input, and the output is shuffled in the same way; no number changes. That is *permutation equivariance*:
# $f(Px) = P f(x)$. Feed-forward networks and LayerNorm work on each token alone, so they change nothing about it.
#
# So something must tell the tokens where they are. Two ideas:
#
# 1. **Mark the tokens**: add a vector to each that says “place 7” (*absolute*).
# 2. **Mark the pairs**: change the score of a query with a key by what lies between them (*relative*).

# %% [markdown] id="clocks-idea" concepts=["C19"]
# ### Many clocks
#
# What would a good mark for a place be? Numbers that stay small, differ from place to place, and change little from one
# place to the next. A clock does that: its seconds hand turns fast and tells neighbours apart; its hour hand turns slowly
# and tells morning from evening. The hand’s position is *two* numbers, the sine and the cosine of its angle.
#
# $$\mathrm{PE}(pos, 2i) = \sin\frac{pos}{10000^{2i/d_{\text{model}}}} \qquad
# \mathrm{PE}(pos, 2i+1) = \cos\frac{pos}{10000^{2i/d_{\text{model}}}}$$
#
# Pair $i$ of the columns is one hand. (Vaswani et al. 2017, §3.5; document 002, §3, has it right.)

# %% [markdown] id="sinusoid-by-hand" concepts=["C19"] documents=["002 §3"] errata=["E049"]
# With $d_{\text{model}} = 4$ there are two hands. For $i = 0$ the divisor is $10000^{0} = 1$, for $i = 1$ it is $10000^{2/4} = 100$:
#
# | position | sin(pos) | cos(pos) | sin(pos/100) | cos(pos/100) |
# |---|---|---|---|---|
# | 0 | 0 | 1 | 0 | 1 |
# | 1 | 0.841 | 0.540 | 0.010 | 1.000 |
# | 2 | 0.909 | −0.416 | 0.020 | 1.000 |
#
# The wavelengths, the positions for one turn, are $2\pi$ and $200\pi \approx 628$. Do row 3 yourself, then run.

# %% id="sinusoid-rows" concepts=["C19"]
print(positions.sinusoidal_encoding(4, 4))
print([round(f, 3) for f in (math.sin(3), math.cos(3), math.sin(0.03), math.cos(0.03))])

# %% [markdown] id="rotation-by-hand" concepts=["C19"]
# ### A shift is a turn
#
# From position 1 to position 3, the first hand turns by 2 radians, and from 7 to 9 again by 2. So for every distance $k$
# there is **one** matrix that takes each row to the row $k$ places on, wherever it stands. For a pair with frequency $w$:
#
# $$\begin{pmatrix}\sin w(p+k)\\ \cos w(p+k)\end{pmatrix} =
# \begin{pmatrix}\cos wk & \sin wk\\ -\sin wk & \cos wk\end{pmatrix}\begin{pmatrix}\sin wp\\ \cos wp\end{pmatrix}$$
#
# It is the addition formula of sine and cosine. A linear layer can learn such a matrix: “look three to the left”.

# %% id="rotation-shown" concepts=["C19"]
table = positions.sinusoidal_encoding(60, 4).double()
k, w = 5, torch.tensor([1.0, 0.01], dtype=torch.float64)
cos, sin = torch.cos(w * k), torch.sin(w * k)
turn_by_k = torch.block_diag(*[torch.tensor([[c, s], [-s, c]], dtype=torch.float64) for c, s in zip(cos.tolist(), sin.tolist())])
print(turn_by_k)
torch.testing.assert_close(table[:-k] @ turn_by_k.T, table[k:], atol=1e-6, rtol=0)
print("one matrix takes row p to row p + 5, for all", len(table) - k, "rows")

# %% [markdown] id="build" concepts=["C19"] documents=["001 §3.3"] errata=["E049"]
# ## 4. Build it
#
# ### The table of sinusoids
#
# Document 001 (§3.3, steps 2 and 3) maps the position “to the real line” by “a unary function” and then “to a vector”, without
# saying how (E049). This is how: one frequency for each pair of columns, and both functions of it.

# %% id="toy-sinusoids" concepts=["C19"] errata=["E049"]
def clocks(length, d_model):
    position = torch.arange(length)[:, None]  # [T, 1]
    divisor = 10000 ** (torch.arange(0, d_model, 2) / d_model)  # [D/2]: the 2i are 0, 2, 4 …
    angle = position / divisor  # [T, D/2]
    return torch.stack([angle.sin(), angle.cos()], dim=-1).flatten(1)  # [T, D]: sine, cosine, sine, cosine …


torch.testing.assert_close(clocks(50, 64), positions.sinusoidal_encoding(50, 64), atol=1e-4, rtol=0)
print("they agree; the table is", list(clocks(50, 64).shape), "= [T, D]")

# %% [markdown] id="sinusoids-added" concepts=["C18", "C19"] errata=["E110", "E072"]
# It is computed once and **added** to the word vectors, which are first multiplied by $\sqrt{d_{\text{model}}}$ so that they are
# not drowned: $h_0 = \sqrt{d_{\text{model}}}\,\mathrm{Embed}(x) + \mathrm{PE}$. It is no parameter; in PyTorch it is a *buffer*.

# %% id="order-heard" concepts=["C18"] errata=["E110", "E072"] documents=["004 §3.2", "002 §3"]
torch.manual_seed(0)
told = Transformer(ModelConfig(vocab_size=4, d_model=32, n_heads=4, positions="sinusoidal")).eval()
with torch.no_grad():
    dog_in_news, dog = told.encode(news)[0, 2], told.encode(no_news)[0, 0]
print(f"largest difference between the two dogs: {(dog_in_news - dog).abs().max():.2f}")
print("learned position parameters:", [name for name, _ in told.named_parameters() if "position" in name])
assert (dog_in_news - dog).abs().max() > 0.1

# %% [markdown] id="learned" concepts=["C20"] documents=["001 §4", "003 §4"]
# ### A table that is learned
#
# BERT and GPT-2 do not compute the table, they learn it: an `nn.Parameter` of shape `[max_len, d_model]`, a row for each
# place. For BERT, 512 places of 768 numbers, that is $512 \cdot 768 = 393{,}216$ parameters. It can learn any shape, and
# it ends: there is no row for place 512. And a row that no training text has reached is as random as at the start.

# %% id="learned-shown" concepts=["C20"]
places = positions.LearnedPositions(max_len=512, d_model=768)
print("parameters:", sum(p.numel() for p in places.parameters()))
x = torch.zeros(2, 5, 768)
torch.testing.assert_close(places(x)[1], places.table[:5])  # row t for token t, in every sentence
try:
    places(torch.zeros(1, 513, 768))
except ValueError as error:
    print("ValueError:", error)

# %% [markdown] id="rotary" concepts=["C21"]
# ### Turn the vectors
#
# If a place is the angle of a hand, why add the hand to the word? **Rotary** positions (Su et al. 2021) turn the query
# and the key themselves. Take their features in pairs $(a, b)$ and turn pair $i$ of a token at place $m$ by $\theta = m \cdot 10000^{-2i/D}$:
#
# $$(a, b) \mapsto (a\cos\theta - b\sin\theta,\; a\sin\theta + b\cos\theta)$$
#
# By hand, with one pair, frequency 1, and query = key = $(1, 0)$. At place 2 the query becomes $(\cos 2, \sin 2) = (-0.416, 0.909)$, at
# place 1 the key $(\cos 1, \sin 1) = (0.540, 0.841)$. Score: $-0.416 \cdot 0.540 + 0.909 \cdot 0.841 = 0.540 = \cos(2 - 1)$. **Only the
# distance is left**, and this is exact, whatever query and key are.

# %% id="toy-rotary" concepts=["C21"]
def turn(x, position):
    angle = position[:, None] / 10000 ** (torch.arange(0, x.shape[-1], 2) / x.shape[-1])  # [T, D/2]
    a, b = x[..., 0::2], x[..., 1::2]  # the pairs
    return torch.stack([a * angle.cos() - b * angle.sin(), a * angle.sin() + b * angle.cos()], dim=-1).flatten(-2)


one = torch.tensor([[1.0, 0.0]])
q_at_2, k_at_1 = turn(one, torch.tensor([2])), turn(one, torch.tensor([1]))
print(q_at_2, k_at_1, f"score {(q_at_2 @ k_at_1.T).item():.3f}, cos 1 = {math.cos(1):.3f}")

vectors = torch.randn(2, 3, 7, 8, generator=torch.Generator().manual_seed(0))  # [B, H, T, Dh]
torch.testing.assert_close(turn(vectors, torch.arange(7)), positions.apply_rotary(vectors, torch.arange(7)), atol=1e-5, rtol=1e-4)

# %% [markdown] id="rotary-seen" concepts=["C21"]
# Values are not turned: they are what is taken, not how it is found. And nothing is added to the words, so no layer
# forgets the place on the way up: it is said again in every self-attention. Most of today’s language models use it.

# %% [markdown] id="alibi" concepts=["C21"]
# ### Lower the scores of what is far
#
# **ALiBi** (Press et al. 2022) only does this: subtract from each score a slope times the distance. Head $h$ of $H$ has the slope
# $2^{-8h/H}$, so that steep heads look near and flat ones far. Four tokens, slope ½, causal:
#
# | query \ key | 0 | 1 | 2 | 3 |
# |---|---|---|---|---|
# | 0 | 0 | | | |
# | 1 | −0.5 | 0 | | |
# | 2 | −1 | −0.5 | 0 | |
# | 3 | −1.5 | −1 | −0.5 | 0 |
#
# It is a **bias**: a float that is added to the scores. A mask is a boolean, and another argument. (The paper knows causal models
# only; for an encoder the course takes the distance without its sign.)

# %% id="toy-alibi" concepts=["C21"]
def far_bias(n_heads, t):
    slope = torch.tensor([2 ** (-8 * h / n_heads) for h in range(1, n_heads + 1)])  # [H]
    place = torch.arange(t)
    return -slope[:, None, None] * (place[:, None] - place).abs()  # [H, T, T]


print(far_bias(8, 4)[0] + 0.0)  # + 0.0 turns -0 into 0
torch.testing.assert_close(far_bias(8, 4), positions.alibi_bias(8, 4, 4))
scores = torch.zeros(4, 4)  # all words fit equally well
print("weights:", attention.attention_weights(torch.zeros(4, 2), torch.zeros(4, 2), masks.causal_mask(4), far_bias(8, 4)[0]))

# %% [markdown] id="relative" concepts=["C21"]
# ### A learned number for each distance
#
# Why lay down the shape of the penalty? Learn it. With $i$ for the query and $j$ for the key:
#
# | | score |
# |---|---|
# | Shaw et al. 2018 | $q_i \cdot (k_j + a_{j-i}) / \sqrt{d_k}$: a learned *vector* for each distance, up to a largest one |
# | T5 (Raffel et al. 2020, §2.1) | $q_i \cdot k_j / \sqrt{d_k} + b_{h,\,\mathrm{bucket}(j-i)}$: a learned *number* for each head and bucket |
# | ALiBi | $q_i \cdot k_j / \sqrt{d_k} - 2^{-8h/H}\,|i - j|$: nothing learned |
# | rotary | $(R_i q_i) \cdot (R_j k_j) / \sqrt{d_k}$: nothing learned |
#
# The course builds T5’s (`positions="relative"`), because a bias is all it takes. (T5 leaves out the $\sqrt{d_k}$.) Near
# distances have a bucket each; far ones share wider and wider buckets:

# %% id="buckets" concepts=["C21"]
distance = torch.arange(0, -129, -1)  # a key that is 0, 1, 2 … 128 places behind
bucket = positions.relative_bucket(distance, causal=True)
for number in (0, 1, 15, 16, 20, 25, 31):
    members = (-distance[bucket == number]).tolist()
    print(f"bucket {number:2}: distance {members[0]}" + (f" to {members[-1]}" if len(members) > 1 else ""))

# %% [markdown] id="one-choice" concepts=["C18", "C19", "C20", "C21"]
# ### One choice of one configuration
#
# `ModelConfig(positions=…)` is all that changes in the translation model. Tables are added to the tokens, once; the others are handed
# to every **self**-attention. Cross-attention has none: a place in the source and a place in the target are not on one
# line, so they have no distance.

# %% id="one-choice-shown" concepts=["C21"]
source, target = torch.randint(3, 40, (2, 9)), torch.randint(3, 40, (2, 6))
print("positions     parameters   added to tokens        inside the first self-attention")
for kind in ("none", "sinusoidal", "learned", "relative", "rotary", "alibi"):
    model = Transformer(ModelConfig(vocab_size=40, d_model=32, n_heads=4, n_layers=2, d_ff=64, max_len=50, positions=kind))
    used = [type(part).__name__ for part in (model.positions, model.encoder.layers[0].attention.positions)]
    added, inside = (name if name.endswith("Positions") else "–" for name in used)
    print(f"{kind:12} {sum(p.numel() for p in model.parameters()):11,}   {added:22} {inside}")
    assert model(source, target).shape == (2, 6, 40)

# %% [markdown] id="move" concepts=["C19"]
# ## 5. Move it
#
# ### The table, its wavelengths, its clock hands
#
# **Try:** (1) pick pair 0, then the last pair: how many positions does one turn take? (2) Move $p$: the curve of dot products
# stays. (3) Take “document 001, §3.3” and look at the nearest two positions. (4) Set the base to 10: what becomes of
# the dot products at distances 10 and 100?

# %% id="sinusoid-view" concepts=["C19"] errata=["E048", "E049"] documents=["001 §3.3"]
sinusoid_explorer()

# %% [markdown] id="sinusoid-seen" concepts=["C19"]
# The dot product of two rows is $\sum_i \cos\!\big(w_i (p - q)\big)$: largest at distance 0, and a function of the distance alone. Fast hands
# tell neighbours apart, slow hands tell far from very far. With a base of 10 all hands are fast: five places away the product is
# down to 0, and 10 places look like 100.

# %% id="base-shown" concepts=["C19"]
print("distance", "".join(f"{k:7}" for k in (0, 5, 10, 30, 100, 300)))
for base in (10_000, 10):
    rows = positions.sinusoidal_encoding(301, 64, base)
    products = (rows @ rows[0] / 64)[[0, 5, 10, 30, 100, 300]]
    print(f"base {base:6,}", "".join(f"{product:7.2f}" for product in products.tolist()))
    assert (products[2] > products[4] + 0.03 > 0.2) == (base == 10_000)

# %% [markdown] id="rotary-view-intro" concepts=["C21"]
# ### Turning pairs
#
# A query (blue) and a key (orange) of four pairs, drawn faintly before the turn. **Try:** move only the query; then move both
# by the same number, and watch the angle *between* the hands and the two curves below.

# %% id="rotary-view" concepts=["C21"]
rotary_explorer()

# %% [markdown] id="alibi-view-intro" concepts=["C21"]
# ### Slopes
#
# **Look at** the weights of the last query when all words fit equally well. **Try:** head 1, then head 8; one query and
# eight keys (a model that writes, with kept keys): where does the row’s 0 stand? Then switch the mask off.

# %% id="alibi-view" concepts=["C21"]
alibi_explorer(predict=False)

# %% [markdown] id="distance-view-intro" concepts=["C21"]
# ### Score against distance, for all of them
#
# All tokens are the same word here, so that only position tells them apart; nothing is trained. **Try** each method and move
# the query: for which ones do the three curves lie on top of each other?

# %% id="distance-view" concepts=["C20", "C21"] errata=["E044", "E065"]
distance_explorer()

# %% [markdown] id="shift-test" concepts=["C21"] documents=["001 §2.7", "001 §6 Q3"] errata=["E044", "E065"]
# ### Absolute or relative? A test
#
# Five padding tokens in front, which nobody attends to: every word moves five places to the right. If the encoder gives
# the same vectors, only distances counted. This is the prediction that you made in section 2.

# %% id="shift-test-shown" concepts=["C21"] errata=["E044", "E065", "E052"] documents=["001 §2.7", "001 §3.6", "001 §6 Q3"]
kinds = {"sinusoidal": "absolute, fixed", "learned": "absolute, learned", "relative": "relative, learned (T5)",
         "rotary": "relative, fixed", "alibi": "relative, fixed", "none": "no positions"}  # fmt: skip
for kind, name in kinds.items():
    torch.manual_seed(0)
    model = Transformer(ModelConfig(vocab_size=40, d_model=32, n_heads=4, n_layers=2, d_ff=64, positions=kind)).eval()
    with torch.no_grad():
        [nn.init.normal_(p) for n, p in model.named_parameters() if n.endswith("positions.table")]  # as if learned
        moved = model.encode(F.pad(source, (5, 0)))[:, 5:]  # id 0 is padding
        change = (moved - model.encode(source)).abs().max().item()
    print(f"{kind:11} {name:24} moved by five, changed by {change:.1e}")
    assert (change > 0.05) == name.startswith("absolute")

# %% [markdown] id="shift-seen" concepts=["C19", "C21"] errata=["E044", "E065"]
# Sinusoids are **absolute**, though the dot products of the bare table depend on distance only: they are added to words
# and projected, and $(x_i + p_i)$ with $(x_j + p_j)$ has three terms more than $p_i$ with $p_j$.

# %% [markdown] id="break" concepts=["C19"]
# ## 6. Break it
#
# ### Count instead of clocks
#
# Add the plain number of the place to every feature. **Look at** what is left of it after the LayerNorm that begins
# every layer of the course’s model.

# %% id="count-shown" concepts=["C19"]
torch.manual_seed(0)
words = torch.randn(4, 16)
counted = words + torch.arange(4)[:, None] * 100.0  # places 0, 100, 200, 300
print("length of the words:       ", words.norm(dim=-1))
print("with the number added:     ", counted.norm(dim=-1))
change = (F.layer_norm(counted, (16,)) - F.layer_norm(words, (16,))).abs().max()
print(f"after LayerNorm: changed by {change:.0e}")
assert change < 1e-3

# %% [markdown] id="twice-as-long" concepts=["C21"]
# ### Twice as long as anything seen
#
# Train on sequences of 16 tokens, test on 32. Two little tasks for a causal model of one layer:
#
# - **back**: repeat the token *two places back*. It takes the exact distance.
# - **latest**: repeat the latest token out of three *marked* ones (ids 1 to 3). It takes “the nearer, the stronger”.
#
# The tokens are random, so there is nothing else to go by.

# %% id="predict-extrapolation" concepts=["C21"] jupyter={"source_hidden": true} cellView="form"
# @title Predict first (the answer is in here)
predict(
    "ALiBi’s paper is called <i>Train Short, Test Long</i>. A model of one layer with ALiBi: what do you expect of the two tasks?",
    [
        ("both learned, both kept at twice the length", "A straight line cannot have its highest point two places back."),
        ("neither is kept", "Its bias continues beyond the trained length in the same straight line."),
        "“latest” learned and kept, “back” not even learned",
        ("“back” learned and kept, “latest” not", "It is the other way round: nearest is what a slope is good at."),
    ],
    "“latest” learned and kept, “back” not even learned",
    "The bias is highest at distance 0 and falls from there, for every head, so that a single layer cannot point at distance 2. "
    "All it can do is to guess among the last few tokens.",
)

# %% [markdown] id="expectation" concepts=["C20", "C21"]
# **The expectation, before the run.** Learned tables have never seen rows 16 to 31, so they fail there. Sinusoids are defined
# there, but the model has never met these mixtures of hands: they fail, too. Relative methods see the distances that they
# know and keep what they have learned: rotary on both tasks, ALiBi on the one that it can do. T5’s buckets for distances beyond 15
# have never been trained: something will be lost. Without positions, a causal mask alone gives a blurred sense of place.

# %% id="extrapolation" concepts=["C18", "C20", "C21"]
def back(ids):
    return F.pad(ids[:, :-2], (2, 0))


def latest(ids):
    marked = torch.where(ids <= 3, torch.arange(ids.shape[1]), -1).cummax(dim=1).values  # [B, T]: the latest marked place
    return torch.where(marked >= 0, ids.gather(1, marked.clamp(min=0)), 0)


def accuracy(kind, task, seed, steps=200, t=16):
    torch.manual_seed(seed)
    model = Transformer(ModelConfig(12, d_model=32, d_ff=64, n_layers=1, max_len=2 * t, dropout=0.0, positions=kind))
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)

    def read(ids):
        return model.encoder(model.embed(ids), masks.causal_mask(ids.shape[1])) @ model.embedding.weight.T

    for _ in range(steps):
        ids = torch.randint(1, 12, (32, t))  # [B, T]
        loss = F.cross_entropy(read(ids)[:, 2:].transpose(1, 2), task(ids)[:, 2:])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    with torch.no_grad():
        ids = torch.randint(1, 12, (200, 2 * t))  # twice as long
        right = (read(ids).argmax(-1) == task(ids)).float().mean(0)  # [2T]: one for each place
    return right[2:t].mean().item(), right[t:].mean().item(), model


print("               back: places 2-15   16-31     latest: 2-15   16-31")
found = {}
for kind in kinds:
    runs = {task: [accuracy(kind, task, seed) for seed in (0, 1)] for task in (back, latest)}
    found[kind] = {task.__name__: [sum(run[i] for run in runs[task]) / 2 for i in (0, 1)] for task in runs}
    (near, far), (near_latest, far_latest) = found[kind].values()
    print(f"{kind:12} {near:20.2f} {far:7.2f} {near_latest:16.2f} {far_latest:7.2f}")
    if kind == "learned":
        table_after = runs[back][1][2].positions.table.detach()  # of the last run, for the next but one cell

# %% [markdown] id="extrapolation-seen" concepts=["C20", "C21"]
# **What was seen**, in two runs of each. Tables, fixed or learned, do both tasks inside and fall far behind beyond. Rotary keeps
# both. ALiBi keeps what it has, and never finds “two back”. T5’s bias is good inside and loses a part, as its untrained
# buckets suggest. The next cell asserts all this.
#
# **What it does not show:** that rotary extrapolates in general. Two tiny tasks, one layer, twice the length. In language
# models far beyond their length rotary does fail, without help, and ALiBi does not (Press et al. 2022, figure 1).

# %% id="extrapolation-held" concepts=["C21"]
assert all(found["rotary"][task][i] > 0.9 for task in found["rotary"] for i in (0, 1))
for kind in ("sinusoidal", "learned"):
    assert all(near > 0.9 and far < near - 0.2 for near, far in found[kind].values())
assert found["alibi"]["latest"][1] > found["alibi"]["latest"][0] - 0.1 > 0.75 and found["alibi"]["back"][0] < 0.6
assert found["relative"]["back"][0] > 0.9 and found["sinusoidal"]["back"][1] < found["relative"]["back"][1] < 0.97

# %% [markdown] id="untrained-rows" concepts=["C20"]
# Why the learned table fails there is no mystery. Its rows began as random numbers of size 0.02. **Look at** which of them
# have moved. And nothing makes a learned table *smooth*: its neighbouring rows are as different as the task wants them.

# %% id="untrained-rows-shown" concepts=["C20"]
size = table_after.norm(dim=-1)
print(f"mean length of rows 0-15: {size[:16].mean():.2f}   of rows 16-31: {size[16:].mean():.2f}")
for name, rows in (("learned", table_after), ("sinusoidal", positions.sinusoidal_encoding(32, 32))):
    print(f"{name:10} mean cosine of neighbouring rows 0-15: {F.cosine_similarity(rows[:15], rows[1:16]).mean():.2f}")
assert size[:16].mean() > 3 * size[16:].mean()

# %% [markdown] id="documents" concepts=["C19"] documents=["001 §3.3"] errata=["E048", "E049"]
# ## 7. What the documents say, and what is true
#
# ### Sine *plus* cosine
#
# Document 001, §3.3 (E048), prints $P(pos) = \sin\frac{pos}{10000^{2/d}} + \cos\frac{pos}{10000^{2/d}}$. Sine and cosine are added
# instead of standing side by side, the $i$ is missing, and a position gets **one number**, repeated in all features. Three things follow.

# %% id="sum-formula" concepts=["C19"] errata=["E048"] documents=["001 §3.3"]
d, t = 512, 512
angle = torch.arange(t, dtype=torch.float64) / 10000 ** (2 / d)
P = angle.sin() + angle.cos()  # [T]
right = positions.sinusoidal_encoding(t, d).double()  # [T, D]

gaps = torch.pdist(P[:, None])
print(f"1. it repeats every {2 * math.pi * 10000 ** (2 / d):.2f} positions: P(92) = {P[92]:.5f}, P(333) = {P[333]:.5f}")
print(f"   pairs of positions closer than 0.001: {(gaps < 1e-3).sum()}; right table, nearest pair: {torch.pdist(right).min():.2f}")

shifted = torch.linalg.lstsq(torch.stack([P[:-5], torch.ones(t - 5).double()], 1), P[5:, None])
wrong_by = (torch.stack([P[:-5], torch.ones(t - 5).double()], 1) @ shifted.solution - P[5:, None]).abs().max()
print(f"2. the best linear map from P(pos) to P(pos + 5) is wrong by up to {wrong_by:.2f};")
print("   the right table has an exact one")

x = torch.randn(4, 16, generator=torch.Generator().manual_seed(0))
erased = (F.layer_norm(x + P[92].float(), (16,)) - F.layer_norm(x, (16,))).abs().max()
print(f"3. LayerNorm takes it away again: what is left is {erased:.0e}")
assert (gaps < 1e-3).sum() > 90 and torch.pdist(right).min() > 3 and wrong_by > 1 and erased < 1e-5

# %% [markdown] id="no-alternative" concepts=["C21"] documents=["001 §3.6", "001 §2.7"] errata=["E052", "E044"]
# ### The alternative that is none
#
# Document 001, §3.6 (E052), announces alternatives to position encoding and prints the steps and the formula of §3.3
# once more, letter for letter. And §2.7 (E044) counts *absolute* encodings among the alternatives; the sinusoids of §3.3 are absolute. An
# alternative would pass the shift test of section 5. On scores:

# %% id="no-alternative-shown" concepts=["C21"] errata=["E052", "E044"] documents=["001 §3.6", "001 §2.7"]
torch.manual_seed(0)
queries, keys, place = torch.randn(6, 16), torch.randn(6, 16), torch.arange(6)
angle = torch.arange(20)[:, None] / 10000 ** (2 / 16)
formula, sinusoids = angle.sin() + angle.cos(), positions.sinusoidal_encoding(20, 16)
by_method = {
    "001, §3.6": lambda p: (queries + formula[p]) @ (keys + formula[p]).T,
    "sinusoids added": lambda p: (queries + sinusoids[p]) @ (keys + sinusoids[p]).T,
    "rotary": lambda p: positions.apply_rotary(queries, p) @ positions.apply_rotary(keys, p).T,
    "ALiBi": lambda p: queries @ keys.T - 0.5 * (p[:, None] - p).abs(),
}
for name, scores_at in by_method.items():
    change = (scores_at(place + 5) - scores_at(place)).abs().max().item()
    print(f"{name:16} all places moved by five: scores change by {change:.1e}")
    assert (change > 1) == (name in ("001, §3.6", "sinusoids added"))

# %% [markdown] id="shapes" concepts=["C20"] documents=["001 §4", "003 §4"] errata=["E055", "E089"]
# ### Tables of the wrong shape
#
# The code of document 001 (§4) has a position parameter of shape `(1, output_dim)` (E055): **one** row, the same for all places,
# before and after training. That of document 003 (§4) has `(1, num_layers, d_model)` (E089): it counts layers instead of places. What should stand
# there is `max_len`.

# %% id="shapes-shown" concepts=["C18", "C20"] errata=["E055", "E089"] documents=["001 §4", "003 §4"]
torch.manual_seed(0)
layer = nn.TransformerEncoderLayer(32, 4, 64, 0.0, batch_first=True)
x, order = torch.randn(1, 6, 32), torch.randperm(6)
for shape in ((1, 32), (1, 6, 32)):
    places = torch.randn(shape)
    gap = (layer(x + places)[:, order] - layer(x[:, order] + places)).abs().max().item()
    print(f"table {shape!s:11} shuffle before or after the encoder: difference {gap:.0e}", "(order unseen)" if gap < 1e-4 else "")
    assert (gap < 1e-4) == (shape == (1, 32))
try:
    torch.randn(3, 7, 32) + torch.randn(1, 2, 32)  # 7 tokens, num_layers = 2
except RuntimeError as error:
    print("table (1, num_layers, d_model):", error)

# %% [markdown] id="sparse" concepts=["C19", "C21"] documents=["000 §2.2"] errata=["E004", "E003"]
# ### “Double trigonometric functions or sparse coding”
#
# Document 000, §2.2 (E004), generates positions by these two. The first is no term; sine *and* cosine are meant. Sparse coding is another
# field: it writes a signal as a sum of few entries of a dictionary. A sinusoidal table is anything but sparse. It is
# no “one- or two-dimensional code” either (E003): the *place* is one number, its *encoding* a vector of $d_{\text{model}}$.

# %% id="sparse-shown" concepts=["C19"] errata=["E004", "E003"] documents=["000 §2.2", "001 §2.4"]
pe = positions.sinusoidal_encoding(50, 64)
print("shape:", list(pe.shape), f"  entries that are exactly 0: {(pe == 0).float().mean():.1%}, all in row 0: {(pe[1:] != 0).all()}")
assert (pe == 0).float().mean() < 0.02

# %% [markdown] id="two-axes" concepts=["C20", "C21"] documents=["001 §2.7", "001 §6 Q3", "002 §3"] errata=["E044", "E065", "E072"]
# ### Two questions, four answers
#
# Document 001 (§6 Q3) chooses between “functions such as sine” and “absolute encodings” (E065); document 002 (§3) calls positions “a fixed
# one-dimensional function” and lists them among the parameters (E072). Two *independent* questions clear this up:
#
# | | **fixed** | **learned** |
# |---|---|---|
# | **absolute**: which place? | sinusoids (Vaswani et al. 2017) | table of BERT and GPT-2 |
# | **relative**: how far apart? | rotary, ALiBi | Shaw et al. 2018, T5’s bias |
#
# The shift test (`shift-test-shown`) decides the rows; whether there is a parameter decides the columns (`one-choice-shown`).

# %% [markdown] id="contradictions" concepts=["C19", "C21"] documents=["001 §2.7", "001 §3.3", "002 §3"] errata=["E048", "E044"]
# ### Where the documents contradict each other
#
# | question | one says | another says | decided by |
# |---|---|---|---|
# | What is the sinusoid? | 001, §3.3: a sum, exponent $2/d$ | 002, §3: sine and cosine columns, exponent $2i/d$ | `sum-formula`: **002** |
# | Is absolute encoding an alternative to it? | 001, §2.7: yes | 001, §3.3: it *is* the position encoding | `shift-test-shown`: **sinusoids are absolute** |
# | Do positions need a place in the model? | 004, §3.2: none | 000, 001, 002: added to the input | `bag-of-words`: **they do** |

# %% [markdown] id="in-a-line" documents=["000 App. Q2", "001 §2.4", "001 §3.3", "001 §3.6", "002 §3", "004 §3.3"] errata=["E003", "E033", "E049", "E072", "E110", "E161"]
# ### And in a line each
#
# | | said | better |
# |---|---|---|
# | E003 | 000 and 001: a one- or two-dimensional code | a vector for each place: $[T, d_{\text{model}}]$. Two-dimensional *places* exist for images |
# | E033 | 000: CNNs need no positions | a CNN knows the order inside its window only; see the next cell |
# | E049 | 001: maps the real line to a vector “in a range” | sine and cosine at $d_{\text{model}}/2$ frequencies |
# | E072 | 002: fixed, and a parameter | sinusoids are a buffer; BERT’s table is a parameter |
# | E110 | 004, §3.3: the Transformer “lacks explicit time structure” | that is what positions are for |
# | E161 | 001, 002: $10000^{2i/d_model}$ | $10000^{2i/d_{\text{model}}}$: `d_{\text{model}}`, or only the m is lowered |

# %% id="cnn-shown" concepts=["C18"] errata=["E033"] documents=["000 App. Q2"]
torch.manual_seed(0)
convolution = nn.Conv1d(8, 8, kernel_size=3, padding=1)
signal = F.pad(torch.randn(1, 8, 6), (4, 10))  # six tokens, zeros around them
later = signal.roll(5, dims=-1)
with torch.no_grad():
    same = (convolution(later)[..., 1:-1] - convolution(signal).roll(5, dims=-1)[..., 1:-1]).abs().max()
    swapped = signal[..., [*range(6), 7, 6, *range(8, 20)]]  # two neighbours change places
    change = (convolution(swapped) - convolution(signal))[..., 5:9].abs().max()
print(f"moved by five: the output moves along and changes by {same:.0e}")
print(f"two neighbours swapped: changed by {change:.2f}")
assert same < 1e-5 and change > 0.1

# %% [markdown] id="faq-why" concepts=["C18"] documents=["000 App. Q2"] errata=["E033"]
# ## 8. The documents’ questions, answered
#
# **Why does the Transformer need position encoding?** (000, App. Q2.) Because everything in it treats the tokens as a set: attention is
# permutation-equivariant, and the rest works on each token alone. A recurrent network has the order built in. A convolution has it
# inside its window only, and cannot say where in the sentence the window stands, which is why the convolutional model of Gehring et al. 2017
# adds positions (E033). A *causal mask* is a hint, too: the first token sees one key, the tenth ten. A decoder can learn something from that
# (the row *none* of the experiment); an encoder has no such hint.

# %% [markdown] id="faq-choose" concepts=["C21"] documents=["001 §6 Q3"] errata=["E065"]
# **How do I choose a position encoding?** (001, §6 Q3; E065.) Sinusoids: nothing to learn and good within the trained length; a sound
# default for translation. A learned table: as good where lengths are bounded and data plentiful. Rotary: the usual choice
# for a new language model; relative, and compatible with kept keys and fast attention. ALiBi or T5’s bias: when texts will be longer than in training.
# If order hardly matters (a bag of measurements), none. Then *measure*, on a validation set and at the lengths that you will meet.

# %% [markdown] id="exercises"
# ## 9. Exercises
#
# Write each function in its cell, run it, then run the `check` below it: it answers at once, says which value differs, and
# names the misunderstanding where it knows it. `hint("apply_rotary")` helps, if you are stuck. What passes is kept: with
# `positions="rotary"` or `"alibi"` the translation model runs on *your* function. Arguments stay as they were, and results
# keep the dtype of the inputs.

# %% id="check-import"
from course_lib.workshop import check, hint, my_parts, quiz

# %% exercise="sinusoidal_encoding"

# %% exercise="LearnedPositions"

# %% exercise="apply_rotary"

# %% exercise="alibi_bias"

# %% exercise="spot_the_bug_04"

# %% [markdown] id="quiz-intro"
# ### Quiz
#
# Every wrong option has its reason; try the one you believe in first.

# %% quiz="04"

# %% [markdown] id="recap" concepts=["C18", "C19", "C20", "C21"]
# ## 10. Recap
#
# - Without positions, attention reads a bag of words: shuffle the input, and the output is shuffled.
# - Sinusoids: a clock hand for each pair of columns, wavelengths from $2\pi$ to almost $2\pi \cdot 10000$; a shift is a turn.
# - A learned table has a row for each place and ends with the last one.
# - Rotary turns queries and keys, ALiBi lowers far scores, T5 learns a number for each distance: relative, inside every self-attention.
# - Absolute or relative is decided by moving the sentence; fixed or learned by looking for a parameter.
# - What was never trained, rows or buckets, fails beyond the trained length.
#
# **Read the code:** `course_lib/positions.py`, and `MultiHeadAttention.combine` in `course_lib/attention.py`. **Papers:** Vaswani et al. 2017, *Attention
# Is All You Need*, §3.5; Gehring et al. 2017, *Convolutional Sequence to Sequence Learning*, §3.1; Shaw et al. 2018, *Self-Attention with Relative Position
# Representations*; Raffel et al. 2020, *Exploring the Limits of Transfer Learning with a Unified Text-to-Text Transformer*, §2.1; Su et al. 2021,
# *RoFormer: Enhanced Transformer with Rotary Position Embedding*; Press et al. 2022, *Train Short, Test Long: Attention with Linear Biases Enables Input Length Extrapolation*.
#
# **Next:** [chapter 05](05_many_heads.ipynb) splits attention into heads. Which parts of the model are yours by now?

# %% id="my-parts"
my_parts()
