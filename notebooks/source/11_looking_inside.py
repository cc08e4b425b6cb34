# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown] id="title" documents=["000 §6", "001 §5", "002 §7", "004 §8.2", "004 §8.3"]
# # 11 · Looking inside
#
# The model translates. Why did it write *this* word? A map of attention weights looks like an answer. In this chapter you
# find out how far it is one, with experiments whose outcome nobody has to take on trust. At the end you can
#
# - compare what a head looks at with word alignments that are *known*, in one number;
# - follow attention through several layers (rollout);
# - run three experiments on a model: switch heads off, leave words out, exchange attention weights;
# - say when attention explains an output and when it does not, and cite both sides of the argument.
#
# **Time:** about 50 minutes, and 50 minutes for the exercises. **You need:** chapters 03, 05 and 07. Numbers such as E121 name mistakes of
# the documents that this course is built on.

# %% id="imports"
import math

import torch
from torch import nn

from course_lib import evaluation, interpretation
from course_lib.config import DecodeConfig
from course_lib.corpora import load_corpus
from course_lib.interpretation import edit_attention, heads_off
from course_lib.translator import Translator, head_alignment_errors
from course_lib.workshop import my_parts

torch.set_printoptions(precision=3, sci_mode=False)

# %% [markdown] id="question" concepts=["C70", "C53"]
# ## 1. The question
#
# The small translator of the course, built from **your** parts where you have them, with the shipped weights put in. It
# translates a question in which almost every word moves:

# %% id="question-shown" concepts=["C70", "C53"]
parts = my_parts()
translator = Translator.shipped(parts)
print("made of your own:", ", ".join(parts.mine()) or "nothing yet; the library's parts stand in")

sentence = "How many articles did this boy write yesterday afternoon ?"
print(sentence, "→", translator.translate(sentence))

# %% [markdown] id="question-asked" concepts=["C70"]
# It wrote 几, “how many”, as the eighth word. **What made it do so?** Look at the row 几 of this map: one head of the last
# cross-attention, a row for each word that is written. The row says where the head looked. Does it say *why*?

# %% id="question-map" concepts=["C70"]
from course_lib.views import attention_heatmap

source, target, maps = translator.attend(sentence)
attention_heatmap(maps, source, target, kind="cross", layer=1, head=2)

# %% [markdown] id="predict"
# ## 2. Predict
#
# Two guesses, before you have seen a number. The model has two layers in each stack and four heads in each attention: eight heads look
# at the source. One of them agrees best with the true word alignments.

# %% id="predict-head" concepts=["C70"] jupyter={"source_hidden": true} cellView="form"
# @title Predict first (the answer is in here)
from course_lib.views import predict

predict(
    "You switch off the <b>best-aligned</b> of the eight cross-attention heads. With all heads, BLEU on unseen sentences is "
    "100. What is it now?",
    [
        ("below 50: the translation falls apart", "It takes all four heads of the last cross-attention to do that."),
        ("between 50 and 95", "All four heads of the first cross-attention do that, not one head."),
        ("above 95: hardly anything changes", ""),
    ],
    "above 95: hardly anything changes",
    "The other heads know it, too. You will see that how well a head is aligned hardly says how much it matters.",
)

# %% id="predict-permute" concepts=["C70"] jupyter={"source_hidden": true} cellView="form"
# @title Predict first (the answer is in here)
predict(
    "Now you leave all heads on, but shuffle the weights of <b>all four heads</b> of the last cross-attention: the same "
    "numbers, given to other words. For how many of the words that are written does the model's first choice change?",
    [
        ("almost none: the model does not need to know where to look", "Some classifiers behave like that. This is a translator."),
        ("about half", ""),
        ("all", "The other layer of cross-attention still looks at the right places, and some words follow from those before."),
    ],
    "about half",
    "So attention is used here: take away <i>where it looks</i>, and the output changes. Yet no single head is needed.",
)

# %% [markdown] id="by-hand" concepts=["C70", "C53"]
# ## 3. By hand
#
# ### The alignment error rate
#
# The corpus was made by a grammar that writes both languages at once, so every true link is known. Say the truth is
# G = {(0, 0), (1, 1), (2, 2)}, pairs of (source, target), and a head draws P = {(0, 0), (1, 2)}. One link is common:
#
# $$\mathrm{AER} = 1 - \frac{2\,|P \cap G|}{|P| + |G|} = 1 - \frac{2 \cdot 1}{2 + 3} = 0.6$$
#
# 0 means the same links, 1 none in common. (Och and Ney 2003, *A Systematic Comparison of Various Statistical Alignment Models*; theirs
# also has unsure links, which a grammar does not need.)

