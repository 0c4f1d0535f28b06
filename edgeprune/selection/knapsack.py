"""Knapsack selection: the units with the smallest sum of scores are removed so that the budget holds.

This is a multiple-choice knapsack problem (Sinha and Zoltners, The Multiple-Choice Knapsack Problem, 1979): one level
of each group is selected.

1. If the levels are few, solve the problem exactly (``edgeprune.selection.exact_search``).
2. Otherwise, lower the limits in waypoints of 8 % from the cost of the dense network to the budget. At each waypoint,
   linearize the costs, which are products of the sizes of groups, at the current levels.
3. Solve the linearized problem by Lagrangian relaxation: bisect the smallest multiplier that satisfies the limits. Do
   this once with all levels, and once with only the levels that remove more. Continue from the better solution.
4. Refill the unused budget with blocks (``edgeprune.selection.refill``).

Complexity: each waypoint evaluates the costs about 2 * log2(``_NUM_MULTIPLIERS``) times, each in O(groups * steps).
HALP (Shen et al., Structural Pruning via Latency-Saliency Knapsack, 2022) linearizes the costs in a similar way.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from edgeprune.selection.base import Problem, Selection, register
from edgeprune.selection.exact_search import find_best
from edgeprune.selection.refill import put_back, refill
from edgeprune.selection.search_state import SearchState

_LINEARIZATION_STEP = 0.08
"""Fraction of a cost between two linearizations."""
_NUM_MULTIPLIERS = 2**12
"""Number of multipliers on the logarithmic grid."""
_STEEPNESS = 3
"""Exponent of the ratio of a cost to its limit in the weight of the cost."""


@register
class Knapsack(Selection):
    """Select the number of remaining units of each group so that the sum of the removed scores is smallest."""

    name = "knapsack"

    def choose(self, problem: Problem) -> Tensor:
        state = SearchState(problem)
        return solve(state, state.pruning_levels.blocks(problem.scores))


def solve(state: SearchState, values: Tensor) -> Tensor:
    """Return the mask of the units to remove, (units,).

    Args:
        state: Search state, modified in place.
        values: Loss by removal of each block, at least 0, (groups, steps).
    """
    if find_best(state, values):
        put_back(state, values)
        return state.removed
    loss_by_level = torch.cat([torch.zeros(len(values), 1, dtype=torch.float64), values.cumsum(1)], dim=1)
    loss_by_level[:, 1:].masked_fill_(~state.pruning_levels.exists, math.inf)
    marginal = {name: torch.zeros(len(state.removed), dtype=torch.float64) for name in state.costs}
    weight = dict.fromkeys(state.costs, 1.0)
    waypoint = state.totals()
    while not state.fits():
        waypoint = {name: (1 - _LINEARIZATION_STEP) * total for name, total in waypoint.items()}
        limits = {name: max(limit, waypoint[name]) for name, limit in state.limits.items()}
        beyond = min(limits[name] / waypoint[name] for name in limits)
        limits = {name: limit / beyond for name, limit in limits.items()}
        saved = torch.zeros_like(values)
        for name, total in state.totals().items():
            marginal[name] = _marginal(state, name, limits[name], marginal[name])
            weight[name] *= (total / limits[name]) ** _STEEPNESS
            saved += weight[name] / limits[name] * state.pruning_levels.blocks(marginal[name])
        start = state.level
        # Costs are not linear: if all groups select their levels again, the loss may jump. Then only blocks that are
        # not yet removed are considered.
        remaining_loss = loss_by_level.masked_fill(torch.arange(loss_by_level.shape[1]) < start[:, None], math.inf)
        restarted = _Step(loss_by_level, _relax(state, loss_by_level, saved, limits), state.level)
        continued = _Step(remaining_loss, _relax(state, remaining_loss, saved, limits), state.level)
        best = min([continued, restarted], key=_Step.badness)
        state.move(best.end)
        if state.fits():
            _relax(state, best.loss_by_level, saved, state.limits)
        elif not best.within_limits and torch.equal(best.end, start):
            # The linearized savings do not show a solution: all groups shrink evenly.
            state.descend(_between(start, state.pruning_levels.steps, values.shape[1]))
    refill(state, values)
    return state.removed


@dataclass(frozen=True, eq=False)
class _Step:
    """Solution of one linearized problem.

    Attributes:
        loss_by_level: Loss of each group at each level, (groups, steps + 1).
        within_limits: Whether all limits hold.
        end: Selected level of each group, (groups,).
    """

    loss_by_level: Tensor
    within_limits: bool
    end: Tensor

    def badness(self) -> tuple[bool, float]:
        """Return the sort key: limits first, then the loss.

        Without any solution within the limits, all keys are equal. Then the first solution, which removes more, wins.
        """
        return not self.within_limits, float(
            self.loss_by_level.gather(1, self.end[:, None]).sum()
        ) if self.within_limits else 0.0


def _marginal(state: SearchState, name: str, limit: float, fallback: Tensor) -> Tensor:
    """Return the current cost of each unit, or ``fallback`` for a removed unit whose restoration would be free."""
    cost = state.costs[name]
    gains = cost.gains()
    return torch.where(state.removed, torch.where(gains > 0, gains, fallback), cost.savings(limit).clamp(min=0))


def _relax(state: SearchState, loss_by_level: Tensor, saved: Tensor, limits: Mapping[str, float]) -> bool:
    """Move to the levels that minimize ``loss_by_level - multiplier * saved``.

    The multiplier is the smallest one that satisfies ``limits``. Multipliers lie on a grid that depends on the state
    alone, not on the limits.

    Returns:
        Whether ``limits`` hold. False if even the largest multiplier does not satisfy them.
    """
    ratios = (loss_by_level.diff(dim=1) / saved)[
        loss_by_level[:, :-1].isfinite() & loss_by_level[:, 1:].isfinite() & (saved > 0)
    ]
    ratios = ratios[ratios > 0] if bool((ratios > 0).any()) else torch.ones(1, dtype=torch.float64)
    low, high = math.log(ratios.min()) - 1, math.log(ratios.max()) + 1
    savings_by_level = torch.cat([torch.zeros(len(saved), 1, dtype=torch.float64), saved.cumsum(1)], dim=1)

    def fits(index: int) -> bool:
        multiplier = math.exp(low + (high - low) * index / _NUM_MULTIPLIERS) if index else 0.0
        state.move((loss_by_level - multiplier * savings_by_level).argmin(1))
        return state.fits(limits)

    index = bisect_left(range(_NUM_MULTIPLIERS), True, key=fits)
    within_limits = fits(index)
    end = state.level
    if within_limits and index:
        fits(index - 1)
        state.descend(_between(state.level, end, saved.shape[1]), limits)
    return within_limits


def _between(level: Tensor, end: Tensor, steps: int) -> Tensor:
    """Return the blocks from ``level`` to ``end``, in an order in which all groups progress evenly."""
    step = torch.arange(steps)
    pending = (step >= level[:, None]) & (step < end[:, None])
    blocks = pending.flatten().nonzero().flatten()
    progress = (step - level[:, None]) / (end - level).clamp(min=1)[:, None]
    return blocks[torch.argsort(progress.flatten()[blocks], stable=True)]
