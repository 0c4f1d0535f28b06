"""Write the pruned network as ONNX."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgeprune.config import Recipe, Target
from edgeprune.pipeline.job import PRUNED_ONNX, Job
from edgeprune.pipeline.stage import Space, Stage

if TYPE_CHECKING:
    from torch import nn


def settings(recipe: Recipe, target: Target) -> Mapping[str, Any]:
    """Settings that an exported file depends on besides the network."""
    export = recipe.export
    return {"dynamic_batch": export.dynamic_batch, "simplify": export.simplify, "opset": target.onnx.opset}


def write(job: Job, model: nn.Module, path: Path) -> Mapping[str, Any]:
    """Write ``model`` to ``path``; what the file is like."""
    from edgeprune.export import onnx

    export = job.recipe.export
    written = onnx.export(
        model,
        job.example,
        path,
        opset=job.target.onnx.opset,
        dynamic_batch=export.dynamic_batch,
        simplify=export.simplify,
    )
    return {name: value for name, value in asdict(written).items() if name != "path"}


def _run(job: Job, space: Space) -> Mapping[str, Any]:
    return write(job, job.pruned("finetune"), space.out / PRUNED_ONNX)


STAGE = Stage("export", "export ONNX", after=("finetune",), settings=settings, run=_run)
