"""Rows of an embedding on a flat map, coloured by the kind of word, before training and after."""

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor

from course_lib.corpora.grammar import LEXICON
from course_lib.tokenizer import Tokenizer
from course_lib.views.frames import HtmlView, page, rounded

AXES = 6  # of the principal components, shown two at a time
NEIGHBOURS = 4
KINDS = {  # kind -> whether an entry of the lexicon is of it
    "people": lambda entry: entry.category == "name" or (entry.category == "noun" and "person" in entry.classes),
    "animals": lambda entry: "animal" in entry.classes,
    "food and drink": lambda entry: bool(entry.classes & {"food", "drink"}),
    "places": lambda entry: entry.category == "noun" and bool(entry.classes & {"place", "city", "country"}),
    "times": lambda entry: entry.category in ("weekday", "time", "period", "season"),
    "numbers": lambda entry: entry.category in ("number", "hour"),
    "measure words": lambda entry: entry.category in ("measure", "unit"),
    "verbs": lambda entry: entry.category == "verb",
}


def kinds_of_words(tokenizer: Tokenizer, most: int = 12) -> dict[str, dict[str, int]]:
    """Words of the grammar corpus by kind, English and Chinese; what has two kinds (to cook, a cook) is left out.

    Args:
        tokenizer: whole words of that corpus.
        most: entries of a kind, taken evenly from the lexicon; an entry gives its words of both languages.

    Returns:
        For each kind the id of each word.
    """
    known = {tokenizer.token(id): id for id in range(tokenizer.vocab_size)}
    entries, kinds_of = {kind: [] for kind in KINDS}, {}
    for entry in LEXICON:
        words = [word for word in (entry.english.lower(), entry.chinese) if word in known]
        for kind in (kind for kind, holds in KINDS.items() if words and holds(entry)):
            entries[kind].append(words)
            for word in words:
                kinds_of.setdefault(word, set()).add(kind)
    kinds = {}
    for kind, its in entries.items():
        chosen = its[:: max(1, len(its) // most)][:most]
        kinds[kind] = {word: known[word] for words in chosen for word in words if kinds_of[word] == {kind}}
    return kinds


def embedding_map(tables: Mapping[str, Tensor], kinds: Mapping[str, Mapping[str, int]]) -> HtmlView:
    """Shows rows of tables on their principal axes: points coloured by kind, neighbours under the cursor.

    Rows are divided by their lengths, so that distance means angle, and each table has axes of its own (PCA). Shares
    are between 0 and 1: `view.numbers[name]` holds `same_kind`, of the words whose nearest other word, by the cosine of
    whole rows, is of their kind; `on_the_map`, the same by distance on each pair of axes; and `variance` of each axis.

    Args:
        tables: [V, D] by name, say of a new and of a trained model.
        kinds: the ids of the words to show, by kind; up to eight kinds.

    Raises:
        ValueError: there are more than eight kinds, or fewer words than axes.
    """
    if len(kinds) > 8:
        raise ValueError(f"{len(kinds)} kinds: there are eight colours and shapes")
    words = [(word, id, number) for number, its in enumerate(kinds.values()) for word, id in its.items()]
    if len(words) <= AXES:
        raise ValueError(f"{len(words)} words: more than {AXES} are needed")
    kind = torch.tensor([number for *_, number in words])
    described, numbers = [], {}
    for name, table in tables.items():
        rows = F.normalize(table.detach().cpu().double()[[id for _, id, _ in words]], dim=-1)  # [N, D]
        cosines = rows @ rows.T
        nearest = _nearest(cosines)
        places, variance = _principal(rows)
        flat = [_nearest(-torch.cdist(places[:, i : i + 2], places[:, i : i + 2])) for i in range(0, AXES, 2)]
        numbers[name] = {
            "same_kind": _share(kind, nearest),
            "on_the_map": [_share(kind, found) for found in flat],
            "variance": variance.tolist(),
        }
        near = cosines.fill_diagonal_(-2).topk(min(NEIGHBOURS, len(words) - 1))
        described.append({"name": name, "places": rounded(places), "near": near.indices.tolist(),
                          "cosines": rounded(near.values, 2), "size": rows.shape[-1], **numbers[name]})  # fmt: skip
    counts = torch.bincount(kind)
    chance = float((counts * (counts - 1)).sum() / (len(words) * (len(words) - 1)))
    data = {"words": [[word, number] for word, _, number in words], "kinds": list(kinds), "tables": described,
            "chance": chance}  # fmt: skip
    said = "; ".join(f"{name} {its['same_kind']:.0%}" for name, its in numbers.items())
    alt = (
        f"{len(words)} words of {len(kinds)} kinds as points on the principal axes of their rows. The nearest word is "
        f"of the same kind: {said}; by chance {chance:.0%}."
    )
    view = page("embeddings", data, alt=alt, height=640)
    view.numbers = numbers
    return view


def _principal(rows: Tensor) -> tuple[Tensor, Tensor]:
    """Where rows lie on their first principal axes, and the share of variance that each axis holds."""
    _, lengths, axes = torch.linalg.svd(rows - rows.mean(0), full_matrices=False)
    axes = axes[:AXES]
    axes = axes * axes.gather(1, axes.abs().argmax(1, keepdim=True)).sign()  # else a sign is the machine's choice
    return (rows - rows.mean(0)) @ axes.T, (lengths**2 / (lengths**2).sum())[:AXES]


def _nearest(closeness: Tensor) -> Tensor:
    return closeness.clone().fill_diagonal_(-torch.inf).argmax(-1)


def _share(kind: Tensor, nearest: Tensor) -> float:
    return (kind == kind[nearest]).double().mean().item()
