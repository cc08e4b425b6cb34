# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown] id="title" documents=["000 §2.1", "000 §2.5", "000 §4.1", "001 §2.2", "001 §2.3", "001 §3.1", "001 §3.2", "002 §3", "003 §3", "004 §3.1", "004 §4.1", "004 §4.2"]
# # 03 · Scaled dot-product attention and masks
#
# One line of mathematics carries the whole Transformer. In this chapter you compute it by hand, write it in six lines,
# take it apart with pictures, and break it on purpose. At the end you can
#
# - compute attention for two queries and three keys on paper, and write it for any number of them;
# - say why scores are divided by $\sqrt{d_k}$, and derive it;
# - turn self-attention into cross-attention without touching the function;
# - build causal and padding masks, and prove with numbers that nothing leaks;
# - say what attention costs, and what a picture of it can and cannot tell.
#
# **Time:** about an hour, and another hour for the exercises. **You need:** Python, and PyTorch's tensors, `@` and
# broadcasting. Numbers such as E121 name mistakes of the documents that this course is built on.

# %% id="imports"
import math

import torch
import torch.nn.functional as F
from torch import nn

from course_lib import attention, masks
from course_lib.views import (
    attention_heatmap,
    attention_stages,
    edit_explorer,
    mask_explorer,
    predict,
    predict_number,
    scaling_explorer,
)

torch.set_printoptions(precision=3, sci_mode=False)

# %% [markdown] id="question" concepts=["C11", "C13"] documents=["000 §2.1", "000 §2.5"]
# ## 1. The question
#
# > the **cat** sat on the **mat** because **it** was tired
#
# Who was tired? Your eyes went from *it* back to *cat*. A model starts with one vector for each word, and the vector of
# *it* is the same in every sentence. **How can *it* take in something of *cat*, six words earlier, and almost nothing of
# *mat*, which is closer?**
#
# A recurrent network would carry *cat* along from word to word and hope that it survives. Attention lets *it* look *cat* up.

# %% [markdown] id="library" concepts=["C10", "C11"]
# ### A lookup that can be half right
#
# Think of a library. You come with a question, the **query**. Every book has a label on its spine, the **key**, and
# something written inside, the **value**. A Python dictionary returns the one value whose key is equal to your query, or
# nothing. Attention compares your query with *every* key and returns a blend of *all* values: much of those whose keys
# match well, little of the others.

# %% id="soft-lookup" concepts=["C11"]
books = {"cats": 9.0, "rugs": 1.0, "tea": 5.0}  # key -> value
match = {"cats": 0.80, "rugs": 0.15, "tea": 0.05}  # how well each key fits the query "pets"; sums to 1

print("hard lookup of 'pets':", books.get("pets"))
print("soft lookup of 'pets':", round(sum(match[key] * books[key] for key in books), 2))

# %% [markdown] id="soft-lookup-why" concepts=["C11"]
# A blend has two advantages: it always has an answer, and it changes smoothly when the query changes a little. So it has a
# gradient, and the labels, the questions and the contents can all be *learned*. What is left to explain is where the
# match comes from: 0.80, 0.15, 0.05.

# %% [markdown] id="predict"
# ## 2. Predict
#
# Commit before you know. A wrong prediction is worth more than none: you will remember the reason. (The code of these cells
# is folded away, because the answers are in it.)

# %% id="predict-softmax" concepts=["C11"] jupyter={"source_hidden": true} cellView="form"
# @title Predict first (the answer is in here)
predict(
    "A query has the scores <b>2</b>, <b>−1</b> and <b>0.5</b> with three keys. Which share does the first key get?",
    [
        ("all of it", "A softmax never gives everything to one key: every exponential is greater than 0."),
        ("about 1.33", "That is 2 divided by the sum of the scores, 1.5. A share cannot be more than 1."),
        "about 0.79",
        ("a third", "Only if all three scores were equal."),
    ],
    "about 0.79",
    "e<sup>2</sup> = 7.39, e<sup>−1</sup> = 0.37, e<sup>0.5</sup> = 1.65. They add up to 9.41, and 7.39 / 9.41 = 0.786. "
    "You will do this by hand in a minute.",
)

# %% id="predict-edit" concepts=["C13"] errata=["E008"] jupyter={"source_hidden": true} cellView="form"
# @title Predict first (the answer is in here)
predict(
    "Self-attention turns five tokens into five vectors. You exchange <b>one</b> token, the third. How many of the five "
    "output vectors change?",
    [
        ("only the third", "That is what document 000, §2.5, would give (E008). Then no token could learn anything of another."),
        ("the third and its neighbours", "That is a convolution. Attention has no notion of “next to”."),
        ("the third and all after it", "That is what happens under a causal mask, or in a recurrent network."),
        "all five",
    ],
    "all five",
    "Every token compares itself with every token, so the third one’s key and value take part in all five outputs. You "
    "measure it in section 5.",
)

# %% [markdown] id="by-hand" concepts=["C12"] documents=["000 §4.1", "001 §3.1", "002 §3", "003 §3"]
# ## 3. By hand
#
# ### One formula, three steps
#
# $$\mathrm{Attention}(Q, K, V) = \mathrm{softmax}\!\left(\frac{QK^\top}{\sqrt{d_k}}\right) V$$
#
# | step | name | shape | what it is |
# |---|---|---|---|
# | 1 | scores $S = QK^\top / \sqrt{d_k}$ | queries × keys | how well each query fits each key; any number |
# | 2 | weights $A = \mathrm{softmax}(S)$ | queries × keys | the same as shares; each **row** sums to 1 |
# | 3 | output $Z = AV$ | queries × width of a value | for each query a blend of the values |
#
# Three things, three names. The documents mix them up (E022, E121), and most bugs begin there. (Vaswani et al. 2017, §3.2.1.)

# %% id="numbers" concepts=["C12"] errata=["E023", "E047"]
query = torch.tensor([[2.0, 0.0, 1.0, 1.0],   # q0
                      [0.0, 2.0, 0.0, 0.0]])  # q1        [Tq, D] = [2, 4]
key = torch.tensor([[1.0, 0.0, 1.0, 1.0],     # k0
                    [-1.0, 1.0, 0.0, 0.0],    # k1
                    [0.0, 1.0, 1.0, 0.0]])    # k2        [Tk, D] = [3, 4]
