"""Evaluate the dense network, which the pruned one is compared with."""

from __future__ import annotations

from edgeprune.pipeline.build_context import BuildContext
from edgeprune.pipeline.results.evaluation_results import DenseEvaluationResult
from edgeprune.pipeline.results.loading_results import LoadResult
from edgeprune.pipeline.stage import Stage, StageDir
from edgeprune.pipeline.stages.evaluate_pruned import evaluated


def _run(context: BuildContext, space: StageDir) -> DenseEvaluationResult:
    return evaluated(context, context.dense, space, DenseEvaluationResult)


STAGE = Stage("evaluate-dense", "evaluate dense", _run, after=(LoadResult,))
