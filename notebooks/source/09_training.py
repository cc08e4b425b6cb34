# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown] id="title" documents=["002 §3","004 §5.1","004 §5.2","004 §5.3","004 §5.4"]
# # 09 · Training
#
# You have a model whose numbers are random. In this chapter you write the loop that makes a translator of it, and run
# it. At the end you can
#
# - compute a cross-entropy, a smoothed one and one Adam step on paper;
# - say what the decoder reads and what it must predict, and why they are one place apart;
# - write a training loop and an evaluation that tell the truth;
# - stop a run and go on with the very same losses, compute in 16 bits, and share a batch among processes;
# - choose hyperparameters, and know which differences are noise;
# - find a dozen mistakes in a published training script, and repair it;
# - train a translation model in two minutes, and a larger one with one changed line.
#
# **Time:** about an hour, two minutes of it training, and another hour for the exercises. **You need:** chapter 07's model
# as a black box (ids in, logits out). Numbers such as E133 name mistakes of the documents that this course is built on.

# %% id="imports"
import io
import math
import os
import time
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import nn

from course_lib.batches import pad_batch
from course_lib.config import PRESETS, ModelConfig
from course_lib.losses import smoothed_cross_entropy
from course_lib.transformer import Transformer, shift_right
from course_lib.views import (
    TrainingDashboard,
    descent_explorer,
    plot_metrics,
    plot_scores_by_time,
    predict,
    predict_number,
    schedule_view,
)
from course_lib.workshop import my_parts

torch.set_printoptions(precision=4, sci_mode=False)

# %% [markdown] id="question" concepts=["C33"] documents=["004 §5.2"]
# ## 1. The question
#
# Here is the model of chapter 07 with random weights, in the sizes of a toy: ten “words”, the ids 3 to 12, and its task
# is to write a sequence backwards. It has never seen an example. **Which numbers have to change, in which direction,
# and who tells them?**

# %% id="random-model" concepts=["C33"]
PAD, BOS, EOS, V = 0, 1, 2, 13
CONFIG = ModelConfig(vocab_size=V, d_model=64, n_heads=4, d_ff=128, n_layers=2, dropout=0.0, max_len=16)


def write(model, source):
    """What the model makes of one source: greedily, token by token."""
    ids = [BOS]
    while len(ids) < 10 and ids[-1] != EOS:
        ids.append(model(torch.tensor([source]), torch.tensor([ids]))[0, -1].argmax().item())
    return ids[1:]


torch.manual_seed(0)
model = Transformer(CONFIG)
print(f"{sum(p.numel() for p in model.parameters()):,} random numbers")
print("3 4 5 6 7 backwards:", write(model, [3, 4, 5, 6, 7, EOS]))

# %% [markdown] id="predict"
# ## 2. Predict
#
# Before anything is trained, you can say what the loss will be. The model knows nothing, so at best it gives each of the
# 13 ids the same probability. (The code of these cells is folded away, because the answers are in it.)

# %% id="predict-loss" concepts=["C31"] jupyter={"source_hidden": true} cellView="form"
# @title Predict first (the answer is in here)
predict_number(
    "A model that gives each of V = 13 ids the probability 1/13: what is its cross-entropy, in nats a token?",
    answer=2.565,
    within=0.05,
    why="Its loss is −log(1/13) = log 13 = 2.565. A new model begins there or somewhat above: random logits are not all "
    "equal. If it begins far below, it sees the answer.",
)

# %% id="predict-adam" concepts=["C32"] jupyter={"source_hidden": true} cellView="form"
# @title Predict first (the answer is in here)
predict(
    "Two numbers are trained with Adam, at a rate of 0.1. The first gradient of one is 0.001, that of the other 1000. "
    "How far does each move in the first step?",
    [
        ("0.0001 and 100", "That is plain gradient descent: rate times gradient."),
        "both by about 0.1",
        ("the first further", "Adam evens out sizes; it does not reverse them."),
        ("not at all: there is no average yet", "Its averages are corrected for having begun at zero."),
    ],
    "both by about 0.1",
    "Adam divides the mean gradient by the root of the mean squared gradient. In the first step both are the gradient "
    "itself, and what is left is its sign. You compute it in section 3.",
)

# %% [markdown] id="by-hand" concepts=["C31"] documents=["002 §3"]
# ## 3. By hand
#
# ### Cross-entropy: how surprised the model was
#
# For each place the model gives every id a probability. The loss looks at one of them, that of the right id:
#
# $$\text{loss} = -\frac1N \sum_{t=1}^{N} \log p_t(\text{right id})$$
#
# Two tokens, of which the model gave the right id 0.5 and 0.125: $-\log 0.5 = 0.693$ and $-\log 0.125 = 2.079$, so the
# mean is **1.386**. And $e^{1.386} = 4$ is the *perplexity*: on average the model was as unsure as if it had to choose
# among four ids. (Document 002, §3, step 5 names cross-entropy for sequences and “other losses” for other tasks: regression uses a
# squared error, for instance, and a label per class its own binary cross-entropy.)

# %% id="cross-entropy" concepts=["C31"] documents=["002 §3"]
probability = torch.tensor([[0.5, 0.25, 0.125, 0.125], [0.5, 0.25, 0.125, 0.125]])  # [N, V]
target = torch.tensor([0, 2])  # [N]
by_hand = -probability[torch.arange(2), target].log().mean()
print(f"loss {by_hand:.3f}, perplexity {by_hand.exp():.2f}")
torch.testing.assert_close(by_hand, F.cross_entropy(probability.log(), target))

# %% [markdown] id="padding" concepts=["C31"] errata=["E136"] documents=["004 §5.2"]
# ### Padding must not count
#
# Sentences of a batch are filled up to one length. Nobody asks for a padding token, so no loss may come from it. Document 004
# averages over everything (E136). Three real tokens, three of padding:

# %% id="padding-shown" concepts=["C31"] errata=["E136"] documents=["004 §5.2"]
torch.manual_seed(1)
logits, target = torch.randn(6, 5), torch.tensor([3, 4, 2, PAD, PAD, PAD])
everything, real = F.cross_entropy(logits, target), F.cross_entropy(logits, target, ignore_index=PAD)
print(f"over all six places {everything:.3f}    over the three tokens {real:.3f}")
torch.testing.assert_close(real, F.cross_entropy(logits[:3], target[:3]))

# %% [markdown] id="smoothing" concepts=["C31"]
# ### Label smoothing: do not be too sure
#
# With ε = 0.1 the target is no longer “the right id, all of it”. The right id keeps 0.9, and 0.1 is spread evenly over all V ids
# (Szegedy et al. 2016, §7; Vaswani et al. 2017, §5.4). For V = 4 the target is 0.925, 0.025, 0.025, 0.025. The
# loss is smallest where the model says just that, and grows again when it is surer:

# %% id="smoothing-shown" concepts=["C31"]
for p in (0.25, 0.6, 0.925, 0.99, 0.9999):
    logits = torch.tensor([[[p, *[(1 - p) / 3] * 3]]]).log()  # [B, T, V] = [1, 1, 4]
    right = torch.tensor([[0]])
    plain = smoothed_cross_entropy(logits, right, 0.0, pad_id=-1)
    smooth = smoothed_cross_entropy(logits, right, 0.1, pad_id=-1)
    print(f"p(right) = {p:<7} plain {plain:.3f}   smoothed {smooth:.3f}")
    torch.testing.assert_close(smooth, F.cross_entropy(logits[0], right[0], label_smoothing=0.1))

