"""Looking inside a trained model: attention rolled out over the layers, heads switched off, words left out, gradients.

Reading weights is looking; switching off, leaving out and editing are experiments.
"""

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from course_lib.attention import merge_heads, split_heads
from course_lib.config import DecodeConfig
from course_lib.recording import attention_modules, passed_argument
from course_lib.transformer import Transformer
from course_lib.translator import Translator


def attention_rollout(maps: Sequence[Tensor]) -> Tensor:
    """How much of each input token there is in each output token, if attention alone carried it.

    Of each layer the heads are averaged, the identity is added for the residual connection, and the rows are divided by
    their sums; the layers are multiplied, later ones from the left (Abnar and Zuidema 2020, §3):
    R = Ã_L … Ã_2 Ã_1 with Ã = normalised(mean over heads of A + I).

    Args:
        maps: self-attention weights [H, T, T] of each layer, the first layer first.

    Returns:
        [T, T]: row i sums to 1 and says where output i comes from.

    Raises:
        ValueError: there is no map.
    """
    if not maps:
        raise ValueError("there are no maps to roll out: one [H, T, T] for each layer is needed")
    rollout = None
    for weights in maps:
        mixed = weights.mean(0) + torch.eye(weights.shape[-1], dtype=weights.dtype, device=weights.device)  # [T, T]
        mixed = mixed / mixed.sum(-1, keepdim=True)
        rollout = mixed if rollout is None else mixed @ rollout
    return rollout


def occlusion(score: Callable[[list], object], ids: Sequence) -> list:
    """What each token is worth: the score of all of them minus the score without it (Zeiler and Fergus 2014, §4.2).

    Args:
        score: called with a list of tokens; gives a number, or a tensor of several.
        ids: the tokens.

    Returns:
        One difference for each position: positive where the score falls without the token.
    """
    ids = list(ids)
    whole = score(ids)
    return [whole - score(ids[:place] + ids[place + 1 :]) for place in range(len(ids))]


def integrated_gradients(f: Callable[[Tensor], Tensor], x: Tensor, baseline: Tensor, steps: int = 32) -> Tensor:
    """Share out f(x) - f(baseline) among the numbers of x (Sundararajan, Taly and Yan 2017, eq. 1).

    (x - x') ⊙ the mean of ∇f along the straight line from x' to x, by the midpoint rule.

    Args:
        f: of a tensor of x's shape, gives one number.
        x, baseline: what is explained, and what it is compared with; of one shape.
        steps: points on the line; one point, at x itself, and a baseline of zeros would be gradient × input.

    Returns:
        A tensor of x's shape whose sum is f(x) - f(baseline), up to the error of the rule ("completeness").
    """
    total = torch.zeros_like(x)
    for k in range(steps):
        point = (baseline + (k + 0.5) / steps * (x - baseline)).detach().requires_grad_()
        total += torch.autograd.grad(f(point), point)[0]
    return (x - baseline) * total / steps


# ---- experiments on a model -----------------------------------------------------------------------------------------


@contextmanager
def heads_off(model: Transformer, off: Mapping[str, Iterable[int]]) -> Iterator[None]:
    """Switch attention heads off while the context is open: what they find no longer reaches the rest of the model.

    A head's output has a block of columns in W^O to itself; these are set to 0 (Michel, Levy and Neubig 2019, §2.3: the
    mask ξ_h = 0). Works in every model of the library, also in one built from a learner's parts.

    Args:
        model: its weights are as before when the context is left.
        off: head numbers by the name of the attention module, as `record_attention` names them.

    Raises:
        ValueError: there is no such module or head.
    """
    modules, n_heads = attention_modules(model), model.config.n_heads
    width = model.config.d_model // n_heads
    before = {}
    for name, heads in off.items():
        _known(name, modules)
        for head in heads:
            if not 0 <= head < n_heads:
                raise ValueError(f"{name} has no head {head}: there are heads 0 to {n_heads - 1}")
    try:
        for name, heads in off.items():
            weight = modules[name].output.weight
            before[name] = weight.detach().clone()
            for head in heads:
                weight.data[:, head * width : (head + 1) * width] = 0.0
        yield
    finally:
        for name, weight in before.items():
            modules[name].output.weight.data.copy_(weight)


@contextmanager
def edit_attention(model: Transformer, edits: Mapping[str, Callable[[Tensor], Tensor]]) -> Iterator[None]:
    """Let attention modules use other weights than they compute, while the context is open.

    Args:
        model: any of the library, also one built from a learner's parts; in evaluation mode.
        edits: by module name a function from weights [B, H, Tq, Tk] to the weights that shall be used instead.

    Raises:
        ValueError: there is no such module.
    """
    modules, seen, before, hooks = attention_modules(model), {}, {}, []

    def use(name: str) -> Callable:
        def hook(module: nn.Module, arguments: tuple, options: dict, _output: Tensor) -> Tensor:
            weights = edits[name](seen.pop(name))
            value = split_heads(module.value(passed_argument(module, 2, arguments, options)), weights.shape[1])
            return module.output(merge_heads(weights @ value))

        return hook

    for name in edits:
        _known(name, modules)
    try:
        for name in edits:
            before[name] = modules[name].tap.sink
            modules[name].tap.sink = lambda weights, name=name: seen.update({name: weights})
            hooks.append(modules[name].register_forward_hook(use(name), with_kwargs=True))
        yield
    finally:
        for hook in hooks:
            hook.remove()
        for name, sink in before.items():
            modules[name].tap.sink = sink


