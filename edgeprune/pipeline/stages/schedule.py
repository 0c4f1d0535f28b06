"""Choose, remove and train as a schedule says: before, during or after training; the plan and the weights."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from edgeprune.config import Recipe, Target
from edgeprune.pipeline.job import PLAN, SCORES, Job
from edgeprune.pipeline.stage import Space, Stage
from edgeprune.pipeline.stages import finetune, score, select

if TYPE_CHECKING:
    from torch import nn

    from edgeprune.schedules import Session


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
    finetune.end(job, session.model)
    plan = session.plan({"criterion": job.criterion.name, "seed": recipe.seed, "schedule": schedule.name})
    plan.save(space.out / PLAN)
    job.write_weights(session.model, space)
    if session.scores is not None:
        np.save(space.out / SCORES, session.scores.numpy(), allow_pickle=False)
    reached = select.reached(job, plan, plan.removed(job.units))
    return {
        **reached,
        "history": asdict(history),
        "locked": finetune.is_locked(job),
        "start": start,
        "macs_by_stretch": macs,
    }


def _session(job: Job, model: nn.Module) -> Session:
    from edgeprune.model import weights
    from edgeprune.schedules import Choice, Session
    from edgeprune.training import processes

    recipe, prune = job.recipe, job.recipe.prune
    latency = job.latency_model("latency_ms" in recipe.budget.aims.costs)
    judge = job.judge(job.data.validation)
    choice = Choice(
        job.criterion,
        job.selection,
        job.repairs,
        constraints=lambda units: job.constraints(units, preferred=True),
        relaxed=None if job.preferred_alignment == 1 else lambda units: job.constraints(units, preferred=False),
        exclude=prune.exclude,
        attention=prune.attention,
        costs={} if latency is None else {"latency_ms": latency},
        prove=prune.prove,
    )
    return Session(
        model,
        job.example,
        recipe.budget.aims,
        choice,
        samples=job.samples,
        seed=recipe.seed,
        early=None if recipe.early_path is None else weights.read(recipe.early_path),
        fresh=lambda seed: job.network(seed=seed, trained=False).state_dict(),
        judge=lambda network: judge(network).accuracy,
        agree=processes().tell,
    )


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
