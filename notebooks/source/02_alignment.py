# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown] id="title" documents=["001 §1.3", "004 §2.1", "004 §3.1"]
# # 02 · Attention is alignment
#
# In 2014 a recurrent translator did badly on long sentences, until Bahdanau, Cho and Bengio let it look back at what it had
# read. This chapter is about that idea, three years before the Transformer. At the end you can
#
# - say what an encoder-decoder squeezes through one vector, and measure what gets lost;
# - compute additive attention by hand: scores, weights, context;
# - write it for a batch with padding, and put it between an encoder and a decoder;
# - read an alignment, and say what it does *not* tell;
# - compare additive scores with dot products, and say what each costs.
#
# **Time:** about 50 minutes, and another 45 for the exercises. **You need:** chapter 01, or a rough idea of what a recurrent
# network does. Numbers such as E106 name mistakes of the documents that this course is built on.

# %% id="imports"
import torch

from course_lib import additive, letters
from course_lib.additive import AttentionSeq2Seq
from course_lib.recording import record_attention
from course_lib.recurrent import BottleneckSeq2Seq, GRUEncoder
from course_lib.views import (
    alignment_stepper,
    bottleneck_explorer,
    predict,
    predict_number,
)

torch.set_printoptions(precision=3, sci_mode=False)

# %% [markdown] id="question" concepts=["C05"] documents=["004 §3.1"]
# ## 1. The question
#
# Read this once, look away, and spell it backwards: **planet**. Now this one: **kwqzhxtrbmay**.
#
# The first is easy, the second is not, and longer would be worse. Your short-term memory has a fixed size; a word does not. A
# recurrent encoder-decoder (chapter 01) is in the same position: it reads everything, *then* it writes, and what passes
# from one to the other is **one vector** of, say, 48 numbers. **What if it were allowed to look at the page again
# while it writes? And how does it know where to look?**

# %% id="sizes" concepts=["C05"] errata=["E106"] documents=["004 §3.1"]
torch.manual_seed(0)
encoder = GRUEncoder(letters.VOCAB_SIZE, 48)
for length in (5, 50):
    states, last = encoder(letters.random_words(1, length, torch.Generator().manual_seed(0)))
    print(f"{length:2} letters: one vector {last.numel()} numbers, all states {states.numel():4}  {list(states.shape)}")

# %% [markdown] id="sizes-seen" concepts=["C05"]
# The encoder has a state after *every* letter; a translator with a bottleneck keeps the last and throws the others away.
# Attention keeps them all: what it can look at grows with the word.

# %% [markdown] id="predict"
# ## 2. Predict
#
# Commit before you know. (The code of these cells is folded away, because the answers are in it.)

# %% id="predict-scores" concepts=["C06"] jupyter={"source_hidden": true} cellView="form"
# @title Predict first (the answer is in here)
predict_number(
    "A sentence of <b>6</b> words is translated into <b>8</b>. Before each word that it writes, the decoder compares its state "
    "with every word that was read. How many comparisons are that?",
    48,
    "8 · 6 = 48: a table with one row for each output word and one column for each input word. That table is the alignment.",
)

# %% id="predict-where" concepts=["C06", "C11"] jupyter={"source_hidden": true} cellView="form"
# @title Predict first (the answer is in here)
predict(
    "A trained model reads <b>p l a n e t</b> from left to right and writes it backwards. It has written <b>t e</b>; next comes "
    "<b>n</b>. The encoder has a state after each letter. Which of them will get most of the weight?",
    [
        "the state after n",
        "the state after e",
        "the state after a",
        "all the same",
    ],
    "the state after e",
    "The obvious answer is n. You will watch the model in section 5; section 6 shows why it reads the state after e.",
)

# %% [markdown] id="by-hand" concepts=["C06", "C10"] documents=["001 §1.3"] errata=["E039"]
# ## 3. By hand
#
# ### Three equations
#
# Before it writes word $i$, the decoder is in the state $s_{i-1}$. The encoder has left the states $h_1, \dots, h_n$.
#
# | | | |
# |---|---|---|
# | score | $e_{ij} = v^\top \tanh(W_q\, s_{i-1} + W_k\, h_j)$ | how well does $h_j$ fit what comes next? |
# | weight | $\alpha_{ij} = e^{e_{ij}} / \sum_k e^{e_{ik}}$ | the same as shares of 1 |
# | context | $c_i = \sum_j \alpha_{ij} h_j$ | what the decoder takes along |
#
# (Bahdanau, Cho & Bengio 2015, §3.1 and §A.1.2; their $W_a, U_a, v_a$ are our $W_q, W_k, v$. Document 001, §1.3, dates it
# 2015 (E039): that is the conference, ICLR; the preprint is of September 2014.) In today’s words $s_{i-1}$ is the **query**,
# the $W_k h_j$ are the **keys**, and the $h_j$ themselves are the **values**.

