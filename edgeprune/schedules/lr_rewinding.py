"""Learning-rate rewinding: prune, keep the weights, and train along the original learning-rate curve."""

from __future__ import annotations

from collections.abc import Iterator

from edgeprune.schedules.base import OPTIONS, Schedule, register
from edgeprune.schedules.iterative import exponential
from edgeprune.schedules.session import PruningSession
from edgeprune.training.phase import Phase


@register
class LrRewinding(Schedule):
    """Prune the trained network, keep its weights, and repeat the training with most of its learning-rate curve.

    ``rewind`` is the fraction of the curve that is skipped. With 0.1, training begins after a tenth of the curve, where
    the warm-up has ended and the learning rate is near its maximum. This is repeated in ``rounds``, each of which
    removes the same fraction of the remaining cost.

    Renda et al., "Comparing Rewinding and Fine-tuning in Neural Network Pruning" (2020).
    """

    name = "lr_rewinding"

    def __init__(self, rewind: float = 0.1, rounds: int = 1) -> None:
        self.rewind = OPTIONS.number("rewind", rewind, least=0, most=0.9)
        self.rounds = OPTIONS.integer("rounds", rounds, least=1)

    def run(self, session: PruningSession) -> Iterator[Phase]:
        for done in range(1, self.rounds + 1):
            session.prune(session.limits(exponential(done / self.rounds)))
            yield Phase(fraction=1 / self.rounds, rate=(self.rewind, 1.0))
