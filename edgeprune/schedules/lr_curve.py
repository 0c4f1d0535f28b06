"""Learning-rate curve of a user's own training loop."""

from __future__ import annotations

import copy
import warnings

from torch.optim.lr_scheduler import LRScheduler, ReduceLROnPlateau

from edgeprune.training.phase import Phase


class LrCurve:
    """Learning-rate curve of a scheduler, from its state at construction.

    Attributes:
        at: Current position on the curve, 0 to 1.
    """

    def __init__(self, scheduler: LRScheduler) -> None:
        self.at = 0.0
        self._scheduler = scheduler
        self._initial = copy.deepcopy(scheduler.state_dict())
        groups = scheduler.optimizer.param_groups
        self._settings = [{key: copy.copy(group[key]) for key in group if key != "params"} for group in groups]

    def enter(self, phase: Phase, steps: int) -> None:
        """Move the scheduler to the beginning of ``phase`` with ``steps`` steps, unless it is already there."""
        begin, end = phase.rate
        if begin == self.at:
            return
        self._scheduler.load_state_dict(copy.deepcopy(self._initial))
        for group, settings in zip(self._scheduler.optimizer.param_groups, self._settings, strict=True):
            group.update(settings)
        if isinstance(self._scheduler, ReduceLROnPlateau):  # has no predefined curve
            return
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # warnings of scheduler steps without an update
            for _ in range(round(begin / (end - begin) * steps)):
                self._scheduler.step()
