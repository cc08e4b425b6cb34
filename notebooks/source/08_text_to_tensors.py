# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown] id="title" documents=["000 §5.3", "002 §3", "002 §4"]
# # 08 · From text to tensors
#
# A Transformer reads rows of numbers. Between your sentence and these rows stand four steps: cut, number, pad, look up.
# At the end of this chapter you can
#
# - learn byte-pair encoding from a handful of words with a pencil, and write it in twenty lines;
# - say what a tokenizer keeps and what it loses, and choose the size of a vocabulary;
# - make one tensor of sentences of different lengths, and say what the padding costs;
# - show that an embedding is a row of a table, why the row is multiplied by $\sqrt{d_{\text{model}}}$, and what training makes of it.
#
# **Time:** about 45 minutes, and an hour for the exercises. **You need:** Python’s dictionaries and tuples, and the padding
# mask of chapter 03. Numbers such as E057 name mistakes of the documents that this course is built on.

# %% id="imports"
import json
import math
import os
from collections import Counter
from itertools import pairwise

import tokenizers
import torch
import torch.nn.functional as F
from torch import nn

from course_lib import batches, masks, tokenizer
from course_lib.corpora import load_corpus
from course_lib.corpora.grammar import generate, join_chinese, join_english
from course_lib.tokenizer import SubwordSampler, Tokenizer
from course_lib.transformer import Transformer
from course_lib.translator import Translator
from course_lib.views import batch_explorer, bpe_explorer, embedding_map, kinds_of_words, predict, predict_number

torch.set_printoptions(precision=3, sci_mode=False)

# %% [markdown] id="question" concepts=["C08"] documents=["000 §5.3"]
# ## 1. The question
#
# Documents 000 and 002 turn “Hello, my dog is cute” into numbers with one call of a ready-made tokenizer. **Which numbers, and
# who decided?** What became of the capital letter, the comma, the spaces? And what would have happened to a word that nobody has
# ever seen?
#
# The small translator that comes with this course makes a number of each word:

# %% id="question-shown" concepts=["C08"]
translator = Translator.shipped()
for text in ("The dog is very cute.", "The dog is very cromulent."):
    ids = translator.tokenizer.encode(translator.prepare(text))
    print([f"{translator.tokenizer.token(id)} {id}" for id in ids])

# %% [markdown] id="question-seen" concepts=["C08"]
# Number 3 is `[UNK]`, *unknown*: whatever the word was, it is gone. Could one use characters instead? Then nothing is ever
# unknown, but sentences are long, and attention costs their *square* (chapter 03). Count both, in 6,000 sentence pairs of the course’s
# grammar:

# %% id="words-or-characters" concepts=["C08"]
corpus = generate(n_train=6000)  # English to Chinese; the words stand between spaces
pairs = corpus.splits["train"]
english = [join_english(pair.source) for pair in pairs]  # as one writes it: "Tom's book, please."
chinese = [join_chinese(pair.target) for pair in pairs]

n_words = sum(len(pair.source.split()) for pair in pairs) / len(pairs)
n_characters = sum(map(len, english)) / len(pairs)
print(f"words:      {n_words:5.1f} a sentence, {len({w for p in pairs for w in p.source.split()}):4} different ones")
print(f"characters: {n_characters:5.1f} a sentence, {len(set(''.join(english))):4} different ones")

# %% [markdown] id="between" concepts=["C08"]
# Many symbols and short sentences, or few symbols and long ones: and there is something in between. **Frequent words stay
# whole, rare ones are cut into pieces that occur elsewhere.** Nobody has to say which: counting is enough.

# %% [markdown] id="predict"
# ## 2. Predict
#
# Commit before you know. (The code of these cells is folded away, because the answers are in it.)

# %% id="predict-merge" concepts=["C08"] jupyter={"source_hidden": true} cellView="form"
# @title Predict first (the answer is in here)
predict(
    "A text holds <b>cat</b> 5 times, <b>cats</b> twice, <b>hat</b> 4 times and <b>chat</b> 3 times. Two neighbouring letters are "
    "to become one symbol: the pair that occurs most often. Which?",
    [
        ("c a", "Seven times: in cat and cats. In chat the c stands before an h."),
        ("h a", "Seven times: in hat and chat."),
        "a t",
        ("t s", "Twice, in cats."),
    ],
    "a t",
    "It occurs in every word: 5 + 2 + 4 + 3 = 14 times. You go on with this in a minute.",
)

# %% id="predict-length" concepts=["C08"] jupyter={"source_hidden": true} cellView="form"
# @title Predict first (the answer is in here)
predict(
    "English sentences of the corpus, cut with a vocabulary of <b>400</b> pieces, have 14 tokens on average. How many with "
    "<b>800</b> pieces?",
    [
        ("7: twice the pieces, half the length", "New pieces stand for rarer and rarer strings: each saves less than the one before."),
        "between 10 and 11",
        ("14: the frequent pieces are there already", "Frequent ones are, but whole words are still missing, and they do save something."),
        ("more than 14", "Another piece can only join what was apart: sentences never get longer."),
    ],
    "between 10 and 11",
    "You measure it in section 4. Below one token a word it cannot fall, because no piece reaches across a space.",
)

# %% id="predict-padding" concepts=["C08"] jupyter={"source_hidden": true} cellView="form"
# @title Predict first (the answer is in here)
predict_number(
    "Sentences of the corpus are thrown together at random and filled up to the longest of their batch. Which share of the places, "
    "source and target, is filling?",
    38,
    "More than a third, in the sentences of section 5: a batch is as wide as its longest sentence, and among thirty there is "
    "always a long one. Sorted by length it is about a tenth.",
    within=12,
    unit=" %",
)

