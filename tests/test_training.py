"""A training run from its first step to its folder, with everything that can go wrong on the way."""

import errno
import json
import os
import random
import shutil
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from course_lib import checkpoints, training
from course_lib.checkpoints import CHECKPOINT, METRICS, MODEL, RESULT, RUN, TOKENIZER
from course_lib.cli import main
from course_lib.config import PRESETS, DecodeConfig, Preset, TrainConfig
from course_lib.corpora.pairs import Corpus, Pair
from course_lib.errors import CourseError
from course_lib.parts import Parts
from course_lib.tokenizer import Tokenizer
from course_lib.training import score_split, train
from course_lib.translator import Translator

SMALL = Preset(
    "for tests",
    vocab_size=60,
    model=dict(d_model=64, n_heads=4, d_ff=128, n_layers=1, dropout=0.02, max_len=40),
    training=dict(batch_tokens=400, learning_rate=6e-3, warmup=20),
)


def reversal(n: int = 1200) -> Corpus:
    """Spelled-out digits to translate into the same digits backwards."""
    words = "null eins zwei drei vier fünf".split()
    rng, seen, pairs = random.Random(0), set(), []
    while len(pairs) < n:
        digits = tuple(rng.randrange(6) for _ in range(rng.randrange(2, 6)))
        if digits not in seen:
            seen.add(digits)
            pairs.append(Pair(" ".join(words[d] for d in digits), " ".join(words[d] for d in reversed(digits))))
    return Corpus("reversal", "de-ed", {"train": pairs[40:], "val": pairs[:40], "test": pairs[:20]})


def settings(**options) -> TrainConfig:
    return SMALL.train_config(**({"epochs": 4, "device": "cpu", "precision": "fp32"} | options))


