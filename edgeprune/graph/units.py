"""Units, the connected components of coupled coordinates, and the groups they form."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components
from torch import Tensor

from edgeprune.graph.coordinates import Coordinates, layer_name
from edgeprune.graph.coupling import Coupling
from edgeprune.graph.index_labels import FIRST, Labels
from edgeprune.graph.rules.base import Keep, remaining_size


@dataclass(frozen=True)
class Member:
    """Dimension ``dim`` of the tensor ``tensor``, which loses ``per_unit`` indices with each unit of a group."""

    tensor: str
    dim: int
    per_unit: float


@dataclass(frozen=True)
class Group:
    """Units that are produced by the same layers.

    Attributes:
        name: Name of the first producing layer.
        start: Number of the first unit.
        stop: Number after the last unit.
        producers: Dimensions of parameters whose indices produce the units.
        members: All dimensions of parameters and buffers that shrink with the units, producers first.
        frozen: Reason why no unit may be removed. None if the group is prunable.
    """

    name: str
    start: int
    stop: int
    producers: tuple[Member, ...]
    members: tuple[Member, ...]
    frozen: str | None

    def __len__(self) -> int:
        return self.stop - self.start

    def __repr__(self) -> str:
        state = "prunable" if self.frozen is None else f"frozen: {self.frozen}"
        return f"Group({self.name}, {len(self)} units in {len(self.members)} tensors, {state})"


@dataclass(frozen=True)
class Units:
    """All units of a network.

    Attributes:
        coordinates: Labels and couplings of the tensors of the network.
        groups: Groups of units, in the order of the program.
        unit_of: Unit of each coordinate id, (ids,). -1 for ids without a unit.
    """

    coordinates: Coordinates
    groups: tuple[Group, ...]
    unit_of: Tensor

    def __len__(self) -> int:
        return self.groups[-1].stop if self.groups else 0

    @cached_property
    def prunable(self) -> Tensor:
        """Mask of the units that may be removed, (units,)."""
        mask = torch.zeros(len(self), dtype=torch.bool)
        for group in self.groups:
            if group.frozen is None:
                mask[group.start : group.stop] = True
        return mask

    @cached_property
    def group_of(self) -> Tensor:
        """Index of the group of each unit, (units,)."""
        return torch.repeat_interleave(torch.tensor([len(group) for group in self.groups], dtype=torch.long))

    def group_means(self, values: Tensor) -> Tensor:
        """Return the mean of ``values``, (units, ...), over the units of each group, (groups, ...)."""
        group = self.group_of.to(values.device)
        count = torch.bincount(group)
        sums = values.new_zeros(len(count), *values.shape[1:]).index_add(0, group, values)
        return sums / count.reshape(-1, *[1] * (values.ndim - 1))

    @cached_property
    def floors(self) -> list[Tensor]:
        """Sets of units of which one must remain: each group, and each dimension of a tensor without a whole group."""
        sizes = torch.tensor([len(group) for group in self.groups])
        floors = [torch.arange(group.start, group.stop) for group in self.groups if group.frozen is None]
        keys: set[bytes] = set()
        for ids in self._dimensions():
            units = torch.unique(self.unit_of[ids])
            key = units.numpy().tobytes()
            if key not in keys and int(units[0]) >= 0 and bool(self.prunable[units].all()):
                counts = torch.bincount(self.group_of[units], minlength=len(sizes))
                if not bool((counts == sizes).any()):
                    floors.append(units)
            keys.add(key)
        return floors

    def _dimensions(self) -> Iterator[Tensor]:
        """Yield the ids along each tracked dimension of all parameters and computed tensors."""
        for labels in self.coordinates.labels.values():
            for one in labels if isinstance(labels, list) else [labels]:
                for track in one.tracks if one is not None else ():
                    yield track.ids.flatten()

    @property
    def frozen(self) -> list[tuple[str, str]]:
        """Names of the frozen groups, each with its reason."""
        return [(group.name, group.frozen) for group in self.groups if group.frozen is not None]

    def removed_ids(self, removed: Tensor) -> Tensor:
        """Return the mask of the coordinate ids, (ids,), that the units in the mask ``removed``, (units,), remove."""
        return torch.cat([removed, removed.new_zeros(1)])[self.unit_of]  # an id of -1 has no unit

    def kept_indices(self, removed: Tensor) -> dict[str, dict[int, Tensor]]:
        """Return the remaining indices by dimension of each tensor that shrinks, under each of its names."""
        removed_ids = self.removed_ids(removed)
        kept_indices: dict[str, dict[int, Tensor]] = {}
        for owner in self.coordinates.coupling.owners:
            removed_mask = removed_ids[owner.start : owner.start + owner.size]
            if owner.parameter and bool(removed_mask.any()):
                kept_indices.setdefault(owner.name, {})[owner.dim] = (~removed_mask).nonzero().flatten()
        for name, first in self.coordinates.aliases.items():
            if first in kept_indices:
                kept_indices[name] = kept_indices[first]
        return kept_indices

    def removed(self, kept_indices: Mapping[str, Mapping[int, Tensor]]) -> Tensor:
        """Return the mask of the removed units, (units,), for the remaining indices ``kept_indices``."""
        removed = torch.zeros(len(self), dtype=torch.bool)
        for owner in self.coordinates.coupling.owners:
            if owner.dim in kept_indices.get(owner.name, {}):
                removed_mask = torch.ones(owner.size, dtype=torch.bool)
                removed_mask[kept_indices[owner.name][owner.dim]] = False
                units = self.unit_of[owner.start : owner.start + owner.size][removed_mask]
                removed[units[units >= 0]] = True
        return removed


def group_units(coordinates: Coordinates) -> Units:
    """Find the units of a program and group them by the layers that produce them.

    1. Compute the connected components of the ties between coordinates. Each component is a unit.
    2. Group the units with the same producing layers and the same reason for a freeze.
    3. List the dimensions of parameters that shrink with each group.

    A unit without a producing layer (a channel of the network input) belongs to no group. A group of one unit is
    frozen, because its removal would leave an empty dimension. Complexity: linear in coordinates and ties.
    """
    coupling = coordinates.coupling
    owners = coupling.owners
    starts = np.array([owner.start for owner in owners])
    owner_of = np.searchsorted(starts, np.arange(coupling.size), side="right") - 1
    component = _components(coupling)
    reason = _reasons(coupling, component)
    produced_ids = torch.cat([torch.zeros(0, dtype=torch.long), *coupling.produced]).numpy()
    produced_ids = produced_ids[produced_ids >= FIRST]
    # A tensor that the forward creates, such as zeros, may be a factor of a product, but has no weights to slice.
    produced_ids = produced_ids[np.array([owner.parameter for owner in owners], dtype=bool)[owner_of[produced_ids]]]
    _, first_produced = np.unique(owner_of[produced_ids], return_index=True)
    order = {int(owner_of[produced_ids[at]]): at for at in first_produced}

    unit_of_component = np.full(len(component), -1)
    drafts: list[tuple[tuple[int, ...], str | None, int, int]] = []
    position = 0
    for makers, components in _by_makers(component[produced_ids], owner_of[produced_ids], reason, order):
        why = coupling.freezes[reason[components[0]]][1] if reason[components[0]] >= 0 else None
        if why is None and len(components) == 1:
            why = "a single unit, which must stay"
        unit_of_component[components] = np.arange(position, position + len(components))
        drafts.append((makers, why, position, position + len(components)))
        position += len(components)
    unit_of = unit_of_component[component]
    unit_of[:FIRST] = -1
    members = _members(coupling, unit_of, owner_of, drafts)
    names = _names([layer_name(owners[makers[0]].name) for makers, *_ in drafts])
    groups = tuple(
        Group(name, start, stop, tuple(own[maker] for maker in makers), tuple(own.values()), why)
        for name, own, (makers, why, start, stop) in zip(names, members, drafts, strict=True)
    )
    return Units(coordinates, groups, torch.from_numpy(unit_of))


def _components(coupling: Coupling) -> np.ndarray:
    """Return the connected component of each id, (ids,). Components are numbered by their smallest id."""
    size = coupling.size
    one = torch.cat([torch.zeros(0, dtype=torch.long), *(pair[0] for pair in coupling.ties)]).numpy()
    other = torch.cat([torch.zeros(0, dtype=torch.long), *(pair[1] for pair in coupling.ties)]).numpy()
    graph = coo_matrix((np.ones(len(one), dtype=np.int8), (one, other)), shape=(size, size))
    _, component = connected_components(graph, directed=False)
    _, first, inverse = np.unique(component, return_index=True, return_inverse=True)
    rank = np.empty(len(first), dtype=np.int64)
    rank[np.argsort(first)] = np.arange(len(first))
    return rank[inverse]


def _reasons(coupling: Coupling, component: np.ndarray) -> np.ndarray:
    """Return for each component the index of the first freeze that contains it, or -1."""
    reason = np.full(len(component), -1)
    for index in reversed(range(len(coupling.freezes))):
        reason[component[coupling.freezes[index][0].numpy()]] = index
    return reason


def _by_makers(
    component: np.ndarray, maker: np.ndarray, reason: np.ndarray, order: Mapping[int, int]
) -> Iterator[tuple[tuple[int, ...], np.ndarray]]:
    """Yield the components with the same producing owners and the same freeze reason, in the order of the program.

    ``component`` and ``maker`` are the pairs of a component and an owner that produces it.
    """
    pairs = np.unique(np.stack([component, maker], axis=1), axis=0)
    if not len(pairs):
        return
    # Sets of makers are compared by the sum of a random number for each: no loop over units.
    random = np.random.default_rng(0)
    number = random.integers(1, 2**62, size=int(maker.max()) + 1)
    components, begin = np.unique(pairs[:, 0], return_index=True)
    signature = np.add.reduceat(number[pairs[:, 1]], begin)
    texts = np.unique(reason[components], return_inverse=True)[1]
    signature = signature * 31 + random.integers(1, 2**62, size=int(texts.max()) + 1)[texts]
    _, index, inverse = np.unique(signature, return_index=True, return_inverse=True)
    groups = []
    for group, at in enumerate(index):
        end = begin[at + 1] if at + 1 < len(begin) else len(pairs)
        makers = tuple(sorted((int(owner) for owner in pairs[begin[at] : end, 1]), key=order.__getitem__))
        groups.append((makers, components[inverse == group]))
    yield from sorted(groups, key=lambda item: (order[item[0][0]], len(item[0]), item[1][0]))


def _members(
    coupling: Coupling, unit_of: np.ndarray, owner_of: np.ndarray, drafts: list[tuple[Any, ...]]
) -> list[dict[int, Member]]:
    """Return for each group the owners that shrink with it, in the order of the program."""
    group_of_unit = np.repeat(np.arange(len(drafts)), [stop - start for *_, start, stop in drafts])
    is_unit = unit_of >= 0
    pairs, counts = np.unique(
        np.stack([group_of_unit[unit_of[is_unit]], owner_of[is_unit]], axis=1), axis=0, return_counts=True
    )
    members: list[dict[int, Member]] = [{} for _ in drafts]
    for (group, index), count in zip(pairs, counts, strict=True):
        owner = coupling.owners[index]
        if owner.parameter:
            units = drafts[group][3] - drafts[group][2]
            members[group][int(index)] = Member(owner.name, owner.dim, count / units)
    return members


def _names(layers: list[str]) -> list[str]:
    """Return the names of layers, numbered where several groups begin at one layer."""
    occurrences: Counter[str] = Counter()
    names = []
    for layer in layers:
        occurrences[layer] += 1
        names.append(layer if occurrences[layer] == 1 else f"{layer}:{occurrences[layer]}")
    return names


def remaining_shape(labels: Labels, removed_ids: Tensor) -> list[int]:
    """Return the shape of a tensor without the ids in a mask, (ids,); its dense shape if the rest is not a box."""
    keep = keep_masks(labels, removed_ids) or {}
    return [remaining_size(keep, dim, size) for dim, size in enumerate(labels.shape)]


def keep_masks(labels: Labels, removed_ids: Tensor) -> Keep | None:
    """Return the masks of the remaining indices of each dimension after removal of the coordinates ``removed_ids``.

    ``removed_ids`` is a mask over ids, (ids,). Only dimensions that lose an index are listed. The result is None if the
    remaining elements are not a box, because a removed element of a split dimension is not a whole index.
    """
    keep: dict[int, Tensor] = {}
    for track in labels.tracks:
        removed = removed_ids[track.ids]
        if not bool(removed.any()):
            continue
        box = torch.zeros_like(removed)
        for axis, dim in enumerate(track.dims):
            lost_indices = removed.movedim(axis, 0).flatten(1).all(1) if len(track.dims) > 1 else removed
            if bool(lost_indices.any()):
                keep[dim] = keep.get(dim, True) & ~lost_indices
                box |= lost_indices.reshape([-1 if at == axis else 1 for at in range(len(track.dims))])
        if not torch.equal(box, removed):
            return None
    return keep