# %% [markdown] id="shift" concepts=["C31"] errata=["E135"] documents=["004 §5.2"]
# ### Teacher forcing: read one place behind
#
# The decoder predicts each token from the ones before it. In training we know them all, so we let it read the *right*
# ones (not its own guesses) and predict all places at once. What it reads is the target moved one place to the right:
#
# | place | 1 | 2 | 3 | 4 |
# |---|---|---|---|---|
# | reads | [BOS] | 我 | 喜欢 | 茶 |
# | must predict | 我 *wǒ* (I) | 喜欢 *xǐhuan* (like) | 茶 *chá* (tea) | [EOS] |
#
# The causal mask of chapter 03 keeps it from reading on. Without the shift it would read the very token that it must
# predict (E135). You see what becomes of that in section 6.

# %% id="shift-shown" concepts=["C31"] errata=["E135"]
target = torch.tensor([[7, 8, 9, EOS]])
print("reads        ", shift_right(target, BOS).tolist()[0])
print("must predict ", target.tolist()[0])

# %% [markdown] id="autograd" concepts=["C46"] documents=["002 §2"]
# ### Who tells the numbers where to go: the gradient
#
# Take one number $w$ and the loss $(w x - y)^2$. Its slope is $2(wx - y)\,x$; with $w = 1$, $x = 3$, $y = 5$ that
# is $2 \cdot (-2) \cdot 3 = -12$: the loss falls when $w$ grows. PyTorch records every operation while it runs
# (*define by run*) and walks the record backwards. `backward()` **adds** to `.grad`:

# %% id="autograd-shown" concepts=["C46"]
w, x, y = torch.tensor(1.0, requires_grad=True), 3.0, 5.0
for call in (1, 2):
    loss = (w * x - y) ** 2
    loss.backward()
    print(f"after call {call} of backward: w.grad = {w.grad.item():.0f}")

node, record = loss.grad_fn, []
while node is not None:  # from the loss back to w
    record.append(node.name())
    node = node.next_functions[0][0] if node.next_functions else None
print("the record, read backwards:", " ← ".join(record))

# %% [markdown] id="autograd-why" concepts=["C46"] documents=["002 §1","002 §2"]
# The second call gives −24, not −12: two gradients were added. So a loop must clear them, `optimizer.zero_grad()`, before
# each `backward()`. The last line is the record: square, subtract, multiply, and at its end $w$, where the gradient is kept.
# What an optimiser moves are a model's *parameters*; a *buffer* (a fixed table, say) is saved with the model but never trained:

# %% id="parameters-buffers" concepts=["C46"]
model = Transformer(CONFIG)
print("parameters:", len(list(model.parameters())), " the first is", next(name for name, _ in model.named_parameters()))
print("buffers:   ", [name for name, _ in model.named_buffers()])

# %% [markdown] id="adam" concepts=["C32"] documents=["004 §5.3"]
# ### One step of Adam
#
# Plain gradient descent moves each number by *rate × gradient*. Adam (Kingma, Ba 2015) keeps two running means for each
# number, of the gradient ($m$) and of its square ($v$), corrects both for having begun at zero, and moves by
#
# $$\text{rate} \cdot \frac{\hat m}{\sqrt{\hat v} + \epsilon}, \qquad \hat m = \frac{m}{1 - \beta_1^t}, \quad \hat v = \frac{v}{1-\beta_2^t}.$$
#
# With the gradient 0.5 in step 1: $m = 0.1 \cdot 0.5 = 0.05$, $v = 0.001 \cdot 0.25 = 0.00025$; corrected
# $\hat m = 0.5$, $\hat v = 0.25$; the step is $\text{rate} \cdot 0.5 / 0.5$. The size of the gradient has cancelled.

# %% id="adam-shown" concepts=["C32"]
rate, beta1, beta2, eps = 0.1, 0.9, 0.999, 1e-8
for gradient in (0.5, 0.001, -1000.0):
    m, v = (1 - beta1) * gradient, (1 - beta2) * gradient**2
    by_hand = 1.0 - rate * (m / (1 - beta1)) / (math.sqrt(v / (1 - beta2)) + eps)
    weight = nn.Parameter(torch.tensor(1.0))
    weight.grad = torch.tensor(gradient)
    torch.optim.Adam([weight], lr=rate).step()
    print(f"gradient {gradient:>8}: from 1 to {by_hand:.4f} by hand, {weight.item():.4f} by PyTorch")

# %% [markdown] id="clipping" concepts=["C32"]
# ### Two additions: clipping, and weights that decay
#
# One odd batch can give a huge gradient, and Adam's averages remember it for long. *Clipping* looks at all gradients as one
# vector: if it is longer than a limit, it is shortened to the limit and keeps its direction. (3, 4) has the length 5;
# clipped to 1 it is (0.6, 0.8). *AdamW* (Loshchilov, Hutter 2019) also shrinks every weight by a small share in each step,
# apart from the gradient. That holds large models back from memorising.

# %% id="clipping-shown" concepts=["C32"]
pair = nn.Parameter(torch.zeros(2))
pair.grad = torch.tensor([3.0, 4.0])
length = nn.utils.clip_grad_norm_([pair], 1.0)
print(f"length {length.item():.0f}, clipped to 1: {pair.grad}")

# %% [markdown] id="schedule" concepts=["C32"] errata=["E141"] documents=["004 §5.2"]
# ### A rate that rises, then falls
#
# In the first steps Adam's averages are hardly more than noise, and a full step in a random direction can wreck a fresh
# model. So the rate begins small. The Transformer paper uses (Vaswani et al. 2017, eq. 3)
#
# $$\text{rate} = d_{\text{model}}^{-1/2} \cdot \min(\text{step}^{-1/2},\ \text{step} \cdot \text{warmup}^{-3/2}).$$
#
# Both arms meet at step = warmup. (Others, after the same warm-up, fall along a straight line or half a cosine to zero.)
# For $d_{\text{model}} = 512$ and 4,000 steps of warm-up that is $1/\sqrt{512 \cdot 4000} = 0.0007$. Document 004 takes 0.001
# from the first step on, for a model of that width (E141).

# %% id="schedule-shown" concepts=["C32"] errata=["E141"]
from course_lib.schedules import noam_rate as noam

for step in (1, 400, 4_000, 16_000, 100_000):
    print(f"step {step:>7,}: {noam(step, 512, 4000):.2e}")
assert max(range(1, 20_000), key=lambda step: noam(step, 512, 4000)) == 4000

# %% [markdown] id="build" concepts=["C33"] documents=["004 §5.2"]
# ## 4. Build it
#
# ### The data
#
# Random sequences and their reverse, each with an end mark, padded to a rectangle:

# %% id="toy-data" concepts=["C33"]


def reversal_batch(n, generator):
    """n random sequences of 3 to 7 ids, and the same backwards: source [B, T], target [B, T]."""
    lengths = torch.randint(3, 8, (n,), generator=generator).tolist()
    rows = [torch.randint(3, V, (length,), generator=generator).tolist() for length in lengths]
    return tuple(pad_batch(side, PAD)[0] for side in ([[*r, EOS] for r in rows], [[*r[::-1], EOS] for r in rows]))


source, target = reversal_batch(2, torch.Generator().manual_seed(5))
print(source, target, sep="\n")

