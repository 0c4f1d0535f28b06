"""Intervals of latency ratios, against numpy and scipy."""

from __future__ import annotations

import math
import random

import numpy as np
import pytest
from scipy import stats

from edgeprune.profile.latency_noise import (
    PROCESS_NOISE,
    STATISTICS,
    paired_spread,
    percentile,
    ratio,
    spread,
    student_t,
)  # fmt: skip
from edgeprune.quantize import LatencyRatio

_PROCESSES = math.log1p(PROCESS_NOISE)


def latencies(blocks: int, seed: int, spread_of_blocks: float = 0.1) -> list[list[float]]:
    rng = random.Random(seed)
    return [[rng.lognormvariate(0, spread_of_blocks) for _ in range(20)] for _ in range(blocks)]


def test_percentiles_match_numpy() -> None:
    rng = random.Random(0)
    for count in (1, 2, 7, 100):
        values = [rng.random() for _ in range(count)]
        for percent in (0, 50, 90, 95, 99, 100):
            assert percentile(values, percent) == pytest.approx(float(np.percentile(values, percent)))


def test_student_t_matches_scipy_for_all_degrees_of_freedom() -> None:
    for freedom in (*range(1, 201), 1000, 100_000):
        assert student_t(freedom) == pytest.approx(stats.t.ppf(0.975, freedom), rel=1e-5), freedom


@pytest.mark.parametrize("blocks", [2, 3, 6, 7, 9])
def test_interval_of_independent_blocks_is_students_with_process_noise(blocks: int) -> None:
    base, new = latencies(blocks, 1), latencies(blocks, 2)
    logs = [[math.log(STATISTICS["p50"](block)) for block in side] for side in (base, new)]
    of_blocks = stats.t.ppf(0.975, 2 * blocks - 2) * math.sqrt(sum(np.var(side, ddof=1) / blocks for side in logs))
    result = spread(base, new, STATISTICS["p50"]).half_width()
    assert result == pytest.approx(math.hypot(of_blocks, _PROCESSES), rel=1e-5)


@pytest.mark.parametrize("blocks", [2, 3, 9, 13])
def test_interval_of_paired_blocks_is_students_with_process_noise(blocks: int) -> None:
    base, new = latencies(blocks, 1), latencies(blocks, 2)
    logs = [np.log([STATISTICS["p50"](block) for block in side]) for side in (base, new)]
    low, high = stats.ttest_rel(logs[1], logs[0]).confidence_interval(0.95)
    expected = math.hypot((high - low) / 2, _PROCESSES)
    assert paired_spread(base, new, STATISTICS["p50"]).half_width() == pytest.approx(expected, rel=1e-5)
    slowed = [[[value * (1 + index) for value in block] for index, block in enumerate(side)] for side in (base, new)]
    assert paired_spread(*slowed, STATISTICS["p50"]).half_width() == pytest.approx(expected, rel=1e-5)


def test_a_single_block_has_no_finite_interval() -> None:
    assert math.isinf(spread([[1.0, 2.0]], [[1.0], [2.0]], min).half_width())
    assert math.isinf(paired_spread([[1.0, 2.0]], [[1.0, 2.0]], min).half_width())
    assert (ratio([[1.0]], [[2.0]]).low, ratio([[1.0]], [[2.0]]).high) == (0.0, math.inf)


def test_blocks_to_decide_is_enough_and_half_of_it_is_not() -> None:
    for pairs in (paired_spread, spread):
        result = pairs(latencies(3, 1), latencies(3, 2), min)
        needed = result.blocks_to_decide(0.035)
        assert needed is not None
        times = needed // 3
        assert result.half_width(times) <= 0.035 < result.half_width(times // 2)
        assert result.blocks_to_decide(0.9 * _PROCESSES) is None  # no number of blocks is less noisy than processes


def test_ratio_excludes_one_only_beyond_process_noise() -> None:
    """Three quiet blocks: a gain of 2 % is within what processes differ by, so int8 must not ship for it."""

    def speed(factor: float) -> str:
        base = latencies(3, 1, 0.001)
        result = ratio(base, [[run * factor for run in block] for block in base])
        assert result.value == pytest.approx(factor)
        assert result.low < factor < result.high
        return LatencyRatio(result.value, result.low, result.high, "host").speed

    assert [speed(factor) for factor in (0.9, 0.98, 1.0, 1.02, 1.1)] == [
        "faster",
        "unsure",
        "unsure",
        "unsure",
        "slower",
    ]


def test_ratio_ignores_drift_of_pairs_and_is_widened_by_other_drift() -> None:
    rng = np.random.default_rng(4)
    base = [list(factor * rng.normal(10, 0.1, 200)) for factor in (1.0, 1.5, 3.0)]
    new = [list(factor * rng.normal(5, 0.1, 200)) for factor in (1.0, 1.5, 3.0)]
    result = ratio(base, new)
    assert result.value == pytest.approx(0.5, abs=0.01)
    assert result.high - result.low < 0.05
    steady = [list(rng.normal(10, 0.1, 200)) for _ in range(3)]
    drifting = ratio(steady, [list(rng.normal(mean, 0.1, 200)) for mean in (4.0, 5.0, 6.0)])
    assert drifting.low < 0.45
    assert drifting.high > 0.55
