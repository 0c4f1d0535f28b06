"""Folding of constant factors and terms for each channel into the weights and bias of the layer before them.

This removes BatchNorm (Jacob et al. 2018, section 3.2) and learned scales.
"""

from __future__ import annotations

import numpy as np

from edgeprune.operator_facts.tflite_operators import TFLITE
from edgeprune.tflite.conversion.tflite_graph import Array, Tensor, TfliteGraph, TfliteOp, Uses
from edgeprune.tflite.tflite_schema import schema


def fold_scales(graph: TfliteGraph) -> None:
    uses = Uses(graph)
    owners: dict[Tensor, TfliteOp] = {}  # layers by their output as it is after folding
    folded_ops = []
    for op in graph.ops:
        if TFLITE[op.code].channel_axis is not None:
            owners[op.output] = op
        elif TFLITE[op.code].scales_channels:
            layer = owners.get(op.first) if uses.sole_reader(op.first) is op else None
            values = None if layer is None else _per_channel(op, layer)
            if layer is not None and values is not None and _can_fold(layer):
                _fold(layer, op, values)
                owners[layer.output] = layer
                folded_ops.append(op)
    graph.remove(folded_ops)


def _can_fold(layer: TfliteOp) -> bool:
    """Return whether the layer has constant weights and no fused activation."""
    weights = layer.inputs[1]
    activation = layer.options.fusedActivationFunction
    return activation == schema.ActivationFunctionType.NONE and weights is not None and weights.is_constant


def _per_channel(op: TfliteOp, layer: TfliteOp) -> Array | None:
    """Return the constant operand of ``op`` for each channel of ``layer``; None for other operands."""
    operand = op.inputs[1]
    channels = layer.output.shape[-1]
    if operand is None or operand.data is None or op.output.shape != layer.output.shape:
        return None
    if operand.data.size != 1 and operand.shape != (*(1,) * (len(operand.shape) - 1), channels):
        return None
    return np.broadcast_to(operand.data.reshape(-1), channels)


def _fold(layer: TfliteOp, op: TfliteOp, values: Array) -> None:
    weights, axis, bias_index = layer.inputs[1], TFLITE[layer.code].channel_axis, TFLITE[layer.code].bias_input
    assert bias_index is not None
    bias = layer.inputs[bias_index]
    assert weights is not None
    assert weights.data is not None
    shift = np.zeros_like(values) if bias is None or bias.data is None else bias.data
    if op.code in ("MUL", "DIV"):
        scale = values if op.code == "MUL" else 1 / values
        shape = [len(values) if index == axis else 1 for index in range(weights.data.ndim)]
        layer.inputs[1] = Tensor.constant(weights.name, weights.data * scale.reshape(shape))
        shift = shift * scale
    else:
        shift = shift + (values if op.code == "ADD" else -values)
    name = f"{weights.name.removesuffix('/weights')}/bias" if bias is None else bias.name
    if bias is not None or shift.any():
        layer.inputs[bias_index] = Tensor.constant(name, shift)
    layer.outputs = op.outputs
    options = op.options
    layer.options.fusedActivationFunction = options.fusedActivationFunction