# %% [markdown] id="loop-intro" concepts=["C33"] documents=["004 §5.3"]
# ### The loop
#
# Five lines in the middle are all of training: forward, loss, clear, backward, step. Every framework wraps them in
# something. The toy makes new data for ever; where data is finite, one pass over it is an *epoch*: 29,000 pairs in batches of
# 64 are 454 steps, the last of them smaller. (In PyTorch a `Dataset` holds the examples and a `DataLoader` makes batches of
# them; here that is `course_lib/batches.py`.)

# %% id="loop" concepts=["C31","C32","C33"] documents=["004 §5.2","004 §5.3"]
torch.manual_seed(0)
data = torch.Generator().manual_seed(0)
model = Transformer(CONFIG)
optimizer = torch.optim.Adam(model.parameters(), lr=1e-3, betas=(0.9, 0.98), eps=1e-9)
losses, began = [], time.perf_counter()
model.train()  # dropout on
for step in range(1, 301):
    source, target = reversal_batch(64, data)
    logits = model(source, shift_right(target, BOS))  # [B, T, V]
    loss = smoothed_cross_entropy(logits, target, 0.0, PAD)
    optimizer.zero_grad()
    loss.backward()
    nn.utils.clip_grad_norm_(model.parameters(), 1.0)  # a gradient longer than 1 is cut to 1
    optimizer.step()
    losses.append(loss.item())
    if step in (1, 50, 100, 200, 300):
        print(f"step {step:3}: loss {losses[-1]:.3f}")
print(f"{time.perf_counter() - began:.0f} s.  3 4 5 6 7 backwards:", write(model.eval(), [3, 4, 5, 6, 7, EOS]))

# %% [markdown] id="evaluate-intro" concepts=["C34"] documents=["004 §5.2","004 §5.3"]
# The first loss is above log 13 = 2.57: random logits are not equal, so the model begins with opinions, and they are wrong.
# Then it falls. Now the honest question: what does the model do with sequences that it has **not** seen? For that the model is in evaluation mode, no gradients are recorded, and losses are weighted by tokens:

# %% id="evaluate" concepts=["C34"]
model.eval()  # dropout off
total, n_tokens, exact = 0.0, 0, 0
validation = [reversal_batch(50, torch.Generator().manual_seed(seed)) for seed in (100, 101)]
with torch.no_grad():
    for source, target in validation:
        n = (target != PAD).sum().item()
        total += smoothed_cross_entropy(model(source, shift_right(target, BOS)), target, 0.0, PAD).item() * n
        n_tokens += n
    for s, t in zip(*validation[0]):
        exact += write(model, s[s != PAD].tolist()) == t[t != PAD].tolist()
mean = total / n_tokens
print(f"validation loss {mean:.3f}, perplexity {math.exp(mean):.2f}, {exact} of 50 exactly right")

# %% [markdown] id="agree" concepts=["C31","C32"]
# ### The library's
#
# `course_lib` has the same parts. They are small; here they prove that they agree with what you did by hand and with
# PyTorch: the loss with its gradient, padding and smoothing, and three steps of Adam.

# %% id="agree-shown" concepts=["C31","C32"]
from course_lib.optimisers import adam_step as adam

logits = torch.randn(3, 5, V, requires_grad=True)
target = torch.randint(1, V, (3, 5)).index_fill(1, torch.tensor([4]), PAD)
ours = smoothed_cross_entropy(logits, target, 0.1, PAD)
theirs = F.cross_entropy(logits.flatten(0, 1), target.flatten(), ignore_index=PAD, label_smoothing=0.1)
torch.testing.assert_close(ours, theirs)
torch.testing.assert_close(torch.autograd.grad(ours, logits), torch.autograd.grad(theirs, logits))

parameter = torch.randn(4, 3)
weight, m, v = nn.Parameter(parameter.clone()), torch.zeros(4, 3), torch.zeros(4, 3)
optimizer = torch.optim.Adam([weight], lr=0.01)
for step in (1, 2, 3):
    weight.grad = torch.randn(4, 3)
    parameter, m, v = adam(parameter, weight.grad, m, v, step, 0.01, 0.9, 0.999, 1e-8)
    optimizer.step()
torch.testing.assert_close(parameter, weight.data)
print("both agree")

# %% [markdown] id="move" concepts=["C32"] errata=["E141"]
# ## 5. Move it
#
# ### The schedule
#
# Set d_model to 512 and the Noam warm-up to 4000, and raise the steps until you see the peak. Then halve the warm-up: the
# peak is higher *and* earlier. The other curve is the one that trains the models of this course: it falls to zero exactly
# when training ends, so that the last steps settle.

# %% id="schedule-view" concepts=["C32"] errata=["E141"]
schedule_view()

# %% [markdown] id="descent" concepts=["C32"]
# ### Three ways down
#
# A bowl that is 20 times as steep up and down as it is from left to right, and three optimisers that begin at the same
# place. Push the rate past 0.1: plain descent overshoots by more than it corrects, and flies out (its limit is
# 2 / steepness). Then look for the rate at which Adam arrives: it takes steps of one size in both directions, however steep.
# With the steepness at 1, plain descent is as good as any.

# %% id="descent-view" concepts=["C32"]
descent_explorer()

# %% [markdown] id="train-intro" concepts=["C33"] documents=["004 §6.1"]
# ### A translator, trained by you
#
# The same loop, now on real sentences: English to Chinese, from the grammar that ships with the course. By default it takes
# **two minutes** on two cores, whatever else they are doing. Where the environment variable `COURSE_QUICK` is 1 it takes 80
# steps, about ten seconds, and stays a beginner.
#
# The model is made of `my_parts()`: the parts that you wrote and that passed, the library's for the rest. Watch three
# things: the loss, fast at first, then slowly; the rate, up and down; and the sample translations, which turn from noise
# into sentences. The training loss stays above the validation loss, because it is taken with dropout and smoothing.

# %% id="train" concepts=["C30","C33","C34"] documents=["004 §5.2","004 §5.4"] errata=["E144"] tags=["training"]
from course_lib.corpora import load_corpus
from course_lib.training import train

corpus, preset, minutes = load_corpus("grammar"), PRESETS["tiny"], 2
# corpus, preset, minutes = load_corpus("multi30k", "de-en"), PRESETS["small"], 10  # 29,000 real captions, downloaded once

quick = os.environ.get("COURSE_QUICK") == "1"
length = {"epochs": 0.15, "warmup": 30} if quick else {"minutes": minutes}
config = preset.train_config(**length, seed=0, validate_every=20, checkpoint_every=30)
folder = Path("runs") / time.strftime(f"{corpus.name}-%Y%m%d-%H%M%S")
result = train(corpus, preset, config, folder, parts=my_parts(), callbacks=[TrainingDashboard()])
print({name: result[name] for name in ("parameters", "steps", "seconds", "val_loss", "device", "precision")})
if "bleu" in result:  # it is missing when you stopped the run
    print("BLEU on the validation split:", round(result["bleu"]["score"], 1))

# %% [markdown] id="use-it-intro" concepts=["C34"]
# Yours now. The folder holds the weights, the tokenizer, the settings and every measurement. (Did you stop the run? Finish
# it first: `train(corpus, preset, config, folder, parts=my_parts(), resume=True)`.) Translate something:

# %% id="use-it" tags=["training"]
from course_lib.translator import Translator

translator = Translator.load(folder)
for pair in corpus.splits["test"][:3]:
    print(pair.source, "→", translator.translate(pair.source), "  reference:", translator.finish(pair.target))

