"""Lowerings of elementwise operators on one tensor, or on tensors that broadcast."""

from __future__ import annotations

from functools import reduce

import numpy as np

from edgeprune.operator_facts.onnx_operators import ONNX
from edgeprune.tflite.conversion.layout_views import LayoutView
from edgeprune.tflite.conversion.lowering import Lowering
from edgeprune.tflite.conversion.onnx_graph import Node
from edgeprune.tflite.conversion.ops.base import lowering
from edgeprune.tflite.conversion.ops.view_operators import constant, converted, elementwise

_UNARY = {
    "Abs": "ABS",
    "Ceil": "CEIL",
    "Cos": "COS",
    "Exp": "EXP",
    "Floor": "FLOOR",
    "Log": "LOG",
    "Neg": "NEG",
    "Not": "LOGICAL_NOT",
    "Round": "ROUND",
    "Sign": "SIGN",
    "Sin": "SIN",
    "Sqrt": "SQRT",
}
_LARGEST_EXPONENT = 4
BINARY = {
    "Add": "ADD",
    "Div": "DIV",
    "Max": "MAXIMUM",
    "Min": "MINIMUM",
    "Mul": "MUL",
    "Pow": "POW",
    "Sub": "SUB",
    "Equal": "EQUAL",
    "Greater": "GREATER",
    "GreaterOrEqual": "GREATER_EQUAL",
    "Less": "LESS",
    "LessOrEqual": "LESS_EQUAL",
    "And": "LOGICAL_AND",
    "Or": "LOGICAL_OR",
}
"""Operators whose inputs broadcast, with their TFLite operators."""


@lowering(*_UNARY, layout="any")
def unary(node: Node, low: Lowering) -> None:
    low.write(node.outputs[0], elementwise(low, _UNARY[node.op], low.view(node.inputs[0])))


@lowering(*BINARY, layout="any")
def binary(node: Node, low: Lowering) -> None:
    """Lower an elementwise operator. Max and Min take any number of tensors, the others two."""
    exponent = _exponent(node, low) if node.op == "Pow" else None
    if exponent is not None:
        low.write(node.outputs[0], _power(low, low.view(node.inputs[0]), exponent))
        return
    views = [low.view(name) for name in node.inputs]
    if ONNX[node.op].commutative:  # constants last: there they can go into the layer before
        views.sort(key=lambda view: view.tensor.is_constant)
    if len(views) == 1:
        low.write(node.outputs[0], views[0])
    dtype = views[0].tensor.dtype
    if node.op == "Div" and dtype == np.int64:  # which DIV does not support
        views = [converted(low, view, np.dtype(np.int32)) for view in views]
    result = views[0]
    for view in views[1:]:
        result = elementwise(low, BINARY[node.op], result, view)
    low.write(node.outputs[0], converted(low, result, dtype) if node.op == "Div" else result)


@lowering("Reciprocal", layout="any")
def reciprocal(node: Node, low: Lowering) -> None:
    low.write(node.outputs[0], elementwise(low, "DIV", 1, low.view(node.inputs[0])))


@lowering("IsNaN", layout="any")
def is_nan(node: Node, low: Lowering) -> None:
    """Lower IsNaN: NaN is the only value that differs from itself."""
    view = low.view(node.inputs[0])
    low.write(node.outputs[0], elementwise(low, "NOT_EQUAL", view, view))


@lowering("Where", layout="any")
def where(node: Node, low: Lowering) -> None:
    """Lower Where. A constant condition that masks a computed value by constants becomes a factor and a term.

    Unlike a selection, both can be quantized. Values that are masked must be finite.
    """
    condition = low.array(node.inputs[0])
    masked = [index for index in (1, 2) if low.array(node.inputs[index]) is not None]
    if condition is None or len(masked) != 1 or low.source.dtypes[node.outputs[0]] != np.float32:
        low.write(node.outputs[0], elementwise(low, "SELECT_V2", *(low.view(name) for name in node.inputs)))
        return
    fill = low.array(node.inputs[masked[0]])
    assert fill is not None
    is_masked = condition if masked[0] == 1 else ~condition
    result = low.view(node.inputs[3 - masked[0]])
    if not np.isinf(fill).all():  # the sum with an infinite value is this value
        result = elementwise(low, "MUL", result, constant(low, "factor", (~is_masked).astype(np.float32)))
    if fill.any():
        term = np.where(is_masked, fill, np.float32(0))
        result = elementwise(low, "ADD", result, constant(low, "term", term))
    shape = low.source.shapes[node.outputs[0]]
    low.write(node.outputs[0], result if result.shape == shape else _expanded(low, result, shape))


def _expanded(low: Lowering, view: LayoutView, shape: tuple[int, ...]) -> LayoutView:
    return elementwise(low, "ADD", view, constant(low, "zeros", np.zeros(shape, np.float32)))


_EXPONENT_ROUNDING = 1e-6
"""Exports of distances have the exponent 1 / (2 + 1e-6). The power of any float32 then differs by less than 1e-4."""


def _exponent(node: Node, low: Lowering) -> float | None:
    """Return the exponent of a Pow if products and roots compute it; None for others."""
    exponents, base = low.array(node.inputs[1]), low.view(node.inputs[0])
    if exponents is None or exponents.size == 0 or base.shape != low.source.shapes[node.outputs[0]]:
        return None
    exponent = float(exponents.flat[0])
    quarters = round(4 * exponent) / 4 if np.isfinite(exponent) else exponent
    if not (exponents == exponent).all() or not 0 < abs(exponent) <= _LARGEST_EXPONENT:
        return None
    if abs(exponent - quarters) <= _EXPONENT_ROUNDING:
        exponent = quarters
    whole = exponent > 0 and exponent % 1 == 0
    return exponent if whole or (exponent % 0.25 == 0 and base.tensor.dtype == np.float32) else None


def _power(low: Lowering, x: LayoutView, exponent: float) -> LayoutView:
    """Compute a power by products and roots. TFLite Micro has no POW, and ONNX allows negative bases."""
    if exponent == -0.5:
        return elementwise(low, "RSQRT", x)
    if exponent < 0:
        return elementwise(low, "DIV", 1, _power(low, x, -exponent))
    factors = [x] * int(exponent)
    fraction = exponent % 1
    if fraction:
        root = elementwise(low, "SQRT", x)
        factors += [root] if fraction >= 0.5 else []
        factors += [elementwise(low, "SQRT", root)] if fraction % 0.5 else []
    return reduce(lambda left, right: elementwise(low, "MUL", left, right), factors)
