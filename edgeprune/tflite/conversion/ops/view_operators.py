"""Operators on views of ONNX values, for lowerings that compose several operators."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import prod
from typing import Any

import numpy as np

from edgeprune.operator_facts.tflite_operators import MOST_CONCATENATED
from edgeprune.tflite.conversion.layout_views import LayoutView
from edgeprune.tflite.conversion.lowering import Lowering
from edgeprune.tflite.conversion.tflite_graph import Array, Tensor
from edgeprune.tflite.conversion.tflite_writer import tensor_type
from edgeprune.tflite.tflite_schema import schema

_MOST_SLICED_DIMENSIONS = 5
"""Rank that SLICE and STRIDED_SLICE support in TensorFlow Lite Micro."""
_COMPARISONS = ("EQUAL", "NOT_EQUAL", "GREATER", "GREATER_EQUAL", "LESS", "LESS_EQUAL")


def constant(low: Lowering, part: str, values: Array) -> LayoutView:
    """Return a view of the constant ``part`` of the current node."""
    return LayoutView.of(low.constant(part, values))


def elementwise(
    low: Lowering, code: str, *operands: LayoutView | float, dtype: np.dtype[Any] | None = None
) -> LayoutView:
    """Emit an elementwise operator. Its operands broadcast, and numbers become constants of the type of the views.

    The result has the type of the last view, or booleans for a comparison, unless ``dtype`` is given.
    """
    views = [operand for operand in operands if isinstance(operand, LayoutView)]
    if dtype is None:
        dtype = np.dtype(bool) if code in _COMPARISONS else views[-1].tensor.dtype
    options = _options(code)
    if len(operands) == 1:
        x = views[0].tensor
        return views[0].over(low.emit(code, [x], x.shape, options, dtype=dtype))
    number_type = views[-1].tensor.dtype
    tensors, aligned = low.aligned(
        [
            operand if isinstance(operand, LayoutView) else constant(low, code.lower(), np.array(operand, number_type))
            for operand in operands
        ]
    )
    shape = np.broadcast_shapes(*(tensor.shape for tensor in tensors))
    return aligned.over(low.emit(code, tensors, shape, options, dtype=dtype))


def converted(low: Lowering, view: LayoutView, dtype: np.dtype[Any]) -> LayoutView:
    """Convert ``view`` to ``dtype`` if it has another type."""
    x = view.tensor
    if x.dtype == dtype:
        return view
    options = schema.CastOptionsT(inDataType=tensor_type(x.dtype), outDataType=tensor_type(dtype))
    return view.over(low.emit("CAST", [x], x.shape, options, dtype=dtype))


def reduced(low: Lowering, code: str, view: LayoutView, axes: Sequence[int]) -> LayoutView:
    """Reduce ``axes``, which keep the size 1."""
    x, order = low.with_onnx_dims(view)
    stored = sorted(order.index(axis) for axis in axes)
    shape = tuple(1 if index in stored else size for index, size in enumerate(x.shape))
    over = low.constant("axes", np.array(stored, np.int32))
    return LayoutView.of(low.emit(code, [x, over], shape, schema.ReducerOptionsT(keepDims=True)), order)


def sliced(low: Lowering, view: LayoutView, parts: Mapping[int, range]) -> LayoutView:
    """Slice each axis of ``parts`` to its range of positions."""
    order = view.order()
    ranges = [parts.get(dim, range(view.shape[dim])) for dim in order]
    if all(part == range(view.shape[dim]) for part, dim in zip(ranges, order, strict=True)):
        return view
    sizes = [len(part) for part in ranges]
    shape = [view.shape[dim] for dim in order]
    if len(shape) > _MOST_SLICED_DIMENSIONS:
        shape, ranges = _merged(shape, ranges)
    y = _slice(low, low.arranged(view, order, shape), ranges)
    return low.reshaped(LayoutView.of(y), sizes).transposed([order.index(dim) for dim in range(view.rank)])


def _merged(shape: Sequence[int], ranges: Sequence[range]) -> tuple[list[int], list[range]]:
    """Merge adjacent dimensions of which all elements are selected."""
    sizes: list[int] = []
    merged: list[range] = []
    for size, part in zip(shape, ranges, strict=True):
        if merged and part == range(size) and merged[-1] == range(sizes[-1]):
            sizes[-1] *= size
            merged[-1] = range(sizes[-1])
        else:
            sizes.append(size)
            merged.append(part)
    return sizes, merged


def _slice(low: Lowering, x: Tensor, ranges: Sequence[range]) -> Tensor:
    """Slice each stored dimension to its range of positions."""
    shape = [len(part) for part in ranges]
    begin = low.constant("begin", np.array([part.start for part in ranges], np.int32))
    if all(part.step == 1 for part in ranges):
        return low.emit("SLICE", [x, begin, low.constant("size", np.array(shape, np.int32))], shape)
    end = low.constant("end", np.array([max(part.stop, 0) for part in ranges], np.int32))
    steps = low.constant("strides", np.array([part.step for part in ranges], np.int32))
    options = schema.StridedSliceOptionsT(endMask=sum(1 << index for index, part in enumerate(ranges) if part.stop < 0))
    return low.emit("STRIDED_SLICE", [x, begin, end, steps], shape, options)


def parted(low: Lowering, view: LayoutView, axis: int, count: int) -> list[LayoutView]:
    """Split ``view`` along ``axis`` into ``count`` parts of equal size."""
    x, order = low.with_onnx_dims(view)
    stored = order.index(axis)
    shape = [size // count if index == stored else size for index, size in enumerate(x.shape)]
    number = low.constant("axis", np.array(stored, np.int32))
    options = schema.SplitOptionsT(numSplits=count)
    parts = low.emit_many("SPLIT", [number, x], [shape] * count, options, dtype=x.dtype)
    return [LayoutView.of(part, order) for part in parts]


def concatenated(low: Lowering, views: Sequence[LayoutView], axis: int) -> LayoutView:
    """Join ``views`` along ``axis``, in the storage order of the largest computed one.

    More parts than TensorFlow Lite Micro supports are joined in several steps.
    """
    while len(views) > MOST_CONCATENATED:
        views = [
            concatenated(low, views[start : start + MOST_CONCATENATED], axis)
            for start in range(0, len(views), MOST_CONCATENATED)
        ]
    if len(views) == 1:
        return views[0]
    computed = [view for view in views if not view.tensor.is_constant]
    order = max(computed or views, key=lambda view: prod(view.shape)).order()
    stored = order.index(axis % len(order))
    parts = [low.arranged(view, order) for view in views]
    shape = list(parts[0].shape)
    shape[stored] = sum(part.shape[stored] for part in parts)
    options = schema.ConcatenationOptionsT(axis=stored)
    return LayoutView.of(low.emit("CONCATENATION", parts, shape, options), order)


def gathered(low: Lowering, view: LayoutView, axis: int, positions: Array | Tensor) -> LayoutView:
    """Select ``positions``, of rank 1 and not negative, along ``axis``.

    A single constant position becomes a slice, which needs no list of indices.
    """
    if isinstance(positions, np.ndarray):
        if positions.size == 1:
            first = int(positions.item())
            return sliced(low, view, {axis: range(first, first + 1)})
        positions = low.constant("indices", positions.astype(np.int32))
    x, order = low.with_onnx_dims(view)
    stored = order.index(axis)
    shape = [*x.shape]
    shape[stored] = positions.shape[0]
    return LayoutView.of(low.emit("GATHER", [x, positions], shape, schema.GatherOptionsT(axis=stored)), order)


def _options(code: str) -> Any:
    """Return the default options of an elementwise operator; None if it has none."""
    name = "MaximumMinimum" if code in ("MAXIMUM", "MINIMUM") else code.title().replace("_", "")
    options = getattr(schema, f"{name}OptionsT", None)
    return None if options is None else options()
