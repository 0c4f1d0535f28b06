"""Options of a session: how units are chosen, or what was chosen beforehand."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from torch import Tensor, nn

from edgeprune.cost import CostModel
from edgeprune.criteria import Criterion
from edgeprune.graph import Units
from edgeprune.selection import Constraint, Selection


@dataclass(frozen=True)
class Choice:
    """Method by which units are chosen, and repairs of the remaining network, in every round.

    Attributes:
        criterion: Criterion that scores units.
        selection: Selection that turns scores and limits into the units to remove.
        repairs: Names in ``repair.REPAIRS``, applied at every removal.
        constraints: Function from the dense network's units to the constraint of each group. In later rounds, groups
            are matched by name.
        exclude: Glob patterns on parameter or layer names that must not be pruned.
        attention: ``heads`` removes whole attention heads, ``head_dim`` the same positions of every head.
        relaxed: Constraints to use if the limits cannot be met with ``constraints``. None: that is an error.
        costs: Cost models that need more than the network, by name, for the network at the start of the session.
        verify: Whether to run the equivalence check after every removal.
        measured: Function that measures the costs, by name, of the network without the units in a mask (units,). If a
            measured cost exceeds its limit, the choice is repeated with a lower limit. None: cost models are exact.
    """

    criterion: Criterion
    selection: Selection
    repairs: tuple[str, ...] = ()
    constraints: Callable[[Units], Sequence[Constraint]] = lambda _units: ()
    exclude: Sequence[str] = ()
    attention: str = "heads"
    relaxed: Callable[[Units], Sequence[Constraint]] | None = None
    costs: Mapping[str, CostModel] = field(default_factory=dict)
    verify: bool = True
    measured: Callable[[nn.Module, Units, Tensor], Mapping[str, float]] | None = None


@dataclass(frozen=True)
class PresetPlan:
    """Units of a network that were chosen before the session.

    Attributes:
        units: Units of the network.
        removed: Mask of the units to remove, (units,).
    """

    units: Units
    removed: Tensor
