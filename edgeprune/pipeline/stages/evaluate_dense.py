"""Evaluate the dense network, which the pruned one is compared with."""

from __future__ import annotations

from edgeprune.pipeline.context import BuildContext
from edgeprune.pipeline.results.evaluating import DenseEvaluationResult
from edgeprune.pipeline.results.loading import LoadResult
from edgeprune.pipeline.stage import Space, Stage
from edgeprune.pipeline.stages.evaluate import evaluated


def _run(context: BuildContext, space: Space) -> DenseEvaluationResult:
    return evaluated(context, context.dense, space, DenseEvaluationResult)


STAGE = Stage("evaluate-dense", "evaluate dense", _run, after=(LoadResult,))
