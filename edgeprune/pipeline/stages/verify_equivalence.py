"""Check that the pruned network is equivalent to the dense network without the removed units."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from edgeprune.bundle.pruning_report import EquivalenceReport
from edgeprune.config import Recipe, Target
from edgeprune.pipeline.build_context import BuildContext
from edgeprune.pipeline.results.pruning_results import EquivalenceResult, PlanResult
from edgeprune.pipeline.stage import Stage, StageDir


def _settings(recipe: Recipe, _target: Target) -> Mapping[str, Any]:
    return {"verify": recipe.prune.verify}


def _run(context: BuildContext, _stage_dir: StageDir, plan: PlanResult) -> EquivalenceResult:
    if not context.recipe.prune.verify:
        return EquivalenceResult(report=EquivalenceReport(verified=False))
    from edgeprune.graph import verify_equivalence
    from edgeprune.graph.rewrite import rewrite

    removed = context.removed(plan)
    rewritten = rewrite(context.dense, context.units, removed)
    equivalence = verify_equivalence(rewritten.model, context.units, removed, rewritten.kept_indices)
    return EquivalenceResult(
        report=EquivalenceReport(verified=True, max_error=equivalence.max_error, exact=equivalence.exact)
    )


STAGE = Stage("verify-equivalence", "verify equivalence", _run, _settings)
