"""Evaluate the shipped file on the target's runtime, and store its golden outputs."""

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


def evaluate_file(context: BuildContext, file: Path, split: Split, progress: Progress = SILENT) -> Accuracy:
    """Evaluate a model ``file`` on ``split``, by accuracy or by the metric or loss of the recipe."""
    from edgeprune.backends.accuracy import Accuracy
    from edgeprune.backends.file_module import as_module
    from edgeprune.model import network
    from edgeprune.training.evaluator import LOSS

    evaluator = context.evaluator(split)
    if evaluator.is_default:
        return context.backend.host.evaluate(file, split, progress=progress)
    module = as_module(context.backend.host.predictor(file), network.check_forward(context.dense, context.example))
    if evaluator.metric != LOSS:
        score = evaluator(module)
        return Accuracy(score.accuracy, score.samples)
    losses = evaluator.batch_losses(module)
    return Accuracy(-evaluator.mean_loss(losses), len(split), losses=losses, batch_size=evaluator.batch_size)


def _settings(_recipe: Recipe, target: Target) -> Mapping[str, Any]:
    return {"runtime": target.runtime.name}


def _run(
    context: BuildContext, stage_dir: StageDir, exported: ExportResult, quantized: QuantizeResult, choice: ChoiceResult
) -> ShippedEvaluationResult:
    from edgeprune.model.split_hash import HashedSplit

    files = quantized.files(exported)
    golden = _golden(context, files, choice)
    if golden is not None:
        golden.save(stage_dir.out / GOLDEN)
    split = HashedSplit(context.reported_split)
    accuracy = evaluate_file(context, files[choice.precision], split, stage_dir.progress)
    results = _results(accuracy, split.sha256)
    if results is not None:
        (stage_dir.out / evaluation.NAME).write_text(results.to_json(), encoding="utf-8")
    return ShippedEvaluationResult(
        accuracy=accuracy.accuracy,
        samples=accuracy.samples,
        golden=None if golden is None else stage_dir.out / GOLDEN,
        evaluation=None if results is None else stage_dir.out / evaluation.NAME,
    )


def _results(accuracy: Accuracy, split_sha256: str) -> Evaluation | None:
    """Return the results by sample or batch, for ``edgeprune compare``; None for a custom metric."""
    if accuracy.correct:
        return Evaluation.of_classes(accuracy.correct, accuracy.samples, split_sha256)
    if accuracy.losses:
        return Evaluation(
            split_sha256=split_sha256, samples=accuracy.samples, losses=accuracy.losses, batch_size=accuracy.batch_size
        )
    return None


def _golden(context: BuildContext, files: Mapping[Precision, Path], choice: ChoiceResult) -> Golden | None:
    """Return the outputs of the shipped files for the first validation samples; None if a sample is not one array."""
    from torch import Tensor

    from edgeprune.profile.golden_samples import SAMPLES, Golden, tolerance

    batch: Any = next(iter(context.data.validation.batches(SAMPLES)))
    samples = batch[0] if isinstance(batch, tuple | list) else batch
    if not isinstance(samples, Tensor):
        return None
    inputs = samples.numpy()

    def golden(precision: Precision, file: Path) -> Golden:
        outputs = context.backend.host.predictor(file)(inputs)
        return Golden(inputs, tuple(outputs), tolerance(context.backend.effective_precision(precision)))

    other_precisions: dict[str, Golden] = {
        precision: golden(precision, files[precision]) for precision in choice.other_precisions
    }
    return replace(golden(choice.precision, files[choice.precision]), other_precisions=other_precisions)


STAGE = Stage("evaluate-shipped", "evaluate shipped", _run, _settings)
