"""Mask learning by the gradient of the loss, with one logit for each unit."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from edgeprune.schedules.mask_agent import Agent
from edgeprune.schedules.session import PruningSession


class LearnedGates(Agent):
    """Agent with one logit for each unit, trained by the gradient of its gate (straight-through estimator).

    The objective is ``loss + price * cost``. The price is chosen so that a step does not change the total cost, to
    first order. The logit of a unit therefore rises if the unit is worth more for its cost than the others, and falls
    otherwise.

    Args:
        session: Session of the network.
        choices: Number of times that masks are computed.
        reach: Approximate distance that a logit moves if its gradient always has the same sign; Adam ignores the scale.
    """

    weights_of_one = 1
    """Number of weights of the network that affect one logit."""

    def __init__(self, session: PruningSession, choices: int, reach: float) -> None:
        super().__init__(session, choices)
        self._reach = reach

    def build(self) -> nn.Module:
        return _Logits(len(self.session.units))

    def make(self) -> None:
        super().make()
        rate = self._reach / self.steps / self.weights_of_one
        self._optimizer = torch.optim.Adam(self.network.parameters(), lr=rate)
        self._learns = self.session.units.prunable & self.gates.gated
        self._cost = torch.where(self._learns, self.session.savings(), 0.0).float()

    def learn(self, step: int, gradients: Tensor) -> None:
        gradients = torch.where(self._learns, gradients.cpu(), 0.0)
        price = -(gradients @ self._cost) / (self._cost @ self._cost).clamp(min=1e-30)
        self._optimizer.zero_grad()
        self.network().backward(gradients + price.clamp(min=0.0) * self._cost)
        self._optimizer.step()

    def state_dict(self) -> dict[str, Any]:
        return {**super().state_dict(), "optimizer": self._optimizer.state_dict()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        super().load_state_dict(state)
        self._optimizer.load_state_dict(state["optimizer"])


class _Logits(nn.Module):
    def __init__(self, count: int) -> None:
        super().__init__()
        self.logits = nn.Parameter(torch.zeros(count))

    def forward(self) -> Tensor:
        return self.logits * 1.0
