"""Base class of selections, the problem that they solve, and their registry by name."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from torch import Tensor

from edgeprune.cost import CostModel
from edgeprune.errors import InputError
from edgeprune.graph import Units
from edgeprune.model.registry import Registry, options_of
from edgeprune.selection.constraints import Constraint


@dataclass(frozen=True)
class LossCurve:
    """Measured loss when only the strongest units of one group remain.

    Attributes:
        unit_counts: Numbers of remaining units, in ascending order.
        loss: Increase of the validation loss, or of the error, at each number. All groups use the same quantity.
    """

    unit_counts: tuple[int, ...]
    loss: tuple[float, ...]

    def __post_init__(self) -> None:
        ascending = all(one < other for one, other in zip(self.unit_counts, self.unit_counts[1:], strict=False))
        if not self.unit_counts or len(self.unit_counts) != len(self.loss) or not ascending:
            raise InputError(
                f"curve: unit_counts must be in ascending order, with one loss each; got {self.unit_counts} and "
                f"{self.loss}"
            )


@dataclass(frozen=True, eq=False)
class Problem:
    """Input of a selection.

    Attributes:
        units: Units of the dense network.
        scores: Importance of each unit, at least 0, float64 (units,).
        costs: Cost models of the dense network, by cost name. A selection works on copies.
        limits: Upper limit of each cost, by the same names.
        constraints: Constraint of each group. Defaults to (), no constraints.
        curves: Measured loss of each group, frozen groups included. Defaults to (), nothing measured.
        additive: Whether scores are changes of the loss, which add up over units and compare between groups.
    """

    units: Units
    scores: Tensor
    costs: Mapping[str, CostModel]
    limits: Mapping[str, float]
    constraints: tuple[Constraint, ...] = ()
    curves: tuple[LossCurve, ...] = ()
    additive: bool = False

    def __post_init__(self) -> None:
        if self.scores.shape != (len(self.units),):
            raise InputError(f"scores: expected the shape ({len(self.units)},), got {tuple(self.scores.shape)}")
        bad = ~(self.scores.isfinite() & (self.scores >= 0))
        if bool(bad.any()):
            raise InputError(f"scores: got {float(self.scores[bad][0])}, must be finite and at least 0")
        if self.costs.keys() != self.limits.keys() or not self.limits:
            raise InputError(
                f"limits: got {', '.join(self.limits) or 'none'}, must be limits of {', '.join(self.costs)}"
            )


class Selection(ABC):
    """Algorithm that selects the units to remove, so that every cost is within its limit.

    Options are arguments of the constructor. It checks them and raises InputError with the rule and the value.
    """

    name: ClassVar[str]
    needs_curves: ClassVar[bool] = False
    """Whether the selection requires measured loss curves."""

    @property
    def options(self) -> dict[str, Any]:
        """Options for the plan: the constructor arguments that are stored as attributes of the same name."""
        return {key: getattr(self, key) for key in options_of(type(self)) if hasattr(self, key)}

    @abstractmethod
    def choose(self, problem: Problem) -> Tensor:
        """Return the mask of the units to remove, bool (units,).

        The cost models of ``problem`` are not changed.

        Raises:
            BudgetError: A limit cannot be reached. The message names the closest values and what limits them.
            InputError: A constraint cannot be satisfied, or required curves are missing.
        """


_registry = Registry[Selection](Selection, "selection")
register = _registry.register
registered = _registry.registered
create = _registry.create
