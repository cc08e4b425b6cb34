"""The attention map: pick a layer and a head, point at a cell, read who asks whom and how much."""

import re

import torch

from course_lib.views.frames import page, rounded

KINDS = {"encoder": "encoder self", "decoder": "decoder self", "cross": "cross"}
MAX_TOKENS = 100  # more cells than a screen can show apart


def attention_heatmap(
    maps, source_tokens, target_tokens=None, *, kind=None, layer=None, head=0, gold=(), remember=None
):
    """Shows attention weights as a map to look around in with the mouse or the arrow keys.

    A row is a query (who asks), a column is a key (who is asked), a cell is the weight, from 0 (white) to 1.

    Arguments:
        maps: what `record_attention` collected, a dict of module names to [1, H, Tq, Tk]; or one tensor, [H, Tq, Tk] or
            [Tq, Tk]: cross-attention if there are `target_tokens`, else self-attention.
        source_tokens: what the encoder read, one for each of its positions.
        target_tokens: what the decoder *writes* at each of its positions, the end mark included. It reads the same one
            step later, after a start mark, and so the keys of its self-attention are labelled.
        kind, layer, head: what is shown first: "cross", "decoder" or "encoder"; layer and head count from 0. Without
            them the last layer of the cross-attention, if there is one, and head 0.
        gold: pairs (source index, target index) of a known alignment, outlined in the cross-attention.
        remember: a name under which the browser keeps the chosen layer and head when the view is drawn again.

    Raises:
        ValueError: where a map's shape does not fit the tokens, or holds other numbers than weights.
    """
    source_tokens = list(source_tokens)
    target_tokens = None if target_tokens is None else list(target_tokens)
    groups = by_kind(maps, cross=target_tokens is not None)
    kinds = []
    for group, layers in groups.items():
        rows, cols = tokens_of(group, source_tokens, target_tokens)
        for name, weights in layers.items():
            check_weights(name, weights, rows, cols)
        kinds.append({"id": group, "name": KINDS[group], "rows": rows, "cols": cols, "writes": group != "encoder",
                      "layers": [rounded(weights) for weights in layers.values()]})  # fmt: skip
    kind = kind or ("cross" if "cross" in groups else next(iter(groups)))
    if kind not in groups:
        raise ValueError(f"kind={kind!r} is not among the recorded kinds: {', '.join(groups)}")
    shown = next(k for k in kinds if k["id"] == kind)
    layer = len(shown["layers"]) - 1 if layer is None else layer
    for what, value, count in (("layer", layer, len(shown["layers"])), ("head", head, len(shown["layers"][0]))):
        if not 0 <= value < count:
            raise ValueError(f"{what}={value}: {KINDS[kind]} has {what}s 0 to {count - 1}")
    sizes = len(source_tokens), len(target_tokens or source_tokens)
    gold = sorted([t, s] for s, t in gold)
    for t, s in gold:
        if not (0 <= s < sizes[0] and 0 <= t < sizes[1]):
            raise ValueError(f"gold pair (source {s}, target {t}) lies outside {sizes[0]} and {sizes[1]} tokens")
    start = {"kind": kinds.index(shown), "layer": layer, "head": head}
    data = {"kinds": kinds, "start": start, "gold": gold, "remember": remember}
    alt = f"Attention maps ({', '.join(KINDS[group] for group in groups)}) of “{' '.join(source_tokens)}”"
    alt += f" and its translation “{' '.join(target_tokens)}”." if target_tokens else "."
    return page("attention", data, alt=alt, height=330 + 30 * min(len(shown["rows"]), 30))


def by_kind(maps, *, cross=False):
    """Sorts recorded maps into {"encoder", "decoder", "cross": {module name: weights [H, Tq, Tk]}}, layers in order."""
    if isinstance(maps, torch.Tensor):
        maps = {"cross_attention" if cross else "attention": maps}
    if not maps:
        raise ValueError("there are no maps: run the model inside `with record_attention(model) as maps:`")
    groups = {}
    for name, weights in maps.items():
        if not isinstance(weights, torch.Tensor):
            raise ValueError(f"{name}: expected a tensor [1, H, Tq, Tk], got {type(weights).__name__}")
        if weights.dim() == 2:
            weights = weights[None]
        if weights.dim() == 4 and len(weights) == 1:
            weights = weights[0]
        if weights.dim() != 3:
            raise ValueError(f"{name}: expected [1, H, Tq, Tk], one sentence, got {list(weights.shape)}")
        group = "cross" if "cross" in name else "decoder" if "decoder" in name else "encoder"
        groups.setdefault(group, {})[name] = weights
    number = re.compile(r"\d+")
    return {
        group: dict(sorted(groups[group].items(), key=lambda item: [int(n) for n in number.findall(item[0])]))
        for group in KINDS
        if group in groups
    }


def tokens_of(group, source_tokens, target_tokens):
    """Returns the labels of rows (queries) and columns (keys) of one kind of attention."""
    if group == "encoder":
        return source_tokens, source_tokens
    if target_tokens is None:
        raise ValueError(f"{KINDS[group]}-attention needs target_tokens: what the decoder writes at each position")
    return target_tokens, source_tokens if group == "cross" else ["<s>", *target_tokens[:-1]]


def check_weights(name, weights, rows, cols):
    """Raises ValueError unless `weights` [H, Tq, Tk] fit the tokens, few enough, and lie between 0 and 1."""
    _, t_q, t_k = weights.shape
    if (t_q, t_k) != (len(rows), len(cols)):
        raise ValueError(f"{name} has {t_q} queries and {t_k} keys, but the tokens are {len(rows)} and {len(cols)}")
    if max(t_q, t_k) > MAX_TOKENS:
        raise ValueError(f"{name} has {max(t_q, t_k)} tokens; the view shows up to {MAX_TOKENS}: shorten the sentence")
    low, high = weights.min().item(), weights.max().item()
    if not -1e-4 <= low <= high <= 1 + 1e-4:  # also false for NaN
        raise ValueError(f"{name} holds numbers from {low:.4g} to {high:.4g}; weights, after the softmax, lie in 0…1")
