"""How sure the difference of two measurements is. Without numpy: a comparison starts at once."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Sequence

PROCESS_NOISE = 0.03
"""What the latency of one file differs by from process to process, as a share: the half width of its 95 % interval.

Memory is laid out anew in each process, so blocks of one process agree with each other better than processes do.
``scripts/bench_noise.py`` measures it on a machine.
"""
MEMORY_NOISE = 0.05
"""The same of peak memory."""
_Z = 1.959964
"""Of a normal distribution, for 95 %."""
_T = (12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228)
"""The same of Student's t with 1, 2, ... degrees of freedom."""

Blocks = Sequence[Sequence[float]]
Statistic = Callable[[Sequence[float]], float]


def percentile(values: Sequence[float], percent: float) -> float:
    """The percentile, interpolated linearly, as profiles have it."""
    ordered = sorted(values)
    place = (len(ordered) - 1) * percent / 100
    low = math.floor(place)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (ordered[high] - ordered[low]) * (place - low)


STATISTICS: dict[str, Statistic] = {
    "p50": lambda values: percentile(values, 50),
    "p90": lambda values: percentile(values, 90),
    "p95": lambda values: percentile(values, 95),
    "p99": lambda values: percentile(values, 99),
    "min": min,
    "mean": statistics.fmean,
}
"""What is compared of latencies, by name."""


def block_noise(base: Blocks, new: Blocks, statistic: Statistic) -> float:
    """Half width of the 95 % interval of log(new / base), by what ``statistic`` differs between blocks.

    Student's t over the logarithms of the statistic in each block: drift between blocks widens it. Infinite where there
    is a single block, which says nothing of its own noise.
    """
    variance, freedom = 0.0, 0
    for blocks in (base, new):
        logs = [math.log(statistic(block)) for block in blocks]
        if len(logs) < 2:
            return math.inf
        variance += statistics.variance(logs) / len(logs)
        freedom += len(logs) - 1
    return _t(freedom) * math.sqrt(variance)


def paired_noise(base: Blocks, new: Blocks, statistic: Statistic) -> float:
    """The same where block i of both was measured one right after the other: drift that hit both is in neither.

    Student's t over the logarithms of the ratio of each pair.
    """
    logs = [math.log(statistic(ours) / statistic(its)) for its, ours in zip(base, new, strict=True)]
    if len(logs) < 2:
        return math.inf
    return _t(len(logs) - 1) * math.sqrt(statistics.variance(logs) / len(logs))


def share_difference(base: float, base_samples: int, new: float, new_samples: int) -> tuple[float, float]:
    """95 % interval of ``new - base``, two shares of so many samples (Newcombe, 1998, method 10).

    It takes the two for independent. On the same samples they are not, and the interval is wider than it need be.
    """
    (low_base, high_base), (low_new, high_new) = _wilson(base, base_samples), _wilson(new, new_samples)
    difference = new - base
    return (
        difference - math.hypot(new - low_new, high_base - base),
        difference + math.hypot(high_new - new, base - low_base),
    )


def _t(freedom: int) -> float:
    return _T[freedom - 1] if freedom <= len(_T) else _Z


def _wilson(share: float, samples: int) -> tuple[float, float]:
    """95 % interval of a share (Wilson, 1927)."""
    square = _Z * _Z / samples
    centre = (share + square / 2) / (1 + square)
    half = _Z * math.sqrt(share * (1 - share) / samples + square / (4 * samples)) / (1 + square)
    return centre - half, centre + half
