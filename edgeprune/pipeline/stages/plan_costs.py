"""Collect the plan and the scores of the schedule, and compute the costs of the plan."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from edgeprune import files
from edgeprune.config import Recipe, Target
from edgeprune.pipeline.build_context import BuildContext
from edgeprune.pipeline.file_names import PLAN, SCORES
from edgeprune.pipeline.results.pruning_results import PlanResult, ScoreResult, SelectResult, TrainResult
from edgeprune.pipeline.stage import LockEntries, Stage, StageDir
from edgeprune.pipeline.stages import select_units


def _settings(recipe: Recipe, target: Target) -> Mapping[str, Any]:
    return select_units.settings(recipe, target)


def _run(
    context: BuildContext, stage_dir: StageDir, scored: ScoreResult, selected: SelectResult, trained: TrainResult
) -> PlanResult:
    from edgeprune.selection import Plan

    select_units.check_table(context)
    source = selected.plan or trained.plan
    assert source is not None, "one of the two stages makes the plan"
    plan = Plan.load(source)
    removed = plan.removed(context.units)
    before: dict[str, float] = asdict(plan.before)
    after: dict[str, float] = asdict(plan.after)
    budget = context.recipe.budget.pruning_targets
    table = context.target.latency_table if "latency_ms" in budget.costs else None
    latency = context.latency_model(required="latency_ms" in budget.costs)
    if latency is not None:
        before["latency_ms"] = latency.total()
        latency.remove(removed)
        after["latency_ms"] = latency.total()
    if context.target.limits:
        from edgeprune.pipeline.microcontrollers.memory_fitting import empty_mask, footprint

        before.update(footprint(context, empty_mask(context)).costs)
        after.update(footprint(context, removed).costs)
    scores = scored.scores or trained.scores
    return PlanResult(
        plan=_copied(source, stage_dir.out / PLAN),
        scores=None if scores is None else _copied(scores, stage_dir.out / SCORES),
        before=before,
        after=after,
        limits=budget.limits(before),
        removed_units=int(removed.sum()),
        latency_table=None if table is None else files.sha256(table),
    )


def _copied(file: Path, destination: Path) -> Path:
    shutil.copyfile(file, destination)
    return destination


def _content(result: PlanResult) -> Any:
    """Return removed units and scores without the origin, so that boards with other limits share later stages."""
    plan = json.loads(result.plan.read_text(encoding="utf-8"))
    del plan["origin"]
    return plan, None if result.scores is None else files.sha256(result.scores)


def _lock_entries(context: BuildContext, result: PlanResult) -> LockEntries:
    """Return the hash of the latency table of the plan."""
    table = result.latency_table
    return {} if table is None else {("targets", context.target.name): {"latency_table": table}}


STAGE = Stage("plan", "costs of the plan", _run, _settings, content=_content, lock_entries=_lock_entries)
