"""Uniform selection: every group gives the same share of its units."""

from __future__ import annotations

import torch
from torch import Tensor

from edgeprune.select.base import Problem, Selection, register
from edgeprune.select.choice import Choice
from edgeprune.select.climb import climb


@register
class Uniform(Selection):
    """The same share of every group goes, the weakest units of each; the share is the smallest that is enough.

    The classic uniform pruning of Li et al., Pruning Filters for Efficient ConvNets, 2017, with the share found by
    bisection. A group that cannot give the share, for its floor or for alignment, gives the nearest it can.
    """

    name = "uniform"

    def choose(self, problem: Problem) -> Tensor:
        choice = Choice(problem)
        ladder = choice.ladder
        if not choice.fits():
            kept = ladder.kept.double()
            whole = torch.bincount(ladder.group, minlength=len(kept))[:, None]
            # A block goes when the share is nearer to what is gone after it than to what is gone before.
            share = 1 - (kept[:, :-1] + kept[:, 1:]) / (2 * whole)
            blocks = ladder.exists.flatten().nonzero().flatten()
            choice.descend(blocks[torch.argsort(share.flatten()[blocks], stable=True)])
        # What is put back may not undo the share: no more than a block of each group.
        near = torch.arange(ladder.kept.shape[1] - 1) >= choice.level[:, None] - 1
        climb(choice, torch.where(near, ladder.blocks(problem.scores), 0.0))
        return choice.removed
