"""Weight rewinding: prune, rewind the weights to an early state, and train again."""

from __future__ import annotations

from collections.abc import Iterator

from edgeprune.schedules.base import OPTIONS, Schedule, register
from edgeprune.schedules.iterative import exponential
from edgeprune.schedules.session import PruningSession
from edgeprune.training.phase import Phase


@register
class WeightRewinding(Schedule):
    """Prune the trained network, rewind the remaining weights to those from early in its training, and train it again.

    Training follows the rest of the learning-rate curve, from the fraction ``rewind`` that the early weights come from.
    This is repeated in ``rounds``, each of which removes the same fraction of the remaining cost. Frankle et al.,
    "Stabilizing the Lottery Ticket Hypothesis" (2019); compared with fine-tuning in Renda et al., "Comparing Rewinding
    and Fine-tuning in Neural Network Pruning" (2020).
    """

    name = "weight_rewinding"
    needs_rewind_weights = True

    def __init__(self, rewind: float = 0.1, rounds: int = 1) -> None:
        self.rewind = OPTIONS.number("rewind", rewind, least=0, most=0.9)
        self.rounds = OPTIONS.integer("rounds", rounds, least=1)

    def run(self, session: PruningSession) -> Iterator[Phase]:
        for done in range(1, self.rounds + 1):
            # Rewinding would overwrite the weights of a repair.
            session.prune(session.limits(exponential(done / self.rounds)), repair=False)
            session.load_rewind_weights()
            yield Phase(fraction=1 / self.rounds, rate=(self.rewind, 1.0))
