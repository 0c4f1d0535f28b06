"""Write the pruned network in every other precision that may ship."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from edgeprune import backends
from edgeprune.config import Recipe, Target
from edgeprune.pipeline.job import PRUNED_ONNX, Job, precisions
from edgeprune.pipeline.stage import Space, Stage
from edgeprune.pipeline.stages.evaluate_shipped import judged_file

logger = logging.getLogger(__name__)


def _settings(recipe: Recipe, target: Target) -> Mapping[str, Any]:
    return {
        **backends.for_target(target).conversion_settings(target),
        "quantize": recipe.quantize.model_dump(mode="json", exclude={"precision"}),
        "precisions": precisions(recipe, target),
        "seed": recipe.seed,
    }


def _run(job: Job, space: Space) -> Mapping[str, Any]:
    from edgeprune.backends.base import Quantization
    from edgeprune.errors import ModelError

    backend, validation = job.backend, job.data.validation  # choices are made on validation data

    def accuracy(file: Path) -> float:
        return judged_file(job, file, validation).accuracy

    float32 = backend.write_float32(job.file("export", PRUNED_ONNX), space.out)
    conversion = Quantization(
        file=float32,
        folder=space.out,
        target=job.target,
        samples=job.data.train,
        seed=job.recipe.seed,
        settings=job.recipe.quantize,
        accuracy=accuracy,
        float32_accuracy=accuracy(float32),
        progress=space.progress,
    )
    own = [float32.name] if float32.parent == space.out else []
    made: dict[str, Any] = {"float32": {"files": own, "accuracy": conversion.float32_accuracy}}
    _, *others = precisions(job.recipe, job.target)
    for precision in others:
        try:
            written = backend.write(precision, conversion)
        except ModelError as problem:  # noqa: PERF203 - there are three
            logger.warning("there is no %s model: %s", precision, problem)
            made[precision] = {"files": [], "problem": str(problem)}
        else:
            made[precision] = {
                "files": [path.name for path in written.files],
                "accuracy": written.accuracy,
                "float_nodes": list(written.float_nodes),
            }
    return made


STAGE = Stage("quantize", "quantize", after=("export",), settings=_settings, run=_run)