# %% [markdown] id="numbers" concepts=["C06"]
# Two features, three encoder states, and to keep it short $W_q = W_k = I$ (they change nothing):
#
# $$s = \binom{1}{0}, \quad h_1 = \binom{1}{0},\; h_2 = \binom{-1}{1},\; h_3 = \binom{0}{-1}, \quad v = \binom{2}{-1}$$
#
# | | $s + h_j$ | tanh of it | score $e_j = 2\,\cdot$ first $-\,1\,\cdot$ second |
# |---|---|---|---|
# | $h_1$ | (2, 0) | (0.964, 0) | 1.928 |
# | $h_2$ | (0, 1) | (0, 0.762) | −0.762 |
# | $h_3$ | (1, −1) | (0.762, −0.762) | 2.285 |
#
# Exponentials: 6.876, 0.467, 9.824; sum 17.167. Weights: **0.401, 0.027, 0.572**. Context: $0.401\,h_1 + 0.027\,h_2 + 0.572\,h_3 =
# (0.373, -0.545)$.

# %% id="numbers-confirmed" concepts=["C06", "C11"]
s = torch.tensor([1.0, 0.0])
h = torch.tensor([[1.0, 0.0], [-1.0, 1.0], [0.0, -1.0]])  # [Tk, D] = [3, 2]
v = torch.tensor([2.0, -1.0])
eye = torch.eye(2)

scores = torch.tanh(s @ eye + h @ eye) @ v  # [3]
weights = scores.exp() / scores.exp().sum()
context = weights @ h  # [2]
print("scores ", scores, "\nweights", weights, "\ncontext", context)
torch.testing.assert_close(context, torch.tensor([0.373, -0.545]), atol=1e-3, rtol=0)

# %% [markdown] id="hidden-by-hand" concepts=["C11"]
# ### What may not be seen
#
# Suppose the third state belongs to **padding**: the sentence had two words, and was filled up. Then it must get nothing, and the
# others share the 1: $6.876 / (6.876 + 0.467) = 0.936$ and $0.064$. A weight set to 0 *afterwards* would leave a row that sums to
# 0.43. So a hidden score is made lower than all others **before** the softmax: $e^{-\infty} = 0$.
#
# And where **nothing** may be seen, there is nothing to share: zeros. There $-\infty$ is a trap, since $0/0$ is NaN. The library takes the
# lowest finite number, `torch.finfo(scores.dtype).min`, and sets the hidden weights to 0 after the softmax as well.

# %% id="hidden-confirmed" concepts=["C11"]
two_words = torch.tensor([[True, True, False]])  # True = may attend
nobody = torch.tensor([[False, False, False]])
for name, mask in (("two words", two_words), ("nobody   ", nobody)):
    with_infinity = scores[None].masked_fill(~mask, -torch.inf).softmax(-1)
    print(name, "−∞, then softmax:", with_infinity[0])
    print(name, "the library:     ", additive.masked_softmax(scores[None], mask)[0])

# %% [markdown] id="build" concepts=["C06"]
# ## 4. Build it
#
# ### The same in six lines
#
# Now for a batch of sentences, each with a query of its own, and with widths that all differ. In code vectors are rows: $W_q\,s$
# becomes `s @ w_q`. **Look at** the shapes: the query gets an axis of length 1, so that it is added to every key of its sentence.

# %% id="toy" concepts=["C06", "C10", "C11"]
def attend(query, keys, w_q, w_k, v):
    asked = (query @ w_q)[:, None]  # [B, Dq] -> [B, 1, Da]
    found = keys @ w_k  # [B, Tk, Dk] -> [B, Tk, Da]
    scores = torch.tanh(asked + found) @ v  # [B, Tk]
    weights = scores.softmax(dim=-1)  # [B, Tk], rows sum to 1
    return (weights[:, None] @ keys)[:, 0]  # [B, 1, Tk] @ [B, Tk, Dk] -> [B, Dk]


