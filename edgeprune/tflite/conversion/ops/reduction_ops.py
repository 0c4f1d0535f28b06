"""Lowerings of reductions over dimensions."""

from __future__ import annotations

import numpy as np

from edgeprune.tflite.conversion.layout_views import LayoutView
from edgeprune.tflite.conversion.lowering import Lowering
from edgeprune.tflite.conversion.onnx_graph import Node
from edgeprune.tflite.conversion.ops.base import lowering
from edgeprune.tflite.conversion.ops.pooling_ops import global_pooling
from edgeprune.tflite.conversion.ops.view_operators import elementwise, reduced
from edgeprune.tflite.tflite_schema import schema

_CODES = {
    "ReduceMean": "MEAN",
    "ReduceMax": "REDUCE_MAX",
    "ReduceMin": "REDUCE_MIN",
    "ReduceSum": "SUM",
    "ReduceL1": "SUM",
    "ReduceL2": "SUM",
    "ReduceLogSum": "SUM",
    "ReduceProd": "REDUCE_PROD",
    "ReduceSumSquare": "SUM",
}


@lowering(*_CODES)
def reduction(node: Node, low: Lowering) -> None:
    """Lower a reduction. It keeps the reduced dimensions, which the view then drops at no cost."""
    view = low.view(node.inputs[0])
    if node.op == "ReduceL1":
        view = elementwise(low, "ABS", view)
    elif node.op in ("ReduceL2", "ReduceSumSquare"):
        view = elementwise(low, "MUL", view, view)
    axes = _axes(node, low, view.rank)
    if axes:
        x, order = low.with_onnx_dims(view)
        if _CODES[node.op] == "MEAN" and len(x.shape) == 4 and {order[1], order[2]} == set(axes):
            view = LayoutView.of(global_pooling("AVERAGE_POOL_2D", low, x), order)
        else:
            view = reduced(low, _CODES[node.op], view, axes)
    if node.op == "ReduceL2":
        view = elementwise(low, "SQRT", view)
    elif node.op == "ReduceLogSum":
        view = elementwise(low, "LOG", view)
    low.write(node.outputs[0], low.reshaped(view, low.source.shapes[node.outputs[0]]))


@lowering("ReduceLogSumExp")
def log_of_sum_of_exponentials(node: Node, low: Lowering) -> None:
    """Lower ReduceLogSumExp. Exponentials are those of the distance to the maximum, which do not overflow."""
    view = low.view(node.inputs[0])
    axes = _axes(node, low, view.rank)
    if axes:
        highest = reduced(low, "REDUCE_MAX", view, axes)
        powers = elementwise(low, "EXP", elementwise(low, "SUB", view, highest))
        view = elementwise(low, "ADD", elementwise(low, "LOG", reduced(low, "SUM", powers, axes)), highest)
    low.write(node.outputs[0], low.reshaped(view, low.source.shapes[node.outputs[0]]))


@lowering("ArgMax", "ArgMin")
def index_of_extremum(node: Node, low: Lowering) -> None:
    """Lower ArgMax and ArgMin. TFLite returns the first index of equal values, and drops the dimension."""
    if node.get("select_last_index", 0):
        raise node.unsupported("select_last_index 1", "0")
    view = low.view(node.inputs[0])
    axis = node.get("axis", 0) % view.rank
    x, order = low.with_onnx_dims(view)
    stored = order.index(axis)
    dtype = low.source.dtypes[node.outputs[0]]
    code, options = ("ARG_MAX", schema.ArgMaxOptionsT) if node.op == "ArgMax" else ("ARG_MIN", schema.ArgMinOptionsT)
    y = low.emit(
        code,
        [x, low.constant("axis", np.array(stored, np.int32))],
        [size for index, size in enumerate(x.shape) if index != stored],
        options(outputType=schema.TensorType.INT64),
        dtype=dtype,
    )
    remaining = [dim for dim in order if dim != axis]
    result = LayoutView.of(y, [sorted(remaining).index(dim) for dim in remaining])
    low.write(node.outputs[0], low.reshaped(result, low.source.shapes[node.outputs[0]]))


@lowering("CumSum")
def cumulative_sum(node: Node, low: Lowering) -> None:
    view, axis = low.view(node.inputs[0]), low.array(node.inputs[1])
    if axis is None:
        raise node.unsupported("an axis that is computed", "constant")
    x, order = low.with_onnx_dims(view)
    stored = low.constant("axis", np.array(order.index(int(axis.item()) % view.rank), np.int32))
    options = schema.CumsumOptionsT(exclusive=bool(node.get("exclusive", 0)), reverse=bool(node.get("reverse", 0)))
    low.write(node.outputs[0], LayoutView.of(low.emit("CUMSUM", [x, stored], x.shape, options), order))


def _axes(node: Node, low: Lowering, rank: int) -> list[int]:
    """Return the axes, from the attribute or, since opset 13 (sum) and 18 (others), from the second input."""
    axes = node.get("axes")
    if axes is None and node.input(1):
        constant = low.array(node.inputs[1])
        if constant is None:
            raise node.unsupported("axes that are computed", "constant")
        axes = constant.tolist()
    if not axes:
        return [] if node.get("noop_with_empty_axes", 0) else list(range(rank))
    return [axis % rank for axis in axes]
