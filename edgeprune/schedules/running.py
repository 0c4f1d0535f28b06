"""A schedule with the training that EdgePrune brings."""

from __future__ import annotations

from collections.abc import Callable

from torch import nn

from edgeprune.schedules.base import Schedule
from edgeprune.schedules.session import Session
from edgeprune.training import History, Trainer


def train(
    schedule: Schedule, session: Session, trainer: Trainer, *, before: Callable[[nn.Module], None] = lambda _model: None
) -> History:
    """Bring ``session`` within its budget as ``schedule`` says, with the steps of ``trainer``.

    An interrupted run goes on where it was: what was trained is not trained again, what was chosen is chosen again.

    Args:
        schedule: When units go.
        session: Of the network that ``trainer`` trains, which is changed in place.
        trainer: Fresh.
        before: Told of the network before each stretch, whose shape it keeps.

    Raises:
        InputError: The session lacks what the schedule looks at.
        BudgetError: The budget cannot be reached.
        TrainingError: As ``Trainer``.
    """
    schedule.check(session)
    session.optimizer = trainer.optimizer
    session.followers = trainer.followers
    for stretch in schedule.run(session):
        _follow(trainer, session)
        before(session.model)
        trainer.train(stretch)
    _follow(trainer, session)
    return trainer.finish()


def _follow(trainer: Trainer, session: Session) -> None:
    """Captured programs may have taken the place of the networks."""
    trainer.model = session.model
    if trainer.average is not None:
        (trainer.average.model,) = session.followers