value = torch.tensor([[10.0, 0.0],            # v0
                      [0.0, 10.0],            # v1
                      [10.0, 10.0]])          # v2        [Tk, Dv] = [3, 2]

# %% [markdown] id="scores-by-hand" concepts=["C12"]
# **Step 1, the scores.** Query and key are compared by their dot product: multiply feature by feature, add up.
#
# - $q_0 \cdot k_0 = 2\cdot1 + 0\cdot0 + 1\cdot1 + 1\cdot1 = 4$
# - $q_0 \cdot k_1 = 2\cdot(-1) + 0\cdot1 + 1\cdot0 + 1\cdot0 = -2$
# - $q_0 \cdot k_2 = 2\cdot0 + 0\cdot1 + 1\cdot1 + 1\cdot0 = 1$
#
# A key has $d_k = 4$ numbers, so divide by $\sqrt 4 = 2$ (why, comes below): **2, −1, 0.5**. Do $q_1$ yourself, then run.

# %% id="scores" concepts=["C12"]
scores = query @ key.T / math.sqrt(4)  # [2, 3]: all dot products at once
scores

# %% [markdown] id="softmax-by-hand" concepts=["C11"] documents=["000 §2.1", "001 §3.1"]
# ### From scores to weights
#
# **Step 2.** A share must be positive, and a row of shares must sum to 1. The exponential makes every number positive;
# dividing by the sum of the **exponentials** does the rest:
#
# $$A_{ij} = \frac{e^{S_{ij}}}{\sum_k e^{S_{ik}}}$$
#
# | $q_0$ with | $k_0$ | $k_1$ | $k_2$ | sum |
# |---|---|---|---|---|
# | score | 2 | −1 | 0.5 | |
# | exponential | 7.389 | 0.368 | 1.649 | 9.406 |
# | weight | **0.786** | **0.039** | **0.175** | 1 |

# %% id="weights" concepts=["C11"]
exponentials = scores.exp()
weights = exponentials / exponentials.sum(dim=-1, keepdim=True)  # along the keys: one row for each query
print(exponentials, weights, weights.sum(dim=-1), sep="\n")

# %% [markdown] id="shift" concepts=["C11"]
# **Large scores.** `exp(1000)` is infinite in float32. But adding the same number to all scores of a row multiplies all
# exponentials by the same factor, which cancels. So subtract the largest score first: nothing changes, nothing overflows.

# %% id="shift-shown" concepts=["C11"]
large = torch.tensor([1002.0, 999.0, 1000.5])  # 2, -1, 0.5, and 1000 more
print("as it stands:     ", large.exp() / large.exp().sum())
print("largest taken off:", attention.softmax(large))

# %% [markdown] id="output-by-hand" concepts=["C11"] documents=["000 §2.1", "003 §4"] errata=["E087"]
# ### The weighted sum
#
# **Step 3.** The weights are applied to the *values*, and only now do values appear at all:
#
# $$z_0 = 0.786\,\binom{10}{0} + 0.039\,\binom{0}{10} + 0.175\,\binom{10}{10} = \binom{9.61}{2.14}$$
#
# That is a row of weights times the matrix of values, so all outputs together are the matrix product $AV$.

# %% id="output" concepts=["C11"]
output = weights @ value  # [2, 3] @ [3, 2] -> [2, 2]
print(output)
torch.testing.assert_close(output[0], 0.7856 * value[0] + 0.0391 * value[1] + 0.1753 * value[2], atol=1e-2, rtol=0)

# %% [markdown] id="why-root" concepts=["C12"] documents=["004 §4.2"] errata=["E123"]
# ### Why divide by √d_k
#
# Document 004, §4.2, announces a derivation for multi-head attention and repeats the definitions of a single head (E123;
# heads are chapter 05). Here is the derivation that is missing. First a guess:

# %% id="predict-root" concepts=["C12"] jupyter={"source_hidden": true} cellView="form"
# @title Predict first (the answer is in here)
predict_number(
    "The numbers in a query and a key are independent, with mean 0 and variance 1. With <b>d<sub>k</sub> = 64</b> of them "
    "each, what is the standard deviation of the dot product q·k, that is, how large is a typical one?",
    8,
    "The variance is 64, one for each of the 64 products, and the standard deviation is √64 = 8.",
    within=0.5,
)

# %% [markdown] id="variance" concepts=["C12"] errata=["E123"]
# $q \cdot k = \sum_{i=1}^{d_k} q_i k_i$, where all $q_i$ and $k_i$ are independent, with mean 0 and variance 1.
#
# 1. Each product has mean 0: $\;\mathbb E[q_i k_i] = \mathbb E[q_i]\,\mathbb E[k_i] = 0$.
# 2. So its variance is the mean of its square: $\;\mathbb E[q_i^2 k_i^2] = \mathbb E[q_i^2]\,\mathbb E[k_i^2] = 1 \cdot 1 = 1$.
# 3. Variances of independent terms add up: $\;\mathrm{Var}(q \cdot k) = d_k$, standard deviation $\sqrt{d_k}$.
# 4. Divided by $\sqrt{d_k}$, the variance is $d_k / d_k = 1$, **whatever the size of the keys**.
#
# Without the division a softmax over wide keys gets scores of ±8, ±32 …: one weight is almost 1, the others almost 0, and
# almost no gradient comes through. (Vaswani et al. 2017, §3.2.1, footnote 4.) Now measure:

# %% id="variance-measured" concepts=["C12"] errata=["E123", "E047"] documents=["004 §4.2"]
generator = torch.Generator().manual_seed(0)
print(" d_k   Var(q·k)   after ÷√d_k   largest of 16 weights: unscaled   scaled")
for d_k in (4, 64, 1024):
    q = torch.randn(2000, 1, d_k, generator=generator)
    k = torch.randn(2000, 16, d_k, generator=generator)
    dots = (q * k).sum(-1)  # [2000, 16]
    raw, scaled = (attention.softmax(s).amax(-1).mean().item() for s in (dots, dots / math.sqrt(d_k)))
    print(f"{d_k:4}  {dots.var():9.2f}  {(dots / math.sqrt(d_k)).var():10.3f}  {raw:32.2f}  {scaled:8.2f}")
    assert abs(dots.var() / d_k - 1) < 0.05

