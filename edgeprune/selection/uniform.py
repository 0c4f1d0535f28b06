"""Uniform selection: every group gives the same share of its units."""

from __future__ import annotations

import torch
from torch import Tensor

from edgeprune.selection.base import Problem, Selection, register
from edgeprune.selection.exact_search import compare_all
from edgeprune.selection.refill import climb
from edgeprune.selection.search_state import SearchState


@register
class Uniform(Selection):
    """Remove the same fraction of every group, its weakest units; the fraction is the smallest that meets the budget.

    The classic uniform pruning of Li et al., Pruning Filters for Efficient ConvNets, 2017, with bisection over the
    fraction. A group whose ``min_units`` or ``align`` rules the fraction out loses the nearest allowed number. Where
    only few numbers of units are allowed, the most even ones that use the budget are chosen.
    """

    name = "uniform"

    def choose(self, problem: Problem) -> Tensor:
        choice = SearchState(problem)
        ladder = choice.ladder
        if choice.fits():
            return choice.removed
        kept = ladder.kept.double()
        whole = torch.bincount(ladder.group, minlength=len(kept))[:, None]
        shares = 1 - kept / whole
        able = ladder.steps > 0

        def unevenness(levels: Tensor) -> Tensor:
            return shares.gather(1, levels.T)[able].var(0, correction=0)

        if compare_all(choice, unevenness, torch.zeros_like(choice.level)):
            return choice.removed
        # A block goes when the share is nearer to what is gone after it than to what is gone before.
        share = (shares[:, :-1] + shares[:, 1:]) / 2
        blocks = ladder.exists.flatten().nonzero().flatten()
        choice.descend(blocks[torch.argsort(share.flatten()[blocks], stable=True)])
        # What is put back or exchanged may not undo the share: no more than a block of each group.
        near = torch.arange(ladder.kept.shape[1] - 1) >= choice.level[:, None] - 1
        lowest = torch.minimum(choice.level + 1, ladder.steps)
        climb(choice, torch.where(near, ladder.blocks(problem.scores), 0.0), lowest)
        return choice.removed
