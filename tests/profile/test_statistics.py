"""Statistics: known figures, and intervals that hold what they should."""

from __future__ import annotations

import numpy as np
import pytest

from edgeprune.profile import statistics


def test_figures_of_a_known_list() -> None:
    found = statistics.latency([[float(value) for value in range(1, 51)], [float(value) for value in range(51, 102)]])
    assert (found.min, found.p50, found.p90, found.p99, found.mean, found.runs) == (1, 51, 91, 100, 51, 101)
    assert found.variation == pytest.approx(np.std(np.arange(1, 102)) / 51)


def test_the_interval_of_a_ratio_holds_the_truth_and_narrows_with_runs() -> None:
    rng = np.random.default_rng(3)

    def blocks(scale: float, runs: int) -> list[list[float]]:
        return [list(scale * rng.lognormal(0, 0.2, runs)) for _ in range(3)]

    few = statistics.ratio(blocks(2.0, 20), blocks(1.0, 20))
    many = statistics.ratio(blocks(2.0, 500), blocks(1.0, 500))
    for found in (few, many):
        assert found.low < 0.5 < found.high
        assert found.low <= found.value <= found.high
        assert found.confidence == 0.95
    assert many.high - many.low < (few.high - few.low) / 2


def test_drift_that_hits_both_models_does_not_move_the_ratio() -> None:
    rng = np.random.default_rng(4)
    drift = (1.0, 1.5, 3.0)
    base = [list(factor * rng.normal(10, 0.1, 200)) for factor in drift]
    new = [list(factor * rng.normal(5, 0.1, 200)) for factor in drift]
    found = statistics.ratio(base, new)
    assert found.value == pytest.approx(0.5, abs=0.01)
    assert found.high - found.low < 0.05


def test_drift_between_blocks_that_hits_one_model_widens_the_interval() -> None:
    rng = np.random.default_rng(5)
    base = [list(rng.normal(10, 0.1, 200)) for _ in range(3)]
    new = [list(rng.normal(mean, 0.1, 200)) for mean in (4.0, 5.0, 6.0)]
    found = statistics.ratio(base, new)
    assert found.low < 0.45
    assert found.high > 0.55


def test_the_same_latencies_give_the_same_interval() -> None:
    blocks = [[1.0, 2.0, 3.0], [2.0, 3.0, 4.0]]
    assert statistics.ratio(blocks, blocks, seed=1) == statistics.ratio(blocks, blocks, seed=1)
    assert statistics.ratio(blocks, blocks).value == 1.0
