"""Parts of a bundle that only microcontrollers have."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from edgeprune.bundle.microcontroller import (
    AgreementReport,
    ArenaReport,
    CompilerReport,
    FlashReport,
    FootprintReport,
    LatencyEstimate,
    MicrocontrollerReport,
    PeakReport,
)

if TYPE_CHECKING:
    from edgeprune.pipeline.job import Job


def report(job: Job) -> MicrocontrollerReport | None:
    """For the manifest; None for another target."""
    found = job.value("profile")["footprint"]
    if found is None:
        return None
    return MicrocontrollerReport(
        dense=_footprint(found["dense"]),
        shipped=_footprint(found["shipped"]),
        limits=job.target.limits,
        dense_latency=LatencyEstimate(**found["dense"]["latency"]),
        latency=LatencyEstimate(**found["shipped"]["latency"]),
        agreement=AgreementReport(**found["agreement"]) if "agreement" in found else None,
    )


def limits(job: Job) -> dict[str, float]:
    """The limits of the budget, with those of the board where they are lower or alone."""
    found: dict[str, float] = dict(job.value("select")["limits"])
    for name, limit in job.target.limits.items():
        found[name] = min(limit, found.get(name, limit))
    return found


def reached(job: Job) -> dict[str, float]:
    """Final value of each cost; arena, flash and estimated latency are those of the shipped file."""
    found: dict[str, float] = dict(job.value("select")["after"])
    footprint = job.value("profile")["footprint"]
    if footprint is not None:
        shipped = footprint["shipped"]
        found.update({name: shipped[name] for name in job.target.limits}, latency_ms=shipped["latency"]["latency_ms"])
    return found


def predicted_ms(job: Job, when: str) -> float | None:
    """Latency of the dense network (``before``) or the pruned one (``after``); None where nothing predicts it."""
    footprint = job.value("profile")["footprint"]
    if footprint is None:
        costs: Mapping[str, float] = job.value("select")[when]
        return costs.get("latency_ms")
    latency: float = footprint["dense" if when == "before" else "shipped"]["latency"]["latency_ms"]
    return latency


def _footprint(found: Mapping[str, Any]) -> FootprintReport:
    return FootprintReport(
        arena=ArenaReport(
            host_kind=found["activation_kind"],
            **found["arena"],
            restated_bytes=found["restated_bytes"],
            scratch_bytes=found["scratch_bytes"],
            arena_bytes=found["arena_bytes"],
        ),
        peak=None if found["peak"] is None else PeakReport(**found["peak"]),
        flash=FlashReport(
            file_bytes=found["file_bytes"],
            golden_bytes=found["golden_bytes"],
            code=found["code"],
            flash_bytes=found["flash_bytes"],
            band_bytes=found["flash_band"],
            source=found["code_source"],
        ),
        compiler=None if found["compiler"] is None else CompilerReport(**found["compiler"]),
    )
