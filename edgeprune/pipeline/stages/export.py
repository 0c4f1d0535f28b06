"""Write the dense and the pruned network as ONNX."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from edgeprune.config import Recipe, Target
from edgeprune.pipeline.job import DENSE_ONNX, PRUNED_ONNX, Job
from edgeprune.pipeline.stage import Space, Stage


def _settings(recipe: Recipe, target: Target) -> Mapping[str, Any]:
    export = recipe.export
    return {"dynamic_batch": export.dynamic_batch, "simplify": export.simplify, "opset": target.onnx.opset}


def _run(job: Job, space: Space) -> Mapping[str, Any]:
    from edgeprune.export import onnx

    models = {DENSE_ONNX: job.dense, PRUNED_ONNX: job.pruned("finetune")}
    space.progress.start(len(models))
    written = {}
    for name, model in models.items():
        found = onnx.export(
            model,
            job.example,
            space.out / name,
            opset=job.target.onnx.opset,
            dynamic_batch=job.recipe.export.dynamic_batch,
            simplify=job.recipe.export.simplify,
        )
        written[name] = {
            "file_bytes": found.file_bytes,
            "nodes": found.nodes,
            "opset": found.opset,
            "input_names": list(found.input_names),
            "output_names": list(found.output_names),
            "exporter": found.exporter,
        }
        space.progress.advance()
    return written


STAGE = Stage("export", "export ONNX", after=("finetune",), settings=_settings, run=_run)
