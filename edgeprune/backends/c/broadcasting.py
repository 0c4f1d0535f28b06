"""Broadcasting of two operands over the shape of the output."""

from __future__ import annotations

from collections.abc import Sequence

from edgeprune.backends.c.int8_network import Step
from edgeprune.errors import ModelError

_RANK = 4


def broadcast(step: Step) -> tuple[list[int], list[list[int]]]:
    """Return sizes and steps of both operands, with dimensions that both walk alike merged, as four dimensions.

    Raises:
        ModelError: More than four dimensions remain.
    """
    first, second, output = step.input(0), step.input(1), step.output
    rank = len(output.shape)
    shapes = [(1,) * (rank - len(tensor.shape)) + tensor.shape for tensor in (first, second)]
    dims: list[tuple[int, tuple[bool, bool]]] = []
    for axis, size in enumerate(output.shape):
        walks = shapes[0][axis] > 1, shapes[1][axis] > 1
        if size == 1:
            continue
        if dims and dims[-1][1] == walks:
            dims[-1] = dims[-1][0] * size, walks
        else:
            dims.append((size, walks))
    if len(dims) > _RANK:
        raise ModelError(f"{step.name} broadcasts over more than {_RANK} dimensions: reshape its inputs")
    dims = [(1, (False, False))] * (_RANK - len(dims)) + dims
    steps = []
    for operand in range(2):
        own: list[int] = []
        each = 1
        for size, walks in reversed(dims):
            own.insert(0, each if walks[operand] else 0)
            each *= size if walks[operand] else 1
        steps.append(own)
    return [size for size, _ in dims], steps


def braced(values: Sequence[int]) -> str:
    """Return the initializer of an array."""
    return "{" + ", ".join(map(str, values)) + "}"
