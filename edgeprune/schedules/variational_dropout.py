"""Variational dropout: learn a dropout rate for each unit, and remove the units with the highest rates."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor
from torch.nn import functional

from edgeprune.model.seeding import generator
from edgeprune.schedules.base import OPTIONS, Schedule, register
from edgeprune.schedules.learned_gates import LearnedGates
from edgeprune.schedules.penalty import unit_weights
from edgeprune.schedules.session import PruningSession
from edgeprune.training.phase import Phase


@register
class VariationalDropout(Schedule):
    """Train with learned noise for each unit, remove the units with the most noise, and train the remaining network.

    The output of a unit is multiplied by ``1 + sqrt(alpha) * e``, with e drawn from a normal distribution for every
    update: dropout with the rate ``alpha / (1 + alpha)``. The loss lowers alpha, and the divergence from a log-uniform
    prior raises it until the remaining units satisfy the budget. Molchanov et al., "Variational Dropout Sparsifies
    Deep Neural Networks" (2017); one rate for a unit after Neklyudov et al., "Structured Bayesian Pruning via
    Log-Normal Multiplicative Noise" (2017) and Louizos et al., "Bayesian Compression for Deep Learning" (2017).

    Args:
        strength: Initial factor of the divergence, averaged over units; it falls as units become noisy. Defaults to 10.
        share: Fraction of the steps with noise. Defaults to 0.5.
        by_cost: Whether the divergence of a unit is weighted by its savings of the limited costs. Otherwise, all units
            have the same weight. Defaults to True.
    """

    name = "variational_dropout"

    def __init__(self, strength: float = 10.0, share: float = 0.5, by_cost: bool = True) -> None:
        self.strength = OPTIONS.number("strength", strength, above=0)
        self.share = OPTIONS.number("share", share, above=0, below=1)
        self.by_cost = OPTIONS.boolean("by_cost", by_cost)

    def run(self, session: PruningSession) -> Iterator[Phase]:
        hook = DropoutNoise(session, self.strength, unit_weights(session, by_cost=self.by_cost))
        yield Phase(fraction=self.share, rate=(0.0, self.share), hook=hook)
        session.remove(session.choose(hook.scores(), additive=False))
        yield Phase(fraction=1 - self.share, rate=(self.share, 1.0))


class DropoutNoise(LearnedGates):
    """Gates of ``1 + sqrt(alpha) * e``; log alpha is learned."""

    initial = -5.0
    least, most = -8.0, 2.0  # more noise has no further effect

    def gate(self, step: int) -> Tensor:
        noise = torch.randn(len(self.learned), generator=generator(self.session.seed, step))
        return 1 + (self.learned / 2).exp() * noise.to(self.learned.device)

    def price(self) -> Tensor:
        """Return the divergence of each unit, (units,), in the approximation of Molchanov et al., equation 14."""
        return 0.63576 * torch.sigmoid(-1.87320 - 1.48695 * self.learned) + 0.5 * functional.softplus(-self.learned)

    def opened(self) -> Tensor:
        return torch.sigmoid(-self.learned)
