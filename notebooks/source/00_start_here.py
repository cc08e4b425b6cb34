# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown] id="title" documents=["000 §1","001 §1","002 §1","003 §1","004 §1"]
# # 00 · Start here: the tour, in ten minutes
#
# In ten minutes you will have translated a sentence of your own with a Transformer, watched which words it looked at,
# built the one operation that makes it work, and seen how this course goes on from there.
#
# You need Python and patience for a little algebra. A graphics card is not needed: everything runs on two processor
# cores, and without a network.

# %% [markdown] id="question"
# ## 1. The question
#
# Here is an English sentence. Below each word stands its partner in the Chinese translation, and how to say it:
#
# | the | book | that | you | bought | is | very | interesting | . |
# |---|---|---|---|---|---|---|---|---|
# | | 书 *shū* | 的 *de* | 你 *nǐ* | 买 *mǎi* | | 非常 *fēicháng* | 有意思 *yǒu yìsi* | 。 |
#
# But the Chinese sentence is 你买的书非常有意思。: *you – bought – that – book – very – interesting*. What comes first in
# English comes fourth in Chinese, some words have no partner, and nobody tells the model which is which. It sees pairs
# of whole sentences and nothing else.
#
# **How does it find out where to look?**
#
# The next cell loads a small model that was trained on two cores in a few minutes, with the code of this course.

# %% id="first-translation" concepts=["C01"]
from course_lib.translator import Translator

translator = Translator.shipped()
for sentence in ["The book that you bought is very interesting.", "Did your mother drink tea yesterday?"]:
    print(sentence, "→", translator.translate(sentence))

# %% [markdown] id="predict-intro"
# ## 2. Predict
#
# In this course you commit to an answer before a picture shows you one. A wrong guess costs nothing, and is
# remembered longer than a right one. Here is the first. (The code of such cells is folded away: the answer is in it.)

# %% id="predict-where" jupyter={"source_hidden": true} cellView="form"
# @title Predict first (the answer is in here)
from course_lib.views import predict

predict(
    "The model is about to write 书 (book), its fourth word. At which English word does it look most?",
    [
        ("“you”, the fourth word", "Counting along works only for languages with the same word order."),
        "“book”, the second word",
        ("all words alike", "Then it would not matter where in the sentence it is."),
        ("the Chinese word before it", "It looks at that one too, with other weights. Here we ask about English."),
    ],
    answer="“book”, the second word",
    why="Its weights on the English words are computed anew for every word that it writes. Section 5 shows them.",
)

# %% [markdown] id="by-hand"
# ## 3. By hand
#
# “Looking at” is a weighted mean, and nothing more mysterious. Take three English words. Each has a *score* that says
# how well it fits what the model wants to know now, and a *value*, the information that it has to offer:
#
# | word | score | $e^{\text{score}}$ | weight | value |
# |---|---|---|---|---|
# | the | 0 | 1.00 | 1.00 / 11.11 = 0.090 | 1 |
# | book | 2 | 7.39 | 7.39 / 11.11 = 0.665 | 10 |
# | you | 1 | 2.72 | 2.72 / 11.11 = 0.245 | 4 |
#
# The weights are positive and sum to 1; that is what *softmax* does. The result is
# $0.090 \cdot 1 + 0.665 \cdot 10 + 0.245 \cdot 4 = 7.72$: mostly *book*, and a little of the others.

# %% id="by-hand-confirmed"
import torch

scores = torch.tensor([0.0, 2.0, 1.0])
values = torch.tensor([1.0, 10.0, 4.0])
weights = scores.exp() / scores.exp().sum()
print("weights", [round(w, 3) for w in weights.tolist()], " result", round((weights @ values).item(), 2))

# %% [markdown] id="build"
# ## 4. Build it
#
# Where do scores come from? Each word asks with a vector of numbers, its *query*, and answers with another, its *key*.
# The score is their dot product: large when they point the same way. That is the whole operation, four lines:

# %% id="build-attention"


def my_attention(query, key, value):
    scores = query @ key.T / query.shape[-1] ** 0.5  # [Tq, Tk]: how well each key fits each query
    weights = scores.exp() / scores.exp().sum(-1, keepdim=True)  # [Tq, Tk]: each row sums to 1
    return weights @ value  # [Tq, D]: for each query a weighted mean of the values


