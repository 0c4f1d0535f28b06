"""Operator of a TFLite file at which the live activations are largest."""

from __future__ import annotations

from edgeprune.backends.footprint import LiveTensor, Peak
from edgeprune.backends.tflm.memory_plan import activations
from edgeprune.tflite.tflite_file import operator_name, tensor_name
from edgeprune.tflite.tflite_schema import schema


def peak(model: schema.ModelT) -> Peak:
    """Find the operator of the first subgraph with the largest live activations; of equal ones the first."""
    graph, buffers = model.subgraphs[0], activations(model)
    alive = [
        [buffer for buffer in buffers if buffer.first <= step <= buffer.last]
        for step in range(len(graph.operators) + 1)
    ]
    worst = max(range(len(alive)), key=lambda step: (sum(buffer.bytes for buffer in alive[step]), step > 0, -step))
    inputs = set(map(int, graph.inputs))
    tensors = [
        LiveTensor(tensor_name(graph, buffer.tensor), buffer.bytes, buffer.tensor in inputs)
        for buffer in alive[worst]
        if buffer.tensor is not None
    ]
    op = graph.operators[worst - 1] if worst else None
    return Peak(
        "nothing" if op is None else operator_name(model, op),
        "" if op is None or not len(op.outputs) else tensor_name(graph, int(op.outputs[0])),
        tuple(sorted(tensors, key=lambda tensor: -tensor.bytes)),
    )
