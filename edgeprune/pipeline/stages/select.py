"""Choose the units that go, so that the budget holds; the plan."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from edgeprune import files
from edgeprune.config import Recipe, Target
from edgeprune.errors import BudgetError
from edgeprune.pipeline.job import PLAN, SCORES, Job, preferred_alignment
from edgeprune.pipeline.stage import Space, Stage

if TYPE_CHECKING:
    from torch import Tensor

    from edgeprune.config import Budget
    from edgeprune.cost import CostModel
    from edgeprune.select import Constraint, Plan

logger = logging.getLogger(__name__)


def _settings(recipe: Recipe, target: Target) -> Mapping[str, Any]:
    prune, table = recipe.prune, target.latency_table
    return {
        "select": prune.select,
        "options": dict(prune.select_options),
        "floor": prune.floor,
        "align": prune.align,
        "preferred": preferred_alignment(recipe, target),
        "layers": [layer.model_dump(mode="json") for layer in prune.layers],
        "budget": recipe.budget.model_dump(mode="json"),
        "latency_table": None if table is None else files.sha256(table),
        "board": [target.limits, target.ms_per_mac if "latency_ms" in recipe.budget.costs else None],
    }


def _run(job: Job, space: Space) -> Mapping[str, Any]:
    import numpy as np
    import torch

    from edgeprune import pruning

    recipe = job.recipe
    scores = torch.from_numpy(np.load(job.file("score", SCORES), allow_pickle=False))

    def choose(constraints: Sequence[Constraint]) -> tuple[Plan, Tensor]:
        def within(budget: Budget, costs: Mapping[str, CostModel]) -> tuple[Plan, Tensor]:
            return pruning.choose(
                job.dense,
                job.units,
                scores,
                budget,
                criterion=job.criterion,
                selection=job.selection,
                constraints=constraints,
                samples=job.samples,
                costs=costs,
                seed=recipe.seed,
                progress=space.progress,
            )

        if job.target.microcontroller is not None:
            from edgeprune.pipeline.fitting import fit

            return fit(job, within)
        latency = job.latency_model("latency_ms" in recipe.budget.costs)
        return within(recipe.budget, {} if latency is None else {"latency_ms": latency})

    try:
        plan, removed = choose(job.constraints(job.units, preferred=True))
    except BudgetError:
        if job.preferred_alignment == 1:
            raise
        logger.warning("the budget cannot be reached with the channel counts that %s prefers", job.target.name)
        plan, removed = choose(job.constraints(job.units, preferred=False))
    plan.save(space.out / PLAN)
    return reached(job, plan, removed)


def reached(job: Job, plan: Plan, removed: Tensor) -> Mapping[str, Any]:
    """What ``plan``, which takes the ``removed`` units (units,), makes of every cost; and the limits."""
    before: dict[str, float] = asdict(plan.before)
    after: dict[str, float] = asdict(plan.after)
    latency = job.latency_model("latency_ms" in job.recipe.budget.costs)
    if latency is not None:
        before["latency_ms"] = latency.total()
        latency.remove(removed)
        after["latency_ms"] = latency.total()
    if job.target.microcontroller is not None:
        from edgeprune.pipeline.fitting import footprint, whole

        before.update(footprint(job, whole(job)).costs)
        after.update(footprint(job, removed).costs)
    return {
        "before": before,
        "after": after,
        "limits": job.recipe.budget.limits(before),
        "removed_units": int(removed.sum()),
    }


STAGE = Stage("select", "select", after=("score",), settings=_settings, run=_run, by_content=True)
