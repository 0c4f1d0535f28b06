"""Lowerings of activations."""

from __future__ import annotations

import numpy as np

from edgeprune.tflite.conversion.layout_views import LayoutView
from edgeprune.tflite.conversion.lowering import Lowering
from edgeprune.tflite.conversion.onnx_graph import Node
from edgeprune.tflite.conversion.ops.base import lowering
from edgeprune.tflite.conversion.ops.view_operators import converted, elementwise
from edgeprune.tflite.tflite_schema import schema

_PLAIN = {"Relu": "RELU", "Sigmoid": "LOGISTIC", "Tanh": "TANH", "HardSwish": "HARD_SWISH"}
_CLIPS = {(0.0, np.inf): "RELU", (0.0, 6.0): "RELU6", (-1.0, 1.0): "RELU_N1_TO_1"}


@lowering(*_PLAIN, layout="any")
def plain(node: Node, low: Lowering) -> None:
    low.write(node.outputs[0], elementwise(low, _PLAIN[node.op], low.view(node.inputs[0])))


@lowering("Clip", layout="any")
def clip(node: Node, low: Lowering) -> None:
    lowest, highest = (_limit(node, low, index) for index in (1, 2))
    x = low.view(node.inputs[0])
    if (lowest, highest) in _CLIPS and x.tensor.dtype == np.float32:
        x = elementwise(low, _CLIPS[lowest, highest], x)
    else:
        for code, limit in (("MAXIMUM", lowest), ("MINIMUM", highest)):
            if np.isfinite(limit):
                x = elementwise(low, code, x, limit)
    low.write(node.outputs[0], x)


@lowering("LeakyRelu", layout="any")
def leaky_relu(node: Node, low: Lowering) -> None:
    view = low.view(node.inputs[0])
    options = schema.LeakyReluOptionsT(alpha=node.get("alpha", 0.01))
    low.write(node.outputs[0], view.over(low.emit("LEAKY_RELU", [view.tensor], view.tensor.shape, options)))


@lowering("PRelu", layout="any")
def prelu(node: Node, low: Lowering) -> None:
    """Lower PRelu. Only the slope is broadcast to the input."""
    low.write(node.outputs[0], elementwise(low, "PRELU", *(low.view(name) for name in node.inputs)))


@lowering("Elu", layout="any")
def elu(node: Node, low: Lowering) -> None:
    """Lower Elu. TFLite's ELU has alpha 1; other values scale only the negative part."""
    x, alpha = low.view(node.inputs[0]), node.get("alpha", 1.0)
    if alpha == 1:
        y = elementwise(low, "ELU", x)
    else:
        negative = elementwise(low, "MUL", elementwise(low, "ELU", elementwise(low, "MINIMUM", x, 0)), alpha)
        y = elementwise(low, "ADD", elementwise(low, "RELU", x), negative)
    low.write(node.outputs[0], y)


@lowering("Selu", "Celu", layout="any")
def scaled_elu(node: Node, low: Lowering) -> None:
    """Lower Selu and Celu to a part for positive and one for negative values, as TFLite's ELU has no parameters."""
    x = low.view(node.inputs[0])
    if node.op == "Selu":
        gamma = node.get("gamma", 1.05070102214813232421875)
        negative_factor, inner_factor = gamma * node.get("alpha", 1.67326319217681884765625), 1.0
    else:
        gamma, negative_factor = 1.0, node.get("alpha", 1.0)
        inner_factor = 1 / negative_factor
    negative = _scaled(low, elementwise(low, "MINIMUM", x, 0), inner_factor)
    negative = _scaled(low, elementwise(low, "ELU", negative), negative_factor)
    positive = _scaled(low, elementwise(low, "RELU", x), gamma)
    low.write(node.outputs[0], elementwise(low, "ADD", positive, negative))


@lowering("Softplus", layout="any")
def softplus(node: Node, low: Lowering) -> None:
    low.write(node.outputs[0], _softplus(low, low.view(node.inputs[0])))


