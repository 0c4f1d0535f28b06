"""Select the removed units so that the budget is met, for schedules that select all units before training."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from edgeprune import backends, files
from edgeprune.config import Recipe, Target
from edgeprune.errors import BudgetError, TargetError
from edgeprune.pipeline.build_context import BuildContext
from edgeprune.pipeline.build_settings import preferred_alignment
from edgeprune.pipeline.file_names import PLAN
from edgeprune.pipeline.results.pruning_results import CandidatesResult, ScoreResult, SelectResult
from edgeprune.pipeline.stage import Stage, StageDir
from edgeprune.pipeline.stages import export_onnx
from edgeprune.progress import SILENT, Progress

if TYPE_CHECKING:
    from torch import Tensor

    from edgeprune.candidates import Candidate
    from edgeprune.config import Budget
    from edgeprune.cost import CostModel
    from edgeprune.criteria import Criterion
    from edgeprune.selection import Plan

logger = logging.getLogger(__name__)


def settings(recipe: Recipe, target: Target) -> Mapping[str, Any]:
    """Return the settings that a plan depends on."""
    prune, table = recipe.prune, target.latency_table
    footprint = {
        "limits": target.limits,
        "export": dict(export_onnx.settings(recipe, target)),
        "conversion": dict(backends.for_target(target).conversion_settings(target)),
    }
    return {
        "selection": prune.selection,
        "options": dict(prune.selection_options),
        "min_units": prune.min_units,
        "align": prune.align,
        "preferred": preferred_alignment(recipe, target),
        "layers": [layer.model_dump(mode="json") for layer in prune.layers],
        "budget": recipe.budget.pruning_targets.model_dump(mode="json"),
        "latency_table": None if table is None else files.sha256(table),
        "ms_per_mac": target.ms_per_mac,
        "footprint": footprint if target.limits else None,
    }


def _run(context: BuildContext, stage_dir: StageDir, chosen: CandidatesResult, scored: ScoreResult) -> SelectResult:
    import numpy as np
    import torch

    if scored.scores is None:
        return SelectResult(plan=None)
    check_table(context)
    scores = torch.from_numpy(np.load(scored.scores, allow_pickle=False))
    candidate = context.candidate(chosen)
    plan, _ = choose(context, candidate, context.criterion(candidate.criterion), scores, progress=stage_dir.progress)
    plan.save(stage_dir.out / PLAN)
    return SelectResult(plan=stage_dir.out / PLAN)


def choose(
    context: BuildContext, candidate: Candidate, criterion: Criterion, scores: Tensor, *, progress: Progress = SILENT
) -> tuple[Plan, Tensor]:
    """Return the plan of ``candidate`` by the ``scores`` of its ``criterion``, and the mask of removed units, (units,).

    If the budget cannot be reached with the alignment that the target prefers, any number of channels is allowed,
    unless ``prune.align`` is "auto".

    Raises:
        BudgetError: The budget cannot be reached; names the closest value.
    """
    from edgeprune import pruning
    from edgeprune.selection import PlanMethod

    def plan_aligned(preferred: int) -> tuple[Plan, Tensor]:
        def plan_within(budget: Budget, costs: Mapping[str, CostModel]) -> tuple[Plan, Tensor]:
            method = PlanMethod(
                criterion=criterion,
                selection=context.selection(candidate),
                constraints=context.constraints(context.units, preferred=preferred),
                costs=costs,
                seed=context.recipe.seed,
            )
            return pruning.choose(
                context.dense, context.units, scores, budget, method, samples=context.samples, progress=progress
            )

        if context.target.limits:
            from edgeprune.pipeline.microcontrollers.memory_fitting import fit

            return fit(context, plan_within)
        budget = context.recipe.budget.pruning_targets
        latency = context.latency_model(required="latency_ms" in budget.costs)
        return plan_within(budget, {} if latency is None else {"latency_ms": latency})

    preferred = candidate.align if context.preferred_alignment > 1 else 1
    try:
        return plan_aligned(preferred)
    except BudgetError:
        if preferred == 1 or context.recipe.prune.align == "auto":
            raise
        logger.warning(
            "the budget cannot be reached with channel counts in multiples of %d, which %s prefers: using other counts",
            preferred,
            context.target.name,
        )
        return plan_aligned(1)


def check_table(context: BuildContext) -> None:
    """Check that the latency table of the target is the one in the lock.

    Raises:
        TargetError: The table differs or is missing.
    """
    table, locked = context.target.latency_table, context.lock.get("targets", context.target.name).get("latency_table")
    if locked is None or "latency_ms" not in context.recipe.budget.pruning_targets.costs:
        return
    if table is None or files.sha256(table) != locked:
        raise TargetError(
            f"{context.lock.path}: expected the latency table of {context.target.name} with the SHA-256 {locked}, but "
            f"{table or 'the table'} {'differs' if table else 'is missing'}: restore it, or use the current one with "
            "--update-lock"
        )


def _content(result: SelectResult) -> Any:
    """Return the plan without its origin, so that boards with other limits share the training of the same network."""
    if result.plan is None:
        return None
    plan = json.loads(result.plan.read_text(encoding="utf-8"))
    del plan["origin"]
    return plan


STAGE = Stage("select", "select", _run, settings, content=_content)
