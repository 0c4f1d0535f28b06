"""Evaluate the pruned and trained network."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from edgeprune.pipeline.context import BuildContext
from edgeprune.pipeline.results.evaluating import EvaluationResult, PrunedEvaluationResult
from edgeprune.pipeline.results.pruning import PlanResult, TrainResult
from edgeprune.pipeline.stage import Space, Stage

if TYPE_CHECKING:
    from torch import nn

EvaluationT = TypeVar("EvaluationT", bound=EvaluationResult)


def evaluated(context: BuildContext, model: nn.Module, space: Space, kind: type[EvaluationT]) -> EvaluationT:
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


def _run(context: BuildContext, space: Space, plan: PlanResult, trained: TrainResult) -> PrunedEvaluationResult:
    return evaluated(context, context.pruned(plan, trained), space, PrunedEvaluationResult)


STAGE = Stage("evaluate", "evaluate pruned", _run)