# %% [markdown] id="metrics" concepts=["C34","C60"] documents=["004 §7.2"]
# ### What to write down
#
# A run that leaves no record did not happen. `metrics.jsonl` has a line of JSON for every ten steps; TensorBoard and
# Weights & Biases (document 004, §7.2) draw the same numbers. TensorBoard needs no account: `train(…, track="tensorboard")`
# writes, `tensorboard --logdir runs` in a terminal shows. `track="wandb"` sends them to a service on the internet, so it is
# off unless you ask. Raw losses jump from batch to batch; a running mean shows the trend.
# Compare the two at each step: the mean is steadier, and always a little late. Below, a line of the record, and the curves
# drawn from it.

# %% id="metrics-shown" concepts=["C60"]
smooth, shown = losses[0], {}
for step, value in enumerate(losses, 1):
    smooth = 0.95 * smooth + 0.05 * value  # the mean of about the last 20
    if step in (1, 50, 100, 200, 300):
        shown[step] = (round(value, 3), round(smooth, 3))
print("step: (raw, running mean)", shown)
print((folder / "metrics.jsonl").read_text("utf-8").splitlines()[0])
plot_metrics(folder)

# %% [markdown] id="resume" concepts=["C33","C45"]
# ### Stop, go on, and use what the machine has
#
# | you want to | in the notebook | in a terminal |
# |---|---|---|
# | stop | the ■ button: a checkpoint is saved | Ctrl-C |
# | go on | `train(…, folder, resume=True)` | the same command with `--resume` |
# | train a finished model further | `train(…, start_from=folder)`, into another folder | `--start-from runs/first` |
# | repeat exactly | the same `seed` | `--seed 0` |
# | use a GPU, an Apple chip | `device="auto"` finds it | `--device auto` |
# | compute in 16 bits where that is faster | `precision="auto"`: bf16 if the hardware has it | `--precision auto` |
# | fit a large batch into a small memory | `TrainConfig(accumulate=4, …)` | `--accumulate 4` |
# | several processes or GPUs | – | `torchrun --nproc-per-node 2 -m course_lib.cli train --out runs/two` |
#
# The next cells look behind three of these lines.

# %% [markdown] id="checkpoint" concepts=["C33"]
# **A checkpoint is more than weights.** Adam's two averages, the place in the data and the state of the random numbers
# belong to it. The toy, with dropout: ten steps without a stop. Then five steps, everything into a file (here one in memory),
# everything forgotten, read back, and five more. And once more, reading back the weights alone:

# %% id="checkpoint-shown" concepts=["C33"]


def begin(seed=0):
    torch.manual_seed(seed)  # weights and dropout
    model = Transformer(ModelConfig(**{**CONFIG.to_dict(), "dropout": 0.1})).train()
    return model, torch.optim.Adam(model.parameters(), lr=2e-3), torch.Generator().manual_seed(seed)


def steps(n, model, optimizer, data):
    for _ in range(n):
        source, target = reversal_batch(32, data)
        loss = smoothed_cross_entropy(model(source, shift_right(target, BOS)), target, 0.0, PAD)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        yield f"{loss.item():.4f}"


whole = list(steps(10, *begin()))
toy, optimizer, data = begin()
list(steps(5, toy, optimizer, data))
file = io.BytesIO()
torch.save([toy.state_dict(), optimizer.state_dict(), data.get_state(), torch.get_rng_state()], file)

toy, optimizer, data = begin(seed=1)  # another program, another day
weights, averages, place, numbers = torch.load(io.BytesIO(file.getvalue()))
toy.load_state_dict(weights)
alone = list(steps(5, toy, optimizer, data))
toy.load_state_dict(weights)
optimizer.load_state_dict(averages)
data.set_state(place)
torch.set_rng_state(numbers)
resumed = list(steps(5, toy, optimizer, data))
print("without a stop, steps 6 to 10:", *whole[5:])
print("resumed with everything:      ", *resumed)
print("resumed with the weights only:", *alone)
assert resumed == whole[5:] != alone

# %% [markdown] id="seed" concepts=["C33"]
# The seed decides over the first weights, dropout and the order of the data. So the same seed gives the same run, on the same
# machine with the same versions; another processor may round differently. Note the seed of a run, and try more than one.

# %% [markdown] id="precision" concepts=["C33","C45"]
# **Sixteen bits.** A bf16 number has the range of an fp32 number, but only 8 significant bits instead of 24. Behind 1 comes
# 1.0078. Matrix products bear that, and chips that have it compute them several times as fast. Small updates do
# not bear it: below, 0.001 is added a thousand times. So *mixed* precision keeps the weights and Adam's averages in fp32;
# `autocast` gives the products bf16 copies. (fp16, the older format, has a small range: gradients are scaled up for it.)

# %% id="precision-shown" concepts=["C33","C45"]
for dtype in (torch.float32, torch.bfloat16):
    number = torch.tensor(1.0, dtype=dtype)
    for _ in range(1000):
        number += 0.001
    print(f"{dtype!s:>14}: 1 + 1000 · 0.001 = {number.item():.3f}, {number.element_size()} bytes a number")
model.eval()
source, target = validation[0]
with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
    sixteen = model(source, shift_right(target, BOS))  # [B, T, V]
with torch.no_grad():
    exact_logits = model(source, shift_right(target, BOS))
print("weights:", next(model.parameters()).dtype, "  logits under autocast:", sixteen.dtype)
far = (sixteen - exact_logits).abs().max()
print(f"largest difference {far:.3f}, with logits up to {exact_logits.abs().max():.1f}")

# %% [markdown] id="scale" concepts=["C62"] documents=["000 §6","001 §1","003 §7","004 §8.3"]
# ### What it costs
#
# Training a number in fp32 takes 16 bytes: 4 for the number, 4 for its gradient, 8 for Adam's two averages; to use it later
# 4 are enough, in bf16 2. (Activations come on top, and grow with the batch.) And a token costs about 6 operations for each
# parameter that it meets: multiply and add, once forward and twice backward. A source token meets the encoder's, a target
# token the decoder's and the output's; a pair of both about all of them.

# %% id="scale-shown" concepts=["C62"]
from course_lib.transformer import count_parameters

for name, vocab_size in (("tiny", translator.tokenizer.vocab_size), ("small", 4000), ("base", 37_000)):
    sizes = {key: PRESETS[name].model[key] for key in ("d_model", "n_heads", "d_ff", "n_layers")}
    n = count_parameters(**sizes, vocab_size=vocab_size)
    print(f"{name:5}: {n / 1e6:5.1f} million parameters; to train {16 * n / 2**20:5.0f} MiB, to use {4 * n / 2**20:4.0f} in "
          f"fp32, {2 * n / 2**20:4.0f} in bf16; {6 * n / 1e6:4.0f} million operations for a pair of tokens")  # fmt: skip

# %% [markdown] id="parallel" concepts=["C66"] errata=["E117"] documents=["004 §3.3","004 §8.2"]
# ### Several processes
#
# In *data parallel* training each process takes a share of the batch, and gradients are averaged. Is that the
# gradient of the whole batch? Only if each share counts by its tokens. Shares of 9 and 1 tokens:

# %% id="parallel-shown" concepts=["C66"] errata=["E117"]
torch.manual_seed(0)
w, inputs, labels = torch.randn(8, 5, requires_grad=True), torch.randn(10, 8), torch.randint(0, 5, (10,))


