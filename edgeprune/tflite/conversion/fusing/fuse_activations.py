"""Fusion of activations into the operator that computes their input."""

from __future__ import annotations

from edgeprune.operator_facts.tflite_operators import TFLITE
from edgeprune.tflite.conversion.tflite_graph import TfliteGraph, Uses
from edgeprune.tflite.tflite_schema import schema


def fuse_activations(graph: TfliteGraph) -> None:
    uses = Uses(graph)
    fused_ops = []
    for op in graph.ops:
        producer = uses.producer(op.first) if TFLITE[op.code].fuses_into_producer else None
        if producer is None or not TFLITE[producer.code].takes_activation or uses.sole_reader(op.first) is None:
            continue
        if producer.options.fusedActivationFunction == schema.ActivationFunctionType.NONE:
            producer.options.fusedActivationFunction = getattr(schema.ActivationFunctionType, op.code)
            producer.outputs = op.outputs
            fused_ops.append(op)
    graph.remove(fused_ops)
