"""Weights whose int8 scale leaves no room for the bias of their channel, such as those of a dead filter.

A bias is stored as int32 in steps of (scale of the input) x (scale of the weights of its channel). If all weights of a
channel are zero, or very small, 2^31 of these steps do not reach the bias, and the file would compute with another one.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from edgeprune.operator_facts.tflite_operators import TFLITE
from edgeprune.quantize.calibration_samples import Array
from edgeprune.tflite.tflite_file import operator_name, tensor_name
from edgeprune.tflite.tflite_schema import schema

_MOST_STEPS = 1 << 30
"""Steps to which a bias is limited: half of int32, so that a sum of products can be added."""
_WEIGHT_STEPS, _INPUT_STEPS = 127, 255
_WEIGHTS = 1
"""Index of the input that has the weights."""


def make_biases_representable(model: schema.ModelT, ranges: Mapping[str, Mapping[str, Array]]) -> None:
    """Raise one weight of each channel whose weights are too small for its bias, in place.

    The weight becomes at most 3e-5 of the bias over the largest input, far below a step of the output.

    Args:
        model: Float file.
        ranges: Smallest and largest value of each activation, as ``min`` and ``max`` by name.
    """
    graph = model.subgraphs[0]
    for op in graph.operators:
        facts = TFLITE[operator_name(model, op)]
        if facts.channel_axis is None or facts.bias_input is None or len(op.inputs) <= facts.bias_input:
            continue
        inputs = [int(index) for index in op.inputs]
        bias = _constant(model, inputs[facts.bias_input])
        weights = _constant(model, inputs[_WEIGHTS])
        source = next(at for at in range(facts.bias_input) if at != _WEIGHTS and at not in facts.size_inputs)
        name = tensor_name(graph, inputs[source])
        if bias is None or weights is None or name not in ranges:
            continue
        step = (max(float(ranges[name]["max"]), 0.0) - min(float(ranges[name]["min"]), 0.0)) / _INPUT_STEPS
        if step > 0:
            smallest = np.abs(bias) * np.float32(_WEIGHT_STEPS / (step * _MOST_STEPS))
            _raise(model, inputs[_WEIGHTS], weights, facts.channel_axis, smallest)


def _constant(model: schema.ModelT, index: int) -> Array | None:
    if index < 0:
        return None
    tensor = model.subgraphs[0].tensors[index]
    data = model.buffers[tensor.buffer].data
    if data is None or tensor.type != schema.TensorType.FLOAT32:
        return None
    values: Array = np.frombuffer(np.asarray(data, np.uint8).tobytes(), np.float32).reshape(tensor.shape)
    return values


def _raise(model: schema.ModelT, index: int, weights: Array, axis: int, smallest: Array) -> None:
    rows = np.moveaxis(weights, axis, 0).reshape(weights.shape[axis], -1).copy()
    small = np.abs(rows).max(1) < smallest
    if small.any():
        rows[small, 0] = smallest[small]
        moved = (weights.shape[axis], *np.delete(weights.shape, axis))
        content = np.ascontiguousarray(np.moveaxis(rows.reshape(moved), 0, axis))
        model.buffers[model.subgraphs[0].tensors[index].buffer].data = np.frombuffer(content.tobytes(), np.uint8)
