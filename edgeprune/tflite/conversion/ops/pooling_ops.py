"""Lowerings of pooling over windows and over whole images."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from edgeprune.tflite.conversion.lowering import Lowering
from edgeprune.tflite.conversion.nhwc import padded_shape, pads_of, stored, stored_image, write_image
from edgeprune.tflite.conversion.onnx_graph import Node
from edgeprune.tflite.conversion.ops.base import lowering
from edgeprune.tflite.conversion.ops.volumes import RANK, along_depth, planes, volume, whole
from edgeprune.tflite.conversion.tflite_graph import Array, Tensor
from edgeprune.tflite.conversion.window_geometry import WindowAxis, axes_of, padded
from edgeprune.tflite.tflite_schema import schema

_Axis = tuple[WindowAxis, WindowAxis | None]
"""Windows along a dimension, and those with the padding that counts as elements of an average."""


@lowering("MaxPool", layout="channels_last")
def max_pool(node: Node, low: Lowering) -> None:
    _pool_each(node, low, lambda x, axes: _maxima(low, x, [axis for axis, _ in axes]))


@lowering("AveragePool", layout="channels_last")
def average_pool(node: Node, low: Lowering) -> None:
    _pool_each(node, low, lambda x, axes: _averages(low, x, axes))


def _pool_each(node: Node, low: Lowering, pool: Callable[[Tensor, Sequence[_Axis]], Tensor]) -> None:
    """Pool an image, or the planes of a volume and then along its depth."""
    axes = list(zip(_axes(node, low), _counted(node, low), strict=True))
    if len(axes) < 3:
        x = stored_image(node, low, node.inputs[0])
        write_image(node, low, pool(x, [(whole(1), None), *axes][-2:]))
        return
    view = low.view(node.inputs[0])
    if any(axis != whole(axis.size) for axis, _ in axes[1:]):
        y = pool(planes(low, view), axes[1:])
        view = volume(low, y, view.shape[0], (view.shape[2], *y.shape[1:3]))
    if axes[0][0] != whole(view.shape[2]):
        columns = whole(view.shape[3] * view.shape[4])
        y = pool(along_depth(low, view), [axes[0], (columns, None)])
        view = volume(low, y, view.shape[0], (y.shape[1], *view.shape[3:]))
    low.write(node.outputs[0], view)


def _maxima(low: Lowering, x: Tensor, axes: Sequence[WindowAxis]) -> Tensor:
    """Pool to maxima. Padding repeats elements of the window, because the lowest float would extend the int8 range."""
    same = all(axis.is_same for axis in axes)
    if padded(axes) and not same:
        if all(max(axis.before, axis.after) * 2 <= axis.extent for axis in axes):
            options = schema.MirrorPadOptionsT(mode=schema.MirrorPadMode.SYMMETRIC)
            x = low.emit("MIRROR_PAD", [x, pads_of(low, axes)], padded_shape(x, axes), options)
        else:
            lowest = low.constant("lowest", np.array([np.finfo(np.float32).min], np.float32))
            x = low.emit("PADV2", [x, pads_of(low, axes), lowest], padded_shape(x, axes))
    return _pool("MAX_POOL_2D", low, x, axes, same=same and padded(axes))


def _averages(low: Lowering, x: Tensor, windows: Sequence[_Axis]) -> Tensor:
    """Pool to averages with zero padding, and a factor where ONNX divides by another number of elements."""
    axes = [axis for axis, _ in windows]
    factors = [_factors(counted or replace(axis, before=0, after=0), axis) for axis, counted in windows]
    same = padded(axes) and all(axis.is_same for axis in axes) and all(counted is None for _, counted in windows)
    if padded(axes) and not same:
        x = low.emit("PAD", [x, pads_of(low, axes)], padded_shape(x, axes))
    y = _pool("AVERAGE_POOL_2D", low, x, axes, same=same)
    factor = np.outer(*factors).astype(np.float32)
    if not same and not np.all(factor == 1):
        y = low.emit("MUL", [y, low.constant("factor", factor[:, :, None])], y.shape, schema.MulOptionsT())
    return y


@lowering("GlobalAveragePool", "GlobalMaxPool", layout="channels_last")
def global_pool(node: Node, low: Lowering) -> None:
    view = low.view(node.inputs[0])
    if view.rank == RANK:  # height and depth as one dimension
        view = low.reshaped(view, (*view.shape[:2], view.shape[2] * view.shape[3], view.shape[4]))
    code = "AVERAGE_POOL_2D" if node.op == "GlobalAveragePool" else "MAX_POOL_2D"
    write_image(node, low, global_pooling(code, low, stored(node, low, view)))


def global_pooling(code: str, low: Lowering, x: Tensor) -> Tensor:
    """Pool each channel of NHWC ``x`` to one value. On TFLite Micro, this needs less memory than a reduction."""
    batch, high, wide, channels = x.shape
    options = schema.Pool2DOptionsT(
        padding=schema.Padding.VALID, strideH=1, strideW=1, filterHeight=high, filterWidth=wide
    )
    return low.emit(code, [x], (batch, 1, 1, channels), options)


def _axes(node: Node, low: Lowering) -> list[WindowAxis]:
    if any(step != 1 for step in node.get("dilations", [])):
        raise node.unsupported(f"dilations {node.get('dilations')}", "1, as TFLite's pooling has none")
    sizes, outs = (low.source.shapes[name][2:] for name in (node.inputs[0], node.outputs[0]))
    axes = axes_of(node, sizes, outs, node.get("kernel_shape"))
    if any((axis.out - 1) * axis.stride >= axis.size + axis.before for axis in axes):
        # ONNX's shape inference counts such a window, its specification and its runtime do not.
        raise node.unsupported(
            "ceil_mode 1 and a window that starts outside the padded input", "without such windows: ceil_mode 0"
        )
    return axes


def _counted(node: Node, low: Lowering) -> list[WindowAxis | None]:
    """Return the windows with the padding that counts as elements of an average; None where it does not count."""
    axes = _axes(node, low)
    if not node.get("count_include_pad", 0):
        return [None] * len(axes)
    ends = [0 if node.get("auto_pad") == "VALID" else axis.after for axis in axes]
    if node.get("auto_pad", "NOTSET") == "NOTSET":  # windows may reach behind what is padded, with ceil_mode 1
        ends = list(node.get("pads", [0] * (2 * len(axes)))[len(axes) :])
    return [replace(axis, after=end) for axis, end in zip(axes, ends, strict=True)]


def _pool(code: str, low: Lowering, x: Tensor, axes: Sequence[WindowAxis], *, same: bool) -> Tensor:
    options = schema.Pool2DOptionsT(padding=schema.Padding.SAME if same else schema.Padding.VALID)
    options.strideH, options.strideW = (axis.stride for axis in axes)
    options.filterHeight, options.filterWidth = (axis.extent for axis in axes)
    return low.emit(code, [x], (x.shape[0], *(axis.out for axis in axes), x.shape[3]), options)


def _factors(counted_axis: WindowAxis, axis: WindowAxis) -> Array:
    """Return the length of each window along a dimension, divided by the number of its elements that ONNX counts."""
    starts = np.arange(axis.out) * axis.stride - axis.before
    counts = np.minimum(starts + axis.extent, axis.size + counted_axis.after) - np.maximum(starts, -counted_axis.before)
    return axis.extent / counts
