# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown] id="title" documents=["004 §6.1","004 §6.2","002 §5"]
# # 10 · Decoding and measuring
#
# A trained model does not write. It gives probabilities for one next word, again and again; *you* decide what to do with
# them, and then how good the result is. At the end you can
#
# - write greedy decoding and beam search, and say what each of them misses;
# - work out what a length penalty, a temperature, top-k and top-p do;
# - explain what the key-value cache keeps, and measure what it saves;
# - compute BLEU by hand, report it so that it can be compared, and say what it does not see.
#
# **Time:** about an hour, and another 100 minutes for the exercises. **You need:** the model of chapter 07 and the loss of
# chapter 09. Numbers such as E143 name mistakes of the documents that this course is built on.

# %% id="imports"
import math
import statistics
import time

import torch
from sacrebleu.metrics import BLEU

from course_lib import decoding, evaluation
from course_lib.config import DecodeConfig
from course_lib.corpora import load_corpus
from course_lib.corpora.grammar import pinyin
from course_lib.incremental import CachedDecoder
from course_lib.translator import Translator
from course_lib.views import beam_explorer, bleu_explorer, predict, predict_number, sampling_explorer

torch.set_printoptions(precision=3, sci_mode=False)

# %% [markdown] id="question" concepts=["C35","C53"] documents=["004 §6.1"]
# ## 1. The question
#
# The small English-Chinese model that ships with the course translates two sets of sentences: **compositional** (words
# in combinations that it never saw) and **long** (longer than any in its training). It does so twice: taking the
# likeliest word each time (*greedy*), and keeping five beginnings at once (*beam*). Same weights, same probabilities.
# **Why do the translations differ, and which should you take?**

# %% id="question-shown" concepts=["C35","C53"] documents=["004 §6.1"]
translator = Translator.shipped()
corpus = load_corpus("grammar")
pairs = corpus.splits["compositional"][:400] + corpus.splits["long"][:200]
sources = [translator.encode(pair.source) for pair in pairs]
greedy = translator.search(sources, DecodeConfig(beam_size=1, max_len=40))
beam = translator.search(sources, DecodeConfig(beam_size=5, max_len=40))
differ = [i for i in range(len(pairs)) if greedy[i] != beam[i]]
print(f"different for {len(differ)} of {len(pairs)} sentences, for example")
for i in differ[:3]:
    print(f"\n{pairs[i].source}   reference: {translator.finish(pairs[i].target)}")
    for name, ids in (("greedy", greedy[i]), ("beam 5", beam[i])):
        words = translator.finish(translator.tokenizer.decode(ids))
        print(f"  {name}: {words}  {pinyin(words)}")

# %% [markdown] id="predict"
# ## 2. Predict

# %% id="predict-table" concepts=["C35"]
predict(
    "Three tokens: a, b and end. At the beginning a has 0.55, b 0.40, end 0.05. After a: a 0.30, b 0.34, end 0.36. After "
    "b: a 0.05, b 0.05, end 0.90. Greedy decoding takes the likeliest token twice. Is “a end” the likeliest sentence?",
    [
        ("yes: each of its steps is the best", "Each step is the best *after what was chosen before*. That is not the best sentence."),
        "no: “b end” is likelier",
        ("no: “end” alone is likelier", "It has only 0.05."),
    ],
    "no: “b end” is likelier",
    "0.55 · 0.36 = 0.198 for “a end”, 0.40 · 0.90 = 0.36 for “b end”. To find it, one has to keep b although a looked better.",
)

# %% id="predict-passes" concepts=["C35"] errata=["E041"] documents=["001 §2.1"]
predict_number(
    "In training the decoder predicts all 20 tokens of a sentence in one pass. How many passes does it take to <i>write</i> "
    "20 tokens?",
    answer=20,
    why="Each token must be read before the next one can be predicted. Training is parallel because the right tokens are "
    "known beforehand (E041). You count the passes in section 7.",
)

# %% id="predict-bleu" concepts=["C36"]
predict(
    "Reference: “the doctor did not give the old man the medicine”. Which translation gets the higher BLEU?",
    [
        ("“the physician never handed the elderly patient his pills”", "It says the same, in other words, and BLEU counts words."),
        "“the doctor did give the old man the medicine”",
        ("about the same", "One shares almost every word with the reference, the other hardly any."),
    ],
    "“the doctor did give the old man the medicine”",
    "BLEU counts shared words and word sequences. The reversed meaning costs one word. Section 5 shows both.",
)

