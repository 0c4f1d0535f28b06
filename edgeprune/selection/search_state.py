"""State of a search over pruning levels: the level of each group, the removed units and the remaining costs."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping

import torch
from torch import Tensor

from edgeprune.selection.base import Problem
from edgeprune.selection.constraints import Constraint
from edgeprune.selection.infeasible import check_reachable
from edgeprune.selection.pruning_levels import PruningLevels

MIN_BUDGET_USE = 0.97
"""Fraction of the tightest budget that a selection uses at least, if the allowed numbers of units permit it."""


class SearchState:
    """Current pruning level of each group, and the costs of the network at these levels.

    The initial state keeps all units that the constraints allow. A selection first removes blocks until the limits
    hold. Its intermediate states do not depend on the limits. Then ``refill`` makes moves that only increase the cost,
    in an order that depends on the state alone. Therefore, a smaller limit never results in a higher cost than a
    larger one.

    Attributes:
        problem: Input of the selection.
        limits: Upper limit of each cost.
        pruning_levels: Allowed levels of each group.
        costs: Cost models of the network at the current levels.
        level: Current level of each group, (groups,).
        removed: Mask of the removed units, (units,).
    """

    def __init__(self, problem: Problem) -> None:
        constraints = problem.constraints or (Constraint(),) * len(problem.units.groups)
        self.problem = problem
        self.limits = problem.limits
        self.pruning_levels = PruningLevels.of(problem.units, problem.scores, constraints)
        self.costs = {name: cost.copy() for name, cost in problem.costs.items()}
        self.level = torch.full_like(self.pruning_levels.steps, -1)
        self.removed = torch.zeros(len(problem.units), dtype=torch.bool)
        self.move(self.pruning_levels.steps)
        check_reachable(problem, constraints, self.totals())
        self.move(torch.zeros_like(self.level))

    def move(self, level: Tensor) -> None:
        """Set the level of each group to ``level``, (groups,)."""
        removed = self.pruning_levels.removed(level)
        for cost in self.costs.values():
            cost.remove(removed & ~self.removed)
            cost.restore(self.removed & ~removed)
        self.level, self.removed = level, removed

    def try_move(self, level: Tensor) -> bool:
        """Set the levels to ``level``, (groups,), if all limits hold there. Return whether they hold."""
        before = self.level
        self.move(level)
        if self.fits():
            return True
        self.move(before)
        return False

    def totals(self) -> dict[str, float]:
        """Return the value of each cost at the current levels."""
        return {name: cost.total() for name, cost in self.costs.items()}

    def fits(self, limits: Mapping[str, float] | None = None) -> bool:
        """Return whether all costs are within ``limits``, which defaults to the limits of the problem."""
        return all(cost.total() <= (limits or self.limits)[name] for name, cost in self.costs.items())

    def budget_use(self) -> float:
        """Return the used fraction of the tightest budget."""
        return max(cost.total() / self.limits[name] for name, cost in self.costs.items())

    def budget_use_at(self, levels: Tensor) -> Tensor:
        """Return ``budget_use`` at several combinations of levels, (n, groups) -> (n,)."""
        return torch.stack([total / self.limits[name] for name, total in self.totals_at(levels).items()]).amax(0)

    def totals_at(self, levels: Tensor) -> dict[str, Tensor]:
        """Return ``totals`` at several combinations of levels, (n, groups) -> (n,) for each cost."""
        remaining = {name: cost.terms.remaining.repeat(len(levels), 1, 1) for name, cost in self.costs.items()}
        for group in (levels != self.level).any(0).nonzero().flatten().tolist():
            changed = (levels[:, group] != self.level[group]).nonzero().flatten()
            candidates, index = torch.unique(levels[changed, group], return_inverse=True)
            in_group = self.pruning_levels.group == group
            removed = in_group & (self.pruning_levels.step <= candidates[:, None])
            for name, cost in self.costs.items():
                reduction = cost.reduction(removed) - cost.reduction((in_group & self.removed)[None])
                remaining[name][changed] -= reduction[index]
        return {name: cost.totals(remaining[name]) for name, cost in self.costs.items()}

    def descend(self, blocks: Tensor, limits: Mapping[str, float] | None = None) -> None:
        """Remove ``blocks``, indices into the flattened blocks, in their order until all ``limits`` hold."""
        start = self.level

        def fits(count: int) -> bool:
            self.move(self.pruning_levels.after(start, blocks[:count]))
            return self.fits(limits)

        if fits(len(blocks)):
            fits(bisect_left(range(len(blocks)), True, key=fits))
