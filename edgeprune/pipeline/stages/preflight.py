"""Whether the target can run the network at all, before anything is trained or measured."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from edgeprune import backends
from edgeprune.config import Recipe, Target
from edgeprune.pipeline.job import DENSE_ONNX, Job, precisions
from edgeprune.pipeline.stage import Space, Stage
from edgeprune.pipeline.stages import export

logger = logging.getLogger(__name__)


def _settings(recipe: Recipe, target: Target) -> Mapping[str, Any]:
    return {
        **export.settings(recipe, target),
        **backends.for_target(target).conversion_settings(target),
        "onnx": target.onnx.model_dump(mode="json"),
        "memory_bytes": target.hardware.memory_bytes,
        "seed": recipe.seed,
        "precisions": precisions(recipe, target),
    }


def _run(job: Job, space: Space) -> Mapping[str, Any]:
    from edgeprune.backends.base import Conversion
    from edgeprune.export.preflight import preflight

    backend = job.backend
    written = export.write(job, job.dense, space.out / DENSE_ONNX)
    found = preflight(space.out / DENSE_ONNX, job.target, installed=backend.installed_version)
    float32 = backend.write_float32(space.out / DENSE_ONNX, space.out)
    probe = backend.check_network(
        Conversion(file=float32, folder=space.out, target=job.target, samples=job.data.train, seed=job.recipe.seed)
    )
    for remark in found.remarks:
        logger.warning("%s: %s", job.target.name, remark)
    return {**written, **asdict(found), "float32": float32.name, "probe": probe.name}


STAGE = Stage("preflight", "ask the target", after=("load",), settings=_settings, run=_run, by_content=True)
