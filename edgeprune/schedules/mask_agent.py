"""Agents that learn masks by weighting the scores of a criterion, from which a selection computes masks."""

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
"""Lowest initial score as a fraction of its group's mean, so that every unit can reopen."""


class Agent(GateHook):
    """Hook that trains a network with masks within the current budget, and learns a logit for each unit.

    The importance of a unit is ``score * exp(logit)``. The selection computes a mask from it several times: units that
    it would remove are closed, and reopen if they become more important.

    Attributes:
        network: Learned network on the CPU, whose logits are initially 0; defined from ``begin`` on.
    """

    straight = True

    def __init__(self, session: PruningSession, choices: int) -> None:
        super().__init__(session)
        self.network: nn.Module
        self._choices = choices
        self._scores = torch.empty(0)

    @abstractmethod
    def build(self) -> nn.Module:
        """Return a new network that, called without arguments, returns the logits, float32 (units,)."""

    def make(self) -> None:
        self.network = self.build()

    def draw(self, step: int) -> Tensor:
        if not due(step, self.steps, self._choices):
            return self.gates.values
        self.update_scores()
        limits = self.session.limits(polynomial(step / self.steps, 3.0))
        return 1.0 - self.removed(self.network(), limits).float()

    def update_scores(self) -> None:
        """Update the scores before masks are computed; called while the parameters hold the dense weights."""
        session = self.session
        scores = session.score(session.choice.criterion)  # without the constant units of repairs, which run later
        units = session.units
        self._scores = scores.maximum(_LEAST * units.group_means(scores)[units.group_of])

    def removed(self, logits: Tensor, limits: Mapping[str, float] | None = None) -> Tensor:
        """Return the mask of the units to remove for ``logits`` within ``limits``, by default the budget, (units,)."""
        return self.session.choose(self._scores * logits.detach().double().exp(), limits)

    def state_dict(self) -> dict[str, Any]:
        return {**super().state_dict(), "network": self.network.state_dict()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        super().load_state_dict(state)
        self.network.load_state_dict(state["network"])
