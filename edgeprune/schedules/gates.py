"""Gates: factors on what each unit gives to the layers that read it, without a change of the network.

Between updates the parameters hold ``dense * gate``: any loop trains the gated network, and saves and evaluates it. For
the update itself the dense weights are put back, with gradients of their own, so that the optimiser never sees a gate.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from edgeprune.graph import Units
from edgeprune.schedules.scaling_parameters import giving
from edgeprune.schedules.session import PruningSession
from edgeprune.schedules.weight_slices import WeightSlices
from edgeprune.training.phase import Hook


def due(step: int, steps: int, times: int) -> bool:
    """Whether ``step`` is one of ``times`` spread evenly over ``steps``, the last of them ``steps`` itself."""
    return step > 0 and step * times // steps > (step - 1) * times // steps


class Gates:
    """Scales what the units of ``model`` give, in the weights of the layers that read it, see ``giving``.

    A hard gate of 0 is the network without the unit, but for normalisations that mix channels, which still see it.

    Attributes:
        gated: Mask of the units that have a gate, (units,). The others stay as they are: something reads them that no
            parameter scales.
        values: The gates now, float32 (units,).
    """

    def __init__(self, model: nn.Module, units: Units) -> None:
        places, self.gated = giving(units, dict(model.named_parameters(remove_duplicate=False)))
        self._slices = WeightSlices(model, len(units), places)
        self._dense = [parameter.detach().clone() for parameter in self._slices.parameters]
        self._factors: list[Tensor] = []  # none while the parameters hold the dense weights
        self.values = torch.ones(len(units), device=self._slices.device)

    @torch.no_grad()
    def set(self, values: Tensor) -> None:
        """Take what the parameters hold for the dense weights, and make it ``dense * values``, (units,)."""
        self.values = torch.where(self.gated.to(self.values.device), values.to(self.values), 1.0)
        for parameter, dense in zip(self._slices.parameters, self._dense, strict=True):
            dense.copy_(parameter)
        self._scale()

    @torch.no_grad()
    def restore(self) -> None:
        """Put the dense weights back."""
        for parameter, dense in zip(self._slices.parameters, self._dense, strict=True):
            parameter.copy_(dense)
        self._factors = []

    @torch.no_grad()
    def gradients(self, *, straight: bool = False) -> Tensor:
        """Put the dense weights back and their gradients into ``.grad``; returns dL/dgate, float32 (units,).

        ``.grad`` is dL/d(dense * gate). By the chain rule dL/dgate is its sum over the slice times the dense weights,
        and dL/ddense is it times the gate; ``straight`` leaves it as it is, so that closed units learn too (the
        straight-through estimator; Lin et al., "Dynamic Model Pruning with Feedback", 2020).
        """
        parameters = self._slices.parameters
        products = [
            None if parameter.grad is None else parameter.grad * dense
            for parameter, dense in zip(parameters, self._dense, strict=True)
        ]
        flat = self._slices.reduce(products, self._slices.of_units(self.values))
        if not straight:
            for parameter, factor in zip(parameters, self._factors, strict=True):
                if parameter.grad is not None:
                    parameter.grad.mul_(factor)
        self.restore()
        return self._slices.sums(flat)

    def state_dict(self) -> dict[str, Any]:
        """The dense weights and the gates; no weights while the parameters hold the dense ones."""
        dense = dict(zip(self._slices.names, self._dense, strict=True)) if self._factors else {}
        return {"gates": self.values, "dense": dense}

    @torch.no_grad()
    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take up what ``state_dict`` gave, and bring the parameters into that state."""
        self.values.copy_(state["gates"])
        if state["dense"]:
            for name, dense, parameter in zip(self._slices.names, self._dense, self._slices.parameters, strict=True):
                parameter.copy_(dense.copy_(state["dense"][name]))
            self._scale()

    def _scale(self) -> None:
        self._factors = self._slices.expand(self._slices.of_units(self.values))
        for parameter, factor in zip(self._slices.parameters, self._factors, strict=True):
            parameter.mul_(factor)


class GateHook(Hook):
    """Trains a network under gates that may change with every update.

    Attributes:
        session: Whose network it is.
        steps: Updates of the phase.
        gates: There are some from ``begin`` on.
    """

    straight = False
    """Whether dense weights get the gradient by the scaled ones as it is, see ``Gates.gradients``."""

    def __init__(self, session: PruningSession) -> None:
        self.session = session
        self.steps = 0
        self.gates: Gates

    def make(self) -> None:
        """The phase begins: ``steps`` is known, and all gates are open."""

    def draw(self, step: int) -> Tensor:
        """The gates of update ``step``, (units,). The parameters hold the dense weights."""
        raise NotImplementedError

    def learn(self, step: int, gradients: Tensor) -> None:
        """Update ``step`` is due; ``gradients`` are dL/dgate, (units,)."""

    def lasting(self) -> Tensor | None:
        """The gates that stay in the weights when the phase is over, (units,); None: the dense weights stay."""
        return None

    def begin(self, steps: int) -> None:
        self.steps = steps
        self.gates = Gates(self.session.model, self.session.units)
        self.make()
        self.gates.set(self.draw(0))

    def before_update(self, step: int) -> None:
        self.learn(step, self.gates.gradients(straight=self.straight))

    def after_update(self, step: int) -> None:
        self.gates.set(self.draw(step + 1))

    def end(self) -> None:
        self.gates.restore()
        lasting = self.lasting()
        if lasting is not None:
            self.gates.set(lasting)

    def state_dict(self) -> dict[str, Any]:
        return self.gates.state_dict()

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.gates.load_state_dict(state)