# %% [markdown] id="by-hand" concepts=["C35"] documents=["000 §3.2"] errata=["E017"]
# ## 3. By hand
#
# ### Greedy: the likeliest word, again and again
#
# The table of the prediction, as a function. Whatever the model is, decoding sees only this: **a list of ids that begins
# with the start token in, logits of the next token out.** (Log-probabilities are logits, too: a softmax gives them back.)
#
# | after | a | b | end |
# |---|---|---|---|
# | (nothing) | **0.55** | 0.40 | 0.05 |
# | a | 0.30 | 0.34 | **0.36** |
# | b | 0.05 | 0.05 | **0.90** |
#
# Greedy: a (0.55), then end (0.36). Together $0.55 \cdot 0.36 = 0.198$.

# %% id="table" concepts=["C35"]
BOS, A, B, END = range(4)
NAMES = ["bos", "a", "b", "end"]
TABLE = {BOS: [0.0, 0.55, 0.40, 0.05], A: [0.0, 0.30, 0.34, 0.36], B: [0.0, 0.05, 0.05, 0.90]}


def step(ids):
    """The next token's logits; here they depend on the last token alone."""
    return torch.tensor(TABLE[ids[-1]]).clamp(min=1e-9).log()  # [V]


ids, p = [BOS], 1.0
while ids[-1] != END:
    probabilities = step(ids).softmax(-1)
    ids.append(probabilities.argmax().item())
    p *= probabilities[ids[-1]].item()
    print([NAMES[i] for i in ids], f"p = {p:.3f}")

# %% [markdown] id="beam-by-hand" concepts=["C35"]
# ### Beam search: keep several beginnings
#
# A beam of two keeps the **two** likeliest beginnings, and compares all their extensions:
#
# | step | extensions, best first | kept |
# |---|---|---|
# | 1 | a 0.55 · b 0.40 · end 0.05 | a, b |
# | 2 | **b end 0.40 · 0.90 = 0.360** · **a end 0.55 · 0.36 = 0.198** · a b 0.187 · a a 0.165 · b a 0.020 · b b 0.020 | b end, a end |
#
# Both have ended; the better one is “b end”. Probabilities of long sentences become tiny, so one adds logarithms
# instead of multiplying: $\log 0.40 + \log 0.90 = -1.022$.
#
# Two things to remember. An ended hypothesis is set aside; its place in the beam is free again. And the beam is no
# guarantee: what it drops in step 1 cannot win in step 9.

# %% id="beam-by-hand-shown" concepts=["C35"]
extensions = {(A,): 0.55, (B,): 0.40, (END,): 0.05}
kept = sorted(extensions, key=extensions.get, reverse=True)[:2]
second = {(*ids, t): extensions[ids] * TABLE[ids[-1]][t] for ids in kept for t in (A, B, END)}
for ids in sorted(second, key=second.get, reverse=True):
    print(" ".join(NAMES[i] for i in ids), f"{second[ids]:.3f}")
assert max(second, key=second.get) == (B, END)

# %% [markdown] id="penalty-by-hand" concepts=["C35"]
# ### The length penalty
#
# Every further word multiplies by something below 1, so log p favours short sentences. Divide it by a power of the length:
#
# $$\text{score} = \frac{\log p}{\text{length}^{\alpha}}$$
#
# Two hypotheses, log p −1.8 with 6 tokens and −2.2 with 10. With α = 0 the short one wins, −1.8 against −2.2. With
# α = 1, the mean per token, it is −0.30 against −0.22: the long one. The length counts the end token, not the start
# token. Where does it turn? At $1.8 / 6^\alpha = 2.2 / 10^\alpha$, that is $\alpha = \log(2.2/1.8) / \log(10/6) = 0.39$.
# (Wu et al. 2016 divide by $((5 + \text{length})/6)^{\alpha}$ instead, which is gentler with short sentences: an α means nothing
# without its formula.)

# %% id="penalty-by-hand-shown" concepts=["C35"]
for alpha in (0.0, 0.39, 0.4, 0.6, 1.0):
    short, long = -1.8 / 6**alpha, -2.2 / 10**alpha
    print(f"α = {alpha:<4}  short {short:.3f}   long {long:.3f}   {'long' if long > short else 'short'} wins")

# %% [markdown] id="sampling-by-hand" concepts=["C35","C56"] documents=["002 §5","004 §6.2"]
# ### Sampling: draw the next word
#
# A language model gives “the distribution of the next word” (document 002, §5). For a story you do not want the
# likeliest sentence, the same one each time, but a *draw*. Three knobs, in this order:
#
# - **Temperature** T: softmax(logits / T). For the logits 2, 1, 0: T = 1 gives 0.665, 0.245, 0.090; T = 0.5 gives 0.867,
#   0.117, 0.016; T = 2 gives 0.506, 0.307, 0.186. Towards 0 it becomes greedy.
# - **Top-k** keeps the k likeliest tokens, whatever they weigh.
# - **Top-p** keeps the smallest set that weighs p or more: of 0.5, 0.25, 0.125, 0.125 with p = 0.75 the first two (they
#   weigh exactly p, so nothing more), with p = 0.76 three. What is left is divided by its sum: 2/3 and 1/3.