# %% [markdown] id="build" concepts=["C12"] documents=["000 §4.1", "003 §3"] errata=["E085"]
# ## 4. Build it
#
# Project (coming up), score, scale, mask, softmax, blend: everything that document 003, §3, calls “concrete steps” and
# does not list (E085), in six lines.

# %% id="toy" concepts=["C12", "C15"]
def attend(query, key, value, mask=None):
    scores = query @ key.transpose(-2, -1)  # [..., Tq, Tk]
    scores = scores / math.sqrt(key.shape[-1])
    if mask is not None:
        scores = scores.masked_fill(~mask, -torch.inf)  # what may not be seen gets e^-inf = 0
    weights = attention.softmax(scores)  # rows sum to 1
    return weights @ value  # [..., Tq, Dv]


print(attend(query, key, value))

# %% [markdown] id="real" concepts=["C12"]
# The library has the same function with a batch, and heads, in front, and one case more (section 6 finds it). Do both
# agree with each other, and with PyTorch’s own operator? The sizes are all different, so that a mix-up cannot hide.

# %% id="real-agrees" concepts=["C12"]
# In this chapter: attention.softmax, not `from … import softmax`. The short names are yours, for the exercises.
generator = torch.Generator().manual_seed(1)
big_query = torch.randn(2, 3, 4, 8, generator=generator)  # [B, H, Tq, D]
big_key = torch.randn(2, 3, 5, 8, generator=generator)  # [B, H, Tk, D]
big_value = torch.randn(2, 3, 5, 6, generator=generator)  # [B, H, Tk, Dv]

ours = attention.scaled_dot_product_attention(big_query, big_key, big_value)
torch.testing.assert_close(attend(big_query, big_key, big_value), ours)
torch.testing.assert_close(F.scaled_dot_product_attention(big_query, big_key, big_value), ours)
print("all three agree; the output is", list(ours.shape), "= [B, H, Tq, Dv]")

# %% [markdown] id="projections" concepts=["C10"] documents=["001 §3.1", "004 §4.1"]
# ### Where queries, keys and values come from
#
# From the tokens, through three learned matrices: $Q = XW^Q,\; K = XW^K,\; V = XW^V$. Each token plays three parts, and
# has a vector for each: what it *asks*, what it can be *found by*, and what it *gives*. Why not use $X$ three times? Then
# the score of *it* with *cat* would always be that of *cat* with *it*:

# %% id="why-three" concepts=["C10"]
torch.manual_seed(0)
d_model, d_k = 8, 6
x = torch.randn(5, d_model)  # five tokens
to_query, to_key, to_value = (nn.Linear(d_model, d_k, bias=False) for _ in range(3))

same = x @ x.T
asked = to_query(x) @ to_key(x).T
print("without projections, symmetric:", torch.equal(same, same.T))
print("with W^Q and W^K, symmetric:   ", torch.allclose(asked, asked.T))

# %% [markdown] id="self-cross" concepts=["C13", "C14"] documents=["001 §2.2", "001 §2.3", "001 §3.2", "002 §3"] errata=["E046", "E071", "E103"]
# ### Self-attention and cross-attention: one function, two calls
#
# Attention has two inputs: the sequence that asks and the sequence that is asked.
#
# - **Self-attention**: they are the same. Tokens of *one* sequence look at each other.
# - **Cross-attention**: a translation that is being written asks the sentence that is being translated. Queries come from
#   the decoder, keys and values from the encoder’s output, its *memory*.
#
# Document 001 gives both the same steps, word for word (§3.1, §3.2; E046), and leaves out the one difference: where $Q$,
# $K$ and $V$ come from.

# %% id="one-function" concepts=["C13", "C14"] errata=["E046", "E071"] documents=["001 §3.2"]
def look(asking, asked, mask=None):
    return attend(to_query(asking), to_key(asked), to_value(asked), mask)


memory = torch.randn(6, d_model)  # six source tokens
target = torch.randn(4, d_model)  # four target tokens
for name, asked in (("self: ", target), ("cross:", memory)):
    shape = attention.attention_weights(to_query(target), to_key(asked)).shape
    print(name, "weights", list(shape), "  output", list(look(target, asked).shape))

shuffled = memory[torch.randperm(6)]
torch.testing.assert_close(look(target, shuffled), look(target, memory))
print("the order of the memory makes no difference to what is taken from it")

# %% [markdown] id="masks" concepts=["C15"] documents=["001 §4", "003 §4"]
# ### Masks
#
# A mask says who **may** attend to whom: a table of queries × keys, `True` where it is allowed. Two reasons to forbid:
#
# - **Causal**: a decoder learns to predict the next word. Position $i$ may see itself and what came before, not the answer.
# - **Padding**: sentences in a batch are filled up to the same length. Nobody should attend to the filling.
#
# By hand, with three tokens and all scores 0: row 0 may see one key and gives it 1; row 1 sees two and gives ½ to each;
# row 2 gives ⅓ to each of three. A forbidden score becomes $-\infty$ **before** the softmax, since $e^{-\infty} = 0$. A
# weight set to 0 afterwards would leave a row that no longer sums to 1.

# %% id="causal-by-hand" concepts=["C15"] errata=["E113"]
may = torch.tensor([[True, False, False], [True, True, False], [True, True, True]])
scores_3 = torch.zeros(3, 3).masked_fill(~may, -torch.inf)
print(scores_3)
print(attention.softmax(scores_3))
assert torch.equal(may, masks.causal_mask(3))

# %% [markdown] id="causal-aligned" concepts=["C15"]
# When a model writes word by word, earlier keys are kept and only the *new* tokens ask. So the last query stands at the
# last key: the mask is aligned at the **bottom right**. (Beware: `is_causal=True` of PyTorch’s operator aligns at the top
# left.) Two new tokens after three kept ones:

# %% id="causal-offset" concepts=["C15"]
print(masks.causal_mask(2, 5).int())

