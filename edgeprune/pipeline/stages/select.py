"""Choose the units that go, so that the budget holds; the plan."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from edgeprune import files
from edgeprune.config import Recipe, Target
from edgeprune.errors import BudgetError, TargetError
from edgeprune.pipeline.cache import Finished
from edgeprune.pipeline.job import PLAN, SCORES, Job, preferred_alignment
from edgeprune.pipeline.stage import Findings, Space, Stage

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
        "budget": recipe.budget.aims.model_dump(mode="json"),
        "latency_table": None if table is None else files.sha256(table),
        "board": [target.limits, target.ms_per_mac if "latency_ms" in recipe.budget.aims.costs else None],
    }


def _run(job: Job, space: Space) -> Mapping[str, Any]:
    import numpy as np
    import torch

    from edgeprune import pruning

    check_table(job)
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
        latency = job.latency_model("latency_ms" in recipe.budget.aims.costs)
        return within(recipe.budget.aims, {} if latency is None else {"latency_ms": latency})

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
    budget = job.recipe.budget.aims
    table = job.target.latency_table if "latency_ms" in budget.costs else None
    latency = job.latency_model("latency_ms" in budget.costs)
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
        "limits": budget.limits(before),
        "removed_units": int(removed.sum()),
        "latency_table": None if table is None else files.sha256(table),
    }


def found(job: Job, values: Mapping[str, Any]) -> Findings:
    """The latency table that the plan rests on."""
    table = values["latency_table"]
    return {} if table is None else {("targets", job.target.name): {"latency_table": table}}


def _left(finished: Finished) -> Any:
    """What is left of the network, whatever it was chosen for: boards with other limits share its training."""
    plan = json.loads((finished.folder / PLAN).read_text(encoding="utf-8"))
    return {name: value for name, value in plan.items() if name != "origin"}


def check_table(job: Job) -> None:
    """Tell a latency table that is not the one of the lock, before a plan is made by it.

    Raises:
        TargetError: It is another, or gone.
    """
    table, locked = job.target.latency_table, job.lock.get("targets", job.target.name).get("latency_table")
    if locked is None or "latency_ms" not in job.recipe.budget.aims.costs:
        return
    if table is None or files.sha256(table) != locked:
        raise TargetError(
            f"{job.lock.path} was made with another latency table of {job.target.name} than "
            f"{table or 'targets/tables has now'}: bring that one back, or give --update-lock to take what there is"
        )


STAGE = Stage("select", "select", after=("score",), settings=_settings, run=_run, found=found, by_content=_left)
