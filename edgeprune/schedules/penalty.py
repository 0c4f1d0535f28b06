"""Training with a penalty that shrinks units, and removal of the smallest ones."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from edgeprune.schedules.base import OPTIONS, Schedule, register
from edgeprune.schedules.group_lasso import GroupLasso
from edgeprune.schedules.growing import Growing
from edgeprune.schedules.hard_concrete import HardConcrete
from edgeprune.schedules.session import PruningSession
from edgeprune.schedules.unit_scales import ScalePenalty
from edgeprune.training.phase import Phase

_STRENGTHS = {"l1": 1.0, "elastic_net": 1.0, "group_lasso": 1.0, "sparse_group_lasso": 1.0, "growing": 5.0, "l0": 10.0}
_RATIO = 0.5
_CHOICES = 20


@register
class Penalty(Schedule):
    """Train with a penalty that shrinks units, remove the smallest units, and train the remaining network without it.

    - ``l1``: ``|g|`` of the scales of normalizations, or of filters without one: Liu et al., "Network Slimming" (2017).
    - ``elastic_net``: ``|g| / 2 + g**2 / 4`` of the same: Zou & Hastie (2005).
    - ``group_lasso``: the norm of everything that is coupled to a unit: Wen et al., "Structured Sparsity" (2016).
    - ``sparse_group_lasso``: the mean of that norm and the absolute values: Simon et al. (2013).
    - ``growing``: a ridge penalty that grows for the weakest units: Wang et al., "Growing Regularization" (2021).
    - ``l0``: the expected number of open gates, random in training: Louizos et al., "L0 Regularization" (2018).

    Args:
        kind: Penalty, see above. ``growing`` needs the fewest steps. Defaults to ``growing``.
        strength: Strength of the penalty. For ``growing``, the negative logarithm of the remaining size of a unit. For
            ``l0``, the penalty of all gates in units of the loss while all are open. For the others, the loss in size
            of a unit of mean size without a counteracting gradient, in mean sizes. None: a default for each kind.
        share: Fraction of the steps with the penalty. Defaults to 0.5.
        by_cost: Whether the penalty of a unit is proportional to its savings of the limited costs. Otherwise, all units
            have the same penalty. ``growing`` always considers savings. Defaults to True.
        emphasis: Emphasis on weak units for lassos and scales: the penalty of the weakest unit of a group is
            ``2 ** emphasis`` times that of the strongest (Fang et al., "DepGraph", 2023). 0: the same penalty for all.
            Defaults to 4.
    """

    name = "penalty"

    def __init__(
        self,
        kind: str = "growing",
        strength: float | None = None,
        share: float = 0.5,
        by_cost: bool = True,
        emphasis: float = 4.0,
    ) -> None:
        self.kind = OPTIONS.one_of("kind", kind, tuple(_STRENGTHS))
        self.strength = None if strength is None else OPTIONS.number("strength", strength, above=0)
        self.share = OPTIONS.number("share", share, above=0, below=1)
        self.by_cost = OPTIONS.boolean("by_cost", by_cost)
        self.emphasis = OPTIONS.number("emphasis", emphasis, least=0)

    def run(self, session: PruningSession) -> Iterator[Phase]:
        hook = self._hook(session)
        yield Phase(fraction=self.share, rate=(0.0, self.share), hook=hook)
        session.remove(session.choose(hook.scores(), additive=False))
        yield Phase(fraction=1 - self.share, rate=(self.share, 1.0))

    def _hook(self, session: PruningSession) -> ScalePenalty | GroupLasso | Growing | HardConcrete:
        strength = _STRENGTHS[self.kind] if self.strength is None else self.strength
        if self.kind == "growing":
            return Growing(session, strength, _CHOICES)
        weights = unit_weights(session, by_cost=self.by_cost)
        if self.kind == "l0":
            return HardConcrete(session, strength, weights)
        ratios = {"l1": 1.0, "elastic_net": _RATIO, "group_lasso": 0.0, "sparse_group_lasso": _RATIO}
        kind = ScalePenalty if self.kind in ("l1", "elastic_net") else GroupLasso
        return kind(session, strength, weights, ratios[self.kind], self.emphasis)


def unit_weights(session: PruningSession, *, by_cost: bool) -> Tensor:
    """Return the relative penalty of each unit, with mean 1 over prunable units and 0 for others, float64 (units,)."""
    prunable = session.units.prunable
    weights = session.savings() if by_cost else torch.ones(len(prunable), dtype=torch.float64)
    return torch.where(prunable, weights / weights[prunable].mean().clamp(min=1e-30), 0.0)
