"""The parts of the Transformer against PyTorch's own, with copied weights: outputs and gradients, masks included."""

import dataclasses
import math

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from course_lib.attention import (
    MultiHeadAttention,
    attention_weights,
    fused_attention,
    merge_heads,
    scaled_dot_product_attention,
    softmax,
    split_heads,
)
from course_lib.blocks import (
    DecoderLayer,
    Dropout,
    EncoderLayer,
    FeedForward,
    FusedLayerNorm,
    LayerNorm,
    Residual,
    gelu,
)
from course_lib.checkpoints import read_tensors, write_tensors
from course_lib.config import PRESETS, DecodeConfig, ModelConfig, TrainConfig
from course_lib.masks import causal_mask, combine_masks, padding_mask, to_torch_mask
from course_lib.parts import Parts
from course_lib.positions import LearnedPositions, SinusoidalPositions, alibi_bias, apply_rotary, sinusoidal_encoding
from course_lib.recording import record_attention
from course_lib.torch_bridge import to_torch, torch_state
from course_lib.transformer import Transformer, count_parameters, shift_right

B, TQ, TK, D, H, D_FF = 2, 3, 5, 8, 4, 12
ONE_MASKED = torch.tensor([[True, True, False, True, False], [False] * 4 + [True], [True] * 5])


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(3)


def close(ours, theirs, atol=1e-5):
    torch.testing.assert_close(ours, theirs, atol=atol, rtol=1e-4)


def same_gradients(ours, theirs, inputs):
    """Both outputs have the same gradients with respect to every input, under a random cotangent."""
    cotangent = torch.randn_like(ours)
    for mine, other in zip(
        torch.autograd.grad(ours, inputs, cotangent), torch.autograd.grad(theirs, inputs, cotangent), strict=True
    ):
        close(mine, other)


# -- attention ----------------------------------------------------------------------------------------------------


def test_softmax_equals_torch_and_survives_large_scores():
    x = torch.randn(B, TQ, TK) * 5
    close(softmax(x), x.softmax(-1))
    assert softmax(torch.tensor([1e4, -1e4, 0.0])).tolist() == [1.0, 0.0, 0.0]


@pytest.mark.parametrize("mask", [None, ONE_MASKED, ONE_MASKED[None].expand(B, TQ, TK)])
def test_attention_equals_torch(mask):
    query, key, value = (torch.randn(B, t, d, requires_grad=True) for t, d in ((TQ, D), (TK, D), (TK, 6)))
    ours = scaled_dot_product_attention(query, key, value, mask)
    theirs = F.scaled_dot_product_attention(query, key, value, attn_mask=mask)
    close(ours, theirs)
    same_gradients(ours, theirs, (query, key, value))


def test_a_query_without_keys_gets_zeros_and_no_gradient():
    query, key, value = (torch.randn(B, t, D, requires_grad=True) for t in (TQ, TK, TK))
    mask = torch.ones(TQ, TK, dtype=torch.bool)
    mask[1] = False
    output = scaled_dot_product_attention(query, key, value, mask)
    assert (output[:, 1] == 0).all() and (output[:, 0] != 0).all()
    gradient = torch.autograd.grad(output.sum(), query)[0]
    assert (gradient[:, 1] == 0).all() and gradient.isfinite().all()
    assert (attention_weights(query, key, mask)[:, 1] == 0).all()


