"""Activations into the operator that computes their input."""

from __future__ import annotations

from edgeprune.backends.tflite.graph import Graph, Uses
from edgeprune.export.tflite_schema import schema

_FUNCTIONS = {
    "RELU": schema.ActivationFunctionType.RELU,
    "RELU6": schema.ActivationFunctionType.RELU6,
    "RELU_N1_TO_1": schema.ActivationFunctionType.RELU_N1_TO_1,
}
_PRODUCERS = (
    "ADD", "AVERAGE_POOL_2D", "CONV_2D", "DEPTHWISE_CONV_2D", "DIV", "FULLY_CONNECTED", "MAX_POOL_2D", "MUL", "SUB",
    "TRANSPOSE_CONV",
)  # fmt: skip


def fuse_activations(graph: Graph) -> None:
    uses = Uses(graph)
    gone = []
    for op in graph.ops:
        producer = uses.producer(op.first) if op.code in _FUNCTIONS else None
        if producer is None or producer.code not in _PRODUCERS or uses.sole_reader(op.first) is None:
            continue
        if producer.options.fusedActivationFunction == schema.ActivationFunctionType.NONE:
            producer.options.fusedActivationFunction = _FUNCTIONS[op.code]
            producer.outputs = op.outputs
            gone.append(op)
    graph.remove(gone)
