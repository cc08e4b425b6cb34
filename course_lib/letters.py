"""A toy task whose right alignment is known: spell a random word backwards, or copy it.

Small enough to train an encoder-decoder in seconds. The ids are 0 for padding, 1 for the start mark, then a to z.
"""

import string
from collections.abc import Callable, Iterable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

LETTERS = string.ascii_lowercase
PAD_ID, BOS_ID, FIRST = 0, 1, 2
VOCAB_SIZE = FIRST + len(LETTERS)

Task = Callable[[Tensor], Tensor]  # source ids [B, T] -> target ids [B, T]


def reverse(source: Tensor) -> Tensor:
    """The target is the word spelled backwards: [B, T] -> [B, T]."""
    return source.flip(1)


def copy(source: Tensor) -> Tensor:
    """The target is the word itself: [B, T] -> [B, T]."""
    return source


def to_ids(word: str) -> Tensor:
    """Letters -> ids [T].

    Raises:
        ValueError: the word is empty, or holds something else than the letters a to z.
    """
    strange = "".join(sorted(set(word) - set(LETTERS)))
    if strange or not word:
        raise ValueError(f"word={word!r}: one letter or more, a to z" + (f"; not {strange!r}" if strange else ""))
    return torch.tensor([FIRST + LETTERS.index(letter) for letter in word])


def to_word(ids: Iterable[int]) -> str:
    """Ids -> letters; a mark becomes “·”."""
    return "".join(LETTERS[int(i) - FIRST] if i >= FIRST else "·" for i in ids)


def random_words(size: int, length: int, generator: torch.Generator) -> Tensor:
    """``size`` random words of ``length`` letters: ids [B, T]."""
    return torch.randint(FIRST, VOCAB_SIZE, (size, length), generator=generator)


def shifted(target: Tensor) -> Tensor:
    """What the decoder reads while it writes ``target`` [B, T]: the start mark, then all letters but the last."""
    return F.pad(target[:, :-1], (1, 0), value=BOS_ID)


def train(
    model: nn.Module,
    task: Task = reverse,
    *,
    longest: int = 12,
    steps: int = 400,
    batch_size: int = 64,
    learning_rate: float = 1e-2,
    seed: int = 0,
) -> nn.Module:
    """Train on fresh random words of 2 to ``longest`` letters, all of a batch equally long; gives the model back.

    The next letter is learned with the right letters before it (teacher forcing), by Adam with a learning rate that
    rises and falls once.

    Args:
        model: called as ``model(source [B, T], target_in [B, T]) -> logits [B, T, V]``.
        task: what is to be written.
        seed: of the words; the weights have been drawn before.
    """
    generator = torch.Generator().manual_seed(seed)
    optimizer = torch.optim.Adam(model.parameters(), lr=learning_rate)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, learning_rate, steps)
    model.train()
    for _ in range(steps):
        length = int(torch.randint(2, longest + 1, (1,), generator=generator))
        source = random_words(batch_size, length, generator)
        target = task(source)
        loss = F.cross_entropy(model(source, shifted(target)).flatten(0, 1), target.flatten())
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
    return model.eval()


@torch.inference_mode()
def accuracy(
    model: nn.Module, lengths: Sequence[int], task: Task = reverse, *, size: int = 200, seed: int = 1
) -> dict[int, float]:
    """The share of letters that are right, for words of each length, with the right letters before them given.

    A guess is right once in 26 times.

    Args:
        model, task: as for ``train``.
        size: number of words of each length; the same for every model with the same ``seed``.
    """
    generator = torch.Generator().manual_seed(seed)
    shares = {}
    for length in lengths:
        source = random_words(size, length, generator)
        target = task(source)
        shares[length] = (model(source, shifted(target)).argmax(-1) == target).float().mean().item()
    return shares


@torch.inference_mode()
def write(model: nn.Module, word: str) -> str:
    """What the model writes by itself: each letter the best one after those that it wrote before; as long as ``word``.

    Raises:
        ValueError: as for ``to_ids``.
    """
    source = to_ids(word)[None]  # [1, T]
    written = torch.full((1, 1), BOS_ID)
    for _ in word:
        best = model(source, written)[:, -1].argmax(-1, keepdim=True)  # [1, 1]
        written = torch.cat([written, best], dim=1)
    return to_word(written[0, 1:].tolist())
