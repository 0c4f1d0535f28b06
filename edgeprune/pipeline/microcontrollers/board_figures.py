"""Figures of a network on a microcontroller for the manifest and the budgets of a bundle."""

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
    """The part of the manifest; None for another target."""
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
    """Limits of the budget, with those of the board where they are lower or alone."""
    found = dict(plan.limits)
    for name, limit in target.limits.items():
        found[name] = min(limit, found.get(name, limit))
    return found


def reached(plan: PlanResult, profiled: ProfileResult) -> dict[str, float]:
    """Final value of each cost; arena, flash and estimated latency are those of the shipped file."""
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
    """Latency of the dense and of the pruned network; None where nothing predicts it."""
    footprints = profiled.footprints
    if footprints is None:
        return plan.before.get("latency_ms"), plan.after.get("latency_ms")
    return footprints.dense.latency.latency_ms, footprints.shipped.latency.latency_ms


def footprint_report(found: Footprint) -> FootprintReport:
    """RAM and flash of a file, as the manifest has them."""
    return FootprintReport(
        arena=ArenaReport(
            host_kind=found.activation_kind,
            **asdict(found.arena),
            restated_bytes=found.arena.restated_for_32_bit,
            scratch_bytes=found.scratch_bytes,
            arena_bytes=found.arena_bytes,
        ),
        peak=None if found.peak is None else PeakReport(**asdict(found.peak)),
        flash=FlashReport(
            file_bytes=found.file_bytes,
            golden_bytes=found.golden_bytes,
            code=dict(found.code),
            flash_bytes=found.flash_bytes,
            band_bytes=found.flash_band,
            source=found.code_source,
        ),
        compiler=None if found.compiler is None else CompilerReport(**asdict(found.compiler)),
    )
