"""Every way to tell a model where its tokens stand, in the model that translates: exact, cached, trainable."""

import dataclasses
import math

import pytest
import torch
import torch.nn.functional as F

from course_lib.attention import (
    MultiHeadAttention,
    attention_weights,
    merge_heads,
    scaled_dot_product_attention,
    split_heads,
)
from course_lib.config import ModelConfig
from course_lib.incremental import CachedDecoder, can_cache
from course_lib.masks import causal_mask
from course_lib.parts import Parts
from course_lib.positions import (
    AlibiPositions,
    RelativePositions,
    RotaryPositions,
    alibi_bias,
    apply_rotary,
    relative_bucket,
)
from course_lib.recording import record_attention
from course_lib.transformer import Transformer

B, T, D, H, D_FF, V = 2, 7, 24, 3, 20, 11
CONFIG = ModelConfig(vocab_size=V, d_model=D, n_heads=H, d_ff=D_FF, n_layers=2, max_len=40, dropout=0.0)
ABSOLUTE, RELATIVE = ("sinusoidal", "learned"), ("relative", "rotary", "alibi")
KINDS = (*ABSOLUTE, *RELATIVE, "none")


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(5)


def build(kind, parts=None) -> Transformer:
    model = Transformer(dataclasses.replace(CONFIG, positions=kind), *([parts] if parts else [])).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(std=0.3)  # so that a table of positions says something
    return model


def ids(*shape):
    return torch.randint(3, V, shape)


def close(ours, theirs, atol=1e-5):
    torch.testing.assert_close(ours, theirs, atol=atol, rtol=1e-4)


# -- the schemes themselves ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("scheme", [RotaryPositions(), AlibiPositions(), RelativePositions(H, causal=True)])
def test_the_last_queries_alone_get_what_they_get_among_all(scheme):
    query, key = torch.randn(B, H, T, 8), torch.randn(B, H, T, 8)
    if isinstance(scheme, RelativePositions):
        torch.nn.init.normal_(scheme.table)
    whole, last = scheme(query, key), scheme(query[:, :, -3:], key)
    scores = [q @ k.mT + (0 if bias is None else bias) for q, k, bias in (whole, last)]
    close(scores[1], scores[0][:, :, -3:])


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
def test_rotary_turns_every_pair_by_the_matrix_of_its_angle(dtype):
    x, positions = torch.randn(2, T, 8, dtype=dtype), torch.arange(3, 3 + T)
    expected = torch.empty_like(x)
    for t, position in enumerate(positions.tolist()):
        for i in range(4):
            angle = position * 10000 ** (-2 * i / 8)
            matrix = [[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]]
            pair = x[:, t, 2 * i : 2 * i + 2].double()
            expected[:, t, 2 * i : 2 * i + 2] = (pair @ torch.tensor(matrix, dtype=torch.float64).T).to(dtype)
    turned = apply_rotary(x, positions)
    assert turned.dtype == dtype
    close(turned, expected, atol=1e-2 if dtype == torch.bfloat16 else 1e-5)


@pytest.mark.parametrize("causal", [False, True])
def test_buckets_are_those_of_t5(causal):
    from transformers.models.t5.modeling_t5 import T5Attention

    distance = torch.arange(-300, 301)
    for n_buckets, max_distance in ((32, 128), (16, 50)):
        theirs = T5Attention._relative_position_bucket(distance, not causal, n_buckets, max_distance)
        ours = relative_bucket(distance, causal, n_buckets, max_distance)
        assert torch.equal(ours, theirs)
        assert ours.min() == 0 and ours.max() == n_buckets - 1


