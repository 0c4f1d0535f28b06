"""Hard-concrete gates, which are closed with a learned probability."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from edgeprune.model.seeding import generator
from edgeprune.schedules.learned_gates import LearnedGates

_LOW, _HIGH, _TEMPERATURE = -0.1, 1.1, 2 / 3


class HardConcrete(LearnedGates):
    """Gates ``clamp(s * (high - low) + low, 0, 1)``, s binary concrete, penalized by the number of open gates.

    ``s = sigmoid((log u - log(1 - u) + log_alpha) / temperature)``, with u drawn uniformly for every update.
    Louizos et al., "Learning Sparse Neural Networks through L0 Regularization" (2018), applied to units.
    """

    initial = 3.0  # open with a probability of 0.99, because the network is already trained
    least, most = -6.0, 6.0

    def gate(self, step: int) -> Tensor:
        uniform = torch.rand(len(self.learned), generator=generator(self.session.seed, step)).clamp(1e-6, 1 - 1e-6)
        noise = uniform.logit().to(self.learned.device)
        return _stretched(torch.sigmoid((noise + self.learned) / _TEMPERATURE))

    def price(self) -> Tensor:
        return self.opened()

    def opened(self) -> Tensor:
        return torch.sigmoid(self.learned - _TEMPERATURE * math.log(-_LOW / _HIGH))

    def lasting(self) -> Tensor:
        return _stretched(torch.sigmoid(self.learned.detach()))


def _stretched(values: Tensor) -> Tensor:
    return (values * (_HIGH - _LOW) + _LOW).clamp(0, 1)
