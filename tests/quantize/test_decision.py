"""Which precision ships, and what is said about it."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from edgeprune.errors import BudgetError
from edgeprune.quantize import Candidate, Demand, Facts, LatencyRatio, Precision, decide

_FASTER = LatencyRatio(0.5, 0.48, 0.53, "local://")
_SLOWER = LatencyRatio(1.4, 1.3, 1.5, "local://")
_UNSURE = LatencyRatio(0.98, 0.94, 1.01, "local://")
_EMULATED = replace(_FASTER, kind="emulated")
_FLOAT = Candidate(0.90, 3_430_809, 2.0)
_GOOD = Candidate(0.897, 1_002_421, 1.0)
_BAD = Candidate(0.80, 1_002_421, 1.0)


def _facts(int8: Candidate | None = _GOOD, ratio: LatencyRatio | None = _FASTER) -> Facts:
    return Facts(_FLOAT, int8, ratio)


@pytest.mark.parametrize(
    ("demand", "int8", "ratio", "precision", "reason"),
    [
        ("auto", _GOOD, _FASTER, "int8", r"int8 is faster on local://: 0\.50x \(0\.48 to 0\.53\).*1 ms after 2 ms"),
        ("auto", _GOOD, _FASTER, "int8", r"89\.70% instead of 90\.00%; a drop of 0\.50 points.*1,002,421 bytes"),
        ("auto", _GOOD, _SLOWER, "float32", r"int8 is slower on local://: 1\.40x \(1\.30 to 1\.50\)"),
        ("auto", _GOOD, _UNSURE, "float32", "int8 is not surely faster"),
        ("auto", _GOOD, _EMULATED, "float32", r"0\.50x float32 for local:// is emulated, not measured"),
        ("auto", _GOOD, None, "float32", "its latency was not measured"),
        ("auto", _BAD, _FASTER, "float32", r"loses 10\.00 points \(80\.00% instead of 90\.00%\).*0\.50 points"),
        ("auto", None, None, "float32", "there is no int8 file: it was not made"),
        ("float32", _GOOD, _FASTER, "float32", "the recipe asks for float32"),
        ("float32", None, None, "float32", "the recipe asks for float32"),
        ("int8", _GOOD, _FASTER, "int8", "demands int8.*keeps the accuracy.*is faster"),
        ("int8", _GOOD, _SLOWER, "int8", "demands int8.*is slower"),
        ("int8", _GOOD, None, "int8", "its latency was not measured"),
    ],
)
def test_decisions(
    demand: Demand, int8: Candidate | None, ratio: LatencyRatio | None, precision: Precision, reason: str
) -> None:
    made = decide(demand, _facts(int8, ratio), accuracy_drop=0.005)
    assert made.precision == precision
    assert re.search(reason, made.reason), made.reason


def test_a_demand_that_costs_too_much_accuracy_misses_a_budget() -> None:
    with pytest.raises(
        BudgetError, match=r"demands int8, but int8 loses 10\.00 points.*set the precision to auto"
    ) as e:
        decide("int8", _facts(_BAD), accuracy_drop=0.005)
    assert e.value.nearest == {"accuracy_drop": pytest.approx(0.1)}
    assert BudgetError.exit_code == 4
    with pytest.raises(BudgetError, match="there is none: an operator is missing"):
        decide("int8", Facts(_FLOAT, None, why_no_int8="an operator is missing"), accuracy_drop=0.005)


def test_a_drop_of_exactly_the_budget_is_within_it() -> None:
    exact = replace(_GOOD, accuracy=0.895)  # 0.90 - 0.895 is a little more than 0.005 in floating point
    assert decide("auto", _facts(exact), accuracy_drop=0.005).precision == "int8"
    better = replace(_GOOD, accuracy=0.93)
    assert decide("auto", _facts(better), accuracy_drop=0.0).precision == "int8"