# %% id="aer-confirmed" concepts=["C70"]
gold, drawn = {(0, 0), (1, 1), (2, 2)}, {(0, 0), (1, 2)}
print("links in both:", gold & drawn, "  error:", evaluation.alignment_error_rate(drawn, gold))

# %% [markdown] id="rollout-by-hand" concepts=["C70"]
# ### Rollout: two layers, two tokens
#
# A map shows one layer. But layer 2 looks at *positions*, and what stands there has been mixed by layer 1. Attention rollout (Abnar and
# Zuidema 2020, *Quantifying Attention Flow in Transformers*) follows the mixing: add the identity for the residual connection, divide each
# row by its sum, multiply.
#
# $A_1 = \begin{pmatrix}0&1\\1&0\end{pmatrix}$: each token looks at the other. With the residual:
# $\tilde A_1 = \begin{pmatrix}.5&.5\\.5&.5\end{pmatrix}$.
# $A_2 = \begin{pmatrix}1&0\\1&0\end{pmatrix}$: both look at token 0. So $\tilde A_2 = \begin{pmatrix}1&0\\.5&.5\end{pmatrix}$, and
#
# $$R = \tilde A_2 \tilde A_1 = \begin{pmatrix}.5&.5\\.5&.5\end{pmatrix}.$$
#
# Layer 2 looks only at position 0, and yet half of what arrives comes from **token** 1. The later layer stands on the left: output $i$ reads row
# $i$ of $\tilde A_2$ first.

# %% id="rollout-confirmed" concepts=["C70"]
A1, A2 = torch.tensor([[0.0, 1.0], [1.0, 0.0]]), torch.tensor([[1.0, 0.0], [1.0, 0.0]])
print(interpretation.attention_rollout([A1[None], A2[None]]))  # one head each: [H, T, T] = [1, 2, 2]

# %% [markdown] id="linear" concepts=["C70"]
# ### Attribution: who contributed what?
#
# For a **linear** model everybody agrees. $f(x) = 2x_1 - x_2 + \tfrac12 x_3$ at $x = (1, 3, 2)$ gives $2 - 3 + 1 = 0$, and the
# contributions are the three summands. Two ways to find them without looking inside:
#
# - **leave one out** (set it to 0): $f(x) - f(x \text{ without } x_i)$
# - **gradient × input**: $\partial f / \partial x_i \cdot x_i$

# %% id="linear-confirmed" concepts=["C70"]
weight, x = torch.tensor([2.0, -1.0, 0.5]), torch.tensor([1.0, 3.0, 2.0])


def linear(x):
    return weight @ x


def leave_one_out(f, x):
    return torch.stack([f(x) - f(x * (torch.arange(len(x)) != i)) for i in range(len(x))])


def gradient_times_input(f, x):
    return torch.func.grad(f)(x) * x


print("leave one out:   ", leave_one_out(linear, x))
print("gradient × input:", gradient_times_input(linear, x))

# %% [markdown] id="saturated" concepts=["C70"]
# Now a model for which **either** of two inputs is enough: $f(x) = \min(x_1 + x_2,\, 1)$ at $(1, 1)$. Leaving one out changes nothing. Nor
# does a small step. Both methods say that neither input matters. **Integrated gradients** (Sundararajan, Taly and Yan 2017, *Axiomatic
# Attribution for Deep Networks*) average the gradient on the way from $0$ to $x$, and their sum is always $f(x) - f(0)$.

# %% id="saturated-confirmed" concepts=["C70"]
def either(x):
    return x.sum().clamp(max=1.0)


both = torch.tensor([1.0, 1.0])
print("leave one out:       ", leave_one_out(either, both))
print("gradient × input:    ", gradient_times_input(either, both))
shares = interpretation.integrated_gradients(either, both, torch.zeros(2))
print("integrated gradients:", shares, "  sum:", shares.sum().item())
torch.testing.assert_close(shares.sum(), either(both) - either(torch.zeros(2)))