def test_a_bias_reaches_every_kind_of_attention_function():
    scheme, mask = AlibiPositions(), causal_mask(T)
    mask = mask & torch.tensor([True, False, True, True, True, True, True])
    mask[4] = False  # a query that may attend to nothing
    x = torch.randn(B, T, D)
    fused = MultiHeadAttention(D, H, positions=scheme)
    own = MultiHeadAttention(D, H, attend=lambda q, k, v, mask: scaled_dot_product_attention(q, k, v, mask))
    own.positions = scheme
    own.load_state_dict(fused.state_dict())
    for allowed in (None, mask, mask.expand(B, 1, T, T)):
        with record_attention(fused) as maps, record_attention(own) as own_maps:
            close(fused(x, x, x, allowed), own(x, x, x, allowed))
        query, key, value = (
            p(x).view(B, T, H, D // H).transpose(1, 2) for p in (fused.query, fused.key, fused.value)
        )  # fmt: skip
        weights = attention_weights(query, key, allowed, alibi_bias(H, T, T))
        close(maps[""], weights), close(own_maps[""], weights)
        close(fused(x, x, x, allowed), fused.output((weights @ value).transpose(1, 2).flatten(2)))
    close(fused(x, x, x, mask)[:, 4], fused.output.bias.expand(B, D))


# -- in the model -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_cached_decoding_gives_the_logits_of_the_whole(kind):
    model = build(kind)
    assert can_cache(model)
    source, target = ids(B, T), ids(B, 9)
    source[1, -3:] = 0
    with torch.inference_mode():
        whole = model(source, target)
        decoder, owner = CachedDecoder(model, source), torch.arange(B)
        for t in range(1, 10):
            close(decoder.step(target[:, :t], owner, owner), whole[:, t - 1], atol=1e-4)


@pytest.mark.parametrize("kind", KINDS)
def test_padding_on_the_left_shifts_positions_and_only_absolute_ones_notice(kind):
    model = build(kind)
    source = ids(B, T)
    memory, shifted = model.encode(source), model.encode(F.pad(source, (5, 0)))[:, 5:]
    if kind in ABSOLUTE:
        assert (memory - shifted).abs().max() > 0.05
    else:
        close(memory, shifted, atol=1e-4)


@pytest.mark.parametrize("kind", KINDS)
def test_the_encoder_sees_the_order_exactly_when_it_is_told(kind):
    model, order = build(kind), torch.randperm(T)
    source = ids(B, T)
    difference = (model.encode(source)[:, order] - model.encode(source[:, order])).abs().max()
    assert (difference < 1e-4) == (kind == "none")
    start, flipped = ids(B, 1), source.flip(1)
    memory = model.encode(source)
    logits = [model.decode(torch.cat([one, start], 1), memory, source)[:, -1] for one in (source, flipped)]
    assert not torch.allclose(*logits, atol=1e-3), "the causal mask alone tells the decoder something"


@pytest.mark.parametrize("kind", KINDS)
def test_recorded_weights_are_those_that_are_used(kind):
    """Values are replaced by one-hot vectors through the hook, so that the output *is* the weights."""
    model = build(kind)
    seen = {}
    for name, module in model.named_modules():
        if isinstance(module, MultiHeadAttention):
            attend = module.attend

            def spy(query, key, value, mask, name=name, attend=attend):
                one_hot = torch.eye(key.shape[-2]).expand(*key.shape[:2], -1, -1)
                seen[name] = scaled_dot_product(query, key, one_hot, mask)
                return attend(query, key, value, mask)

            module.attend = spy
    scaled_dot_product = F.scaled_dot_product_attention
    with record_attention(model) as maps:
        model(ids(B, T), ids(B, 5))
    assert maps.keys() == seen.keys() and len(maps) == 6
    for name in maps:
        close(maps[name], seen[name])


@pytest.mark.parametrize("kind", KINDS)
def test_it_learns_and_every_parameter_takes_part(kind):
    model = Transformer(dataclasses.replace(CONFIG, positions=kind, max_len=T))
    model.train()
    source, target = ids(16, T), ids(16, T)
    optimizer, losses = torch.optim.Adam(model.parameters(), lr=3e-3), []
    for _ in range(40):
        loss = F.cross_entropy(model(source, target[:, :-1]).transpose(1, 2), target[:, 1:])
        optimizer.zero_grad()
        loss.backward()
        if not losses:  # a bias of all keys adds the same number to a row of scores, and the softmax takes it away
            idle = [name for name, p in model.named_parameters() if p.grad is None or not p.grad.any()]
            assert [name for name in idle if not name.endswith("key.bias")] == []
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.7 * losses[0]


def test_only_what_has_a_table_has_parameters_and_an_end():
    names = {kind: set(build(kind).state_dict()) for kind in KINDS}
    assert names["sinusoidal"] == names["rotary"] == names["alibi"] == names["none"]
    assert names["learned"] - names["none"] == {"positions.table"}
    stacks = [f"encoder.layers.{n}.attention" for n in (0, 1)] + [f"decoder.layers.{n}.self_attention" for n in (0, 1)]
    assert names["relative"] - names["none"] == {f"{name}.positions.table" for name in stacks}
    for kind in KINDS:
        if kind in ABSOLUTE:
            with pytest.raises(ValueError, match="41 tokens is longer than max_len=40"):
                build(kind).encode(ids(1, 41))
        else:
            assert build(kind).encode(ids(1, 41)).isfinite().all()


def test_cross_attention_has_no_positions():
    for kind in RELATIVE:
        layer = build(kind).decoder.layers[0]
        assert layer.self_attention.positions is not None and layer.cross_attention.positions is None


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "own",
    [
        {"softmax": lambda x: x.softmax(-1)},
        {"scaled_dot_product_attention": lambda q, k, v, mask=None: scaled_dot_product_attention(q, k, v, mask)},
        {"apply_rotary": lambda x, positions: apply_rotary(x, positions)},
        {"alibi_bias": lambda n_heads, t_q, t_k: alibi_bias(n_heads, t_q, t_k)},
    ],
)
def test_own_parts_serve_every_kind(kind, own):
    reference, model = build(kind), build(kind, Parts(**own))
    model.load_state_dict(reference.state_dict())
    source, target = ids(B, T), ids(B, 5)
    close(model(source, target), reference(source, target), atol=1e-4)


