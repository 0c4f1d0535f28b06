"""Whether the target can run the network at all, before anything is trained or measured."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from edgeprune.config import Recipe, Target
from edgeprune.errors import ModelError, TargetError
from edgeprune.pipeline.job import DENSE_INT8_TFLITE, DENSE_ONNX, DENSE_TFLITE, Job, precisions
from edgeprune.pipeline.stage import Space, Stage
from edgeprune.pipeline.stages import export

logger = logging.getLogger(__name__)

_SAMPLES = 8
"""That ranges are taken from where only sizes matter."""


def _settings(recipe: Recipe, target: Target) -> Mapping[str, Any]:
    return {
        **export.settings(recipe, target),
        "onnx": target.onnx.model_dump(mode="json"),
        "runtime": [target.runtime.name, target.runtime.versions],
        "memory_bytes": target.hardware.memory_bytes,
        "seed": recipe.seed,
        "precisions": precisions(recipe, target),
    }


def _run(job: Job, space: Space) -> Mapping[str, Any]:
    from edgeprune.export.preflight import preflight

    written = export.write(job, job.dense, space.out / DENSE_ONNX)
    found = preflight(space.out / DENSE_ONNX, job.target)
    if job.target.runtime.format == "tflite":
        from edgeprune.backends import tflite

        tflite.convert(space.out / DENSE_ONNX, space.out / DENSE_TFLITE)
    if job.target.microcontroller is not None:
        _ask_tflite_micro(job, space)
    for remark in found.remarks:
        logger.warning("%s: %s", job.target.name, remark)
    return {**written, **asdict(found)}


def _ask_tflite_micro(job: Job, space: Space) -> None:
    """Whether the dense network runs there at all: how large it is, is asked when units are chosen."""
    from edgeprune.backends import tflm
    from edgeprune.quantize import tflite

    file = space.out / DENSE_INT8_TFLITE
    try:
        tflite.quantize(space.out / DENSE_TFLITE, file, job.data.train, samples=_SAMPLES, seed=job.recipe.seed)
        tflm.footprint(file)
    except ModelError as problem:
        raise TargetError(f"{job.target.name} cannot run this network: {problem}") from problem


STAGE = Stage("preflight", "ask the target", after=("load",), settings=_settings, run=_run, by_content=True)
