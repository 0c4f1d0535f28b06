"""Latency statistics and latency ratios. The module does not import numpy, so profiles are read without it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, TypeVar

from pydantic import AfterValidator, Field

_Sized = TypeVar("_Sized", bound=tuple[object, ...])


def _some(values: _Sized) -> _Sized:
    if not values:
        raise ValueError("at least one value is required")
    return values


Finite = Annotated[float, Field(allow_inf_nan=False)]
LayerMilliseconds = Annotated[float, Field(ge=0, le=1e9, allow_inf_nan=False)]
Milliseconds = Annotated[float, Field(ge=1e-9, le=1e9, allow_inf_nan=False)]
Blocks = Annotated[tuple[Annotated[tuple[Milliseconds, ...], AfterValidator(_some)], ...], AfterValidator(_some)]


@dataclass(frozen=True)
class Latency:
    """Latency of one inference, in milliseconds.

    Attributes:
        p50: Median.
        p90: 90th percentile.
        p95: 95th percentile.
        p99: 99th percentile.
        min: Minimum over all runs.
        mean: Mean over all runs.
        variation: Coefficient of variation: standard deviation over mean.
        runs: Number of runs.
    """

    p50: Milliseconds
    p90: Milliseconds
    p95: Milliseconds
    p99: Milliseconds
    min: Milliseconds
    mean: Milliseconds
    variation: Finite
    runs: int


@dataclass(frozen=True)
class Ratio:
    """Ratio of two median latencies.

    Attributes:
        value: New median over base median; below 1 is faster.
        low: Lower end of the confidence interval.
        high: Upper end of the confidence interval.
        confidence: Confidence level of the interval, such as 0.95.
    """

    value: Finite
    low: Finite
    high: Finite
    confidence: Finite
