"""Fine-tuning of a network in a single phase."""

from __future__ import annotations

from pathlib import Path

from torch import nn

from edgeprune.config import TrainingSettings
from edgeprune.model.data import Data
from edgeprune.progress import SILENT, Progress
from edgeprune.training.distillation import Teacher
from edgeprune.training.history import History
from edgeprune.training.phase import Phase
from edgeprune.training.trainer import Trainer


def finetune(
    model: nn.Module,
    data: Data,
    settings: TrainingSettings,
    *,
    seed: int = 0,
    folder: Path,
    teacher: Teacher | None = None,
    base: Path | None = None,
    progress: Progress = SILENT,
) -> History:
    """Train ``model`` on ``data.train`` for all epochs; see ``Trainer`` for the method and the arguments.

    Afterwards, ``model`` is in eval mode. Its weights are those of the best epoch on ``data.validation`` or of the last
    epoch, as ``settings.keep`` says. With 0 epochs, ``model`` is unchanged.

    Raises:
        DataError: The training split is empty, labels are out of range, or inputs are not finite.
        TrainingError: The loss diverged after all rollbacks (the best network remains in ``folder``), or ``folder``
            belongs to another run.
    """
    if settings.epochs == 0:
        return History()
    trainer = Trainer(model, data, settings, seed=seed, folder=folder, teacher=teacher, base=base, progress=progress)
    trainer.train(Phase(fraction=1.0))
    return trainer.finish()
