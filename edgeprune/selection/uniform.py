"""Uniform selection: the same fraction of the units of every group is removed.

1. If few combinations of levels exist, compare all of them (``edgeprune.selection.exact_search``). Select the one
   with the lowest variance of the removed fractions that uses the budget.
2. Otherwise, sort the blocks of all groups by the removed fraction at their middle, and remove blocks in this order
   until all limits hold. The number of blocks is found by bisection.
3. Refill the unused budget with at most one block of each group.

Complexity: O(blocks * log(blocks)), and one evaluation of the costs for each bisection step.
Source: Li et al., Pruning Filters for Efficient ConvNets, 2017.
"""

from __future__ import annotations

import torch
from torch import Tensor

from edgeprune.selection.base import Problem, Selection, register
from edgeprune.selection.exact_search import compare_all
from edgeprune.selection.refill import refill
from edgeprune.selection.search_state import SearchState


@register
class Uniform(Selection):
    """Remove the same fraction of the units of every group, the weakest first.

    The fraction is the smallest that meets the budget. If ``min_units`` or ``align`` of a group excludes the fraction,
    the nearest allowed number of units is removed. If only few numbers of units are allowed, the most even ones that
    use the budget are selected.
    """

    name = "uniform"

    def choose(self, problem: Problem) -> Tensor:
        state = SearchState(problem)
        pruning_levels = state.pruning_levels
        if state.fits():
            return state.removed
        unit_counts = pruning_levels.unit_counts.double()
        sizes = torch.bincount(pruning_levels.group, minlength=len(unit_counts))[:, None]
        removed_fractions = 1 - unit_counts / sizes
        prunable = pruning_levels.steps > 0

        def unevenness(levels: Tensor) -> Tensor:
            return removed_fractions.gather(1, levels.T)[prunable].var(0, correction=0)

        if compare_all(state, unevenness, torch.zeros_like(state.level)):
            return state.removed
        # A block is removed once the fraction is nearer to the removed fraction after it than before it.
        midpoint = (removed_fractions[:, :-1] + removed_fractions[:, 1:]) / 2
        blocks = pruning_levels.exists.flatten().nonzero().flatten()
        state.descend(blocks[torch.argsort(midpoint.flatten()[blocks], stable=True)])
        # Refilling must not undo the uniform fraction: at most one block of each group is restored or exchanged.
        within_one_step = torch.arange(pruning_levels.unit_counts.shape[1] - 1) >= state.level[:, None] - 1
        lowest = torch.minimum(state.level + 1, pruning_levels.steps)
        refill(state, torch.where(within_one_step, pruning_levels.blocks(problem.scores), 0.0), lowest)
        return state.removed