# %% id="predict-kinds" concepts=["C09"] jupyter={"source_hidden": true} cellView="form"
# @title Predict first (the answer is in here)
predict_number(
    "Each word owns a row of numbers. Take words of eight kinds (people, animals, food, places, times, numbers, measure words, "
    "verbs), and for each the word whose row points most nearly the same way. In a new model that word is of the same kind "
    "10 times in 100: chance. How often in the translator that comes with this course?",
    68,
    "Nobody told it the kinds. But words that stand in the same places of sentences are read and written in the same ways, and "
    "training moves their rows alike. In section 5 you see it, and how much less of it fits on a flat map.",
    within=15,
    unit=" times in 100",
)

# %% [markdown] id="by-hand" concepts=["C08"]
# ## 3. By hand
#
# Byte-pair encoding (Gage 1994 for compression; Sennrich et al. 2016, §3.2, for translation) begins with single characters and
# repeats one step: **count all pairs of neighbours, merge the most frequent one.**
#
# | | words, cut | the pairs that count | merged |
# |---|---|---|---|
# | 0 | `c a t` ×5, `c a t s` ×2, `h a t` ×4, `c h a t` ×3 | **a t 14**, c a 7, h a 7, c h 3, t s 2 | `at` |
# | 1 | `c at` ×5, `c at s` ×2, `h at` ×4, `c h at` ×3 | **c at 7**, h at 7, c h 3, at s 2 | `cat` |
# | 2 | `cat` ×5, `cat s` ×2, `h at` ×4, `c h at` ×3 | **h at 7**, c h 3, cat s 2 | `hat` |
# | 3 | `cat` ×5, `cat s` ×2, `hat` ×4, `c hat` ×3 | **c hat 3**, cat s 2 | `chat` |
#
# In row 1 there is a **tie**. Somebody must decide; in this course the smallest pair goes first, as Python sorts: c before h.
# A word keeps its count, a pair never reaches across two words, and each merge adds one symbol to the vocabulary.

# %% id="by-hand-shown" concepts=["C08"]
words = {("c", "a", "t"): 5, ("c", "a", "t", "s"): 2, ("h", "a", "t"): 4, ("c", "h", "a", "t"): 3}
merges = []
for rank in range(4):
    pair = tokenizer.most_frequent_pair(words)
    words = tokenizer.merge_pair(words, pair)
    merges.append(pair)
    print(rank, pair, "->", words)
assert merges == [("a", "t"), ("c", "at"), ("h", "at"), ("c", "hat")]

# %% [markdown] id="new-word" concepts=["C08"]
# ### A new word
#
# What training leaves behind is the **list of merges**; the place in it is a merge’s *rank*. A new word goes through the same
# history: start from characters, and of the merges that are possible carry out the one with the lowest rank, until none is left. Take *chats*:
#
# 1. `c h a t s`: possible is only a t (rank 0) → `c h at s`
# 2. possible is only h at (rank 2) → `c hat s`
# 3. possible is only c hat (rank 3) → `chat s`. No merge joins chat and s: done.
#
# Nobody has ever seen *chats*, and nothing of it is lost. Do *that* and *hats* yourself, then run.

# %% id="new-word-shown" concepts=["C08"]
for word in ("chats", "that", "hats", "catch"):
    print(word, "->", tokenizer.bpe_encode(word, merges))

# %% [markdown] id="new-word-seen" concepts=["C08"]
# In *catch* the second c and the h stay apart: their pair occurred only before an *at*, which took the h first. The history
# decides, not the longest piece.

# %% [markdown] id="ids" concepts=["C08"]
# ### From pieces to ids
#
# A vocabulary is a numbered list. First come the **special tokens**, which stand for no text at all:
#
# | id | token | says |
# |---|---|---|
# | 0 | `[PAD]` | filling, nothing is here |
# | 1 | `[BOS]` | a sentence begins (the decoder reads it first) |
# | 2 | `[EOS]` | a sentence ends (the decoder writes it last) |
# | 3 | `[UNK]` | a character, or a word, that the vocabulary does not have |
#
# Then the characters, then one piece for each merge. BERT, in documents 000 and 002, has `[CLS]` and `[SEP]` around every text and
# `[MASK]` for its training (chapter 12). The numbers are names, not quantities: id 20 is not twice id 10.

# %% id="ids-by-hand" concepts=["C08"]
characters = sorted(set("".join(word for word in ("cat", "cats", "hat", "chat"))))
vocabulary = ["[PAD]", "[BOS]", "[EOS]", "[UNK]", *characters, *("".join(pair) for pair in merges)]
print({token: id for id, token in enumerate(vocabulary)})
print("chats ->", [vocabulary.index(piece) for piece in tokenizer.bpe_encode("chats", merges)])

# %% [markdown] id="lookup-by-hand" concepts=["C09"]
# ### From ids to vectors
#
# Each id owns a row of a table $W$ with $V$ rows and $d_{\text{model}}$ columns, learned like every other weight. *Embedding* a token
# means: take its row. With three ids and two features:
#
# $$W = \begin{pmatrix} 1 & 2 \\ 3 & 4 \\ 5 & 6 \end{pmatrix}, \qquad \text{ids } (2, 0, 2) \;\to\;
# \begin{pmatrix} 5 & 6 \\ 1 & 2 \\ 5 & 6 \end{pmatrix}$$
#
# The same with a matrix product: write id 2 as $(0, 0, 1)$, a **one-hot** row. Then $(0, 0, 1)\,W = (5, 6)$. The product is what the
# lookup *means*; the lookup is how it is done, without $V$ multiplications for each number.

