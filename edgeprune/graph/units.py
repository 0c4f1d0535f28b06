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
from edgeprune.graph.rules.base import Keep, left


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
        seen: set[bytes] = set()
        for ids in self._dimensions():
            units = torch.unique(self.unit_of[ids])
            key = units.numpy().tobytes()
            if key not in seen and int(units[0]) >= 0 and bool(self.prunable[units].all()):
                held = torch.bincount(self.group_of[units], minlength=len(sizes))
                if not bool((held == sizes).any()):
                    floors.append(units)
            seen.add(key)
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

    def gone(self, removed: Tensor) -> Tensor:
        """Return the mask of the coordinate ids, (ids,), that the units in the mask ``removed``, (units,), remove."""
        return torch.where(self.unit_of >= 0, removed[self.unit_of.clamp(min=0)], False)

    def kept(self, removed: Tensor) -> dict[str, dict[int, Tensor]]:
        """Return the remaining indices by dimension of each tensor that shrinks, under each of its names."""
        gone = self.gone(removed)
        kept: dict[str, dict[int, Tensor]] = {}
        for owner in self.coordinates.coupling.owners:
            lost = gone[owner.start : owner.start + owner.size]
            if owner.parameter and bool(lost.any()):
                kept.setdefault(owner.name, {})[owner.dim] = (~lost).nonzero().flatten()
        for name, first in self.coordinates.aliases.items():
            if first in kept:
                kept[name] = kept[first]
        return kept

    def removed(self, kept: Mapping[str, Mapping[int, Tensor]]) -> Tensor:
        """Return the mask of the removed units, (units,), for the remaining indices ``kept``."""
        removed = torch.zeros(len(self), dtype=torch.bool)
        for owner in self.coordinates.coupling.owners:
            if owner.dim in kept.get(owner.name, {}):
                lost = torch.ones(owner.size, dtype=torch.bool)
                lost[kept[owner.name][owner.dim]] = False
                units = self.unit_of[owner.start : owner.start + owner.size][lost]
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
    made = torch.cat([torch.zeros(0, dtype=torch.long), *coupling.produced]).numpy()
    made = made[(made >= FIRST)]
    _, first_made = np.unique(owner_of[made], return_index=True)
    order = {int(owner_of[made[at]]): at for at in first_made}

    unit_of_component = np.full(len(component), -1)
    drafts: list[tuple[tuple[int, ...], str | None, int, int]] = []
    position = 0
    for makers, components in _by_makers(component[made], owner_of[made], reason, order):
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
    found = []
    for group, at in enumerate(index):
        end = begin[at + 1] if at + 1 < len(begin) else len(pairs)
        makers = tuple(sorted((int(owner) for owner in pairs[begin[at] : end, 1]), key=order.__getitem__))
        found.append((makers, components[inverse == group]))
    yield from sorted(found, key=lambda item: (order[item[0][0]], len(item[0]), item[1][0]))


def _members(
    coupling: Coupling, unit_of: np.ndarray, owner_of: np.ndarray, drafts: list[tuple[Any, ...]]
) -> list[dict[int, Member]]:
    """Return for each group the owners that shrink with it, in the order of the program."""
    group_of_unit = np.repeat(np.arange(len(drafts)), [stop - start for *_, start, stop in drafts])
    held = unit_of >= 0
    pairs, counts = np.unique(
        np.stack([group_of_unit[unit_of[held]], owner_of[held]], axis=1), axis=0, return_counts=True
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
    seen: Counter[str] = Counter()
    names = []
    for layer in layers:
        seen[layer] += 1
        names.append(layer if seen[layer] == 1 else f"{layer}:{seen[layer]}")
    return names


def shape_left(labels: Labels, gone: Tensor) -> list[int]:
    """Return the shape of a tensor without the coordinates ``gone``, or its dense shape if the rest is not a box."""
    keep = keep_masks(labels, gone) or {}
    return [left(keep, dim, size) for dim, size in enumerate(labels.shape)]


def keep_masks(labels: Labels, gone: Tensor) -> Keep | None:
    """Return the masks of the remaining indices of each dimension after removal of the coordinates ``gone``.

    ``gone`` is a mask over ids, (ids,). Only dimensions that lose an index are listed. The result is None if the
    remaining elements are not a box, because a removed element of a split dimension is not a whole index.
    """
    keep: dict[int, Tensor] = {}
    for track in labels.tracks:
        lost = gone[track.ids]
        if not bool(lost.any()):
            continue
        box = torch.zeros_like(lost)
        for axis, dim in enumerate(track.dims):
            whole = lost.movedim(axis, 0).flatten(1).all(1) if len(track.dims) > 1 else lost
            if bool(whole.any()):
                keep[dim] = keep.get(dim, True) & ~whole
                box |= whole.reshape([-1 if at == axis else 1 for at in range(len(track.dims))])
        if not torch.equal(box, lost):
            return None
    return keep
