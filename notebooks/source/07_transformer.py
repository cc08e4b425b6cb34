# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown] id="title" documents=["000 §3.2", "001 §2.1", "001 §2.2", "001 §2.3", "001 §2.6", "001 §3.5", "001 §4", "003 §2", "003 §4", "004 §3.2"]
# # 07 · The decoder and the whole Transformer
#
# An encoder reads. What is missing is the part that writes, one word after the other, and looks back at the source while it does. At the
# end of this chapter you can
#
# - say what a decoder reads, what it is to write, and why the two are one place apart;
# - tell the three attentions of a Transformer apart by where their queries, keys and masks come from;
# - write a decoder layer, and count the parameters of the whole model, to the last one;
# - share parameters, and say what that saves and what it does not;
# - repair the classes that two of the documents print around `nn.Transformer`;
# - build the model from parts of your own, and show that it equals PyTorch’s.
#
# **Time:** about 75 minutes, and an hour for the exercises. **You need:** chapters 03, 05 and 06. Numbers such as E015 name mistakes
# of the documents that this course is built on.

# %% id="imports"
import torch
import torch.nn.functional as F
from torch import nn

from course_lib import attention, blocks, masks, transformer
from course_lib.config import ModelConfig
from course_lib.recording import record_attention
from course_lib.translator import Translator
from course_lib.views import influence_view, model_map

torch.set_printoptions(precision=3, sci_mode=False)

# %% [markdown] id="question" concepts=["C26", "C28"]
# ## 1. The question
#
# A small Transformer comes with the course; it translates English into Chinese. Give it a sentence:

# %% id="question-shown" concepts=["C26", "C28"]
translator = Translator.shipped()
print(translator.translate("Tom bought three books yesterday."))

# %% [markdown] id="question-asked" concepts=["C26"]
# Seven tokens went in, nine came out, in another order (汤姆 Tom, 昨天 yesterday, 买了 bought, 三本书 three books). **How does a model produce a sequence
# of another length, word by word, and how can it learn all nine places in one go without copying the answer?**

# %% [markdown] id="predict"
# ## 2. Predict
#
# Commit before you know.

# %% id="predict-shared" concepts=["C29"] errata=["E043"]
from course_lib.views import predict, predict_number

predict(
    "A decoder has six layers. You let all six <b>share</b> one set of weights. What happens to the time of a forward pass?",
    [
        ("it falls to a sixth", "That is what happens to the number of parameters. Each layer is still computed."),
        "it stays as it was",
        ("it doubles", "Nothing is computed that was not computed before."),
        ("it depends on the optimiser", "A forward pass knows of no optimiser."),
    ],
    "it stays as it was",
    "Sharing saves parameters, not computation. Section 4 counts both.",
)

# %% id="predict-leak" concepts=["C26", "C31"] errata=["E059"]
predict(
    "By mistake a decoder reads exactly the words that it is to write: nobody shifted them. What will its training loss do?",
    [
        ("stay high: the task has become impossible", "On the contrary: the answer is written on the sheet."),
        ("fall as usual", "It has no need to read the source at all."),
        "fall to nearly zero",
    ],
    "fall to nearly zero",
    "It copies what it reads. Section 6 trains such a model, and then lets it translate.",
)

# %% id="predict-layer" concepts=["C26", "C30"]
predict_number(
    "An encoder layer with d<sub>model</sub> = 8 and d<sub>ff</sub> = 16 has 600 parameters. How many has a <b>decoder</b> layer?",
    904,
    "One more attention, 4 · (8 · 8 + 8) = 288, and one more norm, 2 · 8 = 16.",
)

# %% [markdown] id="by-hand" concepts=["C26", "C31"] errata=["E014", "E074"] documents=["000 §3.2", "002 §3"]
# ## 3. By hand
#
# ### What the decoder reads, by hand
#
# The decoder is to write 汤姆 买 书 and an end mark. It starts from a beginning mark, and at each place it may read what has been written **so far**:
#
# | place | 0 | 1 | 2 | 3 |
# |---|---|---|---|---|
# | reads | [BOS] | 汤姆 | 买 | 书 |
# | is to write | 汤姆 | 买 | 书 | [EOS] |
#
# One row is the other, moved by one place. In training both rows are known, so all four places are computed in **one pass**; a causal mask (chapter 03) hides from each place
# what stands to its right. This is called *teacher forcing*: each place reads the right words, whatever the model would have written.

# %% id="shift-by-hand" concepts=["C26", "C31"] errata=["E014", "E074"] documents=["002 §3"]
words = ["[PAD]", "[BOS]", "[EOS]", "汤姆", "买", "书"]
to_write = torch.tensor([[3, 4, 5, 2]])
reads = torch.tensor([[1, *to_write[0, :-1].tolist()]])
for place, (read, write) in enumerate(zip(reads[0], to_write[0])):
    print(f"place {place}: after {words[read]} write {words[write]}")
assert torch.equal(reads, transformer.shift_right(to_write, 1))

# %% [markdown] id="three-attentions" concepts=["C14", "C26"] errata=["E015", "E040"] documents=["001 §2.2", "001 §2.3", "001 §3.2"]
# ### Three attentions, by hand
#
# Source: 6 tokens. Target: 4. There is one formula, and three places for it:
#
# | | queries from | keys, values from | mask | weights |
# |---|---|---|---|---|
# | encoder self-attention | source | source | padding of the source | 6 × 6 |
# | decoder self-attention | target | target | causal | 4 × 4 |
# | cross-attention | **target** | **memory**: what the encoder made of the source | padding of the source | 4 × 6 |