# %% id="lookup" concepts=["C09"]
W = torch.tensor([[1.0, 2], [3, 4], [5, 6]])  # [V, D]
ids = torch.tensor([2, 0, 2])  # [T]
one_hot = F.one_hot(ids, num_classes=3).float()  # [T, V]
print(W[ids], one_hot, sep="\n")
torch.testing.assert_close(one_hot @ W, W[ids])
torch.testing.assert_close(nn.Embedding.from_pretrained(W)(ids), W[ids])

# %% [markdown] id="build" concepts=["C08"]
# ## 4. Build it
#
# ### Training, in a dozen lines
#
# A word is a tuple of symbols; a corpus is a dictionary from words to counts. (You will write both functions properly in the
# exercises; this toy merges by going through the word with an index.)

# %% id="toy" concepts=["C08"]
def pair_counts(words):
    counts = Counter()
    for word, count in words.items():
        for pair in pairwise(word):  # neighbours
            counts[pair] += count
    return counts


def merged(word, pair):
    symbols, i = [], 0
    while i < len(word):
        step = 2 if word[i : i + 2] == pair else 1
        symbols.append("".join(word[i : i + step]))
        i += step
    return tuple(symbols)


def learn(words, n_merges, smallest=lambda pair, merges: pair):
    merges = []
    for _ in range(n_merges):
        counts = pair_counts(words)
        pair = min(counts, key=lambda p: (-counts[p], smallest(p, merges)))  # most frequent; ties: the smallest
        merges.append(pair)
        new = Counter()
        for word, count in words.items():
            new[merged(word, pair)] += count
        words = new
    return merges


# %% id="toy-agrees" concepts=["C08"]
counts = Counter(word for pair in pairs[:2000] for word in pair.source.split())
start = {tuple(word): count for word, count in counts.items()}
by_hand = learn(start, 200)

words, by_library = start, []
for _ in range(200):
    by_library.append(tokenizer.most_frequent_pair(words))
    words = tokenizer.merge_pair(words, by_library[-1])
assert by_hand == by_library
print(len(counts), "different words; the first merges:", *("+".join(pair) for pair in by_hand[:12]))

# %% [markdown] id="beside" concepts=["C08"]
# ### Beside the library that everybody uses
#
# Hugging Face `tokenizers` has the same algorithm in Rust, and this course trains with it. Does it learn the same 200 merges from the
# same words?

# %% id="beside-shown" concepts=["C08"]
theirs = tokenizers.Tokenizer(tokenizers.models.BPE())
theirs.pre_tokenizer = tokenizers.pre_tokenizers.WhitespaceSplit()
alphabet = sorted(set("".join(counts)))
trainer = tokenizers.trainers.BpeTrainer(vocab_size=len(alphabet) + 200, special_tokens=[], show_progress=False)
theirs.train_from_iterator([pair.source for pair in pairs[:2000]], trainer)
their_merges = [tuple(pair) for pair in json.loads(theirs.to_str())["model"]["merges"]]

first = next(i for i in range(200) if by_hand[i] != their_merges[i])
print(f"the first {first} merges agree; then ours is {by_hand[first]}, theirs {their_merges[first]}")

# %% [markdown] id="tie" concepts=["C08"]
# So who is wrong? Cut the words with the merges that agree, and count the two pairs:

# %% id="tie-shown" concepts=["C08"]
words = start
for pair in by_hand[:first]:
    words = tokenizer.merge_pair(words, pair)
ours, other = (pair_counts(words)[pair] for pair in (by_hand[first], their_merges[first]))
print(f"{by_hand[first]}: {ours} times, {their_merges[first]}: {other} times")
assert ours == other

# %% [markdown] id="tie-seen" concepts=["C08"]
# Nobody: it is a **tie**. We take the pair that comes first in the alphabet; `tokenizers` takes the one with the smaller *ids*, that
# is, whose symbols were learned earlier. Give our toy that rule, and all 200 agree. The lesson is practical: a tokenizer is a
# **file to keep**, not something to learn again.

# %% id="tie-solved" concepts=["C08"]
def smaller_ids(pair, merges):
    known = [*alphabet, *("".join(merge) for merge in merges)]
    return [known.index(symbol) for symbol in pair]


assert learn(start, 200, smaller_ids) == their_merges
print("with their rule for ties, all 200 merges are the same")

for word in counts:  # and with the same merges every word is cut in the same way
    assert tokenizer.bpe_encode(word, their_merges) == theirs.encode(word).tokens
print(f"with the same merges, all {len(counts)} words are cut in the same way")

# %% [markdown] id="kept" concepts=["C08"] documents=["000 §5.3", "002 §4"]
# ### What is kept, and what is lost
#
# `Tokenizer` of the course adds what real text needs: both languages share one vocabulary, a space becomes a “▁” in front of its word, and no
# piece reaches across a punctuation mark, a digit, or the border between Chinese and other letters. Learn 2,000 pieces and send some texts
# there and back. **Look at** which come home unchanged.

# %% id="kept-shown" concepts=["C08"]
bpe = Tokenizer.train_bpe(english + chinese, vocab_size=2000)
by_words = Tokenizer.train_words([pair.source for pair in pairs])
for text in ("She is happy.", "She  SINGS\tloudly", "unhappiest teachers", "她买了两本书。", "a naïve dog 🙂"):
    print(repr(text), "->", *bpe.tokens(text))
    print("    and back:", repr(bpe.decode(bpe.encode(text))), "   as words:", repr(by_words.decode(by_words.encode(text))))