# %% id="sampling-by-hand-shown" concepts=["C35","C56"]
for temperature in (0.1, 0.5, 1.0, 2.0, 100.0):
    print(f"T = {temperature:<5}", torch.tensor([2.0, 1.0, 0.0]).div(temperature).softmax(-1))
four = torch.tensor([0.125, 0.5, 0.25, 0.125])
print("top-p 0.75:", decoding.top_p_filter(four, 0.75), "  0.76:", decoding.top_p_filter(four, 0.76))
print("top-k 2:   ", decoding.top_k_filter(four, 2))

# %% [markdown] id="bleu-by-hand" concepts=["C36","C53"]
# ### BLEU by hand
#
# How good is a translation? Compare it with a reference. BLEU (Papineni et al. 2002) counts the 1-, 2-, 3- and 4-grams of
# the hypotheses and how many of them are right. A corpus of two sentences:
#
# | hypothesis | reference |
# |---|---|
# | the cat sat on the **red** mat | the cat sat on the mat today |
# | a dog | a dog barked |
#
# | n | first sentence | second | precision |
# |---|---|---|---|
# | 1 | 6 of 7 (not *red*) | 2 of 2 | 8/9 |
# | 2 | 4 of 6 (not *the red*, *red mat*) | 1 of 1 | 5/7 |
# | 3 | 3 of 5 | 0 of 0 | 3/5 |
# | 4 | 2 of 4 | 0 of 0 | 2/4 |
#
# Counts are summed over the corpus *before* they are divided. An n-gram counts at most as often as the reference has it:
# “the the the” would not be three times right. The hypotheses have 9 tokens, the references 10; being shorter is
# punished by $e^{1 - 10/9} = 0.895$ (the *brevity penalty*; 1 if they are not shorter). So
#
# $$\text{BLEU} = 100 \cdot 0.895 \cdot \left(\tfrac89 \cdot \tfrac57 \cdot \tfrac35 \cdot \tfrac24\right)^{1/4} = 59.1$$
#
# Where an order has no match at all, the product is 0, as it is for many a good sentence alone. BLEU measures a corpus.

# %% id="bleu-by-hand-shown" concepts=["C36"]
hypotheses = ["the cat sat on the red mat".split(), "a dog".split()]
references = ["the cat sat on the mat today".split(), "a dog barked".split()]
by_hand = 100 * math.exp(1 - 10 / 9) * (8 / 9 * 5 / 7 * 3 / 5 * 2 / 4) ** 0.25
sacre = BLEU(tokenize="none", smooth_method="none", force=True)
theirs = sacre.corpus_score([" ".join(h) for h in hypotheses], [[" ".join(r) for r in references]]).score
print(f"by hand {by_hand:.3f}   the library's {evaluation.bleu(hypotheses, references):.3f}   sacreBLEU {theirs:.3f}")
assert abs(by_hand - theirs) < 1e-6 and abs(evaluation.bleu(hypotheses, references) - theirs) < 1e-6

# %% [markdown] id="build" concepts=["C35"]
# ## 4. Build it
#
# ### The searches
#
# Beam search in a dozen lines. `live` hypotheses go on, `ended` ones wait; each is its log p and its ids.

# %% id="beam-toy" concepts=["C35"]


def toy_beam(step, bos_id, eos_id, beam_size, max_len, alpha):
    live, ended = [(0.0, [bos_id])], []
    for _ in range(max_len):
        extensions = []
        for log_p, ids in live:
            for token, more in enumerate(step(ids).log_softmax(-1).tolist()):
                extensions.append((log_p + more, [*ids, token]))
        kept = sorted(extensions, reverse=True)[:beam_size]
        ended += [h for h in kept if h[1][-1] == eos_id]
        live = [h for h in kept if h[1][-1] != eos_id]
        if not live:
            break
    return max(ended + live, key=lambda h: h[0] / (len(h[1]) - 1) ** alpha)[1][1:]


print("greedy:", [NAMES[i] for i in toy_beam(step, BOS, END, 1, 9, 1.0)], "  beam 2:", [NAMES[i] for i in toy_beam(step, BOS, END, 2, 9, 1.0)])

# %% [markdown] id="agree" concepts=["C35","C53"]
# The library's take the same `step`, and `translator.step(sentence)` makes one of the real model. Both agree, on the
# table and on real sentences; with a beam of one both are greedy decoding. `translator.search`, which you saw in section
# 1, does the same for many sentences at once: the live hypotheses of all of them are the rows of one batch.

