"""Interpolation of images at computed positions, by gathers of their elements."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

import numpy as np

from edgeprune.tflite.conversion.layout_views import LayoutView
from edgeprune.tflite.conversion.lowering import Lowering
from edgeprune.tflite.conversion.ops.view_operators import constant, converted, elementwise, gathered

_INT32 = np.dtype(np.int32)


@dataclass(frozen=True)
class ImageRows:
    """Images of a batch whose elements are rows.

    Attributes:
        view: Elements of all images (N * H * W, C).
        batch: Number of images.
        high: Height.
        wide: Width.
    """

    view: LayoutView
    batch: int
    high: int
    wide: int


def image_rows(low: Lowering, view: LayoutView, *, border: int = 0) -> ImageRows:
    """Return the rows of images (N, C, H, W), with a ``border`` of zeros on each side."""
    batch, channels, high, wide = view.shape
    x = low.arranged(view, (0, 2, 3, 1))
    if border:
        pads = np.array([(0, 0), (border, border), (border, border), (0, 0)], np.int32)
        high, wide = high + 2 * border, wide + 2 * border
        x = low.emit("PAD", [x, low.constant("border", pads)], (batch, high, wide, channels))
    rows = low.arranged(LayoutView.of(x), range(4), (batch * high * wide, channels))
    return ImageRows(LayoutView.of(rows), batch, high, wide)


def clipped(low: Lowering, view: LayoutView, lowest: float, highest: float) -> LayoutView:
    return elementwise(low, "MINIMUM", elementwise(low, "MAXIMUM", view, lowest), highest)


def nearest(low: Lowering, images: ImageRows, y: LayoutView, x: LayoutView, image: np.ndarray) -> LayoutView:
    """Return the elements at whole positions inside the images: (number of positions, C).

    Args:
        low: The lowering.
        images: The images.
        y: Rows, as floats.
        x: Columns, as floats, of the same shape.
        image: Number of the image at each position, of a shape that broadcasts to that of ``y``.
    """
    index = elementwise(
        low, "ADD", elementwise(low, "MUL", converted(low, y, _INT32), images.wide), converted(low, x, _INT32)
    )
    if image.any():
        starts = image.astype(np.int32) * (images.high * images.wide)
        index = elementwise(low, "ADD", index, constant(low, "starts", starts))
    return gathered(low, images.view, 0, low.arranged(index, range(index.rank), (prod(index.shape),)))


def bilinear(low: Lowering, images: ImageRows, y: LayoutView, x: LayoutView, image: np.ndarray) -> LayoutView:
    """Interpolate between the four elements around positions inside the images, see ``nearest``."""
    count = prod(y.shape)
    corners, fractions = [], []
    for position, size in ((y, images.high), (x, images.wide)):
        first = elementwise(low, "FLOOR", position)
        second = elementwise(low, "MINIMUM", elementwise(low, "ADD", first, 1), size - 1)
        corners.append((first, second))
        fractions.append(low.reshaped(elementwise(low, "SUB", position, first), (count, 1)))
    lines = []
    for row in corners[0]:
        left, right = (nearest(low, images, row, column, image) for column in corners[1])
        lines.append(_between(low, left, right, fractions[1]))
    return _between(low, lines[0], lines[1], fractions[0])


def _between(low: Lowering, start: LayoutView, end: LayoutView, fraction: LayoutView) -> LayoutView:
    difference = elementwise(low, "SUB", end, start)
    return elementwise(low, "ADD", start, elementwise(low, "MUL", difference, fraction))
