"""Operators that choose elements by their index in each dimension: gathering, mirrored padding, nearest neighbors."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

import numpy as np

from edgeprune.backends.c.box_copy import steps_of
from edgeprune.backends.c.int8_network import Array, Tensor
from edgeprune.backends.c.layer import ANY, Layer, operator
from edgeprune.errors import ModelError
from edgeprune.tflite.tflite_schema import schema

_RANK = 4


@operator("GATHER", types=ANY)
def gathering(layer: Layer) -> None:
    source, options = layer.step.input(0), layer.step.options
    axis = options.axis % len(source.shape)
    if options.batchDims:
        raise ModelError(f"{layer.step.name} has batch dimensions, which have no C code: convert the model again")
    indices = [np.arange(size) for size in source.shape]
    indices[axis] = layer.step.input(1).values.reshape(-1)
    _select(layer, source, indices)


@operator("MIRROR_PAD", types=ANY)
def mirrored_padding(layer: Layer) -> None:
    source, pads = layer.step.input(0), layer.step.input(1).values.reshape(-1, 2)
    mode = "reflect" if layer.step.options.mode == schema.MirrorPadMode.REFLECT else "symmetric"
    indices = [
        np.pad(np.arange(size), (int(before), int(after)), mode=mode)  # type: ignore[call-overload]
        for size, (before, after) in zip(source.shape, pads, strict=True)
    ]
    _select(layer, source, indices)


@operator("RESIZE_NEAREST_NEIGHBOR", types=ANY)
def nearest_neighbors(layer: Layer) -> None:
    source, output = layer.step.input(0), layer.step.output
    indices = [np.arange(size) for size in source.shape]
    for axis in (1, 2):
        indices[axis] = _nearest(source.shape[axis], output.shape[axis], layer.step.options)
    _select(layer, source, indices)


def _nearest(size: int, new_size: int, options: schema.ResizeNearestNeighborOptionsT) -> Array:
    """Return the index for each position, in float32 arithmetic as TFLite computes it."""
    between = options.alignCorners and new_size > 1
    scale = np.float32(size - 1) / np.float32(new_size - 1) if between else np.float32(size) / np.float32(new_size)
    centers = (np.arange(new_size, dtype=np.float32) + np.float32(0.5 if options.halfPixelCenters else 0.0)) * scale
    rounded = np.floor(centers + np.float32(0.5)) if options.alignCorners else np.floor(centers)
    places: Array = np.clip(rounded.astype(np.int64), 0, size - 1)
    return places


def _select(layer: Layer, source: Tensor, indices: Sequence[Array]) -> None:
    """Add a copy of the elements with ``indices`` in each dimension. Dimensions that are copied whole become one."""
    for places, size in zip(indices, source.shape, strict=True):
        if places.min() < 0 or places.max() >= size:
            raise ModelError(f"{layer.step.name} has an index beyond {size} elements: convert the model again")
    if prod(map(len, indices)) != layer.step.output.elements:
        raise ModelError(f"{layer.step.name} must have {prod(map(len, indices))} elements: convert the model again")
    each = source.dtype.itemsize
    dims = [
        (chosen * step, size) for chosen, step, size in zip(indices, steps_of(source.shape), source.shape, strict=True)
    ]
    run = 1
    while dims and len(dims[-1][0]) == dims[-1][1] and np.array_equal(dims[-1][0], np.arange(dims[-1][1]) * run):
        run *= dims.pop()[1]
    offsets = [places * each for places, _ in dims if len(places) > 1 or places[0]]
    while len(offsets) > _RANK:
        last, first = offsets.pop(0), offsets.pop(0)
        offsets.insert(0, np.add.outer(last, first).reshape(-1))
    offsets = [np.zeros(1, np.int64)] * (_RANK - len(offsets)) + offsets
    names = [layer.constant(f"offsets{axis}", places.astype(np.int32)) for axis, places in enumerate(offsets)]
    fields = [
        ("sizes", "{" + ", ".join(str(len(places)) for places in offsets) + "}"),
        ("offsets", "{" + ", ".join(names) + "}"),
        ("run", str(run * each)),
    ]
    pointers = layer.bytes_pointer(source), layer.bytes_pointer(layer.step.output)
    layer.call("selection", "ep_select", "ep_selection", fields, *pointers)