# %% id="three-attentions-shown" concepts=["C14", "C26"] errata=["E040"] documents=["001 §2.1", "001 §2.3"]
torch.manual_seed(0)
small = transformer.Transformer(ModelConfig(vocab_size=20, d_model=16, n_heads=2, d_ff=32, n_layers=1, dropout=0.0)).eval()
source, target_in = torch.randint(4, 20, (1, 6)), torch.randint(4, 20, (1, 4))
with record_attention(small) as maps, torch.no_grad():
    logits = small(source, target_in)
for name, weights in maps.items():
    print(f"{name:32} {list(weights.shape)} = [B, H, Tq, Tk]")
assert [list(w.shape[2:]) for w in maps.values()] == [[6, 6], [4, 4], [4, 6]]

# %% [markdown] id="output-by-hand" concepts=["C27"] errata=["E016", "E058", "E115"] documents=["000 §3.2", "002 §3", "004 §3.2"]
# ### From vector to word, by hand
#
# After the **last** layer, once, each vector is compared with the vector of every word of the vocabulary: the $V$ dot products are the *logits*. A softmax makes probabilities of them. With
# three words and logits (2, 1, 0): $e^2 + e^1 + e^0 = 7.39 + 2.72 + 1 = 11.11$, so the probabilities are 0.665, 0.245, 0.090. If the first word is right, the loss is
# $-\ln 0.665 = 0.408$.

# %% id="output-shown" concepts=["C27", "C31"] errata=["E076", "E095"] documents=["002 §3", "003 §4"]
scores = torch.tensor([2.0, 1.0, 0.0])
print("probabilities", scores.softmax(-1), "  loss", F.cross_entropy(scores[None], torch.tensor([0])).item())
print("the model: states [1, 4, 16] -> logits", list(logits.shape), "= [B, Tt, V]: the length stays, the width becomes V")
torch.testing.assert_close(scores.softmax(-1), torch.tensor([7.389, 2.718, 1.0]) / 11.107, atol=1e-3, rtol=0)

# %% [markdown] id="count-by-hand" concepts=["C28", "C30"]
# ### The parameters, by hand
#
# Take $d_{\text{model}} = 8$, $d_{\text{ff}} = 16$, one layer in each stack, a vocabulary of 10.
#
# | part | formula | number |
# |---|---|---|
# | attention | $4\,(d^2 + d)$ | 288 |
# | feed-forward | $2\,d\,d_{\text{ff}} + d_{\text{ff}} + d$ | 280 |
# | norm | $2d$ | 16 |
# | encoder layer | attention + feed-forward + 2 norms | 600 |
# | decoder layer | 2 attentions + feed-forward + 3 norms | 904 |
# | a norm after each stack | $2 \cdot 2d$ | 32 |
# | one table of words, for source, target and output | $V d$ | 80 |
# | **together** | | **1616** |
#
# The number of heads is not in it: heads divide the width among themselves.

# %% id="count-shown" concepts=["C28", "C30"]
tiny = transformer.Transformer(ModelConfig(vocab_size=10, d_model=8, n_heads=2, d_ff=16, n_layers=1))
print("the model has", sum(p.numel() for p in tiny.parameters()), "parameters")
assert sum(p.numel() for p in tiny.parameters()) == 600 + 904 + 32 + 80 == transformer.count_parameters(8, 2, 16, 1, 10)
base = transformer.count_parameters(512, 8, 2048, 6, 37_000)
print(f"the base model of the paper, with 37,000 word pieces: {base:,} (the paper says 65 million)")

# %% [markdown] id="decoder-layer" concepts=["C26"] errata=["E015", "E114"] documents=["000 §3.2", "004 §3.2", "004 §4.1"]
# ## 4. Build it
#
# ### The decoder layer
#
# Three sub-layers, each with residual and norm as in chapter 06: masked self-attention, cross-attention, feed-forward. The memory $M$ enters as keys and values
# of the second, **as it is**: the encoder’s last norm has been applied to it already, and the layer’s norms are for the stream.
#
# $$x \leftarrow x + \mathrm{Self}(\mathrm{LN}_1(x)), \qquad x \leftarrow x + \mathrm{Cross}(\mathrm{LN}_2(x), M), \qquad x \leftarrow x + \mathrm{FFN}(\mathrm{LN}_3(x))$$
#
# (Pre-norm; Vaswani et al. 2017, §3.1, has post-norm.)

# %% id="toy" concepts=["C26"] errata=["E015", "E074", "E114", "E124"] documents=["000 §3.2", "002 §3", "004 §4.1"]
class Layer(nn.Module):
    def __init__(self, d_model, n_heads, d_ff, norm):
        super().__init__()
        self.pre = norm == "pre"
        self.self_attention = attention.MultiHeadAttention(d_model, n_heads)
        self.cross_attention = attention.MultiHeadAttention(d_model, n_heads)
        self.feed_forward = blocks.FeedForward(d_model, d_ff)
        self.norm_1, self.norm_2, self.norm_3 = (blocks.LayerNorm(d_model) for _ in range(3))

    def forward(self, x, memory, self_mask=None, memory_mask=None):  # [B, Tt, D], [B, Ts, D] -> [B, Tt, D]
        sublayers = [
            (self.norm_1, lambda y: self.self_attention(y, y, y, self_mask)),
            (self.norm_2, lambda y: self.cross_attention(y, memory, memory, memory_mask)),
            (self.norm_3, self.feed_forward),
        ]
        for norm, work in sublayers:
            x = x + work(norm(x)) if self.pre else norm(x + work(x))
        return x


