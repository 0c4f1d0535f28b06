"""Figures of a latency, and of the ratio of two. Imports no numpy: profiles are read without it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, TypeVar

from pydantic import AfterValidator, Field

_Sized = TypeVar("_Sized", bound=tuple[object, ...])


def _some(values: _Sized) -> _Sized:
    if not values:
        raise ValueError("there must be at least one")
    return values


Finite = Annotated[float, Field(allow_inf_nan=False)]
LayerMilliseconds = Annotated[float, Field(ge=0, le=1e9, allow_inf_nan=False)]
Milliseconds = Annotated[float, Field(ge=1e-9, le=1e9, allow_inf_nan=False)]
Blocks = Annotated[tuple[Annotated[tuple[Milliseconds, ...], AfterValidator(_some)], ...], AfterValidator(_some)]


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
    """One median over another.

    Attributes:
        value: New over base; below 1 is faster.
        low: Lower end of the confidence interval.
        high: Upper end.
        confidence: Of the interval, such as 0.95.
    """

    value: Finite
    low: Finite
    high: Finite
    confidence: Finite
