"""Score every unit: the larger, the more its removal is expected to cost."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from edgeprune.config import Recipe, Target
from edgeprune.pipeline.job import SCORES, Job
from edgeprune.pipeline.stage import Space, Stage


def _settings(recipe: Recipe, _target: Target) -> Mapping[str, Any]:
    prune = recipe.prune
    return {
        "criterion": prune.criterion,
        "options": dict(prune.criterion_options),
        "samples": prune.samples,
        "batch_size": recipe.training.sample_batch,
        "repair": prune.repair,
        "training": recipe.training.trains,
        "seed": recipe.seed,
    }


def _run(job: Job, space: Space) -> Mapping[str, Any]:
    import numpy as np

    from edgeprune import pruning
    from edgeprune.criteria import Network

    scores = pruning.score(job.criterion, Network(job.dense, job.units, job.recipe.seed, job.samples), job.repairs)
    np.save(space.out / SCORES, scores.numpy(), allow_pickle=False)
    return {"criterion": job.criterion.name}


STAGE = Stage("score", "score", after=("candidates",), settings=_settings, run=_run)
