"""Write the pruned network in every other precision that may ship."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from edgeprune.config import Recipe, Target
from edgeprune.pipeline.job import INT8_ONNX, PRUNED_ONNX, Job, precisions
from edgeprune.pipeline.stage import Space, Stage
from edgeprune.pipeline.stages.evaluate_shipped import judged_file

logger = logging.getLogger(__name__)


def _settings(recipe: Recipe, target: Target) -> Mapping[str, Any]:
    return {
        "quantize": recipe.quantize.model_dump(mode="json", exclude={"precision"}),
        "precisions": precisions(recipe, target),
        "architecture": target.hardware.architecture,
        "runtime": target.runtime.name,
        "seed": recipe.seed,
    }


def _run(job: Job, space: Space) -> Mapping[str, Any]:
    if "int8" not in precisions(job.recipe, job.target):
        return {}
    from edgeprune import quantize
    from edgeprune.errors import ModelError
    from edgeprune.pipeline import fingerprint

    settings, file = job.recipe.quantize, job.file("export", PRUNED_ONNX)
    validation = job.data.validation
    accuracy = judged_file(job, file, validation).accuracy
    architecture = job.target.hardware.architecture or fingerprint.machine()["machine"]
    try:
        made = quantize.quantize(
            file,
            space.out / INT8_ONNX,
            job.data.train,
            method=settings.calibration,
            samples=settings.samples,
            seed=job.recipe.seed,
            activations=quantize.activations_for(architecture),
            equalization=settings.equalize,
            budget=quantize.AccuracyBudget(
                settings.max_accuracy_drop, accuracy, lambda path: judged_file(job, path, validation).accuracy
            ),
            progress=space.progress,
        )
    except ModelError as problem:
        logger.warning("there is no int8 model: %s", problem)
        return {"why_no_int8": str(problem), "float_accuracy": accuracy}
    return {
        "float_accuracy": accuracy,
        "int8": {
            "accuracy": made.accuracy,
            "file_bytes": made.file_bytes,
            "float_nodes": [node.name for node in made.float_nodes],
            "equalized": len(made.equalized),
        },
    }


STAGE = Stage("quantize", "quantize", after=("export",), settings=_settings, run=_run)
