"""Pack what is shipped."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from edgeprune import files
from edgeprune.bundle import manifest, pack, provenance
from edgeprune.bundle.manifest import (
    AllMetrics,
    BudgetReport,
    CandidateReport,
    Manifest,
    Metrics,
    ParityReport,
    PrecisionReport,
    ProfileReference,
    ProofReport,
)
from edgeprune.config import Recipe, Target
from edgeprune.pipeline import board, fingerprint
from edgeprune.pipeline.job import PLAN, PROFILE, PRUNED_ONNX, WEIGHTS, Job
from edgeprune.pipeline.stage import Space, Stage
from edgeprune.profile import LITERT_REQUIREMENTS, LITERT_RUNNER, REQUIREMENTS, RUNNER, TENSORRT_RUNNER


def _settings(recipe: Recipe, target: Target) -> Mapping[str, Any]:
    return {
        "recipe": recipe.name,
        "target": target.name,
        "board": [target.microcontroller and target.microcontroller.model_dump(), target.limits, target.ms_per_mac],
    }


def _run(job: Job, _space: Space) -> Mapping[str, Any]:
    packed = pack.write(
        job.bundle_folder,
        {
            **_models(job),
            PLAN: job.file("select", PLAN),
            WEIGHTS: job.file("finetune", WEIGHTS),
            **_runner(job),
        },
        Manifest(
            recipe=job.recipe.name,
            target=job.target.name,
            metric=job.value("evaluate")["metric"],
            metrics=_metrics(job),
            proof=ProofReport(**job.value("prove")),
            precision=_precision(job),
            parity=ParityReport(**job.value("parity")[job.value("choose")["precision"]]),
            profile=ProfileReference(path=PROFILE),
            microcontroller=board.report(job),
            budgets=_budgets(job),
            provenance=provenance.collect(
                packages=[name for name in fingerprint.packages() if name != "python"],
                seed=job.recipe.seed,
                inputs={name: content for name, content in job.inputs.items() if content is not None},
                folder=job.recipe.folder,
            ),
        ),
        measured={PROFILE: job.file("profile", PROFILE)},
    )
    return {
        "manifest": files.sha256(packed.folder / manifest.NAME),
        "archive": files.sha256(packed.archive),
    }


def _models(job: Job) -> Mapping[str, Path]:
    """The one file, or for a board that builds its own engine those it may build it from."""
    if job.target.runtime.name != "tensorrt":
        return {f"model{job.shipped_file.suffix}": job.shipped_file}
    chosen, made = job.value("choose"), job.value("quantize")
    shipped = [file for name in (*chosen["along"], chosen["precision"]) for file in made[name]["files"]]
    return {PRUNED_ONNX: job.file("export", PRUNED_ONNX), **{file: job.file("quantize", file) for file in shipped}}


def _runner(job: Job) -> Mapping[str, Path | str]:
    if job.target.microcontroller is not None:
        return board.firmware(job)
    if job.target.runtime.name == "onnxruntime":
        return {"run.py": RUNNER, "requirements.txt": REQUIREMENTS}
    if job.target.runtime.name == "litert":
        return {"run.py": LITERT_RUNNER, "requirements.txt": LITERT_REQUIREMENTS}
    first, *others = TENSORRT_RUNNER
    return {"run.py": first, **{path.name: path for path in others}}


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


def _budgets(job: Job) -> tuple[BudgetReport, ...]:
    reached = board.reached(job)
    return tuple(
        BudgetReport(
            name=name, limit=limit, value=reached[name], kind=_KINDS.get(name, "exact"), ok=reached[name] <= limit
        )
        for name, limit in board.limits(job).items()
    )


def _holds(job: Job, values: Mapping[str, Any]) -> bool:
    """Whether the bundle still lies in the output folder, whole and as it was written."""
    if not (job.archive.is_file() and (job.bundle_folder / manifest.NAME).is_file()):
        return False
    if files.sha256(job.archive) != values["archive"]:
        return False
    if files.sha256(job.bundle_folder / manifest.NAME) != values["manifest"]:
        return False
    entries = Manifest.load(job.bundle_folder).files
    inside = {path: job.bundle_folder / path for path in entries}
    return (job.bundle_folder / PROFILE).is_file() and all(
        file.is_file() and files.sha256(file) == entries[path].sha256 for path, file in inside.items()
    )


STAGE = Stage(
    "bundle",
    "bundle",
    after=("preflight", "evaluate-dense", "evaluate", "parity", "evaluate-shipped", "profile", "prove"),
    settings=_settings,
    run=_run,
    holds=_holds,
)
