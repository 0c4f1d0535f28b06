"""Which operator of a TFLite file needs the most memory for activations, and for which tensors."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

from ai_edge_litert import schema_py_generated as schema

from edgeprune.export.tflite_file import operator_name, tensor_bytes, tensor_name


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
        """Of all of them; the planner may leave gaps between."""
        return sum(tensor.bytes for tensor in self.tensors)

    def __str__(self) -> str:
        shown = ", ".join(f"{one.name}{' (the input)' * one.input} {one.bytes:,}" for one in self.tensors)
        return f"{self.operator} {self.name} with {shown} bytes"


def peak(model: schema.ModelT) -> Peak:
    """Of the first subgraph; its inputs are alive from the start, its outputs to the end, as TFLite Micro has it."""
    graph = model.subgraphs[0]
    made = dict.fromkeys(map(int, graph.inputs), 0)
    last: dict[int, int] = {}
    for step, op in enumerate(graph.operators):
        for index in (*op.inputs, *op.outputs):
            if index >= 0 and model.buffers[graph.tensors[index].buffer].data is None:
                made.setdefault(int(index), step)
                last[int(index)] = step
    last |= dict.fromkeys(map(int, graph.outputs), len(graph.operators))
    steps = len(graph.operators)
    changes = [0] * (steps + 2)
    for index, start in made.items():
        size = tensor_bytes(graph.tensors[index])
        changes[start] += size
        changes[last.get(index, steps) + 1] -= size
    alive = list(itertools.accumulate(changes[: max(steps, 1)]))
    worst = alive.index(max(alive))
    inputs = set(map(int, graph.inputs))
    tensors = [
        Alive(tensor_name(graph, index), tensor_bytes(graph.tensors[index]), index in inputs)
        for index, start in made.items()
        if start <= worst <= last.get(index, worst)
    ]
    op = graph.operators[worst] if steps else None
    return Peak(
        "nothing" if op is None else operator_name(model, op),
        "" if op is None or not len(op.outputs) else tensor_name(graph, int(op.outputs[0])),
        tuple(sorted(tensors, key=lambda tensor: -tensor.bytes)),
    )
