"""Lowerings of convolutions in one to three dimensions, with any number of groups."""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce

import numpy as np

from edgeprune.tflite.conversion.layout_views import LayoutView
from edgeprune.tflite.conversion.lowering import Lowering
from edgeprune.tflite.conversion.nhwc import as_image, padded_shape, pads_of, stored_image, window_axes, write_image
from edgeprune.tflite.conversion.onnx_graph import Node
from edgeprune.tflite.conversion.ops.base import lowering
from edgeprune.tflite.conversion.ops.dynamic_convolution import convolved_by_computed
from edgeprune.tflite.conversion.ops.view_operators import elementwise
from edgeprune.tflite.conversion.ops.volumes import RANK, along_depth, depth_taps, planes, stacked, volume, whole
from edgeprune.tflite.conversion.tflite_graph import Array, Tensor
from edgeprune.tflite.conversion.window_geometry import WindowAxis, axes_of, padded
from edgeprune.tflite.tflite_schema import schema


@lowering("Conv", layout="channels_last")
def convolution(node: Node, low: Lowering) -> None:
    groups = node.get("group", 1)
    is_volume = len(low.source.shapes[node.inputs[1]]) == RANK
    if not is_volume and any(name and low.array(name) is None for name in node.inputs[1:]):
        low.write(node.outputs[0], _by_computed_weights(node, low))
        return
    kernel = constant_weights(node, low)
    bias = constant_bias(node, low, len(kernel))
    if is_volume:
        low.write(node.outputs[0], _of_volume(node, low, kernel, bias))
        return
    x = stored_image(node, low, node.inputs[0])
    axes = window_axes(node, low, kernel.shape[2:])
    write_image(node, low, _convolved(low, x, kernel.reshape(as_image(kernel.shape)), bias, (axes, groups)))


def _by_computed_weights(node: Node, low: Lowering) -> LayoutView:
    """Convolve a signal or an image by computed weights, or with a computed bias."""
    weights = low.view(node.inputs[1])
    axes = window_axes(node, low, weights.shape[2:])
    x = stored_image(node, low, node.inputs[0])
    image = convolved_by_computed(low, x, weights, axes, node.get("group", 1))
    if node.input(2):
        image = elementwise(low, "ADD", image, low.view(node.inputs[2]))
    return low.reshaped(image.transposed((0, 3, 1, 2)), low.source.shapes[node.outputs[0]])


def _convolved(
    low: Lowering, x: Tensor, kernel: Array, bias: Array, windows: tuple[Sequence[WindowAxis], int]
) -> Tensor:
    """Convolve NHWC ``x`` with ``kernel`` (out, in / groups, kh, kw).

    ``windows`` are those of height and width, and the number of groups.
    """
    (high, wide), groups = windows
    if padded((high, wide)):  # becomes a part of the convolution where that can be
        x = low.emit("PAD", [x, pads_of(low, (high, wide))], padded_shape(x, (high, wide)))
    out = len(kernel)
    options: schema.Conv2DOptionsT | schema.DepthwiseConv2DOptionsT
    if groups == x.shape[3] > 1:
        code, order = "DEPTHWISE_CONV_2D", (1, 2, 3, 0)
        options = schema.DepthwiseConv2DOptionsT(depthMultiplier=out // groups)
    else:
        code, order = "CONV_2D", (0, 2, 3, 1)
        options = schema.Conv2DOptionsT()
    options.padding = schema.Padding.VALID
    options.strideH, options.strideW = high.stride, wide.stride
    options.dilationHFactor, options.dilationWFactor = high.dilation, wide.dilation
    inputs = [x, low.constant("weights", kernel.transpose(order)), low.constant("bias", bias)]
    return low.emit(code, inputs, (x.shape[0], high.out, wide.out, out), options)


def _of_volume(node: Node, low: Lowering, kernel: Array, bias: Array) -> LayoutView:
    """Convolve a volume by convolutions of images, because TFLite's CONV_3D has no int8 kernel.

    A kernel of depth 1 is applied to the planes, and one of height and width 1 along the depth. Otherwise, the elements
    that the taps along the depth read become channels of one convolution, or for one channel per group, the
    convolutions of the taps are added.
    """
    view, groups = low.view(node.inputs[0]), node.get("group", 1)
    batch, channels, *sizes = view.shape
    depth, high, wide = axes_of(node, sizes, low.source.shapes[node.outputs[0]][2:], kernel.shape[2:])
    outs = (depth.out, high.out, wide.out)
    out, inner, taps, *_ = kernel.shape
    if depth == whole(sizes[0]):
        y = _convolved(low, planes(low, view), kernel[:, :, 0], bias, ((high, wide), groups))
    elif high == whole(sizes[1]) and wide == whole(sizes[2]):
        columns = whole(sizes[1] * sizes[2])
        y = _convolved(low, along_depth(low, view), kernel[:, :, :, 0], bias, ((depth, columns), groups))
    elif inner == 1 < groups:
        x = along_depth(low, view)
        parts = []
        for tap, part in enumerate(depth_taps(low, x, depth, taps)):
            image = low.arranged(part, (0, 1, 2, 3), (batch * depth.out, *sizes[1:], channels))
            tap_bias = bias if tap == 0 else np.zeros_like(bias)
            parts.append(LayoutView.of(_convolved(low, image, kernel[:, :, tap], tap_bias, ((high, wide), groups))))
        y = reduce(lambda left, right: elementwise(low, "ADD", left, right), parts).tensor
    else:
        parts = depth_taps(low, along_depth(low, view, groups), depth, taps)
        image = stacked(low, parts, (depth.out, *sizes[1:]), channels)
        weights = kernel.transpose(0, 2, 1, 3, 4).reshape(out, taps * inner, *kernel.shape[3:])
        y = _convolved(low, image, weights, bias, ((high, wide), groups))
    return volume(low, y, batch, outs)


def constant_weights(node: Node, low: Lowering) -> Array:
    """Return the weights of a convolution.

    Raises:
        ModelError: They are computed.
    """
    weights = low.array(node.inputs[1])
    if weights is None:
        raise node.unsupported("weights that are computed", "constant")
    return weights


def constant_bias(node: Node, low: Lowering, channels: int) -> Array:
    """Return the bias of a convolution; zeros if it has none.

    Raises:
        ModelError: It is computed.
    """
    if not node.input(2):
        return np.zeros(channels, np.float32)
    bias = low.array(node.inputs[2])
    if bias is None:
        raise node.unsupported("a bias that is computed", "constant")
    return bias
