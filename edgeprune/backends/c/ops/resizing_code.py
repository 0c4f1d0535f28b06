"""Bilinear interpolation."""

from __future__ import annotations

import numpy as np

from edgeprune.backends.c.int8_network import Array
from edgeprune.backends.c.layer import Layer, operator
from edgeprune.tflite.tflite_schema import schema

_ONE = 1 << 10
"""Weight of 1."""


@operator("RESIZE_BILINEAR")
def interpolation(layer: Layer) -> None:
    source, output = layer.step.input(0), layer.step.output
    _, rows, columns, channels = source.shape
    row_places = _between(rows, output.shape[1], columns * channels, layer.step.options)
    column_places = _between(columns, output.shape[2], channels, layer.step.options)
    fields = [
        ("rows", layer.constant("rows", row_places)),
        ("columns", layer.constant("columns", column_places)),
        ("out_rows", str(output.shape[1])),
        ("out_columns", str(output.shape[2])),
        ("channels", str(channels)),
    ]
    layer.call_each_sample("resizing", "ep_interpolate", "ep_resizing", fields, source)


def _between(size: int, new_size: int, step: int, options: schema.ResizeBilinearOptionsT) -> Array:
    """Return offsets of the two neighbors of each position, and the weight of the second, int32 (new_size, 3)."""
    corners = options.alignCorners and new_size > 1
    old, new = (size - 1, new_size - 1) if corners else (size, new_size)
    scale = (_ONE * old + new // 2) // new
    places = np.arange(new_size, dtype=np.int64) * scale
    if options.halfPixelCenters:
        places += scale // 2 - _ONE // 2
    first = np.maximum(places // _ONE, 0)
    second = np.minimum((places + _ONE - 1) // _ONE, size - 1)
    return np.stack([first * step, second * step, places - first * _ONE], axis=1).astype(np.int32)
