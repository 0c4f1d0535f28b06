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


def evaluate_network(
    context: BuildContext, model: nn.Module, stage_dir: StageDir, kind: type[EvaluationT]
) -> EvaluationT:
    """Evaluate ``model`` on the reported split, by accuracy or by the recipe's metric or loss."""
    evaluator = context.evaluator(context.reported_split)
    score = evaluator(model, progress=stage_dir.progress)
    return kind(
        metric=evaluator.metric,
        accuracy=score.accuracy,
        loss=score.loss,
        samples=score.samples,
        correct=score.correct.hex(),
    )


def _run(context: BuildContext, stage_dir: StageDir, plan: PlanResult, trained: TrainResult) -> PrunedEvaluationResult:
    return evaluate_network(context, context.pruned(plan, trained), stage_dir, PrunedEvaluationResult)


STAGE = Stage("evaluate", "evaluate pruned", _run)
