"""Gates that are functions of a number that is learned for each unit, along with the weights."""

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
    """Trains weights by the optimiser, and one number for each unit by Adam: by the loss and a price on what is open.

    The price follows the budget: it is in proportion to how much more is open than is due, and nothing while less is.
    Due is an even path to what the budget leaves open, which is chosen anew on the way. That is the quadratic penalty
    of a constraint, which finds the price by itself; after Gallego-Posada et al., "Controlled Sparsity via Constrained
    Optimization" (2022), who learn a multiplier.

    Args:
        session: Whose network it is.
        strength: The price of all units together, in terms of the loss, while none is closed of those that must be.
        weights: By unit, its part of the price, (units,).
    """

    initial: float
    """The number that all units begin with."""
    least, most = -math.inf, math.inf
    """Between these it stays."""

    def __init__(self, session: PruningSession, strength: float, weights: Tensor) -> None:
        super().__init__(session)
        self.strength = strength
        self.weights = weights

    def gate(self, step: int) -> Tensor:
        """The gates of update ``step``, (units,): a function of ``learned``, the same at every call."""
        raise NotImplementedError

    def price(self) -> Tensor:
        """Penalty of each unit, (units,), a function of ``learned``."""
        raise NotImplementedError

    def opened(self) -> Tensor:
        """How far each unit is open, in [0, 1], (units,)."""
        raise NotImplementedError

    def scores(self) -> Tensor:
        """How far each unit is open, times its part of the price, float64 (units,); those without a gate are open."""
        opened = self.opened().detach().cpu().double()
        return torch.where(self.gates.gated, opened, 1.0) * self.weights

    def make(self) -> None:
        device = self.gates.values.device
        shares = (self.weights * self.gates.gated).to(device, torch.float32)
        self.shares = shares / shares.sum().clamp(min=1e-30)
        self.learned = torch.full_like(self.shares, self.initial, requires_grad=True)
        # So that a number gets so far in the phase whose gradient keeps its sign.
        self._adam = torch.optim.Adam([self.learned], lr=_REACH / self.steps)
        self.begun = self._open()
        self.due = self._left()

    @torch.no_grad()
    def draw(self, step: int) -> Tensor:
        return self.gate(step)

    def learn(self, step: int, gradients: Tensor) -> None:
        with torch.enable_grad():
            # By the chain rule: as far as gates go, the loss is what their gradients say.
            loss = (self.gate(step) * gradients).sum() + self._factor(step) * (self.shares * self.price()).sum()
            self._adam.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
        self._adam.step()
        with torch.no_grad():
            self.learned.clamp_(self.least, self.most)
        if due(step + 1, self.steps, _CHOICES):
            self.due = self._left()

    def state_dict(self) -> dict[str, Any]:
        own = {"learned": self.learned.detach(), "adam": self._adam.state_dict()}
        return {**super().state_dict(), **own, "begun": self.begun, "due": self.due}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        super().load_state_dict(state)
        with torch.no_grad():
            self.learned.copy_(state["learned"])
        self._adam.load_state_dict(state["adam"])
        self.begun, self.due = state["begun"], state["due"]

    def _factor(self, step: int) -> float:
        way = max(self.begun - self.due, 1e-3)
        aim = self.begun - way * min(step / (_RAMP * self.steps), 1.0)
        return self.strength * max(self._open() - aim, 0.0) / way

    def _open(self) -> float:
        return float((self.shares * self.opened().detach()).sum())

    def _left(self) -> float:
        """Open share that would remain if the budget were applied now."""
        going = self.session.choose(self.scores(), additive=False)
        return float(self.shares[~going.to(self.shares.device)].sum()) * self.begun
