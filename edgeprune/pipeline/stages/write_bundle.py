"""Write the bundle and its archive."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from edgeprune import files
from edgeprune.bundle import evaluation, pack, provenance, report_data, sbom
from edgeprune.bundle.budget_check import compare_with_limit
from edgeprune.bundle.budget_report import BudgetReport, ConstraintReport
from edgeprune.bundle.manifest import NAME as MANIFEST
from edgeprune.bundle.manifest import (
    AllMetrics,
    CandidateReport,
    Manifest,
    Metrics,
    PairsReport,
    Platform,
    PrecisionReport,
    ProfileReference,
)
from edgeprune.bundle.measurements import Measurements
from edgeprune.config import Recipe, Target
from edgeprune.pipeline import fingerprint
from edgeprune.pipeline.build_context import BuildContext
from edgeprune.pipeline.file_names import GOLDEN, PLAN, PROFILE, PRUNED_ONNX, WEIGHTS
from edgeprune.pipeline.microcontrollers import board_figures
from edgeprune.pipeline.report_content import ReportResults, report_content
from edgeprune.pipeline.results.deployment_results import (
    BundleResult,
    ChoiceResult,
    ProfileResult,
    ShippedEvaluationResult,
)
from edgeprune.pipeline.results.description_results import DescribeResult, SensitivityResult
from edgeprune.pipeline.results.evaluation_results import DenseEvaluationResult, PrunedEvaluationResult
from edgeprune.pipeline.results.export_results import ExportResult, ParityResult, QuantizeResult
from edgeprune.pipeline.results.loading_results import PreflightResult
from edgeprune.pipeline.results.pruning_results import CandidatesResult, EquivalenceResult, PlanResult, TrainResult
from edgeprune.pipeline.stage import Stage, StageDir
from edgeprune.pipeline.stages import compare_candidates, select_units
from edgeprune.profile import Profile
from edgeprune.profile.measured_limits import check_limits
from edgeprune.report import report_page


def _settings(recipe: Recipe, target: Target) -> Mapping[str, Any]:
    return {
        "recipe": [recipe.name, recipe.description],
        "target": [target.name, target.description, target.hardware.model_dump(mode="json")],
        # Settings of the plan: training depends on the removed units only, the bundle on the whole plan.
        "plan": dict(select_units.settings(recipe, target)),
        # Settings of the candidates: later stages depend on the chosen candidate only.
        "candidates": dict(compare_candidates.settings(recipe, target)),
        "budget": recipe.budget.settings(),
        "epoch": os.environ.get("SOURCE_DATE_EPOCH"),
        "board": [target.microcontroller and target.microcontroller.model_dump(), target.limits, target.ms_per_mac],
    }


@dataclass(frozen=True)
class BuildResults:
    """Stage results that a bundle contains."""

    preflight: PreflightResult
    dense: DenseEvaluationResult
    candidates: CandidatesResult
    trained: TrainResult
    plan: PlanResult
    sensitivity: SensitivityResult
    description: DescribeResult
    equivalence: EquivalenceResult
    pruned: PrunedEvaluationResult
    exported: ExportResult
    quantized: QuantizeResult
    parity: ParityResult
    profiled: ProfileResult
    choice: ChoiceResult
    shipped: ShippedEvaluationResult

    @property
    def shipped_file(self) -> Path:
        """Model file that ships."""
        return self.quantized.files(self.exported)[self.choice.precision]


def _run(context: BuildContext, _stage_dir: StageDir, results: BuildResults) -> BundleResult:
    settings, shipped = context.settings, results.shipped
    description = report_content(
        settings,
        ReportResults(results.description, results.sensitivity, results.trained, results.quantized, results.parity),
    )
    manifest = _manifest(context, results)
    profile = Profile.load(results.profiled.profile)
    budgets = check_limits(manifest, profile, model=files.sha256(results.shipped_file))
    packed = pack.write(
        settings.bundle_folder,
        {
            **_models(context, results),
            PLAN: results.plan.plan,
            WEIGHTS: results.trained.weights,
            report_data.NAME: description.to_json(),
            sbom.NAME: sbom.text(settings.bundle_folder.name, manifest.provenance, epoch=pack.source_date_epoch()),
            **({} if shipped.golden is None else {GOLDEN: shipped.golden}),
            **({} if shipped.evaluation is None else {evaluation.NAME: shipped.evaluation}),
            **_runner(context, results),
        },
        manifest,
        measured={
            PROFILE: results.profiled.profile,
            report_page.NAME: lambda manifest: report_page.render(manifest, description, profile, budgets),
        },
        budgets=budgets,
        force=settings.force,
    )
    return BundleResult(manifest=files.sha256(packed.folder / MANIFEST), archive=files.sha256(packed.archive))


def budgets(recipe: Recipe, target: Target, results: BuildResults) -> tuple[BudgetReport, ...]:
    """Return the results of the budget checks whose values are reproducible."""
    return _budgets(recipe, target, results, _metrics(results))


def _manifest(context: BuildContext, results: BuildResults) -> Manifest:
    recipe, target, choice = context.recipe, context.target, results.choice
    metrics, limits = _metrics(results), board_figures.limits(target, results.plan)
    return Manifest(
        recipe=recipe.name,
        target=target.name,
        metric=results.pruned.metric,
        metrics=metrics,
        pairs=_pairs(results),
        equivalence=results.equivalence.report,
        precision=_precision(results),
        training=results.trained.training,
        parity=results.parity.precisions[choice.precision].report,
        profile=ProfileReference(path=PROFILE),
        microcontroller=board_figures.report(target, results.profiled),
        platform=Platform(runtime=target.runtime.name, architecture=target.hardware.architecture),
        candidates=results.candidates.compared,
        budgets=_budgets(recipe, target, results, metrics),
        constraints=tuple(
            ConstraintReport(
                name=constraint.name,
                limit=limits.get(constraint.name, constraint.limit),
                require=recipe.budget.required,
            )
            for constraint in recipe.budget.constraints
            if constraint.name not in _REPRODUCIBLE_LIMITS
        ),
        provenance=provenance.collect(
            packages=[name for name in fingerprint.packages() if name != "python"],
            seed=recipe.seed,
            inputs=_inputs(context, results.plan),
            folder=recipe.folder,
        ),
    )


def _inputs(context: BuildContext, plan: PlanResult) -> dict[str, str]:
    """Return the SHA-256 of the inputs, and of the latency table if latency was predicted with it."""
    inputs = {name: content for name, content in context.inputs.items() if content is not None}
    table = context.target.latency_table
    if table is not None and "latency_ms" in plan.after:
        inputs["latency_table"] = files.sha256(table)
    return inputs


def _models(context: BuildContext, results: BuildResults) -> Mapping[str, Path]:
    """Return the model file, or the source files of the engine if the board builds it."""
    file, choice = results.shipped_file, results.choice
    if not context.backend.chooses_precision_on_device:
        return {f"model{file.suffix}": file}
    models = [results.quantized.precisions[precision] for precision in (*choice.other_precisions, choice.precision)]
    return {PRUNED_ONNX: results.exported.file, **{file.name: file for model in models for file in model.files}}


def _runner(context: BuildContext, results: BuildResults) -> Mapping[str, Path | str]:
    from edgeprune.backends.conversion import ShippedModel

    return context.backend.bundle_files(
        ShippedModel(
            file=results.shipped_file,
            name=context.settings.bundle_folder.name,
            target=context.target,
            samples=context.reported_split,
            other_files=results.quantized.precisions[results.choice.precision].files[1:],
        )
    )


def _precision(results: BuildResults) -> PrecisionReport:
    choice, parity = results.choice, results.parity.precisions
    return PrecisionReport(
        shipped=choice.precision,
        reason=choice.reason,
        other_precisions=choice.other_precisions,
        float_nodes=results.quantized.precisions[choice.precision].float_nodes,
        candidates={
            precision: CandidateReport(
                accuracy=parity[precision].accuracy,
                file_bytes=file.stat().st_size,
                top1_agreement=parity[precision].report.top1_agreement,
            )
            for precision, file in results.quantized.files(results.exported).items()
        },
    )


def _pairs(results: BuildResults) -> PairsReport | None:
    """Return the numbers of lost and gained samples from dense to shipped; None if the network is not a classifier."""
    file, dense = results.shipped.evaluation, results.dense.correct
    if not dense or file is None:
        return None
    shipped = evaluation.Evaluation.parse(file.read_bytes(), where=file)
    before, now = int(dense, 16), shipped.bits
    return PairsReport(only_dense=(before & ~now).bit_count(), only_shipped=(now & ~before).bit_count())


def _metrics(results: BuildResults) -> AllMetrics:
    plan, shipped = results.plan, results.shipped
    dense_ms, pruned_ms = board_figures.predicted_ms(plan, results.profiled)

    def metrics(
        costs: Mapping[str, float], accuracy: float | None, samples: int, file_bytes: int, latency_ms: float | None
    ) -> Metrics:
        return Metrics(
            macs=round(costs["macs"]),
            params=round(costs["params"]),
            accuracy=accuracy,
            samples=samples,
            file_bytes=file_bytes,
            predicted_latency_ms=latency_ms,
        )

    dense, pruned, file_bytes = results.dense, results.pruned, results.shipped_file.stat().st_size
    return AllMetrics(
        dense=metrics(plan.before, dense.accuracy, dense.samples, results.preflight.file_bytes, dense_ms),
        pruned=metrics(plan.after, pruned.accuracy, pruned.samples, results.exported.file_bytes, pruned_ms),
        shipped=metrics(plan.after, shipped.accuracy, shipped.samples, file_bytes, pruned_ms),
    )


_KINDS: dict[str, Literal["estimated"]] = dict.fromkeys(("latency_ms", "flash_bytes", "arena_bytes"), "estimated")
"""Costs that are predicted; the others are counted."""
_REPRODUCIBLE_LIMITS = ("accuracy", "file_bytes")
"""Limits besides costs whose values are reproducible."""


def _budgets(recipe: Recipe, target: Target, results: BuildResults, metrics: AllMetrics) -> tuple[BudgetReport, ...]:
    """Return the results of the budget checks whose values are reproducible; measured values are not in the manifest.

    The required provenance of the recipe applies to its own limits, not to those of a board.
    """
    reached, budget = board_figures.reached(results.plan, results.profiled), recipe.budget
    required = dict.fromkeys(budget.pruning_targets.costs, budget.required)
    constraint_names = {constraint.name for constraint in budget.constraints}
    return (
        *(
            compare_with_limit(
                name, limit, reached[name], _KINDS.get(name, "exact"), required=required.get(name, "estimated")
            )
            for name, limit in board_figures.limits(target, results.plan).items()
            if name not in constraint_names
        ),
        *(
            compare_with_limit(
                name, constraint.resolved(getattr(metrics.dense, name)), getattr(metrics.shipped, name), "exact"
            )
            for constraint in budget.constraints
            if (name := constraint.name) in _REPRODUCIBLE_LIMITS
        ),
    )


def _is_valid(context: BuildContext, result: BundleResult) -> bool:
    """Return whether the bundle in the output folder is unchanged and must not be measured again."""
    folder, archive = context.settings.bundle_folder, context.settings.archive
    if context.lock.update:
        return False
    if not (archive.is_file() and (folder / MANIFEST).is_file()):
        return False
    if files.sha256(archive) != result.archive:
        return False
    if files.sha256(folder / MANIFEST) != result.manifest:
        return False
    entries = Manifest.load(folder).files
    entries |= Measurements.load(folder).files
    inside = {path: folder / path for path in entries}
    return {PROFILE, report_page.NAME} <= entries.keys() and all(
        file.is_file() and files.sha256(file) == entries[path].sha256 for path, file in inside.items()
    )


STAGE = Stage("bundle", "bundle", _run, _settings, is_valid=_is_valid)
