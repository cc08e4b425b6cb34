"""Which implementation of each part a model is built from: the library's, or a learner's own."""

import inspect
from collections.abc import Callable
from dataclasses import dataclass, fields
from functools import partial

import torch
from torch import Tensor, nn

from course_lib import attention, blocks, masks, positions
from course_lib.attention import attention_weights, merge_heads, split_heads
from course_lib.recording import AttentionTap, passed_argument


@dataclass(frozen=True)
class Parts:
    """The parts of a Transformer; a field has the name of the exercise in which a learner writes that part.

    Whatever is left out is the library's. A part is used inside the library's larger parts as long as those are the
    library's too: your ``scaled_dot_product_attention`` runs inside the reference ``MultiHeadAttention``, and your
    ``MultiHeadAttention`` inside the reference ``EncoderLayer``.
    """

    softmax: Callable = attention.softmax
    causal_mask: Callable = masks.causal_mask
    padding_mask: Callable = masks.padding_mask
    scaled_dot_product_attention: Callable = attention.scaled_dot_product_attention
    sinusoidal_encoding: Callable = positions.sinusoidal_encoding
    LearnedPositions: Callable = positions.LearnedPositions
    apply_rotary: Callable = positions.apply_rotary
    alibi_bias: Callable = positions.alibi_bias
    MultiHeadAttention: Callable = attention.MultiHeadAttention
    LayerNorm: Callable = blocks.FusedLayerNorm
    FeedForward: Callable = blocks.FeedForward
    EncoderLayer: Callable = blocks.EncoderLayer
    DecoderLayer: Callable = blocks.DecoderLayer

    def own(self) -> list[str]:
        """The names of the parts that are not the library's."""
        return [field.name for field in fields(self) if getattr(self, field.name) is not field.default]

    def attend(self) -> Callable[..., Tensor] | None:
        """One head's attention; None stands for PyTorch's fused operator, which computes what the library's does."""
        own = self.own()
        if "scaled_dot_product_attention" in own:
            return self.scaled_dot_product_attention
        return partial(self.scaled_dot_product_attention, softmax=self.softmax) if "softmax" in own else None

    def attention(self, d_model: int, n_heads: int) -> nn.Module:
        """An attention module whose weights can be recorded."""
        return _observable(_build(self.MultiHeadAttention, d_model, n_heads, attend=self.attend()), n_heads)

    def encoder_layer(
        self, d_model: int, n_heads: int, d_ff: int, norm: str, dropout: float, positions: str = "none"
    ) -> nn.Module:
        layer = self._layer(self.EncoderLayer, d_model, n_heads, d_ff, norm, dropout)
        return _place(layer, "attention", n_heads, self.position_scheme(positions, n_heads, causal=False))

    def decoder_layer(
        self, d_model: int, n_heads: int, d_ff: int, norm: str, dropout: float, positions: str = "none"
    ) -> nn.Module:
        layer = self._layer(self.DecoderLayer, d_model, n_heads, d_ff, norm, dropout)
        return _place(layer, "self_attention", n_heads, self.position_scheme(positions, n_heads, causal=True))

    def position_table(self, kind: str, max_len: int, d_model: int) -> nn.Module:
        """The module that adds positions to the tokens, for the kinds that do: fixed sinusoids or a learned table."""
        if kind == "learned":
            return self.LearnedPositions(max_len, d_model)
        if kind == "sinusoidal":
            return positions.SinusoidalPositions(max_len, d_model, self.sinusoidal_encoding)
        return nn.Identity()

    def position_scheme(self, kind: str, n_heads: int, causal: bool) -> nn.Module | None:
        """What a self-attention is handed, for the kinds that act there; ``causal`` in a decoder."""
        if kind == "rotary":
            return positions.RotaryPositions(self.apply_rotary)
        if kind == "alibi":
            return positions.AlibiPositions(self.alibi_bias)
        if kind == "relative":
            return positions.RelativePositions(n_heads, causal)
        return None

    def _layer(self, part: Callable, d_model: int, n_heads: int, d_ff: int, norm: str, dropout: float) -> nn.Module:
        layer = _build(
            part, d_model, n_heads, d_ff, norm,
            dropout=dropout, attention=self.attention, feed_forward=self.FeedForward, layer_norm=self.LayerNorm,
        )  # fmt: skip
        for name in ("attention", "self_attention", "cross_attention"):
            if isinstance(getattr(layer, name, None), nn.Module):
                _observable(getattr(layer, name), n_heads)
        return layer


REFERENCE = Parts()


def _build(part: Callable, *sizes, **options):
    """Make a part with its sizes, and with those options that it knows (a learner's part need not know any)."""
    known = inspect.signature(part).parameters
    return part(*sizes, **{name: value for name, value in options.items() if name in known})


def _place(layer: nn.Module, name: str, n_heads: int, scheme: nn.Module | None) -> nn.Module:
    """Hand a position scheme to a layer's self-attention.

    Raises:
        ValueError: it is a learner's attention, which this scheme cannot reach into.
    """
    module = getattr(layer, name, None)
    if isinstance(module, attention.MultiHeadAttention):
        module.positions = scheme
    elif scheme is not None and not (isinstance(scheme, positions.RotaryPositions) and _turn(module, n_heads, scheme)):
        raise ValueError(
            f"{type(scheme).__name__} act inside the library's MultiHeadAttention, and this model's own "
            f'{type(module).__name__} has no place for them: leave that part out, or choose positions="sinusoidal"'
        )
    return layer


def _turn(module: nn.Module, n_heads: int, scheme: positions.RotaryPositions) -> bool:
    """Let a learner's queries and keys be rotated as they leave their projections; False if they do not pass there."""
    projections = [getattr(module, name, None) for name in ("query", "key")]
    if not all(isinstance(projection, nn.Linear) for projection in projections):
        return False
    called = []
    probes = [projection.register_forward_hook(lambda it, *_: called.append(it)) for projection in projections]
    with torch.no_grad():
        module(*[torch.zeros(1, 2, projections[0].in_features)] * 3)
    for probe in probes:
        probe.remove()
    if len(called) != 2:
        return False

    def turn(_projection: nn.Module, _arguments: tuple, output: Tensor) -> Tensor:
        heads = split_heads(output, n_heads)  # [B, H, T, Dh]
        return merge_heads(scheme.rotate(heads, torch.arange(heads.shape[-2])))

    for projection in projections:
        projection.register_forward_hook(turn)
    return True


def _observable(module: nn.Module, n_heads: int) -> nn.Module:
    """Give an attention module without a tap one, so that a learner's module can be looked into as well."""
    if isinstance(vars(module).get("tap"), AttentionTap):
        return module
    module.tap = AttentionTap()

    def record(module: nn.Module, arguments: tuple, options: dict, _output: Tensor) -> None:
        if module.tap.is_open:
            q, k, mask = (passed_argument(module, number, arguments, options) for number in (0, 1, 3))
            query, key = split_heads(module.query(q), n_heads), split_heads(module.key(k), n_heads)
            module.tap.record(attention_weights(query, key, mask))

    module.register_forward_hook(record, with_kwargs=True)
    return module
