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
    """Input of a criterion.

    Attributes:
        model: Dense network.
        units: Units of ``model``.
        seed: Seed of random choices. Defaults to 0.
        samples: Samples for criteria that need data. None without data.
    """

    model: nn.Module
    units: Units
    seed: int = 0
    samples: Samples | None = None

    @property
    def data(self) -> Samples:
        """Samples for a criterion that needs data. ``create`` checks that they exist."""
        assert self.samples is not None
        return self.samples


class Criterion(ABC):
    """Estimator of the importance of units. A higher score predicts a larger loss by removal of the unit.

    Options are arguments of the constructor. It checks them and raises InputError with the rule and the value.
    """

    name: ClassVar[str]
    needs: ClassVar[Literal["weights", "data", "labels"]] = "weights"
    """Inputs of the criterion besides the weights: samples (``data``), or samples, labels and the loss (``labels``)."""
    additive: ClassVar[bool] = False
    """Whether scores are changes of the loss, which add up over units and compare between groups unnormalized."""

    @abstractmethod
    def score(self, network: Network) -> Tensor:
        """Return the scores of all units, including frozen ones: finite, at least 0, float64 (units,)."""


class Aggregated(Criterion):
    """Options ``aggregate`` and ``normalize``: combination of the values of several layers for one unit.

    ``normalize`` divides the values of each layer by their ``mean`` or ``max`` over the layer, or does not change them
    (``none``), so that layers of different scale compare. ``aggregate`` is the ``sum``, ``mean`` or ``max`` of the
    values of a unit. With the sum, a channel of a residual stream is as important as all its filters together. The sum
    preserves accuracy best. With the mean, residual streams are pruned as much as channels inside of blocks.
    """

    def __init__(self, aggregate: Aggregate = "sum", normalize: Normalize = "mean") -> None:
        OPTIONS.one_of("aggregate", aggregate, get_args(Aggregate))
        OPTIONS.one_of("normalize", normalize, get_args(Normalize))
        self._aggregate = aggregate
        self._normalize = normalize

    def _together(self, units: Units, parts: Iterable[tuple[Tensor, Tensor]]) -> Tensor:
        """Return the ``aggregate`` of ``parts`` with the options of the criterion.

        Raises:
            InputError: A value of a layer is not finite.
        """
        scores = aggregate(units, parts, how=self._aggregate, normalize=self._normalize)
        if not bool(scores.isfinite().all()):
            group = _group(units, int((~scores.isfinite()).nonzero()[0]))
            raise InputError(
                f"criterion: {self.name} needs finite weights and activations, but those of {group} contain NaN or "
                "infinity: check the network and its data"
            )
        return scores


_registry = Registry[Criterion](Criterion, "criterion", also=("auto",))
register = _registry.register
registered = _registry.registered

AUTO = "l2"
"""Criterion of ``auto`` without data, and with training, because large filters recover best."""
AUTO_WITHOUT_TRAINING = "fisher"
"""Criterion of ``auto`` with data and without training. docs/selection.md compares both."""


def create(
    name: str,
    options: Mapping[str, Any] | None = None,
    *,
    data: bool = False,
    training: bool = False,
    base: Path | None = None,
) -> Criterion:
    """Create the criterion ``name`` with ``options``.

    Args:
        name: Name in ``registered()``, ``auto`` for the recommended criterion, or ``package.module:Class`` or
            ``file.py:Class`` for a user-defined criterion.
        options: Arguments of the constructor.
        data: Whether samples are available.
        training: Whether training follows.
        base: Folder to which file names are relative. Defaults to the working folder.

    Raises:
        InputError: The name is unknown (the message suggests the nearest), an option is invalid, or data is missing.
    """
    if name == "auto":
        name = AUTO_WITHOUT_TRAINING if data and not training else AUTO
    criterion = find(name, base)
    if criterion.needs != "weights" and not data:
        free = ", ".join(name for name, other in registered().items() if other.needs == "weights")
        labelled = "data" if criterion.needs == "data" else "data with labels"
        raise InputError(
            f"criterion: {name!r} needs {labelled}: pass data=..., or use a criterion that needs only weights: {free}"
        )
    return _registry.make(criterion, options)


def score(criterion: Criterion, network: Network) -> Tensor:
    """Compute the scores of ``criterion`` and check them, because a user-defined criterion may return invalid scores.

    Raises:
        InputError: The scores are not finite, not at least 0, or not one for each unit.
    """
    scores = criterion.score(network)
    if not isinstance(scores, Tensor) or scores.shape != (len(network.units),):
        actual = f"shape {tuple(scores.shape)}" if isinstance(scores, Tensor) else type(scores).__name__
        raise InputError(
            f"criterion: {criterion.name} must return a tensor of shape ({len(network.units)},), got {actual}"
        )
    wrong = ~(scores.isfinite() & (scores >= 0))
    if bool(wrong.any()):
        first = int(wrong.nonzero()[0])
        raise InputError(
            f"criterion: {criterion.name} must return finite scores of at least 0, got {float(scores[first]):g} for "
            f"unit {first} of {_group(network.units, first)}"
        )
    return scores.to("cpu", torch.float64)


def _group(units: Units, unit: int) -> str:
    return next(group.name for group in units.groups if unit < group.stop)


def documentation(criterion: type[Criterion]) -> str:
    """Return the documentation of a criterion, followed by the documentation of the options of its family."""
    return registry.documentation(criterion, Criterion)


def find(name: str, base: Path | None = None) -> type[Criterion]:
    """Return the class of the criterion ``name``, which is as in ``create``.

    Raises:
        InputError: The name is unknown. The message suggests the nearest name.
    """
    return _registry.find(name, base)


def aggregate(
    units: Units,
    parts: Iterable[tuple[Tensor, Tensor]],
    *,
    how: Aggregate = "sum",
    normalize: Normalize = "mean",
) -> Tensor:
    """Combine the values of several layers to one score for each unit, float64 (units,). 0 for units without values.

    Args:
        units: Units of the network.
        parts: For each layer, the unit of each index (-1 for none) and the value of each index, both (n,).
        how: Combination of the values of one unit. Defaults to their sum.
        normalize: Divisor of the values of each layer: their mean or largest magnitude. Defaults to the mean.
    """
    total = torch.zeros(len(units), dtype=torch.float64)
    count = torch.zeros(len(units), dtype=torch.float64)
    for unit, layer_values in parts:
        has_unit = unit >= 0
        values = layer_values.detach().to("cpu", torch.float64)
        if normalize != "none":
            size = values.abs()
            values = values / (size.mean() if normalize == "mean" else size.max()).clamp(min=1e-12)
        if how == "max":
            total.scatter_reduce_(0, unit[has_unit], values[has_unit], "amax")
        else:
            total.index_add_(0, unit[has_unit], values[has_unit])
        count.index_add_(0, unit[has_unit], torch.ones(int(has_unit.sum()), dtype=torch.float64))
    return total / count.clamp(min=1) if how == "mean" else total
