"""Folding of a constant channel selection into the weights of its producer, across activations in between."""

from __future__ import annotations

import numpy as np

from edgeprune.operator_facts.tflite_operators import TFLITE
from edgeprune.tflite.conversion.tflite_graph import Array, Tensor, TfliteGraph, TfliteOp, Uses


def fold_channel_selections(graph: TfliteGraph) -> None:
    uses = Uses(graph)
    folded_ops = []
    for op in graph.ops:
        if op.code != "GATHER" or op.options.axis != len(op.first.shape) - 1:
            continue
        path = _path(op, uses)
        indices = op.inputs[1]
        if path is None or indices is None or indices.data is None:
            continue
        _select_channels(path[0], indices.data)
        for op_on_path in path:
            op_on_path.output.shape = (*op_on_path.output.shape[:-1], indices.data.size)
        path[-1].outputs = op.outputs
        folded_ops.append(op)
    graph.remove(folded_ops)


def _path(gather: TfliteOp, uses: Uses) -> list[TfliteOp] | None:
    """Return the layer whose channels are selected and the activations up to ``gather``; None for other operators."""
    path: list[TfliteOp] = []
    reader = gather
    while True:
        op = uses.producer(reader.first)
        if op is None or uses.sole_reader(reader.first) is not reader:
            return None
        path.append(op)
        if op.code in ("CONV_2D", "FULLY_CONNECTED"):
            weights = op.inputs[1]
            grouped = op.code == "CONV_2D" and weights is not None and weights.shape[3] != op.first.shape[3]
            return None if grouped or weights is None or not weights.is_constant else path[::-1]
        if not TFLITE[op.code].by_element:
            return None
        reader = op


def _select_channels(layer: TfliteOp, indices: Array) -> None:
    operator = TFLITE[layer.code]
    for input_index, axis in ((1, operator.channel_axis), (operator.bias_input, 0)):
        assert input_index is not None
        old = layer.inputs[input_index]
        if old is not None:
            assert old.data is not None
            layer.inputs[input_index] = Tensor.constant(old.name, np.take(old.data, indices, axis))