def gradient_of(rows):
    return torch.autograd.grad(F.cross_entropy(inputs[rows] @ w, labels[rows]), w)[0]


whole, first, second = gradient_of(slice(0, 10)), gradient_of(slice(0, 9)), gradient_of(slice(9, 10))
print(f"plain mean of both:    off by {((first + second) / 2 - whole).abs().max():.3f}")
print(f"weighted by tokens:    off by {(0.9 * first + 0.1 * second - whole).abs().max():.0e}")
for rows, n in ((slice(0, 9), 9), (slice(9, 10), 1)):  # one process, one share after the other: backward() adds
    (F.cross_entropy(inputs[rows] @ w, labels[rows]) * n / 10).backward()
print(f"accumulated in .grad:  off by {(w.grad - whole).abs().max():.0e}")
torch.testing.assert_close(torch.cat([inputs @ w[:, :2], inputs @ w[:, 2:]], dim=1), inputs @ w)  # a matrix cut in two

# %% [markdown] id="parallel-true" concepts=["C66"] errata=["E117"] documents=["004 §3.3"]
# So `course train` cuts every batch into as many shares as there are processes: the same command gives the same losses in
# one process and in several, but for dropout and rounding. The processes send each other their gradients in each step, 4
# bytes for each parameter. The same sum, one share after the other, is *gradient accumulation* (`accumulate`): a large
# batch for a small memory.
#
# Where one model is too large for a machine, the *model* is cut: each processor has some of the columns of every matrix
# (*tensor parallel*; the last line of the cell), or some of the layers (*pipeline parallel*).

# %% [markdown] id="parallel-writing" concepts=["C66"] errata=["E117"] documents=["004 §3.3"]
# Document 004, §3.3 says the Transformer suits parallel training *and inference* (E117). Training, yes: all places of a
# target at once. When it writes, each token needs the one before it:

# %% id="parallel-decoding" concepts=["C66"] errata=["E117"]
calls = []
counter = model.register_forward_hook(lambda *_: calls.append("forward"))
model(torch.tensor([[3, 4, 5, 6, 7, EOS]]), torch.tensor([[BOS, 7, 6, 5, 4, 3]]))
print("to learn from a target of 6 tokens: calls of the model:", len(calls))
calls.clear()
print("to write", len(write(model, [3, 4, 5, 6, 7, EOS])), "tokens: calls of the model:", len(calls))
counter.remove()

# %% [markdown] id="break" concepts=["C32"] errata=["E141","E066"] documents=["001 §6 Q4","004 §5.2"]
# ## 6. Break it
#
# One function trains the toy for 120 steps, in the way it is told. Then four ways to spoil it. (The toy is small, so each takes
# a second or two.)

# %% id="spoil" concepts=["C33"]


def train_toy(steps=120, rate=lambda step: 2e-3, seed=0, shifted=True, clear=True, stale=False, **sizes):
    torch.manual_seed(seed)
    model, data = Transformer(ModelConfig(**{**CONFIG.to_dict(), **sizes})), torch.Generator().manual_seed(seed)
    optimizer = torch.optim.Adam((Transformer(CONFIG) if stale else model).parameters())
    for step in range(1, steps + 1):
        optimizer.param_groups[0]["lr"] = rate(step)
        source, target = reversal_batch(32, data)
        loss = smoothed_cross_entropy(model(source, shift_right(target, BOS) if shifted else target), target, 0.0, PAD)
        if clear:
            optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return loss.item(), model.eval()


done_well = train_toy()[0]
print(f"done well: loss {done_well:.3f}")

# %% [markdown] id="spoil-shift" concepts=["C31"] errata=["E135"] documents=["004 §5.2"]
# **Without the shift** the decoder reads the token that it must predict (E135). The loss is wonderful. Then it has to write
# on its own: it has never seen [BOS], makes something up, reads that, and copies it for ever:

# %% id="spoil-shift-shown" concepts=["C31"] errata=["E135"]
loss, copier = train_toy(shifted=False)
print(f"loss {loss:.4f}, and 3 4 5 6 7 backwards: {write(copier, [3, 4, 5, 6, 7, EOS])}")
assert loss < 0.05 and write(copier, [3, 4, 5, 6, 7, EOS]) != [7, 6, 5, 4, 3, EOS]

# %% [markdown] id="spoil-stale" concepts=["C32"] errata=["E142"] documents=["004 §5.2"]
# **An optimiser of another model.** Document 004 builds its model twice (E142). There the optimiser comes after the second
# one, and nothing happens. Two lines in another order, and it would hold the parameters of the first: no error, no
# progress. And **without `zero_grad`** every step follows the sum of all gradients so far:

# %% id="spoil-stale-shown" concepts=["C32"] errata=["E142"]
print(f"optimiser of another model: loss {train_toy(stale=True)[0]:.3f}")
print(f"gradients never cleared:    loss {train_toy(clear=False)[0]:.3f}")
print(f"done well:                  loss {done_well:.3f}")

# %% [markdown] id="spoil-rate" concepts=["C30","C32"] errata=["E066","E141"] documents=["001 §6 Q4","004 §5.2"]
# **The rate.** It is the hyper-parameter that matters most, so it is the first to search for, in factors of three or so. Two
# rates, with and without 60 steps of warm-up, for the paper's post-norm and today's pre-norm (chapter 06). Look at the
# last two lines: at the high rate, what does warm-up do?

# %% id="spoil-rate-shown" concepts=["C30","C32"] errata=["E066","E141"]
for peak in (1e-3, 1e-2):
    for norm in ("post", "pre"):
        losses_at = []
        for warmup in (1, 60):
            losses_at.append(train_toy(rate=lambda step, p=peak, w=warmup: p * min(1.0, step / w), norm=norm)[0])
        print(f"rate {peak:.3f}, {norm:>4}-norm: at once {losses_at[0]:.2f}, with warm-up {losses_at[1]:.2f}")

# %% [markdown] id="spoil-rate-why" concepts=["C32"] errata=["E141"]
# At 0.001 this small model can do without warm-up, which only costs it time in so short a run. At 0.01 the start decides,
# for both. The deeper and wider a post-norm model is, the lower the rate at which that begins (Xiong et al. 2020).

# %% [markdown] id="choosing" concepts=["C30"] errata=["E099"] documents=["001 §6 Q4","003 §8 Q3"]
# ### Choosing hyperparameters
#
# What training does not learn, you choose: sizes, rate, batch, dropout. Five rules:
#
# 1. **Compare on the validation split**, never on the test split: that is for the one model that you keep.
# 2. **The rate first**, then batch size and warm-up; then the size of the model, and dropout with it. Heads and ε last.
# 3. **In factors**: 0.001, 0.003, 0.01. Doubling a rate does about as much at 0.001 as at 0.01; adding 0.001 does not. The
#    best must not stand at the edge of what you tried.
# 4. **Equal budgets**, in steps or in minutes, and a schedule that ends with the budget. A curve that leads half-way may
#    lose at the end.
# 5. **One change at a time, several seeds.** A difference smaller than that between two seeds is none.

# %% [markdown] id="choosing-rate" concepts=["C30"]
# The toy, with four rates and three seeds each: 100 steps, a warm-up of 20, and a line to zero. Where is the best rate,
# and how far apart are its seeds?

# %% id="choosing-rate-shown" concepts=["C30","C33"]
from course_lib.schedules import warmup_linear_rate