# %% [markdown] id="build-compare"
# The library of this course has the same operation, with masks, many heads and a care for large numbers. Every chapter
# builds a part once in small, then takes the library's, and makes sure that both agree:

# %% id="build-agree"
from course_lib.attention import scaled_dot_product_attention

torch.manual_seed(0)
query, key, value = torch.randn(2, 4), torch.randn(3, 4), torch.randn(3, 4)
torch.testing.assert_close(my_attention(query, key, value), scaled_dot_product_attention(query, key, value))
print("the same numbers: two queries looked at three keys")

# %% [markdown] id="move"
# ## 5. Move it
#
# Now your own sentence. The small model knows a few hundred everyday words: people, places, times, food, animals,
# questions, comparisons. Type one and press Enter, or press an example.
#
# Below it is the map of what it looked at. **A row is a Chinese word that it wrote, a column an English word that it
# read, and the darker the cell, the more weight.** Point at a cell, or use the arrow keys, to read the number. Try the
# other heads: they have found different things to do.

# %% id="own-sentence"
from course_lib.views import translate_and_attend

translate_and_attend(
    translator,
    "The book that you bought is very interesting.",
    examples=[
        "Linda is taller than her older brother.",
        "My mother bought two cups of tea yesterday.",
        "Have you ever been to China?",
        "If it rains tomorrow, we will stay at home.",
    ],
)

# %% [markdown] id="gold-intro"
# ### Does it look where a person would?
#
# Usually nobody can say. Here we can: the sentences come from a grammar that writes both languages at once, so **the
# true partner of every word is on record**. The model was never shown it. The next cell takes 300 sentences that the
# model has not read either, links every Chinese word to the English word with the largest weight, and counts wrong
# links (the *alignment error rate*: 0 is perfect). For comparison: a rule that links word by word, first to first,
# second to second.

# %% id="gold-count" concepts=["C01"]
from course_lib.corpora import load_corpus
from course_lib.evaluation import alignment_error_rate
from course_lib.translator import head_alignment_errors

unseen = load_corpus("grammar").splits["test"][:300]
gold = {(n, *link) for n, pair in enumerate(unseen) for link in pair.alignment}
in_order = {(n, j, j) for n, pair in enumerate(unseen) for j in range(len(pair.target.split()))}
print(f"first to first, second to second: {alignment_error_rate(in_order, gold):.2f}")
errors = head_alignment_errors(translator, unseen)
for name, heads in errors.items():
    print(f"{name}:", "  ".join(f"head {h}: {error:.2f}" for h, error in enumerate(heads)))
best = min((error, layer, head) for layer, heads in enumerate(errors.values()) for head, error in enumerate(heads))
print(f"the best: layer {best[1]}, head {best[2]}, alignment error rate {best[0]:.2f}")

# %% [markdown] id="gold-picture-intro"
# And this is the best head at work on one sentence. **A green outline marks a true pair.** Count the outlines that are
# dark. Where the darkest cell of a row has no outline, this head has looked elsewhere; another one may do that word.

# %% id="gold-picture" concepts=["C01"]
from course_lib.corpora.grammar import join_english, pinyin
from course_lib.views import attention_heatmap

pair = next(p for p in unseen if p.source.startswith("The ") and p.source.split()[2] == "that")  # “The … that …”
print(join_english(pair.source), "→", translator.finish(pair.target))
source_words, target_words, maps = translator.attend(pair.source, target=pair.target)
labels = [word if pinyin(word) == word or "[" in word else f"{word} {pinyin(word)}" for word in target_words]
attention_heatmap(maps, source_words, labels, kind="cross", layer=best[1], head=best[2], gold=pair.alignment)

# %% [markdown] id="break"
# ## 6. Break it
#
# A model knows what it was trained on. Two ways to see where that ends:

# %% id="break-it"
for sentence in [
    "The book that you bought is very interesting.",
    "You that bought is book the very interesting.",  # the same words in another order
    "The parallelogram that you bought is very interesting.",  # a word that it has never met
]:
    print(sentence, "→", translator.translate(sentence), translator.unknown_words(sentence) or "")

