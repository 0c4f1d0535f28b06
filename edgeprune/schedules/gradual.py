"""The budget falls while the network trains, and units may come back."""

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
    """Close units while the network trains, ever more of them; then remove those that are closed and train the rest.

    After part t of the ramp all costs are within ``dense - (dense - limit) * (1 - (1 - t)**3)``. Zhu and Gupta, "To
    Prune, or not to Prune" (2017), of units. Nothing is lost while they are closed, and every choice scores all of them
    anew, so that units come back where others become weaker; after He et al., "Soft Filter Pruning" (2018).

    Args:
        ramp: Share of the steps until the budget holds.
        choices: How often units are chosen anew on the ramp.
        straight: What reads closed units learns as if they were open, and so shows what they would be worth: the
            straight-through estimator of Lin et al., "Dynamic Model Pruning with Feedback" (2020). Else it rests.
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
    """Closes the units that would go by the budget of the moment."""

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
    # Without what the repairs add: a pass over the samples for every choice.
    return session.score(session.choice.criterion)