def test_split_and_merge_are_inverse_and_heads_are_consecutive_blocks():
    x = torch.randn(B, TK, D)
    heads = split_heads(x, H)
    assert heads.shape == (B, H, TK, D // H)
    assert torch.equal(heads[:, 1], x[..., 2:4])
    assert torch.equal(merge_heads(heads), x)
    with pytest.raises(ValueError, match="d_model=8 is not divisible by n_heads=3"):
        split_heads(x, 3)


def torch_attention(ours: MultiHeadAttention) -> nn.MultiheadAttention:
    theirs = nn.MultiheadAttention(D, H, batch_first=True)
    projections = (ours.query, ours.key, ours.value)
    theirs.in_proj_weight.data = torch.cat([p.weight for p in projections]).detach().clone()
    theirs.in_proj_bias.data = torch.cat([p.bias for p in projections]).detach().clone()
    theirs.out_proj.load_state_dict(ours.output.state_dict())
    return theirs


@pytest.mark.parametrize("attend", [None, scaled_dot_product_attention])
@pytest.mark.parametrize("mask", [None, ONE_MASKED])
def test_multi_head_attention_equals_torch(attend, mask):
    ours = MultiHeadAttention(D, H, attend=attend)
    theirs = torch_attention(ours)
    q, memory = torch.randn(B, TQ, D, requires_grad=True), torch.randn(B, TK, D, requires_grad=True)
    expected, weights = theirs(
        q, memory, memory, attn_mask=None if mask is None else to_torch_mask(mask), average_attn_weights=False
    )
    with record_attention(ours) as maps:
        output = ours(q, memory, memory, mask)
    close(output, expected)
    close(maps[""], weights)
    same_gradients(output, expected, (q, memory))


def test_multi_head_attention_without_keys_gives_the_output_bias():
    ours = MultiHeadAttention(D, H)
    output = ours(torch.randn(B, TQ, D), *[torch.randn(B, TK, D)] * 2, torch.zeros(TQ, TK, dtype=torch.bool))
    close(output, ours.output.bias.expand(B, TQ, D))


# -- masks --------------------------------------------------------------------------------------------------------


def test_causal_mask_is_aligned_bottom_right():
    assert causal_mask(2, 4).tolist() == [[True, True, True, False], [True] * 4]
    assert causal_mask(3, 1).tolist() == [[False], [False], [True]]
    assert torch.equal(causal_mask(TK), torch.tril(torch.ones(TK, TK)).bool())


def test_padding_mask_and_combination():
    ids = torch.tensor([[7, 8, 0], [9, 0, 0]])
    mask = padding_mask(ids, 0)
    assert mask.shape == (2, 1, 1, 3) and mask.dtype == torch.bool
    combined = combine_masks(causal_mask(3), None, mask)
    assert combined.shape == (2, 1, 3, 3)
    assert combined[0, 0].tolist() == [[True, False, False], [True, True, False], [True, True, False]]
    assert combine_masks(None, None) is None


# -- positions ----------------------------------------------------------------------------------------------------


def test_sinusoids_against_the_formula_and_a_hand_computed_row():
    close(sinusoidal_encoding(2, 4)[1], torch.tensor([math.sin(1), math.cos(1), math.sin(0.01), math.cos(0.01)]))
    table = sinusoidal_encoding(512, 7)
    for position, column in ((0, 0), (5, 6), (300, 3), (511, 2)):
        angle = position / 10000 ** ((column - column % 2) / 7)
        assert table[position, column] == pytest.approx(math.cos(angle) if column % 2 else math.sin(angle), abs=1e-6)


@pytest.mark.parametrize("make", [SinusoidalPositions, LearnedPositions])
def test_positions_are_added_and_end_at_max_len(make):
    positions = make(TK, D)
    x = torch.randn(B, TQ, D)
    close(positions(x), x + positions.table[:TQ])
    with pytest.raises(ValueError, match=r"6 tokens is longer than max_len=5"):
        positions(torch.randn(1, TK + 1, D))
    assert [name for name, _ in positions.named_parameters()] == (["table"] if make is LearnedPositions else [])


def test_rotary_scores_depend_on_the_distance_only():
    query, key, positions = torch.randn(TK, D), torch.randn(TK, D), torch.arange(TK)
    scores = [apply_rotary(query, positions + shift) @ apply_rotary(key, positions + shift).T for shift in (0, 9)]
    close(*scores, atol=1e-4)
    close(apply_rotary(query, positions).norm(dim=-1), query.norm(dim=-1))
    close(apply_rotary(torch.tensor([[1.0, 0.0]]), torch.tensor([1])), torch.tensor([[math.cos(1), math.sin(1)]]))
    with pytest.raises(ValueError, match="d=5 is odd"):
        apply_rotary(torch.randn(TK, 5), positions)


def test_alibi_slopes_and_distances():
    bias = alibi_bias(8, 2, 4)
    close(bias[0, 1], -0.5 * torch.tensor([3.0, 2.0, 1.0, 0.0]))
    close(bias[7, 0], -(2.0**-8) * torch.tensor([2.0, 1.0, 0.0, 1.0]))


# -- blocks -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("layer_norm", [LayerNorm, FusedLayerNorm])
def test_layer_norm_gelu_and_feed_forward(layer_norm):
    x = torch.randn(B, TQ, D, requires_grad=True)
    ours, theirs = layer_norm(D), nn.LayerNorm(D)
    with torch.no_grad():
        for parameter, value in ((ours.gain, torch.rand(D)), (ours.bias, torch.randn(D))):
            parameter.copy_(value)
        theirs.weight.copy_(ours.gain), theirs.bias.copy_(ours.bias)
    close(ours(x), theirs(x))
    same_gradients(ours(x), theirs(x), (x,))
    close(gelu(x), F.gelu(x))
    network = FeedForward(D, D_FF)
    close(network(x), F.linear(F.relu(F.linear(x, network.expand.weight, network.expand.bias)),
                               network.contract.weight, network.contract.bias))  # fmt: skip


@pytest.mark.parametrize("p", [0.1, 0.5])
def test_dropout_drops_and_scales(p):
    x, dropout = torch.randn(301, 333, requires_grad=True), Dropout(p)
    out = dropout(x)
    kept = out != 0
    assert kept.float().mean() == pytest.approx(1 - p, abs=0.006)  # 6 standard deviations
    assert kept.float().mean(0).std() < 0.05 and kept.float().mean(1).std() < 0.05
    close(out, x * kept / (1 - p), atol=1e-4)
    close(torch.autograd.grad(out.sum(), x)[0], kept / (1 - p), atol=1e-4)
    assert dropout(x.detach().bfloat16()).dtype == torch.bfloat16
    torch.manual_seed(1)
    once = dropout(x)
    torch.manual_seed(1)
    assert torch.equal(dropout(x), once) and not torch.equal(dropout(x), once)
    assert dropout.eval()(x) is x and Dropout(0.0)(x) is x
    assert Dropout(1 - 1e-7)(x).isfinite().all()


def test_attention_in_half_precision_is_computed_in_single():
    query, key, value = (torch.randn(B, H, TQ, D, dtype=torch.bfloat16) for _ in range(3))
    bias = torch.randn(H, TQ, TQ)
    for mask in (None, causal_mask(TQ), bias):
        expected = F.scaled_dot_product_attention(query.float(), key.float(), value.float(), mask)
        with torch.autocast("cpu", torch.bfloat16):
            close(fused_attention(query, key, value, mask), expected)
        if query.device.type == "cpu":
            assert fused_attention(query.double(), key.double(), value.double(), mask).dtype == torch.float64


def test_residual_refuses_another_placement():
    with pytest.raises(ValueError, match="norm='middle' is neither"):
        Residual("middle")


def randomise(module: nn.Module) -> None:
    for parameter in module.parameters():
        nn.init.normal_(parameter, std=0.5)


@pytest.mark.parametrize("norm", ["pre", "post"])
def test_encoder_layer_equals_torch(norm):
    ours = EncoderLayer(D, H, D_FF, norm)
    randomise(ours)
    theirs = nn.TransformerEncoderLayer(D, H, D_FF, 0.0, batch_first=True, norm_first=norm == "pre")
    theirs.load_state_dict(torch_state(ours.state_dict()))
    x = torch.randn(B, TK, D, requires_grad=True)
    keep = torch.tensor([[True] * 5, [True, True, True, False, False]])
    output, expected = ours(x, keep[:, None, None]), theirs(x, src_key_padding_mask=to_torch_mask(keep))
    close(output[keep], expected[keep], atol=1e-4)
    same_gradients(output[keep], expected[keep], (x,))


@pytest.mark.parametrize("norm", ["pre", "post"])
def test_decoder_layer_equals_torch(norm):
    ours = DecoderLayer(D, H, D_FF, norm)
    randomise(ours)
    theirs = nn.TransformerDecoderLayer(D, H, D_FF, 0.0, batch_first=True, norm_first=norm == "pre")
    theirs.load_state_dict(torch_state(ours.state_dict()))
    x, memory = torch.randn(B, TQ, D, requires_grad=True), torch.randn(B, TK, D, requires_grad=True)
    keep = torch.tensor([[True] * 5, [True, True, True, False, False]])
    output = ours(x, memory, causal_mask(TQ), keep[:, None, None])
    expected = theirs(x, memory, to_torch_mask(causal_mask(TQ)), memory_key_padding_mask=to_torch_mask(keep))
    close(output, expected, atol=1e-4)
    same_gradients(output, expected, (x, memory))


# -- the whole model ----------------------------------------------------------------------------------------------

CONFIG = ModelConfig(vocab_size=11, d_model=D, n_heads=H, d_ff=D_FF, n_layers=2, max_len=16, dropout=0.0)


CHOICES = [
    {"norm": "post"}, {"norm": "pre", "positions": "learned"}, {"positions": "none", "tied_embeddings": False},
    {"shared_layers": True}, {"norm": "post", "shared_layers": True, "tied_embeddings": False},
]  # fmt: skip


@pytest.mark.parametrize("choices", CHOICES, ids=str)
def test_transformer_equals_torch(choices):
    ours = Transformer(dataclasses.replace(CONFIG, **choices))
    randomise(ours)
    theirs = to_torch(ours).train()  # with gradients, and without dropout
    source = torch.tensor([[4, 5, 6, 7, 2], [8, 9, 2, 0, 0]])
    target = torch.tensor([[1, 5, 9], [1, 4, 6]])
    padding = to_torch_mask(source != 0)
    states = theirs(
        ours.embed(source), ours.embed_target(target), tgt_mask=to_torch_mask(causal_mask(3)),
        src_key_padding_mask=padding, memory_key_padding_mask=padding,
    )  # fmt: skip
    logits, expected = ours(source, target), ours.logits(states)
    close(logits, expected, atol=1e-4)
    same_gradients(logits, expected, (ours.embedding.weight,))


def test_torch_knows_no_positions_inside_attention():
    with pytest.raises(ValueError, match='positions="alibi" act inside attention'):
        to_torch(Transformer(dataclasses.replace(CONFIG, positions="alibi")))


# -- parameter sharing --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("shared", [True, False])
def test_what_is_shared_is_counted_and_kept_once(tied, shared, tmp_path):
    config = dataclasses.replace(CONFIG, tied_embeddings=tied, shared_layers=shared, n_layers=3)
    model, other = Transformer(config).eval(), Transformer(config).eval()
    n_layers, tables = 1 if shared else 3, 1 if tied else 3
    expected = count_parameters(D, H, D_FF, n_layers, 11) + (tables - 1) * 11 * D
    assert sum(p.numel() for p in model.parameters()) == expected
    write_tensors(tmp_path / "model.safetensors", model.state_dict())
    kept, _ = read_tensors(tmp_path / "model.safetensors")
    assert sum(tensor.numel() for tensor in kept.values()) == expected
    other.load_state_dict(kept)
    source, target = torch.tensor([[4, 5, 6, 2]]), torch.tensor([[1, 5, 9]])
    assert torch.equal(model(source, target), other(source, target))


def test_shared_layers_are_applied_as_often_as_others():
    shared = Transformer(dataclasses.replace(CONFIG, shared_layers=True, n_layers=3)).eval()
    apart = Transformer(dataclasses.replace(CONFIG, n_layers=3)).eval()
    state = dict(shared.state_dict())
    for name, tensor in shared.state_dict().items():
        if ".layers.0." in name:
            state |= {name.replace(".layers.0.", f".layers.{number}."): tensor for number in (1, 2)}
    apart.load_state_dict(state)
    source, target = torch.tensor([[4, 5, 6, 2]]), torch.tensor([[1, 5, 9]])
    close(shared(source, target), apart(source, target))
    shared(source, target).square().sum().backward(), apart(source, target).square().sum().backward()
    together = sum(layer.feed_forward.expand.weight.grad for layer in apart.decoder.layers)
    close(shared.decoder.layers[0].feed_forward.expand.weight.grad, together, atol=1e-4)
    with record_attention(shared) as maps:
        shared(source, target)
    assert len(maps.calls["decoder.layers.0.cross_attention"]) == 3


def test_shift_right_moves_every_token_by_one_place():
    ids = torch.tensor([[5, 6, 2, 0], [7, 8, 9, 2]], dtype=torch.int32)
    assert torch.equal(shift_right(ids, 1), torch.tensor([[1, 5, 6, 2], [1, 7, 8, 9]], dtype=torch.int32))
    assert torch.equal(shift_right(ids[:, :1], 1), torch.tensor([[1], [1]], dtype=torch.int32))
    assert shift_right(ids[:, :0], 1).shape == (2, 0) and ids[0, 0] == 5


def test_nothing_leaks_from_the_future_or_from_padding_or_between_examples():
    model = Transformer(CONFIG).eval()
    source, target = torch.randint(3, 11, (2, 5)), torch.randint(3, 11, (2, 4))
    before = model(source, target)
    later = target.clone()
    later[:, 2] = (later[:, 2] - 3 + 1) % 8 + 3
    assert torch.equal(model(source, later)[:, :2], before[:, :2])
    assert not torch.equal(model(source, later)[:, 2:], before[:, 2:])
    padded = F.pad(source, (0, 3))
    close(model(padded, target), before)
    other = source.clone()
    other[1] = source[1].flip(0)
    close(model(other, target)[0], before[0])


def test_embedding_is_tied_and_parameters_are_counted():
    model = Transformer(CONFIG)
    assert sum(p.numel() for p in model.parameters()) == count_parameters(D, H, D_FF, 2, 11)
    logits = model(torch.tensor([[4]]), torch.tensor([[1]]))
    (gradient,) = torch.autograd.grad(logits[0, 0, 7], model.embedding.weight)
    assert (gradient[7] != 0).any(), "the output uses the embedding's row"
    assert next(name for name, _ in model.named_parameters()) == "embedding.weight"


def test_a_sequence_beyond_max_len_is_refused():
    with pytest.raises(ValueError, match="17 tokens is longer than max_len=16"):
        Transformer(CONFIG).encode(torch.full((1, 17), 4))


def test_every_parameter_gets_a_gradient():
    model = Transformer(dataclasses.replace(CONFIG, positions="learned"))
    model(torch.randint(3, 11, (2, 16)), torch.randint(3, 11, (2, 16))).square().sum().backward()
    assert [name for name, p in model.named_parameters() if p.grad is None or not p.grad.any()] == []


# -- recording and parts ------------------------------------------------------------------------------------------


def test_recording_names_every_attention_and_stops_when_closed():
    model = Transformer(CONFIG).eval()
    source, target = torch.tensor([[4, 5, 0]]), torch.tensor([[1, 6]])
    with record_attention(model) as maps:
        model(source, target)
        model(source, target)
    assert len(maps) == 6 and all(len(maps.calls[name]) == 2 for name in maps)
    cross = maps["decoder.layers.1.cross_attention"]
    assert cross.shape == (1, H, 2, 3) and not cross.requires_grad
    close(cross.sum(-1), torch.ones(1, H, 2))
    assert (cross[..., 2] == 0).all()
    model(source, target)
    assert len(maps.calls["decoder.layers.1.cross_attention"]) == 2
    with pytest.raises(ValueError, match="Linear has no attention module"), record_attention(nn.Linear(2, 2)):
        pass


class OwnAttention(nn.Module):
    """As a learner might write it: no tap, another attribute for the heads, loops."""

    def __init__(self, d_model, n_heads):
        super().__init__()
        self.heads = n_heads
        self.query, self.key, self.value, self.output = (nn.Linear(d_model, d_model) for _ in range(4))

    def forward(self, q, k, v, mask=None):
        query, key, value = self.query(q), self.key(k), self.value(v)
        outputs = []
        for one in zip(*(x.chunk(self.heads, -1) for x in (query, key, value)), strict=True):
            part = None if mask is None else (mask[:, 0] if mask.dim() == 4 else mask)
            outputs.append(scaled_dot_product_attention(*one, part))
        return self.output(torch.cat(outputs, -1))


class OwnEncoderLayer(nn.Module):
    """As a learner might write it: built from its own parts, no dropout."""

    def __init__(self, d_model, n_heads, d_ff, norm="pre"):
        super().__init__()
        self.attention, self.feed_forward = OwnAttention(d_model, n_heads), FeedForward(d_model, d_ff)
        self.norm_1, self.norm_2 = LayerNorm(d_model), LayerNorm(d_model)

    def forward(self, x, mask=None):
        y = self.norm_1(x)
        x = x + self.attention(y, y, y, mask)
        return x + self.feed_forward(self.norm_2(x))


@pytest.mark.parametrize(
    "own",
    [
        {"softmax": lambda x: x.softmax(-1)},
        {"scaled_dot_product_attention": lambda q, k, v, mask=None: scaled_dot_product_attention(q, k, v, mask)},
        {"MultiHeadAttention": OwnAttention},
        {"EncoderLayer": OwnEncoderLayer, "causal_mask": lambda t_q, t_k: causal_mask(t_q, t_k)},
    ],
)
def test_a_model_of_own_parts_loads_the_same_weights_and_gives_the_same_logits_and_maps(own):
    reference, model = Transformer(CONFIG).eval(), Transformer(CONFIG, Parts(**own)).eval()
    model.load_state_dict(reference.state_dict())
    source, target = torch.randint(3, 11, (2, 5)), torch.randint(3, 11, (2, 4))
    with record_attention(model) as maps, record_attention(reference) as expected:
        close(model(source, target), reference(source, target))
    assert maps.keys() == expected.keys()
    for name in expected:
        close(maps[name], expected[name])
    assert Parts(**own).own() == sorted(own, key=list(Parts.__dataclass_fields__).index)


# -- configurations -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: ModelConfig(11, d_model=50, n_heads=8), "d_model=50 is not divisible by n_heads=8"),
        (lambda: ModelConfig(0), "vocab_size=0 must be positive"),
        (lambda: ModelConfig(11, dropout=1.0), "dropout=1.0 must be at least 0 and below 1"),
        (lambda: ModelConfig(11, norm="middle"), "norm='middle' is none of 'pre', 'post'"),
        (lambda: ModelConfig(11, pad_id=11), "pad_id=11 is not an id"),
        (lambda: ModelConfig.from_dict({"vocab_size": 11, "width": 8}), "ModelConfig has no width"),
        (lambda: TrainConfig(), "either minutes or epochs"),
        (lambda: TrainConfig(minutes=1, epochs=1), "either minutes or epochs"),
        (lambda: TrainConfig(epochs=-1), "epochs=-1 must be positive"),
        (lambda: TrainConfig(epochs=1, device="tpu"), "device='tpu' is none of"),
        (lambda: DecodeConfig(beam_size=0), "beam_size=0 must be positive"),
    ],
)
def test_configurations_say_what_is_wrong(make, message):
    with pytest.raises(ValueError) as error:
        make()
    assert message in str(error.value)


def test_configurations_survive_json():
    config = PRESETS["small"].train_config(minutes=2.0)
    assert TrainConfig.from_dict({**config.to_dict(), "adam_betas": list(config.adam_betas)}) == config
    model = PRESETS["tiny"].model_config(100, 0)
    assert ModelConfig.from_dict(model.to_dict()) == model