# %% [markdown] id="padding" concepts=["C15"] documents=["001 §4"] errata=["E060"]
# A padding mask is about keys only, one line for each sentence: `[B, 1, 1, Tk]` fits any number of heads and queries. Masks
# combine with *and*. In a translation model the **source** needs a padding mask and no causal one; the **target** needs
# both. Document 001, §4, lets masks prevent leaks “between sequences” (E060); what the causal mask stops is the *future of
# the same* sequence.

# %% id="padding-shown" concepts=["C15"] errata=["E060"]
ids = torch.tensor([[7, 4, 9, 5], [8, 6, 0, 0]])  # two sentences, the second one padded with id 0
source_mask = masks.padding_mask(ids, pad_id=0)  # [B, 1, 1, Tk]
target_mask = masks.combine_masks(masks.causal_mask(4), source_mask)  # [B, 1, Tq, Tk]
print("source, sentence 1:", source_mask[1, 0].int().tolist())
print("target, sentence 1:", *target_mask[1, 0].int().tolist(), sep="\n  ")

# %% [markdown] id="conventions" concepts=["C15"]
# ### Two opposite conventions in one library
#
# | who | a boolean `True` means |
# |---|---|
# | this course, everywhere | **may** attend |
# | `F.scaled_dot_product_attention(attn_mask=…)` | **may** attend |
# | `nn.MultiheadAttention`, `nn.Transformer…` (`attn_mask`, `tgt_mask`) | **blocked** |
# | the same, `key_padding_mask` | **blocked** (is padding) |
# | Hugging Face `attention_mask` | 1 = a token, **may** be attended to |
#
# A mask of floats is *added* to the scores by both: 0 allows, $-\infty$ blocks. No error tells you that you mixed them up;
# section 6 shows what happens. The course turns a mask around in one place, `masks.to_torch_mask`.

# %% id="both-conventions" concepts=["C15"]
torch.manual_seed(0)
mha = nn.MultiheadAttention(8, 1, batch_first=True)
tokens = torch.randn(1, 4, 8)  # [B, T, D]
causal = masks.causal_mask(4)
_, seen = mha(tokens, tokens, tokens, attn_mask=masks.to_torch_mask(causal))
print(seen[0].detach())

# %% [markdown] id="move" concepts=["C11", "C12"]
# ## 5. Move it
#
# ### Your own arithmetic, opened
#
# The example of section 3 again: four maps, one for each step. **Look at** how the numbers of one row change from map to
# map. **Click** a cell, or walk with the arrow keys, and read below how its number came about. Which output takes equally
# much of two values, and why?

# %% id="stages" concepts=["C11", "C12"] documents=["000 §4.1"]
attention_stages(query, key, value, start=(0, 0))

# %% [markdown] id="stages-seen" concepts=["C11"]
# Query $q_1$ has the same score with $k_1$ and $k_2$, so it gives the same weight to both, 0.422. The third map changes
# nothing, because there is no mask. Give it one, `mask=masks.causal_mask(2, 3)`, and run the cell again: $q_0$ may no longer
# see $k_2$, and the 0.175 is shared out between the others.

# %% [markdown] id="sentence" concepts=["C10", "C13"]
# ### Who was tired?
#
# Back to the cat. Let three features describe a word, *thing*, *alive* and *place*, and let some words ask for one. In a
# trained model $W^Q$ and $W^K$ produce such numbers; here we write them down. **Look at** the row of *it*: point at a
# cell, or press the arrow keys, and read the weight. (There is one layer with one head here; real models have many.)

# %% id="sentence-map" concepts=["C10", "C13"]
words = "the cat sat on the mat because it was tired".split()
found_by = {"cat": [1.0, 1, 0], "mat": [1.0, 0, 1]}  # keys: thing, alive, place
asks_for = {"sat": [0.0, 4, 0], "on": [0.0, 0, 4], "it": [4.0, 4, 0], "tired": [0.0, 6, 0]}  # queries

word_keys = torch.tensor([found_by.get(word, [0.0, 0, 0]) for word in words])  # [Tk, 3]
word_queries = torch.tensor([asks_for.get(word, [0.0, 0, 0]) for word in words])  # [Tq, 3]
word_weights = attention.attention_weights(word_queries, word_keys)  # [10, 10]
attention_heatmap(word_weights, words)

# %% id="sentence-output" concepts=["C11", "C13"]
it, cat, mat = words.index("it"), words.index("cat"), words.index("mat")
print(f"it -> cat {word_weights[it, cat]:.2f}   it -> mat {word_weights[it, mat]:.2f}")
print("what 'it' takes in (thing, alive, place):", word_weights[it] @ word_keys)

# %% [markdown] id="sentence-seen" concepts=["C10", "C13"]
# *it* now carries most of what makes a cat a cat, in one step, however far apart they are. Words that ask for nothing give
# the same tenth to everybody. **Try:** let *it* ask for a place, `[4.0, 0, 4]`, as in “… because it was soft”, and run both
# cells again. Now it is the mat.
#
# What this cannot show: whether a trained model does it this way. Chapter 00 shows the maps of one that is.

# %% [markdown] id="edit" concepts=["C13", "C15"] documents=["001 §2.2"] errata=["E008"]
# ### Edit a token, see which outputs change
#
# Six tokens with random projections. One token becomes another vector; the bars say how far each output moves. **Try:** (1)
# edit each token in turn, without a mask; (2) the same under the causal mask, and where everybody sees only their own
# position; (3) edit only the *query* of a token, then only its *key*, then only its *value*: whom does each reach?

# %% id="edit-view" concepts=["C13", "C15"] errata=["E008"] documents=["001 §2.2"]
edit_explorer()

# %% [markdown] id="edit-seen" concepts=["C10", "C13"] errata=["E008"]
# A query decides over its own row and nobody else’s. A key or a value reaches **everybody who may see it**: all without a
# mask, itself and those after it under a causal one. The same in code, with the five tokens from above:

# %% id="edit-shown" concepts=["C13", "C15"] errata=["E008"]
EDITED = 2  # try 0 and 4, too


def moves(mask):
    edited = x.clone()
    edited[EDITED] = torch.ones(d_model)
    return (look(edited, edited, mask) - look(x, x, mask)).norm(dim=-1).detach()


