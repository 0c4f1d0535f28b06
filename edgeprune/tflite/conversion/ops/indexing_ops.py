"""Lowerings of GatherND and GatherElements."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

import numpy as np

from edgeprune.tflite.conversion.layout_views import LayoutView
from edgeprune.tflite.conversion.lowering import Lowering
from edgeprune.tflite.conversion.onnx_graph import Node
from edgeprune.tflite.conversion.ops.base import lowering
from edgeprune.tflite.conversion.ops.row_indices import flat_rows, positions_along, rows_of_elements, strides
from edgeprune.tflite.conversion.ops.view_operators import constant, converted, elementwise, gathered, reduced
from edgeprune.tflite.conversion.tflite_graph import Array, Tensor

_INT32 = np.dtype(np.int32)


@lowering("GatherND")
def gather_nd(node: Node, low: Lowering) -> None:
    """Lower GatherND to a GATHER of rows: slices of the data along its last dimensions."""
    data, batch = low.view(node.inputs[0]), node.get("batch_dims", 0)
    shape = low.source.shapes[node.inputs[1]]
    depth = batch + shape[-1]
    indices = low.array(node.inputs[1])
    outer = data.shape[:depth]
    # The row at which each element of the batch starts.
    starts = np.arange(prod(outer[:batch])).reshape(*outer[:batch], *(1,) * (len(shape) - 1 - batch))
    starts = starts * prod(outer[batch:])
    rows: Array | Tensor
    if indices is not None:
        rows = (flat_rows(indices, outer[batch:]) + starts).reshape(-1)
    else:
        wrapped = wrapped_indices(low, low.view(node.inputs[1]), np.array(outer[batch:], np.int32))
        steps = constant(low, "strides", strides(outer[batch:]).astype(np.int32))
        products = elementwise(low, "MUL", wrapped, steps)
        flat = low.reshaped(reduced(low, "SUM", products, [products.rank - 1]), shape[:-1])
        rows = _flat(low, _shifted(low, flat, starts))
    width = data.shape[depth:]
    selected = gathered(low, low.reshaped(data, (prod(outer), *width)), 0, rows)
    low.write(node.outputs[0], low.reshaped(selected, low.source.shapes[node.outputs[0]]))


@lowering("GatherElements")
def gather_elements(node: Node, low: Lowering) -> None:
    """Lower GatherElements: along one dimension if all its lines have the same indices, or else by single elements."""
    data, indices = low.view(node.inputs[0]), low.array(node.inputs[1])
    axis = node.get("axis", 0) % data.rank
    shape = low.source.shapes[node.inputs[1]]
    positions = None if indices is None else positions_along(indices, axis, data.shape)
    if positions is not None:
        low.write(node.outputs[0], gathered(low, data, axis, positions))
        return
    elements: Array | Tensor
    if indices is not None:
        elements = rows_of_elements(indices, axis, data.shape).reshape(-1)
    else:
        elements = _flat(low, computed_elements(low, low.view(node.inputs[1]), axis, data.shape))
    selected = gathered(low, low.reshaped(data, (prod(data.shape),)), 0, elements)
    low.write(node.outputs[0], low.reshaped(selected, shape))


def computed_elements(low: Lowering, indices: LayoutView, axis: int, sizes: Sequence[int]) -> LayoutView:
    """Compute the positions in a flat tensor of ``sizes`` of the elements that ``indices`` along ``axis`` select."""
    starts = rows_of_elements(np.zeros(indices.shape, np.int64), axis, sizes)
    wrapped = wrapped_indices(low, indices, np.array(sizes[axis], np.int32))
    step = int(strides(sizes)[axis])
    return _shifted(low, wrapped if step == 1 else elementwise(low, "MUL", wrapped, step), starts)


def wrapped_indices(low: Lowering, indices: LayoutView, sizes: Array) -> LayoutView:
    """Add ``sizes`` to negative indices."""
    indices = converted(low, indices, _INT32)
    negative = converted(low, elementwise(low, "LESS", indices, 0), _INT32)
    return elementwise(low, "ADD", indices, elementwise(low, "MUL", negative, constant(low, "sizes", sizes)))


def _shifted(low: Lowering, indices: LayoutView, starts: Array) -> LayoutView:
    return (
        elementwise(low, "ADD", indices, constant(low, "starts", starts.astype(np.int32))) if starts.any() else indices
    )


def _flat(low: Lowering, view: LayoutView) -> Tensor:
    return low.arranged(view, range(view.rank), (prod(view.shape),))