@lowering("Mish", layout="any")
def mish(node: Node, low: Lowering) -> None:
    x = low.view(node.inputs[0])
    low.write(node.outputs[0], elementwise(low, "MUL", x, elementwise(low, "TANH", _softplus(low, x))))


@lowering("Softsign", layout="any")
def softsign(node: Node, low: Lowering) -> None:
    x = low.view(node.inputs[0])
    low.write(node.outputs[0], elementwise(low, "DIV", x, elementwise(low, "ADD", elementwise(low, "ABS", x), 1)))


@lowering("Shrink", layout="any")
def shrink(node: Node, low: Lowering) -> None:
    """Lower Shrink. With equal ``lambd`` and ``bias`` (Softshrink) it is ``relu(x - lambd) - relu(-x - lambd)``."""
    x = low.view(node.inputs[0])
    limit, bias = node.get("lambd", 0.5), node.get("bias", 0.0)
    if limit == bias:
        above, below = (elementwise(low, "SUB", part, limit) for part in (x, elementwise(low, "MUL", x, -1)))
        y = elementwise(low, "SUB", *(elementwise(low, "RELU", part) for part in (above, below)))
    else:
        outer = {}
        for code, edge, shift in (("GREATER", limit, -bias), ("LESS", -limit, bias)):
            outside = converted(low, elementwise(low, code, x, edge), x.tensor.dtype)
            shifted = elementwise(low, "ADD", x, shift) if shift else x
            outer[code] = elementwise(low, "MUL", outside, shifted)
        y = elementwise(low, "ADD", *outer.values())
    low.write(node.outputs[0], y)


@lowering("ThresholdedRelu", layout="any")
def thresholded_relu(node: Node, low: Lowering) -> None:
    x = low.view(node.inputs[0])
    above = converted(low, elementwise(low, "GREATER", x, node.get("alpha", 1.0)), x.tensor.dtype)
    low.write(node.outputs[0], elementwise(low, "MUL", x, above))


@lowering("Gelu", layout="any")
def gelu(node: Node, low: Lowering) -> None:
    view = low.view(node.inputs[0])
    options = schema.GeluOptionsT(approximate=node.get("approximate", "none") == "tanh")
    low.write(node.outputs[0], view.over(low.emit("GELU", [view.tensor], view.tensor.shape, options)))


@lowering("HardSigmoid", layout="any")
def hard_sigmoid(node: Node, low: Lowering) -> None:
    """Lower HardSigmoid as a scaled RELU6: ``relu6(6 * (alpha * x + beta)) / 6``."""
    alpha, beta = (np.float32(node.get(name, default)) for name, default in (("alpha", 0.2), ("beta", 0.5)))
    x = low.view(node.inputs[0])
    if not np.isclose(6 * alpha, 1, rtol=1e-6):
        x = elementwise(low, "MUL", x, 6 * alpha)
    y = elementwise(low, "RELU6", elementwise(low, "ADD", x, 6 * beta))
    low.write(node.outputs[0], elementwise(low, "MUL", y, 1 / 6))


def _softplus(low: Lowering, x: LayoutView) -> LayoutView:
    """Compute ``relu(x) + log(1 + exp(-|x|))``, which does not overflow."""
    decay = elementwise(low, "EXP", elementwise(low, "NEG", elementwise(low, "ABS", x)))
    smooth = elementwise(low, "LOG", elementwise(low, "ADD", decay, 1))
    return elementwise(low, "ADD", elementwise(low, "RELU", x), smooth)


def _scaled(low: Lowering, x: LayoutView, factor: float) -> LayoutView:
    return x if factor == 1 else elementwise(low, "MUL", x, factor)


def _limit(node: Node, low: Lowering, index: int) -> float:
    if not node.input(index):
        return (-np.inf, np.inf)[index - 1]
    value = low.array(node.inputs[index])
    if value is None:
        raise node.unsupported("limits that are computed", "constant")
    limit = float(value.item())
    lower, upper = (
        (-np.inf, np.inf) if value.dtype.kind != "f" else (np.finfo(np.float32).min, np.finfo(np.float32).max)
    )
    return -np.inf if limit <= lower else np.inf if limit >= upper else limit
