"""Gates that are functions of parameters of their own, which learn along with the weights."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from edgeprune.schedules.gates import GateHook
from edgeprune.schedules.session import Session


class LearnedGates(GateHook):
    """Trains weights and gates together: the loss, and a price, by Adam on the gates' own parameters.

    Args:
        session: Whose network it is.
        reach: How far a parameter gets in the stretch if its gradient keeps its sign: the learning rate is
            ``reach / steps``.
    """

    def __init__(self, session: Session, reach: float) -> None:
        super().__init__(session)
        self.reach = reach
        self.parameters: Sequence[Tensor] = ()

    def prepare(self) -> Sequence[Tensor]:
        """The parameters at the start, leaves that need gradients. There are gates already, all open."""
        raise NotImplementedError

    def gate(self, step: int) -> Tensor:
        """The gates of update ``step``, (units,): a function of the parameters, the same at every call."""
        raise NotImplementedError

    def price(self, step: int) -> Tensor:
        """What is added to the loss at update ``step``, a function of the parameters."""
        raise NotImplementedError

    def scores(self) -> Tensor:
        """What was learned of each unit, the larger, the better it stays, float64 (units,)."""
        raise NotImplementedError

    def make(self) -> None:
        self.parameters = self.prepare()
        self._adam = torch.optim.Adam(self.parameters, lr=self.reach / self.steps)

    @torch.no_grad()
    def draw(self, step: int) -> Tensor:
        return self.gate(step)

    def learn(self, step: int, gradients: Tensor) -> None:
        with torch.enable_grad():
            # By the chain rule: the loss is, as far as gates go, what their gradients say.
            loss = (self.gate(step) * gradients).sum() + self.price(step)
            self._adam.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
        self._adam.step()

    def state_dict(self) -> dict[str, Any]:
        own = {"parameters": [tensor.detach() for tensor in self.parameters], "adam": self._adam.state_dict()}
        return {**super().state_dict(), **own}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        super().load_state_dict(state)
        with torch.no_grad():
            for tensor, value in zip(self.parameters, state["parameters"], strict=True):
                tensor.copy_(value)
        self._adam.load_state_dict(state["adam"])