# %% id="agree-shown" concepts=["C35","C53"]
assert decoding.greedy_decode(step, BOS, END, 9) == [A, END]
assert decoding.beam_search(step, BOS, END, 2, 9, 1.0) == [B, END] == toy_beam(step, BOS, END, 2, 9, 1.0)
bos, eos = translator.tokenizer.bos_id, translator.tokenizer.eos_id
for i in differ[:3]:
    real = translator.step(pairs[i].source)
    for size in (1, 3):
        assert decoding.beam_search(real, bos, eos, size, 15, 1.0) == toy_beam(real, bos, eos, size, 15, 1.0)
    assert decoding.beam_search(real, bos, eos, 1, 15, 1.0) == decoding.greedy_decode(real, bos, eos, 15)
    assert translator.search([sources[i]], DecodeConfig(beam_size=5, max_len=40)) == [beam[i]]  # alone as in the batch
print("all agree")

# %% [markdown] id="penalty-real" concepts=["C35","C53"]
# ### The length penalty on real sentences
#
# Sentences of the compositional set on which the penalty decides. Watch the length, and which of the two is right: **the
# penalty helps where the model stops too early, and hurts where it repeats itself.** No α is right for every sentence;
# one chooses it on the validation split.

# %% id="penalty-real-shown" concepts=["C35","C53"]
found = {a: translator.search(sources[:400], DecodeConfig(beam_size=5, length_penalty=a, max_len=40)) for a in (0.0, 1.0)}
decides = [i for i in range(400) if found[0.0][i] != found[1.0][i]]
for i in decides[:4]:
    print(f"\n{pairs[i].source}   reference: {translator.finish(pairs[i].target)}")
    for alpha, ids in ((a, found[a][i]) for a in found):
        words = translator.tokenizer.decode(ids)
        mark = "✓" if words == pairs[i].target else "✗"
        print(f"  α = {alpha}: {mark} {translator.finish(words)}  {pinyin(words)}")
print()
for alpha, ids in found.items():
    right = sum(translator.tokenizer.decode(x) == pair.target for x, pair in zip(ids, pairs))
    print(f"α = {alpha}: {right} of 400 exactly right, {sum(map(len, ids)) / 400:.2f} tokens on average")

# %% [markdown] id="cache" concepts=["C35"] errata=["E041","E117"] documents=["001 §2.1","004 §3.3"]
# ### The key-value cache: the same, faster
#
# To write token 60 the decoder reads 59 tokens, 58 of which it read in the step before. Thanks to the causal mask their
# keys and values have not changed, so they can be **kept**: a step then computes one query, one key and one value in each
# layer, and attends to what is there. Twenty hypotheses of 60 random tokens, both ways; medians of the first and last ten steps:

# %% id="cache-shown" concepts=["C35"] errata=["E041","E117"] documents=["001 §2.1","004 §3.3"]
model, n, length = translator.model, 20, 60
source = torch.tensor([sources[0]] * n)
prefix = torch.randint(4, translator.tokenizer.vocab_size, (n, length), generator=torch.Generator().manual_seed(0))
rows = torch.arange(n)
with torch.inference_mode():
    memory, cached = model.encode(source), CachedDecoder(model, source)
    seconds = {"without": [], "with": []}
    for t in range(1, length + 1):
        began = time.perf_counter()
        plain = model.decode(prefix[:, :t], memory, source, last_only=True)[:, -1]  # [N, V]
        seconds["without"].append(time.perf_counter() - began)
        began = time.perf_counter()
        kept = cached.step(prefix[:, :t], rows, rows)  # [N, V]
        seconds["with"].append(time.perf_counter() - began)
        torch.testing.assert_close(kept, plain, atol=1e-4, rtol=1e-4)
for name, each in seconds.items():
    early, late = (1000 * statistics.median(part) for part in (each[:10], each[50:]))
    print(f"{name:>8} the cache: {early:6.2f} ms a step at the beginning, {late:6.2f} ms a step at the end")
ratio = statistics.median(seconds["without"][30:]) / statistics.median(seconds["with"][30:])
print(f"same logits; in the second half of the sentence {ratio:.1f} times as fast")
assert ratio > 1.5

# %% [markdown] id="cache-cost" concepts=["C35"]
# The price is memory: keys and values of every layer, for every hypothesis. (Those of the source, for cross-attention,
# are computed once for each sentence and kept as well.) For this model and twenty hypotheses of 60 tokens that is little.
# For a large language model it is what limits how many users share a machine:

# %% id="cache-cost-shown" concepts=["C35"]
def cache_mib(n_layers, d_model, n_tokens, n_sequences, n_bytes):
    return 2 * n_layers * d_model * n_tokens * n_sequences * n_bytes / 2**20


