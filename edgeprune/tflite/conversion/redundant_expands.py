"""Removal of Expand nodes before operators that broadcast anyway."""

from __future__ import annotations

import numpy as np

from edgeprune.tflite.conversion.onnx_graph import Node, OnnxGraph
from edgeprune.tflite.conversion.ops.elementwise_ops import BINARY


def remove_redundant_expands(graph: OnnxGraph) -> None:
    """Let operators that broadcast read the input of an Expand. Exporters write one for ``F.normalize``, for example.

    Without it, the network can be quantized: TFLite Micro has no int8 kernel for BROADCAST_TO.
    """
    readers = graph.readers()
    for expand in [node for node in graph.nodes if node.op == "Expand"]:
        source, expanded = expand.inputs[0], expand.outputs[0]
        users = readers.get(expanded, [])
        if expanded not in graph.outputs and all(_broadcasts(graph, user, source, expanded) for user in users):
            for user in users:
                user.inputs[:] = [source if name == expanded else name for name in user.inputs]
            graph.nodes.remove(expand)


def _broadcasts(graph: OnnxGraph, user: Node, source: str, expanded: str) -> bool:
    """Return whether ``user`` has results of the same shape if it reads ``source`` instead of ``expanded``."""
    if user.op not in BINARY:
        return False
    shapes = [_shape(graph, source if name == expanded else name) for name in user.inputs]
    return np.broadcast_shapes(*shapes) == graph.shapes[user.outputs[0]]


def _shape(graph: OnnxGraph, name: str) -> tuple[int, ...]:
    return graph.constants[name].shape if name in graph.constants else graph.shapes[name]