# %% [markdown] id="saturated-seen" concepts=["C70"]
# Keep this in mind: **where two parts can stand in for each other, taking one away shows nothing.** It is about to happen with heads.

# %% [markdown] id="build" concepts=["C70"]
# ## 4. Build it
#
# ### Rollout
#
# Average the heads, add the identity, divide the rows, multiply from the left.

# %% id="rollout-toy" concepts=["C70"]
def rollout(maps):
    result = torch.eye(maps[0].shape[-1])
    for weights in maps:  # [H, T, T], the first layer first
        mixed = weights.mean(0) + torch.eye(weights.shape[-1])  # [T, T]
        result = (mixed / mixed.sum(-1, keepdim=True)) @ result
    return result


encoder = [maps[f"encoder.layers.{i}.attention"][0] for i in range(2)]  # [H, T, T] each
torch.testing.assert_close(rollout(encoder), interpretation.attention_rollout(encoder))
print("both agree; rows sum to", rollout(encoder).sum(-1))

# %% [markdown] id="heads-off-toy" concepts=["C70"]
# ### A switch for heads
#
# The heads' outputs stand side by side, and $W^O$ mixes them (chapter 05): the columns $h d_h$ to $(h+1) d_h - 1$ of $W^O$ belong to head $h$.
# Set them to 0, and the head is off. That works in any model whose attention has an `output`, so also in yours. The library's `heads_off` does it
# and **puts everything back**:

# %% id="heads-off-shown" concepts=["C70"]
last = "decoder.layers.1.cross_attention"
model = translator.model
output = dict(model.named_modules())[last].output
before, width = output.weight.detach().clone(), model.config.d_model // model.config.n_heads

with heads_off(model, {last: [2]}):
    by_hand = before.clone()
    by_hand[:, 2 * width : 3 * width] = 0
    assert torch.equal(output.weight, by_hand)
    print("without head 2: ", translator.translate(sentence))
with heads_off(model, {last: range(4)}):
    print("without all four:", translator.translate(sentence))
assert torch.equal(output.weight, before)

# %% [markdown] id="occlusion-toy" concepts=["C70"]
# ### Leaving words out
#
# The score of a translation is its log-probability. What is a source word worth to 几? The score with it, minus the score without it:

# %% id="occlusion-shown" concepts=["C70"]
tokenizer = translator.tokenizer
target_ids = [*tokenizer.encode("这 个 男孩 昨天 下午 写 了 几 篇 文章 ？"), tokenizer.eos_id]


def score(words):
    ids = [*(tokenizer.encode(" ".join(words)) if words else []), tokenizer.eos_id]
    return interpretation.log_probabilities(translator, ids, target_ids)[7].item()  # of 几


words = sentence.split()
worth = [score(words) - score(words[:i] + words[i + 1 :]) for i in range(len(words))]
print(*(f"{word} {x:.1f}" for word, x in zip(words, worth)), sep="  ")
torch.testing.assert_close(worth, interpretation.occlusion(score, words))

# %% [markdown] id="occlusion-seen" concepts=["C70"]
# *many* (or *How*) is worth most, in nats of log-probability: that is an **experiment**, where reading a map is only looking. It has a
# price: a sentence with a hole is a sentence the model has never seen.

# %% [markdown] id="move" concepts=["C70", "C53"]
# ## 5. Move it
#
# ### Attention while it is learned
#
# The training of this very model, stopped at eight places to look at four sentences. **Try:** move the steps from 0 to the end, and watch the green
# frames fill up. Then look at the line above the map: when does the model begin to get sentences right?

# %% id="training-view" concepts=["C70"]
from course_lib.snapshots import shipped_snapshots
from course_lib.views import attention_in_training

pairs, shots = shipped_snapshots()
attention_in_training(pairs, shots)

# %% id="training-numbers" concepts=["C70"]
print("steps   loss   right   alignment error of the heads of the last layer")
for shot in shots:
    heads = "  ".join(f"{error:.2f}" for error in shot.errors[last])
    print(f"{shot.step:5}   {shot.loss:.2f}   {shot.exact:5.0%}   {heads}")
assert shots[0].errors[last][2] > 0.8 and shots[-1].errors[last][2] < 0.25

