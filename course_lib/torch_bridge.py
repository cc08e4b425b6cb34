"""The weights of the course's models under PyTorch's names, so that both can be compared, number by number."""

import warnings
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from course_lib.transformer import Transformer

# The course's names, and PyTorch's for the same thing; "feed_forward." is left out there.
NAMES = {
    "attention": "self_attn",
    "self_attention": "self_attn",
    "cross_attention": "multihead_attn",
    "output": "out_proj",
    "expand": "linear1",
    "contract": "linear2",
    "norm_1": "norm1",
    "norm_2": "norm2",
    "norm_3": "norm3",
    "gain": "weight",
}
PROJECTIONS = ("query", "key", "value")


def torch_state(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Rename the weights of a layer, a stack, or both stacks to those of PyTorch's module of the same kind.

    PyTorch keeps the projections of queries, keys and values in one matrix [3 D, D], in this order.

    Args:
        state: the state dict of an ``EncoderLayer`` or ``DecoderLayer`` (for ``nn.TransformerEncoderLayer``,
            ``nn.TransformerDecoderLayer``), of an ``Encoder`` or ``Decoder``, or of anything whose weights have the
            same names: parts of your own, say.

    Returns:
        What ``load_state_dict`` of the other takes.
    """
    renamed: dict[str, Tensor] = {}
    for name, tensor in state.items():
        place, _, kind = name.rpartition(".")
        place, _, projection = place.rpartition(".")
        if projection in PROJECTIONS:
            if projection == PROJECTIONS[0]:
                together = torch.cat([state[f"{place}.{other}.{kind}"] for other in PROJECTIONS])
                renamed[f"{_rename(place)}.in_proj_{kind}"] = together  # [3 D, D] or [3 D]
        else:
            renamed[_rename(name)] = tensor
    return renamed


def to_torch(model: Transformer) -> nn.Transformer:
    """PyTorch's encoder and decoder with the weights of ``model``, in evaluation mode.

    ``nn.Transformer`` has neither embeddings nor positions nor an output map: hand it ``model.embed(source)`` and
    ``model.embed_target(target_in)``, and what it gives to ``model.logits``.

    Raises:
        ValueError: positions act inside the attentions, where PyTorch's module has no place for them.
    """
    config = model.config
    if config.positions not in ("sinusoidal", "learned", "none"):
        raise ValueError(f'positions="{config.positions}" act inside attention, and nn.Transformer knows none there')
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "enable_nested_tensor")  # it says that a shortcut is not taken
        theirs = nn.Transformer(
            config.d_model, config.n_heads, config.n_layers, config.n_layers, config.d_ff, 0.0,
            batch_first=True, norm_first=config.norm == "pre",
        )  # fmt: skip
    for mine, other in ((model.encoder, theirs.encoder), (model.decoder, theirs.decoder)):
        for layer, its in zip(mine.in_order(), other.layers, strict=True):
            its.load_state_dict(torch_state(layer.state_dict()))
        other.norm.load_state_dict(torch_state(mine.norm.state_dict()))
    return theirs.eval()


def _rename(name: str) -> str:
    return ".".join(NAMES.get(part, part) for part in name.split(".") if part != "feed_forward")
