"""Evaluation and fine-tuning of a network that is already pruned."""

from __future__ import annotations

from edgeprune.training.distillation import Teacher, feature_layers, fits
from edgeprune.training.evaluate import Evaluation, evaluate
from edgeprune.training.execution import Execution
from edgeprune.training.finetune import finetune
from edgeprune.training.history import Epoch, History
from edgeprune.training.judge import Judge
from edgeprune.training.objective import Objective
from edgeprune.training.processes import processes
from edgeprune.training.stretch import Hook, Stretch
from edgeprune.training.trainer import Trainer

__all__ = [
    "Epoch",
    "Evaluation",
    "Execution",
    "History",
    "Hook",
    "Judge",
    "Objective",
    "Stretch",
    "Teacher",
    "Trainer",
    "evaluate",
    "feature_layers",
    "finetune",
    "fits",
    "processes",
]
