"""What to say of a budget that cannot be reached: the closest values, and what holds them back."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from edgeprune.errors import BudgetError
from edgeprune.select.base import Problem
from edgeprune.select.constraints import Constraint
from edgeprune.select.ladder import Ladder

_NAMED = 3
"""Groups that are named one by one."""


def check_reachable(problem: Problem, constraints: Sequence[Constraint], nearest: Mapping[str, float]) -> None:
    """Raise BudgetError for the limits below ``nearest``, what each cost is when all goes that may go."""
    missed = [name for name, limit in problem.limits.items() if nearest[name] > limit]
    if not missed:
        return
    told = [
        f"budget {name}: {_shown(problem.limits[name])} cannot be reached, the closest is {_shown(nearest[name])}"
        for name in missed
    ]
    held = "; ".join(_held_back(problem, constraints, nearest, missed))
    raise BudgetError(f"{'; '.join(told)}. What holds it back: {held}", nearest=nearest, held_back=held)


def _held_back(
    problem: Problem, constraints: Sequence[Constraint], nearest: Mapping[str, float], missed: Sequence[str]
) -> Iterator[str]:
    groups = problem.units.groups
    yield "every dimension keeps one index"
    excluded = [
        f"{group.name} (excluded by {constraint.excluded!r})"
        for group, constraint in zip(groups, constraints, strict=True)
        if constraint.excluded is not None and group.frozen is None
    ]
    whole = [*excluded, *(f"{name} ({reason})" for name, reason in problem.units.frozen)]
    if whole:
        yield f"these stay whole: {_list(whole)}"
    floors = [
        f"{group.name} ({constraint.floor} of {len(group)})"
        for group, constraint in zip(groups, constraints, strict=True)
        if constraint.floor > 1 and group.frozen is None and constraint.excluded is None
    ]
    if floors:
        without = _lowest(problem, [replace(constraint, floor=1) for constraint in constraints])
        if any(without[name] < nearest[name] for name in missed):
            yield f"floors: {_list(floors)}; without them the closest is {_values(without, missed)}"
    aligned = sorted({constraint.align for constraint in constraints if constraint.align > 1})
    if aligned:
        without = _lowest(problem, [replace(constraint, align=1) for constraint in constraints])
        if any(without[name] < nearest[name] for name in missed):
            steps = ", ".join(map(str, aligned))
            yield f"align = {steps}; without it the closest is {_values(without, missed)}"


def _lowest(problem: Problem, constraints: Sequence[Constraint]) -> dict[str, float]:
    """Each cost when all goes that ``constraints`` let go."""
    ladder = Ladder.of(problem.units, problem.scores, constraints)
    costs = {name: cost.copy() for name, cost in problem.costs.items()}
    for cost in costs.values():
        cost.remove(ladder.removed(ladder.steps))
    return {name: cost.total() for name, cost in costs.items()}


def _values(totals: Mapping[str, float], names: Sequence[str]) -> str:
    return ", ".join(f"{name} {_shown(totals[name])}" for name in names)


def _shown(value: float) -> str:
    return f"{value:,.0f}" if value >= 1000 or value == round(value) else f"{value:.4g}"


def _list(items: Sequence[str]) -> str:
    more = f" and {len(items) - _NAMED} more" if len(items) > _NAMED else ""
    return ", ".join(items[:_NAMED]) + more
