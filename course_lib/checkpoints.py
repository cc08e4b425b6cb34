"""What a training run leaves on disk, written so that a crash at any moment loses nothing.

    DIR/run.json                 format, corpus, direction, the configurations
    DIR/tokenizer.json           the vocabulary
    DIR/model.safetensors        the weights to translate with
    DIR/checkpoint.safetensors   the whole state of an unfinished training: weights, optimizer, random numbers
    DIR/metrics.jsonl            a line for every measurement, while it trains
    DIR/result.json              the figures of the finished run
"""

import errno
import json
import os
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from course_lib.config import ModelConfig
from course_lib.errors import CourseError
from course_lib.parts import REFERENCE, Parts
from course_lib.tokenizer import Tokenizer
from course_lib.transformer import Transformer

FORMAT = 1
RUN, TOKENIZER, MODEL = "run.json", "tokenizer.json", "model.safetensors"
CHECKPOINT, METRICS, RESULT = "checkpoint.safetensors", "metrics.jsonl", "result.json"


def write_json(path: Path, values: dict) -> None:
    """Write a JSON file whole or not at all."""
    write_whole(path, lambda part: part.write_text(json.dumps(values, ensure_ascii=False, indent=2) + "\n", "utf-8"))


def read_json(path: Path) -> dict:
    """Read a JSON file that ``write_json`` wrote.

    Raises:
        CourseError: it is missing, or it is damaged.
    """
    try:
        return json.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        raise CourseError(f"{path} does not exist: is {path.parent} a folder that `course train --out` made?") from None
    except (OSError, ValueError) as error:
        raise CourseError(f"{path} cannot be read: {error}") from None


def write_tensors(path: Path, tensors: dict[str, Tensor], state: dict | None = None) -> None:
    """Write tensors, and a little JSON with them, in one file: whole or not at all.

    Raises:
        CourseError: the disk is full or cannot be written; what was there before is untouched.
    """
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    metadata = {"format": str(FORMAT), "state": json.dumps(state or {})}
    write_whole(path, lambda part: part.write_bytes(save(tensors, metadata)))  # save_file hides it from everybody else


def read_tensors(path: Path) -> tuple[dict[str, Tensor], dict]:
    """Read what ``write_tensors`` wrote.

    Raises:
        CourseError: the file is missing, truncated, or of another version of the course.
    """
    if not path.exists():
        raise CourseError(f"{path} does not exist: is {path.parent} a folder that `course train --out` made?")
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}
    except (SafetensorError, OSError) as error:
        raise CourseError(f"{path} is damaged or cut off ({error}): train again, or restore it from a copy") from None
    if metadata.get("format") != str(FORMAT):
        raise CourseError(f"{path} has format {metadata.get('format')}; this version of the course reads {FORMAT}")
    return tensors, json.loads(metadata.get("state", "{}"))


def write_whole(path: Path, write: Callable[[Path], object]) -> None:
    """Let ``write`` make a file under another name, and give it its own once it is complete.

    Raises:
        CourseError: the disk is full or cannot be written; what was there before is untouched.
    """
    part = path.with_name(path.name + ".part")
    try:
        write(part)
        os.replace(part, path)
    except (OSError, SafetensorError) as error:
        with suppress(OSError):
            part.unlink()
        raise not_written(path, error) from None


def not_written(path: Path, error: Exception) -> CourseError:
    """What to say when a file could not be written."""
    refused = isinstance(error, OSError) and error.errno in (errno.EACCES, errno.EPERM, errno.EROFS)
    advice = "choose another folder" if refused else "free some disk space and go on"
    return CourseError(f"{path} could not be written ({getattr(error, 'strerror', None) or error}): {advice}")


def flatten_optimizer(optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """An optimizer's state as named tensors: ``optimizer.<parameter number>.<what>``."""
    return {
        f"optimizer.{number}.{name}": torch.as_tensor(value)
        for number, values in optimizer.state_dict()["state"].items()
        for name, value in values.items()
    }


def restore_optimizer(optimizer: torch.optim.Optimizer, tensors: dict[str, Tensor]) -> None:
    """Put back what ``flatten_optimizer`` took out."""
    state: dict[int, dict[str, Tensor]] = {}
    for key, tensor in tensors.items():
        if key.startswith("optimizer."):
            _, number, name = key.split(".")
            state.setdefault(int(number), {})[name] = tensor
    optimizer.load_state_dict({**optimizer.state_dict(), "state": state})


@dataclass(frozen=True)
class SavedModel:
    """A trained model with everything that is needed to use it."""

    model: Transformer
    tokenizer: Tokenizer
    corpus: str
    direction: str


def load_model(folder: Path | str, parts: Parts = REFERENCE) -> SavedModel:
    """Load a model that ``course train`` made, built from ``parts``, in evaluation mode.

    Raises:
        CourseError: a file is missing, damaged, or of another version of the course.
    """
    folder = Path(folder)
    run = read_run(folder)
    if not (folder / MODEL).exists():
        raise CourseError(f"{folder} has no finished model yet: go on with `course train … --out {folder} --resume`")
    tensors, _ = read_tensors(folder / MODEL)
    try:
        model = Transformer(ModelConfig.from_dict(run["model"]), parts)
        model.load_state_dict({name: tensor.float() for name, tensor in tensors.items()})
    except (ValueError, RuntimeError, TypeError) as error:
        reason = str(error).strip().splitlines()[-1].strip()[:200]
        raise CourseError(f"{folder / MODEL} does not fit {folder / RUN}: {reason}") from None
    tokenizer = Tokenizer.load(folder / TOKENIZER)
    if tokenizer.vocab_size != model.config.vocab_size:
        sizes = f"{tokenizer.vocab_size} entries, the model {model.config.vocab_size}"
        raise CourseError(f"{folder / TOKENIZER} has {sizes}: they are not of the same run")
    return SavedModel(model.eval(), tokenizer, run["corpus"], run["direction"])


def read_run(folder: Path) -> dict:
    """``run.json`` of a folder.

    Raises:
        CourseError: it is missing, damaged, or of another version of the course.
    """
    run = read_json(folder / RUN)
    if not isinstance(run, dict) or run.get("format") != FORMAT:
        found = run.get("format") if isinstance(run, dict) else None
        raise CourseError(f"{folder / RUN} has format {found}; this version of the course reads {FORMAT}")
    if missing := [name for name in ("corpus", "direction", "model", "train") if name not in run]:
        raise CourseError(f"{folder / RUN} is damaged: it lacks {', '.join(missing)}")
    return run
