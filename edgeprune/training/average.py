"""An exponential moving average of the weights."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn


class Average:
    """Weights averaged over the updates: ``average += (1 - decay) * (weights - average)``; buffers are the latest.

    Early on the decay is at most ``(1 + n) / (10 + n)`` after n updates, so that the first weights do not linger.
    Polyak and Juditsky, "Acceleration of Stochastic Approximation by Averaging" (1992).

    Attributes:
        model: With the average, in eval mode; replace it where the network changes shape.
        updates: So far.
    """

    def __init__(self, model: nn.Module, decay: float) -> None:
        self.model = copy.deepcopy(model).eval().requires_grad_(requires_grad=False)
        self.updates = 0
        self._decay = decay

    @torch.no_grad()
    def update(self, model: nn.Module) -> None:
        """Take in the weights of ``model``."""
        self.updates += 1
        decay = min(self._decay, (1 + self.updates) / (10 + self.updates))
        own: list[Tensor] = list(self.model.parameters())
        torch._foreach_lerp_(own, [one.detach() for one in model.parameters()], 1 - decay)
        for mine, theirs in zip(self.model.buffers(), model.buffers(), strict=True):
            mine.copy_(theirs)
