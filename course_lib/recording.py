"""Look at attention weights without changing any interface: ``with record_attention(model) as maps``."""

import inspect
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from torch import Tensor, nn


class AttentionTap:
    """A module's outlet for its attention weights; closed unless somebody is recording.

    A module that owns a tap asks ``tap.is_open`` and, only then, computes its weights explicitly and hands
    them to ``tap.record``.
    """

    def __init__(self) -> None:
        self.sink: Callable[[Tensor], None] | None = None

    @property
    def is_open(self) -> bool:
        return self.sink is not None

    def record(self, weights: Tensor) -> None:
        """Hand over ``weights`` [B, H, Tq, Tk], taken before dropout."""
        if self.sink is not None:
            self.sink(weights.detach())

    def __deepcopy__(self, memo: dict) -> "AttentionTap":
        return AttentionTap()


class AttentionMaps(dict[str, Tensor]):
    """Attention weights [B, H, Tq, Tk] by module name; of several calls the last counts, ``calls`` has them all."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: dict[str, list[Tensor]] = defaultdict(list)


@contextmanager
def record_attention(model: nn.Module) -> Iterator[AttentionMaps]:
    """Collect the attention weights of every forward pass made while the context is open.

    Args:
        model: any module with attention modules inside (or one itself).

    Yields:
        A dict from module name ("decoder.layers.0.cross_attention") to weights [B, H, Tq, Tk]: detached, before
        dropout, each row summing to 1 (or to 0 where a query may attend to nothing).

    Raises:
        ValueError: nothing in ``model`` can be recorded.
    """
    maps = AttentionMaps()
    taps = {name: module.tap for name, module in attention_modules(model).items()}

    def sink(name: str) -> Callable[[Tensor], None]:
        def collect(weights: Tensor) -> None:
            maps[name] = weights
            maps.calls[name].append(weights)

        return collect

    before = {name: tap.sink for name, tap in taps.items()}
    for name, tap in taps.items():
        tap.sink = sink(name)
    try:
        yield maps
    finally:
        for name, tap in taps.items():
            tap.sink = before[name]


def attention_modules(model: nn.Module) -> dict[str, nn.Module]:
    """The modules of ``model`` whose attention weights can be recorded, by name.

    Raises:
        ValueError: there is none.
    """
    found = {name: module for name, module in model.named_modules() if isinstance(_tap_of(module), AttentionTap)}
    if not found:
        raise ValueError(f"{type(model).__name__} has no attention module to record")
    return found


def passed_argument(module: nn.Module, number: int, arguments: tuple, options: dict) -> object:
    """What a call of ``module`` passed as its ``number``-th argument, by place or by name; None where it passed none.

    For forward hooks of a learner's modules, whose arguments may have any names.
    """
    names = list(inspect.signature(module.forward).parameters)
    bound = inspect.signature(module.forward).bind(*arguments, **options).arguments
    return bound.get(names[number]) if number < len(names) else None


def _tap_of(module: nn.Module) -> object:
    return vars(module).get("tap")
