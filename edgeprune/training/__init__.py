"""Evaluation and fine-tuning of pruned networks."""

from __future__ import annotations

from edgeprune.training.distillation import Teacher, is_accurate
from edgeprune.training.distributed import process_group
from edgeprune.training.evaluate import Evaluation, evaluate
from edgeprune.training.evaluator import Evaluator
from edgeprune.training.feature_distance import feature_layers
from edgeprune.training.finetune import finetune
from edgeprune.training.history import Epoch, History
from edgeprune.training.objective import Objective
from edgeprune.training.phase import Hook, Phase
from edgeprune.training.precision_and_layout import StepExecution
from edgeprune.training.trainer import Trainer

__all__ = [
    "Epoch",
    "Evaluation",
    "Evaluator",
    "History",
    "Hook",
    "Objective",
    "Phase",
    "StepExecution",
    "Teacher",
    "Trainer",
    "evaluate",
    "feature_layers",
    "finetune",
    "is_accurate",
    "process_group",
]
