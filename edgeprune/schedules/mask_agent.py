"""Agents that learn masks: they weight the scores of a criterion, and a selection makes masks of them."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from edgeprune.schedules.gates import GateHook, due
from edgeprune.schedules.iterative import polynomial
from edgeprune.schedules.session import PruningSession

_LEAST = 0.01
"""Lowest initial score as a fraction of its group's mean, so that no unit is lost for good."""


class Agent(GateHook):
    """Trains a network under masks that keep the budget of the moment, and learns ``logits``.

    A unit is worth ``score * exp(logit)``. Of that the selection makes a mask, time and again: what it would remove is
    closed, and opens where it becomes worth more.

    Attributes:
        network: What is learned, on the CPU: there from ``begin`` on, its logits all 0 at first.
    """

    straight = True

    def __init__(self, session: PruningSession, choices: int) -> None:
        super().__init__(session)
        self.network: nn.Module
        self._choices = choices
        self._scores = torch.empty(0)

    @abstractmethod
    def build(self) -> nn.Module:
        """The network that learns, fresh; called without arguments it gives the logits, float32 (units,)."""

    def make(self) -> None:
        self.network = self.build()

    def draw(self, step: int) -> Tensor:
        if not due(step, self.steps, self._choices):
            return self.gates.values
        self.look()
        limits = self.session.limits(polynomial(step / self.steps, 3.0))
        return 1.0 - self.removed(self.network(), limits).float()

    def look(self) -> None:
        """Masks are about to be made, of the weights as they are now, which are the dense ones."""
        session = self.session
        scores = session.score(session.choice.criterion)  # without what the repairs add, as nothing is repaired yet
        units = session.units
        self._scores = scores.maximum(_LEAST * units.group_means(scores)[units.group_of])

    def removed(self, logits: Tensor, limits: Mapping[str, float] | None = None) -> Tensor:
        """Mask of the units that go by these logits within ``limits`` (those of the budget), (units,)."""
        return self.session.choose(self._scores * logits.detach().double().exp(), limits)

    def state_dict(self) -> dict[str, Any]:
        return {**super().state_dict(), "network": self.network.state_dict()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        super().load_state_dict(state)
        self.network.load_state_dict(state["network"])
