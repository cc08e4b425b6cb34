"""The training loop: batches, loss, gradient, step; measured, saved, interruptible and resumable.

It runs through Hugging Face Accelerate, so the same code trains on a CPU, a GPU or an Apple chip, in one process or
in several (``torchrun``, ``accelerate launch``).
"""

import json
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from importlib.util import find_spec
from pathlib import Path

import torch
from torch import Tensor, nn

from course_lib import checkpoints
from course_lib.batches import BucketedBatches, Example, bucketed_batches, encode_pairs
from course_lib.checkpoints import CHECKPOINT, METRICS, MODEL, RESULT, RUN, TOKENIZER
from course_lib.config import DecodeConfig, Preset, TrainConfig
from course_lib.corpora.pairs import Corpus
from course_lib.errors import CourseError
from course_lib.evaluation import corpus_scores
from course_lib.losses import linear_cross_entropy, smoothed_cross_entropy
from course_lib.parts import REFERENCE, Parts
from course_lib.schedules import warmup_linear_rate
from course_lib.tokenizer import SubwordSampler, Tokenizer
from course_lib.transformer import Transformer
from course_lib.translator import Translator

Callback = Callable[[str, dict], None]
Loss = Callable[[Tensor, Tensor, float, int], Tensor]
LOG_EVERY = 10  # steps in one line of metrics; checkpoints hold what a line has gathered so far
N_SAMPLES = 3
TRACKERS = ("tensorboard", "wandb")


def train(
    corpus: Corpus,
    preset: Preset,
    config: TrainConfig,
    out: Path | str,
    *,
    parts: Parts = REFERENCE,
    callbacks: Sequence[Callback] = (),
    resume: bool = False,
    loss: Loss = smoothed_cross_entropy,
    track: str | None = None,
    start_from: Path | str | None = None,
) -> dict:
    """Train a translation model and leave it in a folder.

    Args:
        corpus: has at least the splits train and val.
        preset: the model's sizes and the size of its vocabulary.
        config: the recipe, with either minutes or epochs.
        out: the folder; what is in it is described in ``course_lib.checkpoints``.
        parts: what the model is built from.
        callbacks: called as ``callback(event, record)`` with "start", "step", "validation", "samples" and "end". The
            record of "start" has the ``translator`` whose model is being trained.
        resume: go on from the folder's checkpoint.
        loss: what is minimised, called with logits, targets, smoothing and pad_id.
        track: "tensorboard" or "wandb" also hands every measurement to TensorBoard or to Weights & Biases.
        start_from: the folder of a finished run of the same sizes, whose weights and tokenizer to begin with.

    Returns:
        The figures of ``result.json``; with ``"interrupted": True`` (and a checkpoint, but no result.json) when
        Ctrl-C stopped it.

    Raises:
        CourseError: the folder, its checkpoint, the device or the disk cannot be used; nothing is half-written.
    """
    return _Run(corpus, preset, config, Path(out), parts, callbacks, resume, loss, track, start_from).train()


class Objective(nn.Module):
    """A model with its loss: what is computed in a step, and what replicas are made of."""

    def __init__(self, model: Transformer, loss: Loss, smoothing: float, pad_id: int) -> None:
        super().__init__()
        self.model, self.loss, self.smoothing, self.pad_id = model, loss, smoothing, pad_id

    def forward(self, source: Tensor, target_in: Tensor, target_out: Tensor) -> Tensor:
        """The sum of the losses of all tokens that are not padding, in nats, 0-dim."""
        is_token = target_out != self.pad_id  # [B, T]
        if self.loss is smoothed_cross_entropy or not is_token.any():
            states = self.model.decode_states(target_in, self.model.encode(source), source)
            weight = self.model.output_weight
            return linear_cross_entropy(states[is_token], weight, target_out[is_token], self.smoothing)
        logits = self.model(source, target_in).float()
        return self.loss(logits, target_out, self.smoothing, self.pad_id) * is_token.sum()


