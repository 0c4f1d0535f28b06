"""Which coordinate each index of each dimension of a tensor stands for.

A *track* follows the indices of one original dimension through data movement. Its ids lie along the dimensions it
varies with: one after ``permute``, several after a ``view`` that split a dimension.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

CONSTANT = 0
"""No coordinate: filled in by the op itself, such as zero padding. Ties nothing."""
OPAQUE = 1
"""A coordinate that is not followed, such as a pixel or a sample. What is tied to it must stay."""
FIRST = 2
"""The first id of a real coordinate."""


@dataclass(frozen=True)
class Track:
    """``ids`` has one dimension for each entry of ``dims``, which rise."""

    dims: tuple[int, ...]
    ids: Tensor


@dataclass(frozen=True)
class Labels:
    """The tracks of one tensor. A dimension that no track varies with is opaque."""

    shape: tuple[int, ...]
    tracks: tuple[Track, ...] = ()

    @staticmethod
    def of(shape: Iterable[int], vectors: Mapping[int, Tensor | None]) -> Labels:
        """Labels with at most one vector of ids a dimension; a dimension of size 1 needs none."""
        shape = tuple(shape)
        tracks = []
        for dim, ids in sorted((dim % len(shape), ids) for dim, ids in vectors.items() if ids is not None):
            assert len(ids) == shape[dim], f"{len(ids)} ids along dimension {dim} of {shape}"
            if shape[dim] > 1:
                tracks.append(Track((dim,), ids))
        return Labels(shape, tuple(tracks))

    def vector(self, dim: int) -> Tensor | None:
        """The ids along ``dim``, where one track varies with that dimension alone."""
        for track in self.tracks:
            if track.dims == (dim % len(self.shape),):
                return track.ids
        return None


def spread(track: Track, shape: tuple[int, ...]) -> Tensor:
    """The ids of ``track`` for every element of a tensor of ``shape``: a strided view, nothing is copied."""
    sizes = [1] * len(shape)
    for dim, size in zip(track.dims, track.ids.shape, strict=True):
        sizes[dim] = size
    return track.ids.reshape(sizes).expand(shape)


def gather(elements: Tensor) -> Track | None:
    """The track that ``elements``, one id for each element of a tensor, came to be; None where nothing is followed.

    Constants agree with any id, so that padding pixels around a channel keeps the channel whole.
    """
    dims: list[int] = []
    for dim in reversed(range(elements.ndim)):
        if elements.shape[dim] == 1 or elements.stride(dim) == 0:
            elements = elements.select(dim, 0)
        else:
            whole = elements.amax(dim, keepdim=True)
            if bool(((elements == whole) | (elements == CONSTANT)).all()):
                elements = whole.select(dim, 0)
            else:
                dims.insert(0, dim)
    if not bool((elements >= FIRST).any()):
        return None
    return Track(tuple(dims), elements.contiguous())


def distinct(ids: Tensor) -> int:
    """How many different coordinates ``ids`` names."""
    return int(torch.unique(ids[ids >= FIRST]).numel())