# %% [markdown] id="real" concepts=["C26"]
# The library’s is the same, and so is PyTorch’s under other names: `torch_bridge.torch_state` renames weights. Do all three agree, with masks, in both orders?

# %% id="real-agrees" concepts=["C26", "C28"] errata=["E015", "E124"]
from course_lib.torch_bridge import torch_state

torch.manual_seed(0)
x, memory = torch.randn(2, 4, 12), torch.randn(2, 6, 12)
causal, keep = masks.causal_mask(4, 4), torch.tensor([[True] * 6, [True] * 4 + [False] * 2])[:, None, None]
for placement in ("pre", "post"):
    toy = Layer(12, 3, 20, placement)
    ours = blocks.DecoderLayer(12, 3, 20, placement)
    torchs = nn.TransformerDecoderLayer(12, 3, 20, dropout=0.0, batch_first=True, norm_first=toy.pre)
    ours.load_state_dict(toy.state_dict())
    torchs.load_state_dict(torch_state(toy.state_dict()))
    result = ours(x, memory, causal, keep)
    torch.testing.assert_close(toy(x, memory, causal, keep), result)
    blocked = {"tgt_mask": ~causal, "memory_key_padding_mask": ~keep[:, 0, 0]}  # PyTorch: True is blocked
    torch.testing.assert_close(torchs(x, memory, **blocked), result, atol=1e-5, rtol=1e-4)
    print(f"{placement}-norm: all three agree, output {list(result.shape)} = [B, Tt, D]")

# %% [markdown] id="whole" concepts=["C27", "C28"] errata=["E014", "E061"] documents=["001 §2.1"]
# ### The whole model
#
# Embed the source, times $\sqrt{d_{\text{model}}}$, plus positions; run the encoder. Embed the *shifted target* in the same way; run the decoder, which looks at
# the memory in every layer. Compare with the words:

# %% id="whole-toy" concepts=["C27", "C28"] errata=["E014", "E115"] documents=["000 §3.2", "004 §3.2"]
def forward(model, source, target_in):  # ids [B, Ts], [B, Tt] -> logits [B, Tt, V]
    table, places = model.embedding.weight, model.positions.table
    scale = model.config.d_model**0.5
    padding, causal = masks.padding_mask(source, 0), masks.causal_mask(target_in.shape[1])
    memory = model.encoder(table[source] * scale + places[: source.shape[1]], padding)  # [B, Ts, D], once
    states = model.decoder(table[target_in] * scale + places[: target_in.shape[1]], memory, causal, padding)
    return states @ table.T


torch.testing.assert_close(forward(small, source, target_in), small(source, target_in))
print("the six lines above are the whole model:", list(logits.shape), "= [B, Tt, V]")

# %% [markdown] id="once" concepts=["C26", "C28"] errata=["E016", "E017", "E041"] documents=["000 §3.2", "001 §2.1"]
# ### Encode once, decode many times
#
# In use there is no target. The source is read **once**; then the decoder is called again and again, each time with one more word, until it writes the end mark. This part cannot be done in parallel:
# each word has to be known before the next (E041 forgets it).

# %% id="once-shown" concepts=["C26", "C27", "C28"] errata=["E016", "E017", "E041"] documents=["000 §3.2", "001 §2.1"]
from collections import Counter

calls, model = Counter(), translator.model
handles = [part.register_forward_hook(lambda part, *_: calls.update([type(part).__name__])) for part in (model.encoder, model.decoder)]
sentence = torch.tensor([translator.encode("Tom bought three books yesterday.")])
with torch.no_grad():
    memory, written = model.encode(sentence), [1]  # 1: [BOS]
    while written[-1] != 2 and len(written) < 20:  # 2: [EOS]
        logits = model.decode(torch.tensor([written]), memory, sentence)[0, -1]  # after the last word [V]
        written.append(logits.argmax().item())
        print(f"{translator.tokenizer.token(written[-1]):6} probability {logits.softmax(-1).max():.2f}")
print("calls in use:     ", dict(calls))
calls.clear()
with torch.no_grad():
    model(sentence, torch.tensor([written[:-1]]))
print("calls in training:", dict(calls), " all places in one pass")
assert calls == {"Encoder": 1, "Decoder": 1}
for handle in handles:
    handle.remove()

# %% [markdown] id="sharing" concepts=["C29"] errata=["E043", "E051"] documents=["001 §2.6", "001 §3.5"]
# ### Sharing parameters
#
# Sharing means: **one** tensor, used in several places. Its gradient is the sum of what the places say. For $f = w\cdot 2w$ at $w = 3$: each place contributes 6, together 12. Two kinds are choices of `ModelConfig`:
#
# - `tied_embeddings=True`: the words of source, target and output are one matrix (Vaswani et al. 2017, §3.4). It is the default here.
# - `shared_layers=True`: all layers of a stack are one layer, applied again and again (Universal Transformer, ALBERT).
#
# **Look at** the last column, too.