# %% [markdown] id="break-why"
# The shuffled words it tidies up into a sentence that it could have met: nobody ever showed it bad English. The word that it does
# not know reaches it as [UNK], and it fills the gap with one that is likely there. It says so with the same confidence as
# everything else. Larger models know more words; the habit stays.

# %% [markdown] id="documents"
# ## 7. What the documents say, and what is true
#
# This course follows five Chinese articles about Transformers, called document 000 to 004 here. They cover the whole
# field, from recurrent networks to fine-tuning. They also contain 163 mistakes, 42 of which teach the reverse of how
# the thing works or are code that cannot run.
#
# We keep them, on purpose. A mistake that somebody made in print is one that you can make too. Every chapter
# takes those of its subject, each with a number such as E104, and wherever possible *runs* the claim and lets you watch
# it fail. Some become exercises: you repair them.

# %% [markdown] id="map-intro"
# ### A map that lost its subject
#
# Document 004, §2.2 draws the field as a graph (E104). Below are its four arrows. What can be reached from the box
# “Transformer” is marked, and the box itself.

# %% id="map-broken" concepts=["C01"] errata=["E104"] documents=["004 §2.2"]
from course_lib.views import concept_map


def reachable(edges, start):
    """All concepts that arrows lead to from `start`."""
    found, waiting = set(), {start}
    while waiting:
        found |= waiting
        waiting = {b for a, _, b in edges if a in waiting} - found
    return found - {start}


printed = [
    ("sequence model", "→", "self-attention"),
    ("sequence model", "→", "Transformer"),
    ("self-attention", "→", "multi-head self-attention"),
    ("multi-head self-attention", "→", "feed-forward network"),
]
print("reachable from the Transformer:", reachable(printed, "Transformer") or "nothing")
concept_map(printed, marked={"Transformer"}, alt="Document 004: no arrow leaves “Transformer”: it is made of nothing.")

# %% [markdown] id="map-why"
# The text below that figure says the Transformer *combines* self-attention and feed-forward networks. In the figure it
# combines nothing, and attention turns into a feed-forward network. The arrows have no fixed meaning. A map becomes
# useful when each arrow says what it means, so ours have two kinds: *has the kind*, and *is made of*.

# %% id="map-repaired" concepts=["C01"] errata=["E103","E104","E105"] documents=["004 §2.1","004 §2.2","004 §3.1"]
kinds = {"sequence model": ["RNN, LSTM, GRU", "Transformer", "CNN"]}
made_of = {
    "Transformer": ["embeddings and positions", "encoder", "decoder", "output layer"],
    "encoder": ["N encoder layers"],
    "decoder": ["N decoder layers"],
    "N encoder layers": ["self-attention", "feed-forward network", "residual and norm"],
    "N decoder layers": ["masked self-attention", "cross-attention", "feed-forward network", "residual and norm"],
    "self-attention": ["multi-head attention"],
    "masked self-attention": ["multi-head attention"],
    "cross-attention": ["multi-head attention"],
}
repaired = [
    (a, relation, b)
    for relation, table in [("has the kind", kinds), ("is made of", made_of)]
    for a, parts in table.items()
    for b in parts
]
found = reachable(repaired, "Transformer")
assert {"self-attention", "cross-attention", "feed-forward network"} <= found
print(f"reachable from the Transformer: {len(found)} concepts")
concept_map(repaired, marked=found | {"Transformer"}, alt="Repaired: what a Transformer is made of is marked.")

# %% [markdown] id="map-lines" errata=["E100","E103","E105"] documents=["004 §1","004 §2.1","004 §3.1"]
# The same document, in three more places:
#
# | document 004 says | what is true |
# |---|---|
# | §1: sequence models work element by element (E100) | Only recurrent ones do. Convolutions and Transformers read all positions at once (chapter 01 shows it). |
# | §2.1: self-attention and the Transformer are two implementations of attention (E103) | One is an operation, the other an architecture that contains it: see the map. |
# | §3.1: a sequence model usually has an encoder and a decoder (E105) | A translator has both. A classifier such as BERT has an encoder only, a language model such as GPT-2 a decoder only. |