def test_own_rotation_and_bias_are_what_runs():
    idle = {"rotary": Parts(apply_rotary=lambda x, p: x), "alibi": Parts(alibi_bias=lambda *sizes: torch.zeros(sizes))}
    for kind, parts in idle.items():
        without, model = build("none"), build(kind, parts)
        model.load_state_dict(without.state_dict())
        source, target = ids(B, T), ids(B, 5)
        close(model(source, target), without(source, target))


class OwnAttention(torch.nn.Module):
    """A learner's, with nothing but what the exercise asks for."""

    def __init__(self, d_model, n_heads):
        super().__init__()
        self.n_heads = n_heads
        self.query, self.key, self.value, self.output = (torch.nn.Linear(d_model, d_model) for _ in range(4))

    def forward(self, q, k, v, mask=None):
        heads = (split_heads(x, self.n_heads) for x in (self.query(q), self.key(k), self.value(v)))
        return self.output(merge_heads(scaled_dot_product_attention(*heads, mask)))


class OwnAttentionByWeights(OwnAttention):
    def forward(self, q, k, v, mask=None):
        projected = (F.linear(x, p.weight, p.bias) for x, p in ((q, self.query), (k, self.key), (v, self.value)))
        heads = (split_heads(x, self.n_heads) for x in projected)
        return self.output(merge_heads(scaled_dot_product_attention(*heads, mask)))


def test_a_learners_attention_takes_tables_and_rotation_and_refuses_biases():
    source, target = ids(B, T), ids(B, 5)
    for kind in (*ABSOLUTE, "none", "rotary"):
        config = dataclasses.replace(CONFIG, positions=kind)
        reference, model = build(kind), Transformer(config, Parts(MultiHeadAttention=OwnAttention)).eval()
        model.load_state_dict(reference.state_dict())
        with record_attention(model) as own, record_attention(reference) as theirs:
            close(model(source, target), reference(source, target), atol=1e-4)
        assert own.keys() == theirs.keys()
        for name in own:
            close(own[name], theirs[name], atol=1e-4)
    for kind, part in (("alibi", OwnAttention), ("relative", OwnAttention), ("rotary", OwnAttentionByWeights)):
        with pytest.raises(ValueError, match=f"this model's own {part.__name__} has no place"):
            Transformer(dataclasses.replace(CONFIG, positions=kind), Parts(MultiHeadAttention=part))


def test_rotary_wants_heads_of_even_width():
    with pytest.raises(ValueError, match="d_model=15 and n_heads=5 give heads of 3 features"):
        ModelConfig(11, d_model=15, n_heads=5, positions="rotary")
    with pytest.raises(ValueError, match="'sinusoid' is none of 'sinusoidal', 'learned', 'relative', 'rotary'"):
        ModelConfig(11, positions="sinusoid")


def test_a_relative_bias_starts_without_a_preference():
    table = Transformer(dataclasses.replace(CONFIG, positions="relative")).encoder.layers[0].attention.positions.table
    assert table.shape == (H, 32) and not table.any()
