"""The whole model laid open: a map of what flows where, and which outputs hear of which token."""

import copy
import dataclasses
import functools
import inspect
from collections.abc import Callable

import torch
from torch import Tensor, nn

from course_lib.blocks import Dropout
from course_lib.recording import record_attention
from course_lib.transformer import Transformer, shift_right
from course_lib.views.frames import HtmlView, page, rounded, significant

MAX_TOKENS, SHOWN_FEATURES, SHOWN_WORDS = 16, 8, 3
PLAIN = (nn.Dropout, Dropout, nn.ModuleList)  # no boxes of their own
OUTPUT = "output"
VARIANTS = {  # of the decoder, for `influence_view`
    "as it is": {},
    "without the causal mask": {"causal_mask": lambda t_q, t_k: torch.ones(t_q, t_k, dtype=torch.bool)},
    "without cross-attention": {"padding_mask": lambda ids, pad_id: torch.zeros(len(ids), 1, 1, 1, dtype=torch.bool)},
}


def model_map(model: Transformer, source: Tensor, target_in: Tensor, token: Callable[[int], str] = str) -> HtmlView:
    """Shows every part of a model in the order in which it runs, with the shapes and numbers of one real sentence.

    A forward pass with hooks is what the map is drawn from. A click on a box opens its numbers and its code, which is
    yours where the model is built from parts of yours.

    Args:
        model: of any configuration.
        source: ids [1, Ts].
        target_in: ids [1, Tt], shifted right.
        token: gives the text of an id, ``tokenizer.token`` say.

    Raises:
        ValueError: more than one sentence, or more tokens than can be shown.
    """
    for name, ids in (("source", source), ("target_in", target_in)):
        if ids.dim() != 2 or len(ids) != 1 or ids.shape[1] > MAX_TOKENS:
            raise ValueError(f"{name} is {list(ids.shape)}; one sentence of up to {MAX_TOKENS} tokens can be shown")
    calls, logits = _trace(model, source, target_in)
    words = {"source": [token(i) for i in source[0].tolist()], "target": [token(i) for i in target_in[0].tolist()]}
    boxes, codes = _boxes(model, calls, logits, token)
    total = sum(p.numel() for p in model.parameters())
    config = model.config
    data = {
        "boxes": boxes, "codes": codes, "words": words, "total": total, "logits": list(logits.shape),
        "ids": [list(source.shape), list(target_in.shape)],
        "facts": f'norm="{config.norm}", positions="{config.positions}", '
        f"{'tied embeddings' if config.tied_embeddings else 'three matrices for the words'}, "
        f"{'shared layers' if config.shared_layers else 'each layer with its own weights'}",
    }  # fmt: skip
    alt = (
        f"The model as it ran: {config.n_layers} encoder layers on {source.shape[1]} source tokens, {config.n_layers} "
        f"decoder layers on {target_in.shape[1]} target tokens, {total:,} parameters; each of {len(boxes)} boxes opens "
        "its shapes, numbers and code."
    )
    return page("model_map", data, alt=alt, height=1200)


@dataclasses.dataclass
class Call:
    """One module, run once: its name, what went in and what came out."""

    name: str
    module: nn.Module
    inputs: list[Tensor]
    output: Tensor
    side: str  # "source" until the encoder has run
    weights: Tensor | None = None  # of an attention, [H, Tq, Tk]


@torch.no_grad()
def _trace(model: Transformer, source: Tensor, target_in: Tensor) -> tuple[list[Call], Tensor]:
    """Every call of a forward pass in the order in which it ended, and the logits; the mode is left as it was."""
    names = {module: name for name, module in model.named_modules() if name and not isinstance(module, PLAIN)}
    calls, side, was_training = [], ["source"], model.training

    def hook(module: nn.Module, arguments: tuple, options: dict, output: Tensor) -> None:
        inputs = [x for x in (*arguments, *options.values()) if torch.is_tensor(x)]
        if torch.is_tensor(output):
            calls.append(Call(names[module], module, inputs, output, side[0]))
        if module is model.encoder:
            side[0] = "target"

    handles = [module.register_forward_hook(hook, with_kwargs=True) for module in names]
    model.eval()
    try:
        with record_attention(model) as maps:
            logits = model(source, target_in)
    finally:
        model.train(was_training)
        for handle in handles:
            handle.remove()
    for name, weights in maps.calls.items():
        for call, one in zip([c for c in calls if c.name == name], weights, strict=True):
            call.weights = one[0]
    return calls, logits


