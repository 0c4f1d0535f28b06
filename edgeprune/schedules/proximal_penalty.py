"""Penalties as proximal steps: behind every update the slices of units lose a little of their length.

Each step does what the penalty alone would do to the weights, apart from the optimiser: momentum does not gather it,
Adam does not divide it by the size of gradients, and slices become exactly zero (Parikh & Boyd, "Proximal Algorithms",
2014; weight decay is taken out of Adam for the same reasons, Loshchilov & Hutter 2019). Lengths are measured in those
at the start, and steps by their number, so that a strength means the same for every network and length of training.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Mapping
from typing import Any

import torch
from torch import Tensor

from edgeprune.graph import Units
from edgeprune.schedules.gates import due
from edgeprune.schedules.scaling_parameters import ScalingParameter
from edgeprune.schedules.session import PruningSession
from edgeprune.schedules.weight_slices import WeightSlices
from edgeprune.training.phase import Hook

TINY = 1e-30
"""In the place of a length of zero that something is divided by."""
_CHECKS = 20
_GONE = 0.01
"""Fraction of the mean length."""

Where = Callable[[Units, Mapping[str, Any]], tuple[list[ScalingParameter], Tensor]]
"""Gives the places of the slices that shrink, and a mask of the units that have some, (units,)."""


class ProximalPenalty(Hook):
    """Shrinks slices of the session's network.

    Args:
        session: Whose network it is.
        strength: What a slice of mean length loses over the phase if nothing holds against it, in mean lengths.
        where: The slices are.
    """

    def __init__(self, session: PruningSession, strength: float, where: Where) -> None:
        self.session = session
        self.strength = strength
        self._places, self.held = where(session.units, dict(session.model.named_parameters(remove_duplicate=False)))

    def reference(self) -> Tensor:
        """The lengths to measure in, at the start: as those that ``shrink`` works on."""
        raise NotImplementedError

    def shrink(self, step: int, force: float) -> None:
        """The proximal step behind update ``step``; ``force`` is the part of a mean length that it takes."""
        raise NotImplementedError

    @torch.no_grad()
    def scores(self) -> Tensor:
        """Remaining length of each unit relative to its layer's initial mean, summed over layers; float64 (units,).

        A unit without slices has as much as the one with the most.
        """
        self._find()  # the network may be on another device than in training
        left = self.slices.sums(self.each() / self.means.to(self.slices.device)).cpu()
        return torch.where(self.held, left, left.max()).double()

    def each(self) -> Tensor:
        """The length of each slice, flat."""
        return self._squares().sqrt()

    def lengths(self) -> Tensor:
        """The length of all slices of each unit together, (units,)."""
        return self.slices.sums(self._squares()).sqrt()

    def scale(self, flat: Tensor) -> None:
        """Multiply slices with factors."""
        for parameter, factor in zip(self.slices.parameters, self.slices.expand(flat), strict=True):
            parameter.mul_(factor)

    @torch.no_grad()
    def begin(self, steps: int) -> None:
        self._find()
        self.steps = steps
        self.highest = TINY
        self.means = self.slices.means(self.each()).clamp(min=TINY)
        self.start = self.reference()

    @torch.no_grad()
    def after_update(self, step: int) -> None:
        # In proportion to the learning rate: where that falls, the loss holds against less.
        optimizer = self.session.optimizer
        rate = 1.0 if optimizer is None else float(optimizer.param_groups[0]["lr"])
        self.highest = max(self.highest, rate)
        self.shrink(step, self.strength / self.steps * rate / self.highest)

    def state_dict(self) -> dict[str, Any]:
        return {"means": self.means, "start": self.start, "highest": self.highest}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.means.copy_(state["means"])
        self.start.copy_(state["start"])
        self.highest = state["highest"]

    def _find(self) -> None:
        self.slices = WeightSlices(self.session.model, len(self.session.units), self._places)

    def _squares(self) -> Tensor:
        return self.slices.reduce([parameter.detach().square() for parameter in self.slices.parameters])


class PricedPenalty(ProximalPenalty):
    """Shrinks slices by a price for each unit, until enough of them are gone for the budget.

    Args:
        session: Whose network it is.
        strength: See ``ProximalPenalty``.
        weights: By unit, what multiplies ``strength``, (units,).
        ratio: In [0, 1]: how much of the penalty is on absolute values.
        emphasis: The weakest unit of a group pays ``2 ** emphasis`` times as much as the strongest, those between by
            their length, and all together as much as without it: Fang et al., "DepGraph" (2023), who take 4. Where all
            pay alike, a layer goes as a whole before the loss has told its units apart.
    """

    @staticmethod
    def where(units: Units, named: Container[str]) -> tuple[list[ScalingParameter], Tensor]:
        """Places of the slices; see ``Where``."""
        raise NotImplementedError

    def __init__(
        self, session: PruningSession, strength: float, weights: Tensor, ratio: float, emphasis: float = 0.0
    ) -> None:
        super().__init__(session, strength, self.where)
        self.weights = weights
        self.ratio = ratio
        self.emphasis = emphasis

    def begin(self, steps: int) -> None:
        super().begin(steps)
        self.met = False

    @torch.no_grad()
    def after_update(self, step: int) -> None:
        if self.met:
            return
        super().after_update(step)
        if due(step + 1, self.steps, _CHECKS):
            self.met = self.session.within(self.gone())

    def gone(self) -> Tensor:
        """Units that may go and of which next to nothing is left, a mask (units,)."""
        count = self.slices.sums(torch.ones_like(self.means))
        little = self.slices.sums(self.each() / self.means) <= _GONE * count
        return little.cpu() & self.held & self.session.units.prunable

    def state_dict(self) -> dict[str, Any]:
        return {**super().state_dict(), "met": self.met}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        super().load_state_dict(state)
        self.met = state["met"]

    def prices(self) -> Tensor:
        """``weights``, with the emphasis on units that are weak now, (units,)."""
        weights = self.weights.to(self.slices.device, torch.float32)
        if not self.emphasis:
            return weights
        units = self.session.units
        left = self.slices.sums(self.each() / self.means)
        group = units.group_of.to(left.device)
        most, least = (
            left.new_zeros(len(units.groups)).scatter_reduce(0, group, left, end, include_self=False)[group]
            for end in ("amax", "amin")
        )
        more = torch.exp2(self.emphasis * (most - left) / (most - least).clamp(min=TINY))
        return weights * more / units.group_means(more)[group]