# %% id="sharing-shown" concepts=["C29", "C30"] errata=["E043", "E051"] documents=["001 §2.6", "001 §3.5"]
from torch.utils.flop_counter import FlopCounterMode

w = torch.tensor(3.0, requires_grad=True)
(w * (2 * w)).backward()
print("gradient of w · 2w at 3:", w.grad.item())

print("tied embeddings  shared layers   parameters    operations")
operations = {}
for tied in (False, True):
    for shared in (False, True):
        config = ModelConfig(
            vocab_size=4000, d_model=128, n_heads=4, d_ff=256, n_layers=6, tied_embeddings=tied, shared_layers=shared
        )
        model = transformer.Transformer(config).eval()
        with FlopCounterMode(display=False) as counter:
            model(torch.randint(4, 4000, (1, 12)), torch.randint(4, 4000, (1, 10)))
        operations[tied, shared] = counter.get_total_flops()
        print(f"{tied!s:16} {shared!s:13} {sum(p.numel() for p in model.parameters()):12,} {operations[tied, shared]:13,}")
assert len(set(operations.values())) == 1

# %% [markdown] id="sharing-seen" concepts=["C29"] errata=["E043", "E051"] documents=["001 §2.6", "001 §3.5"]
# The parameters fall; the operations do not. 001, §2.6, promises less *computation* (E043); and §3.5 calls it sharing to give each part parameters of its own (E051), which is
# what one has without it. Other things that share: a recurrent network over time (chapter 01), the feed-forward network over positions (chapter 06).

# %% [markdown] id="config" concepts=["C30"] errata=["E099"] documents=["003 §8 Q3", "001 §4"]
# ### The sizes
#
# A configuration is checked when it is made, before hours of training are lost:

# %% id="config-shown" concepts=["C30"] errata=["E099"] documents=["003 §8 Q3"]
print("heads that divide 48:", [h for h in range(1, 49) if 48 % h == 0])
for wrong in ({"n_heads": 5}, {"norm": "middle"}, {"dropout": 1.5}, {"hidden_size": 64}):
    try:
        ModelConfig.from_dict({"vocab_size": 100, "d_model": 48, **wrong})
    except ValueError as error:
        print("ValueError:", error)

# %% [markdown] id="move" concepts=["C28"] errata=["E127"] documents=["004 §4.3"]
# ## 5. Move it
#
# ### The map of the model
#
# Document 004, §4.3, announces a case study and repeats its list of steps (E127). Here is one: the translation from section 1, as it ran through the shipped model. **Try:** follow the shapes from top to bottom; open
# a cross-attention and look for *three* in its heads (a row is named after what the decoder has just read: the row 了 writes 三, *three*); open the output; open a whole layer by its name, and read its code; find the box with the most parameters.

# %% id="map-view" concepts=["C26", "C27", "C28"] errata=["E127"] documents=["004 §4.3"]
token = translator.tokenizer.token
model_map(translator.model, sentence, torch.tensor([written[:-1]]), token)

# %% [markdown] id="map-seen" concepts=["C28"]
# Nearly everything is `[1, tokens, 128]`, from the first box to the last but one: each layer only adds to a stream. The encoder and the decoder meet in one place per layer,
# the cross-attention. And nearly a quarter of the parameters is the table of words. The same for a model with shared layers, post-norm, and three matrices: **look at** what the second layers cost.

# %% id="map-view-shared" concepts=["C29"]
torch.manual_seed(0)
shared = ModelConfig(vocab_size=30, d_model=16, n_heads=2, d_ff=32, n_layers=3, norm="post", tied_embeddings=False, shared_layers=True)
model_map(transformer.Transformer(shared), torch.tensor([[5, 6, 7, 2]]), torch.tensor([[1, 8, 9]]))

# %% [markdown] id="influence" concepts=["C14", "C15", "C26"] errata=["E113"] documents=["001 §2.2", "001 §2.3"]
# ### Which outputs hear of a token?
#
# **Try:** edit *three* in the source: the encoder’s every vector changes, and the decoder’s every place may. Then edit a word that the decoder reads: which places change? Then take the causal mask away, and edit the last word.
# Then take the cross-attention away: what does the decoder still know?

# %% id="influence-view" concepts=["C14", "C15", "C26"] errata=["E113", "E015"] documents=["001 §2.3", "004 §3.2"]
influence_view(translator.model, sentence, torch.tensor([written[1:]]), bos_id=1, token=token)

# %% [markdown] id="influence-seen" concepts=["C14", "C15", "C26"] errata=["E015"]
# With the mask an edit changes its own place and later ones, never an earlier one. Without it (document 004 has none, E113) the change runs backwards: in training such a decoder reads what it is to write. Without cross-attention
# (the decoder of 000, §3.2, E015) the source has no influence at all: whatever one asks, it writes the same.

# %% [markdown] id="break" concepts=["C26", "C31"] errata=["E059", "E074"] documents=["001 §4", "002 §3"]
# ## 6. Break it
#
# ### Forget to shift, or to mask
#
# Two tasks with five digits: write the source’s digits in **reverse** order; and write **dice**, five random digits that nobody can know, so that the best honest loss is $\ln 10 = 2.30$. A small Transformer is trained
# on each: as it should be, without the shift, and without the causal mask. **Expectation:** those that can see the answer get below 2.30 on dice, which is impossible; and
# what was learned by copying is of no use where there is nothing to copy.