# %% [markdown] id="background" errata=["E001","E163"] documents=["000 §1","000 Conclusion","001 §1","002 §1","003 §1"]
# All five begin with the same story (§1 of each, and the conclusion of 000): recurrent networks, then attention, in 2017
# the Transformer, then libraries of pretrained models. As a story it is right. Two remarks:
#
# | document | what is true |
# |---|---|
# | 000, §1: BERT, GPT-2 and RoBERTa excel at summarising and translating (E001) | BERT and RoBERTa have an encoder only and write nothing; GPT-2 writes, but translates weakly. The models of that time that did both well have two halves, like the one above. |
# | 003 numbers two sections 4; 001 and 002 print the heading of §1 twice (E163) | “Document 003, §4” in this course means either of the two. |

# %% [markdown] id="timeline-intro"
# ### Who had which idea, and when
#
# Look at the gap before 2014, and at how quickly everything came after it.

# %% id="timeline" concepts=["C61"] errata=["E039","E145","E146","E149","E152"] documents=["001 §1.3","002 §6","003 §6","004 §7.1","004 §7.3"]
from course_lib.views import timeline

timeline()

# %% [markdown] id="timeline-lines" errata=["E039","E145","E146","E149","E152"] documents=["001 §1.3","004 §7.1","004 §7.3"]
# What the documents say about these papers:
#
# | document | what is true |
# |---|---|
# | 004, §7.1: the original paper is “Transformer: A Deep Learning Machine Translation Model” (E145) | No such paper exists. §7.3 of the same document has the right title, *Attention Is All You Need*. |
# | 004, §7.1: *Sequence to Sequence Learning* is the theory behind the Transformer (E146) | It is an LSTM that reads and an LSTM that writes. The step between the two, attention, is missing from the list. |
# | 004, §7.3: the Transformer paper began the age of large pretrained models (E149) | It has no pretraining. It gave the architecture; GPT and BERT gave the method a year later. |
# | 004, §7.3: its five papers show the development of fine-tuning (E152) | Two do. One is the architecture, two are pretraining, and LoRA, which AdaLoRA builds on, is not among them. |
# | 001, §1.3: attention is from 2015, to reach distant words (E039) | First public in September 2014, and made to remove the single vector through which a whole sentence had to pass. |

# %% [markdown] id="machine-intro"
# ### Your machine
#
# Document 004, §5.1 wants a GPU or TPU, a Python 3.8 environment and a conda command (E128, E129). The command was
# right in 2021. PyTorch has left conda since, and the libraries say themselves which Python they need:

# %% id="requirements" concepts=["C45"] errata=["E026","E128"] documents=["000 §5.1","004 §5.1"]
from importlib.metadata import PackageNotFoundError, metadata, requires

try:
    for package in ("torch", "transformers"):
        print(f"{package} {metadata(package)['Version']} wants Python {metadata(package)['Requires-Python']}")
    always = [line for line in requires("transformers") if line.startswith("torch") and "extra ==" not in line]
    print("transformers asks for torch:", always or "only as an extra")
except PackageNotFoundError as error:
    print("not installed here:", error)

# %% [markdown] id="machine-lines" concepts=["C45"] errata=["E026","E128","E129","E147","E148"] documents=["000 §5.1","004 §5.1","004 §7.2"]
# So `pip install transformers` alone (document 000, §5.1) gives a library without the PyTorch it needs (E026): write
# `pip install torch transformers`. Since its version 5 it runs on PyTorch only, not on TensorFlow (E147). Colab's
# free GPUs and TPUs (document 004, §7.2) are limited and not promised to anyone (E148), and a CUDA installation does nothing
# for a TPU (E129). This course needs neither. Here is what it finds on your machine:

# %% id="machine" concepts=["C45"] errata=["E129","E148"]
from course_lib.doctor import examine

marks = {"ok": "✓", "warning": "!", "broken": "✗"}
for finding in examine():
    print(
        marks[finding.status], f"{finding.name:12} {finding.found}", f"\n  → {finding.advice}" if finding.advice else ""
    )

