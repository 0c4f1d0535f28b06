"""Lowerings of reductions over dimensions."""

from __future__ import annotations

import numpy as np

from edgeprune.tflite.conversion.layout_views import LayoutView
from edgeprune.tflite.conversion.lowering import Lowering
from edgeprune.tflite.conversion.onnx_graph import Node
from edgeprune.tflite.conversion.ops.base import lowering
from edgeprune.tflite.conversion.ops.pooling_ops import global_pooling
from edgeprune.tflite.tflite_schema import schema

_CODES = {"ReduceMean": "MEAN", "ReduceMax": "REDUCE_MAX", "ReduceMin": "REDUCE_MIN", "ReduceSum": "SUM"}


@lowering(*_CODES)
def reduction(node: Node, low: Lowering) -> None:
    """Lower a reduction. It keeps the reduced dimensions, which the view then drops at no cost."""
    view = low.view(node.inputs[0])
    axes = _axes(node, low, view.rank)
    if axes:
        x, order = low.with_onnx_dims(view)
        stored = sorted(order.index(axis) for axis in axes)
        reduced_shape = tuple(1 if index in stored else size for index, size in enumerate(x.shape))
        if _CODES[node.op] == "MEAN" and len(x.shape) == 4 and stored == [1, 2]:
            y = global_pooling("AVERAGE_POOL_2D", low, x)
        else:
            over = low.constant("axes", np.array(stored, np.int32))
            y = low.emit(_CODES[node.op], [x, over], reduced_shape, schema.ReducerOptionsT(keepDims=True))
        view = LayoutView.of(y, order)
    low.write(node.outputs[0], low.reshaped(view, low.source.shapes[node.outputs[0]]))


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
