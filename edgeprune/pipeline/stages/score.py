"""Score every unit: the larger, the more its removal is expected to cost."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from edgeprune.config import Recipe, Target
from edgeprune.pipeline.job import SCORES, Job
from edgeprune.pipeline.stage import Space, Stage


def _settings(recipe: Recipe, _target: Target) -> Mapping[str, Any]:
    return {"criterion": recipe.prune.criterion, "seed": recipe.seed}


def _run(job: Job, space: Space) -> Mapping[str, Any]:
    import numpy as np

    from edgeprune.criteria import Network, create

    criterion = create(job.recipe.prune.criterion)
    scores = criterion.score(Network(job.dense, job.units, job.recipe.seed))
    np.save(space.out / SCORES, scores.numpy(), allow_pickle=False)
    return {"criterion": criterion.name}


STAGE = Stage("score", "score", after=("group",), settings=_settings, run=_run)