# %% id="leak" concepts=["C26", "C31"] errata=["E059", "E074", "E094"] documents=["001 §4", "002 §3", "003 §4"]
from course_lib.parts import Parts


def train(task, shift=True, mask=True, steps=250, t=5):
    torch.manual_seed(0)
    parts = Parts() if mask else Parts(causal_mask=lambda t_q, t_k: torch.ones(t_q, t_k, dtype=torch.bool))
    model = transformer.Transformer(ModelConfig(vocab_size=14, d_model=32, n_heads=4, d_ff=64, n_layers=1, dropout=0.0), parts)
    optimizer = torch.optim.Adam(model.parameters(), lr=5e-3)
    for _ in range(steps):
        source = torch.randint(4, 14, (64, t))
        target = source.flip(1) if task == "reverse" else torch.randint(4, 14, (64, t))
        logits = model(source, transformer.shift_right(target, 1) if shift else target)  # [B, T, V]
        loss = F.cross_entropy(logits.flatten(0, 1), target.flatten())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return model, loss.item()


@torch.no_grad()
def written_right(model, t=5):  # in use: nothing but the source is known
    source = torch.randint(4, 14, (200, t), generator=torch.Generator().manual_seed(1))
    memory, read = model.encode(source), torch.full((200, 1), 1)
    for _ in range(t):
        read = torch.cat([read, model.decode(read, memory, source)[:, -1:].argmax(-1)], dim=1)
    return (read[:, 1:] == source.flip(1)).float().mean().item()


found = {}
print("                 loss, dice   loss, reverse   digits right in use")
for name, options in (("as it should be", {}), ("not shifted", {"shift": False}), ("no causal mask", {"mask": False})):
    dice, (model, reverse) = train("dice", **options)[1], train("reverse", **options)
    found[name] = dice, reverse, written_right(model)
    print(f"{name:16} {dice:10.2f} {reverse:15.3f} {found[name][2]:21.0%}")
assert found["as it should be"][0] > 2.2 and found["as it should be"][2] > 0.9
assert found["not shifted"][0] < 0.1 > found["not shifted"][1] and found["not shifted"][2] < 0.3
assert found["no causal mask"][0] < 1.0

# %% [markdown] id="leak-seen" concepts=["C26", "C31"] errata=["E059"]
# As expected. Without the shift the training loss is almost zero on both tasks, the impossible one included, and in use the model writes nonsense: it has learned to copy. Without the mask four places of five read their answer one place further on; only
# the last has to look at the source, and what it learns there is all that helps the model in use. A low training loss alone says nothing. A test that takes a second finds such a leak: edit the last token, and see whether an
# earlier output changes.

# %% [markdown] id="documents" concepts=["C26"] errata=["E014", "E119"] documents=["000 §3.2", "004 §4.1"]
# ## 7. What the documents say, and what is true
#
# ### “The encoder’s output goes through positions and into the decoder”
#
# 000, §3.2, step 1 (E014). The target does not occur there at all; and 004, §4.1, gives output and input the same length (E119). Wire it so:

# %% id="memory-as-input" concepts=["C26"] errata=["E014", "E119"] documents=["000 §3.2", "004 §4.1"]
with torch.no_grad():
    memory = small.encode(source)  # 6 source tokens
    as_printed = small.decoder(small.positions(memory), memory)
    print("as printed:", list(as_printed.shape), "whatever the target is; its 4 tokens are nowhere to be found")
    print("as it is:  ", list(small.decoder(small.embed_target(target_in), memory).shape))
assert as_printed.shape[1] == source.shape[1] != target_in.shape[1]

# %% [markdown] id="sublayers" concepts=["C26"] errata=["E015", "E040", "E114"] documents=["000 §3.2", "001 §2.1", "004 §3.2"]
# ### Which sub-layers, in which order?
#
# 000, §3.2: a decoder layer is attention and a feed-forward network (E015). 001, §2.1: both stacks have self- and cross-attention (E040). 004, §3.2: the feed-forward network comes *before* the attention to the encoder (E114). Ask PyTorch’s layers, and let them run:

# %% id="sublayers-shown" concepts=["C26"] errata=["E015", "E040", "E114"] documents=["000 §3.2", "001 §2.1", "004 §3.2"]
import warnings

warnings.filterwarnings("ignore", "enable_nested_tensor")
layers = {"encoder": nn.TransformerEncoderLayer(16, 2, 32), "decoder": nn.TransformerDecoderLayer(16, 2, 32)}
for name, layer in layers.items():
    print(f"{name}: ", [part for part, _ in layer.named_children() if "drop" not in part])
order = []
for name, part in layers["decoder"].named_children():
    part.register_forward_hook(lambda *_, name=name: order.append(name) if "drop" not in name and "norm" not in name else None)
layers["decoder"](torch.randn(4, 1, 16), torch.randn(6, 1, 16))
print("order of calls:", order)
assert order == ["self_attn", "multihead_attn", "linear1", "linear2"]

# %% [markdown] id="inside-loop" concepts=["C27"] errata=["E016"] documents=["000 §3.2"]
# ### The vocabulary inside the loop
#
# 000, §3.2: map to the vocabulary (step 6), then repeat everything for each layer (step 7; E016). The second layer would be handed $V$ numbers for each token:

