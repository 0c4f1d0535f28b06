"""Choose, remove and train as a schedule says: before, during or after training; the plan and the weights."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache, partial
from typing import TYPE_CHECKING, Any

from edgeprune.config import Recipe, Target
from edgeprune.pipeline.job import PLAN, SCORES, Job
from edgeprune.pipeline.stage import Space, Stage
from edgeprune.pipeline.stages import finetune, score, select

if TYPE_CHECKING:
    from torch import Tensor, nn

    from edgeprune.config import Budget
    from edgeprune.cost import CostModel
    from edgeprune.graph import Units
    from edgeprune.schedules import Session
    from edgeprune.training import Judge


def _settings(recipe: Recipe, target: Target) -> Mapping[str, Any]:
    stages = (score.STAGE, select.STAGE, finetune.STAGE)
    return {
        "schedule": recipe.schedule.model_dump(mode="json"),
        **{stage.name: dict(stage.settings(recipe, target)) for stage in stages},
    }


def _run(job: Job, space: Space) -> Mapping[str, Any]:
    import numpy as np

    from edgeprune.cost import cost_model
    from edgeprune.schedules.running import train
    from edgeprune.training import Trainer, feature_layers

    select.check_table(job)
    recipe, schedule = job.recipe, job.schedule
    model = job.network(seed=recipe.seed, trained=schedule.starts == "trained")
    session = _session(job, model)
    teacher = job.teacher(model, {})
    trainer = Trainer(
        model,
        job.data,
        job.training,
        seed=recipe.seed,
        folder=space.keep,
        teacher=teacher,
        base=recipe.folder,
        progress=space.progress,
    )

    macs: list[int] = []

    def before(small: nn.Module) -> None:
        macs.append(round(cost_model("macs", session.units, small).total()))
        if teacher is not None:
            teacher.compare(feature_layers(job.units.groups, job.dense, small, session.kept()))

    start = session.value() if schedule.starts == "trained" else None
    history = train(schedule, session, trainer, before=before)
    finetune.end(job, session.model, history)
    plan = session.plan({"criterion": job.criterion.name, "seed": recipe.seed, "schedule": schedule.name})
    plan.save(space.out / PLAN)
    job.write_weights(session.model, space)
    if session.scores is not None:
        np.save(space.out / SCORES, session.scores.numpy(), allow_pickle=False)
    reached = select.reached(job, plan, plan.removed(job.units))
    return {
        **reached,
        **finetune.training_values(history),
        "locked": finetune.is_locked(job),
        "start": start,
        "macs_by_stretch": macs,
    }


def _session(job: Job, model: nn.Module) -> Session:
    from edgeprune.model import weights
    from edgeprune.model.splits import some
    from edgeprune.schedules import Choice, Session
    from edgeprune.training import processes

    recipe, prune = job.recipe, job.recipe.prune
    budget, costs = _limited(job)
    judge, validation = job.judge(job.data.validation), job.data.validation

    @cache
    def quick(samples: int) -> Judge:
        return job.judge(some(validation, samples, key=(recipe.seed,)))

    choice = Choice(
        job.criterion,
        job.selection,
        job.repairs,
        constraints=lambda units: job.constraints(units, preferred=job.preferred_alignment),
        relaxed=None if job.preferred_alignment == 1 else job.constraints,
        exclude=prune.exclude,
        attention=prune.attention,
        costs=costs,
        measured=_measured(job),
        prove=prune.prove,
    )
    return Session(
        model,
        job.example,
        budget,
        choice,
        samples=job.samples,
        seed=recipe.seed,
        early=None if recipe.early_path is None else weights.read(recipe.early_path),
        fresh=lambda seed: job.network(seed=seed, trained=False).state_dict(),
        judge=lambda network: judge(network).accuracy,
        reward=lambda network, samples: quick(samples)(network).accuracy,
        agree=processes().tell,
    )


def _limited(job: Job) -> tuple[Budget, Mapping[str, CostModel]]:
    """The budget, with what a microcontroller has where the dense network takes more; and the models it needs."""
    budget = job.recipe.budget.aims
    if not job.target.limits:
        latency = job.latency_model("latency_ms" in budget.costs)
        return budget, {} if latency is None else {"latency_ms": latency}
    from edgeprune.pipeline import fitting

    dense = fitting.footprint(job, fitting.whole(job))
    limits = fitting.limits(job, dense)
    held = {name: limit for name, limit in limits.items() if name in budget.costs or dense.costs[name] > limit}
    return budget.model_copy(update=held), fitting.board_costs(job, dense)


def _measured(job: Job) -> Callable[[nn.Module, Units, Tensor], Mapping[str, float]] | None:
    if not job.target.limits:
        return None
    from edgeprune.pipeline import fitting

    return partial(fitting.measured, job)


STAGE = Stage(
    "schedule",
    "prune and train",
    after=("group",),
    settings=_settings,
    run=_run,
    together=True,
    found=lambda job, values: {**finetune.found(job, values), **select.found(job, values)},
    stands_for=("score", "select", "repair", "finetune"),
)
