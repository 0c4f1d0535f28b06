"""Sensitivity selection: the least measured loss under the budget."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from edgeprune.errors import InputError
from edgeprune.selection.base import LossCurve, Problem, Selection, register
from edgeprune.selection.knapsack import solve
from edgeprune.selection.search_state import SearchState

_TIE_BREAK = 1e-6
"""Weight of all scores together, as a fraction of all measured losses."""


@register
class Sensitivity(Selection):
    """How many units of each group stay is chosen so that the sum of the losses measured for that is least.

    The knapsack of ``knapsack``, where what is lost with a group is read from its measured curve instead of from
    scores; scores only say which units of a group go first. Accuracy against the share removed of one layer at a time
    is due to Li et al., Pruning Filters for Efficient ConvNets, 2017.
    """

    name = "sensitivity"
    needs_curves = True

    def choose(self, problem: Problem) -> Tensor:
        if len(problem.curves) != len(problem.units.groups):
            raise InputError(
                f"selection: 'sensitivity' needs a measured curve for each of {len(problem.units.groups)} groups, and "
                f"got {len(problem.curves)}; give data to measure them on, or take global, knapsack or uniform"
            )
        choice = SearchState(problem)
        kept = choice.ladder.kept.numpy()
        lost = np.array([loss_increase(curve, counts) for curve, counts in zip(problem.curves, kept, strict=True)])
        values = torch.from_numpy(lost).reshape(kept.shape).diff(dim=1)
        # Where a curve is flat, scores decide: what was measured to lose nothing still does not go for nothing.
        scores = choice.ladder.blocks(problem.scores)
        least = _TIE_BREAK * values.sum() if bool(values.any()) else torch.ones(1)
        return solve(choice, values + least * scores / scores.sum().clamp(min=1e-300))


def loss_increase(curve: LossCurve, kept: np.ndarray) -> np.ndarray:
    """The loss at each number of units in ``kept``, falling: straight between what was measured.

    Below the fewest measured it goes on as steep as between the two before. Noise must not reward removing more, so the
    loss never falls on the way down.
    """
    counts, losses = np.array(curve.kept, dtype=float), np.array(curve.loss, dtype=float)
    if len(counts) > 1 and counts[0] > 0:
        slope = (losses[1] - losses[0]) / (counts[1] - counts[0])
        counts, losses = np.insert(counts, 0, 0.0), np.insert(losses, 0, losses[0] - slope * counts[0])
    return np.asarray(np.maximum.accumulate(np.interp(kept, counts, losses)))
