"""Take the BatchNorm statistics anew: those of the dense network do not fit the pruned one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from edgeprune.config import Recipe, Target
from edgeprune.pipeline.job import Job
from edgeprune.pipeline.stage import Space, Stage


def _settings(recipe: Recipe, _target: Target) -> Mapping[str, Any]:
    training = recipe.training
    return {"batches": training.recalibration_batches, "batch_size": training.batch_size, "seed": recipe.seed}


def _run(job: Job, space: Space) -> Mapping[str, Any]:
    from edgeprune.training import recalibrate_batchnorm

    settings = job.recipe.training
    model = job.pruned("rewrite")
    layers = 0
    if settings.recalibration_batches:
        layers = recalibrate_batchnorm(
            model,
            job.data.train,
            batches=settings.recalibration_batches,
            batch_size=settings.batch_size,
            seed=job.recipe.seed,
            progress=space.progress,
        )
    job.write_weights(model, space)
    return {"layers": layers}


STAGE = Stage("recalibrate", "recalibrate BatchNorm", after=("rewrite", "prove"), settings=_settings, run=_run)
