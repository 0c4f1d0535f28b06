"""Measure the sensitivity of the dense network to each group, for the report.

The measurement takes about as long as half a pass over the validation data.
"""

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
_MAX_SAMPLES, _MIN_SAMPLES, _BATCH = 256, 8, 64
"""Number of samples: more do not change a curve, and with fewer it is noise."""


def _settings(recipe: Recipe, _target: Target) -> Mapping[str, Any]:
    training = recipe.training
    return {"seed": recipe.seed, "loss": training.loss, "step": training.step, "schedule": recipe.schedule.name}


def _run(context: BuildContext, stage_dir: StageDir, chosen: CandidatesResult, plan: PlanResult) -> SensitivityResult:
    import numpy as np
    import torch

    from edgeprune.selection.sensitivity_scan import measure_sensitivity
    from edgeprune.statistics import Samples

    units, split = context.units, context.data.validation
    groups = sum(group.frozen is None for group in units.groups)
    # Only the part of the network behind a group runs again, on average half of it.
    count = min(_MAX_SAMPLES, len(split) // max(1, groups * len(_RATIOS)))
    measurable = groups > 0 and context.recipe.training.step is None and count >= _MIN_SAMPLES
    if plan.scores is None or not chosen.starts_trained or not measurable:
        return SensitivityResult(sensitivity=None)
    scores = torch.from_numpy(np.load(plan.scores, allow_pickle=False)).double()
    samples = Samples.of(
        split, count=count, batch_size=min(count, _BATCH), seed=context.recipe.seed, loss=context.objective.of_outputs
    )
    try:
        measured = measure_sensitivity(units, scores, samples, ratios=_RATIOS, progress=stage_dir.progress)
    except InputError as problem:
        logger.warning("sensitivity cannot be measured: %s", problem)
        return SensitivityResult(sensitivity=None)
    return SensitivityResult(sensitivity=ReportSensitivity.model_validate(asdict(measured)))


STAGE = Stage("sensitivity", "sensitivity", _run, _settings)
