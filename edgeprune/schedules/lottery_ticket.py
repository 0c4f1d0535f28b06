"""Lottery tickets: repeated training, pruning and rewinding to early weights."""

from __future__ import annotations

from collections.abc import Iterator

from edgeprune.model.seeding import derive_seed
from edgeprune.schedules.base import OPTIONS, Schedule, register
from edgeprune.schedules.iterative import exponential
from edgeprune.schedules.session import PruningSession
from edgeprune.training.phase import Phase


@register
class LotteryTicket(Schedule):
    """Train from initial weights, prune, rewind to early weights of this training, and train the remaining network.

    Each of ``rounds`` removes the same fraction of the remaining cost. ``rewind`` is the fraction of the first training
    after which the weights to rewind to are saved; 0 saves the initial weights. Every training has the same length.
    Frankle & Carbin, "The Lottery Ticket Hypothesis" (2019); rewinding to early weights instead of initial ones is from
    Frankle et al., "Stabilizing the Lottery Ticket Hypothesis" (2019).

    With ``control``, a random ticket is trained at the end instead: it has the same number of units in each group, and
    new initial weights. Units of a group are initialized alike, so it does not matter which of them remain.
    """

    name = "lottery_ticket"
    starts = "initial"

    def __init__(self, rounds: int = 3, rewind: float = 0.1, control: bool = False) -> None:
        self.rounds = OPTIONS.integer("rounds", rounds, least=1)
        self.rewind = OPTIONS.number("rewind", rewind, least=0, most=0.9)
        self.control = OPTIONS.boolean("control", control)

    def run(self, session: PruningSession) -> Iterator[Phase]:
        remainder = 1 - self.rewind
        # The beginning is trained once. The remainder is trained in every round, and then for the ticket.
        one = 1 / (self.rewind + remainder * self.rounds + (1 if self.control else remainder))
        if self.rewind:
            yield Phase(fraction=one * self.rewind, rate=(0.0, self.rewind))
        rewind_point = session.snapshot()
        training = Phase(fraction=one * remainder, rate=(self.rewind, 1.0))
        for done in range(1, self.rounds + 1):
            yield training
            session.prune(session.limits(exponential(done / self.rounds)), repair=False)
            session.rewind(rewind_point)
        if self.control:
            session.reinitialize(derive_seed(session.seed, 1))  # the session's seed may have been used before
            yield Phase(fraction=one)
        else:
            yield training
