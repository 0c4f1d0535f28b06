"""Figures of latencies, against known values."""

from __future__ import annotations

import numpy as np
import pytest

from edgeprune.profile import latency_statistics


def test_figures_of_a_known_list() -> None:
    found = latency_statistics.latency(
        [[float(value) for value in range(1, 51)], [float(value) for value in range(51, 102)]]
    )
    assert (found.min, found.p50, found.p90, found.p99, found.mean, found.runs) == (1, 51, 91, 100, 51, 101)
    assert found.variation == pytest.approx(np.std(np.arange(1, 102)) / 51)
