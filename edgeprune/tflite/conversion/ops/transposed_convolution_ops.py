"""Lowering of transposed convolutions in one to three dimensions, with any number of groups."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from edgeprune.tflite.conversion.layout_views import LayoutView
from edgeprune.tflite.conversion.lowering import Lowering
from edgeprune.tflite.conversion.nhwc import as_image, stored_image, write_image
from edgeprune.tflite.conversion.onnx_graph import Node
from edgeprune.tflite.conversion.ops.base import lowering
from edgeprune.tflite.conversion.ops.convolution_ops import constant_bias, constant_weights
from edgeprune.tflite.conversion.ops.view_operators import sliced
from edgeprune.tflite.conversion.ops.volumes import RANK, along_depth, depth_taps, stacked, volume
from edgeprune.tflite.conversion.tflite_graph import Array, Tensor
from edgeprune.tflite.conversion.window_geometry import WindowAxis
from edgeprune.tflite.tflite_schema import schema


@dataclass(frozen=True)
class _Axis:
    """Spatial dimension of a transposed convolution.

    Attributes:
        size: Size of the input.
        out: Size of the output.
        stride: Distance of the results of consecutive elements.
        full: Size of the result before it is cropped.
        before: Number of elements that are cropped at the start.
    """

    size: int
    out: int
    stride: int
    full: int
    before: int

    @property
    def is_same(self) -> bool:
        """Whether TFLite's SAME padding gives the same result."""
        return self.before == max(self.full - self.out, 0) // 2 and -(-self.out // self.stride) == self.size


@lowering("ConvTranspose", layout="channels_last")
def transposed_convolution(node: Node, low: Lowering) -> None:
    """Lower ConvTranspose. TFLite supports neither groups nor dilation, so both become zeros in the weights."""
    weights = constant_weights(node, low)
    dilations = node.get("dilations", [1] * (weights.ndim - 2))
    kernel = _dilated(_dense(weights, node.get("group", 1)), dilations)
    bias = constant_bias(node, low, kernel.shape[1])
    axes = _axes(node, low, kernel)
    if kernel.ndim == RANK:
        low.write(node.outputs[0], _of_volume(low, low.view(node.inputs[0]), kernel, bias, axes))
        return
    if len(axes) == 1:
        axes = [_Axis(size=1, out=1, stride=1, full=1, before=0), *axes]
    x = stored_image(node, low, node.inputs[0])
    write_image(node, low, _transposed(low, x, kernel.reshape(as_image(kernel.shape)), bias, axes))


def _transposed(low: Lowering, x: Tensor, kernel: Array, bias: Array, axes: Sequence[_Axis]) -> Tensor:
    """Apply ``kernel`` (in, out, kh, kw) to NHWC ``x``."""
    same = all(axis.is_same for axis in axes)
    options = schema.TransposeConvOptionsT(padding=schema.Padding.SAME if same else schema.Padding.VALID)
    options.strideH, options.strideW = (axis.stride for axis in axes)
    output_shape = (x.shape[0], *(axis.out for axis in axes), kernel.shape[1])
    computed_sizes = [axis.out if same else max(axis.full, axis.before + axis.out) for axis in axes]
    computed_shape = (x.shape[0], *computed_sizes, kernel.shape[1])
    inputs = [
        low.constant("output_shape", np.array(computed_shape, np.int32)),
        low.constant("weights", kernel.transpose(1, 2, 3, 0)),
        x,
        low.constant("bias", bias),
    ]
    y = low.emit("TRANSPOSE_CONV", inputs, computed_shape, options, dtype=x.dtype)
    if computed_shape != output_shape:
        begin = low.constant("begin", np.array([0, *(axis.before for axis in axes), 0], np.int32))
        y = low.emit("SLICE", [y, begin, low.constant("size", np.array(output_shape, np.int32))], output_shape)
    return y


def _of_volume(low: Lowering, view: LayoutView, kernel: Array, bias: Array, axes: Sequence[_Axis]) -> LayoutView:
    """Apply ``kernel`` to a volume: along the depth as a convolution of the elements with zeros between them.

    The taps along the depth become channels of a transposed convolution of images.
    """
    batch, channels, *sizes = view.shape
    depth, taps = axes[0], kernel.shape[2]
    x = along_depth(low, view)
    if depth.stride > 1:
        rows = low.arranged(LayoutView.of(x), range(4), (batch, depth.size, 1, x.shape[2] * channels))
        pads = low.constant("zeros_between", np.array([(0, 0), (0, 0), (0, depth.stride - 1), (0, 0)], np.int32))
        spread = low.emit("PAD", [rows, pads], (batch, depth.size, depth.stride, rows.shape[3]))
        x = low.arranged(LayoutView.of(spread), range(4), (batch, depth.size * depth.stride, *x.shape[2:]))
    before = taps - 1 - depth.before
    if before < 0:  # elements that only the cropped part of the result reads
        x = low.arranged(sliced(low, LayoutView.of(x), {1: range(-before, x.shape[1])}), range(4))
        before = 0
    windows = WindowAxis(
        size=x.shape[1],
        out=depth.out,
        extent=taps,
        stride=1,
        before=before,
        after=max(depth.out + taps - 1 - before - x.shape[1], 0),
    )
    image = stacked(low, depth_taps(low, x, windows, taps), (depth.out, *sizes[1:]), channels)
    weights = kernel[:, :, ::-1].transpose(2, 0, 1, 3, 4).reshape(taps * channels, kernel.shape[1], *kernel.shape[3:])
    y = _transposed(low, image, weights, bias, axes[1:])
    return volume(low, y, batch, [axis.out for axis in axes])


def _dense(kernel: Array, groups: int) -> Array:
    """Expand grouped weights (in, out / groups, ...) to block-diagonal weights (in, out, ...)."""
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
    sizes = [(taps - 1) * step + 1 for taps, step in zip(kernel.shape[2:], dilations, strict=True)]
    dilated = np.zeros((*kernel.shape[:2], *sizes), kernel.dtype)
    taps = [slice(None, None, step) for step in (1, 1, *dilations)]
    dilated[tuple(taps)] = kernel
    return dilated


def _axes(node: Node, low: Lowering, kernel: Array) -> list[_Axis]:
    """Return the spatial dimensions; ``kernel`` is dilated."""
    sizes, outs = (low.source.shapes[name][2:] for name in (node.inputs[0], node.outputs[0]))
    rank = len(sizes)
    strides = node.get("strides", [1] * rank)
    full = [(size - 1) * step + taps for size, step, taps in zip(sizes, strides, kernel.shape[2:], strict=True)]
    padding = node.get("auto_pad", "NOTSET")
    if padding == "NOTSET" and "output_shape" not in node.attributes:
        before = list(node.get("pads", [0] * (2 * rank))[:rank])
    else:
        extra = node.get("output_padding", [0] * rank)
        totals = [max(size + more - out, 0) for size, more, out in zip(full, extra, outs, strict=True)]
        before = [total // 2 if padding == "SAME_UPPER" else total - total // 2 for total in totals]
    return [_Axis(*values) for values in zip(sizes, outs, strides, full, before, strict=True)]
