"""Convolution with computed weights, as in the correlation of trackers, as a product of matrices."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from edgeprune.tflite.conversion.layout_views import LayoutView
from edgeprune.tflite.conversion.lowering import Lowering
from edgeprune.tflite.conversion.nhwc import as_image, padded_shape, pads_of
from edgeprune.tflite.conversion.ops.matmul_ops import matrix_product
from edgeprune.tflite.conversion.ops.view_operators import gathered
from edgeprune.tflite.conversion.tflite_graph import Array, Tensor
from edgeprune.tflite.conversion.window_geometry import WindowAxis, padded


def convolved_by_computed(
    low: Lowering, x: Tensor, weights: LayoutView, axes: Sequence[WindowAxis], groups: int
) -> LayoutView:
    """Multiply the windows of NHWC ``x`` by ``weights`` (out, in / groups, kh, kw), and return the result as NHWC.

    TFLite's convolution runs with computed weights only as float. A product can be quantized.
    """
    out, inner, *kernel = as_image(weights.shape)
    if padded(axes):
        x = low.emit("PAD", [x, pads_of(low, axes)], padded_shape(x, axes))
    batch, high, wide, _ = x.shape
    rows = LayoutView.of(low.arranged(LayoutView.of(x), range(4), (batch, high * wide, groups * inner)))
    windows = gathered(low, rows, 1, _window_elements(axes, kernel, wide).reshape(-1))
    pixels, taps = axes[0].out * axes[1].out, kernel[0] * kernel[1]
    # (groups, batch * pixels, taps * inner) times (groups, taps * inner, out / groups)
    split = low.reshaped(windows, (batch * pixels, taps, groups, inner)).transposed((2, 0, 1, 3))
    left = low.reshaped(split, (groups, batch * pixels, taps * inner))
    ordered = low.reshaped(weights, (groups, out // groups, inner, taps)).transposed((0, 3, 2, 1))
    right = low.reshaped(ordered, (groups, taps * inner, out // groups))
    product = matrix_product(low, left, right).transposed((1, 0, 2))
    return low.reshaped(product, (batch, axes[0].out, axes[1].out, out))


def _window_elements(axes: Sequence[WindowAxis], kernel: Sequence[int], wide: int) -> Array:
    """Return the positions in the flat padded image that each window reads (out high, out wide, kh, kw)."""
    lines, columns = (
        np.arange(axis.out)[:, None] * axis.stride + np.arange(taps) * axis.dilation
        for axis, taps in zip(axes, kernel, strict=True)
    )
    return np.asarray(lines[:, None, :, None] * wide + columns[None, :, None, :])
