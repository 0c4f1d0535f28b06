"""Evaluate the pruned and trained network."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from edgeprune.pipeline.build_context import BuildContext
from edgeprune.pipeline.results.evaluation_results import EvaluationResult, PrunedEvaluationResult
from edgeprune.pipeline.results.pruning_results import PlanResult, TrainResult
from edgeprune.pipeline.stage import Stage, StageDir

if TYPE_CHECKING:
    from torch import nn

EvaluationT = TypeVar("EvaluationT", bound=EvaluationResult)


def evaluated(context: BuildContext, model: nn.Module, space: StageDir, kind: type[EvaluationT]) -> EvaluationT:
    """Evaluate ``model`` on the reported split, by accuracy or by the recipe's metric or loss."""
    judge = context.judge(context.reported_split)
    found = judge(model, progress=space.progress)
    return kind(
        metric=judge.metric,
        accuracy=found.accuracy,
        loss=found.loss,
        samples=found.samples,
        correct=found.correct.hex(),
    )


def _run(context: BuildContext, space: StageDir, plan: PlanResult, trained: TrainResult) -> PrunedEvaluationResult:
    return evaluated(context, context.pruned(plan, trained), space, PrunedEvaluationResult)


STAGE = Stage("evaluate", "evaluate pruned", _run)