# %% id="inside-loop-shown" concepts=["C27"] errata=["E016"] documents=["000 §3.2"]
def attempt(what, run):  # prints what comes of it
    try:
        print(f"{what}: {run()}")
    except Exception as error:
        print(f"{what}:\n    {type(error).__name__}: {str(error).splitlines()[0]}")


states, to_vocabulary = torch.randn(4, 1, 16), nn.Linear(16, 100)
attempt("second layer", lambda: layers["decoder"](to_vocabulary(layers["decoder"](states, torch.randn(6, 1, 16))), torch.randn(6, 1, 16)))

# %% [markdown] id="mixed-output" concepts=["C27"] errata=["E115", "E124"] documents=["004 §3.2", "004 §4.1"]
# ### A weighted sum of decoder and encoder
#
# 004, §3.2, step 7, adds the decoder’s output and the encoder’s, weighted, and ends on an activation (E115); and its equations of the decoder, §4.1, are a copy of the encoder’s (E124). Two sequences of different lengths cannot be added. The output looks at the decoder’s last vectors only:

# %% id="mixed-output-shown" concepts=["C27"] errata=["E115", "E124"] documents=["004 §3.2", "004 §4.1"]
with torch.no_grad():
    states = small.decoder(small.embed_target(target_in), memory, masks.causal_mask(4))
attempt("decoder + encoder", lambda: 0.5 * states + 0.5 * memory)
torch.testing.assert_close(small.logits(states), states @ small.embedding.weight.T)
print("logits = last vectors · word vectors:", list(small.logits(states).shape))

# %% [markdown] id="class-001" concepts=["C28"] errata=["E053", "E056"] documents=["001 §4"]
# ### The class of document 001, line by line
#
# 001, §4, wraps `nn.Transformer` into a class with a linear “embedding”. It cannot be built: the arguments are handed over by position, and mean something else (E053). The embedding’s width is `output_dim`, the model’s `input_dim` (E056).

# %% id="class-001-built" concepts=["C28"] errata=["E053", "E056"] documents=["001 §4"]
import inspect

bound = inspect.signature(nn.Transformer).bind(32, 64, 4, 2, 0.1).arguments  # input_dim, output_dim, nhead, num_layers, dropout
print("what arrives:", bound)
attempt("nn.Transformer(512, 512, 8, 6, 0.1)", lambda: nn.Transformer(512, 512, 8, 6, 0.1))
attempt("nn.Transformer(32, 64, 4, 2, 0.1)", lambda: nn.Transformer(32, 64, 4, 2, 0.1))
attempt("d_model 32, embedded to 64", lambda: nn.Transformer(32, 4, 1, 1, 64)(torch.randn(5, 3, 64), torch.randn(4, 3, 64)))

# %% [markdown] id="class-001-input" concepts=["C09", "C20", "C28"] errata=["E054", "E055", "E057"] documents=["001 §4"]
# Its `forward` fails in the next two lines: a parameter is called like a function (E054), and a linear map is handed word ids (E057). The parameter has a single row for all places, so that order would be invisible even if it were added (E055). The encoder alone shows it: shuffle, then encode, against encode, then shuffle.

# %% id="class-001-input-shown" concepts=["C09", "C20", "C28"] errata=["E054", "E055", "E057", "E061"] documents=["001 §4"]
attempt("self.pos_encoding(src)", lambda: nn.Parameter(torch.zeros(1, 32))(torch.randn(3, 5, 32)))
attempt("Linear of ids", lambda: nn.Linear(32, 32)(torch.randint(0, 32, (5, 32))))
torch.manual_seed(0)
encoder = nn.TransformerEncoder(nn.TransformerEncoderLayer(32, 4, 64, 0.0, batch_first=True), 2, enable_nested_tensor=False)
x, shuffled, gaps = torch.randn(1, 6, 32), torch.tensor([3, 0, 5, 1, 4, 2]), []
with torch.no_grad():
    for name, places in (("one row for all", torch.randn(1, 32)), ("a row for each", torch.randn(1, 6, 32))):
        gaps.append((encoder(x + places)[:, shuffled] - encoder(x[:, shuffled] + places)).abs().max().item())
        print(f"{name:16} difference {gaps[-1]:.0e}")
assert gaps[0] < 1e-4 < 0.1 < gaps[1]

# %% [markdown] id="class-001-lacks" concepts=["C27", "C28"] errata=["E058", "E061"] documents=["001 §4"]
# What comes out are vectors, not logits (E058); and `nn.Transformer` does not contain positions, as the text says (E061), nor embeddings. This is all it has:

# %% id="class-001-lacks-shown" concepts=["C28"] errata=["E058", "E061"] documents=["001 §4"]
inner = nn.Transformer(32, 4, 1, 1, 64, batch_first=True)
print(sorted({name.split(".")[-2] for name, _ in inner.named_parameters()}))

# %% [markdown] id="class-001-masks" concepts=["C15", "C28"] errata=["E059", "E060", "E062", "E083", "E092"] documents=["001 §4", "003 §2"]
# Masks are `None` unless given, so the decoder sees its answers (E059). The text says they prevent leaks *between sequences* (E060). What they prevent is a look at later places of the same target; between sequences nothing flows, unless `batch_first` is forgotten, as here and in document 003 (E062, E092): then the batch is taken for the sequence, and sentences do look at each other, as 003, §2, has it (E083).

