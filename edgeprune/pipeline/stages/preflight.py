"""Whether the target can run the network at all, before anything is trained or measured."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from edgeprune.config import Recipe, Target
from edgeprune.pipeline.job import DENSE_ONNX, DENSE_TFLITE, Job, precisions
from edgeprune.pipeline.stage import Space, Stage
from edgeprune.pipeline.stages import export

logger = logging.getLogger(__name__)


def _settings(recipe: Recipe, target: Target) -> Mapping[str, Any]:
    return {
        **export.settings(recipe, target),
        "onnx": target.onnx.model_dump(mode="json"),
        "runtime": [target.runtime.name, target.runtime.versions],
        "memory_bytes": target.hardware.memory_bytes,
        "precisions": precisions(recipe, target),
    }


def _run(job: Job, space: Space) -> Mapping[str, Any]:
    from edgeprune.export.preflight import preflight

    written = export.write(job, job.dense, space.out / DENSE_ONNX)
    found = preflight(space.out / DENSE_ONNX, job.target)
    if job.target.runtime.name == "litert":
        from edgeprune.backends import tflite

        tflite.convert(space.out / DENSE_ONNX, space.out / DENSE_TFLITE)
    for remark in found.remarks:
        logger.warning("%s: %s", job.target.name, remark)
    return {**written, **asdict(found)}


STAGE = Stage("preflight", "ask the target", after=("load",), settings=_settings, run=_run)
