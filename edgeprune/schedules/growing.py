"""Ridge penalty for each unit, which grows while the unit would be removed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from edgeprune.schedules.gates import due
from edgeprune.schedules.proximal_penalty import TINY, ProximalPenalty
from edgeprune.schedules.scaling_parameters import coupled
from edgeprune.schedules.session import PruningSession


class Growing(ProximalPenalty):
    """Ridge penalty on all weights coupled to a unit, which grows while the unit would be removed and falls otherwise.

    Units are chosen ``choices`` times, by their initial scores times their remaining relative length. If a unit is
    chosen every time, its ridge grows linearly and shrinks it to ``exp(-strength)`` of its length. Wang et al.,
    "Neural Pruning via Growing Regularization" (2021); falling as in Wang et al., "Structured Pruning for Efficient
    ConvNets via Incremental Regularization" (2019).

    Args:
        session: Session of the network.
        strength: Negative logarithm of the remaining length of a unit that is always chosen, above 0.
        choices: Number of times that units are chosen, at least 1.
    """

    def __init__(self, session: PruningSession, strength: float, choices: int) -> None:
        super().__init__(session, strength, coupled)
        self.choices = choices

    def reference(self) -> Tensor:
        return self.lengths().clamp(min=TINY)

    def begin(self, steps: int) -> None:
        super().begin(steps)
        self.first = self.session.score()
        self.ridge = torch.zeros_like(self.start)
        self._choose()

    def shrink(self, step: int, force: float) -> None:
        growth = 2 * force / self.steps
        self.ridge = (self.ridge + torch.where(self.going, growth, -growth)).clamp(min=0)
        self.scale(self.slices.of_units((-self.ridge).exp()))
        if due(step + 1, self.steps, self.choices):
            self._choose()

    @torch.no_grad()
    def scores(self) -> Tensor:
        """Return the initial scores times the remaining relative length of each unit, float64 (units,)."""
        self._find()
        remaining = (self.lengths() / self.start.to(self.slices.device)).cpu().double()
        return self.first * torch.where(self.has_slices, remaining, 1.0)

    def state_dict(self) -> dict[str, Any]:
        return {**super().state_dict(), "first": self.first, "ridge": self.ridge, "going": self.going}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        super().load_state_dict(state)
        self.first = state["first"]
        self.ridge, self.going = (state[key].to(self.start.device) for key in ("ridge", "going"))

    def _choose(self) -> None:
        self.going = self.session.choose(self.scores()).to(self.start.device)
