"""What fine-tuning did, epoch by epoch."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from edgeprune.training.execution import Execution


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
            several; 0 if there is none.
        rollbacks: How often training went wrong and was taken back.
        execution: How the steps were run; None if there was none.
    """

    epochs: tuple[Epoch, ...] = ()
    best_epoch: int = 0
    rollbacks: int = 0
    execution: Execution | None = None

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)
