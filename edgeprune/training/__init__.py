"""Evaluation and fine-tuning of a network that is already pruned."""

from __future__ import annotations

from edgeprune.training.evaluate import Evaluation, evaluate
from edgeprune.training.execution import Execution
from edgeprune.training.finetune import finetune
from edgeprune.training.history import Epoch, History

__all__ = ["Epoch", "Evaluation", "Execution", "History", "evaluate", "finetune"]
