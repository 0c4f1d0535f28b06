"""The learning-rate curve of a training loop that is the user's own."""

from __future__ import annotations

import copy
import warnings

from torch.optim.lr_scheduler import LRScheduler, ReduceLROnPlateau

from edgeprune.training.phase import Phase


class LrCurve:
    """The learning-rate curve that a scheduler draws from the state it has now.

    Attributes:
        at: How much of the curve is behind.
    """

    def __init__(self, scheduler: LRScheduler) -> None:
        self.at = 0.0
        self._scheduler = scheduler
        self._initial = copy.deepcopy(scheduler.state_dict())
        groups = scheduler.optimizer.param_groups
        self._settings = [{key: copy.copy(group[key]) for key in group if key != "params"} for group in groups]

    def enter(self, phase: Phase, steps: int) -> None:
        """Go to where ``phase`` of so many steps begins, unless the last one ended there."""
        begin, end = phase.rate
        if begin == self.at:
            return
        self._scheduler.load_state_dict(copy.deepcopy(self._initial))
        for group, settings in zip(self._scheduler.optimizer.param_groups, self._settings, strict=True):
            group.update(settings)
        if isinstance(self._scheduler, ReduceLROnPlateau):  # draws no curve of its own
            return
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of steps of the scheduler without an update
            for _ in range(round(begin / (end - begin) * steps)):
                self._scheduler.step()
