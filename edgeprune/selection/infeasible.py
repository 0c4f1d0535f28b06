"""Error of a budget that cannot be reached: the closest values, and the layers that hold them back."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from edgeprune.errors import BudgetError
from edgeprune.graph import Units
from edgeprune.selection.base import Problem
from edgeprune.selection.constraints import Constraint
from edgeprune.selection.pruning_levels import PruningLevels

_NAMED = 3
"""Groups that are named one by one."""


def check_reachable(problem: Problem, constraints: Sequence[Constraint], nearest: Mapping[str, float]) -> None:
    """Raise BudgetError for limits below ``nearest``, the costs after all allowed removals."""
    missed = [name for name, limit in problem.limits.items() if nearest[name] > limit]
    if not missed:
        return
    shortfalls = [
        f"budget {name}: {_shown(problem.limits[name])} cannot be reached, the closest is {_shown(nearest[name])}"
        for name in missed
    ]
    frozen = _totals(problem, removable(problem.units))
    held = "; ".join(_held_back(problem, constraints, nearest, missed, frozen))
    raise BudgetError(f"{'; '.join(shortfalls)}. What holds it back: {held}", nearest, held_back=held, frozen=frozen)


def removable(units: Units) -> Tensor:
    """Mask of all units that can be removed together, if there are no minima and no alignment: (units,)."""
    anything = (Constraint(),) * len(units.groups)
    ladder = PruningLevels.of(units, torch.zeros(len(units), dtype=torch.float64), anything)
    return ladder.removed(ladder.steps)


def _held_back(
    problem: Problem,
    constraints: Sequence[Constraint],
    nearest: Mapping[str, float],
    missed: Sequence[str],
    frozen: Mapping[str, float],
) -> Iterator[str]:
    groups = problem.units.groups
    for name in missed:
        dense = problem.costs[name].total()
        fraction = frozen[name] / dense if dense else 0.0
        yield (
            f"{fraction:.1%} of the dense network's {name} ({_shown(frozen[name])} of {_shown(dense)}) can never be "
            "removed, as every dimension keeps one index"
        )
    excluded = [
        f"{group.name} (excluded by {constraint.excluded!r})"
        for group, constraint in zip(groups, constraints, strict=True)
        if constraint.excluded is not None and group.frozen is None
    ]
    whole = [*excluded, *(f"{name} ({reason})" for name, reason in problem.units.frozen)]
    if whole:
        yield f"these stay whole: {_list(whole)}"
    minima = [
        f"{group.name} ({constraint.min_units} of {len(group)})"
        for group, constraint in zip(groups, constraints, strict=True)
        if constraint.min_units > 1 and group.frozen is None and constraint.excluded is None
    ]
    if minima:
        without = _lowest(problem, [replace(constraint, min_units=1) for constraint in constraints])
        if any(without[name] < nearest[name] for name in missed):
            yield f"min_units: {_list(minima)}; without it the closest is {_values(without, missed)}"
    aligned = sorted({constraint.align for constraint in constraints if constraint.align > 1})
    if aligned:
        without = _lowest(problem, [replace(constraint, align=1) for constraint in constraints])
        if any(without[name] < nearest[name] for name in missed):
            steps = ", ".join(map(str, aligned))
            yield f"align = {steps}; without it the closest is {_values(without, missed)}"


def _lowest(problem: Problem, constraints: Sequence[Constraint]) -> dict[str, float]:
    """Return each cost after all removals that ``constraints`` allow."""
    ladder = PruningLevels.of(problem.units, problem.scores, constraints)
    return _totals(problem, ladder.removed(ladder.steps))


def _totals(problem: Problem, removed: Tensor) -> dict[str, float]:
    """Each cost without the units in the mask ``removed``, (units,)."""
    costs = {name: cost.copy() for name, cost in problem.costs.items()}
    for cost in costs.values():
        cost.remove(removed)
    return {name: cost.total() for name, cost in costs.items()}


def _values(totals: Mapping[str, float], names: Sequence[str]) -> str:
    return ", ".join(f"{name} {_shown(totals[name])}" for name in names)


def _shown(value: float) -> str:
    return f"{value:,.0f}" if value >= 1000 or value == round(value) else f"{value:.4g}"


def _list(items: Sequence[str]) -> str:
    more = f" and {len(items) - _NAMED} more" if len(items) > _NAMED else ""
    return ", ".join(items[:_NAMED]) + more
