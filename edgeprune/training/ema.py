"""Exponential moving average of the weights."""

from __future__ import annotations

import copy

import torch
from torch import nn


class WeightAverage:
    """Average of the weights over the updates: ``average += (1 - decay) * (weights - average)``. Buffers are copied.

    After n updates, the decay is at most ``(1 + n) / (10 + n)``, so that the first weights lose their influence early.
    Polyak and Juditsky, "Acceleration of Stochastic Approximation by Averaging" (1992).

    Attributes:
        model: Network with the averaged weights, in eval mode. Replace it when the network changes shape.
        updates: Number of updates so far.
    """

    def __init__(self, model: nn.Module, decay: float) -> None:
        self.model = copy.deepcopy(model).eval().requires_grad_(requires_grad=False)
        self.updates = 0
        self._decay = decay

    @torch.no_grad()
    def update(self, model: nn.Module) -> None:
        """Add the weights of ``model`` to the average."""
        self.updates += 1
        decay = min(self._decay, (1 + self.updates) / (10 + self.updates))
        # By name: where a captured program stands in for one of the two, its tensors may be in another order.
        weights, buffers = dict(model.named_parameters()), dict(model.named_buffers())
        own = dict(self.model.named_parameters())
        torch._foreach_lerp_(list(own.values()), [weights[name].detach() for name in own], 1 - decay)
        for name, buffer in self.model.named_buffers():
            buffer.copy_(buffers[name])