torch.testing.assert_close(attend(s[None], h[None], eye, eye, v)[0], context)

# %% [markdown] id="real" concepts=["C06", "C10"]
# The library has the parts apart (`additive.additive_scores`, `additive.masked_softmax`), and a module that owns the three weights. Do
# they agree?

# %% id="real-agrees" concepts=["C06", "C10"]
# In this chapter: additive.masked_softmax, not `from … import masked_softmax`. The short names are yours, for the exercises.
torch.manual_seed(1)
real = additive.AdditiveAttention(d_query=4, d_keys=6, d_attention=7)
query, keys = torch.randn(2, 4), torch.randn(2, 5, 6)  # [B, Dq], [B, Tk, Dk]
torch.testing.assert_close(real(query, keys), attend(query, keys, real.w_q, real.w_k, real.v))
print("the module and the six lines agree; context", list(real(query, keys).shape), "= [B, Dk]")

# %% [markdown] id="decoder" concepts=["C05", "C06"] documents=["001 §1.3"]
# ### In the decoder
#
# One round for every token that is written (`course_lib.additive.AttentionDecoder`):
#
# 1. the state $s_{i-1}$ asks: scores, weights $\alpha_i$, context $c_i$;
# 2. the recurrent cell reads the last token and the context: $s_i = \mathrm{GRU}([e(y_{i-1}); c_i],\, s_{i-1})$;
# 3. a linear map of $[s_i; c_i; e(y_{i-1})]$ gives the logits of the next token.
#
# The order matters: the query is the state *before* the step. (Luong et al. 2015 ask with the state *after* it.) The keys $W_k h_j$ do
# not change from step to step, so they are computed once. Nobody says which word belongs to which: gradients run through the
# softmax, and the weights are learned from the translations alone.

# %% id="decoder-shapes" concepts=["C05", "C06"] errata=["E119"] documents=["004 §4.1"]
torch.manual_seed(0)
model = AttentionSeq2Seq(source_vocab=10, target_vocab=12, d_model=8)
source = torch.tensor([[3, 5, 7, 4, 2]])  # [B, Ts] = [1, 5]
target_in = torch.tensor([[1, 6, 4, 9, 8, 3, 11]])  # [B, Tt] = [1, 7]
with record_attention(model) as maps:
    logits = model(source, target_in)
alignment = maps["decoder.cross_attention"]
print("logits   ", list(logits.shape), "= [B, Tt, V]")
print("alignment", list(alignment.shape), "= [B, 1, Tt, Ts]; each of its rows sums to 1")
torch.testing.assert_close(alignment.sum(-1), torch.ones(1, 1, 7))

# %% [markdown] id="lengths" concepts=["C05"] errata=["E119"] documents=["004 §4.1"]
# Five tokens in, seven out: document 004, §4.1, gives input and output the same length $t$ (E119), but an encoder-decoder is there
# just because they differ.

# %% [markdown] id="experiment" concepts=["C05", "C06"] documents=["004 §3.1"]
# ### Does it help? An experiment that decides
#
# **Task:** read a random word, write it backwards. 26 letters, so guessing is right once in 26 times (4%). Two models: one passes *one vector*
# of width 48, the other has attention and width 32, so it is the smaller one. Both see 400 batches of 64 words of 2 to 12
# letters, with three different seeds. We count letters that are right, the right letters before them given.
#
# **Expectation, before running:** on short words both are good. With length the bottleneck loses letters; attention
# loses few up to 12, and some beyond, on lengths that it has never seen. (About 15 seconds on two cores.)

# %% id="experiment-run" concepts=["C05", "C06"] errata=["E106"] documents=["004 §3.1"]
lengths = (4, 6, 8, 10, 12, 14, 16, 20)
models, measured = {}, {"one vector": [], "attention": []}
for seed in range(3):
    for name, kind, width in (("one vector", BottleneckSeq2Seq, 48), ("attention", AttentionSeq2Seq, 32)):
        torch.manual_seed(seed)
        model = kind(letters.VOCAB_SIZE, letters.VOCAB_SIZE, width)
        models[name] = letters.train(model, letters.reverse, longest=12, steps=400, seed=seed)
        measured[name].append(letters.accuracy(model, lengths))

for name, model in models.items():
    print(f"{name:10} trained three times, {sum(p.numel() for p in model.parameters()):,} parameters")

