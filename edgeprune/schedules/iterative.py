"""Rounds of pruning and fine-tuning."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from edgeprune.schedules.base import OPTIONS, Schedule, register
from edgeprune.schedules.session import PruningSession
from edgeprune.training.phase import Phase

Way = Callable[[float, float], float]
"""Limit of a cost on the way, of its dense value and the limit in the end."""


@register
class Iterative(Schedule):
    """Several ``rounds`` of pruning and fine-tuning, each with an equal part of the steps and a whole curve of rates.

    The ``path`` leads from dense costs to the limits: ``exponential``, where every round takes the same share of what
    is left, ``dense * (limit / dense)**(r / n)`` after round r of n; or ``polynomial`` of degree ``power``, where the
    first rounds take the most, ``dense - (dense - limit) * (1 - (1 - r / n)**power)``. Han et al., "Learning both
    Weights and Connections for Efficient Neural Networks" (2015).
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
    """A path of which equal parts remove equal fractions of what remains."""
    return lambda dense, limit: dense * (limit / dense) ** part


def polynomial(part: float, power: float) -> Way:
    """A path of which the first parts remove the most, the more so the larger ``power``."""
    return lambda dense, limit: dense - (dense - limit) * (1 - (1 - part) ** power)
