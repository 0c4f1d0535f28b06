"""Sensitivity of the dense network to each group, for the report; takes about half a pass over validation data."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from edgeprune.config import Recipe, Target
from edgeprune.errors import InputError
from edgeprune.pipeline.job import SCORES, Job
from edgeprune.pipeline.stage import Space, Stage

logger = logging.getLogger(__name__)

_RATIOS = (1 / 4, 1 / 2, 3 / 4)
_MOST, _FEWEST, _BATCH = 256, 8, 64
"""Samples: of more a curve shows nothing new, of fewer it is noise."""


def _settings(recipe: Recipe, _target: Target) -> Mapping[str, Any]:
    training = recipe.training
    return {"seed": recipe.seed, "loss": training.loss, "step": training.step, "schedule": recipe.schedule.name}


def _run(job: Job, space: Space) -> Mapping[str, Any]:
    import numpy as np
    import torch

    from edgeprune.select.measuring import measure_sensitivity
    from edgeprune.statistics import Samples

    path, units, split = job.file("score", SCORES), job.units, job.data.validation
    groups = sum(group.frozen is None for group in units.groups)
    # A network begins to differ where its group is read, on average in the middle.
    count = min(_MOST, len(split) // max(1, groups * len(_RATIOS)))
    learned = job.recipe.schedule.name == "one_shot" or job.schedule.starts == "trained"
    if not (groups and path.is_file() and learned) or job.recipe.training.step is not None or count < _FEWEST:
        return {}
    scores = torch.from_numpy(np.load(path, allow_pickle=False)).double()
    samples = Samples.of(
        split, count=count, batch_size=min(count, _BATCH), seed=job.recipe.seed, loss=job.objective.of_outputs
    )
    try:
        measured = measure_sensitivity(units, scores, samples, ratios=_RATIOS, progress=space.progress)
    except InputError as problem:
        logger.warning("there are no curves of sensitivity: %s", problem)
        return {}
    return asdict(measured)


STAGE = Stage("sensitivity", "sensitivity", after=("group", "score"), settings=_settings, run=_run)
