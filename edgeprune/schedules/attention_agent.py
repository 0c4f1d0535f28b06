"""Mask learning by the gradient of the loss, with a small network that computes the logits of all units."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from edgeprune.graph import Units
from edgeprune.model.seeding import seeded
from edgeprune.schedules.gates_agent import LearnedGates
from edgeprune.schedules.scaling_parameters import giving, scaling
from edgeprune.schedules.weight_slices import WeightSlices

_HIDDEN = 16
_MEMORY = 0.9
"""Decay rate of the running means of gradients."""
_TINY = 1e-30


class Attention(LearnedGates):
    """Squeeze-and-excite agent: two layers compute the logit of a unit from its statistics and their group means.

    Statistics of a unit: the norm of its scales (of normalizations, otherwise of its filters), the norm of the weights
    that read it, and the mean and mean square of the gradients of its gate. They are updated with every mask. All
    groups share the two layers, so that each group benefits from the others.
    """

    network: _SqueezeAndExcite
    weights_of_one = _HIDDEN

    def build(self) -> _SqueezeAndExcite:
        with seeded(self.session.seed):
            return _SqueezeAndExcite(self.session.units)

    def make(self) -> None:
        super().make()
        units = self.session.units
        named = dict(self.session.model.named_parameters(remove_duplicate=False))
        self._slices = [
            WeightSlices(self.session.model, len(units), find(units, named)[0]) for find in (scaling, giving)
        ]
        self._gradient_means = torch.zeros(2, len(units))
        self.update_scores()

    def learn(self, step: int, gradients: Tensor) -> None:
        values = gradients.cpu()
        self._gradient_means.lerp_(torch.stack([values, values**2]), 1 - _MEMORY)
        super().learn(step, gradients)

    def state_dict(self) -> dict[str, Any]:
        return {**super().state_dict(), "moments": self._gradient_means}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        super().load_state_dict(state)
        self._gradient_means.copy_(state["moments"])

    @torch.no_grad()
    def update_scores(self) -> None:
        super().update_scores()
        norms = [slices.sums(slices.reduce([it**2 for it in slices.parameters])).cpu() for slices in self._slices]
        mean, square = self._gradient_means
        sizes = [torch.log(it / (it.mean() + _TINY) + 1e-6) for it in (*norms, square)]
        statistics = torch.stack([*sizes, mean / (square.sqrt() + _TINY)], 1)
        spread, middle = torch.std_mean(statistics[self._learns], 0, correction=0)
        self.network.set_statistics((statistics - middle) / (spread + 1e-6))


class _SqueezeAndExcite(nn.Module):
    features: Tensor

    def __init__(self, units: Units) -> None:
        super().__init__()
        self._units = units
        self.register_buffer("features", torch.zeros(len(units), 8))
        self.squeeze, self.excite = nn.Linear(8, _HIDDEN), nn.Linear(_HIDDEN, 1)
        nn.init.zeros_(self.excite.weight)
        nn.init.zeros_(self.excite.bias)

    def set_statistics(self, statistics: Tensor) -> None:
        """Set the inputs of the network from the statistics of each unit, (units, 4)."""
        self.features = torch.cat([statistics, self._units.group_means(statistics)[self._units.group_of]], 1)

    def forward(self) -> Tensor:
        logits: Tensor = self.excite(self.squeeze(self.features).relu())
        return logits.flatten()