held_out = reversal_batch(200, torch.Generator().manual_seed(102))


def search(peak, seeds=(0, 1, 2), steps=100, **sizes):
    """The validation losses of one setting, best first: one for each seed."""
    found = []
    for seed in seeds:
        toy = train_toy(steps, lambda s: warmup_linear_rate(s, (s - 1) / steps, peak, 20), seed, **sizes)[1]
        with torch.no_grad():
            logits = toy(held_out[0], shift_right(held_out[1], BOS))
        found.append(smoothed_cross_entropy(logits, held_out[1], 0.0, PAD).item())
    return sorted(found)


of_rate = {peak: search(peak) for peak in (1e-3, 3e-3, 1e-2, 3e-2)}
for peak, found in of_rate.items():
    print(f"peak {peak:.3f}: mean {sum(found) / 3:.3f}, seeds from {found[0]:.3f} to {found[-1]:.3f}")
best = min(of_rate, key=lambda peak: sum(of_rate[peak]))
assert best in (3e-3, 1e-2), "not at the edge"

# %% [markdown] id="choosing-one" concepts=["C30"] errata=["E099"] documents=["003 §8 Q3"]
# The outer two are far behind. The inner two are nearer to each other: before you name a winner, look whether their seeds
# overlap. Now one change at a time, at the best rate: twice as many heads, and dropout. Which difference would you believe?

# %% id="choosing-one-shown" concepts=["C30"] errata=["E099"]
base = of_rate[best]
print(f"{'unchanged':>14}: mean {sum(base) / 3:.3f}, seeds from {base[0]:.3f} to {base[-1]:.3f}")
for change in (dict(n_heads=8), dict(dropout=0.1)):
    found = search(best, **change)
    apart = "beyond the seeds" if found[0] > base[-1] or found[-1] < base[0] else "within the seeds"
    name = " ".join(f"{key} {value}" for key, value in change.items())
    print(f"{name:>14}: mean {sum(found) / 3:.3f}, seeds from {found[0]:.3f} to {found[-1]:.3f}: {apart}")

# %% [markdown] id="choosing-random" concepts=["C30"] documents=["001 §6 Q4","003 §8 Q3"]
# Dropout costs here, and that is no verdict on dropout: in 100 steps on data that never repeat there is nothing to
# memorise. What a search finds holds for its budget and its data.
#
# Three seeds are few: they show the size of the noise, not its shape, and of twenty changes one will look good by luck.
# So whatever wins a search is run again, with new seeds, before it is believed.
#
# With several hyperparameters at once, draw them **at random** instead of from a grid (Bergstra, Bengio 2012). Nine runs on a
# 3 × 3 grid try three rates; nine random ones try nine, and usually one of the two numbers matters far more. A draw in factors
# is `10 ** uniform(-4, -2)`.

# %% [markdown] id="recipe-ablation" concepts=["C30","C32"] documents=["001 §6 Q4"]
# ### The recipe of the translator, one change at a time
#
# The same method on real sentences: Multi30k, German to English, 5.1 passes over its 29,000 pairs (2,811 steps), BLEU in
# lower case on the **validation** split with a beam of 5. Each run was made once, with the same seed and so the same order of batches:
#
# | recipe | BLEU | |
# |---|---|---|
# | sinusoids added to the tokens, peak rate 0.0015 | 39.1 | where the search began |
# | … peak rate 0.001 | 37.4 | −1.7 |
# | … peak rate 0.003 | 32.4 | −6.7: too high |
# | … the weights of the last 10 % of steps averaged | 38.7 | −0.4: a rate that ends at zero does that already |
# | **rotary positions instead** (chapter 04), rate 0.0015 | **40.8** | **+1.7: this is `--preset small`** |
# | … without warm-up | 37.9 | −2.9 |
# | … without label smoothing | 40.7 | −0.2: no more than luck |
#
# How much of that is luck? Three seeds of one recipe, trained for ten minutes, were 40.1, 40.5 and 39.7 on the test split. A
# difference of half a point between two single runs says nothing. The rate, its warm-up and the positions are beyond that.
# (Any row but that of the average is one command: `course train --corpus multi30k --direction de-en --preset small --epochs 5.1
# --set warmup=1 --out runs/cold`, then `course evaluate --model runs/cold --split val`.)

# %% [markdown] id="recipe-time" concepts=["C30"] documents=["001 §6 Q4"]
# What gives most is time. Test 2016, lower case; each run had one core of a small machine, and a schedule that ends with its
# time. **Look at** what each further step brings:

# %% id="recipe-time-shown" concepts=["C30"]
plot_scores_by_time({5: [35.9], 10: [40.1, 40.5, 39.7], 20: [42.0], 46: [43.1]})

# %% [markdown] id="recipe-commands" concepts=["C30"] documents=["001 §6 Q4"]
# The longest run has more dropout, because it sees each sentence more often; what that alone is worth was not measured.
# The commands:
#
# | after `course train --corpus multi30k --direction de-en --preset small` | time | passes over the data | BLEU |
# |---|---|---|---|
# | `--minutes 5` | two cores, 5 minutes | 3.7 to 4.6 | 38.8 · 39.7 · 39.4 |
# | `--minutes 10` | one core, 10 minutes | 4.8 to 5.6 | 40.1 · 40.5 · 39.7 |
# | `--minutes 20` | one core, 20 minutes | 11.4 | 42.0 |
# | `--epochs 25 --set dropout=0.2` | one core, 46 minutes | 25 | 43.1 |
#
# The other way, English to German, a model of 3 million parameters stood at 40.8 after 52 passes. With BPE-dropout of 0.05
# (chapter 08) and 54 passes it stood at 40.9. Trained further from there for 24 passes, while BPE-dropout fell to zero with the
# rate, it reached 41.9. That is one run each, and more time as well: what the falling alone is worth was not measured. The
# commands are in the README.

# %% [markdown] id="documents" concepts=["C33"] errata=["E130","E143"] documents=["004 §5.2","004 §5.4","004 §6.1","004 §6.2"]
# ## 7. What the documents say, and what is true
#
# Document 004 prints a training script of 40 lines, four times the same: as source code, as “results”, as machine
# translation and as article generation (E143). It stops in its second line, and behind that line wait a
# dozen more mistakes. The next cells run it piece by piece; `attempt` says what happened.

# %% id="attempt" concepts=["C33"]


def attempt(what, action):
    """Runs action() and prints its result, or the error it raises."""
    try:
        result = action()
        print(f"{what}: {result if isinstance(result, (bool, int, float, str)) else type(result).__name__}")
    except Exception as error:
        print(f"{what}: {type(error).__name__}: {str(error).partition(' (/')[0][:110]}")


SETTINGS = dict(d_model=512, nhead=8, num_encoder_layers=6, num_decoder_layers=6, num_attention_heads=8,
                dim_feedforward=2048, dropout=0.1, activation="gelu", residual=True)  # fmt: skip

# %% [markdown] id="broken-import" errata=["E130"] documents=["004 §5.2","004 §5.3"]
# ### Line 2: classes that do not exist
#
# The script imports `Transformer` and `TransformerConfig` from the Transformers library (E130). The library has hundreds of
# architectures and calls each by its own name: `BartConfig`, `MarianMTModel`. A class “Transformer” is in PyTorch: `torch.nn.Transformer`.

