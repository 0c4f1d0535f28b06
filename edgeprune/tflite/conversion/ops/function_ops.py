"""Lowerings of elementwise functions without a TFLite operator, as compositions of others."""

from __future__ import annotations

from functools import reduce

import numpy as np

from edgeprune.tflite.conversion.layout_views import LayoutView
from edgeprune.tflite.conversion.lowering import Lowering
from edgeprune.tflite.conversion.onnx_graph import Node
from edgeprune.tflite.conversion.ops.base import lowering
from edgeprune.tflite.conversion.ops.view_operators import constant, converted, elementwise

_ERF_NUMERATOR = (
    -2.72614225801306e-10, 2.77068142495902e-08, -2.10102402082508e-06, -5.69250639462346e-05, -7.34990630326855e-04,
    -2.95459980854025e-03, -1.60960333262415e-02,
)  # fmt: skip
_ERF_DENOMINATOR = (
    -1.45660718464996e-05, -2.13374055278905e-04, -1.68282697438203e-03, -7.37332916720468e-03, -1.42647390514189e-02,
)  # fmt: skip


@lowering("Sum", "Mean", layout="any")
def sum_of_tensors(node: Node, low: Lowering) -> None:
    views = sorted((low.view(name) for name in node.inputs), key=lambda view: view.tensor.is_constant)
    total = reduce(lambda left, right: elementwise(low, "ADD", left, right), views)
    if node.op == "Mean" and len(views) > 1:
        total = elementwise(low, "MUL", total, 1 / len(views))
    low.write(node.outputs[0], total)


@lowering("Mod", layout="any")
def modulo(node: Node, low: Lowering) -> None:
    """Lower Mod. The result has the sign of the divisor, or with ``fmod`` 1 that of the dividend."""
    dividend, divisor = (low.view(name) for name in node.inputs)
    if node.get("fmod", 0):
        remainder = elementwise(low, "FLOOR_MOD", *(elementwise(low, "ABS", view) for view in (dividend, divisor)))
        result = elementwise(low, "MUL", remainder, elementwise(low, "SIGN", dividend))
    else:
        result = elementwise(low, "FLOOR_MOD", dividend, divisor)
    low.write(node.outputs[0], result)


@lowering("Xor", layout="any")
def exclusive_or(node: Node, low: Lowering) -> None:
    low.write(node.outputs[0], elementwise(low, "NOT_EQUAL", *(low.view(name) for name in node.inputs)))


@lowering("IsInf", layout="any")
def is_inf(node: Node, low: Lowering) -> None:
    view = low.view(node.inputs[0])
    if node.get("detect_negative", 1) and node.get("detect_positive", 1):
        result = elementwise(low, "EQUAL", elementwise(low, "ABS", view), np.inf)
    elif node.get("detect_positive", 1) or node.get("detect_negative", 1):
        result = elementwise(low, "EQUAL", view, np.inf if node.get("detect_positive", 1) else -np.inf)
    else:
        result = elementwise(low, "LESS", view, -np.inf)
    low.write(node.outputs[0], result)


@lowering("Erf", layout="any")
def error_function(node: Node, low: Lowering) -> None:
    """Lower Erf outside of Gelu to a rational function of ``x`` clipped to 4, as in XLA; its error is below 1e-6."""
    x = elementwise(low, "MAXIMUM", elementwise(low, "MINIMUM", low.view(node.inputs[0]), 4), -4)
    square = elementwise(low, "MUL", x, x)
    numerator, denominator = (_polynomial(low, square, terms) for terms in (_ERF_NUMERATOR, _ERF_DENOMINATOR))
    quotient = elementwise(low, "DIV", numerator, denominator)
    low.write(node.outputs[0], elementwise(low, "MUL", x, quotient))


def _polynomial(low: Lowering, x: LayoutView, coefficients: tuple[float, ...]) -> LayoutView:
    """Evaluate a polynomial with the coefficient of the highest power first, by Horner's scheme."""
    value = elementwise(low, "MUL", x, coefficients[0])
    for coefficient in coefficients[1:-1]:
        value = elementwise(low, "MUL", elementwise(low, "ADD", value, coefficient), x)
    return elementwise(low, "ADD", value, coefficients[-1])