# %% [markdown] id="move" concepts=["C05"]
# ## 5. Move it
#
# ### The bottleneck
#
# What came of it? Commit first; then the curves appear, and both models of the last seed are yours to try: now each writes by
# itself, letter by letter. **Try** *planet*, then your own name, then a word of 16 letters. **Look at** *which* letters are
# wrong (they are underlined): what does the model with one vector still know best?

# %% id="bottleneck" concepts=["C05", "C06"] errata=["E106"]
bottleneck_explorer(models, measured, trained_to=12, word="planet")

# %% [markdown] id="experiment-table" concepts=["C05", "C06"] documents=["004 §3.1"]
# All runs, one line for each seed, and what decides:

# %% id="experiment-decided" concepts=["C05", "C06"] errata=["E106"] documents=["004 §3.1"]
print("letters in the word ", *(f"{n:5}" for n in lengths))
for name, runs in measured.items():
    for seed, run in enumerate(runs):
        print(f"{name:11} seed {seed}  ", *(f"{share:5.0%}" for share in run.values()))
for n in (8, 12):
    worst_with = min(run[n] for run in measured["attention"])
    best_without = max(run[n] for run in measured["one vector"])
    print(f"{n} letters: the worst run with attention {worst_with:.0%}, the best run without {best_without:.0%}")
    assert worst_with > best_without + 0.1
assert worst_with > 0.8 and best_without < 0.65 and all(run[20] < run[12] for run in measured["attention"])

# %% [markdown] id="experiment-seen" concepts=["C05", "C06"]
# As expected, and in every run: at 8 and at 12 letters the *worst* run with attention is better than the *best* one without, though it has
# fewer parameters. Beyond 12 letters attention loses, too, on lengths that it was never shown. And be careful with the word
# *cannot*: a wider vector, trained longer, holds more letters (try it). But its width is fixed, and words are not.

# %% [markdown] id="alignment-intro" concepts=["C06", "C11"] documents=["001 §1.3"]
# ### The alignment, letter by letter
#
# `record_attention` collects the weights. **Step through** what the model writes, and guess before each letter where it will look:
# click a column. Dashed frames show where the letter itself stood, the anti-diagonal. Find the rule before you read on.

# %% id="alignment" concepts=["C06", "C11"] errata=["E039"]
reader = models["attention"]
word = "planet"  # try your own
source = letters.to_ids(word)[None]  # [1, Ts]
with record_attention(reader) as maps, torch.inference_mode():
    reader(source, letters.shifted(letters.reverse(source)))
alignment = maps["decoder.cross_attention"]  # [1, 1, Tt, Ts]

antidiagonal = [(len(word) - 1 - i, i) for i in range(len(word))]  # (source, target)
alignment_stepper(alignment, word, word[::-1], gold=antidiagonal)

# %% [markdown] id="alignment-seen" concepts=["C06"]
# Rows of weights, sharp, in the right order, though nobody told the model where to look. Yet they lie *one beside* the
# anti-diagonal: to write *n* it reads the state after *e*. Is something broken?

# %% [markdown] id="break" concepts=["C06"]
# ## 6. Break it
#
# ### A weight lies on a state, not on a letter
#
# The state after *e* is not “e”. It has just read **n and e**. And the decoder, which wrote *e* a moment ago, knows one thing to look
# for: *e*. So it finds the state by the letter that it knows, and reads off the letter beside it. If that is so, then
#
# 1. for an encoder that reads from *right to left* the state that has just read both is the one after *n*, and the weights should lie
#    **on** the letter. Reading from right to left and writing backwards is the same as reading as usual and **copying**;
# 2. a letter that stands in the word *twice* should lead it astray.

# %% id="offset" concepts=["C06", "C11"]
torch.manual_seed(0)
copier = AttentionSeq2Seq(letters.VOCAB_SIZE, letters.VOCAB_SIZE, 32)
letters.train(copier, letters.copy, longest=12, steps=400, seed=0)

words = letters.random_words(200, 10, torch.Generator().manual_seed(2))
shares = {}
for model, task, place in ((reader, letters.reverse, torch.arange(9, -1, -1)), (copier, letters.copy, torch.arange(10))):
    with record_attention(model) as maps, torch.inference_mode():
        model(words, letters.shifted(task(words)))
    found = maps["decoder.cross_attention"][:, 0].argmax(-1)  # [B, Tt]: where the largest weight lies
    shares[task.__name__] = [(found - place == offset).float().mean().item() for offset in (0, 1)]
    on, after = shares[task.__name__]
    print(f"{task.__name__:8} largest weight on the letter itself {on:4.0%}, on the next one in the word {after:4.0%}")
