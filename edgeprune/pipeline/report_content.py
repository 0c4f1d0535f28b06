"""Content of ``report.json``, collected from the results of a build."""

from __future__ import annotations

from dataclasses import dataclass

from edgeprune.bundle.report_data import OutputError, PrecisionVariant, ReportData, RequestedSettings, TrainingPhase
from edgeprune.pipeline.build_settings import BuildSettings
from edgeprune.pipeline.results.description_results import DescribeResult, SensitivityResult
from edgeprune.pipeline.results.export_results import ParityResult, PrecisionParity, QuantizeResult
from edgeprune.pipeline.results.pruning_results import TrainResult


@dataclass(frozen=True)
class ReportResults:
    """Stage results that ``report.json`` contains."""

    description: DescribeResult
    sensitivity: SensitivityResult
    training: TrainResult
    quantized: QuantizeResult
    parity: ParityResult


def report_content(settings: BuildSettings, results: ReportResults) -> ReportData:
    """Return the content of ``report.json``."""
    recipe, target, description, trained = settings.recipe, settings.target, results.description, results.training
    accuracies = {epoch.phase: epoch.validation_accuracy for epoch in trained.epochs}
    return ReportData(
        layers=description.layers,
        calls=description.calls,
        groups=description.groups,
        settings=RequestedSettings(
            description=recipe.description,
            budget={name: limit for name, limit in recipe.budget.settings().items() if name != "require"},
            criterion=description.criterion,
            selection=description.selection,
            repairs=description.repairs,
            schedule=recipe.schedule.name,
            options=recipe.schedule.options,
            epochs=0 if trained.training is None else trained.training.epochs,
            precision=recipe.quantize.precision,
            max_accuracy_drop=recipe.quantize.max_accuracy_drop,
            target=target.description,
            runtime=target.runtime.name,
            versions=target.runtime.versions,
            hardware=target.hardware.model_dump(mode="json", exclude_defaults=True),
        ),
        sensitivity=results.sensitivity.sensitivity,
        start=trained.start,
        steps=tuple(
            TrainingPhase(macs=macs, accuracy=accuracies.get(number))
            for number, macs in enumerate(trained.macs_by_phase, start=1)
        ),
        epochs=trained.epochs,
        variants={
            **{name: _variant(parity) for name, parity in results.parity.precisions.items()},
            **{name: PrecisionVariant(problem=problem) for name, problem in results.quantized.problems.items()},
        },
    )


def _variant(parity: PrecisionParity) -> PrecisionVariant:
    report = parity.report
    return PrecisionVariant(
        accuracy=parity.accuracy,
        top1_agreement=report.top1_agreement,
        max_error=report.max_error,
        relative_error=report.relative_error,
        samples=report.samples,
        outputs=tuple(OutputError(**output.model_dump()) for output in report.outputs),
    )
