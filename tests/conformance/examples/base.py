"""What an example is: a network of random sizes with one operator between layers, and what must come out."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

import torch
from hypothesis import strategies as st
from torch import Tensor, nn

T = TypeVar("T")


class Draw:
    """Sizes that hypothesis chooses."""

    def __init__(self, data: st.DataObject) -> None:
        self._data = data

    def size(self, least: int, most: int) -> int:
        return self._data.draw(st.integers(least, most))

    def one_of(self, *values: T) -> T:
        return self._data.draw(st.sampled_from(values))

    def order(self, length: int) -> Tensor:
        return torch.tensor(self._data.draw(st.permutations(range(length))))


@dataclass(frozen=True)
class Example:
    """``units`` is how many units of each layer may be removed, ``frozen`` a part of the reason why others may not.

    Layers are named by the beginning of their parameters' names. ``counted`` says whether torch counts the
    multiply-adds of all operators.
    """

    network: nn.Module
    inputs: tuple[Tensor, ...]
    units: Mapping[str, int]
    frozen: Mapping[str, str] = field(default_factory=dict)
    counted: bool = True


CAPTURED_AS = {
    "aten._prelu_kernel": "aten.prelu",  # what prelu runs on
    "aten.cudnn_batch_norm": "aten.batch_norm",  # a backend is chosen when the program runs
    "aten.lift_fresh": "aten.lift_fresh_copy",  # capture has no memory to share
}
"""Operators that are never captured under their own name, and what is captured instead."""

Build = Callable[[Draw], Example]
_examples: dict[str, list[Build]] = {}


def example(*ops: str) -> Callable[[Build], Build]:
    """Decorator: the function makes an example of the ATen operators ``ops``."""

    def add(build: Build) -> Build:
        for op in ops:
            _examples.setdefault(f"aten.{op}", []).append(build)
        return build

    return add


def examples() -> Mapping[str, Sequence[Build]]:
    """All examples by operator."""
    return dict(_examples)


class Between(nn.Module):
    """``before``, an operation, ``after``."""

    def __init__(self, before: nn.Module, op: Callable[..., Tensor], after: nn.Module) -> None:
        super().__init__()
        self.before, self.op, self.after = before, op, after

    def forward(self, x: Tensor) -> Tensor:
        return self.after(self.op(self.before(x)))


_CONVOLUTIONS = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d)


def image(
    draw: Draw,
    op: Callable[..., Tensor],
    channels: int,
    units: int | None = None,
    *,
    rank: int = 2,
    size: int | tuple[int, ...] = 4,
    read: str = "conv",
    **remainder: Any,
) -> Example:
    """``op`` on (batch, channels, *positions) that a convolution made.

    ``read`` is what comes behind it: a convolution over dimension 1, or a linear layer over the last one.

    All channels may go, unless ``units`` says how many.
    """
    kernel = draw.one_of(1, 3)
    before = _CONVOLUTIONS[rank](2, channels, kernel, padding=kernel // 2)
    sizes = size if isinstance(size, tuple) else (size,) * rank
    return _between(before, op, torch.randn(2, 2, *sizes), channels if units is None else units, read, **remainder)


def sequence(
    draw: Draw,
    op: Callable[..., Tensor],
    features: int,
    units: int | None = None,
    *,
    steps: int | None = 5,
    read: str = "linear",
    **remainder: Any,
) -> Example:
    """``op`` on (batch, steps, features) that a linear layer made, or (batch, features) where ``steps`` is None."""
    before = nn.Linear(3, features, bias=draw.one_of(True, False))
    x = torch.randn(2, 3) if steps is None else torch.randn(2, steps, 3)
    return _between(before, op, x, features if units is None else units, read, **remainder)


def _between(
    before: nn.Module,
    op: Callable[..., Tensor],
    x: Tensor,
    units: int,
    read: str,
    *,
    frozen: str | None = None,
    more: Mapping[str, int] | None = None,
    counted: bool = True,
) -> Example:
    with torch.no_grad():
        shape = op(before(x)).shape
    after = (
        nn.Linear(shape[-1], 3)
        if read == "linear" or len(shape) == 2
        else _CONVOLUTIONS[len(shape) - 2](shape[1], 3, 1)
    )
    return Example(
        Between(before, op, after),
        (x,),
        {"before": 0 if frozen and units == 0 else units, **(more or {})},
        {"before": frozen} if frozen else {},
        counted,
    )
