"""Search a small network that trains as well as the dense one, among those that training and pruning lead to."""

from __future__ import annotations

from collections.abc import Iterator

from edgeprune.model.randomness import derive_seed
from edgeprune.schedules.base import OPTIONS, Schedule, register
from edgeprune.schedules.iterative import exponential
from edgeprune.schedules.session import Session
from edgeprune.training.stretch import Stretch


@register
class LotteryTicket(Schedule):
    """From fresh weights: train, prune, put what is left back to weights from early in this training; train the ticket.

    Every one of ``rounds`` takes the same share of what is left. ``rewind`` is the part of the first training after
    which the weights are kept; 0 keeps the fresh ones. Every training is equally long. Frankle & Carbin, "The Lottery
    Ticket Hypothesis" (2019); rewinding to early weights instead of fresh ones Frankle et al., "Stabilizing the Lottery
    Ticket Hypothesis" (2019).

    With ``control`` a random ticket is trained in the end instead: as many units of each group, with fresh weights. As
    the units of a group are drawn alike, it is no matter which of them stay.
    """

    name = "lottery_ticket"
    starts = "fresh"

    def __init__(self, rounds: int = 3, rewind: float = 0.1, control: bool = False) -> None:
        self.rounds = OPTIONS.integer("rounds", rounds, least=1)
        self.rewind = OPTIONS.number("rewind", rewind, least=0, most=0.9)
        self.control = OPTIONS.boolean("control", control)

    def run(self, session: Session) -> Iterator[Stretch]:
        rest = 1 - self.rewind
        # The beginning is trained once, the rest in every round, and then the ticket.
        one = 1 / (self.rewind + rest * self.rounds + (1 if self.control else rest))
        if self.rewind:
            yield Stretch(share=one * self.rewind, rate=(0.0, self.rewind))
        early = session.snapshot()
        again = Stretch(share=one * rest, rate=(self.rewind, 1.0))
        for done in range(1, self.rounds + 1):
            yield again
            session.prune(session.limits(exponential(done / self.rounds)), repair=False)
            session.rewind(early)
        if self.control:
            session.begin_anew(derive_seed(session.seed, 1))  # of the session's seed may be what training began with
            yield Stretch(share=one)
        else:
            yield again
