"""Pooling over windows and over whole images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from edgeprune.tflite.conversion.lowering import Lowering
from edgeprune.tflite.conversion.nhwc import (
    padded_shape,
    pads_of,
    stored_image,
    stored_shape,
    window_axes,
    write_image,
)
from edgeprune.tflite.conversion.onnx_graph import Node
from edgeprune.tflite.conversion.ops.base import lowering
from edgeprune.tflite.conversion.tflite_graph import Array, Tensor
from edgeprune.tflite.conversion.window_geometry import WindowAxis, padded
from edgeprune.tflite.tflite_schema import schema


@lowering("MaxPool", layout="channels_last")
def max_pool(node: Node, low: Lowering) -> None:
    """Padding repeats what lies in the window anyway: a constant as low as can be would spoil the range of int8."""
    x = stored_image(node, low, node.inputs[0])
    axes = _axes(node, low)
    same = all(axis.is_same for axis in axes)
    if padded(axes) and not same:
        if all(max(axis.before, axis.after) * 2 <= axis.extent for axis in axes):
            options = schema.MirrorPadOptionsT(mode=schema.MirrorPadMode.SYMMETRIC)
            x = low.emit("MIRROR_PAD", [x, pads_of(low, axes)], padded_shape(x, axes), options)
        else:
            lowest = low.constant("lowest", np.array([np.finfo(np.float32).min], np.float32))
            x = low.emit("PADV2", [x, pads_of(low, axes), lowest], padded_shape(x, axes))
    write_image(node, low, _pool("MAX_POOL_2D", node, low, x, axes, same=same and padded(axes)))


@lowering("AveragePool", layout="channels_last")
def average_pool(node: Node, low: Lowering) -> None:
    """Zeros around the image, and a factor where a window's count of elements is not what ONNX divides by."""
    x = stored_image(node, low, node.inputs[0])
    axes = _axes(node, low)
    whole = bool(node.get("count_include_pad", 0))
    ends = [0 if node.get("auto_pad") == "VALID" else axis.after for axis in axes]
    if node.get("auto_pad", "NOTSET") == "NOTSET":  # windows may reach behind what is padded, with ceil_mode 1
        pads = node.get("pads", [0] * 4)
        ends = [0] * (2 - len(pads) // 2) + list(pads[len(pads) // 2 :])
    factors = [
        _factors(replace(axis, after=end) if whole else replace(axis, before=0, after=0), axis)
        for axis, end in zip(axes, ends, strict=True)
    ]
    same = padded(axes) and all(axis.is_same for axis in axes) and not whole
    if padded(axes) and not same:
        x = low.emit("PAD", [x, pads_of(low, axes)], padded_shape(x, axes))
    y = _pool("AVERAGE_POOL_2D", node, low, x, axes, same=same)
    factor = np.outer(*factors).astype(np.float32)
    if not same and not np.all(factor == 1):
        y = low.emit("MUL", [y, low.constant("factor", factor[:, :, None])], y.shape, schema.MulOptionsT())
    write_image(node, low, y)


@lowering("GlobalAveragePool", layout="channels_last")
def global_average_pool(node: Node, low: Lowering) -> None:
    write_image(node, low, pooled_whole("AVERAGE_POOL_2D", low, stored_image(node, low, node.inputs[0])))


@lowering("GlobalMaxPool", layout="channels_last")
def global_max_pool(node: Node, low: Lowering) -> None:
    write_image(node, low, pooled_whole("MAX_POOL_2D", low, stored_image(node, low, node.inputs[0])))


def pooled_whole(code: str, low: Lowering, x: Tensor) -> Tensor:
    """Each channel of NHWC ``x`` pooled to one value: a pooling needs less memory than a reduction, on TFLite Micro."""
    batch, high, wide, channels = x.shape
    options = schema.Pool2DOptionsT(
        padding=schema.Padding.VALID, strideH=1, strideW=1, filterHeight=high, filterWidth=wide
    )
    return low.emit(code, [x], (batch, 1, 1, channels), options)


def _axes(node: Node, low: Lowering) -> tuple[WindowAxis, WindowAxis]:
    if any(step != 1 for step in node.get("dilations", [])):
        raise node.refused(f"dilations {node.get('dilations')}", "1, as TFLite's pooling has none")
    axes = window_axes(node, low, node.get("kernel_shape"))
    if any((axis.out - 1) * axis.stride >= axis.size + axis.before for axis in axes):
        # ONNX's shape inference counts such a window, its specification and its runtime do not.
        raise node.refused("ceil_mode 1 and a window that starts behind the image", "without such windows: ceil_mode 0")
    return axes


def _pool(code: str, node: Node, low: Lowering, x: Tensor, axes: Sequence[WindowAxis], *, same: bool) -> Tensor:
    options = schema.Pool2DOptionsT(padding=schema.Padding.SAME if same else schema.Padding.VALID)
    options.strideH, options.strideW = (axis.stride for axis in axes)
    options.filterHeight, options.filterWidth = (axis.extent for axis in axes)
    return low.emit(code, [x], stored_shape(node, low), options)


def _factors(counted: WindowAxis, axis: WindowAxis) -> Array:
    """The window's length over how many of its elements ONNX counts, for each window along one dimension."""
    starts = np.arange(axis.out) * axis.stride - axis.before
    inside = np.minimum(starts + axis.extent, axis.size + counted.after) - np.maximum(starts, -counted.before)
    return axis.extent / inside