def _boxes(model: Transformer, calls: list[Call], logits: Tensor, token: Callable[[int], str]) -> tuple[list, dict]:
    boxes, codes, counted, passes = [], {}, {}, {}
    for call in calls:
        parent, _, short = call.name.rpartition(".")
        is_layer = parent.endswith(".layers")
        inside_layer = parent.rpartition(".")[0].endswith(".layers")
        top = call.name in ("embedding", "target_embedding", "positions", "encoder.norm", "decoder.norm")
        if is_layer:  # its parts have run, and stand before it
            own = [box for box in boxes if box["layer"] == [call.name, passes.get(call.name, 0)]]
            _mark_residuals(call, own)
            boxes.insert(boxes.index(own[0]) if own else len(boxes), _layer_box(call, own, passes, codes))
            passes[call.name] = passes.get(call.name, 0) + 1
        elif (inside_layer and short != "residual") or top:
            layer = [parent, passes.get(parent, 0)] if inside_layer else None
            boxes.append(_box(call, short, layer, counted, codes))
    for box in boxes:
        box.pop("call", None)
    boxes.append(_output_box(model, calls, logits, token, counted, codes))
    numbers: dict[tuple, int] = {}
    for box in boxes:  # layers are numbered as they run, shared ones too
        if box["layer"]:
            key = (box["stack"], *box["layer"])
            numbers.setdefault(key, 1 + sum(known[0] == box["stack"] for known in numbers))
            box["layer"] = numbers[key]
    return boxes, codes


def _box(call: Call, short: str, layer: list | None, counted: dict, codes: dict) -> dict:
    before = {counted[p] for p in call.module.parameters() if p in counted}
    fresh = [p for p in call.module.parameters() if p not in counted]
    counted |= {p: call.name for p in fresh}
    queries, *others = call.inputs
    inputs = [["in", list(queries.shape)]]
    if call.weights is not None:
        memory = not torch.equal(others[0], queries) if others and others[0].shape == queries.shape else bool(others)
        inputs = [["queries", list(queries.shape)], ["keys, values" + (": the memory" if memory else ": the same"),
                                                     list(others[0].shape if others else queries.shape)]]  # fmt: skip
        masks = [x for x in others if x.dtype == torch.bool]
        inputs += [["mask, True = may attend", list(mask.shape)] for mask in masks]
    return {
        "name": call.name, "short": short, "side": call.side, "stack": call.name.split(".")[0], "layer": layer,
        "inputs": inputs, "output": list(call.output.shape), "parameters": sum(p.numel() for p in fresh),
        "tensors": [[name, list(p.shape)] for name, p in call.module.named_parameters()], "same": sorted(before),
        "values": rounded(call.output[0, :, :SHOWN_FEATURES], 3), "residual": False,
        "weights": None if call.weights is None else rounded(call.weights, 3), "words": None,
        "cross": call.weights is not None and inputs[1][0].endswith("memory"),
        "code": _code(type(call.module), codes, getattr(call.module, "attend", None)), "call": call,
    }  # fmt: skip


def _layer_box(call: Call, own: list[dict], passes: dict, codes: dict) -> dict:
    """The frame around the boxes of a layer; a layer that runs again costs nothing new."""
    stream, *others = call.inputs
    named = [["mask, True = may attend" if x.dtype == torch.bool else "memory", list(x.shape)] for x in others]
    stack = call.name.split(".")[0]
    return {
        "name": call.name, "short": f"{stack} layer", "side": call.side, "stack": stack, "frame": True,
        "layer": [call.name, passes.get(call.name, 0)], "inputs": [["in", list(stream.shape)], *named],
        "output": list(call.output.shape), "parameters": sum(box["parameters"] for box in own), "tensors": [],
        "same": [call.name] if call.name in passes else [], "values": rounded(call.output[0, :, :SHOWN_FEATURES], 3),
        "residual": False, "weights": None, "words": None, "cross": False, "code": _code(type(call.module), codes),
    }  # fmt: skip


def _mark_residuals(layer: Call, boxes: list[dict]) -> None:
    """Find by their numbers the sub-layers whose output is added to something that was there before."""
    known = [layer.inputs[0]]
    for box, following in zip(boxes, [*boxes[1:], None]):
        output = box["call"].output
        then = layer.output if following is None else following["call"].inputs[0]
        if then.shape == output.shape and not torch.equal(then, output):
            box["residual"] = any(torch.allclose(then, x + output, atol=1e-4) for x in known if x.shape == output.shape)
            known.append(then)
        known.append(output)


