"""Train what is left; after a kill from the last completed epoch on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from edgeprune.config import Recipe, Target
from edgeprune.pipeline.job import Job, auto
from edgeprune.pipeline.stage import Findings, Space, Stage

if TYPE_CHECKING:
    from torch import nn

    from edgeprune.training import History


def _settings(recipe: Recipe, _target: Target) -> Mapping[str, Any]:
    return {"training": recipe.training.model_dump(mode="json"), "seed": recipe.seed}


def _run(job: Job, space: Space) -> Mapping[str, Any]:
    from edgeprune.training import finetune

    model = job.pruned("repair")
    history = None
    if job.trains:
        history = finetune(
            model,
            job.data,
            job.training,
            seed=job.recipe.seed,
            folder=space.keep,
            teacher=job.teacher(model, job.rewritten.kept),
            base=job.recipe.folder,
            progress=space.progress,
        )
        end(job, model, history)
    job.write_weights(model, space)
    return {"locked": is_locked(job), **training_values(history)}


def training_values(history: History | None) -> Mapping[str, Any]:
    """The part of a stage's result about training; None means no training."""
    if history is None:
        return {"history": None, "still_rising": None}
    return {"history": asdict(history), "still_rising": history.still_rising}


def is_locked(job: Job) -> bool:
    """Whether the lock says how training is run."""
    return bool(job.lock.get("training"))


def found(job: Job, values: Mapping[str, Any]) -> Findings:
    """How training was run, where a measurement decided it."""
    execution = (values["history"] or {}).get("execution")
    names = auto(job.recipe.training)
    return {} if execution is None or not names else {("training",): {name: execution[name] for name in names}}


def end(job: Job, model: nn.Module, history: History) -> None:
    """Recalibrate BatchNorm layers where the recipe asks for it and training changed the network."""
    from edgeprune.repair import recalibrate

    if job.recipe.training.batchnorm == "recalibrate" and not history.kept_start:
        recalibrate(model, job.samples)


STAGE = Stage("finetune", "fine-tune", after=("repair",), settings=_settings, run=_run, together=True, found=found)