# %% id="broken-import-shown" concepts=["C33"] errata=["E130"] documents=["004 §5.2"]
import importlib.util

HAS_TRANSFORMERS = importlib.util.find_spec("transformers") is not None
if not HAS_TRANSFORMERS:
    print("The library transformers is not installed, so the cells below skip it: pip install transformers")
line_2 = "from transformers import Transformer, TransformerConfig"
attempt(line_2, lambda: exec(line_2))

# %% [markdown] id="broken-config" errata=["E131","E132"] documents=["004 §5.2"]
# ### Line 4: settings that nothing knows
#
# `residual=True` is no switch anywhere: residual connections are always on. The number of heads is given twice, under two
# names (E131). The vocabulary size, which the loss asks for later, is not given at all (E132). PyTorch refuses such
# settings. A configuration of the Transformers library swallows them, which is worse: you believe that they do something.

# %% id="broken-config-shown" errata=["E131","E132"] documents=["004 §5.2"]
attempt("nn.Transformer(the printed settings)", lambda: nn.Transformer(**SETTINGS))
attempt("nn.Transformer(residual=True)", lambda: nn.Transformer(d_model=16, nhead=2, residual=True))
if HAS_TRANSFORMERS:
    from transformers import PretrainedConfig

    attempt("PretrainedConfig(…).residual", lambda: PretrainedConfig(**SETTINGS).residual)
    attempt("PretrainedConfig(…).vocab_size", lambda: PretrainedConfig(**SETTINGS).vocab_size)
attempt("ModelConfig.from_dict(…)", lambda: ModelConfig.from_dict({"vocab_size": 13, "residual": True}))

# %% [markdown] id="broken-call" errata=["E133","E134","E135"] documents=["004 §5.2"]
# ### The loop: a decoder with nothing to read
#
# `model(inputs)` gives the source alone (E133). PyTorch's class says what is missing. BART, quietly, takes the *source* as
# what the decoder reads, and so gives an output as long as the source. That output is no tensor either: `.view` fails
# (E134). And when the logits are taken out of it, they do not fit the targets, 14 places against 10 (E135):

# %% id="broken-call-shown" errata=["E133","E134","E135"] documents=["004 §5.2"]
small = nn.Transformer(
    d_model=16, nhead=2, num_encoder_layers=1, num_decoder_layers=1, dim_feedforward=32, batch_first=True
)
attempt("nn.Transformer: model(inputs)", lambda: small(torch.randn(2, 5, 16)))
if HAS_TRANSFORMERS:
    from transformers import BartConfig, BartForConditionalGeneration

    bart = BartForConditionalGeneration(BartConfig(
        vocab_size=64, d_model=16, encoder_layers=1, decoder_layers=1, encoder_attention_heads=2,
        decoder_attention_heads=2, encoder_ffn_dim=32, decoder_ffn_dim=32, max_position_embeddings=32,
    ))  # fmt: skip
    inputs, targets = torch.randint(3, 64, (2, 7)), torch.randint(3, 64, (2, 5))
    attempt("BART: model(inputs)", lambda: bart(inputs))
    attempt("BART: outputs.view(-1, 64)", lambda: bart(inputs).view(-1, 64))
    attempt(
        "BART: the loss of its logits",
        lambda: nn.CrossEntropyLoss()(bart(inputs).logits.view(-1, 64), targets.view(-1)),
    )
    attempt("BART, called rightly: loss", lambda: round(bart(input_ids=inputs, labels=targets).loss.item(), 2))

# %% [markdown] id="broken-data" errata=["E139"] documents=["004 §5.2"]
# ### The data: three dots
#
# `train_dataset = ...` is valid Python: the three dots are an object, the *Ellipsis* (E139). It is no data.

# %% id="broken-data-shown" errata=["E139"] documents=["004 §5.2"]
attempt("for batch in ...", lambda: [batch for batch in ...])
attempt("len(...)", lambda: len(...))

# %% [markdown] id="broken-evaluation" errata=["E137"] documents=["004 §5.2"]
# ### The evaluation: a record that nobody needs
#
# `model.eval()` turns dropout off. It does not stop PyTorch from recording every operation for a gradient that will never
# be asked for (E137). Counted in bytes kept for `backward`:

# %% id="broken-evaluation-shown" concepts=["C34"] errata=["E137"] documents=["004 §5.2"]


def kept_for_backward(action):
    sizes = []
    with torch.autograd.graph.saved_tensors_hooks(lambda t: sizes.append(t.nbytes) or t, lambda t: t):
        action()
    return sum(sizes)


source, target = validation[0]
model.eval()
with_record = kept_for_backward(lambda: model(source, shift_right(target, BOS)))
with torch.no_grad():
    without = kept_for_backward(lambda: model(source, shift_right(target, BOS)))
print(f"eval() alone: {with_record:,} bytes    with no_grad(): {without:,} bytes")
assert with_record > 1_000_000 and without == 0

# %% [markdown] id="broken-mean" errata=["E138"] documents=["004 §5.2"]
# ### The average: a mean of means
#
# The script adds up the means of its batches and divides by their number (E138). A batch of one token then counts as much
# as one of nine. Here the nine are easy and the one is hard:

# %% id="broken-mean-shown" concepts=["C34"] errata=["E138"] documents=["004 §5.2"]
token_losses = torch.tensor([0.2] * 9 + [5.0])
of_means = (token_losses[:9].mean() + token_losses[9:].mean()) / 2
print(f"mean of the means: {of_means:.2f}    mean over tokens: {token_losses.mean():.2f}")

# %% [markdown] id="broken-test" errata=["E140"] documents=["004 §5.2"]
# ### The test set: looked at ten times
#
# After every epoch the script prints the loss on the *test* set (E140). Whoever picks the best epoch by it has used the
# test to choose. How much that flatters shows with models that know nothing: take 50 coin-flippers, and choose the best
# on a test of 20 questions.

# %% id="broken-test-shown" concepts=["C34"] errata=["E140"] documents=["004 §5.2"]
random = torch.Generator().manual_seed(0)
answers = torch.randint(0, 2, (20 + 10_000,), generator=random)
guesses = torch.randint(0, 2, (50, 20 + 10_000), generator=random)
right = (guesses == answers).double()  # [models, questions]
best = right[:, :20].mean(1).argmax()
on_test, on_new = right[best, :20].mean(), right[best, 20:].mean()
print(f"the best of 50 on the 20 test questions: {on_test:.0%}, on 10,000 new ones: {on_new:.0%}")

# %% [markdown] id="documents-table" concepts=["C45"] errata=["E066","E067","E099","E128","E129","E141","E142","E143","E144"] documents=["001 §6 Q4","002 §2","003 §8 Q3","004 §5.1","004 §5.2","004 §5.4"]
# ### The rest, in a line each
#
# | document | what is true |
# |---|---|
# | 004 §5.1: `cudatoolkit=11.1`, Python 3.8 (E128) | Right in 2021. Today `pip install torch` brings what it needs; current versions want Python 3.10 or later. |
# | 004 §5.1: set up a GPU or TPU (E129) | The commands install nothing for a TPU, and you have just trained on what you have. |
# | 004 §5.2: Adam at a constant 0.001 (E141) | Above the paper's peak of 0.0007 for this width, without its warm-up, and with other averages. Section 6 shows what it can cost. |
# | 004 §5.2: the model is built twice, and never moved to the GPU (E142) | Once, before the optimiser, and then `.to(device)`; batches as well. |
# | 004 §5.2: “implements machine translation” (E143) | Without tokenizer, masks, decoding or a score it implements none of it. |
# | 004 §5.4: “results” (E144) | There are none: the section repeats the code. Results are a curve, a score, and sentences: see section 5. |
# | 001 §6: optimise by “transferred learning” (E066) | Transfer learning. And the list lacks optimiser, schedule, smoothing and precision: the subject of this chapter. |
# | 002 §2: Facebook's PyTorch has flexible graphs *and* dynamic graphs (E067) | It began there; since 2022 the PyTorch Foundation looks after it. The two graphs are one property: recorded while the code runs. |
# | 003 §8: choose d_model *and* hidden_size (E099) | Two names of one number. The fourth size is the inner width of the feed-forward network, d_ff. |

