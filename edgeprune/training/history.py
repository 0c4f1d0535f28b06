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
        number: Number of the epoch, from 1, over all phases.
        phase: Number of the training phase, from 1. A phase may end within an epoch.
        train_loss: Mean training loss over the steps, with label smoothing.
        validation_loss: Mean cross entropy or mean of the user's loss on validation data.
        validation_accuracy: Accuracy on validation data, 0 to 1, or the value of ``training.metric``.
        lr: Learning rate of the last step.
        seconds: Wall-clock duration in seconds, including validation.
    """

    number: int
    phase: int = 1
    train_loss: float
    validation_loss: float
    validation_accuracy: float
    lr: float
    seconds: float


@dataclass(frozen=True, kw_only=True)
class History:
    """History of a training run.

    Attributes:
        epochs: Epochs in order; empty if nothing was trained.
        best_epoch: Position in ``epochs``, from 1, of the epoch with the best validation accuracy in the last phase;
            the last one of equals. 0 if the network before that phase is better than all of them, or without epochs.
        start_accuracy: Validation accuracy of the network before the last phase. None if it was not evaluated because
            training cannot end with it.
        hyperparameters: Optimizer, batch size, epochs and learning rate; None if nothing was trained.
        rollbacks: Number of rollbacks after divergence.
        execution: Precision and memory format of the steps; None if nothing was trained.
    """

    epochs: tuple[Epoch, ...] = ()
    best_epoch: int = 0
    start_accuracy: float | None = None
    hyperparameters: Hyperparameters | None = None
    rollbacks: int = 0
    execution: StepExecution | None = None

    @property
    def kept_start(self) -> bool:
        """Whether training ends with the network before the last phase, because it is better than every epoch."""
        return self.start_accuracy is not None and self.best_epoch == 0

    @property
    def still_rising(self) -> bool | None:
        """Whether more epochs are likely to help; None if there are fewer than four epochs.

        In the last phase, the best validation accuracy of the last quarter of epochs must exceed that of all earlier
        epochs by more than half a percent, and by more than the median change between consecutive epochs in the second
        half.
        """
        last = self.epochs[-1].phase if self.epochs else 0
        values = [epoch.validation_accuracy for epoch in self.epochs if epoch.phase == last]
        if len(values) < _FEWEST_EPOCHS:
            return None
        quarter = len(values) // 4
        gain = max(values[-quarter:]) - max(values[:-quarter])
        second_half = values[len(values) // 2 - 1 :]
        change = statistics.median(abs(later - earlier) for earlier, later in itertools.pairwise(second_half))
        return gain > max(change, _LEAST_GAIN * abs(max(values)))
