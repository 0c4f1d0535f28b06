"""Prune, put back the weights of early training, train again."""

from __future__ import annotations

from collections.abc import Iterator

from edgeprune.schedules.base import OPTIONS, Schedule, register
from edgeprune.schedules.iterative import exponential
from edgeprune.schedules.session import Session
from edgeprune.training.stretch import Stretch


@register
class WeightRewinding(Schedule):
    """Prune the trained network, put what is left back to its weights from early in training, and train it again.

    Training goes along the rest of the learning-rate curve, from where the early weights are from: ``rewind`` of it.
    ``rounds`` do so several times, each taking the same share of what is left. Frankle et al., "Stabilizing the Lottery
    Ticket Hypothesis" (2019); against fine-tuning Renda et al., "Comparing Rewinding and Fine-tuning in Neural Network
    Pruning" (2020).
    """

    name = "weight_rewinding"
    needs_early = True

    def __init__(self, rewind: float = 0.1, rounds: int = 1) -> None:
        self.rewind = OPTIONS.number("rewind", rewind, least=0, most=0.9)
        self.rounds = OPTIONS.integer("rounds", rounds, least=1)

    def run(self, session: Session) -> Iterator[Stretch]:
        for done in range(1, self.rounds + 1):
            # What a repair would write is not kept.
            session.prune(session.limits(exponential(done / self.rounds)), repair=False)
            session.rewind_to_early()
            yield Stretch(share=1 / self.rounds, rate=(self.rewind, 1.0))
