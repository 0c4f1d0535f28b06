"""Check by numbers that the smaller network computes what it must."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from edgeprune.bundle.pruning_report import ProofReport
from edgeprune.config import Recipe, Target
from edgeprune.pipeline.context import BuildContext
from edgeprune.pipeline.results.pruning import PlanResult, ProofResult
from edgeprune.pipeline.stage import Space, Stage


def _settings(recipe: Recipe, _target: Target) -> Mapping[str, Any]:
    return {"prove": recipe.prune.prove}


def _run(context: BuildContext, _space: Space, plan: PlanResult) -> ProofResult:
    if not context.recipe.prune.prove:
        return ProofResult(report=ProofReport(proved=False))
    from edgeprune.graph import verify
    from edgeprune.graph.rewrite import rewrite

    removed = context.removed(plan)
    rewritten = rewrite(context.dense, context.units, removed)
    proof = verify(rewritten.model, context.units, removed, rewritten.kept)
    return ProofResult(report=ProofReport(proved=True, max_error=proof.max_error, exact=proof.exact))


STAGE = Stage("prove", "prove", _run, _settings)
