"""Accuracy of the shipped file on the target's runtime, its result on every sample, and its outputs for a few."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgeprune.bundle import evaluation
from edgeprune.bundle.evaluation import Evaluation
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
    """Evaluate a model ``file`` on ``split``, by accuracy or by the recipe's own metric or loss."""
    from edgeprune.backends.accuracy import Accuracy
    from edgeprune.backends.file_module import as_module
    from edgeprune.model import network
    from edgeprune.training.judge import LOSS

    judge = job.judge(split)
    if judge.plain:
        return job.backend.host.evaluate(file, split, progress=progress)
    module = as_module(job.backend.host.predictor(file), network.check_forward(job.dense, job.example))
    if judge.metric != LOSS:
        found = judge(module)
        return Accuracy(found.accuracy, found.samples)
    losses = judge.batch_losses(module)
    return Accuracy(-judge.mean_loss(losses), len(split), losses=losses, batch_size=judge.batch_size)


def _settings(_recipe: Recipe, target: Target) -> Mapping[str, Any]:
    return {"runtime": target.runtime.name}


def _run(job: Job, space: Space) -> Mapping[str, Any]:
    from edgeprune.model.split_hash import HashedSplit

    expected = _golden(job)
    if expected is not None:
        expected.save(space.out / GOLDEN)
    split = HashedSplit(job.reported_split)
    found = judged_file(job, job.shipped_file, split, space.progress)
    results = _results(found, split.sha256)
    if results is not None:
        (space.out / evaluation.NAME).write_text(results.to_json(), encoding="utf-8")
    return {"accuracy": found.accuracy, "samples": found.samples}


def _results(found: Accuracy, split_sha256: str) -> Evaluation | None:
    """Results by sample or batch, for ``edgeprune compare``; None for a metric of the user's own, which has none."""
    if found.correct:
        return Evaluation.of_classes(found.correct, found.samples, split_sha256)
    if found.losses:
        return Evaluation(
            split_sha256=split_sha256, samples=found.samples, losses=found.losses, batch_size=found.batch_size
        )
    return None


def _golden(job: Job) -> Golden | None:
    """Outputs of shipped files for the first validation samples; None if a sample is not one array."""
    from torch import Tensor

    from edgeprune.profile.golden import SAMPLES, Golden, tolerance

    batch: Any = next(iter(job.data.validation.batches(SAMPLES)))
    samples = batch[0] if isinstance(batch, tuple | list) else batch
    if not isinstance(samples, Tensor):
        return None
    inputs = samples.numpy()

    def answers(precision: Precision, file: Path) -> Golden:
        outputs = job.backend.host.predictor(file)(inputs)
        return Golden(inputs, tuple(outputs), tolerance(job.backend.effective_precision(precision)))

    chosen = job.value("choose")
    along = {precision: answers(precision, job.exported[precision]) for precision in chosen["along"]}
    return replace(answers(chosen["precision"], job.shipped_file), along=along)


STAGE = Stage("evaluate-shipped", "evaluate what ships", after=("choose",), settings=_settings, run=_run)