# %% [markdown] id="training-seen" concepts=["C70"]
# At step 0 the rows of a head look alike, whatever is asked, and the links are chance. Nobody ever shows the model an alignment: its loss knows only the
# next word. Alignment and translation appear **together**, between steps 100 and 300.

# %% [markdown] id="gold" concepts=["C70", "C53"]
# ### Against the truth
#
# For each word that is written, link it to the source word with the most weight, and compare with the grammar's links on 200 unseen sentences. **Expectation:** some heads
# align well; those of the last layer better, for they are nearest to the output.

# %% id="gold-numbers" concepts=["C70", "C53"]
val = load_corpus("grammar").splits["val"]
errors = head_alignment_errors(translator, val[:200])
for name, heads in errors.items():
    print(name, "  ".join(f"head {h}: {error:.2f}" for h, error in enumerate(heads)))

n_words = sum(len(pair.target.split()) for pair in val[:200])
has_link = sum(len({t for _, t in pair.alignment}) for pair in val[:200])
n_links = sum(len(pair.alignment) for pair in val[:200])
floor = 1 - 2 * has_link / (n_words + n_links)
print(f"the best that one link for each word can do: {floor:.2f}")

best = min(range(4), key=lambda h: errors[last][h])
assert errors[last][best] < 0.25 and min(errors[last]) < min(errors["decoder.layers.0.cross_attention"])

# %% [markdown] id="gold-seen" concepts=["C70"]
# As expected. And a limit of the measure: 了 or 把 have no counterpart, yet every row has a largest weight and draws a link; so not even
# a perfect head could reach 0. A head may also rest on the end mark, which is no word: then its row is all zeros here, and the largest of them draws the link. **Look at** what the errors are: choose layer 1 and a sentence, and find the underlined cells outside the green frames.

# %% id="gold-view" concepts=["C70", "C53"]
from course_lib.views import alignment_view

some = [pair for pair in val[200:260] if len(pair.source.split()) >= 9][:4]
alignment_view(translator, some, errors)

# %% [markdown] id="rollout-view" concepts=["C70"]
# ### Rollout beside raw attention
#
# The encoder's attention, and what has flowed together up to that layer. **Look at** the diagonal: a word looks elsewhere, but the residual connection
# keeps it where it is. **Try:** layer 1, head 0 to 3. The heads differ much; the rollout averages over them.

# %% id="rollout-view-shown" concepts=["C70"]
from course_lib.views import rollout_view

rollout_view(maps, source)

# %% [markdown] id="ablation" concepts=["C70", "C53"]
# ### Switch heads off
#
# All 24 heads of the model, cross-attention with its alignment error (AER). **Try:** first the best-aligned head of decoder layer 1, then others, then *all* of that
# row. Then all of “encoder layer 1”. Each click translates 40 unseen sentences anew, which takes up to a second.

# %% id="ablation-shown" concepts=["C70", "C53"]
from course_lib.views import head_ablation

head_ablation(translator, val[300:340], [sentence, "Jack ran in the park yesterday ."], errors)

# %% [markdown] id="bertviz" concepts=["C70"]
# ### The whole model at once
#
# bertviz (Vig 2019, *A Multiscale Visualization of Attention in the Transformer Model*) draws weights as lines between two columns of tokens. This is your model while it
# translates the sentence above. **Try:** choose *Cross* under “Attention”, layer 1, and point at 几.

# %% id="bertviz-shown" concepts=["C70"]
from course_lib.views import bertviz_view

bertviz_view(maps, source, target)

# %% [markdown] id="break" concepts=["C70"]
# ## 6. Break it: is attention an explanation?
#
# The documents do not ask. The literature has argued about it for years, and both sides measured. Here are three experiments, each with its expectation
# *before* the numbers.
#
# ### Experiment 1: switch off the head that knows best
#
# **Expectation, if a map explains the output:** without the best-aligned head the translation suffers most.

# %% id="experiment-heads" concepts=["C70", "C53"]
held_out = val[200:260]
references = [translator.finish(pair.target) for pair in held_out]


def bleu(off):
    with heads_off(model, off):
        outputs = translator.translate_all([pair.source for pair in held_out], DecodeConfig(beam_size=1))
    return evaluation.corpus_scores(outputs, references, "zh")["bleu"]["score"]