print("everybody sees everybody:", moves(None))
print("causal:                  ", moves(masks.causal_mask(5)))
print("own position only:       ", moves(torch.eye(5, dtype=torch.bool)))

# %% [markdown] id="order" concepts=["C13"] documents=["004 §2.1"] errata=["E102"]
# ### Attention knows no order
#
# Shuffle the tokens, and the outputs are shuffled in the same way, but no number changes (*permutation equivariance*). There
# is no “top-down” either, as document 004, §2.1, has it (E102): all positions are treated alike. *dog bites man* and *man bites
# dog* are the same bag of words, until chapter 04 adds positions.

# %% id="order-shown" concepts=["C13"] errata=["E102"]
order = torch.tensor([3, 0, 4, 1, 2])
torch.testing.assert_close(look(x[order], x[order]), look(x, x)[order])
print("shuffle, then attend = attend, then shuffle")

# %% [markdown] id="root" concepts=["C12"] documents=["004 §4.2"] errata=["E123"]
# ### What the width of the keys does
#
# **Try:** leave “divide by nothing” and set d_k to 1024: what happens to the weights of the one query, to the entropy, to the
# gradient? Then divide by √d_k and move d_k again. Then look for a divisor of your own that serves every d_k.

# %% id="scaling" concepts=["C12"] errata=["E123"]
scaling_explorer(predict=False)

# %% [markdown] id="root-seen" concepts=["C12"]
# Undivided, the weights collapse onto one key as d_k grows, and the gradient through the softmax falls towards 0: the model
# could hardly learn to look elsewhere. Divided by √d_k, all curves are flat. No fixed divisor does that.

# %% [markdown] id="mask-picture" concepts=["C15"]
# ### What a mask does
#
# **Try:** (1) two queries and five keys; (2) *both*, with a sentence of length 0; (3) the convention *mixed up*. **Look
# at** which weights are exactly 0, and at the rows that have none at all.

# %% id="mask-view" concepts=["C15"]
mask_explorer()

# %% [markdown] id="break" concepts=["C11"] documents=["003 §3"] errata=["E084"]
# ## 6. Break it
#
# ### The softmax along the wrong axis
#
# Document 003, §3, distributes the weights “in the output sequence” (E084). It is the *keys*, the inputs, that share the 1 of each query.
# Along the other axis the queries compete for each key: what a query gets is no longer a share of 1.

# %% id="wrong-axis" concepts=["C11"] errata=["E084"] documents=["003 §3"]
right, wrong = scores.softmax(dim=-1), scores.softmax(dim=-2)
print("along the keys:     each query gives", right.sum(-1))
print("along the queries:  each query gives", wrong.sum(-1))
print("outputs:", right @ value, wrong @ value, sep="\n")

# %% [markdown] id="leak" concepts=["C15"] documents=["001 §4", "003 §4", "004 §3.2", "004 §4.1"] errata=["E059", "E113"]
# ### Forget the causal mask
#
# In documents 001 and 003 the target mask is `None` by default (E059); in document 004 the decoder has none at all (E113).
# You saw above that then every output depends on every token, the answer included. What does training make of that? Take
# **random** tokens: nobody can predict them, and the best possible loss is $\ln 12 = 2.485$.

# %% id="leak-training" concepts=["C15"] errata=["E059", "E113"] documents=["001 §4", "004 §4.1"]
t, vocab_size, width = 8, 12, 32
results = []
for mask in (None, masks.causal_mask(t)):
    torch.manual_seed(0)
    token, place = nn.Embedding(vocab_size, width), nn.Embedding(t, width)
    heads, read = attention.MultiHeadAttention(width, 1), nn.Linear(width, vocab_size)
    parts = nn.ModuleList([token, place, heads, read])
    optimizer = torch.optim.Adam(parts.parameters(), lr=1e-2)
    for _ in range(250):
        ids = torch.randint(vocab_size, (64, t + 1))  # [B, T+1]: random tokens
        h = token(ids[:, :-1]) + place.weight  # [B, T, D]
        logits = read(heads(h, h, h, mask))  # [B, T, V]: the next token of each position
        losses = F.cross_entropy(logits.transpose(1, 2), ids[:, 1:], reduction="none")  # [B, T]
        optimizer.zero_grad()
        losses.mean().backward()
        optimizer.step()
    results.append(losses.detach().mean(0))  # one for each position

leaky, honest = results
print("no mask:", leaky, f" mean {leaky.mean():.3f}")
print("causal: ", honest, f" mean {honest.mean():.3f}")
assert leaky[:-1].max() < 0.2 and abs(honest.mean() - math.log(12)) < 0.1

# %% [markdown] id="leak-seen" concepts=["C15"]
# Seven of eight positions look one place ahead and copy the answer; only the last, with nothing ahead, has to guess. The
# loss is splendid, and the model has learned *nothing*: when it writes for itself there is no next word to copy. The causal
# model reports the truth. **A training loss far below what is possible is a leak until proven otherwise.**

# %% [markdown] id="nothing" concepts=["C15"]
# ### A query that may see nothing
#
# It happens: an empty source sentence, or padding on the left under a causal mask. What should come out?

# %% id="nothing-shown" concepts=["C15"]
nobody = torch.zeros(1, 2, dtype=torch.bool)
q, k, v = torch.ones(1, 3), torch.ones(2, 3), torch.tensor([[10.0], [30.0]])

print("-inf everywhere:         ", attend(q, k, v, nobody))
print("-1e9 instead of -inf:    ", (q @ k.T).masked_fill(~nobody, -1e9).softmax(-1) @ v)
print("the course:              ", attention.scaled_dot_product_attention(q, k, v, nobody))

# %% [markdown] id="nothing-seen" concepts=["C15"]
# $-\infty$ alone gives 0/0 = NaN, which spreads through the model in one step. The popular $-10^9$ makes all scores equal, so
# the query gets the **mean of everything it must not see**. The course gives zeros: who may look at nothing takes
# nothing. This is the case that the six lines of section 4 lack.

# %% [markdown] id="mixed" concepts=["C15"]
# ### Mix up the two conventions
#
# The same call as in section 4, but the mask is handed over as it is. **Look at** which cells are 0 now.

