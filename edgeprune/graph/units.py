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
    """A dimension of a tensor that loses ``per_unit`` indices with each unit of a group."""

    tensor: str
    dim: int
    per_unit: float


@dataclass(frozen=True)
class Group:
    """Units that are made by the same layers; they are numbered ``start`` to ``stop`` (exclusive).

    ``members`` are all parameter and buffer dimensions that shrink with them, those that make them (``producers``)
    first. ``frozen`` is the reason why nothing may be removed, or None.
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

    ``unit_of`` gives the unit of each coordinate id, -1 for ids that belong to none.
    """

    coordinates: Coordinates
    groups: tuple[Group, ...]
    unit_of: Tensor

    def __len__(self) -> int:
        return self.groups[-1].stop if self.groups else 0

    @cached_property
    def prunable(self) -> Tensor:
        """Mask of the units that may go."""
        mask = torch.zeros(len(self), dtype=torch.bool)
        for group in self.groups:
            if group.frozen is None:
                mask[group.start : group.stop] = True
        return mask

    @cached_property
    def group_of(self) -> Tensor:
        """The number of the group of each unit, (units,)."""
        return torch.repeat_interleave(torch.tensor([len(group) for group in self.groups], dtype=torch.long))

    def group_means(self, values: Tensor) -> Tensor:
        """The mean of ``values``, (units, ...), over the units of each group, (groups, ...)."""
        group = self.group_of.to(values.device)
        count = torch.bincount(group)
        sums = values.new_zeros(len(count), *values.shape[1:]).index_add(0, group, values)
        return sums / count.reshape(-1, *[1] * (values.ndim - 1))

    @cached_property
    def floors(self) -> list[Tensor]:
        """Sets of units of which one must stay: each group, and each dimension of a tensor that holds no whole one."""
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
        """The ids along every dimension that is followed, of parameters and of what is computed."""
        for labels in self.coordinates.labels.values():
            for one in labels if isinstance(labels, list) else [labels]:
                for track in one.tracks if one is not None else ():
                    yield track.ids.flatten()

    @property
    def frozen(self) -> list[tuple[str, str]]:
        """Names of the groups that must stay whole, each with the reason."""
        return [(group.name, group.frozen) for group in self.groups if group.frozen is not None]

    def gone(self, removed: Tensor) -> Tensor:
        """Mask over coordinate ids of those that go with the ``removed`` units (a mask over units)."""
        return torch.where(self.unit_of >= 0, removed[self.unit_of.clamp(min=0)], False)

    def kept(self, removed: Tensor) -> dict[str, dict[int, Tensor]]:
        """For each parameter, buffer and constant that shrinks: the indices that stay, by dimension.

        A tensor with several names is listed under each.
        """
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
        """The inverse of ``kept``: the units whose coordinates are not among those kept."""
        removed = torch.zeros(len(self), dtype=torch.bool)
        for owner in self.coordinates.coupling.owners:
            if owner.dim in kept.get(owner.name, {}):
                lost = torch.ones(owner.size, dtype=torch.bool)
                lost[kept[owner.name][owner.dim]] = False
                units = self.unit_of[owner.start : owner.start + owner.size][lost]
                removed[units[units >= 0]] = True
        return removed


def group_units(coordinates: Coordinates) -> Units:
    """Find the units of a program and group them by the layers that make them.

    A unit that no layer makes (a channel of the network's input) belongs to no group. A group of one unit is frozen:
    without it a dimension would be empty.
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
    """The connected component of each id; components are numbered by their smallest id."""
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
    """For each component the index of the first freeze that names it, or -1."""
    reason = np.full(len(component), -1)
    for index in reversed(range(len(coupling.freezes))):
        reason[component[coupling.freezes[index][0].numpy()]] = index
    return reason


def _by_makers(
    component: np.ndarray, maker: np.ndarray, reason: np.ndarray, order: Mapping[int, int]
) -> Iterator[tuple[tuple[int, ...], np.ndarray]]:
    """Components that the same owners make and that are frozen for the same reason, in the order they are made.

    ``component`` and ``maker`` are the pairs of a component and an owner that makes it.
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
    """For each group the owners that shrink with it, in the order of the program."""
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
    """Layer names, numbered where several groups begin at one layer."""
    seen: Counter[str] = Counter()
    names = []
    for layer in layers:
        seen[layer] += 1
        names.append(layer if seen[layer] == 1 else f"{layer}:{seen[layer]}")
    return names


def shape_left(labels: Labels, gone: Tensor) -> list[int]:
    """The shape of a tensor without the coordinates ``gone``; the dense one where what stays is no box."""
    keep = keep_masks(labels, gone) or {}
    return [left(keep, dim, size) for dim, size in enumerate(labels.shape)]


def keep_masks(labels: Labels, gone: Tensor) -> Keep | None:
    """Which indices of each dimension stay when the coordinates ``gone`` (a mask over ids) go.

    Only dimensions that lose an index are listed. None where what stays is no box: elements of a split dimension went
    that no index of a single dimension holds all of.
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
