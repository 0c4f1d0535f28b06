"""Make up for what was removed, before any training."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from edgeprune.config import Recipe, Target
from edgeprune.pipeline.job import Job
from edgeprune.pipeline.stage import Space, Stage


def _settings(recipe: Recipe, _target: Target) -> Mapping[str, Any]:
    prune = recipe.prune
    return {
        "repair": prune.repair,
        "samples": prune.samples,
        "batch_size": recipe.training.sample_batch,
        "training": recipe.training.trains,
        "seed": recipe.seed,
    }


def _run(job: Job, space: Space) -> Mapping[str, Any]:
    from edgeprune.repair import Repair

    model = job.pruned("rewrite")
    seed = job.recipe.seed
    mending = Repair(job.repairs, job.units, job.removed, job.samples, seed=seed, progress=space.progress)
    mending.apply(job.rewritten)
    job.write_weights(model, space)
    return {"repairs": list(job.repairs)}


STAGE = Stage("repair", "repair", after=("rewrite", "prove"), settings=_settings, run=_run)
