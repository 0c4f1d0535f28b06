"""Choose the units that go, so that the budget holds; the plan."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from edgeprune import files
from edgeprune.config import Recipe, Target
from edgeprune.errors import BudgetError, TargetError
from edgeprune.pipeline.cache import Finished
from edgeprune.pipeline.job import PLAN, SCORES, Job, preferred_alignment
from edgeprune.pipeline.stage import Findings, Space, Stage
from edgeprune.progress import SILENT, Progress

if TYPE_CHECKING:
    from torch import Tensor

    from edgeprune.candidates import Candidate
    from edgeprune.config import Budget
    from edgeprune.cost import CostModel
    from edgeprune.criteria import Criterion
    from edgeprune.select import Plan

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

    check_table(job)
    scores = torch.from_numpy(np.load(job.file("score", SCORES), allow_pickle=False))
    plan, removed = choose(job, job.candidate, job.criterion, scores, progress=space.progress)
    plan.save(space.out / PLAN)
    return reached(job, plan, removed)


def choose(
    job: Job, candidate: Candidate, criterion: Criterion, scores: Tensor, *, progress: Progress = SILENT
) -> tuple[Plan, Tensor]:
    """The plan of ``candidate`` by the ``scores`` of its ``criterion``, and the mask of the units that go, (units,).

    Where the recipe demands the alignment that the target prefers and the budget cannot be reached with it, any number
    of channels may remain.

    Raises:
        BudgetError: The budget cannot be reached; names the closest value.
    """
    from edgeprune import pruning

    def aligned(preferred: int) -> tuple[Plan, Tensor]:
        def within(budget: Budget, costs: Mapping[str, CostModel]) -> tuple[Plan, Tensor]:
            return pruning.choose(
                job.dense,
                job.units,
                scores,
                budget,
                criterion=criterion,
                selection=job.create_selection(candidate),
                constraints=job.constraints(job.units, preferred=preferred),
                samples=job.samples,
                costs=costs,
                seed=job.recipe.seed,
                progress=progress,
            )

        if job.target.limits:
            from edgeprune.pipeline.fitting import fit

            return fit(job, within)
        aims = job.recipe.budget.aims
        latency = job.latency_model("latency_ms" in aims.costs)
        return within(aims, {} if latency is None else {"latency_ms": latency})

    preferred = candidate.align if job.preferred_alignment > 1 else 1
    try:
        return aligned(preferred)
    except BudgetError:
        if preferred == 1 or job.recipe.prune.align == "auto":
            raise
        logger.warning("the budget cannot be reached with the channel counts that %s prefers", job.target.name)
        return aligned(1)


def reached(job: Job, plan: Plan, removed: Tensor) -> Mapping[str, Any]:
    """Costs before and after ``plan``, which removes the mask ``removed`` (units,), and the limits."""
    before: dict[str, float] = asdict(plan.before)
    after: dict[str, float] = asdict(plan.after)
    budget = job.recipe.budget.aims
    table = job.target.latency_table if "latency_ms" in budget.costs else None
    latency = job.latency_model("latency_ms" in budget.costs)
    if latency is not None:
        before["latency_ms"] = latency.total()
        latency.remove(removed)
        after["latency_ms"] = latency.total()
    if job.target.limits:
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
    """The plan without its origin, as boards with other limits share the training of the same network."""
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