print(f"this model:  {cache_mib(2, 128, 60, 20, 4):10.1f} MiB")
print(f"32 layers, width 4096, 8,000 tokens, 16 sequences, 16 bit: {cache_mib(32, 4096, 8000, 16, 2):,.0f} MiB")

# %% [markdown] id="move" concepts=["C35","C53"] documents=["004 §6.1"]
# ## 5. Move it
#
# ### The beam, growing
#
# Step through it. Dashed words missed the beam, green ones have ended, faint ones lead nowhere. Point at a word: the table shows
# what its hypothesis looked at in the English sentence while each of its words was written. At the end, **say which
# hypothesis wins before you see the scores**; then move the length penalty. Try beam size 1, then 5, then a
# sentence of your own from the words of the corpus.

# %% id="beam-view" concepts=["C35","C53"] documents=["004 §6.1"]
chosen = decides[0] if decides else differ[0]
beam_explorer(translator, pairs[chosen].source)

# %% [markdown] id="move-sampling" concepts=["C35","C56"] documents=["002 §5","004 §6.2"]
# ### Temperature, top-k and top-p
#
# The view opens where the model is least sure. The outline is the model's own probability, the filled bar is what is drawn
# from, a hatched one is cut off. Click another word of the translation to see the choice at its place. Set the temperature to 2: the best word has hardly anything left, because 1,600
# small bars have become larger (training with label smoothing put a little on each). Then set top-k to 5, then off and
# top-p to 0.5, and draw 100 times: what was cut is never drawn. Where the model is sure, top-p keeps one word; where it
# hesitates, several. Top-k keeps as many either way.

# %% id="sampling-view" concepts=["C35","C56"] documents=["002 §5","004 §6.2"]
sampling_explorer(translator, pairs[chosen].source)

# %% [markdown] id="move-bleu" concepts=["C36","C53"]
# ### What BLEU sees, and what it hides
#
# Green n-grams are right. Choose *meaning reversed*, then *good paraphrase*: which of them would you rather get from a
# translator, and which gets the higher score? *Too short* has perfect precisions, and the brevity penalty. Then edit the
# translation yourself: what does one wrong word cost at the end of a sentence, what in its middle?

# %% id="bleu-view" concepts=["C36","C53"]
reference = "the doctor did not give the old man the medicine yesterday"
bleu_explorer({
    "one wrong word": ("the doctor did not give the old man the flowers yesterday", reference),
    "meaning reversed": ("the doctor did give the old man the medicine yesterday", reference),
    "good paraphrase": ("yesterday this physician gave that elderly patient no pills", reference),
    "too short": ("the doctor did not give", reference),
    "the the the": ("the the the the the the the the the the", reference),
    "words in disorder": ("medicine the yesterday man old the give not did doctor the", reference),
})  # fmt: skip

# %% [markdown] id="break" concepts=["C36"]
# ## 6. Break it
#
# ### A score of what nobody would see
#
# “BLEU” is sometimes computed from one pass with the *right* words fed in: the argmax at each place (teacher forcing).
# That is no translation: at every place the model is put back on the right track. On the long sentences, where the model
# is weak, the difference shows:

# %% id="forced-bleu" concepts=["C36","C53"]
long = corpus.splits["long"][:100]
forced, tokenizer = [], translator.tokenizer
with torch.inference_mode():
    for pair in long:
        target = tokenizer.encode(pair.target)
        logits = model(torch.tensor([translator.encode(pair.source)]), torch.tensor([[bos, *target]]))[0]  # [T, V]
        forced.append([tokenizer.token(i) for i in logits[:-1].argmax(-1).tolist()])
written = [translator.tokenizer.decode(ids).split() for ids in beam[400:500]]
truth = [pair.target.split() for pair in long]
fed, free = evaluation.bleu(forced, truth), evaluation.bleu(written, truth)
print(f"BLEU with the right words fed in: {fed:.1f}    of what the model writes: {free:.1f}")
assert fed > free
assert abs(free - sacre.corpus_score([" ".join(w) for w in written], [[" ".join(t) for t in truth]]).score) < 1e-6

# %% [markdown] id="signature" concepts=["C36"]
# ### Scores that cannot be compared
#
# The same translations, the same references; only the tokens differ. So a score without its *signature* says little. sacreBLEU
# (Post 2018) does the tokenization itself, on plain text, and prints what it did:

# %% id="signature-shown" concepts=["C36"]
plain = [translator.finish(" ".join(words)) for words in written]
plain_truth = [translator.finish(pair.target) for pair in long]
for name, metric in (
    ("characters of Chinese", BLEU(tokenize="zh")),
    ("any character", BLEU(tokenize="char")),
    ("between spaces, of which there are none", BLEU(tokenize="none", force=True)),
):
    print(f"{metric.corpus_score(plain, [plain_truth]).score:5.1f}  {name:<42}{metric.get_signature()}")
