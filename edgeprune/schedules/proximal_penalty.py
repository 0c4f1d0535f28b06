"""Penalties as proximal steps, which shorten the weight slices of units after every update.

The proximal step of the penalty is separate from the optimizer: momentum does not accumulate it, Adam does not divide
it by the size of gradients, and slices become exactly zero (Parikh & Boyd, "Proximal Algorithms", 2014; weight decay is
separated from Adam for the same reasons, Loshchilov & Hutter 2019). Lengths are relative to those at the start, and
steps to their number, so that a strength has the same meaning for every network and length of training.
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
"""Smallest divisor, in place of a length of zero."""
_CHECKS = 20
_NEGLIGIBLE = 0.01
"""Length of a negligible slice as a fraction of the mean length."""

Where = Callable[[Units, Mapping[str, Any]], tuple[list[ScalingParameter], Tensor]]
"""Function that returns the scaling parameters to shrink, and the mask of the units that have some, (units,)."""


class ProximalPenalty(Hook):
    """Hook that shrinks weight slices of the network.

    Args:
        session: Session of the network.
        strength: Reduction of a slice of mean length over the phase without a counteracting gradient, in mean lengths.
        where: Function that finds the slices to shrink.
    """

    def __init__(self, session: PruningSession, strength: float, where: Where) -> None:
        self.session = session
        self.strength = strength
        self._places, self.has_slices = where(
            session.units, dict(session.model.named_parameters(remove_duplicate=False))
        )

    def reference(self) -> Tensor:
        """Return the initial lengths that ``shrink`` is relative to."""
        raise NotImplementedError

    def shrink(self, step: int, force: float) -> None:
        """Apply the proximal step after update ``step``; ``force`` is the reduction relative to the mean length."""
        raise NotImplementedError

    @torch.no_grad()
    def scores(self) -> Tensor:
        """Remaining length of each unit relative to its layer's initial mean, summed over layers; float64 (units,).

        Units without slices get the largest score.
        """
        self._find()  # the network may be on another device than in training
        remaining = self.slices.sums(self.each() / self.means.to(self.slices.device)).cpu()
        return torch.where(self.has_slices, remaining, remaining.max()).double()

    def each(self) -> Tensor:
        """Return the length of each slice, flat."""
        return self._squares().sqrt()

    def lengths(self) -> Tensor:
        """Return the joint length of all slices of each unit, (units,)."""
        return self.slices.sums(self._squares()).sqrt()

    def scale(self, flat: Tensor) -> None:
        """Multiply each slice by its factor, flat."""
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
        # Proportional to the learning rate, because the gradient counteracts less as the rate falls.
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
    """Penalty with a price for each unit, which stops when the negligible units satisfy the budget.

    Args:
        session: Session of the network.
        strength: See ``ProximalPenalty``.
        weights: Factor of ``strength`` for each unit, (units,).
        ratio: Fraction of the penalty on absolute values, in [0, 1].
        emphasis: Emphasis on weak units. The price of the weakest unit of a group is ``2 ** emphasis`` times that of
            the strongest, with the same mean price: Fang et al., "DepGraph" (2023), who use 4. With equal prices, a
            whole layer can vanish before the loss distinguishes its units.
    """

    @staticmethod
    def where(units: Units, named: Container[str]) -> tuple[list[ScalingParameter], Tensor]:
        """Return the scaling parameters to shrink; see ``Where``."""
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
            self.met = self.session.within(self.negligible())

    def negligible(self) -> Tensor:
        """Return the mask of prunable units whose slices are negligible, (units,)."""
        count = self.slices.sums(torch.ones_like(self.means))
        is_small = self.slices.sums(self.each() / self.means) <= _NEGLIGIBLE * count
        return is_small.cpu() & self.has_slices & self.session.units.prunable

    def state_dict(self) -> dict[str, Any]:
        return {**super().state_dict(), "met": self.met}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        super().load_state_dict(state)
        self.met = state["met"]

    def prices(self) -> Tensor:
        """Return ``weights`` with the emphasis on the currently weak units, (units,)."""
        weights = self.weights.to(self.slices.device, torch.float32)
        if not self.emphasis:
            return weights
        units = self.session.units
        lengths = self.slices.sums(self.each() / self.means)
        group = units.group_of.to(lengths.device)
        most, least = (
            lengths.new_zeros(len(units.groups)).scatter_reduce(0, group, lengths, end, include_self=False)[group]
            for end in ("amax", "amin")
        )
        more = torch.exp2(self.emphasis * (most - lengths) / (most - least).clamp(min=TINY))
        return weights * more / units.group_means(more)[group]
