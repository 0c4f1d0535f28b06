"""Verdicts: the margin to a limit, and evidence that is too weak; and the file that has those on measurements."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from edgeprune.bundle.budget_check import compare_with_limit, missed
from edgeprune.bundle.measurements import Measurements
from edgeprune.errors import BundleError


def test_costs_have_an_upper_limit_and_accuracy_a_lower_one() -> None:
    remaining, over = (
        compare_with_limit("macs", 500, 400, "exact"),
        compare_with_limit("latency_ms.p95", 5.0, 6.5, "measured"),
    )
    good, low = compare_with_limit("accuracy", 0.98, 0.99, "exact"), compare_with_limit("accuracy", 0.98, 0.97, "exact")
    assert [report.ok for report in (remaining, over, good, low)] == [True, False, True, False]
    assert [report.margin for report in (remaining, over, good, low)] == pytest.approx([100, -1.5, 0.01, -0.01])
    assert missed([remaining, over, good, low]) == [over, low]
    # A drop of exactly what is allowed: 0.9 - 0.8 is less than 0.1 in floating point.
    assert compare_with_limit("accuracy", 0.9 - 0.1, 0.8, "exact").ok


def test_limit_is_not_met_by_weak_evidence() -> None:
    weak = compare_with_limit("latency_ms.p95", 5.0, 1.0, "estimated", required="measured", note="measured on x86_64")
    assert not weak.ok
    assert weak.margin == 4.0
    assert re.fullmatch(r".*estimated.*budget\.require.*'measured'; measured on x86_64", weak.note)
    assert compare_with_limit("latency_ms.p95", 5.0, 1.0, "emulated", required="emulated").ok
    assert compare_with_limit("macs", 5, 1, "exact", required="measured").ok


def test_unknown_value_misses_its_limit() -> None:
    report = compare_with_limit("memory_bytes", 5, None, "measured", note="the device cannot tell")
    assert (report.ok, report.value, report.margin) == (False, None, None)


def test_limits_are_read_from_measured_json(tmp_path: Path) -> None:
    output = Measurements(budgets=(compare_with_limit("latency_ms.p95", 5.0, 1.0, "measured"),))
    (tmp_path / "measured.json").write_text(output.to_json())
    assert Measurements.load(tmp_path) == output
    assert Measurements.load(tmp_path / "elsewhere") == Measurements()
    for text in ('{"schema": 2}', "{", '{"schema": 1, "budgets": [{"name": "macs"}]}'):
        (tmp_path / "measured.json").write_text(text)
        with pytest.raises(BundleError, match=r"measured\.json"):
            Measurements.load(tmp_path)
