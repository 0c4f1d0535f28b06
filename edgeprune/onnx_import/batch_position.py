"""Position of the batch in a tensor, and reshapes that preserve it.

An ONNX file is often exported for one batch size, which is then a number in the targets of its reshapes. The importer
runs every operator three times: on two examples of the batch size of the file, and on both together. The position of
the batch in a result is where the third result contains the other two. An operator whose third result contains them at
no position mixes the samples of a batch, or depends on a batch size in the file.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import prod

import torch
from torch import Tensor

_TOLERANCE = 1e-3
"""Largest difference of results for one sample and for a batch, relative to the largest value. Kernels differ."""
_DIFFERENT_INDICES = 0.01
"""Largest fraction of integers and booleans that may differ, since comparisons of nearly equal values may."""


@dataclass(frozen=True)
class Position:
    """Position of the batch in a tensor.

    Attributes:
        dim: Dimension that contains the batch.
        outer: Number of indices of this dimension that are outside of the batch: the index is
            (outer index, sample, inner index), the last one fastest.
    """

    dim: int
    outer: int = 1

    def prefix(self, shape: Sequence[int]) -> int:
        """Return the number of elements outside of the batch in row-major order."""
        return prod(shape[: self.dim]) * self.outer


class MixedBatchError(Exception):
    """A result cannot be computed for a batch of another size than that of the file."""


def locate(first: Tensor, second: Tensor, both: Tensor, batch: int) -> Position | None:
    """Return the position of the batch in ``both``, which was computed from the inputs of ``first`` and ``second``.

    Args:
        first: Result for the first example.
        second: Result for the second example, of the same shape.
        both: Result for both examples as one batch.
        batch: Batch size of each example.

    Returns:
        The position, or None if the result does not depend on the batch.

    Raises:
        MixedBatchError: ``both`` does not contain ``first`` and ``second``.
    """
    first, second, both = first.detach(), second.detach(), both.detach()
    shape = tuple(first.shape)
    if first.shape != second.shape or first.ndim != both.ndim:
        raise MixedBatchError(f"its result has the shape {tuple(both.shape)} for a batch of {2 * batch}")
    changed = [dim for dim, size in enumerate(shape) if both.shape[dim] != size]
    if not changed:
        if _equal(first, both) and _equal(second, both):
            return None
        raise MixedBatchError("its result mixes the samples of a batch")
    [dim] = changed if len(changed) == 1 else [-1]
    if dim < 0 or both.shape[dim] != 2 * shape[dim] or shape[dim] % batch:
        raise MixedBatchError(f"its result has the shape {tuple(both.shape)} for a batch of {2 * batch}")
    for outer in _divisors(shape[dim] // batch):
        parts = both.reshape(*shape[:dim], outer, 2, shape[dim] // outer, *shape[dim + 1 :])
        one, other = (parts.select(dim + 1, index).reshape(shape) for index in range(2))
        if _equal(one, first) and _equal(other, second):
            return Position(dim, outer)
    raise MixedBatchError("its result mixes the samples of a batch")


def reshape_positions(position: Position, shape: Sequence[int], target: Sequence[int], batch: int) -> list[int]:
    """Return the dimensions of ``target`` that can contain the batch after a reshape, the most plausible first.

    A reshape keeps the order of the elements, so that the elements outside of the batch remain outside. If the batch
    lies between two dimensions of the target, it can become part of either one. A dimension of the batch size itself
    is preferred, then the dimension after it, as in (samples * heads), and the last dimension (features) comes last.

    Args:
        position: Position of the batch in the input.
        shape: Shape of the input.
        target: Shape of the result; both for the batch size of the file.
        batch: Batch size of the file.
    """
    outside, before = position.prefix(shape), 1
    plausible: list[tuple[int, int]] = []
    for dim, size in enumerate(target):
        starts_here, ends_here = outside == before, outside * batch == before * size
        inside = outside % before == 0 and (before * size) % (outside * batch) == 0
        if size % batch == 0 and (starts_here or ends_here or inside):
            is_last = dim == len(target) - 1 and len(target) > 1
            rank = 0 if size == batch and starts_here else 3 if is_last else 1 if starts_here else 2
            plausible.append((rank, dim))
        before *= size
    return [dim for _, dim in sorted(plausible)]


def _divisors(number: int) -> Iterator[int]:
    """Yield the divisors of a number: 1, the number itself, then the others."""
    yield 1
    if number > 1:
        yield number
    yield from (divisor for divisor in range(2, number) if number % divisor == 0)


def _equal(value: Tensor, expected: Tensor) -> bool:
    if not value.is_floating_point():
        different = (value != expected).sum().item()
        return different <= _DIFFERENT_INDICES * value.numel()
    if value.numel() == 0:
        return True
    finite = torch.isfinite(expected)
    if not bool(finite.all()):
        if not torch.equal(torch.isfinite(value), finite):
            return False
        value, expected = value[finite], expected[finite]
        if value.numel() == 0:
            return True
    scale = float(expected.abs().max())
    return float((value - expected).abs().max()) <= _TOLERANCE * max(scale, 1e-6)
