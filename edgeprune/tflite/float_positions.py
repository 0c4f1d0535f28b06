"""Operators that compute positions of elements, such as the grid of a spatial transformer. They remain float in int8.

A position in 8 bits selects a wrong element of any image that is larger than some pixels, and the difference between a
position and its integer part would be lost.
"""

from __future__ import annotations

from edgeprune.operator_facts.tflite_operators import TFLITE
from edgeprune.tflite.tflite_file import operator_name
from edgeprune.tflite.tflite_schema import schema

_FLOAT32 = schema.TensorType.FLOAT32


def position_operators(model: schema.ModelT) -> list[schema.OperatorT]:
    """Return the operators after the last layers with weights whose results are converted to integers.

    This includes readers of a FLOOR. Operators that ai-edge-quantizer does not quantize are omitted.
    """
    graph = model.subgraphs[0]
    producers = {int(index): op for op in graph.operators for index in op.outputs}
    integral = {id(op) for op in graph.operators if _is_integral(model, op)}
    floors = {int(index) for op in graph.operators if operator_name(model, op) == "FLOOR" for index in op.outputs}
    results = [op for op in graph.operators if id(op) in integral or any(int(index) in floors for index in op.inputs)]
    visited = {id(op) for op in results}
    pending = list(results)
    while pending:
        for index in pending.pop().inputs:
            op = producers.get(int(index))
            if op is not None and id(op) not in visited and TFLITE[operator_name(model, op)].channel_axis is None:
                visited.add(id(op))
                results.append(op)
                pending.append(op)
    return [op for op in results if TFLITE[operator_name(model, op)].int8 == "integer"]


def _is_integral(model: schema.ModelT, op: schema.OperatorT) -> bool:
    """Return whether ``op`` converts floats to whole numbers."""
    name, tensors = operator_name(model, op), model.subgraphs[0].tensors
    if name == "CAST":
        return bool(tensors[op.inputs[0]].type == _FLOAT32 != tensors[op.outputs[0]].type)
    return name == "FLOOR"