# %% id="mixed-shown" concepts=["C15"]
_, mixed = mha(tokens, tokens, tokens, attn_mask=causal)  # True blocks here
print(mixed[0].detach())

# %% [markdown] id="mixed-seen" concepts=["C15"]
# Exactly the forbidden cells are used: every token sees the future and nothing else, and the last, which has no future, is
# NaN. The opposite mix-up, a blocking mask where `True` allows, uses the same cells, and the operator fills the last row with
# zeros. No exception anywhere; editing a token, as in section 5, finds it.

# %% [markdown] id="cost" concepts=["C17"] documents=["004 §1", "004 §2.1", "004 §3.1", "004 §3.3", "001 §5"] errata=["E101", "E109", "E063"]
# ### “Efficient on long sequences”
#
# Document 004 says in seven places that attention makes long sequences cheap, and that it was introduced for that (E101, E109).
# It was introduced for *quality*: no more squeezing a sentence into one vector (Bahdanau et al. 2015). What does it cost?

# %% id="predict-memory" concepts=["C17"] jupyter={"source_hidden": true} cellView="form"
# @title Predict first (the answer is in here)
predict_number(
    "A text of <b>4,096 tokens</b>, one layer, <b>8 heads</b>, weights in float32 (4 bytes). How much memory do the attention "
    "weights of this one text take, if they are all kept?",
    512,
    "8 · 4,096 · 4,096 · 4 bytes = 512 MiB, in every layer. Twice the tokens: 2 GiB.",
    within=60,
    unit="MiB",
)

# %% id="cost-table" concepts=["C17"] errata=["E101", "E109", "E063"] documents=["004 §1", "004 §3.1"]
from torch.utils.flop_counter import FlopCounterMode


def flops(compute, *tensors):
    with FlopCounterMode(display=False) as counter:
        compute(*tensors)
    return counter.get_total_flops()


d, table = 64, {}
print("    n   attention: QKᵀ and AV      recurrent layer     weights of 8 heads")
for n in (16, 64, 256, 1024, 4096):
    x_n = torch.empty(n, d, device="meta")  # a shape only: counted, not computed
    w = torch.empty(d, d, device="meta")
    attending = flops(lambda x: (x @ x.T) @ x, x_n)
    recurrent = n * flops(lambda x, w: (x @ w, x @ w), x_n[:1], w)  # two products a step, n steps
    table[n] = attending, recurrent
    print(f"{n:5}  {attending / 1e6:15.2f} MFLOP  {recurrent / 1e6:15.2f} MFLOP  {8 * n * n * 4 / 2**20:14.2f} MiB")
assert table[1024][0] == 16 * table[256][0] and table[1024][1] == 4 * table[256][1] and table[64][0] == table[64][1]

# %% [markdown] id="cost-seen" concepts=["C17"] errata=["E101", "E109", "E063"]
# Four times as long costs attention **sixteen** times as much ($4n^2d$ operations), and a recurrent layer four times ($4nd^2$). Up to
# $n = d$ attention is the cheaper one, honestly; beyond, it is not. What it gains: all positions are computed **at once** in
# training, and any two tokens are **one step** apart. Its real limits on long texts are this square, and lengths that it was
# not trained on. (Vaswani et al. 2017, §4, table 1.) Chapter 16 has the remedies.

# %% [markdown] id="maps" concepts=["C11"]
# ### Read too much into a map
#
# A map shows where a query *looked*, not what it *took*. Which of these two tokens makes the output?

# %% id="maps-shown" concepts=["C11"]
looked = torch.tensor([0.8, 0.2])
given = torch.tensor([[0.1, 0.0], [4.0, -3.0]])  # the values
taken = looked[:, None] * given
print("looked:", looked, "  length of what was taken:", taken.norm(dim=-1))

# %% [markdown] id="maps-seen" concepts=["C11"]
# The token with weight 0.8 gives next to nothing. In deeper layers there is more: a “token” is already a mixture of others,
# heads and residual paths add to it, and quite different maps can lead to the same prediction (Jain & Wallace 2019, *Attention is
# not Explanation*; the reply by Wiegreffe & Pinter 2019; Kobayashi et al. 2020 on the length of what is taken). A map is a
# good question to ask a model, not its answer. Chapter 11 goes on from here.

# %% [markdown] id="documents" concepts=["C11", "C12"] documents=["000 §2.1", "000 §4.1", "004 §4.1", "004 §4.2"] errata=["E002", "E022", "E121", "E045"]
# ## 7. What the documents say, and what is true
#
# ### Scores, weights, output: three different things
#
# - 000, §2.1 (E002): the *sums of the weights* are used for the output. Every such sum is 1; it is the values that are summed.
# - 000, §4.1 (E022): the formula gives the attention *score*. It gives the output.
# - 004, §4.1 (E121): $A = QK^\top/\sqrt{d_k} = \mathrm{Attention}(Q,K,V)$, “the weights”. No softmax, no $V$, and three things set equal.

# %% id="three-things" concepts=["C11", "C12"] errata=["E002", "E022", "E121"] documents=["000 §2.1", "000 §4.1", "004 §4.1"]
torch.manual_seed(0)
Q, K, V = torch.randn(4, 8), torch.randn(4, 8), torch.randn(4, 6)
S = Q @ K.T / math.sqrt(8)
A = S.softmax(-1)
Z = F.scaled_dot_product_attention(Q[None], K[None], V[None])[0]
print(f"scores  {list(S.shape)}  row sums {S.sum(-1)}  smallest {S.min():.2f}")
print(f"weights {list(A.shape)}  row sums {A.sum(-1)}  smallest {A.min():.2f}")
print(f"output  {list(Z.shape)}  |AV - output| {(A @ V - Z).abs().max():.0e}   |SV - output| {(S @ V - Z).abs().max():.2f}")

# %% [markdown] id="sum-of-scores" concepts=["C11"] documents=["001 §3.1", "001 §3.2"] errata=["E045"]
# 001, §3.1 and §3.2, step 3 (E045): divide by the sum of the *scores*. Scores can be negative, and can sum to 0.

