"""Lowerings of convolutions and transposed convolutions in one and two dimensions, with any number of groups."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from edgeprune.tflite.conversion.lowering import Lowering
from edgeprune.tflite.conversion.nhwc import (
    as_image,
    padded_shape,
    pads_of,
    spatial,
    stored_image,
    stored_shape,
    window_axes,
    write_image,
)
from edgeprune.tflite.conversion.onnx_graph import Node
from edgeprune.tflite.conversion.ops.base import lowering
from edgeprune.tflite.conversion.tflite_graph import Array
from edgeprune.tflite.conversion.window_geometry import padded
from edgeprune.tflite.tflite_schema import schema


@lowering("Conv", layout="channels_last")
def convolution(node: Node, low: Lowering) -> None:
    x = stored_image(node, low, node.inputs[0])
    kernel = _weights(node, low)
    axes = window_axes(node, low, low.source.shapes[node.inputs[1]][2:])
    if padded(axes):  # becomes a part of the convolution where that can be
        x = low.emit("PAD", [x, pads_of(low, axes)], padded_shape(x, axes))
    strides, dilations = spatial(node, "strides", (1, 1)), spatial(node, "dilations", (1, 1))
    out, groups = len(kernel), node.get("group", 1)
    bias = low.constant("bias", _bias(node, low, out))
    options: schema.Conv2DOptionsT | schema.DepthwiseConv2DOptionsT
    if groups == x.shape[3] > 1:
        code, order = "DEPTHWISE_CONV_2D", (1, 2, 3, 0)
        options = schema.DepthwiseConv2DOptionsT(depthMultiplier=out // groups)
    else:
        code, order = "CONV_2D", (0, 2, 3, 1)
        options = schema.Conv2DOptionsT()
    options.padding = schema.Padding.VALID
    options.strideH, options.strideW = strides
    options.dilationHFactor, options.dilationWFactor = dilations
    weights = low.constant("weights", kernel.transpose(order))
    write_image(node, low, low.emit(code, [x, weights, bias], stored_shape(node, low), options))


@lowering("ConvTranspose", layout="channels_last")
def transposed_convolution(node: Node, low: Lowering) -> None:
    """Lower ConvTranspose. TFLite supports neither groups nor dilation, so both become zeros in the weights."""
    x = stored_image(node, low, node.inputs[0])
    strides = spatial(node, "strides", (1, 1))
    kernel = _dilated(_dense(_weights(node, low), node.get("group", 1)), spatial(node, "dilations", (1, 1)))
    output_shape = stored_shape(node, low)
    full = [(size - 1) * step + taps for size, step, taps in zip(x.shape[1:3], strides, kernel.shape[2:], strict=True)]
    before = _leading_crop(node, low, full)
    totals = [max(size - out, 0) for size, out in zip(full, output_shape[1:3], strict=True)]
    same = all(
        start == total // 2 and -(-out // step) == size
        for start, total, out, step, size in zip(before, totals, output_shape[1:3], strides, x.shape[1:3], strict=True)
    )
    options = schema.TransposeConvOptionsT(padding=schema.Padding.SAME if same else schema.Padding.VALID)
    options.strideH, options.strideW = strides
    computed_shape = (
        output_shape
        if same
        else (
            output_shape[0],
            *(max(size, start + out) for size, start, out in zip(full, before, output_shape[1:3], strict=True)),
            output_shape[3],
        )
    )
    inputs = [
        low.constant("output_shape", np.array(computed_shape, np.int32)),
        low.constant("weights", kernel.transpose(1, 2, 3, 0)),
        x,
        low.constant("bias", _bias(node, low, kernel.shape[1])),
    ]
    y = low.emit("TRANSPOSE_CONV", inputs, computed_shape, options, dtype=x.dtype)
    if computed_shape != output_shape:
        begin = low.constant("begin", np.array([0, *before, 0], np.int32))
        y = low.emit("SLICE", [y, begin, low.constant("size", np.array(output_shape, np.int32))], output_shape)
    write_image(node, low, y)


def _weights(node: Node, low: Lowering) -> Array:
    weights = low.array(node.inputs[1])
    if weights is None:
        raise node.unsupported("weights that are computed", "constant")
    return weights.reshape(as_image(weights.shape))


def _bias(node: Node, low: Lowering, channels: int) -> Array:
    if not node.input(2):
        return np.zeros(channels, np.float32)
    bias = low.array(node.inputs[2])
    if bias is None:
        raise node.unsupported("a bias that is computed", "constant")
    return bias


def _dense(kernel: Array, groups: int) -> Array:
    """Expand grouped weights (in, out / groups, kh, kw) to block-diagonal weights (in, out, kh, kw)."""
    if groups == 1:
        return kernel
    rows, columns = kernel.shape[0] // groups, kernel.shape[1]
    dense = np.zeros((kernel.shape[0], columns * groups, *kernel.shape[2:]), kernel.dtype)
    for group in range(groups):
        rows_of_group = slice(group * rows, (group + 1) * rows)
        dense[rows_of_group, group * columns : (group + 1) * columns] = kernel[rows_of_group]
    return dense


def _dilated(kernel: Array, dilations: Sequence[int]) -> Array:
    """Insert zeros between the taps for the dilation."""
    high, wide = ((taps - 1) * step + 1 for taps, step in zip(kernel.shape[2:], dilations, strict=True))
    dilated = np.zeros((*kernel.shape[:2], high, wide), kernel.dtype)
    dilated[:, :, :: dilations[0], :: dilations[1]] = kernel
    return dilated


def _leading_crop(node: Node, low: Lowering, full: Sequence[int]) -> list[int]:
    """Return how many elements of the full result are cropped at the top and at the left."""
    padding = node.get("auto_pad", "NOTSET")
    if padding == "NOTSET" and "output_shape" not in node.attributes:
        pads = node.get("pads", [0] * 4)
        return list(pads[: len(pads) // 2]) if len(pads) == 4 else [0, pads[0]]
    outs = as_image(low.source.shapes[node.outputs[0]])[2:]
    extra = spatial(node, "output_padding", (0, 0)) if len(outs) == 2 else [0, 0]
    totals = [max(size + more - out, 0) for size, more, out in zip(full, extra, outs, strict=True)]
    return [total // 2 if padding == "SAME_UPPER" else total - total // 2 for total in totals]
