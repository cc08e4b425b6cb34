"""The whole model: an encoder, a decoder, and the embedding table that they share with the output."""

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn

from course_lib.blocks import Dropout
from course_lib.config import ModelConfig
from course_lib.parts import REFERENCE, Parts


class Stack(nn.Module):
    """Layers that follow one another, and a final norm.

    ``layers`` holds the layers that have weights of their own: ``n_layers`` of them, or one if all are shared, which is
    then applied ``n_layers`` times. A checkpoint holds each of them once.
    """

    def __init__(self, config: ModelConfig, layer: Callable[..., nn.Module], parts: Parts) -> None:
        super().__init__()
        sizes = (config.d_model, config.n_heads, config.d_ff, config.norm, config.dropout, config.positions)
        self.layers = nn.ModuleList(layer(*sizes) for _ in range(1 if config.shared_layers else config.n_layers))
        self.norm = parts.LayerNorm(config.d_model)
        self.n_layers = config.n_layers

    def in_order(self) -> list[nn.Module]:
        """The layers as they are applied; shared ones stand there again and again."""
        return [*self.layers] * (self.n_layers // len(self.layers))


class Encoder(Stack):
    """A stack of encoder layers and a final norm."""

    def __init__(self, config: ModelConfig, parts: Parts = REFERENCE) -> None:
        super().__init__(config, parts.encoder_layer, parts)

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """``x`` [B, Ts, D], ``mask`` True where query i may attend to key j -> memory [B, Ts, D]."""
        for layer in self.in_order():
            x = layer(x, mask)
        return self.norm(x)


class Decoder(Stack):
    """A stack of decoder layers and a final norm."""

    def __init__(self, config: ModelConfig, parts: Parts = REFERENCE) -> None:
        super().__init__(config, parts.decoder_layer, parts)

    def forward(
        self, x: Tensor, memory: Tensor, self_mask: Tensor | None = None, memory_mask: Tensor | None = None
    ) -> Tensor:
        """``x`` [B, Tt, D] and ``memory`` [B, Ts, D] -> [B, Tt, D]; masks are True where one may attend."""
        for layer in self.in_order():
            x = layer(x, memory, self_mask, memory_mask)
        return self.norm(x)


class Transformer(nn.Module):
    """The encoder-decoder of Vaswani et al. 2017: ids in, logits out.

    Both languages share a vocabulary, and one table serves source, target and output (§3.4) unless
    ``config.tied_embeddings`` is off: then ``target_embedding`` and ``output`` are matrices of their own.

    Args:
        config: the sizes.
        parts: which implementation of each part to use; the library's if left out.
    """

    def __init__(self, config: ModelConfig, parts: Parts = REFERENCE) -> None:
        super().__init__()
        self.config = config
        self.parts = parts
        self.embedding = nn.Embedding(config.vocab_size, config.d_model, padding_idx=config.pad_id)
        if not config.tied_embeddings:
            self.target_embedding = nn.Embedding(config.vocab_size, config.d_model, padding_idx=config.pad_id)
            self.output = nn.Linear(config.d_model, config.vocab_size, bias=False)
        self.positions = parts.position_table(config.positions, config.max_len, config.d_model)
        self.dropout = Dropout(config.dropout)
        self.encoder = Encoder(config, parts)
        self.decoder = Decoder(config, parts)
        self._initialise()

    def _initialise(self) -> None:
        for name, parameter in (*self.encoder.named_parameters(), *self.decoder.named_parameters()):
            if parameter.dim() > 1 and not name.endswith("positions.table"):  # these start at 0: no preference
                nn.init.xavier_uniform_(parameter)
        # Rows of length about 1: times √D they match the positions, and as output weights they start near-uniform.
        for table in self._tables():
            nn.init.normal_(table.weight, std=self.config.d_model**-0.5)
            table.weight.data[self.config.pad_id] = 0.0

    @property
    def target_table(self) -> nn.Embedding:
        """The table of the target's token vectors: the source's, if embeddings are tied."""
        return self.embedding if self.config.tied_embeddings else self.target_embedding

    @property
    def output_weight(self) -> Tensor:
        """[V, D]: what states are compared with to give logits; the embedding table, if embeddings are tied."""
        return self.embedding.weight if self.config.tied_embeddings else self.output.weight

    def _tables(self) -> list[nn.Module]:
        return [self.embedding] if self.config.tied_embeddings else [self.embedding, self.target_embedding, self.output]

    def embed(self, source: Tensor) -> Tensor:
        """Token vectors times √D, plus positions where these are added: ids [B, T] -> [B, T, D].

        Raises:
            ValueError: T is larger than ``config.max_len``, with a table of positions.
        """
        return self._embed(source, self.embedding)

    def embed_target(self, target_in: Tensor) -> Tensor:
        """The same for the target: ids [B, T] -> [B, T, D]."""
        return self._embed(target_in, self.target_table)

    def _embed(self, ids: Tensor, table: nn.Embedding) -> Tensor:
        return self.dropout(self.positions(table(ids) * math.sqrt(self.config.d_model)))

    def logits(self, states: Tensor) -> Tensor:
        """One score for each entry of the vocabulary: [..., D] -> [..., V]."""
        return states @ self.output_weight.T

    def encode(self, source: Tensor) -> Tensor:
        """Read the source: ids [B, Ts] -> memory [B, Ts, D]."""
        return self.encoder(self.embed(source), self.parts.padding_mask(source, self.config.pad_id))

    def decode(self, target_in: Tensor, memory: Tensor, source: Tensor, last_only: bool = False) -> Tensor:
        """Predict each next target token: ids [B, Tt] and memory [B, Ts, D] -> logits [B, Tt, V].

        ``source`` [B, Ts] tells which positions of the memory are padding. The target needs no padding mask: padding
        stands at its end, where the causal mask hides it from every real token. ``last_only`` gives the logits after
        the last token alone, [B, 1, V]: all that a search needs.
        """
        states = self.decode_states(target_in, memory, source)
        if last_only:
            states = states[:, -1:]
        return self.logits(states)  # [B, Tt, V]

    def decode_states(self, target_in: Tensor, memory: Tensor, source: Tensor) -> Tensor:
        """What ``decode`` multiplies with ``output_weight``: [B, Tt, D]."""
        causal = self.parts.causal_mask(target_in.shape[1], target_in.shape[1]).to(target_in.device)
        padding = self.parts.padding_mask(source, self.config.pad_id)
        return self.decoder(self.embed_target(target_in), memory, causal, padding)

    def forward(self, source: Tensor, target_in: Tensor) -> Tensor:
        """Teacher forcing: source ids [B, Ts], shifted target ids [B, Tt] -> logits [B, Tt, V]."""
        return self.decode(target_in, self.encode(source), source)


def shift_right(ids: Tensor, bos_id: int) -> Tensor:
    """What the decoder reads while it learns to write ``ids``: one place later, after a beginning token.

    Then place t holds the token before the one to be predicted there: teacher forcing (Vaswani et al. 2017, §3.1).

    Args:
        ids: [B, T]; padding moves along, and the last column drops out.
        bos_id: the id of the beginning token.

    Returns:
        A new tensor [B, T] of the same dtype.
    """
    return torch.cat([torch.full_like(ids[:, :1], bos_id), ids[:, :-1]], dim=1)  # [B, T]


def count_parameters(d_model: int, n_heads: int, d_ff: int, n_layers: int, vocab_size: int) -> int:
    """How many numbers a ``Transformer`` with sinusoidal positions learns.

    ``n_layers`` in each stack, one tied embedding, biases everywhere but at the output, a final norm after each stack.
    ``n_heads`` does not change the number: heads share the width out among themselves.
    """
    attention = 4 * (d_model * d_model + d_model)
    feed_forward = d_model * d_ff + d_ff + d_ff * d_model + d_model
    norm = 2 * d_model
    encoder_layer = attention + feed_forward + 2 * norm
    decoder_layer = 2 * attention + feed_forward + 3 * norm
    return n_layers * (encoder_layer + decoder_layer) + 2 * norm + vocab_size * d_model