# %% id="sum-of-scores-shown" concepts=["C11"] errata=["E045"] documents=["001 §3.1"]
for s in (torch.tensor([2.0, -1.0, 0.5]), torch.tensor([2.0, -1.0, -1.0])):
    print("scores:               ", s)
    print("divided by their sum: ", s / s.sum())
    print("softmax:              ", s.softmax(-1))

# %% [markdown] id="added" concepts=["C10", "C11"] documents=["000 §3.1", "000 §3.2"] errata=["E011", "E012"]
# ### Nothing is added to Q, K, V, and nothing is concatenated
#
# 000, §3.1 and §3.2, steps 3 and 4: the weights are added into queries, keys and values (E011), which are then concatenated
# (E012). Weights are `[T, T]` and *multiply* the values. And a concatenation, token by token, would let no token learn of another:

# %% id="added-shown" concepts=["C10", "C11"] errata=["E011", "E012"] documents=["000 §3.1", "000 §3.2"]
try:
    A + Q
except RuntimeError as error:
    print("A + Q:", error)

edited = x.clone()
edited[3] += 10
concatenated = [torch.cat([to_query(t), to_key(t), to_value(t)], dim=-1) for t in (x, edited)]
attended = [look(t, t) for t in (x, edited)]
for name, (before, after) in {"concatenation": concatenated, "attention": attended}.items():
    print(f"edit token 3: by {name}, token 0 changes by {(after[0] - before[0]).abs().max():.2f}")

# %% [markdown] id="activation" concepts=["C10", "C12"] documents=["004 §3.2", "004 §4.2"] errata=["E111"]
# 004, §3.2, steps 2, 4, 6, 7 (E111): weights and embeddings go through a linear map *and an activation*. Linear maps there are,
# before and after; the only non-linearity is the softmax. Rebuilt without an activation, PyTorch’s module is met; with one it is not:

# %% id="activation-shown" concepts=["C10", "C12"] errata=["E111"] documents=["004 §3.2"]
w_q, w_k, w_v = mha.in_proj_weight.chunk(3)  # the three projections, stacked in one parameter; the biases are 0
expected = mha(tokens, tokens, tokens)[0]
linear = mha.out_proj(attend(tokens @ w_q.T, tokens @ w_k.T, tokens @ w_v.T))
activated = mha.out_proj(attend(tokens @ w_q.T, tokens @ w_k.T, torch.relu(tokens @ w_v.T)))
print(f"off by {(linear - expected).abs().max():.0e} with linear maps and softmax")
print(f"off by {(activated - expected).abs().max():.2f} with a ReLU on the values")

# %% [markdown] id="one-vector" concepts=["C11", "C13"] documents=["004 §3.1", "004 §4.1", "004 §4.2"] errata=["E107", "E122"]
# ### One vector for each token, not one for the sentence
#
# 004, §3.1 (E107): each element gets one weight, and the weighted sum is *one vector* $Z$ for the sequence; §4.1 writes it as
# $Z = \sum_i A_i V_i$ (E122). That is *pooling*, with a single query. Self-attention has a row of weights **for each** query:
# $z_i = \sum_j A_{ij} v_j$.

# %% id="one-vector-shown" concepts=["C11", "C13"] errata=["E107", "E122"] documents=["004 §3.1", "004 §4.1"]
pooled = torch.randn(4).softmax(0) @ V  # one weight for each token
print("pooling:", list(pooled.shape), "  self-attention:", list((A @ V).shape))
try:
    sum(A[i] * V[i] for i in range(4))  # the formula to the letter
except RuntimeError as error:
    print("Σ A_i V_i:", error)

# %% [markdown] id="who-sees-whom" concepts=["C13"] documents=["000 §2.5", "003 §2", "003 §3", "004 §3.1"] errata=["E008", "E083", "E108"]
# ### Who attends to whom
#
# - 000, §2.5 (E008): self-attention attends only to the *same* position. Then it would return the values untouched.
# - 003, §2, §3 (E083): it relates different input *sequences*. Sentences of a batch must not touch each other.
# - 004, §3.1 (E108): each element with the *other* elements. Its own position is included.

# %% id="who-sees-whom-shown" concepts=["C13"] errata=["E008", "E083", "E108"] documents=["000 §2.5", "003 §2", "001 §2.2"]
own = attention.scaled_dot_product_attention(Q, K, V, torch.eye(4, dtype=torch.bool))
print("only the same position: the output is V itself:", torch.equal(own, V))

batch = torch.randn(2, 5, d_model)
other = batch.clone()
other[1] += 1  # the second sentence changes …
print("… the first one’s output changes by", (look(other, other)[0] - look(batch, batch)[0]).abs().max().item())
print("the diagonal, each token to itself:", A.diagonal())

# %% [markdown] id="decoder" concepts=["C14", "C15"] documents=["004 §3.2", "004 §4.1"] errata=["E112", "E113"]
# ### The decoder’s two attentions
#
# 004, §3.2, step 4 (E112): the decoder’s *self*-attention combines its weights with the encoder’s output. That is the job of the
# *cross*-attention. Take a decoder layer of the course (chapter 07 builds it), change the encoder’s output, and look at both:

# %% id="decoder-shown" concepts=["C14"] errata=["E112"] documents=["004 §3.2"]
from course_lib.blocks import DecoderLayer
from course_lib.recording import record_attention

torch.manual_seed(0)
layer = DecoderLayer(d_model=8, n_heads=2, d_ff=16)
written, source = torch.randn(1, 4, 8), torch.randn(1, 6, 8)
with record_attention(layer) as maps:
    layer(written, source)
    layer(written, torch.randn(1, 6, 8))
for name, (before, after) in maps.calls.items():
    print(f"{name:16} weights {list(before.shape)}, changed by up to {(after - before).abs().max():.2f}")

# %% [markdown] id="contradictions" concepts=["C12", "C13", "C17"] documents=["000 §2.5", "001 §2.2", "001 §6 Q5", "004 §3.1"]
# ### Where the documents contradict each other
#
# | question | one says | another says | decided by |
# |---|---|---|---|
# | What does self-attention look at? | 000, §2.5: the same position | 001, §2.2, and 004, §2.1: all positions | section 5, edit a token: **all** |
# | What does the formula give? | 000, §4.1: scores; 004, §4.1: weights | 001, 002, 003: the result | the cell on scores, weights, output: **the result** |
# | Are long sequences cheap? | 004, seven times: yes | 001, §6 Q5, and 000, §6: expensive | the cost table: **expensive** |

