"""Capture the dense network as one graph."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from edgeprune.pipeline.job import Job
from edgeprune.pipeline.stage import Space, Stage


def _run(job: Job, _space: Space) -> Mapping[str, Any]:
    program = job.program
    calls = sum(node.op == "call_function" for node in program.graph.nodes)
    return {"calls": calls, "dynamic_batch": program.dynamic_batch}


STAGE = Stage("capture", "capture", after=("load",), settings=lambda *_: {}, run=_run)
