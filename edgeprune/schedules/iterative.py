"""Rounds of pruning and fine-tuning."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from edgeprune.schedules.base import OPTIONS, Schedule, register
from edgeprune.schedules.session import PruningSession
from edgeprune.training.phase import Phase

Way = Callable[[float, float], float]
"""Function from the dense value and the final limit of a cost to its current limit."""


@register
class Iterative(Schedule):
    """Prune and fine-tune in several ``rounds``, each with an equal part of the steps and a whole learning-rate curve.

    ``path`` defines the limits from the dense costs to the budget. ``exponential`` removes the same fraction of the
    remaining cost in every round: ``dense * (limit / dense)**(r / n)`` after round r of n. ``polynomial`` of degree
    ``power`` removes the most in the first rounds: ``dense - (dense - limit) * (1 - (1 - r / n)**power)``. Han et al.,
    "Learning both Weights and Connections for Efficient Neural Networks" (2015).
    """

    name = "iterative"

    def __init__(self, rounds: int = 3, path: str = "exponential", power: float = 3.0) -> None:
        self.rounds = OPTIONS.integer("rounds", rounds, least=1)
        self.path = OPTIONS.one_of("path", path, ("exponential", "polynomial"))
        self.power = OPTIONS.number("power", power, above=0)

    def run(self, session: PruningSession) -> Iterator[Phase]:
        for done in range(1, self.rounds + 1):
            session.prune(session.limits(self._way(done / self.rounds)))
            yield Phase(fraction=1 / self.rounds)

    def _way(self, part: float) -> Way:
        return exponential(part) if self.path == "exponential" else polynomial(part, self.power)


def exponential(part: float) -> Way:
    """Return the path on which equal parts remove equal fractions of the remaining cost."""
    return lambda dense, limit: dense * (limit / dense) ** part


def polynomial(part: float, power: float) -> Way:
    """Return the path on which the first parts remove the most; more so with a larger ``power``."""
    return lambda dense, limit: dense - (dense - limit) * (1 - (1 - part) ** power)
