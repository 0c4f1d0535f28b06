"""Measure latency and memory of the dense and the pruned network, on this machine or another device.

A backend that computes RAM and flash without a device reports them instead.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgeprune.bundle.microcontroller_report import AgreementReport, LatencyEstimate
from edgeprune.config import Recipe, Target
from edgeprune.pipeline import fingerprint
from edgeprune.pipeline.build_context import BuildContext
from edgeprune.pipeline.file_names import PROFILE
from edgeprune.pipeline.microcontrollers.board_figures import footprint_report
from edgeprune.pipeline.results.deployment_results import Footprint, FootprintsResult, ProfileResult
from edgeprune.pipeline.results.evaluation_results import PrunedEvaluationResult
from edgeprune.pipeline.results.export_results import ExportResult, QuantizeResult
from edgeprune.pipeline.results.loading_results import PreflightResult
from edgeprune.pipeline.results.pruning_results import PlanResult
from edgeprune.pipeline.stage import Stage, StageDir
from edgeprune.profile.profile_result import DENSE, PRUNED, Profile

if TYPE_CHECKING:
    from edgeprune.backends import footprint as backend_footprint
    from edgeprune.backends.batching import Array
    from edgeprune.config.target import Precision
    from edgeprune.model.data import Split

_MAX_COMPARED_MACS = 12_000_000_000
"""Largest number of multiply-adds of all compared samples: reference kernels take about 1.4 ns for each."""
_MIN_SAMPLES = 100


def _settings(recipe: Recipe, target: Target) -> Mapping[str, Any]:
    return {
        "profile": target.profile.model_dump(mode="json"),
        "runtime": target.runtime.model_dump(mode="json"),
        "clock_mhz": target.hardware.clock_mhz,
        "board": target.microcontroller and target.microcontroller.model_dump(mode="json"),
        "seed": recipe.seed,
        "machine": fingerprint.machine(),
        "compared": [_MAX_COMPARED_MACS, _MIN_SAMPLES],
    }


def _run(
    context: BuildContext,
    stage_dir: StageDir,
    *,
    preflight: PreflightResult,
    plan: PlanResult,
    exported: ExportResult,
    quantized: QuantizeResult,
) -> ProfileResult:
    models = quantized.files(exported)
    footprints = _footprints(context, stage_dir, preflight, plan, models)
    profile = _measured(context, stage_dir, preflight.dense, models) if footprints is None else _not_measured(context)
    (stage_dir.out / PROFILE).write_text(profile.to_json(), encoding="utf-8")
    return ProfileResult(profile=stage_dir.out / PROFILE, footprints=footprints)


def _measured(context: BuildContext, stage_dir: StageDir, dense: Path, models: Mapping[Precision, Path]) -> Profile:
    """Return the profile of the models that run on the device as they will run on the target."""
    from edgeprune.devices import Local
    from edgeprune.profile import measure
    from edgeprune.profile.profile_devices import invalid

    threads, is_local = context.target.runtime.threads, isinstance(context.device, Local)
    cores = fingerprint.machine()["cores"]
    # Pruning is evaluated with float32. Other precisions are compared with it if they run here as on the target.
    host = context.backend.host
    compared = {name: file for name, file in models.items() if host is context.backend or name == "float32"}
    settings = context.target.profile
    profile = measure(
        {
            DENSE: dense,
            **{PRUNED if name == "float32" else name: file for name, file in compared.items()},
        },
        context.device,
        threads=min(threads or cores, cores) if is_local else threads,
        warmup=settings.warmup,
        runs=settings.runs,
        blocks=settings.blocks,
        spinning=context.target.runtime.spinning,
        seed=context.recipe.seed,
        progress=stage_dir.progress,
    )
    problem = None if is_local else invalid(profile)
    if problem is not None:
        raise problem
    return profile


def _not_measured(context: BuildContext) -> Profile:
    """Return a profile without models, as latency and memory of this machine say nothing about a microcontroller."""
    device = {"uri": "", "runtime": context.backend.name, "runtime_version": context.backend.installed_version}
    return Profile(device, {}, {}, {})


def _footprints(
    context: BuildContext,
    stage_dir: StageDir,
    preflight: PreflightResult,
    plan: PlanResult,
    models: Mapping[Precision, Path],
) -> FootprintsResult | None:
    """Return RAM and flash of the dense and the pruned model, and the agreement with the host; None if unknown."""
    dense = context.backend.footprint(preflight.probe, context.target)
    if dense is None:
        return None
    *_, file = models.values()
    shipped = context.backend.footprint(file, context.target)
    assert shipped is not None
    return FootprintsResult(
        dense=_with_latency(context, dense, plan.before["macs"]),
        shipped=_with_latency(context, shipped, plan.after["macs"]),
        agreement=_agreement(context, file, plan.after["macs"], stage_dir) if "int8" in models else None,
    )


def _with_latency(context: BuildContext, footprint: backend_footprint.Footprint, macs: float) -> Footprint:
    latency = context.backend.estimate_latency(footprint, context.target, round(macs))
    assert latency is not None, "a backend with footprints estimates latency"
    return Footprint(memory=footprint_report(footprint), latency=LatencyEstimate(**asdict(latency)))


def _agreement(context: BuildContext, file: Path, macs: float, stage_dir: StageDir) -> AgreementReport:
    split = context.reported_split
    count = min(len(split), max(_MIN_SAMPLES, _MAX_COMPARED_MACS // max(round(macs), 1)))
    samples, labels = _first(split, count)
    is_default = context.objective.is_default and context.evaluator(split).is_default
    agreement = context.backend.compare_with_host(
        file, samples, classes=is_default, labels=labels if is_default else None, progress=stage_dir.progress
    )
    assert agreement is not None
    return AgreementReport(**asdict(agreement))


def _first(split: Split, count: int) -> tuple[Array, Array]:
    """Return the first ``count`` samples (N, ...), and their labels (N, ...)."""
    import numpy as np

    inputs, labels, total = [], [], 0
    for batch, batch_labels in split.batches(count):
        inputs.append(batch.numpy())
        labels.append(batch_labels.numpy())
        total += len(labels[-1])
        if total >= count:
            break
    return np.concatenate(inputs)[:count], np.concatenate(labels)[:count]


STAGE = Stage(
    "profile",
    "profile",
    _run,
    _settings,
    after=(PrunedEvaluationResult,),
    reads_device=True,
    is_valid=lambda context, _: not context.lock.update,
)