def losses(folder) -> list[tuple[int, float]]:
    lines = [json.loads(line) for line in (folder / METRICS).read_text().splitlines()]
    return [(line["step"], line["loss"]) for line in lines if line["event"] == "step"]


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A run of 20 epochs: the folder and what its callback heard."""
    folder, heard = tmp_path_factory.mktemp("runs") / "deep" / "reversal", []
    result = train(reversal(), SMALL, settings(epochs=20, validate_every=0.5), folder,
                   callbacks=[lambda event, record: heard.append((event, record))])  # fmt: skip
    return folder, heard, result


def test_a_run_learns_and_leaves_what_it_promises(finished):
    folder, heard, result = finished
    assert sorted(path.name for path in folder.iterdir()) == sorted([METRICS, MODEL, RESULT, RUN, TOKENIZER])
    assert json.loads((folder / RESULT).read_text()) == json.loads(json.dumps(result))
    assert {"parameters", "seconds", "epochs", "steps", "target_tokens_per_second", "val_loss", "bleu", "device",
            "precision", "seed"} <= result.keys()  # fmt: skip
    assert result["bleu"].keys() == {"score", "lowercase_score", "signature"}
    assert result["epochs"] == 20 and result["val_loss"] < 0.3 and result["bleu"]["score"] > 90
    events = [event for event, _ in heard]
    assert events[0] == "start" and events[-1] == "end" and {"step", "validation", "samples"} <= set(events)
    steps = [record for event, record in heard if event == "step"]
    assert steps[-1]["loss"] < steps[0]["loss"] / 2
    assert max(record["lr"] for record in steps) > 4e-3 and steps[-1]["lr"] < 2e-4, "warm-up, then down to zero"


def test_a_run_can_begin_with_the_model_of_another(finished, tmp_path):
    preset, config = SMALL.with_settings({"dropout": "0.03"}), settings(epochs=0.2, learning_rate=1e-6)
    fresh = train(reversal(), preset, config, tmp_path / "fresh")["val_loss"]
    further = train(reversal(), preset, config, tmp_path / "further", start_from=finished[0])["val_loss"]
    assert further == pytest.approx(finished[2]["val_loss"], abs=0.02) and further < fresh / 4
    assert (tmp_path / "further" / TOKENIZER).read_text() == (finished[0] / TOKENIZER).read_text()
    with pytest.raises(CourseError, match="has n_layers=1, not 2: use the same sizes"):
        other = SMALL.with_settings({"n_layers": "2"})
        train(reversal(), other, settings(), tmp_path / "other", start_from=finished[0])
    with pytest.raises(CourseError, match=r"is .* a folder that `course train --out` made"):
        train(reversal(), SMALL, settings(), tmp_path / "other", start_from=tmp_path)
    assert not (tmp_path / "other").exists()


def test_the_model_translates_and_is_scored(finished):
    translator = Translator.load(finished[0])
    assert translator.translate("eins zwei drei") == "drei zwei eins"
    assert translator.translate("eins zwei drei", DecodeConfig(beam_size=1)) == "drei zwei eins"
    assert translator.unknown_words("eins Zebra") == ["Zebra"]
    source, target, maps = translator.attend("eins zwei drei")
    assert maps["decoder.layers.0.cross_attention"].shape == (1, 4, len(target), len(source))
    assert target[-1] == source[-1] == "[EOS]"
    corpus = reversal()
    scores = score_split(translator, corpus, "test", DecodeConfig())
    assert scores["bleu"]["score"] > 90 and scores["exact"] > 0.8 and scores["tokens_per_second"] > 0
    with pytest.raises(CourseError, match="no split 'later': it has train, val, test"):
        score_split(translator, corpus, "later", DecodeConfig())


@pytest.mark.parametrize(("text", "message"), [("  ", "is empty"), ("eins " * 60, "reads at most 40")])
def test_sentences_that_cannot_be_translated(finished, text, message):
    with pytest.raises(CourseError, match=message):
        Translator.load(finished[0]).translate(text)


def test_seeds_decide_everything(tmp_path):
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        train(reversal(), SMALL, settings(epochs=1, seed=seed), tmp_path / name)
    assert losses(tmp_path / "a") == losses(tmp_path / "b") != losses(tmp_path / "c")


class Crash(BaseException):
    pass


def crash_at(step):
    def callback(event, record):
        if event == "step" and record["step"] == step:
            raise Crash

    return callback


def interrupt_at(step):
    def callback(event, record):
        if event == "step" and record["step"] == step:
            signal.raise_signal(signal.SIGINT)

    return callback


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory):
    folder = tmp_path_factory.mktemp("whole")
    train(reversal(), SMALL, settings(), folder / "run")
    return losses(folder / "run")


def test_killed_and_resumed_gives_the_same_losses(tmp_path, uninterrupted):
    config, folder = settings(checkpoint_every=1e-6), tmp_path / "run"
    for step in (20, 40):
        with pytest.raises(Crash):
            train(reversal(), SMALL, config, folder, callbacks=[crash_at(step)], resume=step > 20)
        (folder / METRICS).open("a").write('{"event": "step", "st')  # cut off in the middle of a line
    result = train(reversal(), SMALL, config, folder, resume=True)
    assert losses(folder) == uninterrupted and result["epochs"] == 4
    assert not (folder / CHECKPOINT).exists()


def test_interrupted_saves_and_resumes(tmp_path, uninterrupted):
    folder, before = tmp_path / "run", signal.getsignal(signal.SIGINT)
    result = train(reversal(), SMALL, settings(), folder, callbacks=[interrupt_at(30)])
    assert result["interrupted"] and result["steps"] == 30
    assert (folder / CHECKPOINT).exists() and not (folder / RESULT).exists()
    assert signal.getsignal(signal.SIGINT) == before
    with pytest.raises(CourseError, match="has no finished model yet"):
        Translator.load(folder)
    train(reversal(), SMALL, settings(), folder, resume=True)
    assert losses(folder) == uninterrupted


def test_words_cut_up_anew_in_each_epoch(tmp_path, monkeypatch):
    preset, config = replace(SMALL, vocab_size=120), settings(epochs=2.5, bpe_dropout=0.2)
    for name, changed in (("plain", {"bpe_dropout": 0.0}), ("whole", {}), ("resumed", {})):
        train(reversal(), preset, replace(config, **changed), tmp_path / name,
              callbacks=[interrupt_at(30)] if name == "resumed" else [])  # fmt: skip
    train(reversal(), preset, config, tmp_path / "resumed", resume=True)
    assert losses(tmp_path / "resumed") == losses(tmp_path / "whole") != losses(tmp_path / "plain")
    plain, whole = (checkpoints.read_json(tmp_path / name / RESULT) for name in ("plain", "whole"))
    assert whole["epochs"] == pytest.approx(2.5, abs=0.05) and plain["epochs"] == pytest.approx(2.5, abs=0.05)
    assert whole["steps"] > plain["steps"]  # of as many tokens each, and there are more of them


def test_minutes_are_kept_and_the_rate_ends_at_zero(tmp_path):
    result = train(reversal(), SMALL, settings(epochs=None, minutes=0.05), tmp_path / "run")
    assert 3.0 <= result["seconds"] < 6.0
    steps = [json.loads(line) for line in (tmp_path / "run" / METRICS).read_text().splitlines()]
    assert [line for line in steps if line["event"] == "step"][-1]["lr"] < 1e-3


def test_a_model_of_own_parts_trains_the_same_way(tmp_path):
    own = Parts(softmax=lambda x: x.softmax(-1))
    train(reversal(), SMALL, settings(epochs=1), tmp_path / "own", parts=own)
    train(reversal(), SMALL, settings(epochs=1), tmp_path / "reference")
    for mine, reference in zip(losses(tmp_path / "own"), losses(tmp_path / "reference"), strict=True):
        assert mine == pytest.approx(reference, abs=1e-3)


def test_figures_for_tensorboard(tmp_path, monkeypatch):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    train(reversal(), SMALL, settings(epochs=1), tmp_path / "run", track="tensorboard")
    events = EventAccumulator(str(tmp_path / "run/tracked")).Reload()
    drawn = [(event.step, event.value) for event in events.Scalars("loss")]
    assert drawn == [(step, pytest.approx(loss)) for step, loss in losses(tmp_path / "run")] and drawn
    assert len(events.Scalars("val_loss")) == 1
    monkeypatch.setattr(training, "find_spec", lambda name: None)
    with pytest.raises(CourseError, match="the package wandb is not installed: pip install wandb, or train without it"):
        train(reversal(), SMALL, settings(), tmp_path / "other", track="wandb")
    assert not (tmp_path / "other").exists()


# -- what can go wrong --------------------------------------------------------------------------------------------


def begun(folder, finished_folder):
    """A folder as an unfinished run leaves it."""
    shutil.copytree(finished_folder, folder)
    (folder / RESULT).unlink()
    return folder


def test_folders_are_not_overwritten_or_confused(finished, tmp_path):
    with pytest.raises(CourseError, match="holds a finished run"):
        train(reversal(), SMALL, settings(), finished[0])
    with pytest.raises(CourseError, match="no run to resume"):
        train(reversal(), SMALL, settings(), tmp_path, resume=True)
    folder = begun(tmp_path / "begun", finished[0])
    with pytest.raises(CourseError, match="add --resume"):
        train(reversal(), SMALL, settings(), folder)
    with pytest.raises(CourseError, match="seed was 0 and is now 7"):
        train(reversal(), SMALL, settings(epochs=20, validate_every=0.5, seed=7), folder, resume=True)


def test_a_damaged_checkpoint_is_named(finished, tmp_path):
    folder = begun(tmp_path / "begun", finished[0])
    (folder / CHECKPOINT).write_bytes((folder / MODEL).read_bytes()[:-100])
    with pytest.raises(CourseError, match=r"checkpoint.safetensors is damaged or cut off"):
        train(reversal(), SMALL, settings(epochs=20, validate_every=0.5), folder, resume=True)
    shutil.copy(folder / MODEL, folder / CHECKPOINT)
    with pytest.raises(CourseError, match=r"checkpoint.safetensors is no checkpoint: remove it"):
        train(reversal(), SMALL, settings(epochs=20, validate_every=0.5), folder, resume=True)


def test_a_damaged_or_foreign_model_is_named(finished, tmp_path):
    folder = tmp_path / "model"
    shutil.copytree(finished[0], folder)
    whole = (folder / MODEL).read_bytes()
    (folder / MODEL).write_bytes(whole[: len(whole) // 2])
    with pytest.raises(CourseError, match="damaged or cut off"):
        Translator.load(folder)
    tensors, _ = checkpoints.read_tensors(finished[0] / MODEL)
    checkpoints.write_tensors(folder / MODEL, {"embedding.weight": tensors["embedding.weight"]})
    with pytest.raises(CourseError, match="does not fit"):
        Translator.load(folder)
    (folder / MODEL).write_bytes(whole)
    run = json.loads((folder / RUN).read_text())
    for change, message in [
        ({"format": 99}, "has format 99; this version of the course reads 1"),
        ({"model": run["model"] | {"n_heads": 5}}, "d_model=64 is not divisible by n_heads=5"),
        ({"model": run["model"] | {"d_model": "wide"}}, "does not fit"),
        ({"model": []}, "does not fit"),
    ]:
        (folder / RUN).write_text(json.dumps(run | change))
        with pytest.raises(CourseError, match=message):
            Translator.load(folder)
    (folder / RUN).write_text(json.dumps({name: run[name] for name in run if name != "corpus"}))
    with pytest.raises(CourseError, match=r"run.json is damaged: it lacks corpus"):
        Translator.load(folder)
    (folder / RUN).write_text(json.dumps(run))
    Tokenizer.train_words(["one two three"]).save(folder / TOKENIZER)
    with pytest.raises(CourseError, match=r"tokenizer.json has 7 entries, the model \d+: they are not of the same run"):
        Translator.load(folder)
    with pytest.raises(CourseError, match=r"does not exist: is .* a folder that"):
        Translator.load(tmp_path / "nowhere")


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such modes")
def test_others_may_read_what_was_written(tmp_path):
    checkpoints.write_tensors(tmp_path / "x.safetensors", {"a": torch.ones(3)})
    (tmp_path / "y").touch()
    assert (tmp_path / "x.safetensors").stat().st_mode == (tmp_path / "y").stat().st_mode


def test_a_full_disk_keeps_the_last_checkpoint(tmp_path, monkeypatch):
    path = tmp_path / "x.safetensors"
    checkpoints.write_tensors(path, {"a": torch.ones(3)}, {"step": 1})

    def full(file, content):
        file.write_text("half")
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch, pytest.raises(CourseError) as error:
        patch.setattr(Path, "write_bytes", full)
        checkpoints.write_tensors(path, {"a": torch.zeros(3)})
    assert "could not be written (No space left on device): free some disk" in str(error.value)
    assert list(tmp_path.iterdir()) == [path]
    tensors, state = checkpoints.read_tensors(path)
    assert tensors["a"].tolist() == [1, 1, 1] and state == {"step": 1}


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="/dev/full, a disk that is always full, is Linux's")
@pytest.mark.parametrize("name", [TOKENIZER, METRICS])
def test_a_disk_that_is_full_from_the_start(name, tmp_path, monkeypatch):
    if name == TOKENIZER:
        (tmp_path / f"{name}.part").symlink_to("/dev/full")
    else:
        monkeypatch.setattr(training, "open", lambda *_, **options: open("/dev/full", "ab", **options), raising=False)
    with pytest.raises(CourseError, match=rf"{name} could not be written \(No space left on device\): free some disk"):
        train(reversal(), SMALL, settings(), tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == (set() if name == TOKENIZER else {RUN, TOKENIZER})


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without CUDA")
def test_a_device_that_is_not_there(tmp_path):
    with pytest.raises(CourseError, match="no device 'cuda'"):
        train(reversal(), SMALL, settings(device="cuda"), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_precision_is_what_the_device_supports(tmp_path, monkeypatch):
    monkeypatch.setattr(training, "supports_bf16", lambda device: False)
    with pytest.raises(CourseError, match="'cpu' does not compute in bf16"):
        train(reversal(), SMALL, settings(precision="bf16"), tmp_path / "a")
    assert train(reversal(), SMALL, settings(epochs=1, precision="auto"), tmp_path / "b")["precision"] == "fp32"
    monkeypatch.setattr(training, "supports_bf16", lambda device: True)
    assert train(reversal(), SMALL, settings(epochs=1, precision="auto"), tmp_path / "c")["precision"] == "bf16"


# -- the command --------------------------------------------------------------------------------------------------


@pytest.fixture
def tsv(tmp_path):
    path = tmp_path / "reversal.tsv"
    corpus = reversal(500)
    path.write_text("".join(f"{p.source}\t{p.target}\n" for split in ("val", "train") for p in corpus.splits[split]))
    return path


def test_train_translate_evaluate(tsv, tmp_path, capsys, monkeypatch):
    out = tmp_path / "run"
    command = ["train", "--corpus", str(tsv), "--direction", "de-ed", "--preset", "tiny", "--out", str(out)]
    settings = ["--set", "dropout=0.04", "--set", "positions=rotary"]
    assert main([*command, "--epochs", "60", "--device", "cpu", "--json", *settings]) == 0
    assert json.loads(capsys.readouterr().out)["steps"] > 0
    model = json.loads((out / "run.json").read_text())["model"]
    assert (model["dropout"], model["positions"]) == (0.04, "rotary")
    assert main([*command[:-1], str(tmp_path / "few"), "--epochs", "1", "--set", "vocab_size=4"]) == 2
    assert "vocab_size=4 is too small" in capsys.readouterr().err
    assert main([*command, "--epochs", "1"]) == 2
    assert "holds a finished run" in capsys.readouterr().err
    further = [*command[:-1], str(tmp_path / "further"), "--start-from", str(out), "--device", "cpu", "--epochs", "1"]
    assert main([*further, *settings, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["val_loss"] > 0

    assert main(["translate", "--model", str(out), "eins zwei", "--beam", "2"]) == 0
    assert capsys.readouterr().out.strip()
    lines = subprocess.run(
        [sys.executable, "-m", "course_lib.cli", "translate", "--model", str(out)],
        input="eins zwei\n\ndrei\n", capture_output=True, text=True, check=True,
    ).stdout.split("\n")  # fmt: skip
    assert len(lines) == 4 and lines[0] and not lines[1] and lines[2] and not lines[3]

    assert main(["evaluate", "--model", str(out), "--corpus", str(tsv), "--split", "val", "--beam", "1", "--json"]) == 0
    scores = json.loads(capsys.readouterr().out)
    keys = {"corpus", "direction", "split", "sentences", "bleu", "chrf", "seconds", "tokens_per_second"}
    assert keys <= scores.keys()
    assert scores["split"] == "val" and scores["bleu"].keys() == {"score", "lowercase_score", "signature"}


def test_settings_change_a_preset_and_leave_the_original():
    small = PRESETS["small"]
    texts = {"dropout": "0.3", "n_layers": "2", "vocab_size": "900", "tied_embeddings": "false"}
    changed = small.with_settings(texts | {"positions": "alibi", "warmup": "7", "adam_betas": "0.8,0.9"})
    model, recipe = changed.model_config(changed.vocab_size, 0), changed.train_config(epochs=1)
    assert (model.dropout, model.n_layers, model.vocab_size, model.tied_embeddings) == (0.3, 2, 900, False)
    assert (model.positions, recipe.warmup, recipe.adam_betas) == ("alibi", 7, (0.8, 0.9))
    assert model.d_model == small.model["d_model"] and "warmup" in small.training
    assert small == PRESETS["small"] and small.model["dropout"] != 0.3


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("train --preset huge --out X", "--preset 'huge' does not exist: choose tiny, small, base"),
        ("train --corpus nothing --out X", "unknown corpus 'nothing'"),
        ("train --corpus multi30k --direction de-fr --out X", "no direction 'de-fr'"),
        ("train --minutes 1 --epochs 1 --out X", "give either minutes or epochs"),
        ("train --minutes -1 --out X", "minutes=-1.0 must be positive"),
        ("train --epochs nan --out X", "epochs=nan must be positive"),
        ("train --minutes inf --out X", "minutes=inf must be positive and finite"),
        ("train --accumulate 0 --out X", "accumulate=0 must be positive"),
        ("train --set dropout --out X", "--set dropout has no value: write NAME=VALUE"),
        ("train --set droput=0.2 --out X", "there is no setting 'droput': choose adam_betas, batch_tokens"),
        ("train --set seed=3 --out X", "there is no setting 'seed'"),
        ("train --set d_model=big --out X", "d_model=big is not a whole number"),
        ("train --set d_model=130 --out X", "d_model=130 is not divisible by n_heads=4"),
        ("train --set vocab_size=900 --out X", "--set vocab_size: the tokens of the grammar corpus are whole words"),
        ("train --set vocab_size=900 --start-from Y --out X", "keeps the vocabulary of that model"),
        ("train --start-from Y --out X", "Y/run.json does not exist"),
        ("train --set bpe_dropout=0.1 --out X", "--set bpe_dropout: the tokens of the grammar corpus are whole words"),
        ("train --set bpe_dropout=1 --out X", "bpe_dropout=1.0 must be at least 0 and below 1"),
        ("train --set dropout=1.5 --out X", "dropout=1.5 must be at least 0 and below 1"),
        ("train --set tied_embeddings=maybe --out X", "tied_embeddings=maybe is not true or false"),
        ("train --set positions=left --out X", "positions='left' is none of"),
        ("train --set adam_betas=0.9 --out X", "adam_betas=(0.9,) must be two numbers"),
        ("train --track paper --out X", "track='paper' is none of tensorboard, wandb"),
        ("train --seed -3 --out X", "seed=-3 must be at least 0"),
        ("train --device tpu --out X", "device='tpu' is none of"),
        pytest.param("train --device mps --out X", "no device 'mps'", marks=pytest.mark.skipif(
            torch.backends.mps.is_available(), reason="this machine has an Apple GPU")),
        ("train", "--out"),
        ("translate --model X hello", "X/run.json does not exist"),
        ("translate --beam 0 hello", "--beam"),
        ("evaluate --model X", "X/run.json does not exist"),
    ],
)
def test_bad_options_give_one_line_and_status_2(arguments, message, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(arguments.split()) == 2
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_ctrl_c_says_how_to_go_on(tsv, tmp_path):
    command = [sys.executable, "-m", "course_lib.cli", "train", "--corpus", str(tsv), "--direction", "de-ed",
               "--epochs", "500", "--device", "cpu", "--out", str(tmp_path / "run")]  # fmt: skip
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    metrics = tmp_path / "run" / METRICS
    try:
        while process.poll() is None and not (metrics.exists() and metrics.stat().st_size):
            pass
        process.send_signal(signal.SIGINT)
        error = process.communicate(timeout=60)[1]
    finally:
        process.kill()
    assert process.returncode == 130 and error.count("course: ") == 1
    assert error.splitlines()[-1].endswith("to go on: the same command with --resume")
    assert "Traceback" not in error and (tmp_path / "run" / CHECKPOINT).exists()


@pytest.fixture(scope="module")
def one_process(tmp_path_factory):
    """The losses of a run in one process, without dropout, and the arguments of ``train`` that give it."""
    folder = tmp_path_factory.mktemp("one")
    path = folder / "reversal.tsv"
    corpus = reversal(500)
    path.write_text("".join(f"{p.source}\t{p.target}\n" for split in ("val", "train") for p in corpus.splits[split]))
    script = folder / "train.py"
    script.write_text(WITHOUT_DROPOUT)
    subprocess.run([sys.executable, script, path, folder / "run", "1"], check=True, timeout=180)
    return script, path, losses(folder / "run")


WITHOUT_DROPOUT = """if True:
    import sys
    from dataclasses import replace
    from course_lib.config import PRESETS
    from course_lib.corpora import load_corpus
    from course_lib.training import train
    path, out, accumulate, *resume = sys.argv[1:]
    preset = replace(PRESETS["tiny"], model=PRESETS["tiny"].model | {"dropout": 0.0})
    config = preset.train_config(epochs=12, accumulate=int(accumulate), batch_tokens=300, device="cpu",
                                 precision="fp32", warmup=20, checkpoint_every=1e-6)
    def crash(event, record):
        if event == "step" and record["step"] == 20 and "crash" in resume:
            raise SystemExit(7)
    train(load_corpus(path, "de-ed"), preset, config, out, callbacks=[crash], resume="resume" in resume)
