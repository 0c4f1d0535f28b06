"""Magnitude adapted to the layer: comparable across layers without a scale to choose."""

from __future__ import annotations

import torch
from torch import Tensor

from edgeprune.criteria.base import Aggregated, Network, register
from edgeprune.criteria.magnitude import filters


@register
class Lamp(Aggregated):
    """``|w_i|^2 / sum(|w_j|^2)`` over all units j of the group that are at least as large, in (0, 1]; 0 for zeros.

    ``|w_i|^2`` is the squared Euclidean norm of the filters of unit i, over the mean of each layer, put together over
    the layers that make it. Large: to keep all that is larger and lose this one would change the group much; the
    largest of each group has 1, so that no group drains. Units in place of single weights, otherwise as Lee et al.,
    "Layer-adaptive Sparsity for the Magnitude-based Pruning" (2021).
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
