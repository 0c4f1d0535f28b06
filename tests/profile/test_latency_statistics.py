"""Figures of latencies, against known values."""

from __future__ import annotations

import numpy as np
import pytest

from edgeprune.profile import latency_statistics


def test_statistics_of_a_list_with_known_result() -> None:
    result = latency_statistics.latency(
        [[float(value) for value in range(1, 51)], [float(value) for value in range(51, 102)]]
    )
    assert (result.min, result.p50, result.p90, result.p99, result.mean, result.runs) == (1, 51, 91, 100, 51, 101)
    assert result.variation == pytest.approx(np.std(np.arange(1, 102)) / 51)
