"""Compare every exported model with the PyTorch network, on validation samples and on the runtime itself."""

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
    space: StageDir,
    *,
    plan: PlanResult,
    trained: TrainResult,
    exported: ExportResult,
    quantized: QuantizeResult,
) -> ParityResult:
    from edgeprune.export import parity

    models = quantized.files(exported)
    found = parity.compare_variants(
        _reference(context.pruned(plan, trained)),
        {name: context.backend.host.predictor(file) for name, file in models.items()},
        context.data.validation,
        classes=context.objective.is_default,
        samples=context.recipe.export.parity_samples,
        progress=space.progress,
    )
    # What int8 may lose is for the choice to judge: there is a float model to ship instead.
    parity.check_variants({"float32": found["float32"]}, {"float32": context.target.parity})
    return ParityResult(
        precisions={precision: _result(precision, found[precision], context.target.parity) for precision in models}
    )


def _result(precision: Precision, comparison: Comparison, limits: ParitySettings) -> PrecisionParity:
    parity = comparison.parity
    report = ParityReport(
        max_error=parity.max_error,
        mean_error=parity.mean_error,
        relative_error=parity.relative_error,
        top1_agreement=parity.top1_agreement,
        samples=parity.samples,
        outputs=_verdicts(precision, parity, limits),
    )
    return PrecisionParity(accuracy=comparison.accuracy, report=report)


def _verdicts(name: str, found: Parity, limits: ParitySettings) -> tuple[OutputParityReport, ...]:
    """Every output with its verdict: whether it keeps the target's limits for this precision."""
    int8 = name == "int8"
    channel_error = limits.int8_channel_error if int8 else limits.channel_error
    verdicts = []
    for output in found.outputs:
        missed = output.missed(max_error=channel_error if int8 else limits.max_error, channel_error=channel_error)
        for problem in missed:
            logger.warning("%s: %s", name, problem)
        verdicts.append(OutputParityReport(**asdict(output), ok=not missed))
    return tuple(verdicts)


def _reference(model: nn.Module) -> Predict:
    """The PyTorch network, on arrays."""
    import torch
    from torch.utils import _pytree as pytree

    def predict(samples: Array) -> list[Array]:
        with torch.no_grad():
            outputs = pytree.tree_leaves(model(torch.from_numpy(samples)))
        return [output.numpy() for output in outputs if isinstance(output, torch.Tensor)]

    return predict


STAGE = Stage("parity", "parity", _run, _settings)
