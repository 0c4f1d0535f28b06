"""Volumes and videos (N, C, D, H, W) as images of TFLite's spatial operators.

An operator is applied to the planes of height and width, with the depth as a part of the batch, or along the depth,
with height and width as one dimension.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from edgeprune.tflite.conversion.layout_views import LayoutView, channels_last
from edgeprune.tflite.conversion.lowering import Lowering
from edgeprune.tflite.conversion.ops.view_operators import concatenated, sliced
from edgeprune.tflite.conversion.tflite_graph import Tensor
from edgeprune.tflite.conversion.window_geometry import WindowAxis

RANK = 5


def planes(low: Lowering, view: LayoutView) -> Tensor:
    """Return the planes of height and width: (N * D, H, W, C)."""
    batch, channels, depth, high, wide = view.shape
    return low.arranged(view, channels_last(RANK), (batch * depth, high, wide, channels))


def along_depth(low: Lowering, view: LayoutView, groups: int = 1) -> Tensor:
    """Return the volume with all but depth and the channels of a group in one dimension: (N, D, H * W * groups, C)."""
    batch, channels, depth, high, wide = view.shape
    return low.arranged(view, channels_last(RANK), (batch, depth, high * wide * groups, channels // groups))


def volume(low: Lowering, tensor: Tensor, batch: int, sizes: Sequence[int]) -> LayoutView:
    """View the result of an operator on ``planes`` or ``along_depth`` as (N, C, D, H, W); ``sizes`` are (D, H, W)."""
    return low.reshaped(LayoutView.of(tensor), (batch, *sizes, tensor.shape[3])).transposed((0, 4, 1, 2, 3))


def whole(size: int) -> WindowAxis:
    """Return windows of one element each."""
    return WindowAxis(size=size, out=size, extent=1, stride=1, before=0, after=0)


def depth_taps(low: Lowering, x: Tensor, axis: WindowAxis, taps: int) -> list[LayoutView]:
    """Return the elements of ``x`` (N, D, ..., C) that each tap of the windows along the depth reads."""
    if axis.before or axis.after:
        pads = low.constant("depth_pads", np.array([(0, 0), (axis.before, axis.after), (0, 0), (0, 0)], np.int32))
        x = low.emit("PAD", [x, pads], (x.shape[0], x.shape[1] + axis.before + axis.after, *x.shape[2:]))
    reach = (axis.out - 1) * axis.stride + 1
    starts = range(0, taps * axis.dilation, axis.dilation)
    return [sliced(low, LayoutView.of(x), {1: range(start, start + reach, axis.stride)}) for start in starts]


def stacked(low: Lowering, taps: Sequence[LayoutView], sizes: Sequence[int], channels: int) -> Tensor:
    """Join ``depth_taps`` as channels of planes (N * D, H, W, taps * C); ``sizes`` are (D, H, W)."""
    joined = concatenated(low, taps, 3)
    depth, high, wide = sizes
    return low.arranged(joined, (0, 1, 2, 3), (joined.shape[0] * depth, high, wide, len(taps) * channels))
