"""What fine-tuning did, epoch by epoch."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from edgeprune.training.execution import Execution


@dataclass(frozen=True, kw_only=True)
class Epoch:
    """One pass over the training split.

    Attributes:
        number: From 1.
        train_loss: Mean over the steps, with label smoothing.
        validation_loss: Mean cross entropy.
        validation_accuracy: 0 to 1.
        seconds: Wall clock, validation included.
    """

    number: int
    train_loss: float
    validation_loss: float
    validation_accuracy: float
    seconds: float


@dataclass(frozen=True, kw_only=True)
class History:
    """All epochs.

    Attributes:
        epochs: In order; empty where nothing was trained.
        best_epoch: Number of the epoch with the best validation accuracy, the last of several; 0 if there is none.
        execution: How the steps were run; None if there was none.
    """

    epochs: tuple[Epoch, ...] = ()
    best_epoch: int = 0
    execution: Execution | None = None

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)
