"""The memory plan of TensorFlow Lite Micro: where activations and scratch buffers lie in the arena.

The algorithm is that of ``GreedyMemoryPlanner``: buffers are placed by size, the largest first and of equal ones the
last first, each at the lowest offset that no buffer alive at the same time occupies.
Quadratic in the number of buffers.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from edgeprune.tflite.tflite_file import tensor_bytes
from edgeprune.tflite.tflite_schema import schema

_ALIGNMENT = 16


@dataclass(frozen=True)
class Buffer:
    """Memory that is needed for some operators.

    Attributes:
        bytes: Size, before alignment.
        first: Index of the first operator that needs it, from 1; 0 for an input of the network.
        last: Index of the last operator that needs it.
        tensor: Index of the tensor; None for a scratch buffer.
    """

    bytes: int
    first: int
    last: int
    tensor: int | None = None


def activations(model: schema.ModelT) -> list[Buffer]:
    """Activations of the first subgraph, by tensor index; inputs are alive from the start, outputs to the end."""
    graph = model.subgraphs[0]
    first = dict.fromkeys(map(int, graph.inputs), 0)
    last = dict(first)
    for step, op in enumerate(graph.operators, 1):
        for index in (*op.inputs, *op.outputs):
            if index >= 0 and model.buffers[graph.tensors[index].buffer].data is None:
                first.setdefault(int(index), step)
                last[int(index)] = step
    last |= {int(index): len(graph.operators) for index in graph.outputs if int(index) in first}
    return [Buffer(tensor_bytes(graph.tensors[index]), first[index], last[index], index) for index in sorted(first)]


def planned_bytes(buffers: Iterable[Buffer]) -> int:
    """Bytes of the arena's nonpersistent part: the end of the buffer that ends last."""
    placed: list[tuple[int, int, Buffer]] = []
    for _, buffer in sorted(enumerate(buffers), key=lambda pair: (-_aligned(pair[1].bytes), -pair[0])):
        size = _aligned(buffer.bytes)
        start = _lowest_gap(size, [(begin, end) for begin, end, other in placed if _overlap(buffer, other)])
        placed.append((start, start + size, buffer))
    return max((end for _, end, _ in placed), default=0)


def _lowest_gap(size: int, occupied: Sequence[tuple[int, int]]) -> int:
    start = 0
    for begin, end in sorted(occupied):
        if begin - start >= size:
            break
        start = max(start, end)
    return start


def _overlap(one: Buffer, other: Buffer) -> bool:
    return one.first <= other.last and other.first <= one.last


def _aligned(size: int) -> int:
    return size + -size % _ALIGNMENT
