"""How good the shipped file is on the target's runtime itself."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from edgeprune.config import Recipe, Target
from edgeprune.pipeline.job import PRUNED_ONNX, Job
from edgeprune.pipeline.stage import Space, Stage


def _settings(_recipe: Recipe, target: Target) -> Mapping[str, Any]:
    return {"runtime": target.runtime.name}


def _run(job: Job, space: Space) -> Mapping[str, Any]:
    from edgeprune.backends import onnxruntime
    from edgeprune.model import network

    file, judge = job.file("export", PRUNED_ONNX), job.judge(job.reported_split)
    if judge.plain:
        return asdict(onnxruntime.evaluate(file, job.reported_split, progress=space.progress))
    return asdict(judge(onnxruntime.as_module(file, network.check_forward(job.dense, job.example))))


STAGE = Stage("evaluate-shipped", "evaluate on ONNX Runtime", after=("export",), settings=_settings, run=_run)
