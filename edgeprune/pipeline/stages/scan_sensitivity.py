"""Measure how sensitive the dense network is to each group, for the report; about half a pass over validation data."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from edgeprune.bundle.report_data import ReportSensitivity
from edgeprune.config import Recipe, Target
from edgeprune.errors import InputError
from edgeprune.pipeline.build_context import BuildContext
from edgeprune.pipeline.results.description_results import SensitivityResult
from edgeprune.pipeline.results.pruning_results import CandidatesResult, PlanResult
from edgeprune.pipeline.stage import Stage, StageDir

logger = logging.getLogger(__name__)

_RATIOS = (1 / 4, 1 / 2, 3 / 4)
_MOST, _FEWEST, _BATCH = 256, 8, 64
"""Samples: of more a curve shows nothing new, of fewer it is noise."""


def _settings(recipe: Recipe, _target: Target) -> Mapping[str, Any]:
    training = recipe.training
    return {"seed": recipe.seed, "loss": training.loss, "step": training.step, "schedule": recipe.schedule.name}


def _run(context: BuildContext, space: StageDir, chosen: CandidatesResult, plan: PlanResult) -> SensitivityResult:
    import numpy as np
    import torch

    from edgeprune.selection.sensitivity_scan import measure_sensitivity
    from edgeprune.statistics import Samples

    units, split = context.units, context.data.validation
    groups = sum(group.frozen is None for group in units.groups)
    # A network begins to differ where its group is read, on average in the middle.
    count = min(_MOST, len(split) // max(1, groups * len(_RATIOS)))
    measurable = groups > 0 and context.recipe.training.step is None and count >= _FEWEST
    if plan.scores is None or not chosen.starts_trained or not measurable:
        return SensitivityResult(sensitivity=None)
    scores = torch.from_numpy(np.load(plan.scores, allow_pickle=False)).double()
    samples = Samples.of(
        split, count=count, batch_size=min(count, _BATCH), seed=context.recipe.seed, loss=context.objective.of_outputs
    )
    try:
        measured = measure_sensitivity(units, scores, samples, ratios=_RATIOS, progress=space.progress)
    except InputError as problem:
        logger.warning("there are no curves of sensitivity: %s", problem)
        return SensitivityResult(sensitivity=None)
    return SensitivityResult(sensitivity=ReportSensitivity.model_validate(asdict(measured)))


STAGE = Stage("sensitivity", "sensitivity", _run, _settings)
