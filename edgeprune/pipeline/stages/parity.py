"""Hold every exported model against PyTorch, on real validation samples and on the runtime itself."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from edgeprune.config import Recipe, Target
from edgeprune.pipeline.job import Job
from edgeprune.pipeline.stage import Space, Stage

if TYPE_CHECKING:
    from edgeprune.config.target import ParitySettings
    from edgeprune.export.parity import Array, Parity, Predict

logger = logging.getLogger(__name__)


def _settings(recipe: Recipe, target: Target) -> Mapping[str, Any]:
    return {"samples": recipe.export.parity_samples, **target.parity.model_dump(mode="json")}


def _run(job: Job, space: Space) -> Mapping[str, Any]:
    from edgeprune.export import parity

    found = parity.compare_forms(
        _reference(job),
        {name: job.backend.host.predictor(file) for name, file in job.exported.items()},
        job.data.validation,
        classes=job.objective.plain,
        samples=job.recipe.export.parity_samples,
        progress=space.progress,
    )
    # What int8 may lose is for the choice to judge: there is a float model to ship instead.
    parity.check_forms({"float32": found["float32"]}, {"float32": job.target.parity})
    return {
        name: {
            "accuracy": comparison.accuracy,
            **asdict(comparison.parity),
            "outputs": _verdicts(name, comparison.parity, job.target.parity),
        }
        for name, comparison in found.items()
    }


def _verdicts(name: str, found: Parity, limits: ParitySettings) -> list[Mapping[str, Any]]:
    """Every output with its verdict: whether it keeps the target's limits for this precision."""
    int8 = name == "int8"
    channel_error = limits.int8_channel_error if int8 else limits.channel_error
    verdicts: list[Mapping[str, Any]] = []
    for output in found.outputs:
        missed = output.missed(max_error=channel_error if int8 else limits.max_error, channel_error=channel_error)
        for problem in missed:
            logger.warning("%s: %s", name, problem)
        verdicts.append({**asdict(output), "ok": not missed})
    return verdicts


def _reference(job: Job) -> Predict:
    """The pruned network, on arrays."""
    import torch
    from torch.utils import _pytree as pytree

    model = job.pruned("finetune")

    def predict(samples: Array) -> list[Array]:
        with torch.no_grad():
            outputs = pytree.tree_leaves(model(torch.from_numpy(samples)))
        return [output.numpy() for output in outputs if isinstance(output, torch.Tensor)]

    return predict


STAGE = Stage("parity", "parity", after=("export", "quantize"), settings=_settings, run=_run)
