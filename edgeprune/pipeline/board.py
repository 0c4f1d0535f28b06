"""Parts of a bundle that only microcontrollers have."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from edgeprune.bundle.microcontroller import (
    AgreementReport,
    ArenaReport,
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
    board, clock_mhz = job.target.microcontroller, job.target.hardware.clock_mhz
    if found is None or board is None or clock_mhz is None:
        return None
    macs, cycles = job.value("select")["after"]["macs"], board.cycles_per_mac
    low, typical, high = (macs * each / (clock_mhz * 1e3) for each in (cycles.low, cycles.typical, cycles.high))
    return MicrocontrollerReport(
        dense=_footprint(found["dense"]),
        shipped=_footprint(found["shipped"]),
        limits=job.target.limits,
        latency=LatencyEstimate(
            latency_ms=typical,
            low_ms=low,
            high_ms=high,
            macs=macs,
            clock_mhz=clock_mhz,
            cycles_per_mac=(cycles.low, cycles.typical, cycles.high),
            source=cycles.source,
        ),
        agreement=AgreementReport(**found["agreement"]) if "agreement" in found else None,
    )


def limits(job: Job) -> dict[str, float]:
    """The limits of the budget, with those of the board where they are lower or alone."""
    found: dict[str, float] = dict(job.value("select")["limits"])
    for name, limit in job.target.limits.items():
        found[name] = min(limit, found.get(name, limit))
    return found


def reached(job: Job) -> dict[str, float]:
    """Final value of each cost; arena and flash are those of the shipped file."""
    found: dict[str, float] = dict(job.value("select")["after"])
    footprint = job.value("profile")["footprint"]
    if footprint is not None:
        found.update({name: footprint["shipped"][name] for name in job.target.limits})
    return found


def predicted_ms(job: Job, when: str) -> float | None:
    """Latency of the dense network (``before``) or the pruned one (``after``); None where nothing predicts it."""
    costs: Mapping[str, Any] = job.value("select")[when]
    each = job.target.ms_per_mac
    return costs.get("latency_ms") if each is None else costs["macs"] * each


def _footprint(found: Mapping[str, Any]) -> FootprintReport:
    from edgeprune.backends.tflm.code import SOURCE

    return FootprintReport(
        arena=ArenaReport(
            **found["arena"],
            restated_bytes=found["restated_bytes"],
            scratch_bytes=found["scratch_bytes"],
            arena_bytes=found["arena_bytes"],
        ),
        peak=PeakReport(**found["peak"]),
        flash=FlashReport(
            file_bytes=found["file_bytes"],
            golden_bytes=found["golden_bytes"],
            code=found["code"],
            flash_bytes=found["flash_bytes"],
            band_bytes=found["flash_band"],
            source=SOURCE,
        ),
    )