# %% id="class-001-masks-shown" concepts=["C15", "C28"] errata=["E059", "E060", "E062", "E083", "E092"] documents=["001 §4", "003 §4"]
torch.manual_seed(0)
source, target = torch.randn(3, 5, 32), torch.randn(3, 5, 32)
last, other = target.clone(), source.clone()
last[:, -1] += 3
other[1] += 3 * torch.randn(5, 32)
blocked, changes = ~masks.causal_mask(5), []
print("                                 place 0 changes when      sentence 0 changes when")
print("                                 its last word is edited   sentence 1 is edited")
with torch.no_grad():
    for first, mask in ((True, None), (True, blocked), (False, None)):
        inner = nn.Transformer(32, 4, 1, 1, 64, 0.0, batch_first=first).eval()
        before = inner(source, target, tgt_mask=mask)
        later = (inner(source, last, tgt_mask=mask) - before)[0, 0].abs().max().item()
        neighbour = (inner(other, target, tgt_mask=mask) - before)[0].abs().max().item()
        print(f"batch_first={first!s:5} {'causal mask' if mask is not None else 'no mask':12} {later:12.2f} {neighbour:24.2f}")
        changes.append([later > 0.01, neighbour > 0.01])
assert changes == [[True, False], [False, False], [False, True]]

# %% [markdown] id="class-003" concepts=["C20", "C28"] errata=["E089", "E090", "E091", "E093", "E094"] documents=["003 §4"]
# ### The class of document 003
#
# 003, §4, is closer: it has an `nn.Embedding` and an output. But its positions have as many rows as there are *layers* (E089); `nn.Transformer` is called without a target (E090); the third number sets the encoder’s depth alone (E091); one sentence serves as source and target (E094); and `src_mask` is accepted and never used (E093).

# %% id="class-003-shown" concepts=["C20", "C28"] errata=["E089", "E090", "E091", "E093", "E094"] documents=["003 §4"]
embedded = nn.Embedding(50, 32)(torch.randint(0, 50, (3, 7)))
attempt("7 tokens, 2 layers: x + positions", lambda: embedded + torch.randn(1, 2, 32))
inner = nn.Transformer(32, 4, 2)
attempt("self.transformer(x, tgt_mask=…)", lambda: inner(embedded, tgt_mask=None))
print("num_layers=2:", len(inner.encoder.layers), "encoder layers,", len(inner.decoder.layers), "decoder layers, d_ff", inner.encoder.layers[0].linear1.out_features)
assert (len(inner.encoder.layers), len(inner.decoder.layers)) == (2, 6)

# %% [markdown] id="contradictions" concepts=["C26", "C28"] documents=["000 §3.2", "001 §2.1", "001 §2.3", "001 §4", "002 §3", "003 §4", "004 §3.2"]
# ### Where the documents contradict each other
#
# | question | one says | another says | decided by |
# |---|---|---|---|
# | Where is cross-attention? | 001, §2.1: in both stacks; 004, §3.2: after the feed-forward network | 001, §2.3: the decoder attends to the encoder | children and recorded calls: **in the decoder, before the feed-forward network** |
# | What does the encoder hand over? | 002, §3, and 004, §3.1: one vector | 001, §2.3: outputs, which are attended to | the weights of section 3, 4 × 6: **a vector for each source token** |
# | How long is the output? | 004, §4.1: as long as the input | 001, §2.1: another length is possible | section 1, 7 and 9 tokens: **any length** |
# | What does the decoder read? | 000, §3.2: the encoder’s output; 002, §3: “the input sequence” | 001, §4: `tgt` | the loop of section 4: **the target, shifted** |
# | Does `nn.Transformer` have positions? | 001, §4, text: yes | 003, §4, adds its own | the list of its parameters: **no** |

# %% [markdown] id="in-a-line" documents=["000 §3.2", "001 §2.1", "001 §4", "002 §3", "003 §4", "004 §3.2", "004 §4.3"] errata=["E017", "E041", "E060", "E074", "E076", "E093", "E095", "E112", "E127"]
# ### And in a line each
#
# | | said | better |
# |---|---|---|
# | E017 | 000: the decoder gives a continuous sequence | a distribution over words at each place; then one word is chosen |
# | E041 | 001: it computes in parallel | in training yes; in use one word after the other |
# | E060 | 001: masks for source and target prevent leaks | causal and padding for the target, padding for source and memory; no causal mask for the source |
# | E074 | 002: positions are added to “the input sequence” of the decoder | the shifted target, and a causal mask |
# | E076 | 002: a linear map to the dimension of the target *sequence* | to the size of the vocabulary; the length is not touched |
# | E093 | 003: `src_mask` | pass it on, or leave it out |
# | E095 | 003: the results are “combined” by a linear map | each place is mapped to logits |
# | E112 | 004: decoder self-attention takes the encoder’s output | chapter 03 measured it: it does not; cross-attention does |
# | E127 | 004: a case study without a case | the map of section 5 |