# %% [markdown] id="how"
# ## 8. How the course works
#
# Every chapter goes the same way: a question · **predict** · derive it **by hand** on numbers small enough to check ·
# **build** it · **move** it with sliders and pictures · **break** it · what the documents say, and what is true · the
# documents' own questions, answered · exercises.
#
# The exercises are the heart of it. Each asks for one part of a Transformer. `check` runs your code and answers within
# a second; a wrong answer is compared with the results of known misunderstandings, so that you hear *what* went
# wrong. **A part that passes is kept, and runs in your model from then on.** The model of chapter 09 can be made
# of parts that you wrote.

# %% [markdown] id="first-check"
# ## 9. Exercises
#
# See what a wrong answer sounds like. Document 001, §3.1 makes weights out of scores by dividing each by their sum. This cell does
# just that, and asks `check` for its opinion:

# %% id="wrong-softmax"
from course_lib.workshop import check


def softmax(x):
    return x / x.sum(-1, keepdim=True)


check("softmax")

# %% [markdown] id="first-part"
# Now repair it: you have seen the right line in section 3, and `check` will tell you about the one thing that section kept
# quiet about. Change `softmax` above and run the cell again. When it passes, you own the first part of your
# Transformer. There is no hurry; chapter 03 returns to it.
#
# The next one belongs to this chapter. Replace what is wrong, run the cell, and run the check below it.

# %% exercise="spot_the_bug_00"

# %% [markdown] id="quiz-heading"
# ### What did you take with you?

# %% id="quiz-import"
from course_lib.workshop import quiz

# %% quiz="00"

# %% [markdown] id="chapters"
# ## 10. What you will build
#
# | | chapter | you will have |
# |---|---|---|
# | 00 | Start here | this tour |
# | **I** | **Sequences and attention** | |
# | 01 | [Sequence models: RNN, GRU, LSTM, CNN, and their bottleneck](01_sequence_models.ipynb) | an LSTM, and a measure of what it forgets |
# | 02 | [Attention is alignment (Bahdanau)](02_alignment.ipynb) | the first attention, as it was invented |
# | **II** | **The Transformer, part by part** | |
# | 03 | [Scaled dot-product attention and masks](03_attention.ipynb) | the heart of it |
# | 04 | [Position](04_position.ipynb) | sinusoids, learned tables, rotations |
# | 05 | [Many heads](05_many_heads.ipynb) | multi-head attention |
# | 06 | [Feed-forward, residuals, normalisation: the encoder](06_encoder.ipynb) | an encoder layer |
# | 07 | [The decoder and the whole Transformer](07_transformer.ipynb) | the whole model |
# | **III** | **It translates** | |
# | 08 | [From text to tensors](08_text_to_tensors.ipynb) | a tokenizer |
# | 09 | [Training](09_training.ipynb) | a translator, trained by you |
# | 10 | [Decoding and measuring](10_decoding.ipynb) | beam search, BLEU |
# | 11 | [Looking inside](11_looking_inside.ipynb) | what heads do, measured |
# | **IV** | **Pretraining and the libraries** | |
# | 12–14 | Pretraining · Hugging Face and PyTorch · Fine-tuning | BERT's training, LoRA |
# | **V** | **Generation, scale, frontiers** | |
# | 15–17 | A language model of your own · Efficient Transformers · Beyond | |

# %% [markdown] id="recap" concepts=["C01","C45","C61"]
# ### Recap
#
# - A sequence model maps sequences of any length. A Transformer is one kind; recurrent and convolutional networks are others.
# - Attention is a weighted mean of values. The weights come from comparing queries with keys, anew for every word.
# - Nobody told the model which word belongs to which. It learned where to look because looking there made its
#   translations better.
# - Printed does not mean true: ask for a cell that shows it.
#
# **Files to read**: `course_lib/attention.py` (the operation), `course_lib/translator.py` (what the box above called).
#
# **Papers**: Bahdanau, Cho, Bengio (2014), *Neural Machine Translation by Jointly Learning to Align and Translate*, §3;
# Vaswani and others (2017), *Attention Is All You Need*, §3.2.
#
# **Next:** [chapter 01](01_sequence_models.ipynb) asks what a sequence is, and how networks read one before attention.
# In a hurry? [Chapter 03](03_attention.ipynb) takes the operation apart, and [chapter 09](09_training.ipynb) trains the
# model that you have just used.