first = "decoder.layers.0.cross_attention"
print(f"all heads on: BLEU {bleu({}):.1f}")
single = {(name, h): bleu({name: [h]}) for name in (first, last) for h in range(4)}
for (name, h), points in sorted(single.items(), key=lambda item: errors[item[0][0]][item[0][1]]):
    print(f"without layer {name[15]} head {h}, alignment error {errors[name][h]:.2f}: BLEU {points:.1f}")
layers = {name: bleu({name: range(4)}) for name in (first, last)}
print(*(f"without all heads of layer {name[15]}: BLEU {points:.1f}" for name, points in layers.items()), sep="\n")
assert min(single.values()) > 95 and max(layers.values()) < 90

# %% [markdown] id="experiment-heads-seen" concepts=["C70"]
# The expectation fails. Any single head can go, the best-aligned one as well as the worst. **All four together** cannot. That is the
# $\min(x_1 + x_2, 1)$ of section 3: heads stand in for each other, and taking one away shows nothing of what they do together. Michel, Levy and Neubig
# 2019 found the same in large models.

# %% [markdown] id="experiment-occlusion" concepts=["C70"]
# ### Experiment 2: does the most weight mean the most effect?
#
# For each word that is written there are two orders of the source words: by attention weight, and by what leaving the word out does to the log-probability.
# **Expectation, if weight is importance:** a rank correlation near 1.

# %% id="experiment-occlusion-shown" concepts=["C70", "C53"]
def ranks_and_links(method):
    correlations, links = [], set()
    for n, pair in enumerate(held_out[:40]):
        effect, values = effects[n], method(n, pair)
        correlations += [interpretation.rank_correlation(a, b) for a, b in zip(values, effect)]
        links |= {((n, s), (n, t)) for t, s in enumerate(values.argmax(-1).tolist())}
    return sum(correlations) / len(correlations), evaluation.alignment_error_rate(links, truth)


def attention_of(name, head):
    return lambda n, pair: recorded[n][name][0, head, : len(pair.target.split()), :-1]


with_target = [(pair.source, pair.target) for pair in held_out[:40]]
effects = [interpretation.occlude_words(translator, *texts)[2][:-1] for texts in with_target]  # [Tt, Ts] each
slopes = [interpretation.gradient_times_input(translator, *texts)[2][:-1] for texts in with_target]
walks = [interpretation.integrate_words(translator, *texts, steps=16)[2][:-1] for texts in with_target]
recorded = [translator.attend(*texts)[2] for texts in with_target]
truth = {((n, s), (n, t)) for n, pair in enumerate(held_out[:40]) for s, t in pair.alignment}

measured = {f"attention, layer {name[15]} head {h}": ranks_and_links(attention_of(name, h))
            for name in (first, last) for h in range(4)}
measured["gradient × input"] = ranks_and_links(lambda n, pair: slopes[n])
measured["integrated gradients"] = ranks_and_links(lambda n, pair: walks[n])
measured["leaving words out"] = ranks_and_links(lambda n, pair: effects[n])
print("                            rank correlation    alignment error")
print("                          with leaving words out   of its top word")
for what, (correlation, error) in measured.items():
    print(f"{what:26} {correlation:12.2f} {error:21.2f}")
typical = {what: torch.cat([m.abs().amax(-1) for m in found]).median().item()
           for what, found in (("leaving out", effects), ("gradient × input", slopes), ("integrated", walks))}
print("the largest number of a row, typically (nats):", *(f"{what} {x:.3f}" for what, x in typical.items()), sep="  ")
attention_correlations = [c for what, (c, _) in measured.items() if what.startswith("attention")]
assert 0.15 < min(attention_correlations) and max(attention_correlations) < 0.65
assert measured["leaving words out"][1] < 0.25 < 0.4 < measured["gradient × input"][1]
assert measured["integrated gradients"][1] < 0.3 and typical["gradient × input"] < 0.1 < 1 < typical["leaving out"]

# %% [markdown] id="experiment-occlusion-seen" concepts=["C70"]
# Between the two answers: attention and effect are **related, loosely**. They agree on the word that matters most, for both find the true alignments
# well; on the order of the others they do not. And gradient × input, which sounds the most exact of all, is the worst here: the model is so sure of its words that the slope at this
# point is nearly flat, thousandths of a nat where leaving out costs several. **Integrated gradients** walk the whole way from no words to the sentence, across the steep part: their top
# words are the true alignments about as often as those of the best head. Look at all four:

# %% id="occlusion-view" concepts=["C70"]
from course_lib.views import occlusion_view

effect = interpretation.occlude_words(translator, some[0].source, some[0].target)[2]
past = some[0].target.split().index("了")
print(f"了: leaving “{some[0].source.split()[0]}” out costs {effect[past, 0]:.1f} nats")
assert some[0].source.startswith("Did ") and effect[past].argmax() == 0
occlusion_view(translator, some[:2])

# %% [markdown] id="occlusion-view-seen" concepts=["C70"]
# Find the row 了, the mark of the past. The heads look mostly at the question mark. The grammar says that 了 has no counterpart. Leaving out *Did* costs more than leaving out anything else: that is
# where English keeps the past. Integrated gradients say so, too. Here the experiment knows more than the map, and more than the gold.

# %% [markdown] id="integrated" concepts=["C70"]
# Integrated gradients have a property that can be checked: they go the whole way from “no words” (vectors of zeros) to the sentence, and their sum is the whole change of
# the log-probability (**completeness**). For 几 in the sentence of section 1:

# %% id="integrated-shown" concepts=["C70"]
source_ids = torch.tensor([translator.encode(sentence)])
target_in = torch.tensor([[tokenizer.bos_id, *target_ids[:-1]]])
vectors = (model.embedding(source_ids) * math.sqrt(model.config.d_model)).detach()  # [1, Ts, D]


def log_p_of_how_many(vectors):
    memory = model.encoder(model.positions(vectors), model.parts.padding_mask(source_ids, model.config.pad_id))
    return model.decode(target_in, memory, source_ids)[0, 7].log_softmax(-1)[target_ids[7]]


shares = interpretation.integrated_gradients(log_p_of_how_many, vectors, torch.zeros_like(vectors), steps=128).sum(-1)[0]
with torch.no_grad():
    change = (log_p_of_how_many(vectors) - log_p_of_how_many(torch.zeros_like(vectors))).item()
print(*(f"{word} {x:.1f}" for word, x in zip([*words, "[EOS]"], shares.tolist())), sep="  ")
print(f"sum {shares.sum().item():.2f}, log p with the words minus log p without: {change:.2f}")
assert abs(shares.sum().item() - change) < 0.05 * abs(change)

# %% [markdown] id="integrated-seen" concepts=["C70"]
# *How* and *many* get nearly equal shares, and the question mark gets one, too, though leaving it out alone cost next to nothing. The two numbers of the last line differ a
# little, because the way was walked in 128 steps. Leaving out and gradient × input have no such sum to check.

# %% [markdown] id="experiment-permute" concepts=["C70"]
# ### Experiment 3: the same weights, given to other words
#
# Jain and Wallace (2019) shuffled the attention of classifiers and often saw the same output: then the weights explain nothing. **Expectation for a translator:** it must
# know *which* word to translate, so the output changes.

# %% id="experiment-permute-shown" concepts=["C70"]
torch.manual_seed(0)


@torch.inference_mode()
def choices(edits):
    """The model's first choice for each word of the references."""
    found = []
    for pair in held_out[:40]:
        target = [tokenizer.bos_id, *tokenizer.encode(pair.target)]
        with edit_attention(model, edits):
            logits = model(torch.tensor([translator.encode(pair.source)]), torch.tensor([target]))
        found += logits[0].argmax(-1).tolist()
    return torch.tensor(found)


def shuffled(weights, heads=range(4)):
    weights = weights.clone()
    weights[:, list(heads)] = weights[:, list(heads)][..., torch.randperm(weights.shape[-1])]
    return weights


usual = choices({})
changed = {
    "cross-attention of layer 1, the best-aligned head": choices({last: lambda w: shuffled(w, [best])}),
    "cross-attention of layer 1, all heads": choices({last: shuffled}),
    "cross-attention of layer 0, all heads": choices({first: shuffled}),
    "self-attention of encoder layer 1, all heads": choices({"encoder.layers.1.attention": shuffled}),
}
changed = {what: (found != usual).float().mean().item() for what, found in changed.items()}
for what, share in changed.items():
    print(f"{what:50} {share:5.1%} of the choices change")
