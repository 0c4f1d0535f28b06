"""How an ONNX tensor lies in a stored one.

Reshape, Transpose, Flatten, Squeeze and Unsqueeze move nothing: they change how their input is looked at. Only an
operator that must have its input in one order has it moved, so most of them vanish: NCHW and NHWC are two views of
the same stored tensor, and a Flatten of NHWC is one that the Gemm behind it meets by permuting its weights.
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
    """The order in which dimension 1 is stored last: ``(0, 2, 3, 1)`` is NHWC of NCHW."""
    return identity(rank) if rank < 3 else (0, *range(2, rank), 1)


@dataclass(frozen=True)
class LayoutView:
    """An ONNX tensor seen in a stored one.

    Attributes:
        tensor: What is stored.
        factors: Sizes, none of them 1, that the stored elements are counted by, the slowest first.
        dims: For each dimension of the ONNX tensor the factors it is made of, the slowest first; none for size 1.
    """

    tensor: Tensor
    factors: Shape
    dims: tuple[Shape, ...]

    @classmethod
    def of(cls, tensor: Tensor, order: Sequence[int] | None = None) -> LayoutView:
        """The stored dimension i is dimension ``order[i]`` of the ONNX tensor; None: they are the same."""
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
        """The same view of another stored tensor with as many elements."""
        return replace(self, tensor=tensor)

    def transposed(self, order: Sequence[int]) -> LayoutView:
        return replace(self, dims=tuple(self.dims[dim] for dim in order))

    def reshaped(self, shape: Sequence[int]) -> LayoutView | None:
        """Reshape like ONNX; None if elements that are stored apart would have to become adjacent."""
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
        start, rest = 0, 1
        upcoming = iter(runs)
        for wanted in shape:
            dims.append([])
            size = wanted
            while size != 1:
                if rest == 1:
                    start, rest = next(upcoming)
                if rest % size and size % rest:
                    return None
                taken = min(rest, size)
                dims[-1].append(len(pieces))
                pieces.append((start, len(pieces), taken))
                rest, size = rest // taken, size // taken
        stored = {number: place for place, (_, number, _) in enumerate(sorted(pieces))}
        return LayoutView(
            self.tensor,
            tuple(size for *_, size in sorted(pieces)),
            tuple(tuple(stored[number] for number in dim) for dim in dims),
        )

    def stored_dims(self) -> tuple[Shape, ...] | None:
        """The factors in each dimension of the stored tensor; None where one factor spans several of them."""
        groups: list[Shape] = []
        factor = 0
        for wanted in self.tensor.shape:
            size, group = 1, []
            while size < wanted:
                size *= self.factors[factor]
                group.append(factor)
                factor += 1
            if size != wanted:
                return None
            groups.append(tuple(group))
        return tuple(groups)

    def order(self) -> Shape:
        """Which ONNX dimension is stored where, from the slowest on; where they are interleaved, by where they start.

        Dimensions of size 1 may stand anywhere: as the stored tensor has them if it can, else channels last.
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
