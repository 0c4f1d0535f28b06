"""Lowerings of pooling over windows and over whole images."""

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
    """Lower MaxPool. Padding repeats elements of the window, because the lowest float would extend the int8 range."""
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
    """Lower AveragePool with zero padding, and a factor where ONNX divides by another number of elements."""
    x = stored_image(node, low, node.inputs[0])
    axes = _axes(node, low)
    count_padding = bool(node.get("count_include_pad", 0))
    ends = [0 if node.get("auto_pad") == "VALID" else axis.after for axis in axes]
    if node.get("auto_pad", "NOTSET") == "NOTSET":  # windows may reach behind what is padded, with ceil_mode 1
        pads = node.get("pads", [0] * 4)
        ends = [0] * (2 - len(pads) // 2) + list(pads[len(pads) // 2 :])
    factors = [
        _factors(replace(axis, after=end) if count_padding else replace(axis, before=0, after=0), axis)
        for axis, end in zip(axes, ends, strict=True)
    ]
    same = padded(axes) and all(axis.is_same for axis in axes) and not count_padding
    if padded(axes) and not same:
        x = low.emit("PAD", [x, pads_of(low, axes)], padded_shape(x, axes))
    y = _pool("AVERAGE_POOL_2D", node, low, x, axes, same=same)
    factor = np.outer(*factors).astype(np.float32)
    if not same and not np.all(factor == 1):
        y = low.emit("MUL", [y, low.constant("factor", factor[:, :, None])], y.shape, schema.MulOptionsT())
    write_image(node, low, y)


@lowering("GlobalAveragePool", layout="channels_last")
def global_average_pool(node: Node, low: Lowering) -> None:
    write_image(node, low, global_pooling("AVERAGE_POOL_2D", low, stored_image(node, low, node.inputs[0])))


@lowering("GlobalMaxPool", layout="channels_last")
def global_max_pool(node: Node, low: Lowering) -> None:
    write_image(node, low, global_pooling("MAX_POOL_2D", low, stored_image(node, low, node.inputs[0])))


def global_pooling(code: str, low: Lowering, x: Tensor) -> Tensor:
    """Pool each channel of NHWC ``x`` to one value. On TFLite Micro, this needs less memory than a reduction."""
    batch, high, wide, channels = x.shape
    options = schema.Pool2DOptionsT(
        padding=schema.Padding.VALID, strideH=1, strideW=1, filterHeight=high, filterWidth=wide
    )
    return low.emit(code, [x], (batch, 1, 1, channels), options)


def _axes(node: Node, low: Lowering) -> tuple[WindowAxis, WindowAxis]:
    if any(step != 1 for step in node.get("dilations", [])):
        raise node.unsupported(f"dilations {node.get('dilations')}", "1, as TFLite's pooling has none")
    axes = window_axes(node, low, node.get("kernel_shape"))
    if any((axis.out - 1) * axis.stride >= axis.size + axis.before for axis in axes):
        # ONNX's shape inference counts such a window, its specification and its runtime do not.
        raise node.unsupported(
            "ceil_mode 1 and a window that starts outside the padded input", "without such windows: ceil_mode 0"
        )
    return axes


def _pool(code: str, node: Node, low: Lowering, x: Tensor, axes: Sequence[WindowAxis], *, same: bool) -> Tensor:
    options = schema.Pool2DOptionsT(padding=schema.Padding.SAME if same else schema.Padding.VALID)
    options.strideH, options.strideW = (axis.stride for axis in axes)
    options.filterHeight, options.filterWidth = (axis.extent for axis in axes)
    return low.emit(code, [x], stored_shape(node, low), options)


def _factors(counted_axis: WindowAxis, axis: WindowAxis) -> Array:
    """Return the length of each window along a dimension, divided by the number of its elements that ONNX counts."""
    starts = np.arange(axis.out) * axis.stride - axis.before
    counts = np.minimum(starts + axis.extent, axis.size + counted_axis.after) - np.maximum(starts, -counted_axis.before)
    return axis.extent / counts
