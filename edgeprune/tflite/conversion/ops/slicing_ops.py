"""Lowerings of Slice, Split, Concat, Gather and similar operators."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

import numpy as np

from edgeprune.tflite.conversion.layout_views import LayoutView
from edgeprune.tflite.conversion.lowering import Lowering
from edgeprune.tflite.conversion.onnx_graph import Node
from edgeprune.tflite.conversion.ops.base import lowering
from edgeprune.tflite.conversion.tflite_graph import Tensor
from edgeprune.tflite.tflite_schema import schema


@lowering("Slice", layout="any")
def slice_(node: Node, low: Lowering) -> None:
    view = low.view(node.inputs[0])
    starts, ends, axes, steps = (_numbers(node, low, index) for index in range(1, 5))
    assert starts is not None
    assert ends is not None
    x, order = low.with_onnx_dims(view)
    ranges = [range(size) for size in x.shape]
    for index, axis in enumerate(axes or range(len(starts))):
        stored = order.index(axis % view.rank)
        step = steps[index] if steps else 1
        ranges[stored] = range(x.shape[stored])[slice(starts[index], ends[index], step)]
    if any(part != range(size) for part, size in zip(ranges, x.shape, strict=True)):
        x = _sliced(low, x, ranges)
    low.write(node.outputs[0], LayoutView.of(x, order))


@lowering("Split", layout="any")
def split(node: Node, low: Lowering) -> None:
    """Lower Split. Unequal parts become slices, because TFLite's operator for them cannot be quantized."""
    view = low.view(node.inputs[0])
    axis = node.get("axis", 0) % view.rank
    sizes = [low.source.shapes[name][axis] for name in node.outputs]
    x, order = low.with_onnx_dims(view)
    stored = order.index(axis)
    if len(set(sizes)) == 1:
        shape = [sizes[0] if index == stored else size for index, size in enumerate(x.shape)]
        number = low.constant("axis", np.array(stored, np.int32))
        options = schema.SplitOptionsT(numSplits=len(sizes))
        parts = low.emit_many("SPLIT", [number, x], [shape] * len(sizes), options, dtype=x.dtype)
    else:
        parts, start = [], 0
        for size in sizes:
            ranges = [range(whole) for whole in x.shape]
            ranges[stored] = range(start, start + size)
            parts.append(_sliced(low, x, ranges))
            start += size
    for name, part in zip(node.outputs, parts, strict=True):
        low.write(name, LayoutView.of(part, order))


@lowering("Concat", layout="any")
def concat(node: Node, low: Lowering) -> None:
    """Lower Concat in the storage order of the largest computed part."""
    views = [low.view(name) for name in node.inputs]
    computed = [view for view in views if not view.tensor.is_constant]
    order = max(computed, key=lambda view: prod(view.shape)).order()
    stored = order.index(node.get("axis") % len(order))
    parts = [low.arranged(view, order) for view in views]
    shape = list(parts[0].shape)
    shape[stored] = sum(part.shape[stored] for part in parts)
    options = schema.ConcatenationOptionsT(axis=stored)
    low.write(node.outputs[0], LayoutView.of(low.emit("CONCATENATION", parts, shape, options), order))


@lowering("Gather", layout="any")
def gather(node: Node, low: Lowering) -> None:
    """Lower Gather. A constant single index becomes a slice, which can be quantized and needs no list of indices."""
    view, indices = low.view(node.inputs[0]), low.array(node.inputs[1])
    x, order = low.with_onnx_dims(view)
    axis = node.get("axis", 0) % view.rank
    stored = order.index(axis)
    shape = low.source.shapes[node.outputs[0]]
    if indices is not None and indices.size == 1:
        ranges = [range(size) for size in x.shape]
        index = int(indices.item()) % x.shape[stored]
        ranges[stored] = range(index, index + 1)
        low.write(node.outputs[0], low.reshaped(LayoutView.of(_sliced(low, x, ranges), order), shape))
        return
    if indices is not None:
        positions = low.constant("indices", (indices % x.shape[stored]).astype(np.int32).reshape(-1))
    else:
        spread = low.view(node.inputs[1])
        positions = low.arranged(spread, range(spread.rank), (prod(spread.shape),))
    selection = [*x.shape]
    selection[stored] = positions.shape[0]
    y = LayoutView.of(low.emit("GATHER", [x, positions], selection, schema.GatherOptionsT(axis=stored)), order)
    low.write(node.outputs[0], low.reshaped(y, shape))


@lowering("Expand", layout="any")
def expand(node: Node, low: Lowering) -> None:
    shape = low.source.shapes[node.outputs[0]]
    view = low.view(node.inputs[0])
    x, order = low.with_onnx_dims(low.reshaped(view, (1,) * (len(shape) - view.rank) + view.shape))
    stored = [shape[dim] for dim in order]
    sizes = low.constant("shape", np.array(stored, np.int32))
    low.write(node.outputs[0], LayoutView.of(low.emit("BROADCAST_TO", [x, sizes], stored), order))


@lowering("Tile", layout="any")
def tile(node: Node, low: Lowering) -> None:
    repeats = _numbers(node, low, 1)
    assert repeats is not None, "Tile has two inputs"
    x, order = low.with_onnx_dims(low.view(node.inputs[0]))
    multiples = low.constant("multiples", np.array([repeats[dim] for dim in order], np.int32))
    shape = [size * repeats[dim] for size, dim in zip(x.shape, order, strict=True)]
    low.write(node.outputs[0], LayoutView.of(low.emit("TILE", [x, multiples], shape, schema.TileOptionsT()), order))


@lowering("TopK")
def largest(node: Node, low: Lowering) -> None:
    """Lower TopK of the largest values. TFLite computes it along the dimension that is stored last."""
    if not node.get("largest", 1):
        raise node.unsupported("largest 0", "1: negate the input")
    view, count = low.view(node.inputs[0]), low.array(node.inputs[1])
    if count is None:
        raise node.unsupported("a number of values that is computed", "constant")
    axis = node.get("axis", -1) % view.rank
    order = (*(dim for dim in view.order() if dim != axis), axis)
    x = low.arranged(view, order)
    number = int(count.item())
    shape = (*x.shape[:-1], number)
    k = low.constant("k", np.array(number, np.int32))
    values, indices = low.emit_many("TOPK_V2", [x, k], [shape, shape], schema.TopKV2OptionsT())
    indices.dtype = np.dtype(np.int32)
    low.write(node.outputs[0], LayoutView.of(values, order))
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


def _sliced(low: Lowering, x: Tensor, ranges: Sequence[range]) -> Tensor:
    """Slice ``x`` to ``ranges``, one for each stored dimension."""
    shape = [len(part) for part in ranges]
    begin = low.constant("begin", np.array([part.start for part in ranges], np.int32))
    if all(part.step == 1 for part in ranges):
        return low.emit("SLICE", [x, begin, low.constant("size", np.array(shape, np.int32))], shape)
    end = low.constant("end", np.array([max(part.stop, 0) for part in ranges], np.int32))
    steps = low.constant("strides", np.array([part.step for part in ranges], np.int32))
    open_ends = sum(1 << index for index, part in enumerate(ranges) if part.stop < 0)
    return low.emit("STRIDED_SLICE", [x, begin, end, steps], shape, schema.StridedSliceOptionsT(endMask=open_ends))
