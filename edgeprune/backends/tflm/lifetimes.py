"""Which operator of a TFLite file needs the most memory for activations, and for which tensors."""

from __future__ import annotations

from dataclasses import dataclass

from edgeprune.backends.tflm.memory_plan import activations
from edgeprune.tflite.tflite_file import operator_name, tensor_name
from edgeprune.tflite.tflite_schema import schema


@dataclass(frozen=True)
class Alive:
    """A tensor that is in memory.

    Attributes:
        name: Of the ONNX node that makes it, or of the input.
        bytes: It takes.
        input: It is an input of the network, which nothing that is pruned makes smaller.
    """

    name: str
    bytes: int
    input: bool = False


@dataclass(frozen=True)
class Peak:
    """The operator while which most bytes of activations are alive.

    Attributes:
        operator: Its TFLite operator.
        name: Of what it writes.
        tensors: What is alive then, the largest first.
    """

    operator: str
    name: str
    tensors: tuple[Alive, ...]

    @property
    def bytes(self) -> int:
        """Bytes of all of them; the planner may leave gaps between."""
        return sum(tensor.bytes for tensor in self.tensors)

    def __str__(self) -> str:
        shown = ", ".join(f"{one.name}{' (the input)' * one.input} {one.bytes:,}" for one in self.tensors)
        return f"{self.operator} {self.name} with {shown} bytes"


def peak(model: schema.ModelT) -> Peak:
    """Find the operator of the first subgraph with the most bytes of activations; the first of several."""
    graph, buffers = model.subgraphs[0], activations(model)
    alive = [
        [buffer for buffer in buffers if buffer.first <= step <= buffer.last]
        for step in range(len(graph.operators) + 1)
    ]
    worst = max(range(len(alive)), key=lambda step: (sum(buffer.bytes for buffer in alive[step]), step > 0, -step))
    inputs = set(map(int, graph.inputs))
    tensors = [
        Alive(tensor_name(graph, buffer.tensor), buffer.bytes, buffer.tensor in inputs)
        for buffer in alive[worst]
        if buffer.tensor is not None
    ]
    op = graph.operators[worst - 1] if worst else None
    return Peak(
        "nothing" if op is None else operator_name(model, op),
        "" if op is None or not len(op.outputs) else tensor_name(graph, int(op.outputs[0])),
        tuple(sorted(tensors, key=lambda tensor: -tensor.bytes)),
    )
