"""Gradual pruning: units are closed during training under a falling budget, and may reopen."""

from __future__ import annotations

from collections.abc import Iterator

from torch import Tensor

from edgeprune.schedules.base import OPTIONS, Schedule, register
from edgeprune.schedules.gates import GateHook, due
from edgeprune.schedules.iterative import polynomial
from edgeprune.schedules.session import PruningSession
from edgeprune.training.phase import Phase


@register
class Gradual(Schedule):
    """Close more and more units while the network trains, then remove the closed units and train the remaining network.

    After fraction t of the ramp, all costs are within ``dense - (dense - limit) * (1 - (1 - t)**3)``. Zhu and Gupta,
    "To Prune, or not to Prune" (2017), applied to units. Closed units keep their weights, and every choice scores all
    units again, so that a unit reopens if others become weaker. After He et al., "Soft Filter Pruning" (2018).

    Args:
        ramp: Fraction of the steps until the budget holds. Defaults to 0.4.
        choices: Number of times that units are chosen on the ramp. Defaults to 20.
        straight: Whether weights that read closed units are trained as if the units were open (the straight-through
            estimator of Lin et al., "Dynamic Model Pruning with Feedback", 2020). Defaults to True.
    """

    name = "gradual"

    def __init__(self, ramp: float = 0.4, choices: int = 20, straight: bool = True) -> None:
        self.ramp = OPTIONS.number("ramp", ramp, above=0, below=1)
        self.choices = OPTIONS.integer("choices", choices, least=1)
        self.straight = straight

    def run(self, session: PruningSession) -> Iterator[Phase]:
        yield Phase(fraction=self.ramp, rate=(0.0, self.ramp), hook=_Ramp(session, self))
        session.remove(session.choose(_scores(session)))
        yield Phase(fraction=1 - self.ramp, rate=(self.ramp, 1.0))


class _Ramp(GateHook):
    """Hook that closes the units that the current budget would remove."""

    def __init__(self, session: PruningSession, options: Gradual) -> None:
        super().__init__(session)
        self.options = options
        self.straight = options.straight

    def draw(self, step: int) -> Tensor:
        if not due(step, self.steps, self.options.choices):
            return self.gates.values
        limits = self.session.limits(polynomial(step / self.steps, 3.0))
        return 1.0 - self.session.choose(_scores(self.session), limits).float()


def _scores(session: PruningSession) -> Tensor:
    # Without the constant units of repairs, which would need a pass over the samples for every choice.
    return session.score(session.choice.criterion)
