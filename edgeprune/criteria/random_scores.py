"""Random scores, the baseline for all criteria."""

from __future__ import annotations

import torch
from torch import Tensor

from edgeprune.criteria.base import Criterion, Network, register


@register
class Random(Criterion):
    """Scores drawn uniformly from [0, 1), repeatable by the seed."""

    name = "random"

    def score(self, network: Network) -> Tensor:
        generator = torch.Generator().manual_seed(network.seed)
        return torch.rand(len(network.units), generator=generator, dtype=torch.float64)
