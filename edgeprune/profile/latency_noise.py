"""Confidence intervals for the ratio of two latencies, which decide whether a model is faster or slower.

The build (is int8 faster?), ``profile`` and ``compare`` use them. The module imports neither numpy nor scipy, so that
``compare`` starts fast.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from edgeprune.profile.latency_figures import Ratio

PROCESS_NOISE = 0.03
"""Half width of the 95 % interval of the latency difference of one file between processes, as a fraction.

Memory is laid out again in each process, so blocks of one process agree with each other better than processes do.
``scripts/bench_noise.py`` measures it on a machine.
"""
MEMORY_NOISE = 0.05
"""Half width of the 95 % interval of the difference of peak memory between processes, as a fraction."""
_CONFIDENCE = 0.95
_Z = 1.959964
"""97.5 % quantile of the normal distribution."""
_T = (12.706205, 4.302653, 3.182446, 2.776445, 2.570582, 2.446912, 2.364624, 2.306004, 2.262157, 2.228139)
"""97.5 % quantiles of Student's t distribution with 1, 2, ... degrees of freedom."""
_DOUBLINGS = 16

Blocks = Sequence[Sequence[float]]
Statistic = Callable[[Sequence[float]], float]


def percentile(values: Sequence[float], percent: float) -> float:
    """Return the percentile with linear interpolation, as in ``numpy.percentile``."""
    ordered = sorted(values)
    position = (len(ordered) - 1) * percent / 100
    low = math.floor(position)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (ordered[high] - ordered[low]) * (position - low)


def median(values: Sequence[float]) -> float:
    return percentile(values, 50)


STATISTICS: dict[str, Statistic] = {
    "p50": median,
    "p90": lambda values: percentile(values, 90),
    "p95": lambda values: percentile(values, 95),
    "p99": lambda values: percentile(values, 99),
    "min": min,
    "mean": statistics.fmean,
}
"""Compared statistics of latencies, by name."""


@dataclass(frozen=True)
class Spread:
    """Spread of log(new / base) between blocks, and between processes.

    Attributes:
        variance: Variance of the mean over the measured blocks.
        blocks: Number of measured blocks, of both models if they were not measured in pairs.
        means: Number of means that were estimated from the blocks: 1 for pairs of blocks, else 2.
    """

    variance: float
    blocks: int
    means: int

    def half_width(self, times: int = 1) -> float:
        """Return the half width of the 95 % interval for ``times`` as many blocks: Student's t and ``PROCESS_NOISE``.

        Infinite for a single block, which has no measurable noise.
        """
        if self.blocks <= self.means:
            return math.inf
        blocks = student_t(self.blocks * times - self.means) * math.sqrt(self.variance / times)
        return math.hypot(blocks, math.log1p(PROCESS_NOISE))

    def blocks_to_decide(self, margin: float) -> int | None:
        """Return the number of blocks per model for a half width of at most ``margin``; None if no number is enough."""
        times = next((1 << step for step in range(1, _DOUBLINGS) if self.half_width(1 << step) <= margin), None)
        return None if times is None else -(-self.blocks * times // self.means)


def spread(base: Blocks, new: Blocks, statistic: Statistic) -> Spread:
    """Return the spread of two models that were measured independently.

    Both models need at least two blocks; otherwise the noise is unknown.
    """
    logs = [[math.log(statistic(block)) for block in blocks] for blocks in (base, new)]
    if min(map(len, logs)) < 2:
        return Spread(0.0, 0, 2)
    return Spread(sum(statistics.variance(side) / len(side) for side in logs), sum(map(len, logs)), 2)


def paired_spread(base: Blocks, new: Blocks, statistic: Statistic) -> Spread:
    """Return the spread of two interleaved models: drift that affects both blocks of a pair cancels."""
    logs = [math.log(statistic(ours) / statistic(its)) for its, ours in zip(base, new, strict=True)]
    if len(logs) < 2:
        return Spread(0.0, 0, 1)
    return Spread(statistics.variance(logs) / len(logs), len(logs), 1)


def ratio(base: Blocks, new: Blocks) -> Ratio:
    """Return the ratio of the medians of two interleaved models, with its 95 % interval.

    The interval is ``paired_spread`` of the block medians. A single block gives the interval from 0 to infinity.

    Args:
        base: Latencies of the base model in milliseconds, by block.
        new: Latencies of the new model in milliseconds, with the same number of blocks.
    """
    value = median([run for block in new for run in block]) / median([run for block in base for run in block])
    width = paired_spread(base, new, median).half_width()
    return Ratio(value, value * math.exp(-width), value * math.exp(width), _CONFIDENCE)


def student_t(freedom: int) -> float:
    """Return the 97.5 % quantile of Student's t distribution, to a relative error of 1e-5.

    Values above ten degrees of freedom come from the asymptotic expansion of Hill (Communications of the ACM 13, 1970,
    algorithm 396; Abramowitz and Stegun, 26.7.5).

    Args:
        freedom: Degrees of freedom, from 1.
    """
    if freedom <= len(_T):
        return _T[freedom - 1]
    terms = (
        (_Z**3 + _Z) / 4,
        (5 * _Z**5 + 16 * _Z**3 + 3 * _Z) / 96,
        (3 * _Z**7 + 19 * _Z**5 + 17 * _Z**3 - 15 * _Z) / 384,
        (79 * _Z**9 + 776 * _Z**7 + 1482 * _Z**5 - 1920 * _Z**3 - 945 * _Z) / 92160,
    )
    return _Z + sum(term / math.pow(freedom, power) for power, term in enumerate(terms, start=1))
