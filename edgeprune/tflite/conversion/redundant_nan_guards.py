"""Removal of guards against NaN after a Softmax whose rows all have a value that is not masked.

PyTorch exports ``where(isnan(softmax(x)), 0, softmax(x))`` for scaled dot-product attention with a mask, because a row
that is masked as a whole has no Softmax. TFLite Micro has no int8 kernels for the guard.
"""

from __future__ import annotations

import numpy as np

from edgeprune.tflite.conversion.onnx_graph import Node, OnnxGraph


def remove_nan_guards(graph: OnnxGraph) -> None:
    """Let readers of a guard read the Softmax if its input is a matrix product plus a constant mask at most.

    NaN then results only from products that are not finite.
    """
    producers = graph.producers()
    for where in [node for node in graph.nodes if node.op == "Where"]:
        test, probabilities = producers.get(where.inputs[0]), producers.get(where.inputs[2])
        if (
            test is None
            or test.op != "IsNaN"
            or probabilities is None
            or probabilities.op != "Softmax"
            or test.inputs[0] != where.inputs[2]
            or where.outputs[0] in graph.outputs
            or not _is_finite(graph, producers, probabilities)
        ):
            continue
        for node in graph.nodes:
            node.inputs[:] = [where.inputs[2] if name == where.outputs[0] else name for name in node.inputs]
        graph.nodes.remove(where)
        if not any(test.outputs[0] in node.inputs for node in graph.nodes):
            graph.nodes.remove(test)


def _is_finite(graph: OnnxGraph, producers: dict[str, Node], softmax: Node) -> bool:
    """Return whether each row of the input of ``softmax`` has a finite value if all products of matrices are finite."""
    name = softmax.inputs[0]
    axis = softmax.get("axis", -1)
    rank = len(graph.shapes[name])
    while name in producers:
        node = producers[name]
        constants = [graph.constants[value] for value in node.inputs if value in graph.constants]
        if node.op == "MatMul":
            return True
        if len(constants) != 1:
            return False
        (values,) = constants
        if node.op == "Add":
            spread = values.reshape((1,) * (rank - values.ndim) + values.shape)
            if np.isneginf(spread).all(axis=axis).any():
                return False
        elif node.op not in ("Mul", "Div") or not np.isfinite(values).all():
            return False
        name = next(value for value in node.inputs if value not in graph.constants)
    return False