def _output_box(model, calls, logits, token, counted, codes) -> dict:
    tied = model.config.tied_embeddings
    weight = model.output_weight
    states = [call for call in calls if call.name == "decoder.norm"][-1].output
    top = logits[0].softmax(-1).topk(min(SHOWN_WORDS, logits.shape[-1]))  # [Tt, 3]
    words = [
        [[token(i), round(p, 3)] for i, p in zip(ids, chances)]
        for ids, chances in zip(top.indices.tolist(), top.values.tolist())
    ]
    return {
        "name": "logits", "short": OUTPUT, "side": "target", "stack": OUTPUT, "layer": None, "residual": False,
        "inputs": [["in", list(states.shape)]], "output": list(logits.shape),
        "parameters": 0 if weight in counted else weight.numel(),
        "same": [counted[weight]] if weight in counted else [],
        "tensors": [["embedding.weight" if tied else "output.weight", list(weight.shape)]],
        "values": rounded(logits[0, :, :SHOWN_FEATURES], 3), "weights": None, "words": words, "cross": False,
        "code": _code(type(model).logits, codes),
    }  # fmt: skip


def _code(thing: Callable, codes: dict, attend: Callable | None = None) -> str:
    """Keeps the source of a class or function, once, and gives the name under which it stands."""
    module = thing.__module__ or ""
    whose = module if module.startswith(("course_lib.", "torch.")) else "yours"
    key = f"{thing.__qualname__} · {whose}"
    if key not in codes:
        shown = thing.forward if module.startswith("torch.") else thing
        codes[key] = _source(shown)
        attend = attend.func if isinstance(attend, functools.partial) else attend
        if inspect.isfunction(attend):
            codes[key] += f"\n\n# one head's attention is\n{_source(attend)}"
    return key


def _source(thing: Callable) -> str:
    try:
        return inspect.cleandoc("\n" + inspect.getsource(thing))
    except (OSError, TypeError):
        return "its source is not known here"


def influence_view(
    model: Transformer, source: Tensor, target: Tensor, bos_id: int, token: Callable[[int], str] = str
) -> HtmlView:
    """Edit a token of the source or of the target, and see which outputs change.

    Every edit is computed beforehand, for the decoder as it is, without its causal mask, and without cross-attention.
    The target stands there twice, as the decoder reads it (shifted right) and as it is to be written.

    Args:
        model: is put into evaluation mode.
        source: ids [1, Ts].
        target: ids [1, Tt] that are to be written, the end token included.
        bos_id: what the decoder reads first.
        token: gives the text of an id.

    Raises:
        ValueError: more than one sentence, or more tokens than can be shown.
    """
    for name, ids in (("source", source), ("target", target)):
        if ids.dim() != 2 or len(ids) != 1 or ids.shape[1] > MAX_TOKENS:
            raise ValueError(f"{name} is {list(ids.shape)}; one sentence of up to {MAX_TOKENS} tokens can be shown")
    model.eval()
    target_in = shift_right(target, bos_id)
    edits = [("source", i, _other(source, i)) for i in range(source.shape[1])]
    edits += [("target", i, _other(target_in, i)) for i in range(target_in.shape[1])]
    data = {
        "source": [token(i) for i in source[0].tolist()], "reads": [token(i) for i in target_in[0].tolist()],
        "writes": [token(i) for i in target[0].tolist()],
        "edits": [{"side": side, "place": place, "to": token(int(ids[0, place]))} for side, place, ids in edits],
        "variants": [_influence(model, name, source, target_in, edits, token) for name in VARIANTS],
    }  # fmt: skip
    alt = (
        f"Which of {source.shape[1]} encoder outputs and {target.shape[1]} decoder outputs change when one token of "
        "source or target is edited, with the decoder as it is, without its causal mask, and without cross-attention."
    )
    return page("influence", data, alt=alt, height=520)


def _other(ids: Tensor, place: int) -> Tensor:
    """The ids with another word of the same sentence at this place."""
    edited, own = ids.clone(), int(ids[0, place])
    words = [i for i in ids[0].tolist() if i > 3 and i != own] or [own + 1]
    edited[0, place] = words[place % len(words)]
    return edited


@torch.no_grad()
def _influence(model, name: str, source: Tensor, target_in: Tensor, edits: list, token: Callable) -> dict:
    changed = copy.copy(model)  # shares all weights
    changed.parts = dataclasses.replace(model.parts, **VARIANTS[name])

    def run(source: Tensor, target_in: Tensor) -> tuple[Tensor, Tensor]:
        memory = model.encode(source)
        return memory[0], changed.decode(target_in, memory, source)[0]

    def difference(after: Tensor, before: Tensor) -> list[float]:
        far = (after - before).norm(dim=-1) / before.norm(dim=-1)
        return significant(torch.where(far < 1e-5, 0.0, far), 3)  # smaller is rounding

    def best(logits: Tensor) -> list[str]:
        return [token(i) for i in logits.argmax(-1).tolist()]

    memory, logits = run(source, target_in)
    found = {"name": name, "best": best(logits), "after": []}
    for side, _, ids in edits:
        other_memory, other = run(ids, target_in) if side == "source" else run(source, ids)
        found["after"].append(
            {"memory": difference(other_memory, memory), "outputs": difference(other, logits), "best": best(other)}
        )
    return found
