"""Geometry of the windows of convolutions and poolings: kernels, strides and padding of ONNX in terms of TFLite."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from edgeprune.tflite.conversion.onnx_graph import Node


@dataclass(frozen=True)
class WindowAxis:
    """Windows along one spatial dimension.

    Attributes:
        size: Size of the input.
        out: Number of windows.
        extent: Size of a window, including dilation.
        stride: Distance between consecutive windows.
        before: Padding before the input.
        after: Padding after the input, as far as a window reaches into it.
        dilation: Distance between consecutive elements of a window.
    """

    size: int
    out: int
    extent: int
    stride: int
    before: int
    after: int
    dilation: int = 1

    @property
    def is_same(self) -> bool:
        """Whether TFLite's SAME padding gives the same windows."""
        total = max((self.out - 1) * self.stride + self.extent - self.size, 0)
        return (
            self.out == -(-self.size // self.stride) and self.before == total // 2 and self.after == total - total // 2
        )


def axes_of(node: Node, sizes: Sequence[int], outs: Sequence[int], kernel: Sequence[int]) -> list[WindowAxis]:
    """Return the windows of ``node`` along each spatial dimension.

    Args:
        node: Node with the attributes ``strides``, ``dilations``, ``pads`` and ``auto_pad``.
        sizes: Spatial sizes of the input.
        outs: Spatial sizes of the output.
        kernel: Number of elements of a window along each dimension.
    """
    rank = len(sizes)
    strides = node.get("strides", [1] * rank)
    dilations = node.get("dilations", [1] * rank)
    pads = node.get("pads", [0] * (2 * rank))
    padding = node.get("auto_pad", "NOTSET")
    axes = []
    for index, (size, out, taps) in enumerate(zip(sizes, outs, kernel, strict=True)):
        extent = (taps - 1) * dilations[index] + 1
        reach = (out - 1) * strides[index] + extent  # from the start of the first window to the end of the last
        if padding in ("SAME_UPPER", "SAME_LOWER"):
            total = max(reach - size, 0)
            before = total // 2 if padding == "SAME_UPPER" else total - total // 2
        else:
            before = 0 if padding == "VALID" else pads[index]
        after = max(reach - before - size, 0)
        axes.append(WindowAxis(size, out, extent, strides[index], before, after, dilations[index]))
    return axes


def padded(axes: Sequence[WindowAxis]) -> bool:
    """Return whether any window reaches over an edge."""
    return any(axis.before or axis.after for axis in axes)
