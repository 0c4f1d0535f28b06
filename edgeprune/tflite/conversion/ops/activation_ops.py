"""Lowerings of activations."""

from __future__ import annotations

import numpy as np

from edgeprune.tflite.conversion.lowering import Lowering
from edgeprune.tflite.conversion.onnx_graph import Node
from edgeprune.tflite.conversion.ops.base import lowering
from edgeprune.tflite.conversion.tflite_graph import Tensor
from edgeprune.tflite.tflite_schema import schema

_PLAIN = {"Relu": "RELU", "Sigmoid": "LOGISTIC", "Tanh": "TANH", "HardSwish": "HARD_SWISH"}
_CLIPS = {(0.0, np.inf): "RELU", (0.0, 6.0): "RELU6", (-1.0, 1.0): "RELU_N1_TO_1"}


@lowering(*_PLAIN, layout="any")
def plain(node: Node, low: Lowering) -> None:
    view = low.view(node.inputs[0])
    low.write(node.outputs[0], view.over(_same(low, _PLAIN[node.op], view.tensor)))


@lowering("Clip", layout="any")
def clip(node: Node, low: Lowering) -> None:
    lowest, highest = (_limit(node, low, index) for index in (1, 2))
    view = low.view(node.inputs[0])
    x = view.tensor
    if (lowest, highest) in _CLIPS and x.dtype == np.float32:
        x = _same(low, _CLIPS[lowest, highest], x)
    else:
        for code, limit in (("MAXIMUM", lowest), ("MINIMUM", highest)):
            if np.isfinite(limit):
                x = _with_scalar(low, code, x, limit)
    low.write(node.outputs[0], view.over(x))


@lowering("LeakyRelu", layout="any")
def leaky_relu(node: Node, low: Lowering) -> None:
    view = low.view(node.inputs[0])
    options = schema.LeakyReluOptionsT(alpha=node.get("alpha", 0.01))
    low.write(node.outputs[0], view.over(_same(low, "LEAKY_RELU", view.tensor, options)))


@lowering("PRelu", layout="any")
def prelu(node: Node, low: Lowering) -> None:
    """Lower PRelu. Only the slope is broadcast to the input."""
    (x, slope), view = low.aligned([low.view(name) for name in node.inputs])
    low.write(node.outputs[0], view.over(low.emit("PRELU", [x, slope], x.shape)))


@lowering("Elu", layout="any")
def elu(node: Node, low: Lowering) -> None:
    """Lower Elu. TFLite's ELU has alpha 1; other values scale only the negative part."""
    view = low.view(node.inputs[0])
    x, alpha = view.tensor, node.get("alpha", 1.0)
    if alpha == 1:
        y = _same(low, "ELU", x)
    else:
        negative = _with_scalar(low, "MUL", _same(low, "ELU", _with_scalar(low, "MINIMUM", x, 0)), alpha)
        y = low.emit("ADD", [_same(low, "RELU", x), negative], x.shape, schema.AddOptionsT())
    low.write(node.outputs[0], view.over(y))


@lowering("Selu", "Celu", layout="any")
def scaled_elu(node: Node, low: Lowering) -> None:
    """Lower Selu and Celu to a part for positive and one for negative values, as TFLite's ELU has no parameters."""
    view = low.view(node.inputs[0])
    x = view.tensor
    if node.op == "Selu":
        gamma = node.get("gamma", 1.05070102214813232421875)
        negative_factor, inner_factor = gamma * node.get("alpha", 1.67326319217681884765625), 1.0
    else:
        gamma, negative_factor = 1.0, node.get("alpha", 1.0)
        inner_factor = 1 / negative_factor
    negative = _scaled(low, _with_scalar(low, "MINIMUM", x, 0), inner_factor)
    negative = _scaled(low, _same(low, "ELU", negative), negative_factor)
    positive = _scaled(low, _same(low, "RELU", x), gamma)
    low.write(node.outputs[0], view.over(low.emit("ADD", [positive, negative], x.shape, schema.AddOptionsT())))


@lowering("Softplus", layout="any")
def softplus(node: Node, low: Lowering) -> None:
    """Lower Softplus to ``relu(x) + log(1 + exp(-|x|))``, which does not overflow."""
    view = low.view(node.inputs[0])
    x = view.tensor
    decay = _same(low, "EXP", _same(low, "NEG", _same(low, "ABS", x)))
    smooth = _same(low, "LOG", _with_scalar(low, "ADD", decay, 1))
    y = low.emit("ADD", [_same(low, "RELU", x), smooth], x.shape, schema.AddOptionsT())
    low.write(node.outputs[0], view.over(y))


@lowering("Gelu", layout="any")
def gelu(node: Node, low: Lowering) -> None:
    view = low.view(node.inputs[0])
    options = schema.GeluOptionsT(approximate=node.get("approximate", "none") == "tanh")
    low.write(node.outputs[0], view.over(_same(low, "GELU", view.tensor, options)))


@lowering("HardSigmoid", layout="any")
def hard_sigmoid(node: Node, low: Lowering) -> None:
    """Lower HardSigmoid as a scaled RELU6: ``relu6(6 * (alpha * x + beta)) / 6``."""
    view = low.view(node.inputs[0])
    alpha, beta = (np.float32(node.get(name, default)) for name, default in (("alpha", 0.2), ("beta", 0.5)))
    x = view.tensor
    if not np.isclose(6 * alpha, 1, rtol=1e-6):
        x = _with_scalar(low, "MUL", x, 6 * alpha)
    y = _same(low, "RELU6", _with_scalar(low, "ADD", x, 6 * beta))
    low.write(node.outputs[0], view.over(_with_scalar(low, "MUL", y, 1 / 6)))


def _same(low: Lowering, code: str, x: Tensor, options: object = None) -> Tensor:
    return low.emit(code, [x], x.shape, options)


def _with_scalar(low: Lowering, code: str, x: Tensor, value: float) -> Tensor:
    options = {"MUL": schema.MulOptionsT, "ADD": schema.AddOptionsT}.get(code, schema.MaximumMinimumOptionsT)
    return low.emit(code, [x, low.constant(code.lower(), np.array(value, x.dtype))], x.shape, options())


def _scaled(low: Lowering, x: Tensor, factor: float) -> Tensor:
    return x if factor == 1 else _with_scalar(low, "MUL", x, factor)


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
