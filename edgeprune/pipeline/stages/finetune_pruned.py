"""Remove the units of the plan and fine-tune, for schedules that select all units before training."""

from __future__ import annotations

from edgeprune.pipeline import resumable_schedule
from edgeprune.pipeline.build_context import BuildContext
from edgeprune.pipeline.results.pruning_results import CandidatesResult, SelectResult, TrainResult
from edgeprune.pipeline.stage import Results, Stage, StageDir


def _run(context: BuildContext, stage_dir: StageDir, chosen: CandidatesResult, selected: SelectResult) -> TrainResult:
    from edgeprune.schedules import Choice, PresetPlan
    from edgeprune.selection import Plan

    assert selected.plan is not None, "_is_needed checks it"
    candidate = context.candidate(chosen)
    choice = Choice(
        context.criterion(candidate.criterion),
        context.selection(candidate),
        context.repairs(compared=bool(chosen.compared)),
        verify=context.recipe.prune.verify,
    )
    planned = PresetPlan(context.units, Plan.load(selected.plan).removed(context.units))
    budget = context.recipe.budget.pruning_targets
    session = resumable_schedule.create_session(context, context.dense, choice, budget, planned=planned)
    return resumable_schedule.run_schedule(context, stage_dir, session)


def _is_needed(results: Results) -> bool:
    return results[SelectResult].plan is not None


STAGE = Stage(
    "train",
    "prune and train",
    _run,
    lambda recipe, _target: resumable_schedule.settings(recipe),
    all_processes=True,
    is_needed=_is_needed,
    lock_entries=resumable_schedule.lock_entries,
)