@lowering("Tan", "Asin", "Acos", "Atan", layout="any")
def trigonometric(node: Node, low: Lowering) -> None:
    x = low.view(node.inputs[0])
    if node.op == "Tan":
        result = elementwise(low, "DIV", elementwise(low, "SIN", x), elementwise(low, "COS", x))
    elif node.op == "Atan":
        ones = low.constant("ones", np.ones(x.tensor.shape, x.tensor.dtype))  # ATAN2 does not broadcast
        result = x.over(low.emit("ATAN2", [x.tensor, ones], x.tensor.shape))
    else:  # a right triangle with the hypotenuse 1; the product is exact close to 1, unlike 1 - x * x
        product = elementwise(low, "MUL", elementwise(low, "SUB", 1, x), elementwise(low, "ADD", x, 1))
        other = elementwise(low, "SQRT", product)
        result = elementwise(low, "ATAN2", *((x, other) if node.op == "Asin" else (other, x)))
    low.write(node.outputs[0], result)


@lowering("Sinh", "Cosh", "Asinh", "Acosh", "Atanh", layout="any")
def hyperbolic(node: Node, low: Lowering) -> None:
    x = low.view(node.inputs[0])
    if node.op in ("Sinh", "Cosh"):
        growth, decay = elementwise(low, "EXP", x), elementwise(low, "EXP", elementwise(low, "NEG", x))
        both = elementwise(low, "ADD" if node.op == "Cosh" else "SUB", growth, decay)
        result = elementwise(low, "MUL", both, 0.5)
    elif node.op == "Atanh":
        quotient = elementwise(low, "DIV", elementwise(low, "ADD", x, 1), elementwise(low, "SUB", 1, x))
        result = elementwise(low, "MUL", elementwise(low, "LOG", quotient), 0.5)
    else:  # of the absolute value: a large negative number would cancel out
        size = elementwise(low, "ABS", x)
        shifted = elementwise(low, "ADD", elementwise(low, "MUL", x, x), 1 if node.op == "Asinh" else -1)
        result = elementwise(low, "LOG", elementwise(low, "ADD", size, elementwise(low, "SQRT", shifted)))
        if node.op == "Asinh":
            result = elementwise(low, "MUL", result, elementwise(low, "SIGN", x))
    low.write(node.outputs[0], result)


@lowering("Trilu", layout="any")
def triangle(node: Node, low: Lowering) -> None:
    """Lower Trilu to a product with a matrix of zeros and ones."""
    diagonal = low.array(node.input(1)) if node.input(1) else np.array(0)
    if diagonal is None:
        raise node.unsupported("a diagonal that is computed", "constant")
    view = low.view(node.inputs[0])
    ones = np.ones(view.shape[-2:], view.tensor.dtype)
    mask = np.triu(ones, int(diagonal.item())) if node.get("upper", 1) else np.tril(ones, int(diagonal.item()))
    code = "LOGICAL_AND" if mask.dtype == bool else "MUL"
    low.write(node.outputs[0], elementwise(low, code, view, constant(low, "mask", mask)))


@lowering("OneHot", layout="any")
def one_hot(node: Node, low: Lowering) -> None:
    """Lower OneHot to a comparison of the indices with the numbers of all classes."""
    depth, values = low.array(node.inputs[1]), low.array(node.inputs[2])
    if depth is None or values is None:
        raise node.unsupported("a depth or values that are computed", "constant")
    indices = converted(low, low.view(node.inputs[0]), np.dtype(np.int32))
    axis, count = node.get("axis", -1) % (indices.rank + 1), int(depth.item())
    spread = low.reshaped(indices, (*indices.shape[:axis], 1, *indices.shape[axis:]))
    classes = np.arange(count, dtype=np.int32).reshape(-1, *(1,) * (indices.rank - axis))
    hot = elementwise(low, "EQUAL", spread, constant(low, "classes", classes))
    if low.array(node.inputs[0]) is None:  # negative indices count from the end
        wrapped = elementwise(low, "EQUAL", spread, constant(low, "wrapped", classes - count))
        hot = elementwise(low, "LOGICAL_OR", hot, wrapped)
    off, on = values.tolist()
    if values.dtype == bool:
        result = hot if on and not off else elementwise(low, "LOGICAL_NOT", hot)
    else:
        result = converted(low, hot, values.dtype)
        if on - off != 1:
            result = elementwise(low, "MUL", result, on - off)
        if off != 0:
            result = elementwise(low, "ADD", result, off)
    low.write(node.outputs[0], result)
