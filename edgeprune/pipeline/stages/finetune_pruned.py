"""Remove the units of the plan and train the rest, for schedules that choose everything before training."""

from __future__ import annotations

from edgeprune.pipeline import resumable_schedule
from edgeprune.pipeline.build_context import BuildContext
from edgeprune.pipeline.results.pruning_results import CandidatesResult, SelectResult, TrainResult
from edgeprune.pipeline.stage import Results, Stage, StageDir


def _run(context: BuildContext, space: StageDir, chosen: CandidatesResult, selected: SelectResult) -> TrainResult:
    from edgeprune.schedules import Choice, PresetPlan
    from edgeprune.selection import Plan

    assert selected.plan is not None, "see _applies"
    candidate = context.candidate(chosen)
    choice = Choice(
        context.criterion(candidate.criterion),
        context.selection(candidate),
        context.repairs(compared=bool(chosen.compared)),
        verify=context.recipe.prune.verify,
    )
    planned = PresetPlan(context.units, Plan.load(selected.plan).removed(context.units))
    budget = context.recipe.budget.aims
    session = resumable_schedule.create_session(context, context.dense, choice, budget, planned=planned)
    return resumable_schedule.run_schedule(context, space, session)


def _applies(results: Results) -> bool:
    return results[SelectResult].plan is not None


STAGE = Stage(
    "train",
    "prune and train",
    _run,
    lambda recipe, _target: resumable_schedule.settings(recipe),
    together=True,
    applies=_applies,
    findings=resumable_schedule.findings,
)