assert 0.3 < changed["cross-attention of layer 1, all heads"] < 0.75
assert changed["cross-attention of layer 1, the best-aligned head"] < 0.05 > changed["self-attention of encoder layer 1, all heads"]

# %% [markdown] id="experiment-permute-seen" concepts=["C70"]
# The expectation holds for cross-attention as a whole, and fails for encoder layer 1: shuffle its weights, and hardly anything changes. (The sentences of this grammar need
# little context to be understood. That is a fact about *this* model on *these* sentences.)

# %% [markdown] id="verdict" concepts=["C70"]
# ### So, is attention an explanation?
#
# | paper | what they did | what they said |
# |---|---|---|
# | Jain and Wallace 2019, *Attention is not Explanation* | classifiers: other weights, same output; weak correlation with gradients | weights are no faithful explanation |
# | Serrano and Smith 2019, *Is Attention Interpretable?* | set weights to 0, in order of size | large weights are often, not always, what matters |
# | Wiegreffe and Pinter 2019, *Attention is not not Explanation* | are those other weights ones that a model could have learned? | it depends on what “explanation” means; test it |
# | Bibal et al. 2022, *Is Attention Explanation? An Introduction to the Debate* | a survey | no single answer |
#
# **Our answer, from three measurements:** a map shows truthfully *where* a head looked. It was learned together with the task and agrees with true alignments. Whether that *mattered*
# it does not say: a single head never did, a layer of cross-attention did, and the last encoder layer hardly does. A map is a **hypothesis**. To test it, intervene: switch off, leave out, exchange, and measure.

# %% [markdown] id="documents" concepts=["C70"] documents=["004 §4.1", "000 §2.1"] errata=["E121", "E002"]
# ## 7. What the documents say, and what is true
#
# ### Weights, and what is called so
#
# Before a map can be read, it must be one. 004, §4.1, calls $QK^\top/\sqrt{d_k}$ the attention weights, without a softmax (E121); 000, §2.1, uses the *sum* of the weights (E002). What would these maps say of our
# sentence?

# %% id="documents-shown" concepts=["C70"] errata=["E121", "E002"] documents=["004 §4.1", "000 §2.1"]
torch.manual_seed(0)
query, key = torch.randn(4, 8), torch.randn(6, 8)
scores = query @ key.T / math.sqrt(8)
weights = scores.softmax(-1)
print("scores of a query: ", scores[0], "  sum", round(scores[0].sum().item(), 2))
print("weights of a query:", weights[0], "  sum", round(weights[0].sum().item(), 2))
print("sum of the weights, each query:", weights.sum(-1))
assert (scores < 0).any() and torch.allclose(weights.sum(-1), torch.ones(4))

# %% [markdown] id="documents-seen" concepts=["C70"] errata=["E121", "E002"]
# Scores are negative in places and comparable only within a row: a darker cell in another row means nothing. And the sum of a row of weights is 1 whatever
# the model does: it tells nothing.

# %% [markdown] id="pruning" concepts=["C70"] documents=["000 §6"] errata=["E032"]
# ### Pruning, as a way to train faster?
#
# 000, §6, item 2, counts pruning among methods for more efficient *training* (E032). You have just pruned heads, of a model that was trained already. What it
# saves comes afterwards, and not by setting numbers to 0:

# %% id="pruning-shown" concepts=["C70"] errata=["E032"] documents=["000 §6"]
layer = nn.Linear(64, 16)
layer.weight.data[:, 16:] = 0  # three of four heads are off
print("numbers multiplied:", layer.weight.numel(), "  of them zeros:", int((layer.weight == 0).sum()))
small = nn.Linear(16, 16)  # what a smaller matrix would need
print("after cutting the zeros out:", small.weight.numel())

# %% [markdown] id="contradictions" concepts=["C70"] documents=["000 §6", "001 §5", "002 §7", "004 §8.2", "004 §8.3"]
# ### Where the documents contradict each other
#
# | question | one says | another says | decided by |
# |---|---|---|---|
# | Do attention scores show what is relevant? | 000, §2.1: they measure relevance | 004, §8.3, item 4: outputs usually lack interpretability | experiments 1 to 3: **where** it looks, yes; **whether it matters**, only an intervention tells |
# | How does a model become interpretable? | 004, §8.2, item 5: by techniques that make it transparent | 004, §8.4, item 5: by causal analysis | switching off and leaving out *are* causal: you change one thing and see what follows |
#
# All five leave it at naming the challenge: 000, §6; 001, §5, item 5; 002, §7; 004, §8.2 and §8.3. None names a method. 001, §5, item 5, asks for “interpretability and interpretability” in two words for
# one thing (E163). A useful distinction (Jacovi and Goldberg 2020, *Towards Faithfully Interpretable NLP Systems: How Should We Define and Evaluate Faithfulness?*): **plausible** is what convinces a reader, **faithful** is
# what is true of the model. A map is plausible at once. Faithful it must be shown to be.

