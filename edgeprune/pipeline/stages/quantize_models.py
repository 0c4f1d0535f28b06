"""Write the pruned network in every other precision that may be selected."""

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
from edgeprune.pipeline.stages.evaluate_deployed import evaluate_file

logger = logging.getLogger(__name__)


def _settings(recipe: Recipe, target: Target) -> Mapping[str, Any]:
    return {
        **backends.for_target(target).conversion_settings(target),
        "quantize": recipe.quantize.model_dump(mode="json", exclude={"precision"}),
        "precisions": precisions(recipe, target),
        "seed": recipe.seed,
    }


def _run(context: BuildContext, stage_dir: StageDir, exported: ExportResult) -> QuantizeResult:
    from edgeprune.backends.conversion import Quantization
    from edgeprune.errors import ModelError

    backend, validation = context.backend, context.data.validation  # validation data decide choices

    def accuracy(file: Path) -> float:
        return evaluate_file(context, file, validation).accuracy

    float32 = backend.write_float32(exported.file, stage_dir.out)
    conversion = Quantization(
        file=float32,
        folder=stage_dir.out,
        target=context.target,
        samples=context.data.train,
        seed=context.recipe.seed,
        settings=context.recipe.quantize,
        accuracy=accuracy,
        float32_accuracy=accuracy(float32),
        progress=stage_dir.progress,
    )
    float32_files = (float32,) if float32.parent == stage_dir.out else ()
    models: dict[Precision, PrecisionFiles] = {
        "float32": PrecisionFiles(files=float32_files, accuracy=conversion.float32_accuracy)
    }
    _, *others = precisions(context.recipe, context.target)
    for precision in others:
        try:
            converted = backend.write(precision, conversion)
        except ModelError as problem:  # noqa: PERF203 - there are three
            logger.warning("the %s model cannot be written: %s", precision, problem)
            models[precision] = PrecisionFiles(problem=str(problem))
        else:
            models[precision] = PrecisionFiles(
                files=converted.files, accuracy=converted.accuracy, float_nodes=converted.float_nodes
            )
    return QuantizeResult(precisions=models)


STAGE = Stage("quantize", "quantize", _run, _settings)
