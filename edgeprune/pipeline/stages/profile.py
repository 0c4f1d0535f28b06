"""Latency and peak memory of the dense and the pruned network in turn, on this machine or the device that was given."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from edgeprune.config import Recipe, Target
from edgeprune.pipeline import fingerprint
from edgeprune.pipeline.job import DENSE_ONNX, DENSE_TFLITE, PROFILE, Job
from edgeprune.pipeline.stage import Space, Stage
from edgeprune.profile.result import DENSE, PRUNED


def _settings(recipe: Recipe, target: Target) -> Mapping[str, Any]:
    return {
        "profile": target.profile.model_dump(mode="json"),
        "runtime": target.runtime.model_dump(mode="json"),
        "seed": recipe.seed,
        "machine": fingerprint.machine(),
    }


def _run(job: Job, space: Space) -> Mapping[str, Any]:
    from edgeprune.devices import Local
    from edgeprune.profile import LITERT_RUNNER, RUNNER, measure
    from edgeprune.profile.profiling import invalid

    threads, cores, here = job.target.runtime.threads, fingerprint.machine()["cores"], isinstance(job.device, Local)
    # The float32 form is what pruning is judged by; others are judged against it, where they run as they will there.
    tflite = job.target.runtime.format == "tflite"
    runs = job.target.runtime.name != "tensorrt"
    models = {name: file for name, file in job.exported.items() if runs or name == "float32"}
    settings = job.target.profile
    profile = measure(
        {
            DENSE: job.file("preflight", DENSE_TFLITE if tflite else DENSE_ONNX),
            **{PRUNED if name == "float32" else name: file for name, file in models.items()},
        },
        job.device,
        threads=min(threads or cores, cores) if here else threads,
        warmup=settings.warmup,
        runs=settings.runs,
        blocks=settings.blocks,
        spinning=job.target.runtime.spinning,
        runner=LITERT_RUNNER if tflite else RUNNER,
        seed=job.recipe.seed,
        progress=space.progress,
    )
    problem = None if here else invalid(profile)
    if problem is not None:
        raise problem
    (space.out / PROFILE).write_text(profile.to_json(), encoding="utf-8")
    return {name: model.latency_ms.p50 for name, model in profile.models.items()}


STAGE = Stage(
    "profile",
    "profile",
    after=("preflight", "export", "quantize"),
    settings=_settings,
    run=_run,
    reads_device=True,
    holds=lambda job, _: not job.lock.update,
)