print(f"{free:5.1f}  words, as we counted above")

# %% [markdown] id="sure" concepts=["C36"]
# ### How sure is a score?
#
# A hundred sentences are a sample: another hundred would give another score. The *bootstrap* (Koehn 2004) shows by how much. It
# draws 100 of the 100, some twice and some not at all, scores them, and does so 200 times. Greedy and beam, on the same
# draws: how far does each score swing, and how often is the beam ahead?

# %% id="sure-shown" concepts=["C36"]
by_greedy = [tokenizer.decode(ids).split() for ids in greedy[400:500]]
swing, generator = {"greedy": [], "beam 5": []}, torch.Generator().manual_seed(0)
for _ in range(200):
    drawn = torch.randint(0, 100, (100,), generator=generator).tolist()
    for name, each in (("greedy", by_greedy), ("beam 5", written)):
        swing[name].append(evaluation.bleu([each[i] for i in drawn], [truth[i] for i in drawn]))
for name, each in (("greedy", by_greedy), ("beam 5", written)):
    low, high = sorted(swing[name])[5], sorted(swing[name])[194]
    print(f"{name}: {evaluation.bleu(each, truth):.1f}, in 95% of the draws from {low:.1f} to {high:.1f}")
print("the beam is ahead in", sum(b > g for g, b in zip(*swing.values())), "of 200 draws")

# %% [markdown] id="perplexity" concepts=["C36"] documents=["004 §5.4"] errata=["E144"]
# ### Perplexity is another question
#
# Perplexity (chapter 09) asks how much probability the model gives to the *reference*, fed in word by word. BLEU asks what the
# search has written. Halve all logits: the order of the words stays, so greedy decoding writes the very same, and BLEU
# stays. The perplexity does not:

# %% id="perplexity-shown" concepts=["C36"] documents=["004 §5.4"] errata=["E144"]
test = corpus.splits["test"][:100]
for scale in (1.0, 0.5, 0.25):
    surprise, n_tokens, same = 0.0, 0, 0
    with torch.inference_mode():
        for pair in test:
            target = torch.tensor([*tokenizer.encode(pair.target), eos])
            target_in = torch.cat([torch.tensor([bos]), target[:-1]])
            logits = scale * model(torch.tensor([translator.encode(pair.source)]), target_in[None])[0]  # [T, V]
            surprise -= logits.log_softmax(-1).gather(1, target[:, None]).sum().item()
            n_tokens += len(target)
            same += (logits.argmax(-1) == target).all().item()
    print(f"logits × {scale:<4}  perplexity {evaluation.perplexity(surprise / n_tokens):8.2f}   sentences right to the last word: {same} of 100")

# %% [markdown] id="too-hot" concepts=["C35","C56"]
# ### Too hot, too cold
#
# The same sentence, drawn five times at each temperature, then with the tail cut off. English words turn up because both
# languages share one vocabulary and label smoothing has put a little probability on every word of it: that is the tail.

# %% id="too-hot-shown" concepts=["C35","C56"]
real, generator = translator.step(pairs[chosen].source), torch.Generator().manual_seed(0)
print(pairs[chosen].source)
for settings in ((0.3, None, 1.0), (1.0, None, 1.0), (2.0, None, 1.0), (2.0, 3, 1.0), (1.0, None, 0.6)):
    draws = [decoding.sample_decode(real, bos, eos, 12, *settings, generator) for _ in range(5)]
    texts = [translator.finish(tokenizer.decode(ids)) for ids in draws]
    print("\nT = {}, top-k {}, top-p {}".format(*settings), *texts, sep="\n    ")

# %% [markdown] id="metrics" concepts=["C36"]
# ### Other tasks, other measures
#
# | task | measure |
# |---|---|
# | one label for a text | accuracy; F1 = 2·precision·recall / (precision + recall) where classes are unequal |
# | question answering | exact match, F1 over words |
# | translation | BLEU, chrF (shared characters), today also trained metrics such as COMET; people |
# | summary | ROUGE: like BLEU, but *recall*: how much of the reference is there |
# | language model | perplexity |
# | search | the rank of the right document: its reciprocal mean, recall among the first k |
#
# ROUGE-1 by hand, for the second sentence of section 3: 2 of the 3 words of “a dog barked” are in “a dog”: recall 0.67,
# precision 1, F1 0.8.

# %% id="metrics-shown" concepts=["C36"]
right, ours, theirs = 2, 2, 3
precision, recall = right / ours, right / theirs
print(f"ROUGE-1: recall {recall:.2f}, precision {precision:.2f}, F1 {2 * precision * recall / (precision + recall):.2f}")
scores = evaluation.corpus_scores(plain, plain_truth, "zh")
print(f"the long sentences: BLEU {scores['bleu']['score']:.1f}, chrF {scores['chrf']:.1f}, exact match "
      f"{sum(a == b for a, b in zip(plain, plain_truth))} of 100")  # fmt: skip