assert shares["reverse"][1] > 0.6 > shares["reverse"][0] and shares["copy"][0] > 0.6

# %% id="repeated" concepts=["C06"]
generator = torch.Generator().manual_seed(4)
by_alphabet = {}
for size in (26, 10, 5):
    words = letters.FIRST + torch.randint(size, (300, 12), generator=generator)  # 12 letters out of the first `size`
    with torch.inference_mode():
        guesses = reader(words, letters.shifted(letters.reverse(words))).argmax(-1)
    by_alphabet[size] = (guesses == letters.reverse(words)).float().mean().item()
    print(f"12 letters out of {size:2}: {by_alphabet[size]:.0%} right")
assert by_alphabet[5] < by_alphabet[26] - 0.1

# %% [markdown] id="soft" concepts=["C06", "C11"]
# Both came true. So what is a soft alignment?
#
# | it is | it is not |
# |---|---|
# | a row of shares of 1 for each output token | a choice: *hard* alignment takes one place, and has no gradient |
# | learned from the task alone | a word alignment that somebody gave, or checked |
# | a statement about encoder *states* | a statement about single words: a state holds its neighbours, too |
# | what was looked at | proof of what was used |
#
# Bahdanau’s encoder reads in both directions and joins the two states (§3.2), so that $h_j$ lies around word $j$. The last line of the table,
# in numbers: how much weight lies on the first letter of a word while *this very letter* is written?

# %% id="not-proof" concepts=["C06"]
words = letters.random_words(300, 6, torch.Generator().manual_seed(5))
target = letters.reverse(words)
with record_attention(reader) as maps, torch.inference_mode():
    guesses = reader(words, letters.shifted(target)).argmax(-1)
weight = maps["decoder.cross_attention"][:, 0, -1, 0].mean().item()  # last row, first column
right = (guesses == target)[:, -1].float().mean().item()
print(f"weight on the first letter {weight:.2f}; it is written correctly in {right:.0%} of the words")
assert weight < 0.35 and right > 0.8

# %% [markdown] id="not-proof-seen" concepts=["C06"]
# Hardly any weight, and nearly always right: the letter came through the state beside it. Who concludes from the map that the
# model did not need this letter is wrong.

# %% [markdown] id="no-tanh" concepts=["C06"]
# ### Leave out the tanh
#
# Without it $e_{ij} = v^\top W_q s_{i-1} + v^\top W_k h_j$. The first term is the same for all $j$, and a softmax does not notice a number that is
# added to all scores. So the weights no longer depend on *who asks*:

# %% id="no-tanh-shown" concepts=["C06", "C11"]
torch.manual_seed(2)
keys, w_q, w_k, v_3 = torch.randn(1, 4, 6), torch.randn(5, 3), torch.randn(6, 3), torch.randn(3)
for name, bend in (("with tanh", torch.tanh), ("without  ", lambda x: x)):
    rows = [(bend((torch.randn(1, 5) @ w_q)[:, None] + keys @ w_k) @ v_3).softmax(-1) for _ in range(2)]
    print(name, *rows)
torch.testing.assert_close(*rows)  # two queries, the same weights

# %% [markdown] id="padding" concepts=["C11"]
# ### Forget the mask
#
# The same sentence of two words alone, and in a batch in which it was filled up to four and to forty. Padded states are zeros here; they are
# not asked for their opinion, and they get weight nevertheless:

# %% id="padding-shown" concepts=["C11"]
torch.manual_seed(3)
module = additive.AdditiveAttention(4, 6, 7)
query, sentence = torch.randn(1, 4), torch.randn(1, 2, 6)
for length in (2, 4, 40):
    padded = torch.cat([sentence, torch.zeros(1, length - 2, 6)], dim=1)
    keep = torch.arange(length)[None] < 2
    without, with_mask = module(query, padded), module(query, padded, keep)
    print(f"filled up to {length:2}: |context| {without.norm().item():.3f} without a mask, {with_mask.norm().item():.3f} with")
torch.testing.assert_close(with_mask, module(query, sentence))

