"""Pruning schedule with EdgePrune's own trainer."""

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
    """Prune ``session`` to its budget by ``schedule``, with training in between.

    An interrupted run resumes: finished training is loaded, and units are chosen again with the same result.

    Args:
        schedule: Decides when units are removed.
        session: The network, which is changed in place.
        trainer_of: Function from the network before the first phase to its trainer. None: nothing is trained.
        before: Function that is called with the network before each training phase.

    Returns:
        History of the training; None if nothing is trained.

    Raises:
        InputError: The session lacks an input that the schedule needs.
        BudgetError: The budget cannot be reached.
        TrainingError: See ``Trainer``.
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
    """Update the networks of the trainer, which captured programs may have replaced."""
    trainer.network.model = session.model
    if trainer.network.average is not None:
        (trainer.network.average.model,) = session.followers
