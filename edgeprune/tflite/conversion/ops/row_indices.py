"""Constant indices of gathers and scatters as positions in a tensor that is reshaped to rows."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from edgeprune.tflite.conversion.tflite_graph import Array


def flat_rows(indices: Array, sizes: Sequence[int]) -> Array:
    """Return the row that each index tuple selects.

    Args:
        indices: Index tuples (..., len(sizes)). Negative ones count from the end.
        sizes: Sizes of the dimensions that are reshaped to one of rows.
    """
    wrapped = indices % np.array(sizes, np.int64)
    return np.asarray(wrapped @ strides(sizes))


def strides(sizes: Sequence[int]) -> Array:
    """Return the distance of consecutive elements of each dimension, in elements."""
    return np.array([np.prod(sizes[index + 1 :]) for index in range(len(sizes))], np.int64)


def positions_along(indices: Array, axis: int, sizes: Sequence[int]) -> Array | None:
    """Return the positions along ``axis`` if all lines of ``indices`` along it are equal, and cover ``sizes``."""
    others = [index for index in range(indices.ndim) if index != axis]
    if any(indices.shape[index] != sizes[index] for index in others):
        return None
    line = indices[tuple(slice(None) if index == axis else slice(1) for index in range(indices.ndim))]
    return line.reshape(-1) % sizes[axis] if (indices == line).all() else None


def rows_of_elements(indices: Array, axis: int, sizes: Sequence[int]) -> Array:
    """Return the position in a flat tensor of ``sizes`` of the element that each of ``indices`` along ``axis`` selects.

    The other coordinates are those of the index itself.
    """
    coordinates = np.indices(indices.shape)
    coordinates[axis] = indices % sizes[axis]
    return np.asarray(np.tensordot(strides(sizes), coordinates, 1))