class _Run:
    """One training run; ``train`` reads from top to bottom, the rest are its steps."""

    def __init__(self, corpus, preset, config, out, parts, callbacks, resume, loss, track, start_from) -> None:
        self.corpus, self.config, self.out, self.callbacks = corpus, config, out, callbacks
        start = _model_to_start_from(start_from, preset, parts) if start_from else None
        self.accelerator = _accelerator(config, track, out)
        self.is_main = self.accelerator.is_main_process
        self.resume = self._open_folder(resume)
        if self.resume:
            self.tokenizer = Tokenizer.load(out / TOKENIZER)
        elif start:
            self.tokenizer = start.tokenizer
        else:
            self.tokenizer = _train_tokenizer(corpus, preset.vocab_size)
        self.sampler = _sampler(self.tokenizer, config)
        self.model_config = preset.model_config(self.tokenizer.vocab_size, self.tokenizer.pad_id)
        self._write_or_compare_run()

        self.max_len = min(self.model_config.max_len, config.batch_tokens)
        self.examples, self.dropped = encode_pairs(corpus.splits["train"], self.tokenizer, self.max_len)
        self.val_examples, _ = encode_pairs(corpus.splits["val"], self.tokenizer, self.max_len)
        self.batches_of: tuple[int, BucketedBatches] | None = None
        if not self.examples:
            raise CourseError(f"no training pair of {corpus.name} fits batch_tokens={config.batch_tokens}")

        torch.manual_seed(config.seed)
        model = Transformer(self.model_config, parts)
        if start:
            model.load_state_dict(start.model.state_dict())
        self.n_parameters = sum(parameter.numel() for parameter in model.parameters())
        # Replicas share their weights (broadcast when wrapped) but not their dropout.
        torch.manual_seed(config.seed * 1000 + self.accelerator.process_index + 1)
        optimizer = torch.optim.Adam(model.parameters(), lr=0.0, betas=config.adam_betas, eps=1e-9, fused=True)
        objective = Objective(model, loss, config.smoothing, self.tokenizer.pad_id)
        self.objective, self.optimizer = self.accelerator.prepare(objective, optimizer)
        self.model: Transformer = self.accelerator.unwrap_model(self.objective).model

        self.step, self.epoch, self.batches_done, self.seconds, self.tokens = 0, 0, 0, 0.0, 0
        self.loss_sum, self.loss_tokens = 0.0, 0
        self.progress, self.epoch_began_at = 0.0, 0.0  # from 0 to 1
        self.val_loss: float | None = None

    # -- the loop -------------------------------------------------------------------------------------------------

    def train(self) -> dict:
        if self.resume:
            self._load_checkpoint()
        total_steps = max(1, round(self.config.epochs * len(self._epoch_batches(0)))) if self.config.epochs else None
        self._emit("start", parameters=self.n_parameters, pairs=len(self.examples), dropped=self.dropped,
                   total_steps=total_steps, minutes=self.config.minutes, device=str(self.accelerator.device),
                   precision=self._precision(), step=self.step, translator=self._translator())  # fmt: skip
        began = time.perf_counter() - self.seconds
        last_validation = last_checkpoint = self.seconds
        stopped = False
        with _stop_on_signal() as stop, self._metrics_file() as metrics, self._trackers():
            for batches in self._stream():
                self.seconds = time.perf_counter() - began
                self.progress, stopped = self._agree(self._progress(len(batches)), stop.is_set())
                if self.progress >= 1.0 or stopped:
                    break
                rate = warmup_linear_rate(self.step + 1, self.progress, self.config.learning_rate, self.config.warmup)
                self._update(batches, rate)
                if self.step % LOG_EVERY == 0:
                    self._log(metrics, rate)
                    if self.seconds - last_validation >= self.config.validate_every:
                        self._validate(metrics)
                        last_validation = self.seconds
                    if self.seconds - last_checkpoint >= self.config.checkpoint_every:
                        self._save_checkpoint()
                        last_checkpoint = self.seconds
            self.seconds = time.perf_counter() - began
            if stopped:
                self._save_checkpoint()
                result = self._figures() | {"interrupted": True}
            else:
                self._validate(metrics)
                result = self._finish()
        self._emit("end", **result)
        return result

    def _stream(self) -> Iterator[BucketedBatches]:
        """For each step the batches of its epoch, of which number ``batches_done`` is next: ``_update`` takes it."""
        while True:
            batches = self._epoch_batches(self.epoch)
            while self.batches_done < len(batches):
                yield batches
            self.batches_done, self.epoch_began_at = 0, self.progress
            self.epoch += 1

    def _epoch_batches(self, epoch: int) -> BucketedBatches:
        if self.batches_of is None or self.batches_of[0] != epoch:
            pairs, tokenizer, examples = self.corpus.splits["train"], self.tokenizer, self.examples
            if self.config.bpe_dropout:
                sampler = self.sampler.at(epoch, self.config.bpe_dropout * (1 - self.epoch_began_at))
                examples = encode_pairs(pairs, sampler, self.max_len)[0] or examples
            batches = bucketed_batches(
                examples, self.config.batch_tokens, pad_id=tokenizer.pad_id, bos_id=tokenizer.bos_id,
                eos_id=tokenizer.eos_id, seed=self.config.seed, epoch=epoch,
            )  # fmt: skip
            self.batches_of = epoch, batches
        return self.batches_of[1]

    def _progress(self, n_batches: int) -> float:
        """How much of the minutes or of the epochs is over, between 0 and 1 (or beyond); an epoch has n_batches."""
        if self.config.epochs:
            return (self.epoch + self.batches_done / n_batches) / self.config.epochs
        return self.seconds / (60 * self.config.minutes)

    def _agree(self, progress: float, stop: bool) -> tuple[float, bool]:
        """What all processes must see alike: the first one's clock, and anybody's Ctrl-C."""
        if self.accelerator.num_processes == 1:
            return progress, stop
        mine = [progress if self.is_main else 0.0, float(stop)]
        together = self.accelerator.reduce(torch.tensor(mine, dtype=torch.float32, device=self.accelerator.device))
        return float(together[0]), bool(together[1])

    def _update(self, batches: BucketedBatches, rate: float) -> None:
        """One step: the gradient of the mean loss over all tokens of the batch, of which each process has its part."""
        self.objective.train()
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        n_tokens, processes = batches.n_tokens(self.batches_done), self.accelerator.num_processes
        turns = self.config.accumulate
        for turn in range(turns):
            part = batches.part(self.batches_done, turn * processes + self.accelerator.process_index, turns * processes)
            part = part.to(self.accelerator.device)
            with nullcontext() if turn == turns - 1 else self.accelerator.no_sync(self.objective):
                loss = self.objective(part.source, part.target_in, part.target_out)
                self.accelerator.backward(loss * processes / n_tokens)  # replicas' gradients are averaged
            self.loss_sum += loss.detach().double()
        nn.utils.clip_grad_norm_(self.model.parameters(), self.config.clip)
        self.optimizer.step()
        self.optimizer.zero_grad()
        self.step += 1
        self.batches_done += 1
        self.tokens += n_tokens
        self.loss_tokens += n_tokens

    # -- measuring ------------------------------------------------------------------------------------------------

    def _log(self, metrics, rate: float) -> None:
        total = self.accelerator.reduce(torch.as_tensor(self.loss_sum))
        mean, self.loss_sum, self.loss_tokens = float(total) / self.loss_tokens, 0.0, 0
        self._record(metrics, "step", loss=mean, lr=rate, tokens_per_second=self.tokens / self.seconds)

    def _validate(self, metrics) -> None:
        """The validation loss, without smoothing, and a few sentences as the model translates them now."""
        if not self.is_main:
            return
        self.val_loss = mean_loss(self.model, self.val_examples, self.tokenizer, self.config.batch_tokens)
        self._record(metrics, "validation", val_loss=self.val_loss)
        pairs = self.corpus.splits["val"][:: max(1, len(self.corpus.splits["val"]) // N_SAMPLES)][:N_SAMPLES]
        translator = self._translator()
        outputs = translator.translate_all([pair.source for pair in pairs], DecodeConfig(beam_size=1))
        samples = [
            {"source": pair.source, "reference": translator.finish(pair.target), "hypothesis": output}
            for pair, output in zip(pairs, outputs, strict=True)
        ]
        self._record(metrics, "samples", samples=samples)

    def _record(self, metrics, event: str, **values) -> None:
        record = {"event": event, "step": self.step, "epoch": self.epoch, "seconds": round(self.seconds, 3), **values}
        if self.is_main:
            try:
                metrics.write((json.dumps(record, ensure_ascii=False) + "\n").encode())
            except OSError as error:
                raise checkpoints.not_written(self.out / METRICS, error) from None
        self.accelerator.log({name: value for name, value in values.items() if name != "samples"}, self.step)
        self._emit(event, **record)

    @contextmanager
    def _trackers(self):
        self.accelerator.init_trackers("tracked")
        try:
            yield
        finally:
            for tracker in self.accelerator.trackers:
                tracker.finish()

    def _emit(self, event: str, /, **record) -> None:
        if self.is_main:
            for callback in self.callbacks:
                callback(event, record)

    def _translator(self) -> Translator:
        return Translator(self.model, self.tokenizer, self.corpus.name, self.corpus.direction)

    def _precision(self) -> str:
        return "bf16" if self.accelerator.mixed_precision == "bf16" else "fp32"

    def _figures(self) -> dict:
        return {
            "parameters": self.n_parameters,
            "seconds": round(self.seconds, 2),
            "epochs": round(self.epoch + self.batches_done / len(self._epoch_batches(self.epoch)), 3),
            "steps": self.step,
            "target_tokens_per_second": round(self.tokens / self.seconds, 1) if self.seconds else 0.0,
            "val_loss": self.val_loss,
            "device": self.accelerator.device.type,
            "precision": self._precision(),
            "seed": self.config.seed,
        }

    def _finish(self) -> dict:
        """Save the weights, score the validation split (greedily), write result.json, drop the checkpoint."""
        if self.is_main:
            figures = self._figures()
            checkpoints.write_tensors(self.out / MODEL, self.model.state_dict())
            scores = score_split(self._translator(), self.corpus, "val", DecodeConfig(beam_size=1))
            figures |= {"bleu": scores["bleu"], "bleu_split": "val", "bleu_beam": 1, "pairs_dropped": self.dropped}
            checkpoints.write_json(self.out / RESULT, figures)
            (self.out / CHECKPOINT).unlink(missing_ok=True)
        self.accelerator.wait_for_everyone()
        return checkpoints.read_json(self.out / RESULT)

    # -- the folder -----------------------------------------------------------------------------------------------

    def _open_folder(self, resume: bool) -> bool:
        """Make the folder, or find out that there is a checkpoint to go on from."""
        if (self.out / RESULT).exists():
            raise CourseError(f"{self.out} holds a finished run: choose another --out, or remove the folder")
        has_run = (self.out / RUN).exists()
        if has_run and not resume:
            raise CourseError(f"{self.out} holds an unfinished run: add --resume to go on, or choose another --out")
        if resume and not has_run:
            raise CourseError(f"{self.out} holds no run to resume: leave --resume out to begin one")
        try:
            self.out.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise CourseError(f"the folder {self.out} cannot be made: {error.strerror}") from None
        self.accelerator.wait_for_everyone()  # everybody has looked before the first one writes
        return has_run

    def _write_or_compare_run(self) -> None:
        run = {
            "format": checkpoints.FORMAT,
            "corpus": self.corpus.name,
            "direction": self.corpus.direction,
            "model": self.model_config.to_dict(),
            "train": self.config.to_dict(),
        }
        if self.resume:
            earlier, now = checkpoints.read_run(self.out), json.loads(json.dumps(run))
            for part in ("corpus", "direction", "model", "train"):
                if earlier[part] != now[part]:
                    raise CourseError(f"{self.out} was begun otherwise: {_first_difference(part, earlier, now)}")
        elif self.is_main:
            checkpoints.write_whole(self.out / TOKENIZER, self.tokenizer.save)
            checkpoints.write_json(self.out / RUN, run)

    @contextmanager
    def _metrics_file(self):
        """metrics.jsonl, cut back to where the checkpoint stands."""
        path = self.out / METRICS
        if self.is_main and path.exists():
            kept = [line for line in path.read_text("utf-8").splitlines() if _step_of(line) <= self.step]
            checkpoints.write_whole(path, lambda part: part.write_text("".join(f"{line}\n" for line in kept), "utf-8"))
        try:
            file = open(path, "ab", buffering=0)
        except OSError as error:
            raise checkpoints.not_written(path, error) from None
        with file:
            yield file

    def _save_checkpoint(self) -> None:
        random_states = {"rng": torch.get_rng_state()}
        if self.accelerator.device.type == "cuda":
            random_states["device_rng"] = torch.cuda.get_rng_state()
        gathered = {  # [processes, bytes]
            name: self.accelerator.gather(value.to(self.accelerator.device)[None])
            for name, value in random_states.items()
        }
        loss_sum = float(self.accelerator.reduce(torch.as_tensor(self.loss_sum)))  # of all processes
        if self.is_main:
            state = {
                name: getattr(self, name)
                for name in (
                    "step", "epoch", "batches_done", "progress", "epoch_began_at", "seconds", "tokens", "loss_tokens",
                    "val_loss",
                )
            }  # fmt: skip
            state |= {"loss_sum": loss_sum, "processes": self.accelerator.num_processes}
            tensors = {f"model.{name}": tensor for name, tensor in self.model.state_dict().items()}
            tensors |= checkpoints.flatten_optimizer(self.optimizer.optimizer) | gathered
            checkpoints.write_tensors(self.out / CHECKPOINT, tensors, state)

    def _load_checkpoint(self) -> None:
        if not (self.out / CHECKPOINT).exists():
            return  # stopped before the first checkpoint: begin again
        tensors, state = checkpoints.read_tensors(self.out / CHECKPOINT)
        if "processes" not in state:
            raise CourseError(f"{self.out / CHECKPOINT} is no checkpoint: remove it, and --resume begins again")
        if state.pop("processes") != self.accelerator.num_processes:
            raise CourseError(f"{self.out / CHECKPOINT} was made with another number of processes: use the same again")
        self.model.load_state_dict({name[6:]: t for name, t in tensors.items() if name.startswith("model.")})
        checkpoints.restore_optimizer(self.optimizer.optimizer, tensors)
        torch.set_rng_state(tensors["rng"][self.accelerator.process_index].clone())  # a row is not read from its start
        if "device_rng" in tensors:
            torch.cuda.set_rng_state(tensors["device_rng"][self.accelerator.process_index].clone())
        for name, value in state.items():
            setattr(self, name, value)
        if not self.is_main:
            self.loss_sum = 0.0  # the first process has everybody's


def _train_tokenizer(corpus: Corpus, vocab_size: int) -> Tokenizer:
    texts = [text for pair in corpus.splits["train"] for text in (pair.source, pair.target)]
    if corpus.name == "grammar":
        return Tokenizer.train_words(texts)
    try:
        return Tokenizer.train_bpe(texts, vocab_size)
    except ValueError as error:
        raise CourseError(str(error)) from None


def _model_to_start_from(folder: Path | str, preset: Preset, parts: Parts) -> checkpoints.SavedModel:
    start = checkpoints.load_model(folder, parts)
    there = start.model.config.to_dict()
    wanted = preset.model_config(start.tokenizer.vocab_size, start.tokenizer.pad_id).to_dict()
    for name in wanted.keys() - {"dropout"}:
        if there[name] != wanted[name]:
            raise CourseError(f"the model in {folder} has {name}={there[name]}, not {wanted[name]}: use the same sizes")
    return start


def _sampler(tokenizer: Tokenizer, config: TrainConfig) -> SubwordSampler | None:
    try:
        return SubwordSampler(tokenizer, config.seed) if config.bpe_dropout else None
    except ValueError as error:
        raise CourseError(str(error)) from None


def _accelerator(config: TrainConfig, track: str | None, out: Path):
    """An Accelerator for the device, precision and tracker that were asked for, and that are there.

    Raises:
        CourseError: the device or the tracker is not there, or the device cannot compute in the precision.
    """
    if track is not None and track not in TRACKERS:
        raise CourseError(f"track={track!r} is none of {', '.join(TRACKERS)}")
    if track is not None and find_spec(track) is None:
        raise CourseError(f"the package {track} is not installed: pip install {track}, or train without it")
    from accelerate import Accelerator, PartialState
    from accelerate.state import AcceleratorState

    found = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if not found.get(config.device, True):
        raise CourseError(f"this machine has no device {config.device!r}: use --device auto or --device cpu")
    device = config.device if config.device != "auto" else next(d for d in ("cuda", "mps", "cpu") if found[d])
    if config.precision == "bf16" and not supports_bf16(device):
        raise CourseError(f"device {device!r} does not compute in bf16: use --precision fp32")
    fast = supports_bf16(device) if config.precision == "auto" else config.precision == "bf16"
    if PartialState._shared_state and PartialState().num_processes == 1:  # a second run in the same notebook
        AcceleratorState._reset_state(reset_partial_state=True)
    return Accelerator(cpu=device == "cpu", mixed_precision="bf16" if fast else "no", log_with=track, project_dir=out)


def supports_bf16(device: str) -> bool:
    """Whether the device multiplies bf16 matrices in hardware."""
    if device == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    if device == "cpu":
        checks = (getattr(torch.cpu, name, None) for name in ("_is_amx_tile_supported", "_is_avx512_bf16_supported"))
        return any(check() for check in checks if check is not None)
    return False


@torch.inference_mode()
def mean_loss(model: Transformer, examples: Sequence[Example], tokenizer: Tokenizer, batch_tokens: int) -> float:
    """Cross-entropy in nats a token over all examples: evaluation mode, no smoothing, padding not counted."""
    was_training = model.training
    model.eval()
    device = model.embedding.weight.device
    ids = dict(pad_id=tokenizer.pad_id, bos_id=tokenizer.bos_id, eos_id=tokenizer.eos_id)
    total, n_tokens = 0.0, 0
    for batch in bucketed_batches(examples, max(batch_tokens, model.config.max_len), shuffle=False, **ids):
        logits = model(batch.source.to(device), batch.target_in.to(device))
        loss = smoothed_cross_entropy(logits.float(), batch.target_out.to(device), 0.0, tokenizer.pad_id)
        total += float(loss) * batch.n_tokens
        n_tokens += batch.n_tokens
    model.train(was_training)
    return total / n_tokens


def score_split(translator: Translator, corpus: Corpus, split: str, decode: DecodeConfig, progress=None) -> dict:
    """Translate a split and score it: ``{"bleu": {…}, "chrf", "seconds", "tokens_per_second", "exact"}``.

    Raises:
        CourseError: the corpus has no such split.
    """
    if split not in corpus.splits:
        raise CourseError(f"the corpus {corpus.name} has no split {split!r}: it has {', '.join(corpus.splits)}")
    pairs = corpus.splits[split]
    began = time.perf_counter()
    ids = translator.search([translator.encode(pair.source) for pair in pairs], decode, progress)
    seconds = time.perf_counter() - began
    outputs = [translator.finish(translator.tokenizer.decode(sentence)) for sentence in ids]
    references = [translator.finish(pair.target) for pair in pairs]
    exact = sum(output == reference for output, reference in zip(outputs, references, strict=True)) / len(pairs)
    return corpus_scores(outputs, references, translator.target_language) | {
        "exact": exact,
        "seconds": round(seconds, 2),
        "tokens_per_second": round(sum(len(sentence) + 1 for sentence in ids) / seconds, 1),
    }


@contextmanager
def _stop_on_signal() -> Iterator[threading.Event]:
    """Turn the first Ctrl-C (or a notebook's interrupt, or SIGTERM) into an event; a second one acts as usual."""
    stop = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def handle(number, frame) -> None:
        stop.set()
        signal.signal(number, before[number])

    for number in before:
        signal.signal(number, handle)
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _first_difference(part: str, earlier: dict, now: dict) -> str:
    then, today = earlier[part], now[part]
    if isinstance(then, dict):
        name = next(name for name in {**then, **today} if then.get(name) != today.get(name))
        return f"{name} was {then.get(name)} and is now {today.get(name)}; give the same options again"
    return f"{part} was {then} and is now {today}; give the same options again"


def _step_of(line: str) -> float:
    try:
        return json.loads(line)["step"]
    except (ValueError, KeyError):
        return float("inf")  # cut off in the middle of a write
