"""Statistics of latencies: percentiles, mean and noise. ``latency_noise`` compares two models."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from edgeprune.profile.latency_figures import Latency


def latency(blocks: Sequence[Sequence[float]]) -> Latency:
    """Return the statistics of all runs in milliseconds; percentiles are interpolated linearly."""
    values = np.concatenate([np.asarray(block, np.float64) for block in blocks])
    p50, p90, p95, p99 = (float(value) for value in np.percentile(values, (50, 90, 95, 99)))
    mean = float(values.mean())
    return Latency(
        p50=p50,
        p90=p90,
        p95=p95,
        p99=p99,
        min=float(values.min()),
        mean=mean,
        variation=float(values.std() / mean),
        runs=len(values),
    )


def noise(blocks: Sequence[Sequence[float]]) -> float:
    """Return the range of the block medians, relative to the median of all runs; 0 for a single block.

    Unlike the coefficient of variation, it ignores rare slow runs, which every system has. It detects causes of
    differences between measurements: other programs, and changing clocks.
    """
    medians = [float(np.median(block)) for block in blocks]
    return (max(medians) - min(medians)) / latency(blocks).p50
