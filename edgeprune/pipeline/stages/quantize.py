"""Write the pruned network in every other precision that may ship."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgeprune.config import Recipe, Target
from edgeprune.pipeline.job import INT8_ONNX, INT8_TFLITE, PRUNED_ONNX, PRUNED_TFLITE, Job, precisions
from edgeprune.pipeline.stage import Space, Stage
from edgeprune.pipeline.stages.evaluate_shipped import judged_file

if TYPE_CHECKING:
    from edgeprune.config.recipe import QuantizeSettings
    from edgeprune.quantize.calibration import Method

logger = logging.getLogger(__name__)


def _settings(recipe: Recipe, target: Target) -> Mapping[str, Any]:
    return {
        "quantize": recipe.quantize.model_dump(mode="json", exclude={"precision"}),
        "precisions": precisions(recipe, target),
        # It decides how ONNX Runtime's activations are stored.
        "architecture": target.hardware.architecture if target.runtime.format == "onnx" else None,
        "runtime": [target.runtime.name, target.runtime.versions],
        "seed": recipe.seed,
    }


def _run(job: Job, space: Space) -> Mapping[str, Any]:
    from edgeprune.errors import ModelError

    _, *others = precisions(job.recipe, job.target)
    runtime = job.target.runtime
    tflite = runtime.format == "tflite"
    base = _float_tflite(job, space) if tflite else job.file("export", PRUNED_ONNX)
    # Choices are made on validation data.
    accuracy = judged_file(job, base, job.data.validation).accuracy
    made: dict[str, Any] = {"float32": {"files": [base.name] if tflite else [], "accuracy": accuracy}}
    write = _for_tflite if tflite else _for_tensorrt if runtime.name == "tensorrt" else _for_onnxruntime
    for precision in others:
        try:
            made[precision] = write(job, precision, accuracy, space)
        except ModelError as problem:  # noqa: PERF203 - there are three
            logger.warning("there is no %s model: %s", precision, problem)
            made[precision] = {"files": [], "problem": str(problem)}
    return made


def _method(settings: QuantizeSettings) -> Method:
    from edgeprune.quantize.calibration import DEFAULT

    return DEFAULT if settings.calibration == "auto" else settings.calibration


def _for_onnxruntime(job: Job, _precision: str, accuracy: float, space: Space) -> Mapping[str, Any]:
    from edgeprune import quantize
    from edgeprune.pipeline import fingerprint

    settings, file = job.recipe.quantize, job.file("export", PRUNED_ONNX)
    validation = job.data.validation
    written = quantize.quantize(
        file,
        space.out / INT8_ONNX,
        job.data.train,
        method=_method(settings),
        samples=settings.samples,
        seed=job.recipe.seed,
        activations=quantize.activations_for(job.target.hardware.architecture or fingerprint.machine()["machine"]),
        equalization=settings.equalize,
        budget=quantize.AccuracyBudget(
            settings.max_accuracy_drop,
            accuracy,
            lambda path: judged_file(job, path, validation).accuracy,
        ),
        progress=space.progress,
    )
    return {
        "files": [INT8_ONNX],
        "accuracy": written.accuracy,
        "float_nodes": [node.name for node in written.float_nodes],
    }


def _float_tflite(job: Job, space: Space) -> Path:
    from edgeprune.backends import tflite

    return tflite.convert(job.file("export", PRUNED_ONNX), space.out / PRUNED_TFLITE).path


def _for_tflite(job: Job, _precision: str, _accuracy: float, space: Space) -> Mapping[str, Any]:
    from edgeprune.quantize import tflite

    settings = job.recipe.quantize
    if settings.calibration not in ("auto", "minmax") or settings.equalize:
        asked = "equalize = true" if settings.equalize else f"calibration = '{settings.calibration}'"
        logger.warning("quantize.%s is not for TFLite files: their ranges are the smallest and largest values", asked)
    path = space.out / INT8_TFLITE
    written = tflite.quantize(
        space.out / PRUNED_TFLITE,
        path,
        job.data.train,
        samples=settings.samples,
        seed=job.recipe.seed,
        progress=space.progress,
    )
    return {
        "files": [path.name],
        "accuracy": judged_file(job, path, job.data.validation).accuracy,
        "float_nodes": [node.name for node in written.float_nodes],
    }


def _for_tensorrt(job: Job, precision: str, _accuracy: float, space: Space) -> Mapping[str, Any]:
    from edgeprune.backends.tensorrt import forms
    from edgeprune.quantize.samples import CalibrationSamples

    settings, file = job.recipe.quantize, job.file("export", PRUNED_ONNX)
    samples = CalibrationSamples(job.data.train, settings.samples, job.recipe.seed)
    if precision == "float16":
        written: tuple[Path, ...] = (forms.write_fp16(file, space.out, samples),)
    else:
        written = forms.write_int8(
            file,
            space.out,
            samples,
            method=_method(settings),
            equalization=settings.equalize,
            versions=job.target.runtime.versions,
        )
    return {
        "files": [path.name for path in written],
        "accuracy": judged_file(job, written[0], job.data.validation).accuracy,
    }


STAGE = Stage("quantize", "quantize", after=("export",), settings=_settings, run=_run)