# %% [markdown] id="kept-seen" concepts=["C08"]
# | | pieces (BPE) | whole words |
# |---|---|---|
# | capital letters | kept; rare ones cost many tokens (SINGS) | lost: all is put into lower case here, as in BERT’s *uncased* |
# | spaces | several become one | the text must come cut already |
# | an unseen word | cut into known pieces | `[UNK]`, lost |
# | Chinese, written without spaces | characters and frequent groups of them | one unknown “word” |
# | an unseen character (ï, 🙂) | `[UNK]`, lost | the whole word is lost |
#
# A last way out is to begin with the 256 possible **bytes** in place of characters: then nothing is ever unknown (GPT-2 does
# this; Radford et al. 2019, §2.2). Round trip for every sentence of the corpus:

# %% id="round-trip" concepts=["C08"]
unseen = corpus.splits["test"]
unknown = 0
for text in [join_english(pair.source) for pair in unseen] + [join_chinese(pair.target) for pair in unseen]:
    ids = bpe.encode(text)
    unknown += bpe.unk_id in ids
    assert bpe.decode(ids) == text or bpe.unk_id in ids
print(f"{2 * len(unseen)} unseen sentences, and {unknown} of them with an unknown character; all others came back exactly")

# %% [markdown] id="size" concepts=["C08"]
# ### How large should the vocabulary be?
#
# More pieces: shorter sentences, and attention costs their square. But each piece owns a row of the table, and rare pieces are
# rarely trained. Measured on 1,000 unseen English sentences, with rows of 256 numbers:

# %% id="size-measured" concepts=["C08", "C09"]
texts = [join_english(pair.source) for pair in unseen]
tokens_at = {}
print("vocabulary   tokens a sentence   squared   numbers in the table (D = 256)")
for vocab_size in (100, 200, 400, 800, 1600):
    trained = Tokenizer.train_bpe(english, vocab_size)
    lengths = [len(ids) for ids in trained.encode_batch(texts)]
    tokens_at[vocab_size] = sum(lengths) / len(lengths)
    squared = sum(n * n for n in lengths) / len(lengths)
    print(f"{trained.vocab_size:10} {tokens_at[vocab_size]:19.1f} {squared:9.0f} {trained.vocab_size * 256:15,}")
encoded = by_words.encode_batch([pair.source for pair in unseen])
print(f"whole words: {by_words.vocab_size} of them, {sum(map(len, encoded)) / len(encoded):.1f} a sentence")
assert tokens_at[100] > tokens_at[200] > tokens_at[400] > tokens_at[800] > tokens_at[1600]
assert tokens_at[100] - tokens_at[200] > tokens_at[800] - tokens_at[1600]
assert 10 < tokens_at[800] < 11

# %% [markdown] id="size-seen" concepts=["C08"]
# Every doubling saves less than the one before. The vocabulary is a *hyperparameter*: for the 29,000 sentence pairs of Multi30k a few
# thousand pieces serve (chapter 09); BERT has 30,522 and GPT-2 50,257, from far more text. When a model is small, the table is much of it: 30,522 rows of 256
# are 7.8 million numbers.

# %% [markdown] id="many-ways" concepts=["C08"]
# ### One word, many ways
#
# The merges cut a word up in the same way each time. So a model that has *teacher* as one piece learns nothing from it about the
# *er* at its end, and has little to go on when an unseen word is made of pieces. *BPE-dropout* (Provilkov et al. 2020) passes
# over a possible merge now and then, while training: each epoch sees other pieces, all from the same vocabulary. The text is
# the same, a little longer in tokens. What is translated later is cut up as always. (Below first far too often, to be seen.)

# %% id="many-ways-shown" concepts=["C08"]
sampler, text = SubwordSampler(bpe, seed=0), "The teachers sing."
for epoch in range(4):
    (ids,) = sampler.at(epoch, dropout=0.25).encode_batch([text])
    print(f"epoch {epoch}:", *(bpe.token(id) for id in ids))
    assert bpe.decode(ids) == text
whole = sum(map(len, bpe.encode_batch(texts)))
for dropout in (0.0, 0.05, 0.1, 0.3):
    pieces = sum(map(len, sampler.at(0, dropout).encode_batch(texts)))
    print(f"dropout {dropout:.2f}: {pieces / whole - 1:4.0%} more tokens")

# %% [markdown] id="pad" concepts=["C08"] documents=["002 §4"]
# ### A rectangle of ids
#
# A tensor has rows of equal length; sentences have not. So the short ones are filled up, **on the right**, with the id of `[PAD]`. The
# true **lengths** are kept beside it, because afterwards nobody can be sure: an id that looks like filling may be a word.

# %% id="pad-shown" concepts=["C08"]
sentences = ["The dog sleeps.", "She is happy because Alice gave her a toy.", "He sings."]
id_lists = [[*bpe.encode(text), bpe.eos_id] for text in sentences]  # the end token belongs to the sentence

longest = max(len(ids) for ids in id_lists)
toy = torch.tensor([ids + [bpe.pad_id] * (longest - len(ids)) for ids in id_lists])  # [B, T]

ids, lengths = batches.pad_batch(id_lists, bpe.pad_id)
assert torch.equal(ids, toy)
print(ids, "lengths", lengths.tolist(), sep="\n")
print(f"{1 - lengths.sum() / ids.numel():.0%} of the places are filling")

# %% [markdown] id="mask" concepts=["C08"] documents=["002 §4"] errata=["E079"]
# From the lengths, or from the ids where no sentence holds the padding id, comes the **padding mask** of chapter 03: True where
# there is a token that may be attended to. It must travel with the ids wherever they go.

