"""Choose the units that go, so that the budget holds; the plan."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from edgeprune import files
from edgeprune.config import Recipe, Target
from edgeprune.errors import BudgetError
from edgeprune.pipeline.job import PLAN, SCORES, Job
from edgeprune.pipeline.stage import Space, Stage

if TYPE_CHECKING:
    from torch import Tensor

    from edgeprune.select import Constraint, Plan

logger = logging.getLogger(__name__)


def _settings(recipe: Recipe, target: Target) -> Mapping[str, Any]:
    prune, table = recipe.prune, target.latency_table
    return {
        "select": prune.select,
        "options": dict(prune.select_options),
        "floor": prune.floor,
        "align": prune.align,
        "preferred": _preferred(recipe, target),
        "layers": [layer.model_dump(mode="json") for layer in prune.layers],
        "budget": recipe.budget.model_dump(mode="json"),
        "latency_table": None if table is None else files.sha256(table),
    }


def _run(job: Job, space: Space) -> Mapping[str, Any]:
    import numpy as np
    import torch

    from edgeprune import pruning
    from edgeprune.select import prefer_alignment, resolve

    recipe = job.recipe
    prune = recipe.prune
    scores = torch.from_numpy(np.load(job.file("score", SCORES), allow_pickle=False))
    latency = job.latency_model("latency_ms" in recipe.budget.costs)
    demanded = resolve(
        job.units, floor=prune.floor, align=1 if prune.align == "target" else prune.align, layers=prune.layers
    )

    def choose(constraints: Sequence[Constraint]) -> tuple[Plan, Tensor]:
        return pruning.choose(
            job.dense,
            job.units,
            scores,
            recipe.budget,
            criterion=job.criterion,
            selection=job.selection,
            constraints=constraints,
            samples=job.samples,
            costs={} if latency is None else {"latency_ms": latency},
            seed=recipe.seed,
            progress=space.progress,
        )

    try:
        plan, removed = choose(prefer_alignment(job.units, demanded, _preferred(recipe, job.target)))
    except BudgetError:
        if _preferred(recipe, job.target) == 1:
            raise
        logger.warning("the budget cannot be reached with the channel counts that %s prefers", job.target.name)
        plan, removed = choose(demanded)
    plan.save(space.out / PLAN)
    before: dict[str, float] = asdict(plan.before)
    after: dict[str, float] = asdict(plan.after)
    if latency is not None:
        before["latency_ms"] = latency.total()
        latency.remove(removed)
        after["latency_ms"] = latency.total()
    return {
        "before": before,
        "after": after,
        "limits": recipe.budget.limits(before),
        "removed_units": int(removed.sum()),
    }


def _preferred(recipe: Recipe, target: Target) -> int:
    return target.runtime.align if recipe.prune.align == "target" else 1


STAGE = Stage("select", "select", after=("score",), settings=_settings, run=_run)
