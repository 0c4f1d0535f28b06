"""Options of a session: how units are chosen, or what was chosen beforehand."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from torch import Tensor, nn

from edgeprune.cost import CostModel
from edgeprune.criteria import Criterion
from edgeprune.graph import Units
from edgeprune.select import Constraint, Selection


@dataclass(frozen=True)
class Choice:
    """Choice of units and repair of what remains, in every round.

    Attributes:
        criterion: Scores units.
        selection: Makes a choice of scores and limits.
        repairs: Of ``repair.REPAIRS``, made at every removal.
        constraints: What may be left of each group of the dense network; groups are found again by name.
        exclude: Globs over layer names that stay whole.
        attention: ``heads`` or ``head_dim``.
        relaxed: The same where the limits cannot be kept with ``constraints``; None: an error then.
        costs: Models of costs that need more than the network, made for the network the session begins with.
        verify: Whether to run the equivalence check after every removal.
        measured: What costs really are, by name, of a network without some of its units: a choice that is over a limit
            then is made anew, aiming lower. None: models are right.
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
class Planned:
    """A choice for a whole network that was made beforehand.

    Attributes:
        units: Units of the network.
        removed: Mask of the units to remove, (units,).
    """

    units: Units
    removed: Tensor
