"""Penalties on the scale of each channel."""

from __future__ import annotations

from torch import Tensor

from edgeprune.schedules.proximal_penalty import TINY, PricedPenalty
from edgeprune.schedules.scaling_parameters import scaling


class ScalePenalty(PricedPenalty):
    """``ratio * |g| + (1 - ratio) * g**2 / 2`` of each scale g of a normalization, or of a filter without one.

    ``ratio`` 1 is the L1 penalty of Liu et al., "Learning Efficient Convolutional Networks through Network Slimming"
    (2017). Other values are an elastic net (Zou & Hastie, "Regularization and Variable Selection via the Elastic Net",
    2005).

    The arguments are those of ``PricedPenalty``.
    """

    where = staticmethod(scaling)

    def reference(self) -> Tensor:
        return self.means

    def shrink(self, step: int, force: float) -> None:
        own = force * self.slices.of_units(self.prices(), default=0.0)
        factor = (1 - self.ratio * own * self.start / self.each().clamp(min=TINY)).clamp(min=0)
        self.scale(factor / (1 + (1 - self.ratio) * own))
