"""A choice in progress, and the way down to where all limits hold."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping

import torch
from torch import Tensor

from edgeprune.selection.base import Problem
from edgeprune.selection.constraints import Constraint
from edgeprune.selection.infeasible import check_reachable
from edgeprune.selection.pruning_levels import PruningLevels

USED = 0.97
"""Fraction of the tightest budget that is used wherever the numbers of units that may stay allow it."""


class SearchState:
    """How far each group has gone down its ladder, and what the network then costs.

    It starts with all that may stay. A selection first goes *down*, by states that do not depend on the limit, until
    the limit holds; then ``climb`` takes moves that only add cost, and prefers them by what the state alone says. So a
    smaller limit never ends with more cost than a larger one: the larger stops earlier on the way down, or parts from
    the smaller on the way up by a move that the smaller has no room for.

    Attributes:
        level: Of each group, (groups,).
        removed: Mask of the units that are gone, (units,).
    """

    def __init__(self, problem: Problem) -> None:
        constraints = problem.constraints or (Constraint(),) * len(problem.units.groups)
        self.problem = problem
        self.limits = problem.limits
        self.ladder = PruningLevels.of(problem.units, problem.scores, constraints)
        self.costs = {name: cost.copy() for name, cost in problem.costs.items()}
        self.level = torch.full_like(self.ladder.steps, -1)
        self.removed = torch.zeros(len(problem.units), dtype=torch.bool)
        self.move(self.ladder.steps)
        check_reachable(problem, constraints, self.totals())
        self.move(torch.zeros_like(self.level))

    def move(self, level: Tensor) -> None:
        """Bring each group to its ``level``, (groups,)."""
        removed = self.ladder.removed(level)
        for cost in self.costs.values():
            cost.remove(removed & ~self.removed)
            cost.restore(self.removed & ~removed)
        self.level, self.removed = level, removed

    def try_move(self, level: Tensor) -> bool:
        """Bring each group to its ``level``, (groups,), if all limits hold there; otherwise stay and return False."""
        before = self.level
        self.move(level)
        if self.fits():
            return True
        self.move(before)
        return False

    def totals(self) -> dict[str, float]:
        """Remaining value of each cost."""
        return {name: cost.total() for name, cost in self.costs.items()}

    def fits(self, limits: Mapping[str, float] | None = None) -> bool:
        """Whether all limits hold, or other ``limits`` of the same costs."""
        return all(cost.total() <= (limits or self.limits)[name] for name, cost in self.costs.items())

    def used(self) -> float:
        """The fraction of the tightest budget that is used."""
        return max(cost.total() / self.limits[name] for name, cost in self.costs.items())

    def used_at(self, levels: Tensor) -> Tensor:
        """``used`` at several combinations of levels, (n, groups): (n,)."""
        return torch.stack([total / self.limits[name] for name, total in self.totals_at(levels).items()]).amax(0)

    def totals_at(self, levels: Tensor) -> dict[str, Tensor]:
        """``totals`` at several combinations of levels, (n, groups): (n,) for each cost."""
        left = {name: cost.terms.left.repeat(len(levels), 1, 1) for name, cost in self.costs.items()}
        for group in (levels != self.level).any(0).nonzero().flatten().tolist():
            changed = (levels[:, group] != self.level[group]).nonzero().flatten()
            tried, index = torch.unique(levels[changed, group], return_inverse=True)
            own = self.ladder.group == group
            removed = own & (self.ladder.step <= tried[:, None])
            for name, cost in self.costs.items():
                taken = cost.taken(removed) - cost.taken((own & self.removed)[None])
                left[name][changed] -= taken[index]
        return {name: cost.totals(left[name]) for name, cost in self.costs.items()}

    def descend(self, blocks: Tensor, limits: Mapping[str, float] | None = None) -> None:
        """Remove ``blocks``, indices into the flattened blocks, in their order, and stop where all limits hold."""
        start = self.level

        def fits(count: int) -> bool:
            self.move(self.ladder.after(start, blocks[:count]))
            return self.fits(limits)

        if fits(len(blocks)):
            fits(bisect_left(range(len(blocks)), True, key=fits))