# %% [markdown] id="documents" concepts=["C35","C53"] errata=["E016","E017"] documents=["000 §3.2"]
# ## 7. What the documents say, and what is true
#
# None of the five documents mentions greedy decoding, beam search, sampling, a cache or BLEU. What they say about writing
# is in two places, and both leave the loop out.
#
# ### The projection inside the loop, and no loop around it
#
# Document 000, §3.2, steps 6 and 7, maps to the vocabulary and *then* says “repeat for all layers” (E016), and calls the
# result a continuous sequence (E017). The projection stands behind the last layer. What is repeated is all of it, once for
# each token, and what comes out each time is one discrete token. Put into a second layer, logits do not even fit:

# %% id="projection-in-the-loop" concepts=["C35"] errata=["E016","E017"] documents=["000 §3.2"]
one = torch.tensor([sources[0]])
with torch.inference_mode():
    memory = model.encode(one)
    target_in = torch.tensor([[bos]])
    logits = model.decode(target_in, memory, one)  # [1, 1, V]
    try:
        model.decoder.layers[1](logits, memory)
    except RuntimeError as error:
        print("a second layer, fed with logits:", type(error).__name__, "-", str(error)[:80])
    while target_in[0, -1] != eos and target_in.shape[1] < 20:
        token = model.decode(target_in, memory, one)[0, -1].argmax()
        print(tokenizer.token(token.item()), end=" ")
        target_in = torch.cat([target_in, token.view(1, 1)], dim=1)

# %% [markdown] id="parallel" concepts=["C35"] errata=["E041","E117"] documents=["001 §2.1","004 §3.3"]
# ### “It computes in parallel”
#
# Documents 001, §2.1 (E041), and 004, §3.3 (E117), say so of the Transformer as a whole. Count the passes through the decoder:

# %% id="parallel-shown" concepts=["C35"] errata=["E041","E117"] documents=["001 §2.1","004 §3.3"]
passes = []
hook = model.decoder.register_forward_hook(lambda *_: passes.append(1))
model(one, torch.tensor([[bos, *greedy[0]]]))
training, passes[:] = len(passes), []
decoding.greedy_decode(translator.step(pairs[0].source), bos, eos, 40)
hook.remove()
print(f"{len(greedy[0]) + 1} tokens: {training} pass in training, {len(passes)} passes to write them")
assert training == 1 and len(passes) == len(greedy[0]) + 1

# %% [markdown] id="translation-claim" concepts=["C53","C56"] errata=["E143","E144"] documents=["004 §5.4","004 §6.1","004 §6.2"]
# ### One script for translation, for articles and for dialogue
#
# Document 004 prints the same training script under §6.1 (translation) and §6.2 (article generation): there is no decoding
# in either, no score, and no result (E143, E144). `model(inputs)` with an argmax at each place gives the decoder nothing of its own to read.
# Here is what that writes, beside what a loop writes with the same weights:

# %% id="translation-claim-shown" concepts=["C53"] errata=["E143","E144"] documents=["004 §6.1","004 §6.2"]
exact = {"one pass": 0, "the loop": 0}
for i in range(50):
    source = torch.tensor([sources[i]])
    with torch.inference_mode():
        once = model(source, source)[0].argmax(-1).tolist()  # the source is all there is to read
    exact["one pass"] += tokenizer.decode(once) == pairs[i].target
    exact["the loop"] += tokenizer.decode(greedy[i]) == pairs[i].target
print(pairs[49].source, "→ one pass:", translator.finish(tokenizer.decode(once)), "  the loop:", translator.finish(tokenizer.decode(greedy[49])))
print("exactly right of 50:", exact)
assert exact["one pass"] == 0 and exact["the loop"] > 25

# %% [markdown] id="documents-table" concepts=["C35","C53","C56"] errata=["E016","E017","E041","E117","E143","E144"] documents=["002 §5","004 §3.4","004 §5.4","004 §6.1","004 §6.2"]
# ### In a line each
#
# | document | what is true |
# |---|---|
# | 000 §3.2: projection in every layer (E016); a continuous sequence (E017) | Once, behind the last layer; discrete tokens, one by one. |
# | 001 §2.1, 004 §3.3: parallel (E041, E117) | In training and in the encoder. Writing is sequential; a cache makes each step cheap, not the steps fewer. |
# | 002 §5: a language model predicts the distribution of the next word | True. What is *done* with it, this chapter's subject, is missing. |
# | 002 §5, 004 §3.4: fields of application, in one list | They need different decoding: a label needs none, a translation or a summary a search, a story or a dialogue sampling. |
# | 004 §5.4, §6.1: results, “significant improvement” without a number (E144) | A result is a score with its signature, its test set and its search: “BLEU 41.2, test 2016, beam 5, 13a, lower-cased”. |
# | 004 §6.2: articles “similar in style”, by the same script (E143) | Needs a model that continues a text (chapter 15) and sampling. The script has neither. |