# %% [markdown] id="risk" concepts=["C70"] documents=["004 §8.2", "004 §8.3"]
# ### High-risk uses
#
# 004, §8.2, item 5, wants interpretable models for high-risk uses. Where a decision about a person depends on a model, a convincing picture that is not faithful is worse than none: it
# creates trust without ground. Ask of every explanation: what would it look like if it were wrong, and has anybody tried?

# %% [markdown] id="in-a-line" documents=["000 §2.1", "000 §6", "001 §5", "004 §4.1"] errata=["E002", "E032", "E121", "E163"]
# ### And in a line each
#
# | | said | better |
# |---|---|---|
# | E002 | 000: the sum of the weights makes the output | the weighted sum of the *values* |
# | E032 | 000: pruning makes training efficient | it makes a *trained* model smaller |
# | E121 | 004: $QK^\top/\sqrt{d_k}$ are the attention weights | scores; weights are their softmax |
# | E163 | 001: two words for interpretability, as if two challenges | plausible and faithful are two |

# %% [markdown] id="faq" concepts=["C70"] documents=["001 §6 Q5"]
# ## 8. The documents’ questions, answered
#
# **Are Transformers hard to interpret?** (001, §6 Q5, one of three limits named there.) Every number in them can be read, switched off and exchanged, as you did. Hard is to
# say what 868,096 of them do *together*, since parts stand in for each other. The tools are interventions, attributions with a property that can be checked (completeness), and probes: small classifiers that
# try to read a fact from a layer's states.

# %% [markdown] id="faq-translation" concepts=["C53"] documents=["004 §9 Q6"]
# **How do Transformers do in machine translation?** (004, §9 Q6; chapter 10 measures it on real sentences.) This chapter adds what an alignment shows: a model can translate word by word across languages that order words
# differently, because cross-attention finds each word's counterpart wherever it stands. Nobody has to tell it where.

# %% [markdown] id="exercises"
# ## 9. Exercises
#
# Write each in its cell, run it, then run the `check` below it: it says at once which value differs, and names the misunderstanding where it
# knows it. `hint("attention_rollout")` helps, if you are stuck.

# %% id="check-import"
from course_lib.workshop import check, hint, quiz

# %% exercise="alignment_error_rate"

# %% exercise="attention_rollout"

# %% exercise="occlusion"

# %% exercise="spot_the_bug_11"

# %% [markdown] id="quiz-intro"
# ### Quiz
#
# Every wrong option has its reason; try the one you believe in first.

# %% quiz="11"

# %% [markdown] id="recap" concepts=["C70", "C53"]
# ## 10. Recap
#
# - A map shows where a head looked. Against known alignments the best heads are good, and got so without being told.
# - Rollout follows attention through layers: heads averaged, identity added, rows divided, later layers from the left.
# - No single head mattered; a layer of them did. Where parts stand in for each other, taking one away shows nothing.
# - Weight and effect are related loosely. Leaving words out measures the effect, at the price of unusual sentences. A slope may be flat where the model is sure; integrated gradients
#   walk the whole way.
# - A map is a hypothesis about the model. An intervention tests it.
#
# **Read the code:** `course_lib/interpretation.py`, `course_lib/snapshots.py`, `course_lib/recording.py`. **Papers:** the four of section 6; Abnar and Zuidema 2020, *Quantifying Attention
# Flow in Transformers*; Michel, Levy and Neubig 2019, *Are Sixteen Heads Really Better than One?*; Sundararajan, Taly and Yan 2017, *Axiomatic Attribution for Deep Networks*, §3.
#
# **Next:** pretraining, on text alone, without translations (chapter 12, still to come). Which parts are yours by now?

# %% id="my-parts"
my_parts()
