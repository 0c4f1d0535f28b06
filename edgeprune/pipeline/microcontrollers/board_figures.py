"""Memory and latency of a network on a microcontroller, for the manifest and the budgets of a bundle."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

from edgeprune.bundle.microcontroller_report import (
    ArenaReport,
    CompilerReport,
    FlashReport,
    FootprintReport,
    MicrocontrollerReport,
    PeakReport,
)
from edgeprune.config import Target
from edgeprune.pipeline.results.deployment_results import ProfileResult
from edgeprune.pipeline.results.pruning_results import PlanResult

if TYPE_CHECKING:
    from edgeprune.backends.footprint import Footprint


def report(target: Target, profiled: ProfileResult) -> MicrocontrollerReport | None:
    """Return the microcontroller section of the manifest; None for another target."""
    footprints = profiled.footprints
    if footprints is None:
        return None
    return MicrocontrollerReport(
        dense=footprints.dense.memory,
        shipped=footprints.shipped.memory,
        limits=target.limits,
        dense_latency=footprints.dense.latency,
        latency=footprints.shipped.latency,
        agreement=footprints.agreement,
    )


def limits(target: Target, plan: PlanResult) -> dict[str, float]:
    """Return the limits of budget and board by cost name; the lower one if both limit a cost."""
    limits = dict(plan.limits)
    for name, limit in target.limits.items():
        limits[name] = min(limit, limits.get(name, limit))
    return limits


def reached(plan: PlanResult, profiled: ProfileResult) -> dict[str, float]:
    """Return the final value of each cost; arena, flash and estimated latency are those of the shipped file."""
    if profiled.footprints is None:
        return dict(plan.after)
    shipped = profiled.footprints.shipped
    return {
        **plan.after,
        "arena_bytes": shipped.memory.arena.arena_bytes,
        "flash_bytes": shipped.memory.flash.flash_bytes,
        "latency_ms": shipped.latency.latency_ms,
    }


def predicted_ms(plan: PlanResult, profiled: ProfileResult) -> tuple[float | None, float | None]:
    """Return the predicted latency of the dense and of the pruned network in milliseconds; None if not predicted."""
    footprints = profiled.footprints
    if footprints is None:
        return plan.before.get("latency_ms"), plan.after.get("latency_ms")
    return footprints.dense.latency.latency_ms, footprints.shipped.latency.latency_ms


def footprint_report(footprint: Footprint) -> FootprintReport:
    """Return RAM and flash of a file in the format of the manifest."""
    return FootprintReport(
        arena=ArenaReport(
            host_kind=footprint.activation_kind,
            **asdict(footprint.arena),
            restated_bytes=footprint.arena.restated_for_32_bit,
            scratch_bytes=footprint.scratch_bytes,
            arena_bytes=footprint.arena_bytes,
        ),
        peak=None if footprint.peak is None else PeakReport(**asdict(footprint.peak)),
        flash=FlashReport(
            file_bytes=footprint.file_bytes,
            golden_bytes=footprint.golden_bytes,
            code=dict(footprint.code),
            flash_bytes=footprint.flash_bytes,
            band_bytes=footprint.flash_band,
            source=footprint.code_source,
        ),
        compiler=None if footprint.compiler is None else CompilerReport(**asdict(footprint.compiler)),
    )
