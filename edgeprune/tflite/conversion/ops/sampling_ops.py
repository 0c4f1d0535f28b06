"""Lowerings of GridSample and RoiAlign, which sample images at computed positions."""

from __future__ import annotations

import numpy as np

from edgeprune.tflite.conversion.layout_views import LayoutView
from edgeprune.tflite.conversion.lowering import Lowering
from edgeprune.tflite.conversion.onnx_graph import Node
from edgeprune.tflite.conversion.ops.base import lowering
from edgeprune.tflite.conversion.ops.sampling import bilinear, clipped, image_rows, nearest
from edgeprune.tflite.conversion.ops.view_operators import constant, converted, elementwise, reduced, sliced

_LINEAR = ("bilinear", "linear")


@lowering("GridSample", layout="channels_last")
def grid_sample(node: Node, low: Lowering) -> None:
    """Lower GridSample of images. A border of zeros around the images serves positions outside of them."""
    mode, padding = node.get("mode", "linear"), node.get("padding_mode", "zeros")
    if mode not in (*_LINEAR, "nearest"):
        raise node.unsupported(f"mode '{mode}'", "nearest or linear (bilinear)")
    view, grid = low.view(node.inputs[0]), low.view(node.inputs[1])
    if view.rank != 4:
        raise node.unsupported(f"an input of shape {view.shape}", "images (N, C, H, W)")
    batch, channels, *sizes = view.shape
    border = 1 if padding == "zeros" else 0
    images = image_rows(low, view, border=border)
    shape = (batch, *grid.shape[1:3])
    positions = []
    for index, size in ((1, sizes[0]), (0, sizes[1])):
        part = low.reshaped(sliced(low, grid, {3: range(index, index + 1)}), shape)
        position = _position(low, part, size, corners=bool(node.get("align_corners", 0)))
        if padding == "reflection":
            position = _reflected(low, position, size, corners=bool(node.get("align_corners", 0)))
        if mode == "nearest":
            position = elementwise(low, "ROUND", position)
        position = clipped(low, position, -border, size - 1 + border)
        positions.append(elementwise(low, "ADD", position, border) if border else position)
    interpolate = nearest if mode == "nearest" else bilinear
    result = interpolate(low, images, positions[0], positions[1], np.arange(batch).reshape(-1, 1, 1))
    low.write(node.outputs[0], low.reshaped(result, (*shape, channels)).transposed((0, 3, 1, 2)))


def _position(low: Lowering, part: LayoutView, size: int, *, corners: bool) -> LayoutView:
    """Convert coordinates from -1 to 1 to positions of elements."""
    if corners:
        return elementwise(low, "MUL", elementwise(low, "ADD", part, 1), (size - 1) / 2)
    return elementwise(low, "ADD", elementwise(low, "MUL", part, size / 2), (size - 1) / 2)


def _reflected(low: Lowering, position: LayoutView, size: int, *, corners: bool) -> LayoutView:
    """Reflect positions at the centers of the outermost elements (``corners``), or at their edges."""
    start, length = (0.0, size - 1) if corners else (-0.5, size)
    if length == 0:
        return elementwise(low, "MUL", position, 0)
    distance = elementwise(low, "ABS", elementwise(low, "SUB", position, start) if start else position)
    distance = elementwise(low, "FLOOR_MOD", distance, 2 * length)
    folded = elementwise(low, "SUB", length, elementwise(low, "ABS", elementwise(low, "SUB", distance, length)))
    return elementwise(low, "ADD", folded, start) if start else folded


@lowering("RoiAlign", layout="channels_last")
def roi_align(node: Node, low: Lowering) -> None:
    """Lower RoiAlign to averages of samples. The number of samples must be fixed, and the batch have one image."""
    view, rois = low.view(node.inputs[0]), low.view(node.inputs[1])
    count, samples = rois.shape[0], node.get("sampling_ratio", 0)
    if samples < 1:
        raise node.unsupported(f"sampling_ratio {samples}", "positive: otherwise, the number of samples is computed")
    if node.get("mode", "avg") != "avg":
        raise node.unsupported("mode 'max'", "avg")
    batch, channels, *sizes = view.shape
    if batch != 1:
        raise node.unsupported(f"a batch of {batch} images", "1")
    outs = (node.get("output_height", 1), node.get("output_width", 1))
    counts = (outs[0] * samples, outs[1] * samples)
    shape = (count, *counts)
    inside = constant(low, "all", np.ones(shape, bool))
    zeros = constant(low, "zeros", np.zeros(shape, np.float32))
    positions = []
    for axis, (size, spread) in enumerate(zip(sizes, ((count, counts[0], 1), (count, 1, counts[1])), strict=True)):
        position = low.reshaped(_roi_positions(node, low, axis, counts[axis]), spread)
        for code, limit in (("GREATER_EQUAL", -1), ("LESS_EQUAL", size)):
            inside = elementwise(low, "LOGICAL_AND", inside, elementwise(low, code, position, limit))
        positions.append(elementwise(low, "ADD", zeros, clipped(low, position, 0, size - 1)))
    rows = bilinear(low, image_rows(low, view), positions[0], positions[1], np.zeros(()))
    mask = low.reshaped(converted(low, inside, np.dtype(np.float32)), (rows.shape[0], 1))
    values = low.reshaped(elementwise(low, "MUL", rows, mask), (count * outs[0], samples, outs[1], samples * channels))
    values = low.reshaped(reduced(low, "MEAN", values, [1]), (count * outs[0], outs[1], samples, channels))
    averages = low.reshaped(reduced(low, "MEAN", values, [2]), (count, *outs, channels))
    low.write(node.outputs[0], averages.transposed((0, 3, 1, 2)))


def _roi_positions(node: Node, low: Lowering, axis: int, count: int) -> LayoutView:
    """Return the positions of ``count`` samples of each region (regions, count) along height (0) or width (1)."""
    rois = low.view(node.inputs[1])
    half_pixel = node.get("coordinate_transformation_mode", "half_pixel") == "half_pixel"
    start, end = (
        elementwise(low, "MUL", sliced(low, rois, {1: range(index, index + 1)}), node.get("spatial_scale", 1.0))
        for index in (1 - axis, 3 - axis)
    )
    if half_pixel:
        start, end = (elementwise(low, "SUB", edge, 0.5) for edge in (start, end))
    length = elementwise(low, "SUB", end, start)
    if not half_pixel:
        length = elementwise(low, "MAXIMUM", length, 1)
    steps = ((np.arange(count) + 0.5) / count).astype(np.float32).reshape(1, -1)
    return elementwise(low, "ADD", elementwise(low, "MUL", length, constant(low, "steps", steps)), start)
