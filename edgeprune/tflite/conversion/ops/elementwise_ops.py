"""Lowerings of elementwise operators on one tensor, or on tensors that broadcast."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from edgeprune.operator_facts.onnx_operators import ONNX
from edgeprune.tflite.conversion.layout_views import LayoutView
from edgeprune.tflite.conversion.lowering import Lowering
from edgeprune.tflite.conversion.onnx_graph import Node
from edgeprune.tflite.conversion.ops.base import lowering
from edgeprune.tflite.tflite_schema import schema

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
BINARY = {
    "Add": ("ADD", schema.AddOptionsT),
    "Div": ("DIV", schema.DivOptionsT),
    "Max": ("MAXIMUM", schema.MaximumMinimumOptionsT),
    "Min": ("MINIMUM", schema.MaximumMinimumOptionsT),
    "Mul": ("MUL", schema.MulOptionsT),
    "Pow": ("POW", schema.PowOptionsT),
    "Sub": ("SUB", schema.SubOptionsT),
    "Equal": ("EQUAL", schema.EqualOptionsT),
    "Greater": ("GREATER", schema.GreaterOptionsT),
    "GreaterOrEqual": ("GREATER_EQUAL", schema.GreaterEqualOptionsT),
    "Less": ("LESS", schema.LessOptionsT),
    "LessOrEqual": ("LESS_EQUAL", schema.LessEqualOptionsT),
    "And": ("LOGICAL_AND", schema.LogicalAndOptionsT),
    "Or": ("LOGICAL_OR", schema.LogicalOrOptionsT),
}
"""Operators whose inputs broadcast, with their TFLite operators."""


@lowering(*_UNARY, layout="any")
def unary(node: Node, low: Lowering) -> None:
    view = low.view(node.inputs[0])
    tensor = low.emit(_UNARY[node.op], [view.tensor], view.tensor.shape)
    low.write(node.outputs[0], view.over(tensor))


@lowering(*BINARY, layout="any")
def binary(node: Node, low: Lowering) -> None:
    """Lower an elementwise operator. Max and Min take any number of tensors, the others two."""
    exponent = low.array(node.inputs[1]) if node.op == "Pow" else None
    if exponent is not None and exponent.size == 1 and exponent.item() in (1, 2, 0.5):
        _power(node, low, float(exponent.item()))
        return
    views = [low.view(name) for name in node.inputs]
    if ONNX[node.op].commutative:  # constants last: there they can go into the layer before
        views.sort(key=lambda view: view.tensor.is_constant)
    if len(views) == 1:
        low.write(node.outputs[0], views[0])
    code, options = BINARY[node.op]
    result = views[0]
    for view in views[1:]:
        result = _broadcast(node, low, code, [result, view], options())
    low.write(node.outputs[0], result)


@lowering("Reciprocal", layout="any")
def reciprocal(node: Node, low: Lowering) -> None:
    view = low.view(node.inputs[0])
    one = low.constant("one", np.array(1, view.tensor.dtype))
    y = low.emit("DIV", [one, view.tensor], view.tensor.shape, schema.DivOptionsT())
    low.write(node.outputs[0], view.over(y))


@lowering("IsNaN", layout="any")
def is_nan(node: Node, low: Lowering) -> None:
    """Lower IsNaN: NaN is the only value that differs from itself."""
    view = low.view(node.inputs[0])
    x = view.tensor
    differs = low.emit("NOT_EQUAL", [x, x], x.shape, schema.NotEqualOptionsT(), dtype=np.dtype(bool))
    low.write(node.outputs[0], view.over(differs))


@lowering("Where", layout="any")
def where(node: Node, low: Lowering) -> None:
    views = [low.view(name) for name in node.inputs]
    low.write(node.outputs[0], _broadcast(node, low, "SELECT_V2", views, schema.SelectV2OptionsT()))


def _broadcast(node: Node, low: Lowering, code: str, views: Sequence[LayoutView], options: object) -> LayoutView:
    tensors, aligned = low.aligned(views)
    shape = np.broadcast_shapes(*(tensor.shape for tensor in tensors))
    return aligned.over(low.emit(code, tensors, shape, options, dtype=low.source.dtypes[node.outputs[0]]))


def _power(node: Node, low: Lowering, exponent: float) -> None:
    """Lower Pow to a product or root if possible. TFLite Micro has no POW, and ONNX allows negative bases."""
    view = low.view(node.inputs[0])
    x = view.tensor
    if exponent == 2:
        x = low.emit("MUL", [x, x], x.shape, schema.MulOptionsT())
    elif exponent == 0.5:
        x = low.emit("SQRT", [x], x.shape)
    low.write(node.outputs[0], view.over(x))
