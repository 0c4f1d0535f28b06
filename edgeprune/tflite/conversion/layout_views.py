"""Views of ONNX tensors in stored tensors with another layout.

Reshape, Transpose, Flatten, Squeeze and Unsqueeze do not move elements. They only change the view of their input.
Elements are moved only for operators that require an order, so most of these operators disappear. NCHW and NHWC are two
views of the same stored tensor. A Flatten of NHWC is a view that the following Gemm handles by permuting its weights.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import prod

from edgeprune.tflite.conversion.tflite_graph import Tensor

Shape = tuple[int, ...]


def identity(rank: int) -> Shape:
    return tuple(range(rank))


def channels_last(rank: int) -> Shape:
    """Return the order in which dimension 1 is stored last: ``(0, 2, 3, 1)`` is NHWC of NCHW."""
    return identity(rank) if rank < 3 else (0, *range(2, rank), 1)


@dataclass(frozen=True)
class LayoutView:
    """View of an ONNX tensor in a stored tensor.

    Attributes:
        tensor: Stored tensor.
        factors: Factors of the stored shape, all greater than 1, in storage order (slowest first).
        dims: Indices of the factors of each ONNX dimension, the slowest first; empty for size 1.
    """

    tensor: Tensor
    factors: Shape
    dims: tuple[Shape, ...]

    @classmethod
    def of(cls, tensor: Tensor, order: Sequence[int] | None = None) -> LayoutView:
        """Create a view in which stored dimension i is ONNX dimension ``order[i]``; None for the same order."""
        order = identity(len(tensor.shape)) if order is None else order
        factors: list[int] = []
        dims: list[Shape] = [()] * len(order)
        for size, dim in zip(tensor.shape, order, strict=True):
            if size != 1:
                dims[dim] = (len(factors),)
                factors.append(size)
        return cls(tensor, tuple(factors), tuple(dims))

    @property
    def shape(self) -> Shape:
        """Shape of the ONNX tensor."""
        return tuple(prod(self.factors[factor] for factor in dim) for dim in self.dims)

    @property
    def rank(self) -> int:
        return len(self.dims)

    def over(self, tensor: Tensor) -> LayoutView:
        """Return the same view of another stored tensor with the same number of elements."""
        return replace(self, tensor=tensor)

    def transposed(self, order: Sequence[int]) -> LayoutView:
        return replace(self, dims=tuple(self.dims[dim] for dim in order))

    def reshaped(self, shape: Sequence[int]) -> LayoutView | None:
        """Reshape like ONNX; None if elements that are not adjacent in storage would have to become adjacent."""
        runs: list[tuple[int, int]] = []  # first factor and size of what is stored as it is counted
        last = -2
        for factor in (factor for dim in self.dims for factor in dim):
            if factor == last + 1:
                runs[-1] = (runs[-1][0], runs[-1][1] * self.factors[factor])
            else:
                runs.append((factor, self.factors[factor]))
            last = factor
        pieces: list[tuple[int, int, int]] = []  # first factor of its run, number, size
        dims: list[list[int]] = []
        start, remaining = 0, 1
        upcoming = iter(runs)
        for target_size in shape:
            dims.append([])
            size = target_size
            while size != 1:
                if remaining == 1:
                    start, remaining = next(upcoming)
                if remaining % size and size % remaining:
                    return None
                piece_size = min(remaining, size)
                dims[-1].append(len(pieces))
                pieces.append((start, len(pieces), piece_size))
                remaining, size = remaining // piece_size, size // piece_size
        stored = {number: position for position, (_, number, _) in enumerate(sorted(pieces))}
        return LayoutView(
            self.tensor,
            tuple(size for *_, size in sorted(pieces)),
            tuple(tuple(stored[number] for number in dim) for dim in dims),
        )

    def stored_dims(self) -> tuple[Shape, ...] | None:
        """Return the factors of each stored dimension; None if a factor spans several dimensions."""
        groups: list[Shape] = []
        factor = 0
        for stored_size in self.tensor.shape:
            size, group = 1, []
            while size < stored_size:
                size *= self.factors[factor]
                group.append(factor)
                factor += 1
            if size != stored_size:
                return None
            groups.append(tuple(group))
        return tuple(groups)

    def order(self) -> Shape:
        """Return the storage order of the ONNX dimensions, the slowest first. Interleaved ones are sorted by start.

        The position of dimensions of size 1 is free. The order follows the stored tensor if possible, or else channels
        last.
        """
        stored = sorted((index for index, dim in enumerate(self.dims) if dim), key=lambda index: min(self.dims[index]))
        usual = [
            order
            for order in (channels_last(self.rank), identity(self.rank))
            if [index for index in order if self.dims[index]] == stored
        ]
        as_it_is = self._order_of_stored(stored)
        for order in (*usual, *([as_it_is] if as_it_is else [])):
            if tuple(self.shape[dim] for dim in order) == self.tensor.shape:
                return order
        units = [index for index, dim in enumerate(self.dims) if not dim]
        return usual[0] if usual else (*units, *stored)

    def _order_of_stored(self, stored: Sequence[int]) -> Shape | None:
        if len(self.tensor.shape) != self.rank:
            return None
        units = iter([index for index, dim in enumerate(self.dims) if not dim])
        sized = iter(stored)
        order = [next(units if size == 1 else sized, None) for size in self.tensor.shape]
        return None if None in order else tuple(index for index in order if index is not None)