def _known(name: str, modules: Mapping[str, nn.Module]) -> None:
    if name not in modules:
        raise ValueError(f"the model has no attention module {name!r}; it has {', '.join(modules)}")


# ---- of a translation -----------------------------------------------------------------------------------------------


@torch.inference_mode()
def log_probabilities(translator: Translator, source: list[int], target: list[int]) -> Tensor:
    """log p of each target token, given the source and the target before it.

    Args:
        source, target: ids; whether they end with eos is up to the caller.

    Returns:
        [Tt].
    """
    device, bos = translator.device, translator.tokenizer.bos_id
    logits = translator.model(
        torch.tensor([source], device=device), torch.tensor([[bos, *target[:-1]]], device=device)
    )  # [1, Tt, V]
    return logits[0].log_softmax(-1).gather(-1, torch.tensor(target, device=device)[:, None])[:, 0]


def occlude_words(translator: Translator, text: str, target: str | None = None) -> tuple[list[str], list[str], Tensor]:
    """What each source word is worth to each target token: log p with the word minus log p without it.

    Args:
        text: the sentence.
        target: a translation to explain; the model's own if left out.

    Returns:
        Source tokens without the end token (Ts), target tokens with it (Tt), and the differences [Tt, Ts] in nats.
    """
    source, target_ids = _ids(translator, text, target)
    *words, eos = source
    worth = occlusion(lambda left: log_probabilities(translator, [*left, eos], target_ids), words)
    token = translator.tokenizer.token
    return [token(i) for i in words], [token(i) for i in target_ids], torch.stack(worth, dim=1)  # [Tt, Ts]


def gradient_times_input(
    translator: Translator, text: str, target: str | None = None
) -> tuple[list[str], list[str], Tensor]:
    """The slope of each target token's log p along each source word's vector: ∇log p(y_t)·x_s (Shrikumar et al. 2016).

    Args, returns: as for ``occlude_words``. It is what the straight line through the present point says of setting the
    word's vector to zero.
    """
    return _slopes(translator, text, target, torch.ones(1))


def integrate_words(
    translator: Translator, text: str, target: str | None = None, steps: int = 32
) -> tuple[list[str], list[str], Tensor]:
    """Each source word's share in log p of each target token, by ``integrated_gradients`` from vectors of zeros.

    Args, returns: as for ``occlude_words``; the end token's share is left out.
        steps: points on the way from zeros to the words' vectors, all computed in one batch.
    """
    return _slopes(translator, text, target, (torch.arange(steps) + 0.5) / steps)


def _slopes(
    translator: Translator, text: str, target: str | None, scales: Tensor
) -> tuple[list[str], list[str], Tensor]:
    """The gradient of each target token's log p, averaged over points scale · vectors, times the vectors."""
    source, target_ids = _ids(translator, text, target)
    model, device = translator.model, translator.device
    source_ids = torch.tensor([source], device=device).expand(len(scales), -1)  # [S, Ts]
    target_in = torch.tensor([[translator.tokenizer.bos_id, *target_ids[:-1]]], device=device).expand(len(scales), -1)
    vectors = (model.embedding(source_ids[0]) * math.sqrt(model.config.d_model)).detach()  # [Ts, D]
    points = (scales.to(device)[:, None, None] * vectors).requires_grad_()  # [S, Ts, D]
    with torch.enable_grad():
        memory = model.encoder(model.positions(points), model.parts.padding_mask(source_ids, model.config.pad_id))
        log_p = model.decode(target_in, memory, source_ids).log_softmax(-1)  # [S, Tt, V]
        slopes = [
            torch.autograd.grad(log_p[:, t, token].sum(), points, retain_graph=True)[0].mean(0)  # [Ts, D]
            for t, token in enumerate(target_ids)
        ]
    worth = torch.stack([(slope * vectors).sum(-1) for slope in slopes])[:, :-1]  # [Tt, Ts]
    token = translator.tokenizer.token
    return [token(i) for i in source[:-1]], [token(i) for i in target_ids], worth


def _ids(translator: Translator, text: str, target: str | None) -> tuple[list[int], list[int]]:
    """Ids of source and target, both with their end token."""
    source, tokenizer = translator.encode(text), translator.tokenizer
    ids = translator.search([source], DecodeConfig())[0] if target is None else tokenizer.encode(target)
    return source, [*ids, tokenizer.eos_id]


def rank_correlation(a: Tensor, b: Tensor) -> float:
    """Spearman's rank correlation of two lists of numbers without ties: 1 for the same order, -1 for the opposite."""
    ranks = torch.stack([a.argsort().argsort(), b.argsort().argsort()]).double()
    return torch.corrcoef(ranks)[0, 1].item()
