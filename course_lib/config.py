"""What a model, a training run and a decoder are built from: frozen, validated dataclasses."""

import math
from dataclasses import asdict, dataclass, fields, replace
from typing import Literal, get_args, get_origin

NormPlacement = Literal["pre", "post"]
Positions = Literal["sinusoidal", "learned", "relative", "rotary", "alibi", "none"]
Precision = Literal["auto", "fp32", "bf16"]
Device = Literal["auto", "cpu", "cuda", "mps"]


def _positive(config, *names: str) -> None:
    for name in names:
        if not 0 < getattr(config, name) < math.inf:  # neither is NaN
            raise ValueError(f"{name}={getattr(config, name)} must be positive and finite")


def _fraction(config, *names: str) -> None:
    for name in names:
        if not 0.0 <= getattr(config, name) < 1.0:
            raise ValueError(f"{name}={getattr(config, name)} must be at least 0 and below 1")


def _one_of(config, **choices: object) -> None:
    for name, kind in choices.items():
        if getattr(config, name) not in get_args(kind):
            raise ValueError(f"{name}={getattr(config, name)!r} is none of {', '.join(map(repr, get_args(kind)))}")


class _Config:
    """Shared by the configurations: to a plain dict and back, refusing names that do not exist."""

    def to_dict(self) -> dict:
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict):
        known = {field.name for field in fields(cls)}
        if unknown := sorted(set(values) - known):
            raise ValueError(f"{cls.__name__} has no {', '.join(unknown)}; it has {', '.join(sorted(known))}")
        return cls(**values)


@dataclass(frozen=True)
class ModelConfig(_Config):
    """The sizes of an encoder-decoder Transformer.

    Args:
        vocab_size: entries of the one vocabulary that source, target and output share (V).
        d_model: width of every token's vector (D).
        n_heads: attention heads; must divide ``d_model`` (H).
        d_ff: inner width of the feed-forward network.
        n_layers: layers in the encoder, and again in the decoder.
        max_len: longest sequence in tokens, special tokens included.
        dropout: probability with which a sub-layer's output is zeroed while training.
        pad_id: the id that fills short sequences up; it is never attended to.
        norm: "pre" normalises what enters a sub-layer, "post" what leaves the residual sum.
        positions: "sinusoidal" (a fixed table) and "learned" (a learned one) are added to the tokens and end at
            ``max_len``; "relative" (a learned bias for each head and distance, as in T5), "rotary" and "alibi" act
            inside every self-attention; "none" leaves order to the causal mask.
        tied_embeddings: one matrix embeds source and target and gives the logits (Vaswani et al. 2017, §3.4; Press and
            Wolf 2017); otherwise there are three of its size.
        shared_layers: all layers of a stack are one layer, applied ``n_layers`` times (Dehghani et al. 2019; Lan et
            al. 2020). It saves parameters, not computation.

    Raises:
        ValueError: a size that is not positive, heads that do not divide the width, or heads of odd width for "rotary".
    """

    vocab_size: int
    d_model: int = 256
    n_heads: int = 4
    d_ff: int = 512
    n_layers: int = 3
    max_len: int = 256
    dropout: float = 0.1
    pad_id: int = 0
    norm: NormPlacement = "pre"
    positions: Positions = "sinusoidal"
    tied_embeddings: bool = True
    shared_layers: bool = False

    def __post_init__(self) -> None:
        _positive(self, "vocab_size", "d_model", "n_heads", "d_ff", "n_layers", "max_len")
        _fraction(self, "dropout")
        _one_of(self, norm=NormPlacement, positions=Positions)
        if self.d_model % self.n_heads:
            raise ValueError(f"d_model={self.d_model} is not divisible by n_heads={self.n_heads}")
        if self.positions == "rotary" and self.d_model // self.n_heads % 2:
            raise ValueError(
                f"d_model={self.d_model} and n_heads={self.n_heads} give heads of {self.d_model // self.n_heads} "
                'features: positions="rotary" turns pairs and needs an even number'
            )
        if not 0 <= self.pad_id < self.vocab_size:
            raise ValueError(f"pad_id={self.pad_id} is not an id of a vocabulary of {self.vocab_size}")


