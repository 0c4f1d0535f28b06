"""Choose the units that go, so that the budget holds; the plan."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from edgeprune import files
from edgeprune.config import Recipe, Target
from edgeprune.pipeline.job import PLAN, SCORES, Job
from edgeprune.pipeline.stage import Space, Stage


def _settings(recipe: Recipe, target: Target) -> Mapping[str, Any]:
    prune, table = recipe.prune, target.latency_table
    return {
        "select": prune.select,
        "options": dict(prune.select_options),
        "floor": prune.floor,
        "align": _alignment(recipe, target),
        "layers": [layer.model_dump(mode="json") for layer in prune.layers],
        "budget": recipe.budget.model_dump(mode="json"),
        "latency_table": None if table is None else files.sha256(table),
    }


def _run(job: Job, space: Space) -> Mapping[str, Any]:
    import numpy as np
    import torch

    from edgeprune import pruning
    from edgeprune.select import resolve

    recipe = job.recipe
    prune = recipe.prune
    scores = torch.from_numpy(np.load(job.file("score", SCORES), allow_pickle=False))
    latency = job.latency_model("latency_ms" in recipe.budget.costs)
    plan, removed = pruning.choose(
        job.dense,
        job.units,
        scores,
        recipe.budget,
        criterion=job.criterion,
        selection=job.selection,
        constraints=resolve(job.units, floor=prune.floor, align=_alignment(recipe, job.target), layers=prune.layers),
        samples=job.samples,
        costs={} if latency is None else {"latency_ms": latency},
        seed=recipe.seed,
        progress=space.progress,
    )
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


def _alignment(recipe: Recipe, target: Target) -> int:
    align = recipe.prune.align
    return target.runtime.align if align == "target" else align


STAGE = Stage("select", "select", after=("score",), settings=_settings, run=_run)
