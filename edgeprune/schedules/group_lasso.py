"""Group-lasso penalties on all weights that are coupled to a unit."""

from __future__ import annotations

import torch
from torch import Tensor

from edgeprune.schedules.proximal_penalty import TINY, PricedPenalty
from edgeprune.schedules.scaling_parameters import coupled


class GroupLasso(PricedPenalty):
    """``ratio * |w|_1 / sqrt(n) + (1 - ratio) * |w|_2`` of all ``n`` weights w that are coupled to a unit.

    ``ratio`` 0 is the group lasso (Yuan & Lin 2006; for channels: Wen et al., "Learning Structured Sparsity in Deep
    Neural Networks", 2016; for all coupled weights: Fang et al., "DepGraph", 2023). Other values are the sparse group
    lasso (Simon et al. 2013), which also sets single weights to zero.

    The arguments are those of ``PricedPenalty``.
    """

    where = staticmethod(coupled)

    def reference(self) -> Tensor:
        ones = [torch.ones_like(parameter) for parameter in self.slices.parameters]
        self._root = self.slices.sums(self.slices.reduce(ones)).clamp(min=1).sqrt()
        units, lengths = self.session.units, self.lengths()
        return units.group_means(lengths).clamp(min=TINY)[units.group_of.to(lengths.device)]

    def shrink(self, step: int, force: float) -> None:
        own = force * self.prices() * self.start
        if self.ratio:
            each = self.slices.thresholds(self.slices.of_units(self.ratio * own / self._root, default=0.0))
            for parameter, least in zip(self.slices.parameters, each, strict=True):
                parameter.sub_(torch.minimum(torch.maximum(parameter, -least), least))
        factor = (1 - (1 - self.ratio) * own / self.lengths().clamp(min=TINY)).clamp(min=0)
        self.scale(self.slices.of_units(factor))
