"""Evaluate the dense network, as the baseline of the pruned one."""

from __future__ import annotations

from edgeprune.pipeline.build_context import BuildContext
from edgeprune.pipeline.results.evaluation_results import DenseEvaluationResult
from edgeprune.pipeline.results.loading_results import LoadResult
from edgeprune.pipeline.stage import Stage, StageDir
from edgeprune.pipeline.stages.evaluate_pruned import evaluate_network


def _run(context: BuildContext, stage_dir: StageDir) -> DenseEvaluationResult:
    return evaluate_network(context, context.dense, stage_dir, DenseEvaluationResult)


STAGE = Stage("evaluate-dense", "evaluate dense", _run, after=(LoadResult,))
