"""Make the smaller network."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from edgeprune.pipeline.job import Job
from edgeprune.pipeline.stage import Space, Stage


def _run(job: Job, space: Space) -> Mapping[str, Any]:
    job.write_weights(job.rewritten.model, space)
    return {"form": job.rewritten.form}


STAGE = Stage("rewrite", "rewrite", after=("select",), settings=lambda *_: {}, run=_run)
