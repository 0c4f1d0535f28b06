"""Accuracy of the shipped file on the target's runtime, its result on every sample, and its outputs for a few."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgeprune.bundle import evaluation
from edgeprune.bundle.evaluation import Evaluation
from edgeprune.config import Recipe, Target
from edgeprune.pipeline.build_context import BuildContext
from edgeprune.pipeline.file_names import GOLDEN
from edgeprune.pipeline.results.deployment_results import ChoiceResult, ShippedEvaluationResult
from edgeprune.pipeline.results.export_results import ExportResult, QuantizeResult
from edgeprune.pipeline.stage import Stage, StageDir
from edgeprune.progress import SILENT, Progress

if TYPE_CHECKING:
    from edgeprune.backends.accuracy import Accuracy
    from edgeprune.config.target import Precision
    from edgeprune.model.data import Split
    from edgeprune.profile.golden_samples import Golden


def judged_file(context: BuildContext, file: Path, split: Split, progress: Progress = SILENT) -> Accuracy:
    """Evaluate a model ``file`` on ``split``, by accuracy or by the recipe's own metric or loss."""
    from edgeprune.backends.accuracy import Accuracy
    from edgeprune.backends.file_module import as_module
    from edgeprune.model import network
    from edgeprune.training.evaluator import LOSS

    judge = context.judge(split)
    if judge.is_default:
        return context.backend.host.evaluate(file, split, progress=progress)
    module = as_module(context.backend.host.predictor(file), network.check_forward(context.dense, context.example))
    if judge.metric != LOSS:
        found = judge(module)
        return Accuracy(found.accuracy, found.samples)
    losses = judge.batch_losses(module)
    return Accuracy(-judge.mean_loss(losses), len(split), losses=losses, batch_size=judge.batch_size)


def _settings(_recipe: Recipe, target: Target) -> Mapping[str, Any]:
    return {"runtime": target.runtime.name}


def _run(
    context: BuildContext, space: StageDir, exported: ExportResult, quantized: QuantizeResult, choice: ChoiceResult
) -> ShippedEvaluationResult:
    from edgeprune.model.split_hash import HashedSplit

    files = quantized.files(exported)
    golden = _golden(context, files, choice)
    if golden is not None:
        golden.save(space.out / GOLDEN)
    split = HashedSplit(context.reported_split)
    found = judged_file(context, files[choice.precision], split, space.progress)
    results = _results(found, split.sha256)
    if results is not None:
        (space.out / evaluation.NAME).write_text(results.to_json(), encoding="utf-8")
    return ShippedEvaluationResult(
        accuracy=found.accuracy,
        samples=found.samples,
        golden=None if golden is None else space.out / GOLDEN,
        evaluation=None if results is None else space.out / evaluation.NAME,
    )


def _results(found: Accuracy, split_sha256: str) -> Evaluation | None:
    """Results by sample or batch, for ``edgeprune compare``; None for a metric of the user's own, which has none."""
    if found.correct:
        return Evaluation.of_classes(found.correct, found.samples, split_sha256)
    if found.losses:
        return Evaluation(
            split_sha256=split_sha256, samples=found.samples, losses=found.losses, batch_size=found.batch_size
        )
    return None


def _golden(context: BuildContext, files: Mapping[Precision, Path], choice: ChoiceResult) -> Golden | None:
    """Outputs of shipped files for the first validation samples; None if a sample is not one array."""
    from torch import Tensor

    from edgeprune.profile.golden_samples import SAMPLES, Golden, tolerance

    batch: Any = next(iter(context.data.validation.batches(SAMPLES)))
    samples = batch[0] if isinstance(batch, tuple | list) else batch
    if not isinstance(samples, Tensor):
        return None
    inputs = samples.numpy()

    def answers(precision: Precision, file: Path) -> Golden:
        outputs = context.backend.host.predictor(file)(inputs)
        return Golden(inputs, tuple(outputs), tolerance(context.backend.effective_precision(precision)))

    along: dict[str, Golden] = {precision: answers(precision, files[precision]) for precision in choice.along}
    return replace(answers(choice.precision, files[choice.precision]), along=along)


STAGE = Stage("evaluate-shipped", "evaluate shipped", _run, _settings)