# %% [markdown] id="repaired-intro" concepts=["C33","C34"] errata=["E130","E131","E132","E133","E134","E135","E136","E138","E139","E140","E142","E143","E144"] documents=["004 §5.2","004 §5.4"]
# ### The script, repaired
#
# Settings, model, data, training, evaluation, result. Each comment names what was mended.

# %% id="repaired" concepts=["C30","C33","C34"] errata=["E130","E131","E132","E133","E134","E135","E136","E138","E139","E140","E141","E142","E143","E144"] documents=["004 §5.2","004 §5.4"]
config = ModelConfig(vocab_size=V, d_model=64, n_heads=4, d_ff=128, n_layers=2, max_len=16, dropout=0.0)  # E131, E132
device = "cuda" if torch.cuda.is_available() else "cpu"
torch.manual_seed(0)
model = Transformer(config).to(device)  # once, before the optimiser: E130, E142
optimizer = torch.optim.Adam(model.parameters(), lr=0.0, betas=(0.9, 0.98), eps=1e-9)
data = torch.Generator().manual_seed(1)


def epoch_loss(batches, rates=None):
    """The mean loss a token; with rates, one for each batch, the model is trained, without them only measured."""
    model.train(rates is not None)
    total = n_tokens = 0
    with torch.set_grad_enabled(rates is not None):  # E137
        for i, (source, target) in enumerate(batches):
            source, target = source.to(device), target.to(device)  # E142
            logits = model(source, shift_right(target, BOS))  # a tensor: E133, E134, E135
            loss = smoothed_cross_entropy(logits, target, 0.0, PAD)  # padding does not count: E136
            if rates:
                optimizer.param_groups[0]["lr"] = rates[i]  # E141
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
            n = (target != PAD).sum().item()
            total, n_tokens = total + loss.item() * n, n_tokens + n
    return total / n_tokens  # over tokens: E138


rates = [warmup_linear_rate(step, (step - 1) / 300, 2e-3, 40) for step in range(1, 301)]
for epoch in range(4):
    training = [reversal_batch(64, data) for _ in range(75)]  # data: E139
    loss = epoch_loss(training, rates[75 * epoch : 75 * (epoch + 1)])
    val_loss = epoch_loss(validation)  # not the test: E140
    print(f"epoch {epoch + 1}: train loss {loss:.3f}, validation loss {val_loss:.3f}")
test = reversal_batch(50, torch.Generator().manual_seed(999))  # looked at once
exact = sum(write(model.cpu().eval(), s[s != PAD].tolist()) == t[t != PAD].tolist() for s, t in zip(*test))
print(f"test: {exact} of 50 exactly right")  # a result: E143, E144

# %% [markdown] id="faq-optimise" concepts=["C30","C32"] errata=["E066"] documents=["001 §6 Q4"]
# ## 8. The documents' questions, answered
#
# **How do you optimise a Transformer?** (document 001, §6, question 4)
#
# First let it learn at all: a loss that starts at log V or above and can be driven to zero on ten sentences. Then the rate, with
# warm-up and a fall to zero; then batch size, dropout and label smoothing, each by the validation loss. Mixed precision
# and a fused attention make it faster without changing what it learns. If somebody has already trained on more text
# than you have, begin from their weights: that is transfer learning, chapters 12 to 14.

# %% [markdown] id="faq-hyper-parameters" concepts=["C30"] errata=["E099"] documents=["003 §8 Q3"]
# **How do you choose the hyper-parameters?** (document 003, §8, question 3)
#
# Begin with a preset that works for as much data as you have. Of the sizes, `d_model`, `d_ff` and `n_layers` decide over
# capacity and cost; `n_heads` must divide `d_model` and changes the number of parameters not at all. More data deserves a larger
# model; with little data a larger one only memorises, and validation loss rises while training loss falls. How to search
# stands in section 6: the rate first, in factors, on validation data, with several seeds. Test once, at the end.

# %% id="faq-heads" concepts=["C30"] errata=["E099"] documents=["003 §8 Q3"]
valid = [h for h in range(1, 49) if 48 % h == 0]
print("d_model 48 can have heads:", valid)
attempt("ModelConfig(d_model=30, n_heads=4)", lambda: ModelConfig(vocab_size=10, d_model=30, n_heads=4))
if HAS_TRANSFORMERS:
    attempt("BartConfig(d_model=16).hidden_size", lambda: BartConfig(d_model=16).hidden_size)

# %% [markdown] id="exercises"
# ## 9. Exercises
#
# Replace the line that raises the error by your code, run the cell, then run the check below it. It says at once what is
# right, and what the mistake may be. `hint("noam_rate")` gives a hint. Arguments stay as they were, and results keep the
# dtype of the inputs.

# %% id="exercise-imports"
from course_lib.workshop import check, hint, quiz

# %% exercise="smoothed_cross_entropy"

# %% exercise="noam_rate"

# %% exercise="adam_step"

# %% exercise="spot_the_bug_09"

# %% [markdown] id="quiz-heading"
# ### What did you take with you?

# %% quiz="09"

# %% [markdown] id="recap" concepts=["C31","C32","C33","C34"]
# ## 10. Recap
#
# - The loss is the surprise at the right token: −log p, averaged over real tokens; log V for a model that gives all the same.
# - The decoder reads the target one place behind what it predicts. Without the shift the loss is perfect and the model useless.
# - Five lines train: forward, loss, clear, backward, step. Adam makes steps of about the size of the rate.
# - The rate rises, so that the first steps do no harm, and falls, so that the last ones settle.
# - Evaluate without dropout, without a record for gradients, weighted by tokens; choose on validation, test once.
# - Search the rate first and in factors, with equal budgets, one change at a time; a difference within the seeds is none.
# - A checkpoint is weights, optimiser, place in the data and random state.
#
# **Files to read:** `course_lib/losses.py`, `course_lib/schedules.py`, `course_lib/optimisers.py`, `course_lib/training.py` (`train` reads from top to bottom).
#
# **Papers:** Vaswani et al. (2017), *Attention Is All You Need*, §5; Kingma, Ba (2015), *Adam: A Method for Stochastic
# Optimization*, algorithm 1; Szegedy et al. (2016), *Rethinking the Inception Architecture for Computer Vision*, §7;
# Xiong et al. (2020), *On Layer Normalization in the Transformer Architecture*; Bergstra, Bengio (2012), *Random Search for
# Hyper-Parameter Optimization*; Loshchilov, Hutter (2019), *Decoupled Weight Decay Regularization*.
#
# **Next:** [chapter 10](10_decoding.ipynb) lets the model write better than word by word, and measures how good it is.

# %% id="whose-parts"
my_parts()
