"""Accuracy of the pruned and fine-tuned network."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from edgeprune.pipeline.job import Job
from edgeprune.pipeline.stage import Space, Stage


def _run(job: Job, space: Space) -> Mapping[str, Any]:
    from edgeprune.training import evaluate

    return asdict(evaluate(job.pruned("finetune"), job.reported_split, progress=space.progress))


STAGE = Stage("evaluate", "evaluate pruned", after=("finetune",), settings=lambda *_: {}, run=_run)
