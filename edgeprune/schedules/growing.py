"""A penalty of its own for each unit, which grows while the unit would go."""

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
    """A ridge on all that is coupled to a unit, which grows while the unit would go, and falls while it would not.

    Units are chosen anew ``choices`` times, by the scores of the chosen criterion at the start times what is left of
    each. The ridge of a unit that would go every time grows evenly, and leaves ``exp(-strength)`` of it. Wang et al.,
    "Neural Pruning via Growing Regularization" (2021); falling as in Wang et al., "Structured Pruning for Efficient
    ConvNets via Incremental Regularization" (2019).

    Args:
        session: Whose network it is.
        strength: Above 0.
        choices: At least 1.
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
        """The scores at the start times what is left of each unit, float64 (units,)."""
        self._find()
        left = (self.lengths() / self.start.to(self.slices.device)).cpu().double()
        return self.first * torch.where(self.held, left, 1.0)

    def state_dict(self) -> dict[str, Any]:
        return {**super().state_dict(), "first": self.first, "ridge": self.ridge, "going": self.going}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        super().load_state_dict(state)
        self.first = state["first"]
        self.ridge, self.going = (state[key].to(self.start.device) for key in ("ridge", "going"))

    def _choose(self) -> None:
        self.going = self.session.choose(self.scores()).to(self.start.device)
