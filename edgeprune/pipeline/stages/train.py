"""Remove the units of the plan and train the rest, for schedules that choose everything before training."""

from __future__ import annotations

from edgeprune.pipeline import schedule_run
from edgeprune.pipeline.context import BuildContext
from edgeprune.pipeline.results.pruning import CandidatesResult, SelectResult, TrainResult
from edgeprune.pipeline.stage import Results, Space, Stage


def _run(context: BuildContext, space: Space, chosen: CandidatesResult, selected: SelectResult) -> TrainResult:
    from edgeprune.schedules import Choice, Planned
    from edgeprune.select import Plan

    assert selected.plan is not None, "see _applies"
    candidate = context.candidate(chosen)
    choice = Choice(
        context.criterion(candidate.criterion),
        context.selection(candidate),
        context.repairs(compared=bool(chosen.compared)),
        verify=context.recipe.prune.verify,
    )
    planned = Planned(context.units, Plan.load(selected.plan).removed(context.units))
    budget = context.recipe.budget.aims
    session = schedule_run.create_session(context, context.dense, choice, budget, planned=planned)
    return schedule_run.run_schedule(context, space, session)


def _applies(results: Results) -> bool:
    return results[SelectResult].plan is not None


STAGE = Stage(
    "train",
    "prune and train",
    _run,
    lambda recipe, _target: schedule_run.settings(recipe),
    together=True,
    applies=_applies,
    findings=schedule_run.findings,
)
