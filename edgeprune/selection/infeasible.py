"""Error for an unreachable budget: the closest values and the layers that limit them."""

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

_MAX_LISTED = 3
"""Maximum number of groups that a message names."""


def check_reachable(problem: Problem, constraints: Sequence[Constraint], nearest: Mapping[str, float]) -> None:
    """Raise BudgetError if a limit is below ``nearest``, the costs after all allowed removals."""
    unreachable = [name for name, limit in problem.limits.items() if nearest[name] > limit]
    if not unreachable:
        return
    shortfalls = [
        f"budget {name}: {_text(problem.limits[name])} cannot be reached, the smallest possible value is "
        f"{_text(nearest[name])}"
        for name in unreachable
    ]
    frozen = _totals(problem, removable(problem.units))
    reasons = "; ".join(_reasons(problem, constraints, nearest, unreachable, frozen))
    raise BudgetError(f"{'; '.join(shortfalls)}. The cause: {reasons}", nearest, cause=reasons, frozen=frozen)


def removable(units: Units) -> Tensor:
    """Return the mask of all units that can be removed together, without minima and alignment, (units,)."""
    anything = (Constraint(),) * len(units.groups)
    pruning_levels = PruningLevels.of(units, torch.zeros(len(units), dtype=torch.float64), anything)
    return pruning_levels.removed(pruning_levels.steps)


def _reasons(
    problem: Problem,
    constraints: Sequence[Constraint],
    nearest: Mapping[str, float],
    unreachable: Sequence[str],
    frozen: Mapping[str, float],
) -> Iterator[str]:
    groups = problem.units.groups
    for name in unreachable:
        dense = problem.costs[name].total()
        fraction = frozen[name] / dense if dense else 0.0
        yield (
            f"{fraction:.1%} of the dense network's {name} ({_text(frozen[name])} of {_text(dense)}) cannot be "
            "removed, because every dimension keeps at least one index"
        )
    excluded = [
        f"{group.name} (excluded by {constraint.excluded!r})"
        for group, constraint in zip(groups, constraints, strict=True)
        if constraint.excluded is not None and group.frozen is None
    ]
    unprunable = [*excluded, *(f"{name} ({reason})" for name, reason in problem.units.frozen)]
    if unprunable:
        yield f"these are not pruned: {_format_list(unprunable)}"
    minima = [
        f"{group.name} ({constraint.min_units} of {len(group)})"
        for group, constraint in zip(groups, constraints, strict=True)
        if constraint.min_units > 1 and group.frozen is None and constraint.excluded is None
    ]
    if minima:
        costs = _lowest_costs(problem, [replace(constraint, min_units=1) for constraint in constraints])
        if any(costs[name] < nearest[name] for name in unreachable):
            yield f"min_units: {_format_list(minima)}; without it, {_texts(costs, unreachable)} can be reached"
    aligned = sorted({constraint.align for constraint in constraints if constraint.align > 1})
    if aligned:
        costs = _lowest_costs(problem, [replace(constraint, align=1) for constraint in constraints])
        if any(costs[name] < nearest[name] for name in unreachable):
            steps = ", ".join(map(str, aligned))
            yield f"align = {steps}; without it, {_texts(costs, unreachable)} can be reached"


def _lowest_costs(problem: Problem, constraints: Sequence[Constraint]) -> dict[str, float]:
    """Return each cost after all removals that ``constraints`` allow."""
    pruning_levels = PruningLevels.of(problem.units, problem.scores, constraints)
    return _totals(problem, pruning_levels.removed(pruning_levels.steps))


def _totals(problem: Problem, removed: Tensor) -> dict[str, float]:
    """Return each cost after removal of the units in the mask ``removed``, (units,)."""
    costs = {name: cost.copy() for name, cost in problem.costs.items()}
    for cost in costs.values():
        cost.remove(removed)
    return {name: cost.total() for name, cost in costs.items()}


def _texts(totals: Mapping[str, float], names: Sequence[str]) -> str:
    return ", ".join(f"{name} {_text(totals[name])}" for name in names)


def _text(value: float) -> str:
    return f"{value:,.0f}" if value >= 1000 or value == round(value) else f"{value:.4g}"


def _format_list(items: Sequence[str]) -> str:
    more = f" and {len(items) - _MAX_LISTED} more" if len(items) > _MAX_LISTED else ""
    return ", ".join(items[:_MAX_LISTED]) + more
