"""Train under a penalty that shrinks units, then remove the small ones."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from edgeprune.schedules._hard_concrete import HardConcrete
from edgeprune.schedules._shrinking import GroupLasso, Growing, Scales, Shrinking
from edgeprune.schedules.base import Schedule, number, one_of, register
from edgeprune.schedules.session import Session
from edgeprune.training.stretch import Stretch

_STRENGTHS = {"l1": 1.0, "elastic_net": 1.0, "group_lasso": 1.0, "sparse_group_lasso": 1.0, "growing": 5.0, "l0": 0.3}
_RATIO = 0.5
_CHOICES = 20


@register
class Penalty(Schedule):
    """Train under a penalty that shrinks units, remove those of which the least is left, and train the rest without.

    ===================  ==============================================================================================
    kind                 what the penalty is
    ===================  ==============================================================================================
    l1                   ``|g|`` of the scales of normalisations, of filters where there is none: Liu et al., "Network
                         Slimming" (2017)
    elastic_net          ``|g| / 2 + g**2 / 4`` of the same: Zou & Hastie (2005)
    group_lasso          the norm of all that a unit gives to the layers that read it: Wen et al., "Structured Sparsity"
                         (2016)
    sparse_group_lasso   half of it that norm, half the absolute values: Simon et al. (2013)
    growing              a ridge that grows for units that would go: Wang et al., "Growing Regularization" (2021)
    l0                   the expected number of open gates, random in training: Louizos et al., "L0 Regularization"
                         (2018)
    ===================  ==============================================================================================
    """

    name = "penalty"

    def __init__(
        self, kind: str = "group_lasso", strength: float | None = None, share: float = 0.3, weigh: str = "none"
    ) -> None:
        self.kind = one_of("kind", kind, tuple(_STRENGTHS))
        self.strength = _STRENGTHS[kind] if strength is None else number("strength", strength, between=True)
        self.share = number("share", share, most=1.0, between=True)
        self.weigh = one_of("weigh", weigh, ("cost", "none"))

    def run(self, session: Session) -> Iterator[Stretch]:
        hook = self._hook(session)
        yield Stretch(share=self.share, hook=hook)
        session.remove(session.choose(hook.scores(), additive=False))
        yield Stretch(share=1 - self.share)

    def _hook(self, session: Session) -> Shrinking | HardConcrete:
        weights = self._weights(session)
        if self.kind in ("l1", "elastic_net"):
            return Scales(session, self.strength, weights, ratio=1.0 if self.kind == "l1" else _RATIO)
        if self.kind in ("group_lasso", "sparse_group_lasso"):
            return GroupLasso(session, self.strength, weights, ratio=0.0 if self.kind == "group_lasso" else _RATIO)
        if self.kind == "growing":
            return Growing(session, self.strength, weights, _CHOICES)
        return HardConcrete(session, self.strength, weights)

    def _weights(self, session: Session) -> Tensor:
        """By unit, 1 on average."""
        if self.weigh == "none":
            return torch.ones(len(session.units))
        saved = session.savings()
        return (saved / saved[session.units.prunable].mean().clamp(min=1e-30)).float()
