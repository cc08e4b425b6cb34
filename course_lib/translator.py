"""A trained model as one uses it: text in, text out, and the attention between."""

from collections.abc import Callable, Sequence
from importlib.resources import files
from pathlib import Path

import torch
from torch import Tensor

from course_lib.batches import pad_batch
from course_lib.checkpoints import SavedModel, load_model
from course_lib.config import DecodeConfig
from course_lib.corpora import grammar
from course_lib.corpora.pairs import Pair
from course_lib.decoding import batched_beam_search
from course_lib.errors import CourseError
from course_lib.evaluation import alignment_error_rate
from course_lib.incremental import CachedDecoder, can_cache
from course_lib.parts import REFERENCE, Parts
from course_lib.recording import AttentionMaps, record_attention
from course_lib.tokenizer import Tokenizer
from course_lib.transformer import Transformer


class Translator:
    """A model with its tokenizer, for sentences of one direction.

    Args:
        model: maps ids to logits; is put into evaluation mode.
        tokenizer: the one it was trained with.
        corpus: the corpus's name; the grammar corpus brings its own spacing of words.
        direction: as in "de-en".
    """

    def __init__(self, model: Transformer, tokenizer: Tokenizer, corpus: str = "", direction: str = "") -> None:
        self.model = model.eval()
        self.tokenizer = tokenizer
        self.corpus = corpus
        self.direction = direction

    @classmethod
    def load(cls, folder: Path | str, parts: Parts = REFERENCE) -> "Translator":
        """Load what ``course train --out FOLDER`` made. Raises CourseError where that cannot be."""
        saved: SavedModel = load_model(folder, parts)
        return cls(saved.model, saved.tokenizer, saved.corpus, saved.direction)

    @classmethod
    def shipped(cls, parts: Parts = REFERENCE) -> "Translator":
        """The small English-Chinese model that comes with the course, trained on the grammar corpus."""
        return cls.load(Path(str(files("course_lib") / "assets" / "grammar_en_zh")), parts)

    @property
    def source_language(self) -> str:
        return self.direction.partition("-")[0]

    @property
    def target_language(self) -> str:
        return self.direction.partition("-")[2]

    def prepare(self, text: str) -> str:
        """The sentence as the tokenizer wants it; for the grammar corpus, words between spaces."""
        if self.corpus != "grammar":
            return text
        return grammar.segment_chinese(text) if self.source_language == "zh" else grammar.tokenize_english(text)

    def finish(self, text: str) -> str:
        """A decoded sentence as one writes it."""
        if self.corpus != "grammar":
            return text
        return grammar.join_chinese(text) if self.target_language == "zh" else grammar.join_english(text)

    def encode(self, text: str) -> list[int]:
        """A sentence's ids, the end token included.

        Raises:
            CourseError: the sentence is empty, or longer than the model can read.
        """
        ids = [*self.tokenizer.encode(self.prepare(text)), self.tokenizer.eos_id]
        max_len = self.model.config.max_len
        if len(ids) == 1:
            raise CourseError("the sentence is empty: type one to translate")
        if len(ids) > max_len:
            raise CourseError(f"the sentence has {len(ids)} tokens, and the model reads at most {max_len}: shorten it")
        return ids

    def unknown_words(self, text: str) -> list[str]:
        """The words of ``text`` that the vocabulary does not have."""
        return self.tokenizer.unknown_words(self.prepare(text))

    def translate(self, text: str, decode: DecodeConfig | None = None) -> str:
        """Translate one sentence. Raises CourseError as ``encode`` does."""
        return self.translate_all([text], decode)[0]

    def translate_all(self, texts: Sequence[str], decode: DecodeConfig | None = None, progress=None) -> list[str]:
        """Translate many sentences, those of like length together; ``progress(n)`` hears of every n finished."""
        ids = self.search([self.encode(text) for text in texts], decode or DecodeConfig(), progress)
        return [self.finish(self.tokenizer.decode(sentence)) for sentence in ids]

    @torch.inference_mode()
    def search(
        self, sources: Sequence[list[int]], decode: DecodeConfig, progress=None, cache: bool = True
    ) -> list[list[int]]:
        """The best target ids (no bos, no eos) for each list of source ids (eos included).

        ``cache`` keeps the keys and values of earlier tokens where the model's layers allow it; the result is the same.
        """
        tokenizer, results = self.tokenizer, [[] for _ in sources]
        order = sorted(range(len(sources)), key=lambda i: len(sources[i]))
        per_batch = max(1, 320 // decode.beam_size)
        for start in range(0, len(order), per_batch):
            chosen = order[start : start + per_batch]
            source, _ = pad_batch([sources[i] for i in chosen], tokenizer.pad_id)
            source = source.to(self.device)
            step = self._step(source, cache)
            limits = [self._max_len(len(sources[i]), decode) for i in chosen]
            found = batched_beam_search(
                step, len(chosen), tokenizer.bos_id, tokenizer.eos_id, decode.beam_size, limits, decode.length_penalty
            )
            for i, ids in zip(chosen, found, strict=True):
                results[i] = ids[:-1] if ids and ids[-1] == tokenizer.eos_id else ids
            if progress is not None:
                progress(len(chosen))
        return results

    @torch.inference_mode()
    def step(self, text: str) -> Callable[[list[int]], Tensor]:
        """The model as the ``step`` of ``greedy_decode``, ``beam_search`` and ``sample_decode``, for one sentence.

        Raises CourseError as ``encode`` does.
        """
        source = torch.tensor([self.encode(text)], device=self.device)
        memory = self.model.encode(source)

        @torch.inference_mode()
        def step(ids: list[int]) -> Tensor:
            return self.model.decode(torch.tensor([ids], device=self.device), memory, source, last_only=True)[0, -1]

        return step

    def _step(self, source: Tensor, cache: bool) -> Callable[[Tensor, Tensor, Tensor], Tensor]:
        """The next token's logits, as ``batched_beam_search`` asks for them."""
        device = self.device
        if cache and can_cache(self.model):
            decoder = CachedDecoder(self.model, source)
            return lambda prefix, owner, parent: decoder.step(prefix.to(device), owner.to(device), parent.to(device))
        memory = self.model.encode(source)

        def step(prefix: Tensor, owner: Tensor, _parent: Tensor) -> Tensor:
            owner = owner.to(device)
            return self.model.decode(prefix.to(device), memory[owner], source[owner], last_only=True)[:, -1]

        return step

    @property
    def device(self) -> torch.device:
        return self.model.embedding.weight.device

    def _max_len(self, source_length: int, decode: DecodeConfig) -> int:
        """No translation is longer than twice its source and a little."""
        return min(decode.max_len, self.model.config.max_len - 1, 2 * source_length + 10)

    @torch.inference_mode()
    def attend(
        self, text: str, target: str | None = None, decode: DecodeConfig | None = None
    ) -> tuple[list[str], list[str], AttentionMaps]:
        """Translate ``text`` (or take ``target`` as its translation) and return what attended to what.

        Returns:
            Source tokens (end token included); the target tokens that were predicted, one for each query row of the
            decoder (end token included); and the weights [1, H, Tq, Tk] by module name.
        """
        source = self.encode(text)
        if target is None:
            ids = self.search([source], decode or DecodeConfig())[0]
        else:
            ids = self.tokenizer.encode(target)
        source_ids = torch.tensor([source], device=self.device)
        target_in = torch.tensor([[self.tokenizer.bos_id, *ids]], device=self.device)
        with record_attention(self.model) as maps:
            self.model(source_ids, target_in)
        predicted = [*ids, self.tokenizer.eos_id]
        return [self.tokenizer.token(i) for i in source], [self.tokenizer.token(i) for i in predicted], maps


@torch.inference_mode()
def head_alignment_errors(translator: Translator, pairs: Sequence[Pair]) -> dict[str, list[float]]:
    """How well each cross-attention head, taken as a word aligner, finds the known alignments.

    The model reads source and reference. Each target word is linked to the source word that it attends to most while
    it is predicted; links of all pairs are compared with the gold ones (see ``alignment_error_rate``).

    Args:
        translator: of a corpus whose tokens are its words, as the grammar corpus's are.
        pairs: with alignments.

    Returns:
        For each cross-attention module the error of each head, by module name.
    """
    tokenizer, batch_size = translator.tokenizer, 50
    links: dict[str, list[set]] = {}
    gold = {((n, i), (n, j)) for n, pair in enumerate(pairs) for i, j in pair.alignment}
    for start in range(0, len(pairs), batch_size):
        batch = pairs[start : start + batch_size]
        sources = [[*tokenizer.encode(pair.source), tokenizer.eos_id] for pair in batch]
        targets = [[tokenizer.bos_id, *tokenizer.encode(pair.target)] for pair in batch]
        source, source_lengths = pad_batch(sources, tokenizer.pad_id)
        target, target_lengths = pad_batch(targets, tokenizer.pad_id)
        with record_attention(translator.model) as maps:
            translator.model(source.to(translator.device), target.to(translator.device))
        for name, weights in maps.items():
            if not name.endswith("cross_attention"):
                continue
            found = links.setdefault(name, [set() for _ in range(weights.shape[1])])
            for n, (n_source, n_target) in enumerate(zip(source_lengths - 1, target_lengths - 1, strict=True)):
                best = weights[n, :, :n_target, :n_source].argmax(-1).tolist()  # [H, Tt] the end token is no word
                for head, row in enumerate(best):
                    found[head] |= {((start + n, i), (start + n, j)) for j, i in enumerate(row)}
    return {name: [alignment_error_rate(head, gold) for head in heads] for name, heads in links.items()}