# %% id="mask-shown" concepts=["C08"] errata=["E079"]
from_lengths = torch.arange(ids.shape[1]) < lengths[:, None]  # [B, T]
mask = masks.padding_mask(ids, bpe.pad_id)  # [B, 1, 1, T]
assert torch.equal(mask[:, 0, 0], from_lengths)
print(from_lengths.int())

# %% [markdown] id="pair-batch" concepts=["C08"]
# A training batch holds pairs. The decoder *reads* the target from `[BOS]` on and must *write* it up to `[EOS]`: the same ids, one place
# apart, each with its own padding. Chapter 09 trains with these three tensors.

# %% id="pair-batch-shown" concepts=["C08"]
two = [("The dog sleeps.", "狗睡觉。"), ("He sings.", "他唱歌。")]
examples = [batches.Example([*bpe.encode(source), bpe.eos_id], bpe.encode(target)) for source, target in two]
(batch,) = batches.bucketed_batches(examples, 100, pad_id=0, bos_id=1, eos_id=2, shuffle=False)
print("source    ", batch.source.tolist(), "\ntarget_in ", batch.target_in.tolist(), "\ntarget_out", batch.target_out.tolist())

# %% [markdown] id="embedding" concepts=["C09"] documents=["002 §3", "003 §4"]
# ### The table, and √d_model
#
# `nn.Embedding(V, D)` is the table; document 003, §4, uses it rightly. The course’s model shares one table among source, target and output,
# and multiplies each row by $\sqrt{d_{\text{model}}}$ (Vaswani et al. 2017, §3.4). Why? As *output* weights the rows should be short, so
# that the logits of a new model stay small and no token is preferred; as *input* they are added to positions whose numbers lie between −1 and 1. The factor
# brings rows with a standard deviation of $1/\sqrt{D}$ to 1.

# %% id="embedding-shown" concepts=["C09"]
torch.manual_seed(0)
V, D = 2000, 256
table = nn.Embedding(V, D, padding_idx=bpe.pad_id)
nn.init.normal_(table.weight, std=D**-0.5)
looked_up = table(ids) * math.sqrt(D)  # [B, T] -> [B, T, D]
torch.testing.assert_close(looked_up, F.one_hot(ids, V).float() @ table.weight * math.sqrt(D))
print(list(ids.shape), "->", list(looked_up.shape), f"   {V * D:,} numbers in the table")
print(f"standard deviation: rows {table.weight.std():.3f}, times √D {looked_up[mask[:, 0, 0]].std():.2f}")

# %% [markdown] id="gradient" concepts=["C09"]
# In training only the rows that were read get a gradient, each as often as its token occurs. The row of `[PAD]` gets none:
# that is what `padding_idx` is for.

# %% id="gradient-shown" concepts=["C09"]
table(ids).sum().backward()
touched = table.weight.grad.abs().sum(1).nonzero().flatten()
print("rows with a gradient:", touched.tolist())
assert touched.tolist() == sorted(set(ids.flatten().tolist()) - {bpe.pad_id})
print("row of [PAD]:", table.weight.grad[bpe.pad_id].abs().max().item())

# %% [markdown] id="neighbours" concepts=["C09"]
# What do the rows become? In the translator that ships with the course, find the nearest rows by angle (cosine), and compare with a table
# of random numbers. **Look at** what the neighbours have in common.

# %% id="neighbours-shown" concepts=["C09"]
trained = F.normalize(translator.model.embedding.weight.detach(), dim=-1)
random = F.normalize(torch.randn(trained.shape, generator=torch.Generator().manual_seed(0)), dim=-1)
for word in ("cat", "eat", "monday", "three", "japan"):
    (id,) = translator.tokenizer.encode(word)
    for name, rows in (("trained", trained), ("random", random)):
        nearest = (rows @ rows[id]).topk(5).indices[1:].tolist()
        print(f"{word:7} {name:8}", *(f"{translator.tokenizer.token(i)} {rows[i] @ rows[id]:.2f} " for i in nearest))

# %% [markdown] id="neighbours-seen" concepts=["C09"]
# Random rows are neighbours by chance. The trained rows of words that are used alike, or translated alike, have come
# together: *cat* and *cats*, the forms of *eat*, days with days and numbers with numbers. Nobody told the model what a day is. It is
# not always so neat: the neighbours of *japan* make no sense, and need not. The model was trained to translate, not to sort words.

# %% [markdown] id="move" concepts=["C08"]
# ## 5. Move it
#
# ### Merge by merge
#
# **Guess** which pair comes next: count in the words on the left. After five right guesses drag the slider to the end, and watch the number
# of tokens a word fall while the vocabulary grows. **Then** type words of your own at the bottom, known and unknown ones, and see at which merge
# they become whole. Try *the therapist*, and a word with an é.

# %% id="merges-view" concepts=["C08"]
bpe_explorer(
    "the cat sat on the mat the cat ate the rat the rat ran that cat is fat the other cat is there "
    "then the mother and the father gather there they rather bathe the cat",
    "the therapist chats with that cat",
)

# %% [markdown] id="merges-seen" concepts=["C08"]
# *the* is whole after two merges, because it is everywhere; *rather*, which occurs once, is still r + ather at the end. Mark where words
# begin (“with ▁”): now the ▁the of *the* and *there* is another piece than the “the” within *bathe*, and a text can be put together
# again with its spaces.

# %% [markdown] id="batches-intro" concepts=["C08"]
# ### Batches and their padding
#
# A thousand real sentence pairs. Each rectangle is a batch, each of its rows a sentence, and what is orange is computed for nothing.
# **Try** the three orders; **then** make batches larger and smaller. Which order wastes least, and what might be wrong with it?

