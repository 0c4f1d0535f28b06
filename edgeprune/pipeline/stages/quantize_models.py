"""Write the pruned network in every other precision that may ship."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from edgeprune import backends
from edgeprune.config import Recipe, Target
from edgeprune.config.target import Precision
from edgeprune.pipeline.build_context import BuildContext
from edgeprune.pipeline.build_settings import precisions
from edgeprune.pipeline.results.export_results import ExportResult, PrecisionFiles, QuantizeResult
from edgeprune.pipeline.stage import Stage, StageDir
from edgeprune.pipeline.stages.evaluate_deployed import judged_file

logger = logging.getLogger(__name__)


def _settings(recipe: Recipe, target: Target) -> Mapping[str, Any]:
    return {
        **backends.for_target(target).conversion_settings(target),
        "quantize": recipe.quantize.model_dump(mode="json", exclude={"precision"}),
        "precisions": precisions(recipe, target),
        "seed": recipe.seed,
    }


def _run(context: BuildContext, space: StageDir, exported: ExportResult) -> QuantizeResult:
    from edgeprune.backends.conversion import Quantization
    from edgeprune.errors import ModelError

    backend, validation = context.backend, context.data.validation  # choices are made on validation data

    def accuracy(file: Path) -> float:
        return judged_file(context, file, validation).accuracy

    float32 = backend.write_float32(exported.file, space.out)
    conversion = Quantization(
        file=float32,
        folder=space.out,
        target=context.target,
        samples=context.data.train,
        seed=context.recipe.seed,
        settings=context.recipe.quantize,
        accuracy=accuracy,
        float32_accuracy=accuracy(float32),
        progress=space.progress,
    )
    own = (float32,) if float32.parent == space.out else ()
    written: dict[Precision, PrecisionFiles] = {
        "float32": PrecisionFiles(files=own, accuracy=conversion.float32_accuracy)
    }
    _, *others = precisions(context.recipe, context.target)
    for precision in others:
        try:
            converted = backend.write(precision, conversion)
        except ModelError as problem:  # noqa: PERF203 - there are three
            logger.warning("there is no %s model: %s", precision, problem)
            written[precision] = PrecisionFiles(problem=str(problem))
        else:
            written[precision] = PrecisionFiles(
                files=converted.files, accuracy=converted.accuracy, float_nodes=converted.float_nodes
            )
    return QuantizeResult(precisions=written)


STAGE = Stage("quantize", "quantize", _run, _settings)
