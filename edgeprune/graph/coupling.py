"""Coupling of the coordinates of a program: owners, ties, and frozen coordinates with reasons."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor, fx

from edgeprune.graph.index_labels import CONSTANT, FIRST, OPAQUE, Labels, distinct


@dataclass(frozen=True)
class Owner:
    """Dimension of a tensor that owns coordinate ids.

    Attributes:
        name: Name of the tensor in the state dict, or of the node that creates it if ``parameter`` is False.
        dim: Dimension of the tensor.
        start: First id.
        size: Number of ids.
        parameter: Whether the tensor is a parameter, buffer or constant.
    """

    name: str
    dim: int
    start: int
    size: int
    parameter: bool


@dataclass(frozen=True)
class Product:
    """Multiply-adds of a call: ``count`` times the number of remaining indices of each vector of ids in ``factors``."""

    count: int
    factors: tuple[Tensor, ...]


@dataclass(frozen=True)
class Consumption:
    """Summation of a call over dimension ``dim`` of an argument. Removed ``ids`` must be zero there."""

    argument: str
    dim: int
    ids: Tensor


@dataclass
class Coupling:
    """Couplings that the rules of operators record in a pass over the program. ``units.py`` converts them to units."""

    attention: str = "heads"
    """Factor that stays prunable where a dimension is split: ``heads`` the outer one, ``head_dim`` the inner one."""
    owners: list[Owner] = field(default_factory=list)
    ties: list[tuple[Tensor, Tensor]] = field(default_factory=list)
    freezes: list[tuple[Tensor, str]] = field(default_factory=list)
    produced: list[Tensor] = field(default_factory=list)
    """Ids of the dimensions that layers produce, which give units their names."""
    products: dict[fx.Node, list[Product]] = field(default_factory=dict)
    consumed: dict[fx.Node, list[Consumption]] = field(default_factory=dict)
    inexact: set[fx.Node] = field(default_factory=set)
    """Calls whose kept outputs depend on the removed inputs (LayerNorm), so that zeros are no reference for them."""
    size: int = FIRST

    def multiply(self, node: fx.Node, shape: Sequence[int], vectors: Sequence[Tensor | None], *sizes: int) -> None:
        """Record the multiply-adds of a call: the product of ``shape`` and ``sizes``.

        ``vectors`` are the ids along the dimensions of ``shape``, or None for a dimension that never shrinks.
        """
        factors = tuple(vector for vector in vectors if vector is not None)
        fixed = math.prod(size for size, vector in zip(shape, vectors, strict=True) if vector is None)
        self.products.setdefault(node, []).append(Product(fixed * math.prod(sizes), factors))

    def consume(self, node: fx.Node, argument: str, dim: int, ids: Tensor | None) -> None:
        """Record that the call sums over dimension ``dim`` of the tensor ``argument``."""
        if ids is not None:
            self.consumed.setdefault(node, []).append(Consumption(argument, dim, ids))

    def new(self, name: str, dim: int, size: int, *, parameter: bool) -> Tensor:
        """Return new ids for one dimension of a tensor."""
        self.owners.append(Owner(name, dim, self.size, size, parameter))
        ids = torch.arange(self.size, self.size + size)
        self.size += size
        return ids

    def tie(self, *vectors: Tensor | None, reason: str = "") -> Tensor | None:
        """Tie vectors of ids of the same length index by index, and return one vector that represents all.

        None is an opaque dimension: ids that are tied to it are frozen.
        """
        tracked = [vector for vector in vectors if vector is not None]
        if not tracked:
            return None
        joined = tracked[0]
        for vector in tracked[1:]:
            both = (joined >= FIRST) & (vector >= FIRST) & (joined != vector)
            self.ties.append((joined[both], vector[both]))
            for one, other in ((joined, vector), (vector, joined)):
                self.freeze(one[other == OPAQUE], reason)
            joined = torch.where(joined == CONSTANT, vector, joined)
        if len(tracked) < len(vectors):
            self.freeze(joined, reason)
            return None
        return joined

    def tie_rows(self, ids: Tensor) -> Tensor:
        """Tie all ids of each row of ``ids``, (rows, entries), and return one id for each row, (rows,)."""
        first = ids.amax(1)
        pairs = torch.stack([first[:, None].expand_as(ids), ids])[:, ids >= FIRST]
        self.ties.append((pairs[0], pairs[1]))
        opaque = (ids == OPAQUE).any(1)
        self.freeze(first[opaque], "joined with data whose size is fixed")
        return first

    def channels_of_layers(self, labels: Labels) -> list[int]:
        """Return the dimensions that are channels of a layer. Those of a scale, for example, are not.

        They decide how the channels of another operand are split: those of masks (sources, channels) for features
        (channels,), as in the separation of sources, are the inner factor.
        """
        produced = torch.cat([torch.zeros(0, dtype=torch.long), *self.produced])
        return [
            track.dims[0]
            for track in labels.tracks
            if len(track.dims) == 1 and bool(torch.isin(track.ids, produced).any())
        ]

    def freeze(self, ids: Tensor | None, reason: str) -> None:
        """Forbid pruning of ``ids``. Messages report the first reason of a unit."""
        if ids is not None:
            ids = ids[ids >= FIRST]
            if ids.numel():
                self.freezes.append((ids.flatten(), reason))

    def freeze_all(self, labels: Labels, reason: str) -> None:
        for track in labels.tracks:
            self.freeze(track.ids.flatten(), reason)

    def resolve(
        self, labels: Labels, allowed: Sequence[int] | None = None, *, reason: str, preferred: Collection[int] = ()
    ) -> dict[int, Tensor]:
        """Return one vector of ids for each tracked dimension in ``allowed``, which defaults to all dimensions.

        A track that varies with several dimensions (a split into heads) is reduced to one of them, if possible to one
        of those in ``preferred``: ids that share an index there are tied, so that they are removed together. A track
        along other dimensions is frozen.
        """
        rank = len(labels.shape)
        dims = range(rank) if allowed is None else sorted(dim % rank for dim in allowed)
        vectors: dict[int, Tensor] = {}
        for track in labels.tracks:
            candidates = [dim for dim in track.dims if dim in dims]
            if not candidates:
                self.freeze(track.ids.flatten(), reason)
                continue
            if len(track.dims) == 1:
                dim, ids = candidates[0], track.ids
            else:
                rows = {dim: track.ids.movedim(track.dims.index(dim), 0).flatten(1) for dim in candidates}
                dim = next((dim for dim in candidates if dim in preferred), candidates[0])
                if self.attention == "head_dim" and dim not in preferred:
                    # Not a pixel of a PixelShuffle: its rows come back every few pixels.
                    dim = next((d for d in reversed(candidates) if distinct(rows[d].amax(1)) == len(rows[d])), dim)
                ids = self.tie_rows(rows[dim])
            if dim in vectors:
                weaker, ids = sorted((vectors[dim], ids), key=distinct)
                self.freeze(weaker, reason)
            vectors[dim] = ids
        return vectors
