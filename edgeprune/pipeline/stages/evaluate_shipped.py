"""How good the shipped file is on the target's runtime itself."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgeprune.config import Recipe, Target
from edgeprune.pipeline.job import Job
from edgeprune.pipeline.stage import Space, Stage
from edgeprune.progress import SILENT, Progress

if TYPE_CHECKING:
    from edgeprune.backends.accuracy import Accuracy
    from edgeprune.model.data import Split


def judged_file(job: Job, file: Path, split: Split, progress: Progress = SILENT) -> Accuracy:
    """How good a model ``file`` is: its accuracy, or what the recipe says instead."""
    from edgeprune.backends import running
    from edgeprune.backends.accuracy import Accuracy
    from edgeprune.model import network

    judge = job.judge(split)
    if judge.plain:
        return running.evaluate(file, split, progress=progress)
    found = judge(running.as_module(file, network.check_forward(job.dense, job.example)))
    return Accuracy(found.accuracy, found.samples)


def _settings(_recipe: Recipe, target: Target) -> Mapping[str, Any]:
    return {"runtime": target.runtime.name}


def _run(job: Job, space: Space) -> Mapping[str, Any]:
    return asdict(judged_file(job, job.shipped_file, job.reported_split, space.progress))


STAGE = Stage("evaluate-shipped", "evaluate what ships", after=("choose",), settings=_settings, run=_run)