# %% id="batches-view" concepts=["C08"]
shown, _ = batches.encode_pairs(pairs[:1000], translator.tokenizer, max_len=60)
corpora = {"grammar": shown}
if os.environ.get("COURSE_DATA"):  # a folder with downloaded corpora
    captions = load_corpus("multi30k", "de-en").splits["train"][:4000]
    pieces = Tokenizer.train_bpe([text for pair in captions for text in (pair.source, pair.target)], vocab_size=4000)
    corpora["Multi30k"], _ = batches.encode_pairs(captions[:1000], pieces, max_len=60)

explorer = batch_explorer(corpora)
explorer

# %% id="batches-numbers" concepts=["C08"]
for order, number in explorer.numbers.items():
    print(f"{order:9} {number['batches']:3} batches, {number['padding']:5.1%} padding")
assert explorer.numbers["random"]["padding"] > 3 * explorer.numbers["bucketed"]["padding"]

# %% [markdown] id="batches-seen" concepts=["C08"]
# Sorted sentences leave least padding. But then short sentences always come first, and always the same ones together: the
# model would see a slanted sample at every step. So the course sorts within a pool, cuts, and **shuffles the batches**; and it
# counts *places*, not sentences, so that every step costs about the same. With fewer, larger batches the padding grows.

# %% [markdown] id="map" concepts=["C09"] documents=["002 §3", "003 §4"]
# ### A map of the table, before training and after
#
# In section 4 five words found their neighbours. Now 171 words of eight kinds, in both languages. A row has 128 numbers and a page has two directions;
# the map takes the two in which the rows differ most (their *principal components*). **Look at** which colours keep together on the right, then at the last line of
# the table: how much of the differences the map holds. **Try** *animals*; **then** *numbers*, and point at *two*: its nearest words by all 128 numbers need not
# be the nearest on the map.

# %% id="map-view" concepts=["C09"]
torch.manual_seed(0)
fresh = Transformer(translator.model.config)  # the same sizes, no training
kinds = kinds_of_words(translator.tokenizer)
tables = {"a new model": fresh.embedding.weight, "the trained model": translator.model.embedding.weight}

word_map = embedding_map(tables, kinds)
word_map

# %% [markdown] id="map-counting" concepts=["C09"]
# The eye is quick to find groups, also where there are none. So count: for each word find the nearest other one by the cosine of whole rows. Is it of the same kind? Of
# the same language?

# %% id="map-counted" concepts=["C09"]
word_ids = torch.tensor([id for words in kinds.values() for id in words.values()])
kind = torch.tensor([number for number, words in enumerate(kinds.values()) for _ in words])
english_word = torch.tensor([word[0].isascii() for words in kinds.values() for word in words])
same_kind = {}
for name, table in tables.items():
    rows = F.normalize(table.detach()[word_ids], dim=-1)  # [N, D]
    nearest = (rows @ rows.T).fill_diagonal_(-2).argmax(-1)  # [N]: the nearest other word
    same_kind[name] = (kind == kind[nearest]).float().mean().item()
    same_language = (english_word == english_word[nearest]).float().mean().item()
    print(f"{name:17} nearest of {len(rows)} words: of the same kind {same_kind[name]:.0%}, of the same language {same_language:.0%}")
    assert abs(same_kind[name] - word_map.numbers[name]["same_kind"]) < 0.02
trained_numbers = word_map.numbers["the trained model"]
assert same_kind["a new model"] < 0.25 < 0.5 < same_kind["the trained model"] and same_language > 0.8
print(f"on the map, of the same kind: {trained_numbers['on_the_map'][0]:.0%}")
assert trained_numbers["on_the_map"][0] < 0.7 * same_kind["the trained model"] and sum(trained_numbers["variance"][:2]) < 0.2

# %% [markdown] id="map-seen" concepts=["C09"]
# Training has sorted the words: two of three nearest words are of the same kind, where chance finds one in eight. And it has parted the
# languages: 猫 (cat) lies near 狗 (dog), *cat* near *monkey*, but *cat* and 猫 are strangers. Nothing pulls them together, because one is only
# read and the other only written.
#
# On the map it is one in three. **A flat picture of 128 directions hides more than it shows**: axes 1 and 2 hold less than a tenth of the differences, so
# what lies together on the map may be far apart, and neighbours may be parted. Axes 3 and 4 make another picture of the same rows. Read such maps for
# ideas, and count in the whole table.

# %% [markdown] id="break" concepts=["C08"] documents=["002 §4"] errata=["E079"]
# ## 6. Break it
#
# ### Forget the mask
#
# Take a short sentence, first alone, then in a batch with a long one, through the shipped model’s encoder: with the padding mask and
# without. Its vectors should be the same in any company.

# %% id="no-mask" concepts=["C08"] errata=["E079"] documents=["002 §4"]
model = translator.model
short, long = (translator.encode(text) for text in ("The dog is cute.", "She is happy because Alice gave her a toy."))
together, _ = batches.pad_batch([short, long], pad_id=0)
with torch.inference_mode():
    alone = model.encode(torch.tensor([short]))[0]  # [T, D]
    masked = model.encode(together)[0, : len(short)]
    unmasked = model.encoder(model.embed(together), None)[0, : len(short)]
print(f"typical size of these numbers:   {alone.std():.2f}")
print(f"in company, with the mask, they change by up to    {(masked - alone).abs().max():.0e}")
print(f"in company, without the mask, they change by up to {(unmasked - alone).abs().max():.2f}")
assert (masked - alone).abs().max() < 1e-3 < 0.1 < (unmasked - alone).abs().max()

# %% [markdown] id="swap" concepts=["C08"]
# ### Another tokenizer, the same model
#
# Ids are names that one tokenizer gives. Read the ids of one with another, and there is no error, only nonsense. This happens to
# everybody who learns the tokenizer again and keeps the model.