"""
TORCHRUN = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]


def test_two_processes_give_the_losses_of_one(one_process, tmp_path):
    script, path, alone = one_process
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    command = [*TORCHRUN, script, path, tmp_path / "two", "1"]
    assert subprocess.run([*command, "crash"], timeout=180, env=environment, capture_output=True).returncode != 0
    subprocess.run([*command, "resume"], check=True, timeout=180, env=environment)
    two = losses(tmp_path / "two")
    assert len(two) == 10
    for mine, single in zip(two, alone, strict=True):
        assert mine == pytest.approx(single, rel=2e-3)


def test_accumulated_gradients_give_the_same_losses(one_process, tmp_path):
    script, path, alone = one_process
    subprocess.run([sys.executable, script, path, tmp_path / "three", "3"], check=True, timeout=180)
    for mine, single in zip(losses(tmp_path / "three"), alone, strict=True):
        assert mine == pytest.approx(single, rel=2e-3)


def test_the_command_in_two_processes(tsv, tmp_path):
    out = tmp_path / "run"
    command = [*TORCHRUN, "-m", "course_lib.cli", "train", "--corpus", tsv, "--direction", "de-ed", "--epochs", "2",
               "--device", "cpu", "--precision", "fp32", "--out", out]  # fmt: skip
    subprocess.run(command, check=True, timeout=180, env={**os.environ, "OMP_NUM_THREADS": "1"})
    assert json.loads((out / RESULT).read_text())["epochs"] == 2
