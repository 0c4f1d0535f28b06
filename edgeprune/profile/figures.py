"""What is told of a latency, and of one beside another. Imports no numpy: profiles are read without it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Latency:
    """Latency of one inference, in milliseconds.

    Attributes:
        p50: Median; p90, p95 and p99 likewise.
        min: Of all runs.
        mean: Of all runs.
        variation: Coefficient of variation: standard deviation over mean.
        runs: How many.
    """

    p50: float
    p90: float
    p95: float
    p99: float
    min: float
    mean: float
    variation: float
    runs: int


@dataclass(frozen=True)
class Ratio:
    """One median over another.

    Attributes:
        value: New over base; below 1 is faster.
        low: Lower end of the confidence interval.
        high: Upper end.
        confidence: Of the interval, such as 0.95.
    """

    value: float
    low: float
    high: float
    confidence: float
