"""Compare every exported model, run by the runtime, with the PyTorch network on validation samples."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from edgeprune.bundle.parity_report import OutputParityReport, ParityReport
from edgeprune.config import Recipe, Target
from edgeprune.pipeline.build_context import BuildContext
from edgeprune.pipeline.results.export_results import ExportResult, ParityResult, PrecisionParity, QuantizeResult
from edgeprune.pipeline.results.pruning_results import PlanResult, TrainResult
from edgeprune.pipeline.stage import Stage, StageDir

if TYPE_CHECKING:
    from torch import nn

    from edgeprune.config.target import ParitySettings, Precision
    from edgeprune.export.parity import Array, Predict
    from edgeprune.export.parity_result import Comparison, Parity

logger = logging.getLogger(__name__)


def _settings(recipe: Recipe, target: Target) -> Mapping[str, Any]:
    return {"samples": recipe.export.parity_samples, **target.parity.model_dump(mode="json")}


def _run(
    context: BuildContext,
    stage_dir: StageDir,
    *,
    plan: PlanResult,
    trained: TrainResult,
    exported: ExportResult,
    quantized: QuantizeResult,
) -> ParityResult:
    from edgeprune.export import parity

    models = quantized.files(exported)
    comparisons = parity.compare_variants(
        _reference(context.pruned(plan, trained)),
        {name: context.backend.host.predictor(file) for name, file in models.items()},
        context.data.validation,
        classes=context.objective.is_default,
        samples=context.recipe.export.parity_samples,
        progress=stage_dir.progress,
    )
    # The stage that chooses the precision checks int8, as the float32 model can be selected instead.
    parity.check_variants({"float32": comparisons["float32"]}, {"float32": context.target.parity})
    return ParityResult(
        precisions={
            precision: _result(precision, comparisons[precision], context.target.parity) for precision in models
        }
    )


def _result(precision: Precision, comparison: Comparison, limits: ParitySettings) -> PrecisionParity:
    parity = comparison.parity
    report = ParityReport(
        max_error=parity.max_error,
        mean_error=parity.mean_error,
        relative_error=parity.relative_error,
        top1_agreement=parity.top1_agreement,
        samples=parity.samples,
        outputs=_output_reports(precision, parity, limits),
    )
    return PrecisionParity(accuracy=comparison.accuracy, report=report)


def _output_reports(name: str, parity: Parity, limits: ParitySettings) -> tuple[OutputParityReport, ...]:
    """Return a report per output, with the result of the check against the target's limits for this precision."""
    int8 = name == "int8"
    channel_error = limits.int8_channel_error if int8 else limits.channel_error
    reports = []
    for output in parity.outputs:
        missed = output.missed(max_error=channel_error if int8 else limits.max_error, channel_error=channel_error)
        for problem in missed:
            logger.warning("%s: %s", name, problem)
        reports.append(OutputParityReport(**asdict(output), ok=not missed))
    return tuple(reports)


def _reference(model: nn.Module) -> Predict:
    """Return a function that runs the PyTorch network on arrays."""
    import torch
    from torch.utils import _pytree as pytree

    def predict(samples: Array) -> list[Array]:
        with torch.no_grad():
            outputs = pytree.tree_leaves(model(torch.from_numpy(samples)))
        return [output.numpy() for output in outputs if isinstance(output, torch.Tensor)]

    return predict


STAGE = Stage("parity", "parity", _run, _settings)
