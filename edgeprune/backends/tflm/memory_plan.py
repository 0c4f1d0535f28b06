"""Memory plan of TensorFlow Lite Micro: offsets of activations and scratch buffers in the arena.

The algorithm is that of ``GreedyMemoryPlanner``. It places buffers in order of decreasing size, and equal ones last
first. Each gets the lowest offset that no buffer alive at the same time occupies. The complexity is quadratic in the
number of buffers.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from edgeprune.tflite.tflite_file import tensor_bytes
from edgeprune.tflite.tflite_schema import schema

_ALIGNMENT = 16


@dataclass(frozen=True)
class Buffer:
    """Buffer that is alive during a range of operators.

    Attributes:
        bytes: Size before alignment, in bytes.
        first: Index of the first operator that needs it, from 1; 0 for an input of the network.
        last: Index of the last operator that needs it.
        tensor: Index of the tensor; None for a scratch buffer.
    """

    bytes: int
    first: int
    last: int
    tensor: int | None = None


def activations(model: schema.ModelT) -> list[Buffer]:
    """Activations of the first subgraph, by tensor index. Inputs live from the start and outputs to the end."""
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
    """Size of the arena's nonpersistent part in bytes: the largest end offset of a buffer."""
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


def _overlap(first: Buffer, second: Buffer) -> bool:
    return first.first <= second.last and second.first <= first.last


def _aligned(size: int) -> int:
    return size + -size % _ALIGNMENT
