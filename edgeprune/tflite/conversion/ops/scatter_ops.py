"""Lowerings of ScatterND and ScatterElements, as which assignments to a part of a tensor are exported."""

from __future__ import annotations

from math import prod

import numpy as np

from edgeprune.tflite.conversion.layout_views import LayoutView
from edgeprune.tflite.conversion.lowering import Lowering
from edgeprune.tflite.conversion.onnx_graph import Node
from edgeprune.tflite.conversion.ops.base import lowering
from edgeprune.tflite.conversion.ops.indexing_ops import computed_elements, wrapped_indices
from edgeprune.tflite.conversion.ops.row_indices import flat_rows, positions_along, rows_of_elements
from edgeprune.tflite.conversion.ops.view_operators import (
    concatenated,
    elementwise,
    gathered,
    sliced,
)
from edgeprune.tflite.conversion.tflite_graph import Array

_MOST_SLICES = 10
_REDUCTIONS = {"add": "ADD", "mul": "MUL", "max": "MAXIMUM", "min": "MINIMUM"}


@lowering("ScatterND")
def scatter_nd(node: Node, low: Lowering) -> None:
    """Lower ScatterND. The indices select rows: slices of the data along its last dimensions."""
    data, updates = low.view(node.inputs[0]), low.view(node.inputs[2])
    indices = low.array(node.inputs[1])
    shape = low.source.shapes[node.inputs[1]]
    outer = data.shape[: shape[-1]]
    if indices is None:
        positions = wrapped_indices(low, low.view(node.inputs[1]), np.array(outer, np.int32))
        low.write(node.outputs[0], _by_computed_indices(node, low, (data, updates), positions))
        return
    width = data.shape[shape[-1] :]
    rows, new_rows = low.reshaped(data, (prod(outer), *width)), low.reshaped(updates, (prod(shape[:-1]), *width))
    result = _scattered(node, low, (rows, new_rows), 0, flat_rows(indices, outer).reshape(-1))
    low.write(node.outputs[0], low.reshaped(result, data.shape))


@lowering("ScatterElements")
def scatter_elements(node: Node, low: Lowering) -> None:
    """Lower ScatterElements: along one dimension if all its lines have the same indices, or else by single elements."""
    data, updates = low.view(node.inputs[0]), low.view(node.inputs[2])
    indices = low.array(node.inputs[1])
    axis = node.get("axis", 0) % data.rank
    if indices is None:
        elements_view = computed_elements(low, low.view(node.inputs[1]), axis, data.shape)
        count = prod(updates.shape)
        flat = (low.reshaped(data, (prod(data.shape),)), low.reshaped(updates, (count,)))
        result = _by_computed_indices(node, low, flat, low.reshaped(elements_view, (count, 1)))
        low.write(node.outputs[0], low.reshaped(result, data.shape))
        return
    positions = positions_along(indices, axis, data.shape)
    if positions is not None:
        result = _scattered(node, low, (data, updates), axis, positions)
    else:
        elements = rows_of_elements(indices, axis, data.shape)
        lists = [low.reshaped(view, (prod(view.shape),)) for view in (data, updates)]
        result = low.reshaped(_scattered(node, low, (lists[0], lists[1]), 0, elements.reshape(-1)), data.shape)
    low.write(node.outputs[0], result)


def _scattered(
    node: Node, low: Lowering, operands: tuple[LayoutView, LayoutView], axis: int, positions: Array
) -> LayoutView:
    """Replace the ``positions`` of the data along ``axis`` by updates, or reduce both.

    Repeated positions are reduced in several steps with different positions; without reduction, the last one remains.
    """
    (data, updates), reduction = operands, node.get("reduction", "none")
    if reduction == "none":
        return _replaced(low, data, updates, axis, positions)
    repetition = np.array([np.sum(positions[:index] == position) for index, position in enumerate(positions)])
    for step in range(repetition.max(initial=-1) + 1):
        (chosen,) = np.nonzero(repetition == step)
        part = updates if len(chosen) == len(positions) else gathered(low, updates, axis, chosen)
        old = gathered(low, data, axis, positions[chosen])
        new = elementwise(low, _REDUCTIONS[reduction], old, part)
        data = _replaced(low, data, new, axis, positions[chosen])
    return data


def _replaced(low: Lowering, data: LayoutView, updates: LayoutView, axis: int, positions: Array) -> LayoutView:
    """Join slices of data and updates if there are few, or else select from both."""
    size = data.shape[axis]
    source = np.arange(size)  # where each position of the result comes from: the data, or behind it the updates
    source[positions] = size + np.arange(len(positions))
    if np.array_equal(source, size + np.arange(size)):
        return updates
    starts = [
        0,
        *(index for index in range(1, size) if source[index] != source[index - 1] + 1 or source[index] == size),
    ]
    if len(starts) > _MOST_SLICES:
        return gathered(low, concatenated(low, [data, updates], axis), axis, source)
    parts = []
    for start, end in zip(starts, [*starts[1:], size], strict=True):
        first, count = int(source[start]), end - start
        view, offset = (data, first) if first < size else (updates, first - size)
        parts.append(sliced(low, view, {axis: range(offset, offset + count)}))
    return concatenated(low, parts, axis)


def _by_computed_indices(
    node: Node, low: Lowering, operands: tuple[LayoutView, LayoutView], indices: LayoutView
) -> LayoutView:
    """Scatter updates and a mask to zeros, and select by the mask. ``indices`` are not negative."""
    data, updates = operands
    reduction = node.get("reduction", "none")
    if reduction not in ("none", "add"):
        raise node.unsupported(f"reduction '{reduction}' and computed indices", "none or add")
    stored = low.arranged(indices, range(indices.rank))
    shape = low.constant("shape", np.array(data.shape, np.int32))
    spread = low.arranged(updates, range(updates.rank))
    new = LayoutView.of(low.emit("SCATTER_ND", [stored, spread, shape], data.shape, dtype=spread.dtype))
    if reduction == "add":
        return elementwise(low, "ADD", data, new)
    ones = low.constant("ones", np.ones(updates.shape, np.float32))
    mask = LayoutView.of(low.emit("SCATTER_ND", [stored, ones, shape], data.shape, dtype=ones.dtype))
    return elementwise(low, "SELECT_V2", elementwise(low, "GREATER", mask, 0), new, data)