# %% [markdown] id="in-a-line" documents=["000 §4.1", "001 §3.1", "002 §3", "003 §3", "003 §4", "004 §2.1"] errata=["E023", "E047", "E063", "E071", "E077", "E085", "E087", "E102", "E103", "E108"]
# ### And in a line each
#
# | | said | better |
# |---|---|---|
# | E023 | 000: Q, K, V are vectors | matrices: one row for each token |
# | E047 | 001: $d_k$ is the dimension of the key *matrix* | the length of *one* key |
# | E071 | 002 calls one thing self-attention and attention | attention is the operation; *self* when Q, K, V come from one sequence |
# | E077 | 002, 003: K is 密钥, a cryptographic key | 键, as in key and value |
# | E085 | 003 announces steps and gives none | project, score, scale, mask, softmax, blend, project |
# | E087 | 003: a dot product with the value matrix | a matrix product: a weighted sum of its rows |
# | E102 | 004: self-attention works top-down | all positions alike, all at once |
# | E103 | 004: self-attention and the Transformer are two versions of attention | one is an operation, the other a model that contains it |
# | E063 | 001: long-range dependencies are an open challenge | one step apart in attention; the trouble is $n^2$ and untrained lengths |

# %% [markdown] id="faq-long-range" concepts=["C07", "C13"] documents=["000 App. Q1", "001 §6 Q2"]
# ## 8. The documents’ questions, answered
#
# **Why can the Transformer capture long-range dependencies?** (000, App. Q1; 001, §6 Q2.) Because any two positions are one
# step apart: the score of *it* with *cat* is computed directly, whatever stands between, so that neither the signal nor
# its gradient has to survive a chain of $n$ steps as in a recurrent network. That makes long-range dependencies *learnable*;
# it does not make them learned. And the model needs position information (chapter 04) to know that something is far away.

# %% [markdown] id="faq-limits" concepts=["C17", "C70", "C75"] documents=["001 §6 Q5"]
# **What limits Transformers in practice?** (001, §6 Q5.) Attention costs $n^2$ in time, and in memory where the weights are
# kept; a trained model degrades on texts longer than any it has seen; training needs much data and computing, unless you
# start from a pretrained model (chapter 14); and a map of weights is no explanation (section 6, and chapter 11).

# %% [markdown] id="faq-long" concepts=["C17"] documents=["004 §9 Q2"] errata=["E109"]
# **How do Transformers process long sequences?** (004, §9 Q2.) All positions at once, with any two of them connected, at a price
# that grows with the *square* of the length: the answer printed there, that attention avoids the cost of recurrent
# networks, is wrong beyond $n = d$ (E109). In practice: exact attention that never stores the $n^2$ weights (FlashAttention, Dao et al.
# 2022), windows, and linear approximations (Tay et al. 2022, a survey). Chapter 16 measures them.

# %% [markdown] id="faq-efficiency" concepts=["C17", "C63"] documents=["004 §9 Q4"] errata=["E157"]
# **How can a Transformer be made more efficient?** (004, §9 Q4; its answer is that of Q2 copied, E157.) Fused attention such
# as PyTorch’s `F.scaled_dot_product_attention`; lower precision; batches of equal lengths; pruning, distillation and quantisation; sparse or
# linear attention; and, when writing word by word, keeping keys and values of earlier words. The last one changes no result,
# thanks to the causal mask:

# %% id="cache" concepts=["C15", "C17"] errata=["E157"] documents=["004 §9 Q4"]
q, k, v = to_query(x), to_key(x), to_value(x)
at_once = attend(q, k, v, masks.causal_mask(5))
# The newest query, with all keys and values so far:
step_by_step = torch.cat([attend(q[t : t + 1], k[: t + 1], v[: t + 1]) for t in range(5)])
torch.testing.assert_close(step_by_step, at_once)
print("one query at a time, keys kept = the whole sequence at once, causal mask")

# %% [markdown] id="exercises"
# ## 9. Exercises
#
# Write each function in its cell, run it, then run the `check` below it: it answers at once, says which value differs, and
# names the misunderstanding where it knows it. `hint("softmax")` helps, if you are stuck. What passes is kept, and later
# chapters build their models from it. In all exercises of the course arguments stay as they were, and results keep the
# dtype of the inputs.

# %% id="check-import"
from course_lib.workshop import check, hint, my_parts, quiz

# %% exercise="softmax"

# %% exercise="causal_mask"

# %% exercise="padding_mask"

# %% exercise="scaled_dot_product_attention"

# %% exercise="spot_the_bug_03"

# %% [markdown] id="quiz-intro"
# ### Quiz
#
# Every wrong option has its reason; try the one you believe in first.

# %% quiz="03"

# %% [markdown] id="recap" concepts=["C10", "C11", "C12", "C13", "C14", "C15", "C17"]
# ## 10. Recap
#
# - Attention is a soft lookup: $\mathrm{softmax}(QK^\top/\sqrt{d_k})V$. Scores are compared, weights are shares, outputs are blends.
# - Rows are queries, columns are keys; the softmax runs along the keys, so every row sums to 1.
# - $\mathrm{Var}(q \cdot k) = d_k$, hence the $\sqrt{d_k}$: without it the softmax saturates and learning stalls.
# - Self- and cross-attention are one function; only the sequence that is asked differs.
# - Masks are `True` where attending is allowed, and act before the softmax. PyTorch has both conventions.
# - Any two tokens are one step apart, and the price is $n^2$. Order is not seen at all: that is chapter 04.
#
# **Read the code:** `course_lib/attention.py`, `course_lib/masks.py`, `course_lib/recording.py`. **Papers:** Vaswani et al. 2017, *Attention
# Is All You Need*, §3.2; Bahdanau, Cho & Bengio 2015, *Neural Machine Translation by Jointly Learning to Align and
# Translate*; Jain & Wallace 2019, *Attention is not Explanation*.
#
# **Next:** [chapter 04](04_position.ipynb) gives the tokens a position. Which parts of the model are yours by now?

# %% id="my-parts"
my_parts()
