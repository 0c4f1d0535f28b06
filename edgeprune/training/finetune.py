"""Training of a network that has weights already, in one go."""

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
    """Train ``model`` on ``data.train`` for all epochs; see ``Trainer`` for how, and for the arguments.

    In the end it has the weights that ``settings.keep`` says, of the best epoch on ``data.validation`` or of the last,
    and is in eval mode. With 0 epochs nothing is done.

    Raises:
        DataError: An empty training split, labels out of range, inputs that are not finite.
        TrainingError: The loss left all bounds in spite of rollbacks (the best network stays in ``folder``), or
            ``folder`` belongs to another run.
    """
    if settings.epochs == 0:
        return History()
    trainer = Trainer(model, data, settings, seed=seed, folder=folder, teacher=teacher, base=base, progress=progress)
    trainer.train(Phase(share=1.0))
    return trainer.finish()
