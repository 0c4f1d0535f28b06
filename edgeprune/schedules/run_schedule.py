"""A schedule with the training that EdgePrune brings."""

from __future__ import annotations

from collections.abc import Callable

from torch import nn

from edgeprune.schedules.base import Schedule
from edgeprune.schedules.session import PruningSession
from edgeprune.training import History, Trainer


def train(
    schedule: Schedule,
    session: PruningSession,
    trainer_of: Callable[[nn.Module], Trainer] | None,
    *,
    before: Callable[[nn.Module], None] = lambda _model: None,
) -> History | None:
    """Bring ``session`` within its budget as ``schedule`` says.

    An interrupted run resumes: what was trained is not trained again, what was chosen is chosen again.

    Args:
        schedule: Decides when units are removed.
        session: The network, which is changed in place.
        trainer_of: Makes the trainer of the network as it is before the first phase; None: nothing is trained.
        before: Called with the network before each phase of training, during which its shape stays.

    Returns:
        History of the training; None if nothing is trained.

    Raises:
        InputError: The session lacks what the schedule looks at.
        BudgetError: The budget cannot be reached.
        TrainingError: As ``Trainer``.
    """
    schedule.check(session)
    trainer: Trainer | None = None
    for phase in schedule.run(session):
        if trainer_of is None:
            continue
        before(session.model)
        if trainer is None:
            trainer = trainer_of(session.model)
            session.optimizer, session.followers = trainer.network.optimizer, trainer.network.followers
        _follow(trainer, session)
        trainer.train(phase)
    if trainer is None:
        return None
    _follow(trainer, session)
    return trainer.finish()


def _follow(trainer: Trainer, session: PruningSession) -> None:
    """Captured programs may have taken the place of the networks."""
    trainer.network.model = session.model
    if trainer.network.average is not None:
        (trainer.network.average.model,) = session.followers
