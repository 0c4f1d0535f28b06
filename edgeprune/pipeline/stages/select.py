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

    from edgeprune.select import make_plan

    recipe = job.recipe
    scores = torch.from_numpy(np.load(job.file("score", SCORES), allow_pickle=False))
    origin = {"criterion": recipe.prune.criterion, "seed": recipe.seed}
    plan, removed = make_plan(job.dense, job.units, scores, recipe.budget, origin=origin)
    plan.save(space.out / PLAN)
    return {
        "before": asdict(plan.before),
        "after": asdict(plan.after),
        "limits": recipe.budget.limits(asdict(plan.before)),
        "removed_units": int(removed.sum()),
    }


STAGE = Stage("select", "select", after=("score",), settings=_settings, run=_run)
