"""Pack what is shipped."""

from __future__ import annotations

import base64
import math
import os
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, Literal

from edgeprune import files
from edgeprune.bundle import evaluation, pack, provenance, sbom
from edgeprune.bundle.manifest import NAME as MANIFEST
from edgeprune.bundle.manifest import (
    AllMetrics,
    BudgetReport,
    CandidateReport,
    GateReport,
    Manifest,
    Metrics,
    PairsReport,
    ParityReport,
    PlanReport,
    Platform,
    PrecisionReport,
    ProfileReference,
    ProofReport,
    TrainingReport,
)
from edgeprune.bundle.measured import Measured
from edgeprune.bundle.verdicts import verdict
from edgeprune.config import Recipe, Target
from edgeprune.pipeline import board, fingerprint
from edgeprune.pipeline.job import GOLDEN, PLAN, PROFILE, PRUNED_ONNX, WEIGHTS, Job
from edgeprune.pipeline.stage import Space, Stage
from edgeprune.pipeline.stages import candidates, describe, select
from edgeprune.profile import Profile
from edgeprune.profile.judging import judge
from edgeprune.report import facts, page


def _settings(recipe: Recipe, target: Target) -> Mapping[str, Any]:
    return {
        "recipe": [recipe.name, recipe.description],
        "target": [target.name, target.description, target.hardware.model_dump(mode="json")],
        # What the plan was made by: training depends on what it leaves alone, the bundle on all it says.
        "plan": dict(select.STAGE.settings(recipe, target)),
        # Likewise of the candidates, which later stages know by the one that was chosen.
        "candidates": dict(candidates.STAGE.settings(recipe, target)),
        "budget": recipe.budget.given(),
        "epoch": os.environ.get("SOURCE_DATE_EPOCH"),
        "board": [target.microcontroller and target.microcontroller.model_dump(), target.limits, target.ms_per_mac],
    }


def _run(job: Job, _space: Space) -> Mapping[str, Any]:
    description, manifest = describe.facts_of(job), _manifest(job)
    profile = Profile.load(job.file("profile", PROFILE))
    verdicts = judge(manifest, profile, model=files.sha256(job.shipped_file))
    packed = pack.write(
        job.bundle_folder,
        {
            **_models(job),
            PLAN: job.file("select", PLAN),
            WEIGHTS: job.file("finetune", WEIGHTS),
            facts.NAME: description.to_json(),
            sbom.NAME: sbom.text(job.bundle_folder.name, manifest.provenance, epoch=pack.source_date_epoch()),
            **_golden(job),
            **_evaluation(job),
            **_runner(job),
        },
        manifest,
        measured={
            PROFILE: job.file("profile", PROFILE),
            page.NAME: lambda manifest: page.render(manifest, description, profile, verdicts),
        },
        verdicts=verdicts,
        force=job.force,
    )
    return {
        "manifest": files.sha256(packed.folder / MANIFEST),
        "archive": files.sha256(packed.archive),
    }


def budgets(job: Job) -> tuple[BudgetReport, ...]:
    """Verdicts on the limits whose values repeat; all stages of ``job`` but the packing are finished."""
    return _budgets(job, _metrics(job))


def _manifest(job: Job) -> Manifest:
    metrics, budget, limits = _metrics(job), job.recipe.budget, board.limits(job)
    return Manifest(
        recipe=job.recipe.name,
        target=job.target.name,
        metric=job.value("evaluate")["metric"],
        metrics=metrics,
        pairs=_pairs(job),
        proof=ProofReport(**job.value("prove")),
        precision=_precision(job),
        training=_training(job),
        parity=ParityReport(**job.value("parity")[job.value("choose")["precision"]]),
        profile=ProfileReference(path=PROFILE),
        microcontroller=board.report(job),
        platform=Platform(runtime=job.target.runtime.name, architecture=job.target.hardware.architecture),
        candidates=_candidates(job),
        budgets=_budgets(job, metrics),
        gates=tuple(
            GateReport(name=gate.name, limit=limits.get(gate.name, gate.limit), require=budget.required)
            for gate in budget.gates
            if gate.name not in _FACTS
        ),
        provenance=provenance.collect(
            packages=[name for name in fingerprint.packages() if name != "python"],
            seed=job.recipe.seed,
            inputs=_inputs(job),
            folder=job.recipe.folder,
        ),
    )


def _candidates(job: Job) -> tuple[PlanReport, ...]:
    return tuple(
        PlanReport(
            **asdict(result.candidate),
            macs=result.macs,
            loss=_finite(result.repaired.loss),
            accuracy=result.repaired.accuracy,
            trained_loss=None if result.trained is None else _finite(result.trained.loss),
            trained_accuracy=None if result.trained is None else result.trained.accuracy,
            chosen=result.chosen,
        )
        for result in candidates.results(job)
    )


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _inputs(job: Job) -> dict[str, str]:
    """Hashes of what went in: also of the latency table, where a prediction was made by one."""
    found = {name: content for name, content in job.inputs.items() if content is not None}
    table = job.target.latency_table
    if table is not None and "latency_ms" in job.value("select")["after"]:
        found["latency_table"] = files.sha256(table)
    return found


def _models(job: Job) -> Mapping[str, Path]:
    """The one file, or for a board that builds its own engine those it may build it from."""
    if not job.backend.chooses_precision_on_device:
        return {f"model{job.shipped_file.suffix}": job.shipped_file}
    chosen, made = job.value("choose"), job.value("quantize")
    shipped = [file for name in (*chosen["along"], chosen["precision"]) for file in made[name]["files"]]
    return {PRUNED_ONNX: job.file("export", PRUNED_ONNX), **{file: job.file("quantize", file) for file in shipped}}


