"""Penalties as proximal steps: behind every update the slices of units lose a little of their length.

Each step does what the penalty alone would do to the weights, apart from the optimiser: momentum does not gather it,
Adam does not divide it by the size of gradients, and slices become exactly zero (Parikh & Boyd, "Proximal Algorithms",
2014; weight decay is taken out of Adam for the same reasons, Loshchilov & Hutter 2019). Lengths are measured in those at
the start, and steps by their number, so that a strength means the same for every network and length of training.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from edgeprune.graph import Units
from edgeprune.schedules._places import Place, giving, scaling
from edgeprune.schedules._slices import Slices
from edgeprune.schedules.gates import due
from edgeprune.schedules.session import Session
from edgeprune.training.stretch import Hook


class Shrinking(Hook):
    """Shrinks slices of the session's network.

    Args:
        session: Whose network it is.
        strength: What a slice of mean length loses over the stretch if nothing holds against it, in mean lengths.
        weights: By unit, what multiplies ``strength``, (units,).
    """

    def __init__(self, session: Session, strength: float, weights: Tensor) -> None:
        self.session = session
        self.strength = strength
        self.weights = weights

    def places(self) -> tuple[list[Place], Tensor]:
        """Where the slices are that shrink, and a mask of the units that have some, (units,)."""
        return giving(self.session.units, dict(self.session.model.named_parameters(remove_duplicate=False)))

    def reference(self) -> Tensor:
        """The lengths to measure in, at the start: as those that ``shrink`` works on."""
        return group_means(self.session.units, self.lengths())

    def shrink(self, step: int, force: float) -> None:
        """The proximal step behind update ``step``; ``force`` is the part of a mean length that it takes."""
        raise NotImplementedError

    def scores(self) -> Tensor:
        """What is left of each unit, over the mean of each layer and summed over the layers, float64 (units,).

        Units without slices have the scores of the chosen criterion.
        """
        each = self.each()
        left = self.slices.sums(each / self.slices.means(each).clamp(min=1e-30))
        return torch.where(self.held, left.cpu().double(), self.session.score(self.session.choice.criterion))

    def each(self) -> Tensor:
        """The length of each slice, flat."""
        return self.slices.reduce([parameter.detach().square() for parameter in self.slices.parameters]).sqrt()

    def lengths(self) -> Tensor:
        """The length of all slices of each unit together, (units,)."""
        squares = [parameter.detach().square() for parameter in self.slices.parameters]
        return self.slices.sums(self.slices.reduce(squares)).sqrt()

    def scale(self, flat: Tensor) -> None:
        """Multiply slices with factors."""
        for parameter, factor in zip(self.slices.parameters, self.slices.expand(flat), strict=True):
            parameter.mul_(factor)

    def begin(self, steps: int) -> None:
        places, self.held = self.places()
        self.slices = Slices(self.session.model, len(self.session.units), places)
        self.steps = steps
        self.highest = 1e-30
        self.mean = self.reference()

    @torch.no_grad()
    def after_update(self, step: int) -> None:
        # In proportion to the learning rate: where that falls, the loss holds against less.
        optimizer = self.session.optimizer
        rate = 1.0 if optimizer is None else float(optimizer.param_groups[0]["lr"])
        self.highest = max(self.highest, rate)
        self.shrink(step, self.strength / self.steps * rate / self.highest)

    def state_dict(self) -> dict[str, Any]:
        return {"mean": self.mean, "highest": self.highest}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.mean.copy_(state["mean"])
        self.highest = state["highest"]


class Scales(Shrinking):
    """The scale of each channel by itself, by ``ratio * |g| + (1 - ratio) * g**2 / 2``; filters where there is none.

    With ``ratio`` 1 the L1 penalty of Liu et al., "Learning Efficient Convolutional Networks through Network Slimming"
    (2017), else an elastic net (Zou & Hastie 2005).
    """

    def __init__(self, session: Session, strength: float, weights: Tensor, ratio: float) -> None:
        super().__init__(session, strength, weights)
        self.ratio = ratio

    def places(self) -> tuple[list[Place], Tensor]:
        return scaling(self.session.units, dict(self.session.model.named_parameters(remove_duplicate=False)))

    def reference(self) -> Tensor:
        return self.slices.means(self.each())

    def shrink(self, step: int, force: float) -> None:
        lengths = self.each()
        own = force * self.slices.of_units(self.weights, rest=0.0)
        factor = (1 - self.ratio * own * self.mean / lengths.clamp(min=1e-30)).clamp(min=0)
        self.scale(factor / (1 + (1 - self.ratio) * own))


class GroupLasso(Shrinking):
    """All that a unit gives, as one group, by ``ratio * |w|_1 / sqrt(n) + (1 - ratio) * |w|_2``.

    With ``ratio`` 0 the group lasso (Yuan & Lin 2006; of channels Wen et al., "Learning Structured Sparsity in Deep
    Neural Networks", 2016), else the sparse group lasso (Simon et al. 2013), which also clears single weights.
    """

    def __init__(self, session: Session, strength: float, weights: Tensor, ratio: float) -> None:
        super().__init__(session, strength, weights)
        self.ratio = ratio

    def begin(self, steps: int) -> None:
        super().begin(steps)
        ones = [torch.ones_like(parameter) for parameter in self.slices.parameters]
        self.root = self.slices.sums(self.slices.reduce(ones)).clamp(min=1).sqrt()

    def shrink(self, step: int, force: float) -> None:
        own = force * self.weights.to(self.mean) * self.mean
        if self.ratio:
            each = self.slices.expand(self.slices.of_units(self.ratio * own / self.root, rest=0.0))
            for parameter, least in zip(self.slices.parameters, each, strict=True):
                parameter.sub_(torch.minimum(torch.maximum(parameter, -least), least))
        factor = (1 - (1 - self.ratio) * own / self.lengths().clamp(min=1e-30)).clamp(min=0)
        self.scale(self.slices.of_units(factor))


class Growing(Shrinking):
    """A ridge on all that a unit gives, which grows while the unit would go by the budget, and falls while it would not.

    Units are chosen anew ``choices`` times, by the criterion's scores at the start times what is left of each. The ridge
    of a unit that would go every time grows evenly, and leaves ``exp(-strength)`` of it. Wang et al., "Neural Pruning
    via Growing Regularization" (2021); falling as in Wang et al., "Structured Pruning for Efficient ConvNets via
    Incremental Regularization" (2019).
    """

    def __init__(self, session: Session, strength: float, weights: Tensor, choices: int) -> None:
        super().__init__(session, strength, weights)
        self.choices = choices

    def reference(self) -> Tensor:
        return self.lengths().clamp(min=1e-30)

    def begin(self, steps: int) -> None:
        super().begin(steps)
        self.first = self.session.score(self.session.choice.criterion)
        self.ridge = torch.zeros_like(self.mean)
        self.going = self.session.choose(self.scores()).to(self.mean.device)

    def shrink(self, step: int, force: float) -> None:
        growth = 2 * force / self.steps * self.weights.to(self.mean)
        self.ridge = (self.ridge + torch.where(self.going, growth, -growth)).clamp(min=0)
        self.scale(self.slices.of_units((-self.ridge).exp()))
        if due(step + 1, self.steps, self.choices):
            self.going = self.session.choose(self.scores()).to(self.mean.device)

    def scores(self) -> Tensor:
        return self.first * torch.where(self.held, (self.lengths() / self.mean).cpu().double(), 1.0)

    def state_dict(self) -> dict[str, Any]:
        return {**super().state_dict(), "first": self.first, "ridge": self.ridge, "going": self.going}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        super().load_state_dict(state)
        self.first = state["first"]
        self.ridge, self.going = (state[key].to(self.mean.device) for key in ("ridge", "going"))


def group_means(units: Units, values: Tensor) -> Tensor:
    """The mean of ``values``, (units,), over the group of each unit, above zero."""
    group = torch.repeat_interleave(torch.arange(len(units.groups)), torch.tensor([len(one) for one in units.groups]))
    group = group.to(values.device)
    total = values.new_zeros(len(units.groups)).index_add_(0, group, values)
    return (total / torch.bincount(group, minlength=len(units.groups))).clamp(min=1e-30)[group]
