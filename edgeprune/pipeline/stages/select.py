"""Choose the units that go, so that the budget holds; the plan."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from edgeprune.config import Recipe, Target
from edgeprune.pipeline.job import PLAN, SCORES, Job
from edgeprune.pipeline.stage import Space, Stage


def _settings(recipe: Recipe, _target: Target) -> Mapping[str, Any]:
    return {"select": recipe.prune.select, "budget": recipe.budget.model_dump(mode="json")}


def _run(job: Job, space: Space) -> Mapping[str, Any]:
    import numpy as np
    import torch

    from edgeprune.cost import CostModel, cost_of
    from edgeprune.select import Plan, select_global

    recipe, units = job.recipe, job.units
    scores = torch.from_numpy(np.load(job.file("score", SCORES), allow_pickle=False))
    before = cost_of(units, job.dense)
    limits = recipe.budget.limits({"macs": before.macs, "params": before.params})
    costs = {name: CostModel.of(name, units, job.dense) for name in limits}
    removed = select_global(units, scores, costs, limits)
    after = cost_of(units, job.dense, removed)
    plan = Plan.of(
        job.dense,
        units.kept(removed),
        before=before,
        after=after,
        exclude=recipe.prune.exclude,
        origin={
            "criterion": recipe.prune.criterion,
            "budget": recipe.budget.model_dump(exclude_none=True),
            "seed": recipe.seed,
        },
    )
    plan.save(space.out / PLAN)
    return {
        "before": asdict(before),
        "after": asdict(after),
        "limits": limits,
        "removed_units": int(removed.sum()),
    }


STAGE = Stage("select", "select", after=("score",), settings=_settings, run=_run)
