"""Run a schedule that selects units before, during or after training."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

from edgeprune.config import Recipe, Target
from edgeprune.pipeline import resumable_schedule
from edgeprune.pipeline.build_context import BuildContext
from edgeprune.pipeline.results.pruning_results import CandidatesResult, SelectResult, TrainResult
from edgeprune.pipeline.stage import Results, Stage, StageDir
from edgeprune.pipeline.stages import select_units

if TYPE_CHECKING:
    from torch import Tensor, nn

    from edgeprune.config import Budget
    from edgeprune.cost import CostModel
    from edgeprune.graph import Units


def _settings(recipe: Recipe, target: Target) -> Mapping[str, Any]:
    return {**resumable_schedule.settings(recipe), "select": dict(select_units.settings(recipe, target))}


def _run(context: BuildContext, stage_dir: StageDir, chosen: CandidatesResult) -> TrainResult:
    from edgeprune.schedules import Choice

    select_units.check_table(context)
    prune, candidate, preferred = context.recipe.prune, context.candidate(chosen), context.preferred_alignment
    budget, costs = _budget_and_costs(context)
    choice = Choice(
        context.criterion(candidate.criterion),
        context.selection(candidate),
        context.repairs(compared=bool(chosen.compared)),
        constraints=lambda units: context.constraints(units, preferred=preferred),
        relaxed=None if preferred == 1 else context.constraints,
        exclude=prune.exclude,
        attention=prune.attention,
        costs=costs,
        measured=_measured(context),
        verify=prune.verify,
    )
    model = context.network(seed=context.recipe.seed, trained=chosen.starts_trained)
    return resumable_schedule.run_schedule(
        context, stage_dir, resumable_schedule.create_session(context, model, choice, budget)
    )


def _budget_and_costs(context: BuildContext) -> tuple[Budget, Mapping[str, CostModel]]:
    """Return the budget, with those limits of a microcontroller that the dense network exceeds, and its cost models."""
    budget = context.recipe.budget.pruning_targets
    if not context.target.limits:
        latency = context.latency_model(required="latency_ms" in budget.costs)
        return budget, {} if latency is None else {"latency_ms": latency}
    from edgeprune.pipeline.microcontrollers import memory_fitting

    dense = memory_fitting.footprint(context, memory_fitting.empty_mask(context))
    limits = memory_fitting.limits(context, dense)
    exceeded = {name: limit for name, limit in limits.items() if name in budget.costs or dense.costs[name] > limit}
    return budget.model_copy(update=exceeded), memory_fitting.board_costs(context, dense)


def _measured(context: BuildContext) -> Callable[[nn.Module, Units, Tensor], Mapping[str, float]] | None:
    if not context.target.limits:
        return None
    from edgeprune.pipeline.microcontrollers import memory_fitting

    return partial(memory_fitting.measured, context)


def _is_needed(results: Results) -> bool:
    return results[SelectResult].plan is None


STAGE = Stage(
    "prune-while-training",
    "prune and train",
    _run,
    _settings,
    after=(SelectResult,),
    all_processes=True,
    is_needed=_is_needed,
    lock_entries=resumable_schedule.lock_entries,
)
