"""Results of the stages that evaluate a PyTorch network."""

from __future__ import annotations

from dataclasses import dataclass

from edgeprune.pipeline.stage_result import StageResult


@dataclass(frozen=True, kw_only=True)
class EvaluationResult(StageResult):
    """Quality of a PyTorch network on the reported split.

    Attributes:
        metric: ``accuracy``, the name of the user's metric, or ``-loss``.
        accuracy: Value of the metric; larger is better.
        loss: Mean loss.
        samples: Number of samples.
        correct: One bit per sample, 1 if its class is right, as hexadecimal text; empty if the network is not a
            classifier.
    """

    metric: str
    accuracy: float
    loss: float
    samples: int
    correct: str


@dataclass(frozen=True, kw_only=True)
class DenseEvaluationResult(EvaluationResult):
    """Quality of the dense network."""


@dataclass(frozen=True, kw_only=True)
class PrunedEvaluationResult(EvaluationResult):
    """Quality of the pruned and trained network."""
