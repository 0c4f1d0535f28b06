"""History of fine-tuning, by epoch."""

from __future__ import annotations

import itertools
import statistics
from dataclasses import dataclass

from edgeprune.training.hyperparameters import Hyperparameters
from edgeprune.training.precision_and_layout import StepExecution

_FEWEST_EPOCHS = 4
_LEAST_GAIN = 0.005


@dataclass(frozen=True, kw_only=True)
class Epoch:
    """One pass over the training split.

    Attributes:
        number: From 1, over all stretches.
        stretch: Of training, from 1; one may end within an epoch.
        train_loss: Mean over the steps, with label smoothing.
        validation_loss: Mean cross entropy, or the mean of the user's loss.
        validation_accuracy: 0 to 1; what ``training.metric`` gives where there is one.
        seconds: Wall clock, validation included.
    """

    number: int
    stretch: int = 1
    train_loss: float
    validation_loss: float
    validation_accuracy: float
    seconds: float


@dataclass(frozen=True, kw_only=True)
class History:
    """All epochs.

    Attributes:
        epochs: In order; empty where nothing was trained.
        best_epoch: Place, from 1, of the epoch with the best validation accuracy in the last stretch, the last of
            several; 0 if the network before that stretch is better than all of them, or if there is none.
        start_accuracy: Validation accuracy of the network before the last stretch; None where it was not evaluated,
            as it could not have been what training ends with.
        hyperparameters: Batch size, epochs and learning rate; None if nothing was trained.
        rollbacks: How often training went wrong and was taken back.
        execution: How the steps were run; None if there was none.
    """

    epochs: tuple[Epoch, ...] = ()
    best_epoch: int = 0
    start_accuracy: float | None = None
    hyperparameters: Hyperparameters | None = None
    rollbacks: int = 0
    execution: StepExecution | None = None

    @property
    def kept_start(self) -> bool:
        """Whether the network before the last stretch is better than every epoch, and so what training ends with."""
        return self.start_accuracy is not None and self.best_epoch == 0

    @property
    def still_rising(self) -> bool | None:
        """Whether more epochs are likely to help; None: too few epochs to say.

        Of the epochs of the last stretch, the best validation accuracy in the last quarter must exceed that of all
        epochs before by more than the median change from one epoch to the next in the second half, and by more than
        half a percent.
        """
        last = self.epochs[-1].stretch if self.epochs else 0
        values = [epoch.validation_accuracy for epoch in self.epochs if epoch.stretch == last]
        if len(values) < _FEWEST_EPOCHS:
            return None
        quarter = len(values) // 4
        gain = max(values[-quarter:]) - max(values[:-quarter])
        second_half = values[len(values) // 2 - 1 :]
        change = statistics.median(abs(later - earlier) for earlier, later in itertools.pairwise(second_half))
        return gain > max(change, _LEAST_GAIN * abs(max(values)))
