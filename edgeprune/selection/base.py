"""Base class of selections, and their registry by name."""

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
        kept: Numbers of units that stayed, rising.
        loss: What each cost: the rise of the validation loss, or of the error. The same unit for all groups.
    """

    kept: tuple[int, ...]
    loss: tuple[float, ...]

    def __post_init__(self) -> None:
        rising = all(one < other for one, other in zip(self.kept, self.kept[1:], strict=False))
        if not self.kept or len(self.kept) != len(self.loss) or not rising:
            raise InputError(f"curve: kept must rise, with a loss for each; got {self.kept} and {self.loss}")


@dataclass(frozen=True, eq=False)
class Problem:
    """Input of a selection.

    Attributes:
        units: What may go.
        scores: Importance of each unit, at least 0, float64 (units,).
        costs: Models of the dense network by cost name. A selection works on copies.
        limits: Upper limits by the same names.
        constraints: One for each group; () where there are none.
        curves: One for each group, frozen ones included; () where none were measured.
        additive: Scores are changes of the loss, which add up over units and compare between groups.
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
            raise InputError(f"scores: got the shape {tuple(self.scores.shape)}; there are {len(self.units)} units")
        bad = ~(self.scores.isfinite() & (self.scores >= 0))
        if bool(bad.any()):
            raise InputError(f"scores: got {float(self.scores[bad][0])}; each must be finite and at least 0")
        if self.costs.keys() != self.limits.keys() or not self.limits:
            raise InputError(f"limits: got {', '.join(self.limits) or 'none'} for the costs {', '.join(self.costs)}")


class Selection(ABC):
    """Chooses which units go, so that every cost is within its limit.

    Options are arguments of the constructor, which checks them and raises InputError with the rule and the value got.
    """

    name: ClassVar[str]
    needs_curves: ClassVar[bool] = False
    """Whether it can only choose by measured curves."""

    @property
    def options(self) -> dict[str, Any]:
        """Options for the plan: the arguments of its constructor that it keeps under their names."""
        return {key: getattr(self, key) for key in options_of(type(self)) if hasattr(self, key)}

    @abstractmethod
    def choose(self, problem: Problem) -> Tensor:
        """Mask of the units to remove, bool (units,); the costs of ``problem`` are left as they are.

        Raises:
            BudgetError: a limit cannot be reached; names the closest values, and what holds them back.
            InputError: a constraint cannot be kept, or there are no curves where they are needed.
        """


_registry = Registry[Selection](Selection, "selection")
register = _registry.register
registered = _registry.registered
create = _registry.create
