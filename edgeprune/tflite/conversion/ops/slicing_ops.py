"""Lowerings of Slice, Split, Concat, Gather and similar operators."""

from __future__ import annotations

from math import prod

import numpy as np

from edgeprune.tflite.conversion.layout_views import LayoutView
from edgeprune.tflite.conversion.lowering import Lowering
from edgeprune.tflite.conversion.onnx_graph import Node
from edgeprune.tflite.conversion.ops.base import lowering
from edgeprune.tflite.conversion.ops.view_operators import concatenated, elementwise, gathered, parted, sliced
from edgeprune.tflite.conversion.tflite_graph import Array, Tensor
from edgeprune.tflite.tflite_schema import schema


@lowering("Slice", layout="any")
def slice_(node: Node, low: Lowering) -> None:
    view = low.view(node.inputs[0])
    starts, ends, axes, steps = (_numbers(node, low, index) for index in range(1, 5))
    assert starts is not None
    assert ends is not None
    parts = {}
    for index, axis in enumerate(axes or range(len(starts))):
        step = steps[index] if steps else 1
        parts[axis % view.rank] = range(view.shape[axis])[slice(starts[index], ends[index], step)]
    low.write(node.outputs[0], sliced(low, view, parts))


@lowering("Split", layout="any")
def split(node: Node, low: Lowering) -> None:
    """Lower Split. Unequal parts become slices, because TFLite's operator for them cannot be quantized."""
    view = low.view(node.inputs[0])
    axis = node.get("axis", 0) % view.rank
    sizes = [low.source.shapes[name][axis] for name in node.outputs]
    if len(set(sizes)) == 1:
        parts = parted(low, view, axis, len(sizes))
    else:
        ends = np.cumsum(sizes).tolist()
        parts = [sliced(low, view, {axis: range(end - size, end)}) for size, end in zip(sizes, ends, strict=True)]
    for name, part in zip(node.outputs, parts, strict=True):
        low.write(name, part)


@lowering("Concat", layout="any")
def concat(node: Node, low: Lowering) -> None:
    low.write(node.outputs[0], concatenated(low, [low.view(name) for name in node.inputs], node.get("axis")))


@lowering("Gather", layout="any")
def gather(node: Node, low: Lowering) -> None:
    """Lower Gather. A constant single index becomes a slice, which can be quantized and needs no list of indices."""
    view, indices = low.view(node.inputs[0]), low.array(node.inputs[1])
    axis = node.get("axis", 0) % view.rank
    positions: Array | Tensor
    if indices is not None:
        positions = indices.reshape(-1) % view.shape[axis]
    else:
        spread = low.view(node.inputs[1])
        positions = low.arranged(spread, range(spread.rank), (prod(spread.shape),))
    selected = gathered(low, view, axis, positions)
    low.write(node.outputs[0], low.reshaped(selected, low.source.shapes[node.outputs[0]]))


@lowering("Expand", layout="any")
def expand(node: Node, low: Lowering) -> None:
    """Lower Expand to gathers of the only element, because TFLite's BROADCAST_TO cannot be quantized."""
    shape = low.source.shapes[node.outputs[0]]
    view = low.view(node.inputs[0])
    result = low.reshaped(view, (1,) * (len(shape) - view.rank) + view.shape)
    for axis, (size, out) in enumerate(zip(result.shape, shape, strict=True)):
        if size != out:
            result = gathered(low, result, axis, np.zeros(out, np.int32))
    low.write(node.outputs[0], result)


@lowering("Tile", layout="any")
def tile(node: Node, low: Lowering) -> None:
    """Lower Tile to gathers, because TFLite Micro has no TILE."""
    repeats = _numbers(node, low, 1)
    assert repeats is not None, "Tile has two inputs"
    result = low.view(node.inputs[0])
    for axis, count in enumerate(repeats):
        if count != 1:
            result = gathered(low, result, axis, np.tile(np.arange(result.shape[axis]), count))
    low.write(node.outputs[0], result)


@lowering("TopK")
def largest(node: Node, low: Lowering) -> None:
    """Lower TopK. TFLite computes the largest values along the dimension that is stored last."""
    view, count = low.view(node.inputs[0]), low.array(node.inputs[1])
    if count is None:
        raise node.unsupported("a number of values that is computed", "constant")
    axis = node.get("axis", -1) % view.rank
    order = (*(dim for dim in view.order() if dim != axis), axis)
    smallest = not node.get("largest", 1)
    x = low.arranged(elementwise(low, "NEG", view) if smallest else view, order)
    number = int(count.item())
    shape = (*x.shape[:-1], number)
    k = low.constant("k", np.array(number, np.int32))
    values, indices = low.emit_many("TOPK_V2", [x, k], [shape, shape], schema.TopKV2OptionsT())
    indices.dtype = np.dtype(np.int32)
    result = LayoutView.of(values, order)
    low.write(node.outputs[0], elementwise(low, "NEG", result) if smallest else result)
    if len(node.outputs) > 1 and node.outputs[1]:
        options = schema.CastOptionsT(inDataType=schema.TensorType.INT32, outDataType=schema.TensorType.INT64)
        positions = low.emit("CAST", [indices], shape, options, dtype=np.dtype(np.int64))
        low.write(node.outputs[1], LayoutView.of(positions, order))


def _numbers(node: Node, low: Lowering, index: int) -> list[int] | None:
    if not node.input(index):
        return None
    values = low.array(node.inputs[index])
    if values is None:
        raise node.unsupported("bounds that are computed", "constant")
    return [int(value) for value in values]
