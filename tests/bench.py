"""Speed against peers, each pair measured in the same run: ``make bench`` prints the table and writes runs/bench.json.

A ratio above 1 means that the course's own code is the faster one.
"""

import json
import math
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor, nn

from course_lib.config import DecodeConfig, ModelConfig
from course_lib.losses import smoothed_cross_entropy
from course_lib.positions import SinusoidalPositions
from course_lib.tokenizer import Tokenizer
from course_lib.training import Objective, supports_bf16
from course_lib.transformer import Transformer
from course_lib.translator import Translator

OUT = Path("runs/bench.json")
SIZES = ModelConfig(vocab_size=8000, d_model=256, n_heads=8, d_ff=512, n_layers=3, dropout=0.1)
BATCH, LENGTH = 128, 16


class TorchTransformer(nn.Module):
    """The peer: ``torch.nn.Transformer`` with what it lacks, as PyTorch's tutorial does it."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.scale = math.sqrt(config.d_model)
        self.embedding = nn.Embedding(config.vocab_size, config.d_model, padding_idx=config.pad_id)
        self.positions = SinusoidalPositions(config.max_len, config.d_model)
        self.dropout = nn.Dropout(config.dropout)
        self.transformer = nn.Transformer(
            config.d_model, config.n_heads, config.n_layers, config.n_layers, config.d_ff, config.dropout,
            batch_first=True, norm_first=True,
        )  # fmt: skip
        self.output = nn.Linear(config.d_model, config.vocab_size)

    def embed(self, ids: Tensor) -> Tensor:
        return self.dropout(self.positions(self.embedding(ids) * self.scale))

    def forward(self, source: Tensor, target_in: Tensor) -> Tensor:
        blocked = torch.ones(target_in.shape[1], target_in.shape[1], dtype=torch.bool).triu(1)
        padding = source == 0
        states = self.transformer(
            self.embed(source), self.embed(target_in), tgt_mask=blocked,
            src_key_padding_mask=padding, memory_key_padding_mask=padding,
        )  # fmt: skip
        return self.output(states)


def interleaved(ours: Callable[[], None], peer: Callable[[], None], rounds: int) -> tuple[float, float]:
    """Median seconds of each, taken in turns so that a busy moment hits both."""
    seconds: tuple[list[float], list[float]] = ([], [])
    for turn in range(rounds + 1):
        for run, times in ((ours, seconds[0]), (peer, seconds[1])):
            began = time.perf_counter()
            run()
            if turn:  # the first round warms up
                times.append(time.perf_counter() - began)
    return statistics.median(seconds[0]), statistics.median(seconds[1])


def train_step_vs_torch() -> dict:
    """One training step as ``course train`` takes it on the CPU, against ``torch.nn.Transformer`` of the same sizes."""
    torch.manual_seed(0)
    ids = [torch.randint(4, SIZES.vocab_size, (BATCH, LENGTH)) for _ in range(3)]
    source, target_in, target_out = ids
    bf16 = supports_bf16("cpu")

    model = Transformer(SIZES)
    objective = Objective(model, smoothed_cross_entropy, 0.1, 0)
    optimizer = torch.optim.Adam(model.parameters(), 1e-4, fused=True)

    def ours() -> None:
        with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
            loss = objective(source, target_in, target_out)
        (loss / target_out.numel()).backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()

    theirs = TorchTransformer(SIZES)
    their_loss = nn.CrossEntropyLoss(ignore_index=0, label_smoothing=0.1)
    their_optimizer = torch.optim.Adam(theirs.parameters(), 1e-4)

    def peer() -> None:
        their_loss(theirs(source, target_in).flatten(0, 1), target_out.flatten()).backward()
        nn.utils.clip_grad_norm_(theirs.parameters(), 1.0)
        their_optimizer.step()
        their_optimizer.zero_grad()

    mine, other = interleaved(ours, peer, rounds=8)
    n = BATCH * LENGTH
    return row("train_step_vs_torch", "target tokens/s", n / mine, "torch.nn.Transformer, fp32", n / other)


def long_searches() -> tuple[Translator, list[list[int]], DecodeConfig]:
    """Eight sentences of 20 tokens, beam 5, and a model that never ends: all run to 50 tokens."""
    torch.manual_seed(0)
    model = Transformer(SIZES)
    nn.init.zeros_(model.embedding.weight[Tokenizer.eos_id].data)  # never likeliest
    generator = torch.Generator().manual_seed(1)
    sources = torch.randint(4, SIZES.vocab_size, (8, 20), generator=generator).tolist()
    return Translator(model, Tokenizer.train_words(["a b c"])), sources, DecodeConfig(beam_size=5, max_len=50)


def beam_cache_vs_no_cache() -> dict:
    """With and without the cache; both must give the same ids."""
    translator, sources, decode = long_searches()
    found = {}

    def search(cache: bool) -> Callable[[], None]:
        def run() -> None:
            found[cache] = translator.search(sources, decode, cache=cache)

        return run

    mine, other = interleaved(search(True), search(False), rounds=3)
    if found[True] != found[False]:
        raise AssertionError("with and without the cache the translations differ")
    n = sum(map(len, found[True]))
    return row("beam_cache_vs_no_cache", "tokens/s", n / mine, "the same search without a cache", n / other)


def beam_vs_hugging_face() -> dict | None:
    """Against ``generate`` of a Marian model of the same sizes, with its cache; None where the library is missing."""
    try:
        from transformers import GenerationConfig, MarianConfig, MarianMTModel
    except ImportError:
        return None
    translator, sources, decode = long_searches()
    config = MarianConfig(
        vocab_size=SIZES.vocab_size, d_model=SIZES.d_model, max_position_embeddings=SIZES.max_len,
        encoder_layers=SIZES.n_layers, encoder_attention_heads=SIZES.n_heads, encoder_ffn_dim=SIZES.d_ff,
        decoder_layers=SIZES.n_layers, decoder_attention_heads=SIZES.n_heads, decoder_ffn_dim=SIZES.d_ff,
        pad_token_id=0, bos_token_id=1, eos_token_id=2, decoder_start_token_id=1, forced_eos_token_id=None,
    )  # fmt: skip
    theirs = MarianMTModel(config).eval()
    generation = GenerationConfig(
        num_beams=decode.beam_size, min_new_tokens=decode.max_len, max_new_tokens=decode.max_len, do_sample=False,
        length_penalty=decode.length_penalty, pad_token_id=0, bos_token_id=1, eos_token_id=2, decoder_start_token_id=1,
    )  # fmt: skip
    source, found = torch.tensor(sources), {}

    def ours() -> None:
        found["ours"] = [len(ids) for ids in translator.search(sources, decode)]

    def peer() -> None:
        written = theirs.generate(source, attention_mask=torch.ones_like(source), generation_config=generation)
        found["peer's"] = [written.shape[1] - 1] * len(written)  # without the start token

    mine, other = interleaved(ours, peer, rounds=3)
    if found["ours"] != found["peer's"]:
        raise AssertionError(f"not the same lengths: {found}")
    n = sum(found["ours"])
    return row("beam_vs_hugging_face", "tokens/s", n / mine, "generate() of a Marian model", n / other)


def import_time() -> dict:
    """``import course_lib`` beyond torch, in a fresh interpreter; the budget is 0.1 s."""
    script = "import time, torch; t = time.perf_counter(); import course_lib; print(time.perf_counter() - t)"
    seconds = [
        float(subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout)
        for _ in range(3)
    ]
    ours = statistics.median(seconds)
    return row("import_course_lib", "1/s", 1 / max(ours, 1e-6), "the budget of 0.1 s", 10.0)


def row(name: str, unit: str, ours: float, peer: str, peer_value: float) -> dict:
    return {
        "name": name,
        "unit": unit,
        "ours": round(ours, 2),
        "peer": peer,
        "peer_value": round(peer_value, 2),
        "ratio": round(ours / peer_value, 3),
    }


def main() -> None:
    rows = []
    table = Table("benchmark", "unit", "ours", "peer", "peer's", "ratio")
    for benchmark in (train_step_vs_torch, beam_cache_vs_no_cache, beam_vs_hugging_face, import_time):
        print(f"{benchmark.__name__} …", file=sys.stderr)
        result = benchmark()
        if result is None:
            print("  left out: pip install 'transformer-workshop[bench]'", file=sys.stderr)
            continue
        rows.append(result)
        table.add_row(*(str(result[key]) for key in ("name", "unit", "ours", "peer", "peer_value", "ratio")))
    Console().print(table)
    OUT.parent.mkdir(exist_ok=True)
    OUT.write_text(json.dumps(rows, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
