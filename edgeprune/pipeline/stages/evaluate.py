"""How good the pruned and fine-tuned network is."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from edgeprune.pipeline.job import Job
from edgeprune.pipeline.stage import Space, Stage

if TYPE_CHECKING:
    from torch import nn


def judged(job: Job, model: nn.Module, space: Space) -> Mapping[str, Any]:
    """Quality of ``model``: accuracy, or the metric or loss of the recipe."""
    judge = job.judge(job.reported_split)
    values = asdict(judge(model, progress=space.progress))
    return {"metric": judge.metric, **values, "correct": base64.b64encode(values["correct"]).decode()}


def _run(job: Job, space: Space) -> Mapping[str, Any]:
    return judged(job, job.pruned("finetune"), space)


STAGE = Stage("evaluate", "evaluate pruned", after=("finetune",), settings=lambda *_: {}, run=_run)
