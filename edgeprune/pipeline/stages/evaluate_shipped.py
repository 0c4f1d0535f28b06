"""How good the shipped file is on the target's runtime itself, and what it answers to a few samples."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgeprune.config import Recipe, Target
from edgeprune.pipeline.job import GOLDEN, Job
from edgeprune.pipeline.stage import Space, Stage
from edgeprune.progress import SILENT, Progress

if TYPE_CHECKING:
    from edgeprune.backends.accuracy import Accuracy
    from edgeprune.config.target import Precision
    from edgeprune.model.data import Split
    from edgeprune.profile.golden import Golden


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
    expected = _golden(job)
    if expected is not None:
        expected.save(space.out / GOLDEN)
    return asdict(judged_file(job, job.shipped_file, job.reported_split, space.progress))


def _golden(job: Job) -> Golden | None:
    """What shipped files answer to the first validation samples; None where a sample is not one array."""
    from torch import Tensor

    from edgeprune.backends import running
    from edgeprune.profile.golden import SAMPLES, Golden, tolerance

    batch: Any = next(iter(job.data.validation.batches(SAMPLES)))
    samples = batch[0] if isinstance(batch, tuple | list) else batch
    if not isinstance(samples, Tensor):
        return None
    inputs = samples.numpy()

    def answers(precision: Precision, file: Path) -> Golden:
        outputs = running.predictor(file)(inputs)
        return Golden(inputs, tuple(outputs), tolerance(precision, job.target.runtime.name))

    chosen = job.value("choose")
    along = {precision: answers(precision, job.exported[precision]) for precision in chosen["along"]}
    return replace(answers(chosen["precision"], job.shipped_file), along=along)


STAGE = Stage("evaluate-shipped", "evaluate what ships", after=("choose",), settings=_settings, run=_run)
