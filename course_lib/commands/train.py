"""`course train`: train a translation model, watch it, stop it, go on."""

import json
import os
from pathlib import Path
from typing import Annotated

import typer

from course_lib.commands import DATA_DIR, DIRECTION, one_of
from course_lib.errors import CourseError, Stopped

EXAMPLE = "Example: course train --corpus multi30k --direction de-en --preset small --minutes 10 --out runs/m30k"


def train(
    out: Annotated[Path, typer.Option(help="Folder for the model; made if it does not exist.")],
    corpus: Annotated[str, typer.Option(help="grammar, multi30k, tatoeba, or the path of a .tsv file.")] = "grammar",
    direction: DIRECTION = None,
    preset: Annotated[str, typer.Option(help="Sizes and recipe: tiny, small or base.")] = "tiny",
    minutes: Annotated[float | None, typer.Option(help="Train so long; the learning rate plans for it.")] = None,
    epochs: Annotated[float | None, typer.Option(help="Train so many passes over the data instead.")] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or mps.")] = "auto",
    precision: Annotated[str, typer.Option(help="auto, fp32 or bf16.")] = "auto",
    seed: Annotated[int, typer.Option(help="Of the weights, the dropout and the order of the data.")] = 0,
    settings: Annotated[
        list[str] | None, typer.Option("--set", metavar="NAME=VALUE", help="Change the preset, as in dropout=0.2.")
    ] = None,
    accumulate: Annotated[int, typer.Option(help="Work through a batch in so many parts: less memory.")] = 1,
    track: Annotated[str | None, typer.Option(help="Also draw the figures in tensorboard or wandb.")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on from the folder's checkpoint.")] = False,
    start_from: Annotated[Path | None, typer.Option(help="Begin with the model of this finished run.")] = None,
    snapshots: Annotated[bool, typer.Option("--snapshots", help="Keep some attention (grammar corpus).")] = False,
    data_dir: DATA_DIR = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the figures of result.json at the end.")] = False,
) -> None:
    """Train a Transformer to translate, in minutes; Ctrl-C stops and keeps what was learned."""
    from course_lib.config import PRESETS
    from course_lib.corpora import load_corpus
    from course_lib.snapshots import SnapshotTaker
    from course_lib.training import train as run

    chosen = PRESETS[one_of("--preset", preset, PRESETS)]
    if minutes is None and epochs is None:
        minutes = 2.0
    try:
        changes = dict(_name_and_value(setting) for setting in settings or ())
        chosen = chosen.with_settings(changes)
        chosen.model_config(chosen.vocab_size, pad_id=0)
        config = chosen.train_config(
            minutes=minutes, epochs=epochs, device=device, precision=precision, seed=seed, accumulate=accumulate
        )
    except ValueError as error:
        raise CourseError(str(error)) from None
    data = load_corpus(corpus, direction, data_dir)

    if start_from and "vocab_size" in changes:
        raise CourseError("--set vocab_size: a run that begins with --start-from keeps the vocabulary of that model")
    if data.name == "grammar":
        for name in changes.keys() & {"vocab_size", "bpe_dropout"}:
            raise CourseError(f"--set {name}: the tokens of the grammar corpus are whole words")
    if snapshots and (data.name, data.direction) != ("grammar", "en-zh"):
        raise CourseError("--snapshots needs known word alignments: use it with --corpus grammar --direction en-zh")

    first_process = os.environ.get("RANK", "0") == "0"  # the others, under torchrun, work in silence
    try:
        with TrainingProgress(quiet=as_json or not first_process) as progress:
            callbacks = [progress, SnapshotTaker(out)] if snapshots else [progress]
            result = run(data, chosen, config, out, callbacks=callbacks, resume=resume, track=track,
                         start_from=start_from)  # fmt: skip
    except KeyboardInterrupt:  # before the first step, or for the second time
        if not (out / "run.json").exists():
            raise
        raise Stopped("stopped at once; to go on from the last checkpoint: the same command with --resume") from None
    if not first_process:
        return
    if result.get("interrupted"):
        raise Stopped(f"stopped at step {result['steps']}; to go on: the same command with --resume")
    if as_json:
        typer.echo(json.dumps(result, ensure_ascii=False, indent=2))
    else:
        bleu = result["bleu"]
        scores = f"BLEU {bleu['score']:.1f} ({bleu['lowercase_score']:.1f} in lower case) on val, greedy"
        seconds, val_loss = f"{result['seconds']:.0f} s", f"validation loss {result['val_loss']:.3f}"
        typer.echo(f"{result['steps']} steps in {seconds}: {val_loss}, {scores}")
        typer.echo(f'the model is in {out}: course translate --model {out} "…"')


def _name_and_value(setting: str) -> tuple[str, str]:
    name, equals, value = setting.partition("=")
    if not equals:
        raise ValueError(f"--set {setting} has no value: write NAME=VALUE, as in --set dropout=0.2")
    return name.strip(), value.strip()


class TrainingProgress:
    """A progress bar with live figures, and sample translations above it: a callback of ``train``."""

    def __init__(self, quiet: bool = False) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

        self.console = Console(stderr=True, quiet=quiet)
        self.bar = Progress(
            TextColumn("{task.percentage:>3.0f}%"), BarColumn(), TimeElapsedColumn(), TimeRemainingColumn(),
            TextColumn("{task.description}"), console=self.console, refresh_per_second=2,
        )  # fmt: skip
        self.goal: dict = {}
        self.val_loss = ""

    def __enter__(self) -> "TrainingProgress":
        return self

    def __exit__(self, *error) -> None:
        if self.goal:  # else nothing was shown: an error has its line to itself
            self.bar.stop()

    def __call__(self, event: str, record: dict) -> None:
        if event == "start":
            self.goal = record
            self.bar.start()
            self.task = self.bar.add_task("starting", total=1.0)
            self.console.print(
                f"{record['parameters']:,} parameters, {record['pairs']:,} pairs ({record['dropped']} too long), "
                f"{record['device']}, {record['precision']}"
            )
        elif event == "step":
            total = self.goal["total_steps"]
            done = record["step"] / total if total else record["seconds"] / (60 * self.goal["minutes"])
            text = f"step {record['step']} epoch {record['epoch'] + 1} loss {record['loss']:.3f}{self.val_loss} "
            text += f"lr {record['lr']:.2e} {record['tokens_per_second']:,.0f} tokens/s"
            self.bar.update(self.task, completed=min(1.0, done), description=text)
        elif event == "validation":
            self.val_loss = f" val {record['val_loss']:.3f}"
        elif event == "samples":
            for sample in record["samples"]:
                self.console.print(f"  {sample['source']}\n    → {sample['hypothesis']}\n    = {sample['reference']}",
                                   style="dim", markup=False, highlight=False)  # fmt: skip
        elif event == "end" and not record.get("interrupted"):
            self.bar.update(self.task, completed=1.0)
