"""Tensors that a forward makes, of a size that depends on the batch (others are constants, folded at capture)."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from tests.conformance.examples.base import Draw, Example, example, image, sequence

_FILLED: dict[str, Callable[[Tensor, list[int]], Tensor]] = {
    "empty": lambda x, shape: torch.empty(shape).fill_(0.5),
    "full": lambda x, shape: torch.full(shape, 0.5),
    "new_empty": lambda x, shape: x.new_empty(shape).fill_(0.5),
    "new_full": lambda x, shape: x.new_full(shape, 0.5),
    "new_ones": lambda x, shape: x.new_ones(shape),
    "new_zeros": lambda x, shape: x.new_zeros(shape),
    "ones": lambda x, shape: torch.ones(shape),
    "normal": lambda x, shape: torch.normal(0.0, 1.0, shape),
    "rand": lambda x, shape: torch.rand(shape),
    "randint": lambda x, shape: torch.randint(0, 3, shape),
    "randn": lambda x, shape: torch.randn(shape),
    "zeros": lambda x, shape: torch.zeros(shape),
}
for _name, _make in _FILLED.items():

    @example(_name)
    def _filled(draw: Draw, make: Callable[[Tensor, list[int]], Tensor] = _make) -> Example:
        channels = draw.size(2, 6)
        op = lambda x: torch.cat([x + make(x, [x.shape[0], channels, 1, 1]), make(x, [x.shape[0], 2, 4, 4])], 1)
        return image(draw, op, channels)


_PATTERNED: dict[str, Callable[[Tensor, int], Tensor]] = {
    "arange": lambda x, size: torch.arange(x.shape[0] * size).view(-1, size),
    "eye": lambda x, size: torch.eye(x.shape[0], size),
    "linspace": lambda x, size: torch.linspace(x.amin(), x.amax(), size),
    "randperm": lambda x, size: torch.randperm(x.shape[0] * size).view(-1, size),
}
for _name, _pattern in _PATTERNED.items():

    @example(_name)
    def _patterned(draw: Draw, pattern: Callable[[Tensor, int], Tensor] = _pattern) -> Example:
        features = draw.size(2, 6)
        op = lambda x: x + pattern(x, features)
        return sequence(draw, op, features, 0, steps=None, frozen="combined with data whose size is fixed")


@example("scalar_tensor")
def _scalar(draw: Draw) -> Example:
    return image(draw, lambda x: x * torch.ops.aten.scalar_tensor(x.shape[0]), draw.size(2, 6))