def _golden(job: Job) -> Mapping[str, Path]:
    """File of golden samples with the outputs that the model must return wherever it runs."""
    file = job.file("evaluate-shipped", GOLDEN)
    return {GOLDEN: file} if file.is_file() else {}


def _evaluation(job: Job) -> Mapping[str, Path]:
    """Results of the shipped model on every sample; not available for a metric of the user's own."""
    file = job.file("evaluate-shipped", evaluation.NAME)
    return {evaluation.NAME: file} if file.is_file() else {}


def _runner(job: Job) -> Mapping[str, Path | str]:
    from edgeprune.backends.base import ShippedModel

    _, *others = job.value("quantize")[job.value("choose")["precision"]]["files"] or [""]
    return job.backend.bundle_files(
        ShippedModel(
            file=job.shipped_file,
            name=job.bundle_folder.name,
            target=job.target,
            samples=job.reported_split,
            other_files=tuple(job.file("quantize", name) for name in others),
        )
    )


def _precision(job: Job) -> PrecisionReport:
    chosen, made = job.value("choose"), job.value("quantize")
    return PrecisionReport(
        shipped=chosen["precision"],
        reason=chosen["reason"],
        along=chosen["along"],
        float_nodes=made[chosen["precision"]].get("float_nodes", ()),
        candidates={
            name: CandidateReport(
                accuracy=job.value("parity")[name]["accuracy"],
                file_bytes=file.stat().st_size,
                top1_agreement=job.value("parity")[name]["top1_agreement"],
            )
            for name, file in job.exported.items()
        },
    )


def _pairs(job: Job) -> PairsReport | None:
    """Dense and shipped, sample by sample; None for a network that is not a classifier."""
    file, dense = job.file("evaluate-shipped", evaluation.NAME), job.value("evaluate-dense")["correct"]
    if not dense or not file.is_file():
        return None
    shipped = evaluation.Evaluation.parse(file.read_bytes(), where=file)
    before, now = int.from_bytes(base64.b64decode(dense), "big"), shipped.bits
    return PairsReport(lost=(before & ~now).bit_count(), gained=(now & ~before).bit_count())


def _training(job: Job) -> TrainingReport | None:
    trained = job.value("finetune")
    history = trained["history"]
    if history is None:
        return None
    epochs, best, start = history["epochs"], history["best_epoch"], history["start_accuracy"]
    kept = len(epochs) if job.recipe.training.keep == "last" else best
    return TrainingReport(
        **history["hyperparameters"],
        start_accuracy=start,
        accuracy=epochs[kept - 1]["validation_accuracy"] if kept else start,
        best_epoch=kept,
        phases=epochs[-1]["stretch"] if epochs else 1,
        still_rising=trained["still_rising"],
    )


def _metrics(job: Job) -> AllMetrics:
    found = {
        "dense": ("before", "evaluate-dense", job.value("preflight")["file_bytes"]),
        "pruned": ("after", "evaluate", job.value("export")["file_bytes"]),
        "shipped": ("after", "evaluate-shipped", job.shipped_file.stat().st_size),
    }
    return AllMetrics(
        **{
            network: Metrics(
                macs=job.value("select")[when]["macs"],
                params=job.value("select")[when]["params"],
                accuracy=job.value(evaluation)["accuracy"],
                samples=job.value(evaluation)["samples"],
                file_bytes=file_bytes,
                predicted_latency_ms=board.predicted_ms(job, when),
            )
            for network, (when, evaluation, file_bytes) in found.items()
        }
    )


_KINDS: dict[str, Literal["estimated"]] = dict.fromkeys(("latency_ms", "flash_bytes", "arena_bytes"), "estimated")
"""Costs that are predicted; the others are counted."""
_FACTS = ("accuracy", "file_bytes")
"""Limits besides costs whose values repeat from build to build."""


def _budgets(job: Job, metrics: AllMetrics) -> tuple[BudgetReport, ...]:
    """Verdicts on what repeats; those on measurements are no part of the manifest.

    What the recipe requires of evidence it requires for its own limits, not for those of a board.
    """
    reached, budget = board.reached(job), job.recipe.budget
    required = dict.fromkeys(budget.aims.costs, budget.required)
    gated = {gate.name for gate in budget.gates}
    return (
        *(
            verdict(name, limit, reached[name], _KINDS.get(name, "exact"), required=required.get(name, "estimated"))
            for name, limit in board.limits(job).items()
            if name not in gated
        ),
        *(
            verdict(name, gate.resolved(getattr(metrics.dense, name)), getattr(metrics.shipped, name), "exact")
            for gate in job.recipe.budget.gates
            if (name := gate.name) in _FACTS
        ),
    )


def _holds(job: Job, values: Mapping[str, Any]) -> bool:
    """Whether the bundle still lies in the output folder, whole and as it was written; not if it is measured anew."""
    if job.lock.update:
        return False
    if not (job.archive.is_file() and (job.bundle_folder / MANIFEST).is_file()):
        return False
    if files.sha256(job.archive) != values["archive"]:
        return False
    if files.sha256(job.bundle_folder / MANIFEST) != values["manifest"]:
        return False
    entries = Manifest.load(job.bundle_folder).files
    entries |= Measured.load(job.bundle_folder).files
    inside = {path: job.bundle_folder / path for path in entries}
    return {PROFILE, page.NAME} <= entries.keys() and all(
        file.is_file() and files.sha256(file) == entries[path].sha256 for path, file in inside.items()
    )


STAGE = Stage(
    "bundle",
    "bundle",
    after=(
        "preflight",
        "describe",
        "sensitivity",
        "evaluate-dense",
        "evaluate",
        "parity",
        "evaluate-shipped",
        "profile",
        "prove",
    ),
    settings=_settings,
    run=_run,
    holds=_holds,
)
