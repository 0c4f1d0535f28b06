"""How good the dense network is: what pruning is judged against."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from edgeprune.pipeline.job import Job
from edgeprune.pipeline.stage import Space, Stage
from edgeprune.pipeline.stages.evaluate import judged


def _run(job: Job, space: Space) -> Mapping[str, Any]:
    return judged(job, job.dense, space)


STAGE = Stage("evaluate-dense", "evaluate dense", after=("load",), settings=lambda *_: {}, run=_run)
