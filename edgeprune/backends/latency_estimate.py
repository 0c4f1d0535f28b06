"""Latency of a model file that a backend estimates without a device."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class LatencyEstimate:
    """Estimated latency of one inference.

    Attributes:
        latency_ms: Estimated latency in milliseconds.
        low_ms: Lower end of the error band in milliseconds; None if the band is not known.
        high_ms: Upper end of the error band in milliseconds; None if the band is not known.
        macs: Multiply-adds of the network.
        clock_mhz: Clock of the processor in MHz.
        cycles: Cycles of one inference, if the estimate is based on them; else None.
        cycles_per_mac: Low, typical and high cycles of one multiply-add, if the estimate is based on them; else None.
        source: Source of the cycles.
    """

    latency_ms: float
    low_ms: float | None = None
    high_ms: float | None = None
    macs: int
    clock_mhz: int
    cycles: int | None = None
    cycles_per_mac: tuple[float, float, float] | None = None
    source: str
