"""Attention while it is learned, against known alignments, rolled out, and beside what leaving a word out does."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product

from torch import Tensor

from course_lib.corpora.pairs import Pair
from course_lib.evaluation import alignment_error_rate
from course_lib.interpretation import attention_rollout, gradient_times_input, integrate_words, occlude_words
from course_lib.snapshots import Snapshot
from course_lib.translator import Translator
from course_lib.views.attention import by_kind, check_weights
from course_lib.views.frames import HtmlView, page, rounded

GOLD = "<b>green frames</b>: the known alignment; <b><u>underlined</u></b>: the largest of the row"
ROWS = "a row is a word of the translation, a column a word of the source; what a row lacks to 1 went to the end mark"


@dataclass(frozen=True)
class Panel:
    """One map: weights from 0 to 1, or signed numbers from -limit to +limit."""

    title: str
    values: Tensor
    signed: bool = False

    def embed(self) -> dict:
        limit = max(float(self.values.abs().max()), 1e-6) if self.signed else 1.0
        digits = 1 if limit >= 1 else 2 if limit >= 0.1 else 3
        return {"title": self.title, "values": rounded(self.values), "signed": self.signed, "limit": limit,
                "digits": digits}  # fmt: skip


@dataclass(frozen=True)
class Frame:
    """What is shown for one setting of the choices."""

    rows: Sequence[str]
    cols: Sequence[str]
    panels: Sequence[Panel]
    gold: set[tuple[int, int]] = field(default_factory=set)  # (source, target)
    said: Sequence[str] = ()

    def embed(self) -> dict:
        return {"rows": list(self.rows), "cols": list(self.cols), "panels": [panel.embed() for panel in self.panels],
                "gold": sorted([t, s] for s, t in self.gold), "said": list(self.said)}  # fmt: skip


def _maps(
    choices: list[tuple[str, list[str]]], frames: list[Frame], start: list[int], *, alt: str, hint: str
) -> HtmlView:
    """The page; a choice whose label ends in "…" is a slider."""
    described = [
        {"label": label.rstrip("…"), "names": names, "slider": label.endswith("…")} for label, names in choices
    ]
    data = {"choices": described, "frames": [frame.embed() for frame in frames], "start": start, "hint": hint}
    return page("inside", data, alt=alt, height=250 + 26 * max(len(frame.rows) for frame in frames))


# ---- attention in training ------------------------------------------------------------------------------------------


def attention_in_training(pairs: Sequence[Pair], shots: Sequence[Snapshot]) -> HtmlView:
    """Shows the cross-attention of some sentences at several steps of a training, against the known alignment.

    Args:
        pairs, shots: from `course_lib.snapshots.read_snapshots` or `shipped_snapshots`.
    """
    names = _cross(shots[0].maps[0])
    n_heads = shots[0].maps[0][names[0]].shape[1]
    frames = []
    for (number, pair), shot, name, head in product(enumerate(pairs), shots, names, range(n_heads)):
        source, target = pair.source.split(), pair.target.split()
        weights = shot.maps[number][name][0, head, : len(target), : len(source)]
        said = [
            f"The model says then: {shot.translations[number] or '(nothing)'}",
            f"Validation loss {shot.loss:.2f}; {shot.exact:.0%} of 200 unseen sentences right; this head's alignment "
            f"error on them: {shot.errors[name][head]:.2f}.",
        ]
        panel = Panel(f"weights after {shot.step:,} steps", weights)
        frames.append(Frame(target, source, [panel], pair.alignment, said))
    choices = [
        ("sentence", [_short(pair.source) for pair in pairs]),
        ("steps…", [f"{shot.step:,} steps" for shot in shots]),
        ("layer", [str(i) for i in range(len(names))]),
        ("head", [str(i) for i in range(n_heads)]),
    ]
    best = min(range(n_heads), key=lambda head: shots[-1].errors[names[-1]][head])
    alt = f"Cross-attention of {len(pairs)} sentences at {len(shots)} steps of the training, gold alignments framed."
    return _maps(choices, frames, [0, 0, len(names) - 1, best], alt=alt, hint=f"{GOLD}; {ROWS}")


# ---- against gold ---------------------------------------------------------------------------------------------------


def alignment_view(
    translator: Translator, pairs: Sequence[Pair], errors: Mapping[str, Sequence[float]] | None = None
) -> HtmlView:
    """Shows what each cross-attention head looks at while the model reads the reference, against the known alignment.

    Args:
        translator: of a corpus whose tokens are its words.
        pairs: with alignments; a few.
        errors: each head's error on many sentences (`head_alignment_errors`), to be told beside that of the sentence.
    """
    frames, names = [], []
    for pair in pairs:
        source, target = pair.source.split(), pair.target.split()
        maps = translator.attend(pair.source, pair.target)[2]
        names = _cross(maps)
        for name in names:
            for head, weights in enumerate(maps[name][0, :, : len(target), : len(source)]):
                links = {(s, t) for t, s in enumerate(weights.argmax(-1).tolist())}
                wrong, missed = len(links - pair.alignment), len(pair.alignment - links)
                said = (
                    f"{len(links & pair.alignment)} links right, {wrong} wrong, {missed} missed: alignment error "
                    f"{alignment_error_rate(links, pair.alignment):.2f} here"
                )
                said += f", {errors[name][head]:.2f} on many sentences." if errors else "."
                frames.append(Frame(target, source, [Panel("weights", weights)], pair.alignment, [said]))
    n_heads = translator.model.config.n_heads
    choices = [
        ("sentence", [_short(pair.source) for pair in pairs]),
        ("layer", [str(i) for i in range(len(names))]),
        ("head", [str(i) for i in range(n_heads)]),
    ]
    alt = f"Cross-attention of each head on {len(pairs)} sentences, the known word alignment framed in green."
    return _maps(choices, frames, [0, len(names) - 1, 0], alt=alt, hint=f"{GOLD}; {ROWS}")


# ---- rollout --------------------------------------------------------------------------------------------------------


def rollout_view(maps: Mapping[str, Tensor], tokens: Sequence[str]) -> HtmlView:
    """Shows the encoder's attention, layer by layer, beside its rollout.

    Args:
        maps: what `record_attention` collected of one sentence.
        tokens: what the encoder read, one for each position.
    """
    layers = list(by_kind(maps)["encoder"].values())  # [H, T, T] each
    tokens = list(tokens)
    for weights in layers:
        check_weights("encoder", weights, tokens, tokens)
    frames = []
    for depth, weights in enumerate(layers):
        rolled = attention_rollout(layers[: depth + 1])
        for head in range(-1, len(weights)):
            raw = weights.mean(0) if head < 0 else weights[head]
            who = "mean of the heads" if head < 0 else f"head {head}"
            said = [f"On the diagonal: {raw.diagonal().mean():.2f} of the weight on average in layer {depth} ({who}), "
                    f"{rolled.diagonal().mean():.2f} in the rollout up to this layer."]  # fmt: skip
            panels = [Panel(f"layer {depth}, {who}", raw), Panel(f"rollout, layers 0 to {depth}", rolled)]
            frames.append(Frame(tokens, tokens, panels, said=said))
    choices = [
        ("layer", [str(i) for i in range(len(layers))]),
        ("head", ["mean", *(str(i) for i in range(len(layers[0])))]),
    ]
    hint = "<b><u>underlined</u></b>: the largest of the row; a row is a position that is made, a column what of"
    alt = f"Encoder attention of “{' '.join(tokens)}” beside its rollout over the layers."
    return _maps(choices, frames, [len(layers) - 1, 0], alt=alt, hint=hint)


# ---- occlusion ------------------------------------------------------------------------------------------------------


def occlusion_view(translator: Translator, pairs: Sequence[Pair]) -> HtmlView:
    """Shows cross-attention beside what leaving a word out does, gradient × input and integrated gradients.

    Args:
        translator: of a corpus whose tokens are its words.
        pairs: with alignments; a few. The reference is explained.
    """
    frames, names = [], []
    for pair in pairs:
        source, target = pair.source.split(), pair.target.split()
        maps = translator.attend(pair.source, pair.target)[2]
        worth = occlude_words(translator, pair.source, pair.target)[2][: len(target)]
        slope = 1000 * gradient_times_input(translator, pair.source, pair.target)[2][: len(target)]
        share = integrate_words(translator, pair.source, pair.target)[2][: len(target)]
        names = _cross(maps)
        for name in names:
            weights = maps[name][0, :, : len(target), : len(source)]
            for head, raw in zip(["mean", *range(len(weights))], [weights.mean(0), *weights]):
                title = f"attention, {'mean of the heads' if head == 'mean' else f'head {head}'}"
                panels = [Panel(title, raw), Panel("leaving the word out (nats)", worth, signed=True),
                          Panel("gradient × input (thousandths of a nat)", slope, signed=True),
                          Panel("integrated gradients (nats)", share, signed=True)]  # fmt: skip
                same = (raw.argmax(-1) == worth.argmax(-1)).sum()
                said = f"In {same} of {len(target)} rows the word with most weight is the one whose loss hurts most."
                frames.append(Frame(target, source, panels, pair.alignment, [said]))
    choices = [
        ("sentence", [_short(pair.source) for pair in pairs]),
        ("layer", [str(i) for i in range(len(names))]),
        ("head", ["mean", *(str(i) for i in range(translator.model.config.n_heads))]),
    ]
    alt = (
        f"Cross-attention, occlusion, gradient times input and integrated gradients on {len(pairs)} sentences, gold "
        "alignments framed."
    )
    hint = f"{GOLD}; {ROWS}; purple: the word helps, orange: it hinders"
    return _maps(choices, frames, [0, len(names) - 1, 0], alt=alt, hint=hint)


def _cross(maps: Mapping[str, Tensor]) -> list[str]:
    return list(by_kind({name: maps[name] for name in maps if "cross" in name})["cross"])


def _short(sentence: str) -> str:
    words = sentence.split()
    return " ".join(words) if len(words) <= 5 else " ".join(words[:4]) + " …"
