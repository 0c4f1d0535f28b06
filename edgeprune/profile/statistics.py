"""What a list of latencies says: percentiles, spread, and how sure the ratio of two medians is."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from edgeprune.profile.figures import Latency, Ratio

_RESAMPLES = 2000


def latency(blocks: Sequence[Sequence[float]]) -> Latency:
    """Describe all runs of all blocks (milliseconds); percentiles are interpolated linearly."""
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
    """How far the medians of blocks lie apart, over the median of all runs: 0 for a single block.

    Unlike the coefficient of variation it does not see the rare slow run that any system has, but it sees what makes
    two measurements differ: other programs, and clocks that change.
    """
    medians = [float(np.median(block)) for block in blocks]
    return (max(medians) - min(medians)) / latency(blocks).p50


def ratio(
    base: Sequence[Sequence[float]], new: Sequence[Sequence[float]], *, confidence: float = 0.95, seed: int = 0
) -> Ratio:
    """Ratio of medians with a bootstrap percentile interval (Efron 1979), resampled in two steps.

    Block i of both was measured one right after the other, so blocks are drawn in pairs, then runs within each block:
    drift between blocks widens the interval instead of hiding in it.

    Args:
        base: Latencies by block.
        new: As many blocks of the other model.
        confidence: Of the interval, in (0, 1).
        seed: Of the resampling.
    """
    rng = np.random.default_rng(seed)
    bases, news = ([np.asarray(block, np.float64) for block in blocks] for blocks in (base, new))
    drawn = np.empty(_RESAMPLES)
    for index in range(_RESAMPLES):
        chosen = rng.integers(len(bases), size=len(bases))
        drawn[index] = _median(news, chosen, rng) / _median(bases, chosen, rng)
    tail = (1 - confidence) / 2
    low, high = (float(value) for value in np.quantile(drawn, (tail, 1 - tail)))
    value = float(np.median(np.concatenate(news)) / np.median(np.concatenate(bases)))
    return Ratio(value=value, low=min(low, value), high=max(high, value), confidence=confidence)


def _median(blocks: list[np.ndarray], chosen: np.ndarray, rng: np.random.Generator) -> float:
    runs = [rng.choice(blocks[block], len(blocks[block])) for block in chosen]
    return float(np.median(np.concatenate(runs)))
