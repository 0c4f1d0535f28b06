"""Lowerings of normalization layers and Softmax."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from edgeprune.tflite.conversion.layout_views import LayoutView
from edgeprune.tflite.conversion.lowering import Lowering
from edgeprune.tflite.conversion.onnx_graph import Node
from edgeprune.tflite.conversion.ops.base import lowering
from edgeprune.tflite.conversion.ops.view_operators import constant, elementwise, reduced
from edgeprune.tflite.tflite_schema import schema


@lowering("BatchNormalization", layout="any")
def batch_normalization(node: Node, low: Lowering) -> None:
    """Lower BatchNormalization to a scale and a shift, which are folded into a preceding convolution."""
    if node.get("training_mode", 0):
        raise node.unsupported("training_mode 1", "0: export the network in eval mode")
    gamma, beta, mean, variance = (low.array(name) for name in node.inputs[1:5])
    if gamma is None or beta is None or mean is None or variance is None:
        raise node.unsupported("statistics that are computed", "constant: export the network in eval mode")
    scale = gamma.astype(np.float64) / np.sqrt(variance.astype(np.float64) + node.get("epsilon", 1e-5))
    shift = beta - mean * scale
    view = low.view(node.inputs[0])
    for code, part in (("MUL", scale), ("ADD", shift)):
        data = part.astype(np.float32).reshape(-1, *(1,) * (view.rank - 2))
        view = elementwise(low, code, view, constant(low, code.lower(), data))
    low.write(node.outputs[0], view)


@lowering("LayerNormalization")
def layer_normalization(node: Node, low: Lowering) -> None:
    view = low.view(node.inputs[0])
    first = node.get("axis", -1) % view.rank
    result = _standardized(node, low, view, range(first, view.rank))
    result = elementwise(low, "MUL", result, low.view(node.inputs[1]))
    if node.input(2):
        result = elementwise(low, "ADD", result, low.view(node.inputs[2]))
    low.write(node.outputs[0], result)


@lowering("InstanceNormalization")
def instance_normalization(node: Node, low: Lowering) -> None:
    """Lower InstanceNormalization, as which GroupNorm is exported, too. Scale and bias have one value per channel."""
    view = low.view(node.inputs[0])
    result = _standardized(node, low, view, range(2, view.rank))
    for code, name in (("MUL", node.inputs[1]), ("ADD", node.inputs[2])):
        part = low.view(name)
        part = low.reshaped(part, (part.shape[0], *(1,) * (view.rank - 2)))
        result = elementwise(low, code, result, part)
    low.write(node.outputs[0], result)


@lowering("RMSNormalization")
def rms_normalization(node: Node, low: Lowering) -> None:
    view = low.view(node.inputs[0])
    axes = range(node.get("axis", -1) % view.rank, view.rank)
    mean = reduced(low, "MEAN", elementwise(low, "MUL", view, view), axes)
    inverse = elementwise(low, "RSQRT", elementwise(low, "ADD", mean, node.get("epsilon", 1e-5)))
    low.write(
        node.outputs[0], elementwise(low, "MUL", elementwise(low, "MUL", view, inverse), low.view(node.inputs[1]))
    )


def _standardized(node: Node, low: Lowering, view: LayoutView, axes: Iterable[int]) -> LayoutView:
    """Subtract the mean over ``axes``, and divide by the standard deviation."""
    over = list(axes)
    centred = elementwise(low, "SUB", view, reduced(low, "MEAN", view, over))
    variance = reduced(low, "MEAN", elementwise(low, "MUL", centred, centred), over)
    shifted = elementwise(low, "ADD", variance, node.get("epsilon", 1e-5))
    return elementwise(low, "MUL", centred, elementwise(low, "RSQRT", shifted))


@lowering("Softmax", "LogSoftmax")
def softmax(node: Node, low: Lowering) -> None:
    """Lower Softmax and LogSoftmax. TFLite computes them along the dimension that is stored last."""
    view = low.view(node.inputs[0])
    axis = node.get("axis", -1) % view.rank
    order = (*(dim for dim in view.order() if dim != axis), axis)
    x = low.arranged(view, order)
    y = (
        low.emit("SOFTMAX", [x], x.shape, schema.SoftmaxOptionsT(beta=1.0))
        if node.op == "Softmax"
        else low.emit("LOG_SOFTMAX", [x], x.shape)
    )
    low.write(node.outputs[0], LayoutView.of(y, order))
