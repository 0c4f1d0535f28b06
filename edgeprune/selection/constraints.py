"""Allowed numbers of remaining units of each group: minima, maxima, alignment, and excluded layers."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase

from edgeprune.config.prune_settings import LayerSettings
from edgeprune.config.settings_base import nearest
from edgeprune.errors import InputError
from edgeprune.graph import Group, Units
from edgeprune.graph.coordinates import layer_name

_MIN_ALIGNED_STEPS = 4
"""Minimum number of aligned steps into which a preferred alignment divides a group."""


@dataclass(frozen=True)
class Constraint:
    """Allowed numbers of remaining units of one group.

    Attributes:
        min_units: Minimum number of remaining units.
        max_units: Maximum number of remaining units; None: no maximum.
        align: Number of channels. The layers that produce the group keep a multiple of it, or all channels.
        excluded: Pattern that excludes the group from pruning; None if the group may be pruned.
    """

    min_units: int = 1
    max_units: int | None = None
    align: int = 1
    excluded: str | None = None

    def allowed_counts(self, group: Group) -> list[int]:
        """Return the allowed numbers of remaining units of ``group``, in descending order.

        Raises:
            InputError: No number of units satisfies all limits.
        """
        size = len(group)
        if group.frozen is not None or self.excluded is not None:
            return [size]
        maximum = size if self.max_units is None else min(self.max_units, size)
        step = _units_to_align(group, self.align)
        counts = list(range(maximum - maximum % step, max(self.min_units, 1) - 1, -step))
        if maximum == size and counts[:1] != [size]:
            counts.insert(0, size)
        if not counts:
            aligned = f", and align = {self.align} allows multiples of {step}" if step > 1 else ""
            raise InputError(
                f"prune.layers: no number of the {size} units of {group.name} is allowed: max_units allows at "
                f"most {maximum}, min_units at least {self.min_units}{aligned}: raise max_units or lower min_units"
            )
        return counts


def resolve(
    units: Units, *, min_units: float | None = None, align: int = 1, layers: Sequence[LayerSettings] = ()
) -> tuple[Constraint, ...]:
    """Return the constraint of each group.

    Patterns are compared with the name of the group and with the names of the layers and parameters that produce it.
    Frozen groups are never pruned.

    Args:
        units: Units of the network.
        min_units: Minimum of every group, as a fraction in (0, 1] or a number of units above 1. None means one unit.
        align: Alignment of every group, in channels.
        layers: Settings of single layers. If several match a group, the last one that sets a key determines it.

    Raises:
        InputError: A pattern matches no group, or sets ``max_units`` of frozen groups only.
    """
    constraints = [Constraint(_units(min_units, group, up=True), None, align) for group in units.groups]
    for layer in layers:
        matches = [index for index, group in enumerate(units.groups) if _matches(group, layer.match)]
        if not matches:
            raise InputError(_no_match(layer.match, units.groups))
        if layer.max_units is not None and all(units.groups[index].frozen is not None for index in matches):
            group = units.groups[matches[0]]
            raise InputError(
                f"prune.layers: {layer.match!r} sets max_units = {layer.max_units:g}, but every group it matches is "
                f"frozen: {group.name} ({group.frozen}): remove this table or change its pattern"
            )
        for index in matches:
            constraints[index] = _overridden(constraints[index], units.groups[index], layer)
    return tuple(constraints)


def prefer_alignment(units: Units, constraints: Sequence[Constraint], align: int) -> tuple[Constraint, ...]:
    """Align groups without an explicit alignment to ``align`` channels, the preference of a target.

    In a narrow group, the alignment is halved until the group has at least four aligned steps. Otherwise such a group
    could only be kept or cut by half.
    """
    return tuple(
        replace(constraint, align=_halved(align, group)) if constraint.align == 1 else constraint
        for group, constraint in zip(units.groups, constraints, strict=True)
    )


def _halved(align: int, group: Group) -> int:
    while align > 1 and len(group) < _MIN_ALIGNED_STEPS * _units_to_align(group, align):
        align //= 2
    return align


def _overridden(constraint: Constraint, group: Group, layer: LayerSettings) -> Constraint:
    if layer.min_units is not None:
        constraint = replace(constraint, min_units=_units(layer.min_units, group, up=True))
    if layer.max_units is not None:
        constraint = replace(constraint, max_units=_units(layer.max_units, group, up=False))
    if layer.align is not None:
        constraint = replace(constraint, align=layer.align)
    if layer.exclude is not None:
        constraint = replace(constraint, excluded=layer.match if layer.exclude else None)
    return constraint


def _units(value: float | None, group: Group, *, up: bool) -> int:
    """Convert a fraction of the group, rounded ``up`` or down, or a number of units to a number from 1 to all."""
    if value is None:
        return 1
    fraction = round(value * len(group), 6)  # 0.7 of 10 is 7, not 8
    count = (math.ceil(fraction) if up else math.floor(fraction)) if value <= 1 else int(value)
    return min(max(count, 1), len(group))


def _units_to_align(group: Group, align: int) -> int:
    """Return the smallest number of units that is a multiple of ``align`` channels in every producing layer."""
    channels = [int(member.per_unit) if member.per_unit.is_integer() else 1 for member in group.producers]
    return math.lcm(*(align // math.gcd(align, count) for count in channels))


def _matches(group: Group, pattern: str) -> bool:
    return any(fnmatchcase(name, pattern) for name in _names_of(group))


def _names_of(group: Group) -> set[str]:
    tensors = [member.tensor for member in group.producers]
    return {group.name, *tensors, *map(layer_name, tensors)}


def _no_match(pattern: str, groups: Iterable[Group]) -> str:
    names = sorted({name for group in groups for name in _names_of(group)})
    suggestion = nearest(pattern, names, cutoff=0.0)
    hint = f"; did you mean {suggestion!r}?" if suggestion else ""
    return (
        f"prune.layers: match = {pattern!r} matches no group, layer or parameter{hint} ('edgeprune inspect' lists them)"
    )
