"""Check that the target supports the network, before training and measurements."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from edgeprune import backends, files
from edgeprune.config import Recipe, Target
from edgeprune.pipeline.build_context import BuildContext
from edgeprune.pipeline.build_settings import precisions
from edgeprune.pipeline.file_names import DENSE_ONNX
from edgeprune.pipeline.results.loading_results import LoadResult, PreflightResult
from edgeprune.pipeline.stage import Stage, StageDir
from edgeprune.pipeline.stages import export_onnx

logger = logging.getLogger(__name__)


def _settings(recipe: Recipe, target: Target) -> Mapping[str, Any]:
    return {
        **export_onnx.settings(recipe, target),
        **backends.for_target(target).conversion_settings(target),
        "onnx": target.onnx.model_dump(mode="json"),
        "memory": [target.hardware.memory_bytes, target.hardware.flash_bytes],
        "seed": recipe.seed,
        "precisions": precisions(recipe, target),
    }


def _run(context: BuildContext, stage_dir: StageDir) -> PreflightResult:
    from edgeprune.backends.conversion import Conversion
    from edgeprune.export.preflight import preflight

    backend, target = context.backend, context.target
    exported = export_onnx.write(context, context.dense, stage_dir.out / DENSE_ONNX)
    check = preflight(exported.path, target, installed=backend.installed_version)
    float32 = backend.write_float32(exported.path, stage_dir.out)
    probe = backend.check_network(
        Conversion(
            file=float32, folder=stage_dir.out, target=target, samples=context.data.train, seed=context.recipe.seed
        )
    )
    for remark in check.remarks:
        logger.warning("%s: %s", target.name, remark)
    return PreflightResult(
        dense=float32,
        probe=probe,
        file_bytes=exported.file_bytes,
        least_memory_bytes=check.least_memory_bytes,
        remarks=check.remarks,
    )


def _content(result: PreflightResult) -> Any:
    """Return the result with hashes in place of file names."""
    return {**asdict(result), "dense": files.sha256(result.dense), "probe": files.sha256(result.probe)}


STAGE = Stage("preflight", "check the target", _run, _settings, after=(LoadResult,), content=_content)