# %% id="swap-shown" concepts=["C08"]
other = Tokenizer.train_bpe(english[:3000] + chinese[:3000], vocab_size=2000)
ids = bpe.encode("She is happy because Alice gave her a toy.")
print("written and read by one: ", bpe.decode(ids))
print("read by the other:       ", other.decode(ids))
assert bpe.decode(ids) != other.decode(ids)

# %% [markdown] id="average" concepts=["C09"]
# ### Ids as quantities
#
# What would *between* two ids be? Between their rows there is a vector; between the numbers there is some third word.

# %% id="average-shown" concepts=["C09"]
dog, cat = (translator.tokenizer.encode(word)[0] for word in ("dog", "cat"))
middle = (dog + cat) // 2
print(f"dog is {dog}, cat is {cat}; half way lies {middle}: {translator.tokenizer.token(middle)!r}")

# %% [markdown] id="documents" concepts=["C08", "C09"] documents=["000 §5.3", "001 §4", "002 §3", "002 §4"] errata=["E027", "E057", "E079"]
# ## 7. What the documents say, and what is true
#
# None of the five documents explains how text becomes ids: they call a ready tokenizer (000, §5.3; 002, §4). The call does what you have built:
#
# | they call | it is |
# |---|---|
# | `BertTokenizer.from_pretrained(…)` | load a vocabulary and its rules: `Tokenizer.load` |
# | `tokenizer("Hello, my dog is cute", return_tensors="pt")` | cut, number, add `[CLS]` and `[SEP]`, pad; gives `input_ids` **and** `attention_mask` |
# | `tokenizer.encode(…, return_tensors="pt")` | the same, ids only |
#
# BERT cuts by WordPiece: it takes the longest known piece from the left and marks those *within* a word with `##`, where we mark the beginning with
# “▁”. Chapter 13 does it with the library itself; here is the sentence with the course’s own tokenizer:

# %% id="hello" concepts=["C08"] documents=["000 §5.3", "002 §4"]
print(bpe.tokens("Hello, my dog is cute"))
ids, lengths = batches.pad_batch([bpe.encode("Hello, my dog is cute")], bpe.pad_id)
print("ids", list(ids.shape), ids[0].tolist(), " lengths", lengths.tolist())

# %% [markdown] id="linear" concepts=["C09"] documents=["001 §4"] errata=["E057"]
# ### A linear layer is no embedding
#
# Document 001, §4, calls `nn.Linear(input_dim, output_dim)` its “input and output embedding layers” (E057). There is one layer, not two, and it
# cannot read ids; made to read them as numbers, it gives every word a multiple of one and the same vector.

# %% id="linear-shown" concepts=["C09"] documents=["001 §4"] errata=["E057"]
torch.manual_seed(0)
ids = torch.randint(0, 32, (5, 32))
try:
    nn.Linear(32, 8)(ids)
except RuntimeError as error:
    print("Linear on ids:", error)

as_number = nn.Linear(1, 8, bias=False)(torch.tensor([[10.0], [20.0]]))
print(f"ids 10 and 20 as numbers: the cosine between their vectors is {F.cosine_similarity(*as_number, dim=0):.3f}")

linear, table = nn.Linear(32, 8, bias=False), nn.Embedding(32, 8)
table.weight.data = linear.weight.data.T  # Linear stores [out, in]
torch.testing.assert_close(linear(F.one_hot(ids, 32).float()), table(ids))
print("on one-hot rows, a Linear without bias and an Embedding are the same:", list(table(ids).shape))

# %% [markdown] id="ids-only" concepts=["C08"] documents=["002 §4"] errata=["E079"]
# ### Ids alone are not enough
#
# 002, §4, takes `tokenizer.encode(…)`, the ids alone (E079). For *one* sentence that does no harm. In a batch, the padding is attended to: section 6
# has the numbers. And a list of unequal sentences cannot even become a tensor:

# %% id="ids-only-shown" concepts=["C08"] documents=["002 §4"] errata=["E079"]
try:
    torch.tensor(id_lists)
except ValueError as error:
    print("ValueError:", error)
print("padded:", list(batches.pad_batch(id_lists, bpe.pad_id)[0].shape))

# %% [markdown] id="no-logits" concepts=["C08"] documents=["000 §5.3"] errata=["E027"]
# ### An encoder has no opinion
#
# 000, §5.3, loads the bare model and asks for `outputs.logits` (E027). An encoder gives a vector for each token and has no classes. Somebody
# must add a layer that has, and train it. Here with the course’s encoder; with BERT in chapter 13:

# %% id="no-logits-shown" concepts=["C08"] documents=["000 §5.3"] errata=["E027"]
outputs = model.encode(torch.tensor([short]))  # [1, T, D]
try:
    outputs.logits
except AttributeError as error:
    print("AttributeError:", error)
head = nn.Linear(outputs.shape[-1], 2)  # two classes, not trained yet
print("vectors", list(outputs.shape), " logits of a new head on their mean:", list(head(outputs.mean(1)).shape))

# %% [markdown] id="vocabulary-out" concepts=["C08", "C09"] documents=["002 §3"] errata=["E076"]
# ### The way out: to the vocabulary, not to the length
#
# 002, §3, step 4, maps to “the dimension of the target sequence” (E076). The last layer maps each vector to one number for each of the $V$
# *tokens*; the length stays as it is. With a shared table its weights are the table itself:

# %% id="vocabulary-out-shown" concepts=["C09"] documents=["002 §3"] errata=["E076"]
states = torch.randn(2, 9, 64)  # [B, T, D]
table = nn.Embedding(13, 64)
logits = states @ table.weight.T  # [B, T, V]
assert logits.shape == (2, 9, 13)
print(list(states.shape), "->", list(logits.shape))

# %% [markdown] id="in-a-line" documents=["001 §4", "002 §3", "002 §4", "003 §4", "004 §3.2"] errata=["E031", "E056", "E061", "E070", "E078", "E080", "E086", "E110"]
# ### And in a line each
#
# | | said | better |
# |---|---|---|
# | E031 | 000, 002: a base checkpoint classifies | its head is random; train it first (chapter 13) |
# | E056 | 001: embedding width `output_dim`, model width `input_dim` | one width, $d_{\text{model}}$, or it does not run (chapter 07) |
# | E061 | 001: `nn.Transformer` includes the positions | it has none, and no embeddings either: you add both (chapter 07) |
# | E070 | 002: the *library* consists of attention, positions … | those are parts of the architecture; the library holds models, tokenizers, tools |
# | E078 | 002 “implements” BERT | it loads one |
# | E080 | 002: “parse the prediction” ends with logits | softmax, argmax, the name of the class, and no gradient |
# | E086 | 003: the input is cut into sub-sequences | into tokens, one vector each; heads share out the *features* (chapter 05) |
# | E110 | 004: embeddings go straight into the encoder | plus positions, or word order is lost (chapter 04) |
#
# Rightly said: 003, §4, uses `nn.Embedding(num_tokens, d_model)`; 002, §3, step 1, counts word embeddings among the parameters.

# %% [markdown] id="faq" concepts=["C08"]
# ## 8. The documents’ questions, answered
#
# None of the 25 questions of the documents is about text and ids, though one depends on it. Three that learners ask stand beside it.

# %% [markdown] id="faq-multilingual" concepts=["C08", "C58"] documents=["004 §9 Q10"] errata=["E159"]
# **How do Transformers fare with many languages?** (004, §9 Q10.) The answer there, that they translate between several languages at
# once, holds only if they were trained for it (E159): on data of these languages, with a tag such as `<2de>` in front that says which
# language is wanted, and with **one vocabulary** learned from all of them, so that names, numbers and related words share pieces. Languages
# with little text get few merges and long sentences; one draws them more often when learning the vocabulary. Chapter 13 goes on.

# %% [markdown] id="faq-size" concepts=["C08"]
# **Which vocabulary size should I take?** Try two or three and compare on validation data at equal training time. Small data want small
# vocabularies, because a piece that occurs five times in training learns little. Keep the tokenizer’s file with the model: they
# belong together for ever.

# %% [markdown] id="faq-wordpiece" concepts=["C08"]
# **Is WordPiece the same?** Nearly. It also merges pairs, but chooses the pair whose count is largest *relative to* the counts of its two
# parts, and cuts a new word by taking the longest known piece from the left. (Schuster & Nakajima 2012; Devlin et al. 2019, §3.) SentencePiece is
# a program that learns BPE or a *unigram* model from raw text, with “▁” for a space (Kudo & Richardson 2018).

# %% [markdown] id="faq-padding" concepts=["C08"]
# **Could one do without padding?** Yes: sentences can be packed behind each other in one long row, with a mask that keeps each to itself, or with
# attention functions that take the lengths. Sorting into batches of like lengths gets most of the gain for little code. And in a
# decoder padding on the right needs no mask at all: the causal mask hides it from every real token.

# %% [markdown] id="exercises"
# ## 9. Exercises
#
# Write each function in its cell, run it, then run the `check` below it: it answers at once, says which value differs, and names the
# misunderstanding where it knows it. `hint("merge_pair")` helps, if you are stuck.

# %% id="check-import"
from course_lib.workshop import check, hint, my_parts, quiz

# %% exercise="most_frequent_pair"

# %% exercise="merge_pair"

# %% exercise="bpe_encode"

# %% exercise="pad_batch"

# %% exercise="spot_the_bug_08"

# %% [markdown] id="quiz-intro"
# ### Quiz
#
# Every wrong option has its reason; try the one you believe in first.

# %% quiz="08"

# %% [markdown] id="recap" concepts=["C08", "C09"]
# ## 10. Recap
#
# - Byte-pair encoding: count pairs of neighbours, merge the most frequent, repeat. What remains is a list of merges.
# - A new word goes through the same merges, lowest rank first. Unknown *words* disappear as a problem; unknown *characters* remain.
# - A larger vocabulary makes sentences shorter, with falling returns, and the table larger.
# - Passing over merges at random while training shows a model the pieces inside its words.
# - Ids are names. A model and its tokenizer belong together.
# - A batch is a rectangle with its lengths; the mask travels with it. Batches of like lengths waste little.
# - An embedding is a row of a table, equal to one-hot times matrix, times $\sqrt{d_{\text{model}}}$. Training brings words of a kind together; a flat map shows only part of it.
#
# **Read the code:** `course_lib/tokenizer.py`, `course_lib/batches.py`, `embed` in `course_lib/transformer.py`, `course_lib/views/embeddings.py`. **Papers:** Sennrich, Haddow & Birch
# 2016, *Neural Machine Translation of Rare Words with Subword Units*; Provilkov, Emelianenko & Voita 2020, *BPE-Dropout*; Vaswani et al. 2017, *Attention Is All You Need*, §3.4; Kudo & Richardson
# 2018, *SentencePiece*; Press & Wolf 2017, *Using the Output Embedding to Improve Language Models*.
#
# **Next:** [chapter 09](09_training.ipynb) trains the model on such batches. What is yours by now?

# %% id="my-parts"
my_parts()
