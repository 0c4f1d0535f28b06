"""Sensitivity selection: the numbers of units whose measured losses have the smallest sum within the budget.

1. Interpolate the measured loss curve of each group at its pruning levels, and make it monotone.
2. Add the scores with a small weight, which decides where a curve is flat.
3. Solve the knapsack problem of ``edgeprune.selection.knapsack`` with these values.

Source of the curves: Li et al., Pruning Filters for Efficient ConvNets, 2017, which prunes one layer at a time.
"""

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
    """Select the number of remaining units of each group so that the sum of the measured losses is smallest.

    The loss of a group is read from its measured curve. Scores only determine which units of a group are removed first.
    """

    name = "sensitivity"
    needs_curves = True

    def choose(self, problem: Problem) -> Tensor:
        if len(problem.curves) != len(problem.units.groups):
            raise InputError(
                f"selection: 'sensitivity' needs a measured curve for each of {len(problem.units.groups)} groups, and "
                f"got {len(problem.curves)}: pass data to measure them, or use global, knapsack or uniform"
            )
        state = SearchState(problem)
        unit_counts = state.pruning_levels.unit_counts.numpy()
        losses = np.array(
            [loss_increase(curve, counts) for curve, counts in zip(problem.curves, unit_counts, strict=True)]
        )
        values = torch.from_numpy(losses).reshape(unit_counts.shape).diff(dim=1)
        # Where a curve is flat, scores decide: a block without a measured loss is not removed without need.
        scores = state.pruning_levels.blocks(problem.scores)
        tie_break = _TIE_BREAK * values.sum() if bool(values.any()) else torch.ones(1)
        return solve(state, values + tie_break * scores / scores.sum().clamp(min=1e-300))


def loss_increase(curve: LossCurve, unit_counts: np.ndarray) -> np.ndarray:
    """Return the loss at each number of remaining units in ``unit_counts``, which is in descending order.

    The curve is linear between measurements. Below the smallest measured number, it is extrapolated with the slope of
    the last segment. The result never decreases as more units are removed, so that noise does not reward removal.
    """
    counts, losses = np.array(curve.unit_counts, dtype=float), np.array(curve.loss, dtype=float)
    if len(counts) > 1 and counts[0] > 0:
        slope = (losses[1] - losses[0]) / (counts[1] - counts[0])
        counts, losses = np.insert(counts, 0, 0.0), np.insert(losses, 0, losses[0] - slope * counts[0])
    return np.asarray(np.maximum.accumulate(np.interp(unit_counts, counts, losses)))
