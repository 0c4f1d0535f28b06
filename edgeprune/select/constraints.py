"""How many units of each group may stay: floors, ceilings, alignment, and layers that stay whole."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase

from edgeprune.config.prune_settings import LayerSettings
from edgeprune.config.settings import nearest
from edgeprune.errors import InputError
from edgeprune.graph import Group, Units
from edgeprune.graph.coordinates import layer_name

_STEPS = 4
"""Fewest steps of a preferred alignment in a group."""


@dataclass(frozen=True)
class Constraint:
    """Allowed numbers of remaining units of one group.

    Attributes:
        floor: Fewest units that stay.
        ceiling: Most units that stay; None: all may.
        align: What the layers that make the group keep is a multiple of so many channels, or all of them.
        excluded: The pattern that keeps the group whole, or None.
    """

    floor: int = 1
    ceiling: int | None = None
    align: int = 1
    excluded: str | None = None

    def kept(self, group: Group) -> list[int]:
        """How many units of ``group`` may stay, the most first.

        Raises:
            InputError: no number will do.
        """
        size = len(group)
        if group.frozen is not None or self.excluded is not None:
            return [size]
        most = size if self.ceiling is None else min(self.ceiling, size)
        step = _units_to_align(group, self.align)
        counts = list(range(most - most % step, max(self.floor, 1) - 1, -step))
        if most == size and counts[:1] != [size]:
            counts.insert(0, size)
        if not counts:
            aligned = f" of which align = {self.align} takes every {step}." if step > 1 else ""
            raise InputError(
                f"prune.layers: {group.name} has {size} units, and no number of them may stay: the ceiling allows "
                f"{most} at most, the floor {self.floor} at least{aligned}; raise the ceiling or lower the floor"
            )
        return counts


def resolve(
    units: Units, *, floor: float | None = None, align: int = 1, layers: Sequence[LayerSettings] = ()
) -> tuple[Constraint, ...]:
    """The constraint of each group, as a recipe's ``[prune]`` and ``[[prune.layers]]`` say it.

    ``floor`` and ``align`` hold for every group; where several ``layers`` match a group, the last that says something
    counts. Patterns are compared with the group's name, and with the layers and parameters that make it. What is
    frozen stays whole, whatever is asked for.

    Raises:
        InputError: a pattern matches nothing, or only what is frozen where less of it is asked for.
    """
    constraints = [Constraint(_units(floor, group, up=True), None, align) for group in units.groups]
    for layer in layers:
        matched = [index for index, group in enumerate(units.groups) if _matches(group, layer.match)]
        if not matched:
            raise InputError(_no_match(layer.match, units.groups))
        if layer.ceiling is not None and all(units.groups[index].frozen is not None for index in matched):
            group = units.groups[matched[0]]
            raise InputError(
                f"prune.layers: {layer.match!r} asks for a ceiling of {layer.ceiling:g}, and all it matches must stay "
                f"whole: {group.name} ({group.frozen})"
            )
        for index in matched:
            constraints[index] = _overridden(constraints[index], units.groups[index], layer)
    return tuple(constraints)


def prefer_alignment(units: Units, constraints: Sequence[Constraint], align: int) -> tuple[Constraint, ...]:
    """Align groups of which nothing else is said to ``align`` channels, halved until it leaves a group four steps.

    For what a target runs best: that is worth something, but not that a narrow layer is kept or cut by half at once.
    """
    return tuple(
        replace(constraint, align=_halved(align, group)) if constraint.align == 1 else constraint
        for group, constraint in zip(units.groups, constraints, strict=True)
    )


def _halved(align: int, group: Group) -> int:
    while align > 1 and len(group) < _STEPS * _units_to_align(group, align):
        align //= 2
    return align


def _overridden(constraint: Constraint, group: Group, layer: LayerSettings) -> Constraint:
    if layer.floor is not None:
        constraint = replace(constraint, floor=_units(layer.floor, group, up=True))
    if layer.ceiling is not None:
        constraint = replace(constraint, ceiling=_units(layer.ceiling, group, up=False))
    if layer.align is not None:
        constraint = replace(constraint, align=layer.align)
    if layer.exclude is not None:
        constraint = replace(constraint, excluded=layer.match if layer.exclude else None)
    return constraint


def _units(value: float | None, group: Group, *, up: bool) -> int:
    """A share of the group, rounded ``up`` or down, or a number of units as a number of units, from 1 to all."""
    if value is None:
        return 1
    share = round(value * len(group), 6)  # 0.7 of 10 is 7, not 8
    count = (math.ceil(share) if up else math.floor(share)) if value <= 1 else int(value)
    return min(max(count, 1), len(group))


def _units_to_align(group: Group, align: int) -> int:
    """The smallest number of units that is a multiple of ``align`` channels in every layer that makes them."""
    channels = [int(member.per_unit) if member.per_unit.is_integer() else 1 for member in group.producers]
    return math.lcm(*(align // math.gcd(align, count) for count in channels))


def _matches(group: Group, pattern: str) -> bool:
    return any(fnmatchcase(name, pattern) for name in _called(group))


def _called(group: Group) -> set[str]:
    makers = [member.tensor for member in group.producers]
    return {group.name, *makers, *map(layer_name, makers)}


def _no_match(pattern: str, groups: Iterable[Group]) -> str:
    names = sorted({name for group in groups for name in _called(group)})
    near = nearest(pattern, names, cutoff=0.0)
    hint = f"; did you mean {near!r}?" if near else ""
    return (
        f"prune.layers: match = {pattern!r} matches no group, and no layer or parameter that makes one{hint} "
        "(edgeprune inspect lists the groups)"
    )
