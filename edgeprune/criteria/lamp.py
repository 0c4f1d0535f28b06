"""Layer-adaptive magnitude, comparable between layers without a scaling option."""

from __future__ import annotations

import torch
from torch import Tensor

from edgeprune.criteria.base import Aggregated, Network, register
from edgeprune.criteria.magnitude import filters


@register
class Lamp(Aggregated):
    """``|w_i|^2 / sum(|w_j|^2)`` over all units j of the group that are at least as large, in (0, 1]; 0 for zeros.

    ``|w_i|^2`` is the squared Euclidean norm of the filters of unit i over the mean of each layer, aggregated over the
    layers that produce the unit. A high score means that removal of this unit, with all larger units kept, changes the
    group strongly. The largest unit of each group has the score 1, so that no group is emptied. Applies the method of
    Lee et al., "Layer-adaptive Sparsity for the Magnitude-based Pruning" (2021), to units instead of single weights.
    """

    name = "lamp"

    def score(self, network: Network) -> Tensor:
        parts = ((unit, rows.float().square().sum(1)) for unit, rows in filters(network))
        size = self._together(network.units, parts)
        scores = torch.zeros_like(size)
        for group in network.units.groups:
            falling, order = size[group.start : group.stop].sort(descending=True, stable=True)
            scores[group.start + order] = falling / falling.cumsum(0).clamp(min=torch.finfo(torch.float64).tiny)
        return scores
