"""Gates: factors on the outputs of units, applied to the weights that read them, without changing the network.

Between updates, the parameters hold ``dense * gate``, so that any loop trains, saves and evaluates the gated network.
For the update itself, the dense weights and their gradients are restored, so that the optimizer is not affected by
gates.
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
    """Return whether ``step`` is one of ``times`` steps spread evenly over ``steps``, the last of them ``steps``."""
    return step > 0 and step * times // steps > (step - 1) * times // steps


class Gates:
    """Gates of the units of ``model``, applied to the weights of the layers that read them; see ``giving``.

    A gate of 0 is equivalent to removing the unit, except in normalizations that mix channels, which still read it.

    Attributes:
        gated: Mask of the units that have a gate, (units,). The others are read by an operator without a parameter that
            could scale them.
        values: Current gates, float32 (units,).
    """

    def __init__(self, model: nn.Module, units: Units) -> None:
        places, self.gated = giving(units, dict(model.named_parameters(remove_duplicate=False)))
        self._slices = WeightSlices(model, len(units), places)
        self._dense = [parameter.detach().clone() for parameter in self._slices.parameters]
        self._factors: list[Tensor] = []  # empty while the parameters hold the dense weights
        self.values = torch.ones(len(units), device=self._slices.device)

    @torch.no_grad()
    def set(self, values: Tensor) -> None:
        """Save the parameters as dense weights, and set them to ``dense * values``; ``values`` has shape (units,)."""
        self.values = torch.where(self.gated.to(self.values.device), values.to(self.values), 1.0)
        for parameter, dense in zip(self._slices.parameters, self._dense, strict=True):
            dense.copy_(parameter)
        self._scale()

    @torch.no_grad()
    def restore(self) -> None:
        """Restore the dense weights."""
        for parameter, dense in zip(self._slices.parameters, self._dense, strict=True):
            parameter.copy_(dense)
        self._factors = []

    @torch.no_grad()
    def gradients(self, *, straight: bool = False) -> Tensor:
        """Restore the dense weights, set ``.grad`` to their gradients, and return dL/dgate, float32 (units,).

        On entry, ``.grad`` is dL/d(dense * gate). By the chain rule, dL/dgate is the sum of ``.grad * dense`` over the
        slice, and dL/ddense is ``.grad * gate``. With ``straight``, ``.grad`` is unchanged, so that closed units also
        learn (the straight-through estimator; Lin et al., "Dynamic Model Pruning with Feedback", 2020).
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
        """Return the gates and the dense weights; without weights while the parameters hold them."""
        dense = dict(zip(self._slices.names, self._dense, strict=True)) if self._factors else {}
        return {"gates": self.values, "dense": dense}

    @torch.no_grad()
    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore the state of ``state_dict``, including the parameters."""
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
    """Hook that trains a network with gates, which may change with every update.

    Attributes:
        session: Session of the network.
        steps: Number of updates in the phase.
        gates: Gates of the units; defined from ``begin`` on.
    """

    straight = False
    """Whether dense weights receive the unscaled gradient, see ``Gates.gradients``."""

    def __init__(self, session: PruningSession) -> None:
        self.session = session
        self.steps = 0
        self.gates: Gates

    def make(self) -> None:
        """Prepare the phase; ``steps`` is set, and all gates are open."""

    def draw(self, step: int) -> Tensor:
        """Return the gates of update ``step``, (units,); called while the parameters hold the dense weights."""
        raise NotImplementedError

    def learn(self, step: int, gradients: Tensor) -> None:
        """Learn from dL/dgate, (units,), before update ``step``."""

    def lasting(self) -> Tensor | None:
        """Return the gates to apply to the final weights, (units,); None: the final weights are the dense ones."""
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
