"""Hold the ONNX model against PyTorch, on real validation samples."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from edgeprune.config import Recipe, Target
from edgeprune.pipeline.job import PRUNED_ONNX, Job
from edgeprune.pipeline.stage import Space, Stage


def _settings(recipe: Recipe, target: Target) -> Mapping[str, Any]:
    return {"samples": recipe.export.parity_samples, **target.parity.model_dump(mode="json")}


def _run(job: Job, _space: Space) -> Mapping[str, Any]:
    import torch
    from torch.utils import _pytree as pytree

    from edgeprune.backends import onnxruntime
    from edgeprune.export import parity

    samples, _ = next(iter(job.data.validation.batches(job.recipe.export.parity_samples)))
    with torch.no_grad():
        outputs = pytree.tree_leaves(job.pruned("finetune")(samples))
    reference = [output.numpy() for output in outputs if isinstance(output, torch.Tensor)]
    got = onnxruntime.predict(job.file("export", PRUNED_ONNX), samples.numpy())
    found = parity.compare(reference, got, classes=job.objective.plain)
    limits = job.target.parity
    parity.check(found, max_error=limits.max_error, top1_agreement=limits.top1_agreement)
    return asdict(found)


STAGE = Stage("parity", "parity", after=("export",), settings=_settings, run=_run)
