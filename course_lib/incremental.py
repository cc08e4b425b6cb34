"""Decoding one token at a time: keys and values of earlier tokens are kept instead of computed again.

Without a cache, step t runs the decoder over all t tokens; with it, over one. The logits are the same.
"""

import math

import torch
from torch import Tensor

from course_lib.attention import MultiHeadAttention, split_heads
from course_lib.blocks import DecoderLayer
from course_lib.transformer import Transformer


def can_cache(model: Transformer) -> bool:
    """Whether the decoder's layers are the library's, whose inside is known; a learner's layer runs as a whole.

    So does one with a hook in its attention: the hook changes what comes out of a whole call.
    """
    layers = model.decoder.layers
    if not all(type(layer) is DecoderLayer for layer in layers):
        return False
    attentions = [attention for layer in layers for attention in (layer.self_attention, layer.cross_attention)]
    return all(type(attention) is MultiHeadAttention and not attention._forward_hooks for attention in attentions)


class CachedDecoder:
    """The next token's logits for a growing set of hypotheses, each of which continues one of the step before.

    Args:
        model: in evaluation mode; ``can_cache(model)`` must hold.
        source: ids [S, Ts] of the sentences to translate.
    """

    def __init__(self, model: Transformer, source: Tensor) -> None:
        self.model = model
        self.layers = model.decoder.in_order()
        self.memory_mask = model.parts.padding_mask(source, model.config.pad_id)  # [S, 1, 1, Ts]
        memory = model.encode(source)
        self.memory_key_value = [_key_value(layer.cross_attention, memory) for layer in self.layers]  # [S, H, Ts, Dh]
        self.past: list[tuple[Tensor, Tensor] | None] = [None] * len(self.layers)  # [N, H, T, Dh]
        self.owner: Tensor | None = None

    def step(self, prefix: Tensor, owner: Tensor, parent: Tensor) -> Tensor:
        """Logits [N, V] after the last token of each prefix.

        Args:
            prefix: ids [N, T], one token longer than at the step before.
            owner: [N] the sentence that each hypothesis translates.
            parent: [N] the row of the step before that each hypothesis continues.
        """
        self._follow(owner, parent)
        position = prefix.shape[1] - 1
        x = self.model.target_table(prefix[:, -1:]) * math.sqrt(self.model.config.d_model)
        table = getattr(self.model.positions, "table", None)  # none: the self-attentions see to positions, or nobody
        x = x if table is None else x + table[position]  # [N, 1, D]
        for number, layer in enumerate(self.layers):
            x = layer.residual(x, layer.norm_1, lambda y, n=number: self._attend_to_past(n, y))
            x = layer.residual(x, layer.norm_2, lambda y, n=number: self._attend_to_memory(n, y))
            x = layer.residual(x, layer.norm_3, layer.feed_forward)
        return self.model.logits(self.model.decoder.norm(x)[:, 0])  # [N, V]

    def _follow(self, owner: Tensor, parent: Tensor) -> None:
        """Keep the caches of those rows that go on, in their new order."""
        if self.owner is None or not torch.equal(owner, self.owner):
            self.owned = [(key[owner], value[owner]) for key, value in self.memory_key_value]  # [N, H, Ts, Dh]
            self.owned_mask = self.memory_mask[owner]
            self.owner = owner
        if self.past[0] is not None and not torch.equal(parent, self.rows):
            self.past = [(key[parent], value[parent]) for key, value in self.past]
        self.rows = torch.arange(len(parent), device=parent.device)  # what parent is when nothing moves

    def _attend_to_past(self, number: int, y: Tensor) -> Tensor:
        attention = self.layers[number].self_attention
        key, value = _key_value(attention, y)  # [N, H, 1, Dh]
        if self.past[number] is not None:
            earlier_key, earlier_value = self.past[number]
            key, value = torch.cat([earlier_key, key], dim=2), torch.cat([earlier_value, value], dim=2)
        self.past[number] = key, value
        return _attend(attention, y, key, value, None)

    def _attend_to_memory(self, number: int, y: Tensor) -> Tensor:
        return _attend(self.layers[number].cross_attention, y, *self.owned[number], self.owned_mask)


def _key_value(attention: MultiHeadAttention, x: Tensor) -> tuple[Tensor, Tensor]:
    n_heads = attention.n_heads
    return split_heads(attention.key(x), n_heads), split_heads(attention.value(x), n_heads)


def _attend(attention: MultiHeadAttention, y: Tensor, key: Tensor, value: Tensor, mask: Tensor | None) -> Tensor:
    query = split_heads(attention.query(y), attention.n_heads)  # [N, H, 1, Dh]
    return attention.combine(query, key, value, mask)
