"""Global selection: the units with the least importance for their savings are removed first, across all groups.

1. If the levels are few, minimize the transformed importance exactly (``edgeprune.selection.exact_search``).
2. Otherwise, compute the savings of each block at the current levels, as a fraction of the costs over their limits.
3. Remove blocks in ascending order of ``value / saved**alpha`` until 2 % of a cost is removed.
4. Repeat from step 2 until every cost is within its limit.
5. Refill the unused budget with blocks (``edgeprune.selection.refill``).

Complexity: O(units * log(units)) for each 2 % of a cost.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from edgeprune.model.option_checks import OptionChecks
from edgeprune.selection.base import Problem, Selection, register
from edgeprune.selection.exact_search import find_best
from edgeprune.selection.pruning_levels import PruningLevels
from edgeprune.selection.refill import put_back, refill
from edgeprune.selection.search_state import SearchState

_LINEARIZATION_STEP = 0.02
"""Fraction of a cost that is removed before savings are computed again."""
_MIN_ALPHA = 0.5
"""Smallest alpha of the exact search. Below it, small differences in importance are lost in rounding."""


@register
class GlobalGreedy(Selection):
    """Remove units in ascending order of ``score / remaining**balance / saved**alpha`` until every limit holds.

    ``saved`` is the fraction of the costs over their limits that removal of the unit saves at the current levels.
    ``remaining`` is the fraction of the importance of the group after removal of the unit and all weaker units. Without
    this factor, a group could be emptied: removing its units makes all coupled units cheaper, and therefore less worth
    removing, but not the units of the group itself.

    If the allowed numbers of units are few, an exact search minimizes the sum of
    ``(score / remaining**balance)**(1 / alpha)`` over the removed units. The order above is a heuristic for it.

    Args:
        alpha: Exponent of the savings, at least 0. 0 ignores costs, 1 compares importance per saving. Defaults to 1.
        balance: Exponent of the remaining importance, at least 0. 0 uses scores unchanged, 1 increases them as a group
            gets smaller. Defaults to 0 if scores are additive, otherwise 1.
    """

    name = "global"

    def __init__(self, alpha: float = 1.0, balance: float | None = None) -> None:
        options = OptionChecks("selection")
        self.alpha = options.number("alpha", alpha, least=0)
        self.balance = None if balance is None else options.number("balance", balance, least=0)

    def choose(self, problem: Problem) -> Tensor:
        state = SearchState(problem)
        balance = self.balance if self.balance is not None else 0.0 if problem.additive else 1.0
        values = (
            state.pruning_levels.blocks(problem.scores)
            / _remaining_fraction(state.pruning_levels, problem.scores) ** balance
        )
        if find_best(state, _transformed_importance(state.pruning_levels, values, self.alpha)):
            put_back(state, values)
            return state.removed
        while not state.fits():
            state.descend(_next_blocks(state, values, self.alpha))
        refill(state, values)
        return state.removed


def _transformed_importance(pruning_levels: PruningLevels, values: Tensor, alpha: float) -> Tensor:
    """Return the importance of blocks whose sum the order by ``value / saved**alpha`` minimizes, (groups, steps).

    The order by ``value / saved**alpha`` equals the order by ``value**(1 / alpha) / saved``, which minimizes the sum of
    ``value**(1 / alpha)`` for the savings.
    """
    sizes = pruning_levels.sizes.clamp(min=1)
    per_unit = values / sizes
    return sizes * (per_unit / per_unit.max().clamp(min=1e-300)) ** (1 / max(alpha, _MIN_ALPHA))


def _next_blocks(state: SearchState, values: Tensor, alpha: float) -> Tensor:
    """Return the indices of the next blocks to remove, in their order, so few that the savings change little."""
    pruning_levels = state.pruning_levels
    totals = state.totals()
    over = {name: total for name, total in totals.items() if total > state.limits[name]}
    savings = {
        name: pruning_levels.blocks(state.costs[name].savings((1 - _LINEARIZATION_STEP) * total)).clamp(min=0)
        for name, total in over.items()
    }
    saved = torch.zeros_like(values)
    for name in over:
        saved += savings[name] / state.limits[name]
    sizes = pruning_levels.sizes.clamp(min=1)
    ratio = values / sizes / (saved / sizes).clamp(min=1e-12) ** alpha
    # A block that saves nothing now comes last, and a block can only be removed after its predecessors.
    available = pruning_levels.exists & (torch.arange(values.shape[1]) >= state.level[:, None])
    ratio = ratio.masked_fill(saved <= 0, math.inf).masked_fill(~available, 0.0).cummax(1).values
    candidates = available.flatten().nonzero().flatten()
    order = candidates[torch.argsort(ratio.flatten()[candidates], stable=True)]
    count = min(
        int((savings[name].flatten()[order].cumsum(0) <= _LINEARIZATION_STEP * total).sum())
        for name, total in over.items()
    )
    return order[: max(1, count)]


def _remaining_fraction(pruning_levels: PruningLevels, scores: Tensor) -> Tensor:
    """Return the fraction of the importance of each group that remains after each step, (groups, steps)."""
    total = torch.zeros(len(pruning_levels.steps), dtype=torch.float64).index_add(0, pruning_levels.group, scores)
    removable = torch.zeros_like(total).index_add(0, pruning_levels.group, scores * (pruning_levels.step > 0))
    always_removed = total - removable
    remaining = total[:, None] - always_removed[:, None] - pruning_levels.blocks(scores).cumsum(1)
    return (remaining / total.clamp(min=1e-12)[:, None]).clamp(min=1e-6)
