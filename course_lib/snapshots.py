"""What a model attends to while it is trained: the attention of a few sentences, kept at several steps.

    DIR/snapshots.safetensors    what ``course train --corpus grammar --snapshots --out DIR`` leaves beside the model
"""

from dataclasses import asdict, dataclass
from importlib.resources import files
from pathlib import Path

import torch
from torch import Tensor

from course_lib.batches import encode_pairs
from course_lib.checkpoints import read_tensors, write_tensors
from course_lib.config import DecodeConfig
from course_lib.corpora import load_corpus
from course_lib.corpora.pairs import Pair
from course_lib.training import mean_loss
from course_lib.translator import Translator, head_alignment_errors

SNAPSHOTS = "snapshots.safetensors"
STEPS = (0, 100, 150, 200, 300, 400, 1000)  # and the end; multiples of `training.LOG_EVERY`
SENTENCES = (  # of the grammar corpus, none of them trained on
    "Jack ran in the park yesterday .",
    "How many articles did this boy write yesterday afternoon ?",
    "Emma knows that it rained in Beijing yesterday .",
    "Mrs Li often drinks coffee with her daughter .",
)
N_MEASURED = 200  # validation pairs


@dataclass(frozen=True)
class Snapshot:
    """One look at a model in training.

    Args:
        step: how many steps had been taken.
        loss: validation loss in nats a token, without smoothing.
        exact: the share of validation sentences whose greedy translation equals the reference.
        errors: the alignment error rate of each cross-attention head on validation pairs, by module name.
        translations: what the model made of each sentence then, greedily.
        maps: for each sentence the weights [1, H, Tq, Tk] by module name, while it reads the *reference* (so that the
            rows are the same words at every step).
    """

    step: int
    loss: float
    exact: float
    errors: dict[str, list[float]]
    translations: list[str]
    maps: list[dict[str, Tensor]]


class SnapshotTaker:
    """A callback of ``train`` that takes a snapshot at some steps and at the end; for the grammar corpus.

    Taking one draws no random numbers and changes no weight: the run is the same with it and without.

    Args:
        out: the run's folder; the file is written anew after every snapshot.
        steps: multiples of ``training.LOG_EVERY``.
    """

    def __init__(self, out: Path | str, steps: tuple[int, ...] = STEPS) -> None:
        self.path, self.steps, self.taken = Path(out) / SNAPSHOTS, steps, []
        splits = load_corpus("grammar").splits
        by_source = {pair.source: pair for split in splits if split != "train" for pair in splits[split]}
        self.pairs = [by_source[sentence] for sentence in SENTENCES]
        self.measured = splits["val"][:N_MEASURED]

    def __call__(self, event: str, record: dict) -> None:
        if event == "start":
            self.translator: Translator = record["translator"]
            if record["step"] and self.path.exists():  # resumed
                self.taken = [shot for shot in read_snapshots(self.path)[1] if shot.step <= record["step"]]
            if record["step"] == 0:
                self._take(0)
        elif event == "step" and record["step"] in self.steps:
            self._take(record["step"])
        elif event == "end" and not record.get("interrupted"):
            self._take(record["steps"])

    @torch.inference_mode()
    def _take(self, step: int) -> None:
        if any(shot.step == step for shot in self.taken):
            return
        translator, decode = self.translator, DecodeConfig(beam_size=1)
        translator.model.eval()  # the next training step puts it back
        outputs = translator.translate_all([pair.source for pair in self.measured], decode)
        wanted = [translator.finish(pair.target) for pair in self.measured]
        examples, _ = encode_pairs(self.measured, translator.tokenizer, translator.model.config.max_len)
        shot = Snapshot(
            step,
            loss=mean_loss(translator.model, examples, translator.tokenizer, 1500),
            exact=sum(a == b for a, b in zip(outputs, wanted, strict=True)) / len(wanted),
            errors=head_alignment_errors(translator, self.measured),
            translations=translator.translate_all([pair.source for pair in self.pairs], decode),
            maps=[dict(translator.attend(pair.source, pair.target)[2]) for pair in self.pairs],
        )
        self.taken.append(shot)
        write_snapshots(self.path, self.pairs, self.taken)


def write_snapshots(path: Path, pairs: list[Pair], shots: list[Snapshot]) -> None:
    """Write snapshots of the same sentence pairs to one file; weights in half precision."""
    tensors = {
        f"{shot.step} {number} {name}": weights.half()
        for shot in shots
        for number, maps in enumerate(shot.maps)
        for name, weights in maps.items()
    }
    facts = [{name: value for name, value in vars(shot).items() if name != "maps"} for shot in shots]
    sentences = [asdict(pair) | {"alignment": sorted(pair.alignment)} for pair in pairs]
    write_tensors(path, tensors, {"sentences": sentences, "snapshots": facts})


def read_snapshots(path: Path | str) -> tuple[list[Pair], list[Snapshot]]:
    """The sentence pairs and the snapshots of a file.

    Raises:
        CourseError: it is missing or damaged.
    """
    tensors, state = read_tensors(Path(path))
    pairs = [
        Pair(one["source"], one["target"], frozenset((i, j) for i, j in one["alignment"])) for one in state["sentences"]
    ]
    shots = []
    for facts in state["snapshots"]:
        maps = [{} for _ in pairs]
        for key, weights in tensors.items():
            step, number, name = key.split(" ")
            if int(step) == facts["step"]:
                maps[int(number)][name] = weights.float()
        shots.append(Snapshot(**facts, maps=maps))
    return pairs, shots


def shipped_snapshots() -> tuple[list[Pair], list[Snapshot]]:
    """Those of the training of the model that comes with the course (``Translator.shipped``)."""
    return read_snapshots(Path(str(files("course_lib") / "assets" / "grammar_en_zh" / SNAPSHOTS)))