# %% [markdown] id="faq-translation" concepts=["C53"] documents=["004 §9 Q6","004 §6.1"] errata=["E143"]
# ## 8. The documents' questions, answered
#
# **How does a Transformer do in machine translation?** (document 004, §9, question 6)
#
# It was made for it: in 2017 it had 28.4 BLEU from English to German on the newstest2014 test set, 2 more than the best
# systems before, at a fraction of their training cost (Vaswani et al. 2017, table 2). That needs parallel text, a subword
# vocabulary, teacher forcing, a search and a score: none of which is in the document's script. Where data is scarce, sentences are
# longer than in training or the domain is another one, it gets worse, as you have just seen on the *long* set.

# %% [markdown] id="faq-generation" concepts=["C56","C35"] documents=["004 §9 Q5","004 §6.2","002 §5"]
# **How does it do in text generation?** (document 004, §9, question 5)
#
# A decoder alone, trained to predict the next word of very much text, writes fluently. How it writes depends on the
# decoding as well: the likeliest text of a large language model is often dull and repeats itself (Holtzman et al. 2020), so one
# samples, with a cut-off tail. For dialogue, the turns so far are part of what the model reads. Fluent does not mean true:
# nothing in the probabilities checks facts.

# %% [markdown] id="faq-which" concepts=["C35","C36"] documents=["002 §5"]
# **Which decoding for which task?** (it follows from document 002, §5, and is not asked there)
#
# Where there is one right answer, more or less (translation, transcription, a short fact): greedy, or a beam of 4 to 6 with a length
# penalty chosen on validation data. A much wider beam often makes translations *worse*: it finds short or strange sentences that
# the model wrongly likes (Koehn, Knowles 2017). Where many continuations are good (stories, dialogue): sampling.

# %% [markdown] id="exercises"
# ## 9. Exercises
#
# Replace the line that raises the error by your code, run the cell, then run the check below it. It says at once what is
# right, and what the mistake may be. `hint("beam_search")` gives a hint. The checks use a `step` of their own, small tables of
# logits; yours may call it as often as it likes.

# %% id="exercise-imports"
from course_lib.workshop import check, hint, quiz

# %% exercise="greedy_decode"

# %% exercise="beam_search"

# %% exercise="top_p_filter"

# %% exercise="bleu"

# %% exercise="spot_the_bug_10"

# %% [markdown] id="use-it"
# When `beam_search` has passed, let it translate: `beam_search(translator.step("The student is reading a book."), bos, eos, 5, 30, 1.0)`
# gives ids, and `tokenizer.decode(ids)` the words.

# %% [markdown] id="quiz-heading"
# ### What did you take with you?

# %% quiz="10"

# %% [markdown] id="recap" concepts=["C35","C36","C53","C56"]
# ## 10. Recap
#
# - The model gives next-word probabilities; decoding makes a sentence of them, one pass for each token.
# - Greedy takes the best word; a beam keeps several beginnings and compares log p / length^α at the end.
# - The length penalty repairs a liking for short sentences, and overdone makes long ones.
# - Temperature reshapes the distribution; top-k and top-p cut off its tail.
# - Keys and values of earlier tokens never change: keep them.
# - BLEU: n-gram precisions of a corpus, clipped, their geometric mean, times a brevity penalty. Report it with its signature.
# - BLEU does not see meaning, and perplexity does not see the search. Read translations, too.
#
# **Files to read:** `course_lib/decoding.py`, `course_lib/incremental.py`, `course_lib/evaluation.py`.
#
# **Papers:** Papineni et al. (2002), *BLEU: a Method for Automatic Evaluation of Machine Translation*; Post (2018), *A
# Call for Clarity in Reporting BLEU Scores*; Koehn (2004), *Statistical Significance Tests for Machine Translation
# Evaluation*; Wu et al. (2016), *Google's Neural Machine Translation System*, §7 (length penalty); Fan et al. (2018),
# *Hierarchical Neural Story Generation* (top-k); Holtzman et al. (2020), *The Curious Case of Neural Text Degeneration*
# (top-p); Koehn, Knowles (2017), *Six Challenges for Neural Machine Translation*, §3.6.
#
# **Next:** [chapter 11](11_looking_inside.ipynb) looks inside the model while it translates.