# %% [markdown] id="faq-hyper-parameters" concepts=["C30"] documents=["003 §8 Q3"] errata=["E099"]
# ## 8. The documents’ questions, answered
#
# **How does one choose a Transformer’s sizes?** (003, §8, Q3.) The document lists `d_model`, `nhead`, `num_layers` and `hidden_size`; but in the libraries `hidden_size` *is* `d_model` (E099), and what is missing is the inner width $d_{\text{ff}}$, usually two to four times $d_{\text{model}}$.
# Start from a model of known size for as much data as you have: the presets of `course_lib.config`, or Table 3 of the paper. Width and depth decide over the parameters; heads have to divide the width, with 32 to 128 features each. Then vary one thing at a time and choose on *validation* data.
# Learning rate, batch and dropout matter at least as much: chapter 09.

# %% id="faq-sizes" concepts=["C30"] errata=["E099"] documents=["003 §8 Q3"]
from course_lib.config import PRESETS

for name, preset in PRESETS.items():
    sizes = {key: preset.model[key] for key in ("d_model", "n_heads", "d_ff", "n_layers")}
    print(f"{name:6} {transformer.count_parameters(**sizes, vocab_size=preset.vocab_size):11,} parameters  {sizes}")

# %% [markdown] id="faq-parallel" concepts=["C28"] documents=["001 §2.1"] errata=["E041"]
# **Source and target have different lengths, and it computes in parallel: how?** (001, §2.1.) The two stacks meet only in cross-attention, whose weights are $T_t \times T_s$: any two lengths fit. In training all places of the target are known, and are computed at once under a causal mask.
# In use the decoder runs once for each word; chapter 10 keeps keys and values of earlier words, so that a step costs one place and not all of them again.

# %% [markdown] id="exercises"
# ## 9. Exercises
#
# Write each in its cell, run it, then run the `check` below it. What passes is kept: with `DecoderLayer` every part of the model can be yours. The last one repairs the class of document 001.

# %% id="check-import"
from course_lib.workshop import check, hint, my_parts, quiz

# %% exercise="shift_right"

# %% exercise="DecoderLayer"

# %% exercise="count_parameters"

# %% exercise="spot_the_bug_07"

# %% [markdown] id="quiz-intro"
# ### Quiz
#
# Every wrong option has its reason; try the one you believe in first.

# %% quiz="07"

# %% [markdown] id="recap" concepts=["C26", "C27", "C28", "C29", "C30"]
# ## 10. Recap
#
# - The decoder reads the target one place late, under a causal mask; otherwise it learns to copy.
# - A decoder layer: masked self-attention, cross-attention, feed-forward; each with residual and norm. The memory gives keys and values, and is not normalised again.
# - Output: the last vectors against the word vectors, once, after all layers.
# - Training: all places in one pass. Use: encode once, decode word by word.
# - Sharing saves parameters and no computation; gradients of shared uses add up.
# - `nn.Transformer` is the two stacks only: embeddings, positions, masks and output are up to you.
#
# **Read the code:** `course_lib/blocks.py`, `course_lib/transformer.py`, `course_lib/parts.py`, `course_lib/torch_bridge.py`. **Papers:** Vaswani et al. 2017, *Attention Is All You Need*, §3; Press & Wolf 2017, *Using the Output Embedding to
# Improve Language Models*; Dehghani et al. 2019, *Universal Transformers*; Lan et al. 2020, *ALBERT: A Lite BERT for Self-supervised Learning of Language Representations*.

# %% [markdown] id="yours" concepts=["C28"]
# ### Built from your parts
#
# Every part for which a check has passed is yours, the others are the library’s:

# %% id="my-parts" concepts=["C28"]
parts = my_parts()
parts

# %% [markdown] id="yours-equals" concepts=["C28"]
# A whole model of these parts, and PyTorch’s `nn.Transformer` with the same weights, copied over one by one. Same logits, in both orders, with padding?

# %% id="equals-torch" concepts=["C26", "C28"] errata=["E061"]
from course_lib.torch_bridge import to_torch

torch.manual_seed(0)
source, target_in = torch.tensor([[5, 6, 7, 8, 2], [9, 10, 2, 0, 0]]), torch.tensor([[1, 11, 12, 13], [1, 14, 15, 16]])
for placement in ("pre", "post"):
    config = ModelConfig(vocab_size=20, d_model=32, n_heads=4, d_ff=64, n_layers=3, norm=placement)
    model = transformer.Transformer(config, parts).eval()
    torchs = to_torch(model)
    padding = source == 0  # PyTorch: True is blocked
    states = torchs(
        model.embed(source), model.embed_target(target_in), tgt_mask=~masks.causal_mask(4),
        src_key_padding_mask=padding, memory_key_padding_mask=padding,
    )
    mine = model(source, target_in)
    torch.testing.assert_close(mine, model.logits(states), atol=1e-4, rtol=1e-4)
    print(f"{placement}-norm, {len(parts.mine())} of your parts: largest difference from nn.Transformer {(mine - model.logits(states)).abs().max():.1g}")

# %% [markdown] id="yours-translates" concepts=["C28"]
# And the shipped model, with its trained weights poured into your parts, translates. In the map below, the code of a box is yours where the part is. **Next:** [chapter 08](08_text_to_tensors.ipynb) makes tensors of text, and chapter 09 trains.

# %% id="yours-map" concepts=["C28"]
yours = Translator.shipped(parts)
print(yours.translate("Tom bought three books yesterday."))
model_map(yours.model, torch.tensor([yours.encode("Tom bought three books yesterday.")]), torch.tensor([written[:-1]]), yours.tokenizer.token)