# %% [markdown] id="dot" concepts=["C06", "C10", "C11"]
# ### Additive scores against dot products
#
# | | score | needs | parameters |
# |---|---|---|---|
# | additive (Bahdanau et al. 2015) | $v^\top \tanh(W_q s + W_k h)$ | any widths | $D_q D_a + D_k D_a + D_a$ |
# | dot (Luong et al. 2015, §3.1) | $s^\top h$ | equal widths | none |
# | general (the same) | $s^\top W h$ | any widths | $D_q D_k$ |
# | scaled dot (Vaswani et al. 2017, eq. 1) | $(W_q s)^\top (W_k h) / \sqrt{d_k}$ | any widths | $D_q d_k + D_k d_k$ |
#
# After projecting, each of the $T_q T_k$ pairs costs additive attention $D_a$ additions, $D_a$ tanh and a dot product with $v$; the dot
# product is only the last of these, and all pairs together are **one matrix product**, the thing that computers do
# best. What about time, and the largest tensor on the way?

# %% id="dot-cost" concepts=["C06", "C11"]
import time

queries, keys, v_64 = torch.randn(256, 64), torch.randn(256, 64), torch.randn(64)  # projected: Tq = Tk = 256, Da = 64


def fastest(compute):
    seconds = []
    for _ in range(7):
        start = time.perf_counter()
        compute()
        seconds.append(time.perf_counter() - start)
    return min(seconds)


pairs = queries[:, None] + keys  # [Tq, Tk, Da]: every query with every key
slow, fast = fastest(lambda: torch.tanh(queries[:, None] + keys) @ v_64), fastest(lambda: queries @ keys.T)
print(f"additive: {1e3 * slow:6.2f} ms, largest tensor {pairs.numel():9,} numbers")
print(f"dot:      {1e3 * fast:6.2f} ms, largest tensor {(queries @ keys.T).numel():9,} numbers")
print(f"on this machine, now: {slow / fast:.0f} times")
assert pairs.numel() == 64 * (queries @ keys.T).numel()

# %% [markdown] id="dot-seen" concepts=["C06", "C11"]
# A factor $D_a$ in memory, and much in time. That is why the Transformer multiplies. A recurrent decoder could not have
# used it fully: its next query is not known before the last step is done, so that there is one query at a time. What the
# dot product asks for in return, a division by $\sqrt{d_k}$, is the subject of chapter 03. (Vaswani et al. 2017, §3.2.1, compare
# the two.)

# %% [markdown] id="documents" concepts=["C05"] documents=["004 §3.1", "000 §3.1", "002 §3", "001 §2.3"] errata=["E106", "E009"]
# ## 7. What the documents say, and what is true
#
# ### One vector, or one for each token?
#
# 004, §3.1 (E106): the encoder finally gives **one vector of fixed length**, and the decoder writes from it. That is the model *before*
# attention, told as if it were all. 000, §3.1 (E009), and 002, §3, speak of one vector too; 001, §2.3, lets the decoder attend to
# *the encoder’s output*. Which is it? Take the two models apart and change a state in the middle:

# %% id="one-vector-shown" concepts=["C05", "C06"] errata=["E106"] documents=["004 §3.1", "001 §2.3"]
source = letters.to_ids("kwqzhxtrbmay")[None]
target_in = letters.shifted(letters.reverse(source))
with torch.inference_mode():
    states, last = reader.encoder(source)
    changed = states.clone()
    changed[:, 5] += 1.0  # the state after the sixth letter
    moved = (reader.decoder(target_in, changed, last) - reader.decoder(target_in, states, last)).abs().max()
print(f"attention: memory {list(states.shape)}; change one state, and the logits move by {moved:.1f}")
_, last = models["one vector"].encoder(source)
print(f"one vector: the decoder is handed {list(last.shape)}, and none of the other states at all")
assert moved > 0.1

# %% [markdown] id="why" concepts=["C05", "C06"] documents=["004 §2.1", "004 §1"] errata=["E101"]
# ### Was attention introduced to save computing?
#
# 004, §1 and §2.1 (E101): attention answers the *computational cost* of long sequences. It was introduced because of the bottleneck, for
# *quality* (Bahdanau et al. 2015, abstract), and it **adds** computing: a table of input × output. Operations in matrix
# products, both models of width 32:

# %% id="why-shown" concepts=["C05", "C06"] errata=["E101"] documents=["004 §1", "004 §2.1"]
from torch.utils.flop_counter import FlopCounterMode

