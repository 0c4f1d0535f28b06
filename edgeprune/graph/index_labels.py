"""Labels of tensors: the coordinate of each index of each dimension.

A *coordinate* is one index of an original dimension, identified by its id. A *track* contains the ids of one original
dimension after data movement. Its ids lie along the dimensions with which they vary: one dimension after ``permute``,
several dimensions after a ``view`` that splits a dimension.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

CONSTANT = 0
"""Id of a value that the operator fills in, such as zero padding. It creates no ties."""
OPAQUE = 1
"""Id of an untracked coordinate, such as a pixel or a sample. Coordinates that are tied to it are frozen."""
FIRST = 2
"""First id of a tracked coordinate."""


@dataclass(frozen=True)
class Track:
    """Ids of one original dimension in a tensor.

    Attributes:
        dims: Dimensions of the tensor with which the ids vary, in ascending order.
        ids: Ids, with one dimension for each entry of ``dims``.
    """

    dims: tuple[int, ...]
    ids: Tensor


@dataclass(frozen=True)
class Labels:
    """Shape and tracks of one tensor. A dimension without a track is opaque."""

    shape: tuple[int, ...]
    tracks: tuple[Track, ...] = ()

    @staticmethod
    def of(shape: Iterable[int], vectors: Mapping[int, Tensor | None]) -> Labels:
        """Return labels with at most one vector of ids for each dimension. A dimension of size 1 needs none."""
        shape = tuple(shape)
        tracks = []
        for dim, ids in sorted((dim % len(shape), ids) for dim, ids in vectors.items() if ids is not None):
            assert len(ids) == shape[dim], f"{len(ids)} ids along dimension {dim} of {shape}"
            if shape[dim] > 1:
                tracks.append(Track((dim,), ids))
        return Labels(shape, tuple(tracks))

    def vector(self, dim: int) -> Tensor | None:
        """Return the ids along ``dim``, or None if no track varies with this dimension alone."""
        for track in self.tracks:
            if track.dims == (dim % len(self.shape),):
                return track.ids
        return None


def spread(track: Track, shape: tuple[int, ...]) -> Tensor:
    """Return the ids of ``track`` for each element of a tensor of ``shape``, as a strided view without a copy."""
    sizes = [1] * len(shape)
    for dim, size in zip(track.dims, track.ids.shape, strict=True):
        sizes[dim] = size
    return track.ids.reshape(sizes).expand(shape)


def gather(elements: Tensor) -> Track | None:
    """Return the track of ``elements``, one id for each element of a tensor, or None without tracked ids.

    Constants match any id, so that pixels of padding around a channel do not split the channel.
    """
    dims: list[int] = []
    for dim in reversed(range(elements.ndim)):
        if elements.shape[dim] == 1 or elements.stride(dim) == 0:
            elements = elements.select(dim, 0)
        else:
            maxima = elements.amax(dim, keepdim=True)
            if bool(((elements == maxima) | (elements == CONSTANT)).all()):
                elements = maxima.select(dim, 0)
            else:
                dims.insert(0, dim)
    if not bool((elements >= FIRST).any()):
        return None
    return Track(tuple(dims), elements.contiguous())


def distinct(ids: Tensor) -> int:
    """Return the number of distinct coordinates in ``ids``."""
    return int(torch.unique(ids[ids >= FIRST]).numel())
