"""Gates that are closed with a probability that can be learned."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from edgeprune.model.randomness import generator
from edgeprune.schedules._learned import LearnedGates
from edgeprune.schedules.session import Session

_LOW, _HIGH, _TEMPERATURE = -0.1, 1.1, 2 / 3
_REACH = 20.0


class HardConcrete(LearnedGates):
    """Gates ``clamp(s * (high - low) + low, 0, 1)``, s a binary concrete variable, and a price on those that are open.

    ``s = sigmoid((log u - log(1 - u) + log_alpha) / temperature)``, u uniform, drawn anew for every update. The price
    is ``strength`` times the expected part of the units that are not closed, weighted. Louizos et al., "Learning Sparse
    Neural Networks through L0 Regularization" (2018), of units.
    """

    def __init__(self, session: Session, strength: float, weights: Tensor) -> None:
        super().__init__(session, _REACH)
        self.strength = strength
        self.weights = weights

    def prepare(self) -> Sequence[Tensor]:
        device = self.gates.values.device
        self._shares = (self.weights * self.gates.gated / self.weights.sum()).to(device, torch.float32)
        # So that gates are open with a probability of about 0.99 at first: the network is a trained one.
        start = self.session.standing().to(device, torch.float32) + 3.0
        return (start.requires_grad_(),)

    def gate(self, step: int) -> Tensor:
        (log_alpha,) = self.parameters
        uniform = torch.rand(len(log_alpha), generator=generator(self.session.seed, step)).clamp(1e-6, 1 - 1e-6)
        noise = uniform.logit().to(log_alpha.device)
        return _stretched(torch.sigmoid((noise + log_alpha) / _TEMPERATURE))

    def price(self, step: int) -> Tensor:
        (log_alpha,) = self.parameters
        opened = torch.sigmoid(log_alpha - _TEMPERATURE * math.log(-_LOW / _HIGH))
        return self.strength * (self._shares * opened).sum()

    def lasting(self) -> Tensor:
        return _stretched(torch.sigmoid(self.parameters[0].detach()))

    def scores(self) -> Tensor:
        return torch.sigmoid(self.parameters[0].detach()).cpu().double()


def _stretched(values: Tensor) -> Tensor:
    return (values * (_HIGH - _LOW) + _LOW).clamp(0, 1)