more = []
for n in (8, 32, 128):
    ids, counted = torch.full((1, n), letters.FIRST), []
    for kind in (BottleneckSeq2Seq, AttentionSeq2Seq):
        with FlopCounterMode(display=False) as counter, torch.no_grad():
            kind(letters.VOCAB_SIZE, letters.VOCAB_SIZE, 32)(ids, ids)
        counted.append(counter.get_total_flops())
    more.append(counted[1] / counted[0])
    without, with_attention = (count / 1e6 for count in counted)
    print(f"{n:3} letters: {without:5.2f} million without, {with_attention:5.2f} with attention ({more[-1] - 1:+.0%})")
assert 1 < more[0] < more[1] < more[2]

# %% [markdown] id="in-a-line" concepts=["C05", "C06", "C11"] documents=["001 §1.3", "001 §3.1", "004 §2.1", "004 §3.1", "004 §7.1"] errata=["E039", "E045", "E105", "E107", "E146"]
# ### And in a line each
#
# | | said | better |
# |---|---|---|
# | E039 | 001, §1.3: attention, proposed in 2015, links encoder and decoder to catch long dependencies | preprint 2014; its purpose: a context of its own for every output token, instead of one vector for all |
# | E045 | 001, §3.1: divide by the sum of the *scores* | of their exponentials; scores can be negative (chapter 03) |
# | E105 | 004, §3.1: a sequence model is an encoder and a decoder | only sequence to sequence; classifiers have an encoder alone, language models a decoder alone |
# | E107 | 004, §3.1: one weight for each element, one vector for the sequence | a row of weights for each query, a vector for each query; below you repair it |
# | E146 | 004, §7.1: Sutskever et al. 2014 as the theory behind the Transformer | the encoder-decoder *with* the bottleneck; attention, Bahdanau et al., is missing from 004’s list |

# %% [markdown] id="faq" concepts=["C06", "C11"] documents=["000 App. Q1", "001 §6 Q2"]
# ## 8. The documents’ questions, answered
#
# None of their questions is about alignment alone; one comes near.
#
# **Why does attention catch dependencies over long distances?** (000, App. Q1; 001, §6 Q2; in full in chapter 03.) Because the decoder reads
# state $h_j$ directly, whatever lies between: in the experiment the share of right letters hardly falls between 4 and 12
# letters, while one vector loses nearly half. It is no promise: beyond the lengths of the training it falls as well, and the encoder here
# is still a recurrent network, which carries neighbours into every state. The Transformer removes that, too.

# %% [markdown] id="exercises"
# ## 9. Exercises
#
# Write each function in its cell, run it, then run the `check` below it: it answers at once, says which value differs, and
# names the misunderstanding where it knows it. `hint("masked_softmax")` helps, if you are stuck.

# %% id="check-import"
from course_lib.workshop import check, hint, progress, quiz

# %% exercise="masked_softmax"

# %% exercise="additive_scores"

# %% exercise="spot_the_bug_02"

# %% [markdown] id="quiz-intro"
# ### Quiz
#
# Every wrong option has its reason; try the one you believe in first.

# %% quiz="02"

# %% [markdown] id="recap" concepts=["C05", "C06", "C10", "C11"]
# ## 10. Recap
#
# - An encoder-decoder without attention passes one vector, whatever the length: short words survive, long ones do not.
# - Attention keeps all encoder states. Each output token gets a context of its own: score, softmax, weighted sum.
# - Query, key, value: the decoder’s state asks, projected encoder states answer, the states themselves are taken along.
# - Additive: $v^\top\tanh(W_q s + W_k h)$. Without the tanh the query cancels. Dot products do the job in one matrix product.
# - Padding gets no weight, before the softmax; a row without anything to see is zeros.
# - A soft alignment is learned from the task alone. It says which *states* were read, not which words were used.
#
# **Read the code:** `course_lib/additive.py`, `course_lib/recurrent.py`, `course_lib/letters.py`. **Papers:** Bahdanau, Cho & Bengio 2015, *Neural Machine
# Translation by Jointly Learning to Align and Translate*, §3, §A; Luong, Pham & Manning 2015, *Effective Approaches to
# Attention-based Neural Machine Translation*, §3; Sutskever, Vinyals & Le 2014, *Sequence to Sequence Learning with Neural Networks*.
#
# **Next:** [chapter 03](03_attention.ipynb) leaves the recurrence out, and lets a sentence ask itself. What have you done so far?

# %% id="progress"
progress()
