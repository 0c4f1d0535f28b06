"""Base class of criteria, and their registry by name."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal, get_args

import torch
from torch import Tensor, nn

from edgeprune.errors import InputError
from edgeprune.graph import Units
from edgeprune.model import registry
from edgeprune.model.option_checks import OptionChecks
from edgeprune.model.registry import Registry
from edgeprune.statistics import Samples

OPTIONS = OptionChecks("criterion")
Aggregate = Literal["sum", "mean", "max"]
Normalize = Literal["mean", "max", "none"]


@dataclass(frozen=True)
class Network:
    """Input of a criterion. ``seed`` makes its choices repeatable; ``samples`` are None if none are given."""

    model: nn.Module
    units: Units
    seed: int = 0
    samples: Samples | None = None

    @property
    def data(self) -> Samples:
        """The samples, for a criterion that needs them: ``create`` saw to it that there are some."""
        assert self.samples is not None
        return self.samples


class Criterion(ABC):
    """Scores every unit: the larger, the more its removal is expected to cost.

    Options are arguments of the constructor, which checks them and raises InputError with the rule and the value got.
    """

    name: ClassVar[str]
    needs: ClassVar[Literal["weights", "data", "labels"]] = "weights"
    """Inputs of the criterion besides the weights: samples (``data``), or samples, labels and the loss (``labels``)."""
    additive: ClassVar[bool] = False
    """Scores are changes of the loss: they add up over units, and compare between groups without normalisation."""

    @abstractmethod
    def score(self, network: Network) -> Tensor:
        """Scores of all units, frozen ones included: finite, at least 0, float64 of shape (units,)."""


class Aggregated(Criterion):
    """Options ``aggregate`` and ``normalize``: how what several layers say of a unit is put together.

    ``normalize`` first divides what each layer says by its ``mean`` or ``max`` over the layer, or by nothing
    (``none``), so that layers of different scale compare. ``aggregate`` then takes the ``sum``, ``mean`` or ``max``
    over all that speak of a unit: by the sum, a channel of a residual stream matters as much as all its filters
    together. It is the sum that keeps accuracy: by the mean, residual streams are cut as readily as what lies within a
    block.
    """

    def __init__(self, aggregate: Aggregate = "sum", normalize: Normalize = "mean") -> None:
        OPTIONS.one_of("aggregate", aggregate, get_args(Aggregate))
        OPTIONS.one_of("normalize", normalize, get_args(Normalize))
        self._aggregate = aggregate
        self._normalize = normalize

    def _together(self, units: Units, parts: Iterable[tuple[Tensor, Tensor]]) -> Tensor:
        """``aggregate`` of ``parts`` by the options.

        Raises:
            InputError: What the layers say is not finite.
        """
        scores = aggregate(units, parts, how=self._aggregate, normalize=self._normalize)
        if not bool(scores.isfinite().all()):
            group = _group(units, int((~scores.isfinite()).nonzero()[0]))
            raise InputError(
                f"criterion: {self.name} finds NaN or infinity in the weights or activations of {group}; the network "
                "and its data must be finite"
            )
        return scores


_registry = Registry[Criterion](Criterion, "criterion", also=("auto",))
register = _registry.register
registered = _registry.registered

AUTO = "l2"
"""Meaning of ``auto`` without data, and with training: large filters recover best."""
AUTO_WITHOUT_TRAINING = "fisher"
"""Meaning of ``auto`` with data and without training; docs/selection.md compares both."""


def create(
    name: str,
    options: Mapping[str, Any] | None = None,
    *,
    data: bool = False,
    training: bool = False,
    base: Path | None = None,
) -> Criterion:
    """The criterion called ``name``, made with ``options``.

    Args:
        name: One of ``registered()``; ``auto`` for the best one known; ``package.module:Class`` or ``file.py:Class``
            for one's own.
        options: Arguments of its constructor.
        data: Whether there are samples.
        training: Whether training follows.
        base: Folder that file names are relative to; None: the working folder.

    Raises:
        InputError: There is none (names the nearest), it does not take the options, or it needs data and has none.
    """
    if name == "auto":
        name = AUTO_WITHOUT_TRAINING if data and not training else AUTO
    criterion = find(name, base)
    if criterion.needs != "weights" and not data:
        free = ", ".join(name for name, other in registered().items() if other.needs == "weights")
        labelled = "data" if criterion.needs == "data" else "data with labels"
        raise InputError(
            f"criterion: {name!r} needs {labelled}, and there is none; give data=..., or take one of those that look "
            f"at weights alone: {free}"
        )
    return _registry.make(criterion, options)


def score(criterion: Criterion, network: Network) -> Tensor:
    """The scores that ``criterion`` gives, checked: one's own may break the contract.

    Raises:
        InputError: They are not finite, not at least 0, or not one a unit.
    """
    scores = criterion.score(network)
    if not isinstance(scores, Tensor) or scores.shape != (len(network.units),):
        got = f"shape {tuple(scores.shape)}" if isinstance(scores, Tensor) else type(scores).__name__
        raise InputError(f"criterion: {criterion.name} gives {got}; a tensor ({len(network.units)},) must come of it")
    wrong = ~(scores.isfinite() & (scores >= 0))
    if bool(wrong.any()):
        first = int(wrong.nonzero()[0])
        raise InputError(
            f"criterion: {criterion.name} gives {float(scores[first]):g} for unit {first}, one of "
            f"{_group(network.units, first)}; allowed are finite scores of 0 or above"
        )
    return scores.to("cpu", torch.float64)


def _group(units: Units, unit: int) -> str:
    return next(group.name for group in units.groups if unit < group.stop)


def documentation(criterion: type[Criterion]) -> str:
    """The formula, followed by the documentation of options that its family shares."""
    return registry.documentation(criterion, Criterion)


def find(name: str, base: Path | None = None) -> type[Criterion]:
    """The class of the criterion called ``name``: one of ``registered()``, or one's own as ``create`` takes it.

    Raises:
        InputError: There is none (names the nearest).
    """
    return _registry.find(name, base)


def aggregate(
    units: Units,
    parts: Iterable[tuple[Tensor, Tensor]],
    *,
    how: Aggregate = "sum",
    normalize: Normalize = "mean",
) -> Tensor:
    """One score a unit of what several layers say of it, float64 (units,); 0 for a unit of which none says anything.

    Args:
        units: All of them.
        parts: For each layer the unit of each index, -1 for none, and the value of each index, both (n,).
        how: What becomes of the values of one unit.
        normalize: Divide each layer's values by their mean or largest magnitude first, so that layers of different
            scale compare.
    """
    total = torch.zeros(len(units), dtype=torch.float64)
    count = torch.zeros(len(units), dtype=torch.float64)
    for unit, given in parts:
        held = unit >= 0
        values = given.detach().to("cpu", torch.float64)
        if normalize != "none":
            size = values.abs()
            values = values / (size.mean() if normalize == "mean" else size.max()).clamp(min=1e-12)
        if how == "max":
            total.scatter_reduce_(0, unit[held], values[held], "amax")
        else:
            total.index_add_(0, unit[held], values[held])
        count.index_add_(0, unit[held], torch.ones(int(held.sum()), dtype=torch.float64))
    return total / count.clamp(min=1) if how == "mean" else total
