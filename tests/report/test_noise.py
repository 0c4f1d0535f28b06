"""Intervals without numpy, against references."""

from __future__ import annotations

import math
import random

import numpy as np
import pytest
from scipy import stats

from edgeprune.report.noise import STATISTICS, block_noise, paired_noise, percentile, share_difference


def test_percentiles_are_those_of_numpy() -> None:
    rng = random.Random(0)
    for count in (1, 2, 7, 100):
        values = [rng.random() for _ in range(count)]
        for percent in (0, 50, 90, 95, 99, 100):
            assert percentile(values, percent) == pytest.approx(float(np.percentile(values, percent)))


@pytest.mark.parametrize("blocks", [2, 3, 5, 9])
def test_the_interval_of_blocks_is_students(blocks: int) -> None:
    rng = random.Random(blocks)
    base, new = ([[rng.lognormvariate(0, 0.1) for _ in range(20)] for _ in range(blocks)] for _ in range(2))
    logs = [[math.log(STATISTICS["p50"](block)) for block in side] for side in (base, new)]
    expected = stats.t.ppf(0.975, 2 * blocks - 2) * math.sqrt(sum(np.var(side, ddof=1) / blocks for side in logs))
    allowed = 1e-3 if 2 * blocks - 2 <= 10 else 0.09  # beyond ten degrees of freedom the normal distribution stands in
    assert block_noise(base, new, STATISTICS["p50"]) == pytest.approx(expected, rel=allowed)


@pytest.mark.parametrize("blocks", [2, 3, 9])
def test_the_interval_of_pairs_is_students_too(blocks: int) -> None:
    rng = random.Random(blocks)
    base, new = ([[rng.lognormvariate(0, 0.1) for _ in range(20)] for _ in range(blocks)] for _ in range(2))
    logs = [np.log([STATISTICS["p50"](block) for block in side]) for side in (base, new)]
    low, high = stats.ttest_rel(logs[1], logs[0]).confidence_interval(0.95)
    assert paired_noise(base, new, STATISTICS["p50"]) == pytest.approx((high - low) / 2, rel=1e-3)
    slowed = [[[value * (1 + index) for value in block] for index, block in enumerate(side)] for side in (base, new)]
    assert paired_noise(*slowed, STATISTICS["p50"]) == pytest.approx((high - low) / 2, rel=1e-3)


def test_a_single_block_says_nothing() -> None:
    assert math.isinf(block_noise([[1.0, 2.0]], [[1.0], [2.0]], min))
    assert math.isinf(paired_noise([[1.0, 2.0]], [[1.0, 2.0]], min))


def test_newcombes_own_example() -> None:
    """56/70 and 48/80: 0.0524 to 0.3339 (Newcombe, 1998, table II, (a), method 10)."""
    low, high = share_difference(48 / 80, 80, 56 / 70, 70)
    assert (low, high) == (pytest.approx(0.0524, abs=1e-4), pytest.approx(0.3339, abs=1e-4))
    assert share_difference(1.0, 10, 1.0, 10)[0] < 0 < share_difference(1.0, 10, 1.0, 10)[1]