@dataclass(frozen=True)
class TrainConfig(_Config):
    """How a model is trained.

    Args:
        minutes: train for this long; the learning rate reaches zero at that minute. Exclusive with ``epochs``.
        epochs: train for so many passes over the data instead.
        batch_tokens: at most so many tokens on either side of a batch, padding included; all processes together.
        accumulate: a batch is worked through in so many parts, one after the other: less memory, the same step.
        learning_rate: the peak, reached after ``warmup`` steps and then lowered linearly to zero.
        warmup: steps of linear warm-up.
        bpe_dropout: probability with which a merge of byte-pair encoding is passed over, anew in each epoch, so that
            the model sees words in several pieces (Provilkov et al. 2020). It falls to zero like the learning rate,
            so that the last epochs see words as they will be translated.
        smoothing: label smoothing; probability taken from the right token and spread over the vocabulary.
        clip: the largest gradient norm; longer gradients are scaled down to it.
        adam_betas: decay rates of Adam's two averages.
        seed: of weights, dropout and the order of batches.
        validate_every: seconds between two looks at the validation loss.
        checkpoint_every: seconds between two checkpoints.

    Raises:
        ValueError: a value that cannot work, with what would.
    """

    minutes: float | None = None
    epochs: float | None = None
    batch_tokens: int = 1000
    accumulate: int = 1
    learning_rate: float = 1.5e-3
    warmup: int = 300
    bpe_dropout: float = 0.0
    smoothing: float = 0.1
    clip: float = 1.0
    adam_betas: tuple[float, float] = (0.9, 0.98)
    seed: int = 0
    device: Device = "auto"
    precision: Precision = "auto"
    validate_every: float = 60.0
    checkpoint_every: float = 60.0

    def __post_init__(self) -> None:
        if (self.minutes is None) == (self.epochs is None):
            raise ValueError("give either minutes or epochs, not both and not neither")
        _positive(self, "minutes" if self.epochs is None else "epochs", "batch_tokens", "learning_rate", "clip")
        _positive(self, "accumulate")
        _positive(self, "validate_every", "checkpoint_every")
        if self.warmup < 0:
            raise ValueError(f"warmup={self.warmup} must not be negative")
        if not 0 <= self.seed < 2**32:
            raise ValueError(f"seed={self.seed} must be at least 0 and below 2**32")
        _fraction(self, "bpe_dropout", "smoothing")
        _one_of(self, device=Device, precision=Precision)
        object.__setattr__(self, "adam_betas", tuple(self.adam_betas))
        if len(self.adam_betas) != 2 or not all(0.0 <= beta < 1.0 for beta in self.adam_betas):
            raise ValueError(f"adam_betas={self.adam_betas} must be two numbers, each at least 0 and below 1")


@dataclass(frozen=True)
class DecodeConfig(_Config):
    """How a translation is searched for.

    Args:
        beam_size: hypotheses kept at each step; 1 is greedy decoding.
        max_len: most tokens produced, the end token counted.
        length_penalty: a hypothesis' score is log p / length ** length_penalty.
    """

    beam_size: int = 5
    max_len: int = 100
    length_penalty: float = 1.0

    def __post_init__(self) -> None:
        _positive(self, "beam_size", "max_len")
        if self.length_penalty < 0:
            raise ValueError(f"length_penalty={self.length_penalty} must not be negative")


@dataclass(frozen=True)
class Preset:
    """A model's sizes together with the recipe that trains it well.

    ``vocab_size`` is asked of byte-pair encoding; a corpus of whole words has the vocabulary that it has.
    """

    description: str
    vocab_size: int
    model: dict[str, int | float]
    training: dict[str, int | float | str]

    def model_config(self, vocab_size: int, pad_id: int) -> ModelConfig:
        return ModelConfig(vocab_size=vocab_size, pad_id=pad_id, **self.model)

    def train_config(self, **options) -> TrainConfig:
        """The recipe, with ``options`` (minutes, seed, device …) on top; precision "auto" leaves the recipe's own."""
        if options.get("precision") == "auto":
            options.pop("precision")
        return TrainConfig(**{**self.training, **options})

    def with_settings(self, texts: dict[str, str]) -> "Preset":
        """The preset with other values, written as text: ``{"dropout": "0.2", "positions": "alibi"}``.

        Raises:
            ValueError: a name that neither the model nor the recipe has, or a text that is no value of its kind.
        """
        sizes, recipe = ({field.name: field.type for field in fields(kind)} for kind in (ModelConfig, TrainConfig))
        kinds = {name: kind for name, kind in (sizes | recipe).items() if name not in _NOT_SETTINGS}
        changed = replace(self, model=dict(self.model), training=dict(self.training))
        for name, text in texts.items():
            if name not in kinds:
                raise ValueError(f"there is no setting {name!r}: choose {', '.join(sorted(kinds))}")
            value = _from_text(name, kinds[name], text)
            if name == "vocab_size":
                changed = replace(changed, vocab_size=value)
            else:
                (changed.model if name in sizes else changed.training)[name] = value
        return changed


_NOT_SETTINGS = {"pad_id", "minutes", "epochs", "accumulate", "seed", "device", "precision"}  # given otherwise


def _from_text(name: str, kind, text: str):
    try:
        if kind is bool:
            return {"true": True, "false": False}[text.lower()]
        if get_origin(kind) is tuple:
            return tuple(float(part) for part in text.split(","))
        return kind(text) if kind in (int, float) else text
    except (KeyError, ValueError):
        wanted = {int: "a whole number", float: "a number", bool: "true or false"}.get(kind, "numbers and commas")
        raise ValueError(f"{name}={text} is not {wanted}") from None


PRESETS = {
    "tiny": Preset(
        "2+2 layers of width 128: the grammar corpus in two minutes on two cores",
        vocab_size=2000,
        model=dict(d_model=128, n_heads=4, d_ff=256, n_layers=2, dropout=0.05),
        # So narrow a model gains nothing from bf16, and on a CPU bf16 takes memory for every new batch shape.
        training=dict(batch_tokens=1500, learning_rate=3e-3, warmup=200, precision="fp32"),
    ),
    "small": Preset(
        "3+3 layers of width 256, rotary positions: Multi30k in five to ten minutes on two cores",
        vocab_size=4000,
        model=dict(d_model=256, n_heads=4, d_ff=512, n_layers=3, dropout=0.1, positions="rotary"),
        training=dict(batch_tokens=1000, learning_rate=1.5e-3, warmup=300),
    ),
    "base": Preset(
        "6+6 layers of width 512, the base model of the paper: wants a GPU",
        vocab_size=8000,
        model=dict(d_model=512, n_heads=8, d_ff=2048, n_layers=6, dropout=0.1),
        training=dict(batch_tokens=4000, learning_rate=7e-4, warmup=4000),
    ),
}
