"""Gates that depend on one learned parameter for each unit, trained together with the weights."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from edgeprune.schedules.gates import GateHook, due
from edgeprune.schedules.session import PruningSession

_REACH = 20.0
_CHOICES = 20
_RAMP = 0.8


class LearnedGates(GateHook):
    """Hook that trains one parameter for each unit with Adam, by the loss and a penalty on open gates.

    The penalty is proportional to the open fraction above the scheduled one, and 0 below it. The scheduled fraction
    falls linearly to the one that the budget leaves open, which is updated during the phase. This is the quadratic
    penalty of a constraint, whose multiplier adapts by itself. After Gallego-Posada et al., "Controlled Sparsity via
    Constrained Optimization" (2022), who learn a multiplier.

    Args:
        session: Session of the network.
        strength: Penalty of all units together, in units of the loss, while all of them are open.
        weights: Relative penalty of each unit, (units,).
    """

    initial: float
    """Initial parameter of all units."""
    least, most = -math.inf, math.inf
    """Bounds of the parameters."""

    def __init__(self, session: PruningSession, strength: float, weights: Tensor) -> None:
        super().__init__(session)
        self.strength = strength
        self.weights = weights

    def gate(self, step: int) -> Tensor:
        """Return the gates of update ``step``, (units,), as a deterministic function of ``learned``."""
        raise NotImplementedError

    def price(self) -> Tensor:
        """Return the penalty of each unit, (units,), as a function of ``learned``."""
        raise NotImplementedError

    def opened(self) -> Tensor:
        """Return the open fraction of each unit, in [0, 1], (units,)."""
        raise NotImplementedError

    def scores(self) -> Tensor:
        """Return the open fraction of each unit times its weight, float64 (units,); units without a gate are open."""
        opened = self.opened().detach().cpu().double()
        return torch.where(self.gates.gated, opened, 1.0) * self.weights

    def make(self) -> None:
        device = self.gates.values.device
        fractions = (self.weights * self.gates.gated).to(device, torch.float32)
        self.fractions = fractions / fractions.sum().clamp(min=1e-30)
        self.learned = torch.full_like(self.fractions, self.initial, requires_grad=True)
        # A parameter moves by _REACH in the phase if its gradient keeps its sign.
        self._adam = torch.optim.Adam([self.learned], lr=_REACH / self.steps)
        self.initial_open = self._open()
        self.due = self._remaining()

    @torch.no_grad()
    def draw(self, step: int) -> Tensor:
        return self.gate(step)

    def learn(self, step: int, gradients: Tensor) -> None:
        with torch.enable_grad():
            # By the chain rule, this has the gradient of the loss with respect to the gates.
            loss = (self.gate(step) * gradients).sum() + self._factor(step) * (self.fractions * self.price()).sum()
            self._adam.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
        self._adam.step()
        with torch.no_grad():
            self.learned.clamp_(self.least, self.most)
        if due(step + 1, self.steps, _CHOICES):
            self.due = self._remaining()

    def state_dict(self) -> dict[str, Any]:
        state = {"learned": self.learned.detach(), "adam": self._adam.state_dict()}
        return {**super().state_dict(), **state, "begun": self.initial_open, "due": self.due}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        super().load_state_dict(state)
        with torch.no_grad():
            self.learned.copy_(state["learned"])
        self._adam.load_state_dict(state["adam"])
        self.initial_open, self.due = state["begun"], state["due"]

    def _factor(self, step: int) -> float:
        distance = max(self.initial_open - self.due, 1e-3)
        scheduled = self.initial_open - distance * min(step / (_RAMP * self.steps), 1.0)
        return self.strength * max(self._open() - scheduled, 0.0) / distance

    def _open(self) -> float:
        return float((self.fractions * self.opened().detach()).sum())

    def _remaining(self) -> float:
        """Return the open fraction that would remain if the budget were applied now."""
        removed = self.session.choose(self.scores(), additive=False)
        return float(self.fractions[~removed.to(self.fractions.device)].sum()) * self.initial_open
