"""Runs a schedule as a trainer does: phase by phase, its hook around every update."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.nn import functional

from edgeprune.model.batches import training_steps
from edgeprune.model.data import Split
from edgeprune.model.seeding import seeded
from edgeprune.schedules import PruningSession, Schedule
from edgeprune.training.phase import Hook


@dataclass
class Moment:
    """All that a run needs to go on after update ``step`` of phase ``phase``, the hook not yet told of its end."""

    phase: int
    step: int
    model: dict[str, Any]
    optimizer: dict[str, Any]
    hook: dict[str, Any]


def drive(
    schedule: Schedule,
    session: PruningSession,
    split: Split,
    steps: int,
    *,
    lr: float = 0.05,
    batch_size: int = 64,
    seed: int = 0,
    calls: Callable[[int, int, nn.Module], None] | None = None,
    stop: tuple[int, int] | None = None,
    resume: list[Moment] | None = None,
) -> list[Moment]:
    """Train ``session.model`` for ``steps`` updates in all, as ``schedule`` says.

    Args:
        schedule: Says what is done between and within the phases.
        session: Of the network; without an optimiser it gets SGD with momentum.
        split: Read over and over, shuffled and augmented by ``seed``.
        steps: Of all phases.
        lr: At the start of a curve, which falls to zero along half a cosine.
        batch_size: Of an update.
        seed: Of batches and dropout.
        seen: Told after every update of the phase, the update and the model.
        stop: Phase and update to stop after.
        resume: What an earlier call returned: its phases are taken up where they ended.

    Returns:
        The last moment of each phase.
    """
    if session.optimizer is None:
        session.optimizer = torch.optim.SGD(session.model.parameters(), lr, momentum=0.9, weight_decay=5e-4)
    optimizer = session.optimizer
    moments: list[Moment] = []
    per_epoch = training_steps(len(split), batch_size)
    done = 0
    for number, phase in enumerate(schedule.run(session)):
        updates = round(phase.fraction * steps)
        hook = phase.hook or Hook()
        if phase.reset_optimizer:
            optimizer.state.clear()
        hook.begin(updates)
        first = 0
        if resume and number < len(resume):
            moment = resume[number]
            session.model.load_state_dict(moment.model)
            optimizer.load_state_dict(copy.deepcopy(moment.optimizer))
            hook.load_state_dict(moment.hook)
            first = moment.step + 1
        session.model.train()
        for step in range(first, updates):
            low, high = phase.rate
            for group in optimizer.param_groups:
                group["lr"] = lr * 0.5 * (1 + math.cos(math.pi * (low + (high - low) * step / updates)))
            epoch, at = divmod(done + step, per_epoch)
            inputs, labels = next(split.batches(batch_size, rng_key=(seed, epoch), start=at))
            optimizer.zero_grad()
            with seeded(seed, done + step):
                functional.cross_entropy(session.model(inputs), labels).backward()
            hook.before_update(step)
            optimizer.step()
            hook.after_update(step)
            if calls is not None:
                calls(number, step, session.model)
            if stop == (number, step):
                return [*moments, _moment(number, step, session, hook)]
        moments.append(_moment(number, updates - 1, session, hook))
        hook.end()
        session.model.eval()
        done += updates
    return moments


def _moment(number: int, step: int, session: PruningSession, hook: Hook) -> Moment:
    assert session.optimizer is not None
    state = session.model.state_dict(), session.optimizer.state_dict(), hook.state_dict()
    return Moment(number, step, *copy.deepcopy(state))
