"""Accuracy of the dense network: what pruning is judged against."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from edgeprune.pipeline.job import Job
from edgeprune.pipeline.stage import Space, Stage


def _run(job: Job, space: Space) -> Mapping[str, Any]:
    from edgeprune.training import evaluate

    return asdict(evaluate(job.dense, job.reported_split, progress=space.progress))


STAGE = Stage("evaluate-dense", "evaluate dense", after=("load",), settings=lambda *_: {}, run=_run)
