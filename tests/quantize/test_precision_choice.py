"""Which precision ships, and what is said about it."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from edgeprune.config.target import Precision
from edgeprune.errors import BudgetError
from edgeprune.quantize import Demand, LatencyRatio, PrecisionCandidate, PrecisionInputs, decide, decide_for_board

_FASTER = LatencyRatio(0.5, 0.48, 0.53, "local://")
_SLOWER = LatencyRatio(1.4, 1.3, 1.5, "local://")
_UNSURE = LatencyRatio(0.98, 0.94, 1.01, "local://")
_EMULATED = replace(_FASTER, kind="emulated")
_FLOAT = PrecisionCandidate(0.90, 3_430_809, 2.0)
_GOOD = PrecisionCandidate(0.897, 1_002_421, 1.0)
_BAD = PrecisionCandidate(0.80, 1_002_421, 1.0)


def _facts(int8: PrecisionCandidate | None = _GOOD, ratio: LatencyRatio | None = _FASTER) -> PrecisionInputs:
    return PrecisionInputs(_FLOAT, int8, ratio)


@pytest.mark.parametrize(
    ("demand", "int8", "ratio", "precision", "reason"),
    [
        ("auto", _GOOD, _FASTER, "int8", "int8 is faster on local://, and it keeps"),
        ("auto", _GOOD, _FASTER, "int8", r"89\.70% instead of 90\.00%; a drop of 0\.50 points.*1,002,421 bytes"),
        ("auto", _GOOD, _SLOWER, "float32", "int8 is slower on local://"),
        ("auto", _GOOD, _UNSURE, "float32", "int8 is not significantly faster"),
        ("auto", _GOOD, _EMULATED, "float32", "its latency on local:// is emulated, not measured"),
        ("auto", _GOOD, None, "float32", "its latency was not measured"),
        ("auto", _BAD, _FASTER, "float32", r"loses 10\.00 points \(80\.00% instead of 90\.00%\).*0\.50 points"),
        ("auto", None, None, "float32", "there is no int8 file: it was not made"),
        ("float32", _GOOD, _FASTER, "float32", "^float32 "),
        ("float32", None, None, "float32", "^float32 "),
        ("int8", _GOOD, _FASTER, "int8", "^int8 .*is faster"),
        ("int8", _GOOD, _SLOWER, "int8", "^int8 .*is slower"),
        ("int8", _GOOD, None, "int8", "its latency was not measured"),
    ],
)
def test_precision_is_decided_by_accuracy_and_speed(
    demand: Demand, int8: PrecisionCandidate | None, ratio: LatencyRatio | None, precision: Precision, reason: str
) -> None:
    result = decide(demand, _facts(int8, ratio), accuracy_drop=0.005)
    assert result.precision == precision
    assert re.search(reason, result.reason), result.reason


def test_a_demand_that_costs_too_much_accuracy_misses_a_budget() -> None:
    with pytest.raises(BudgetError, match=r"quantize\.precision: int8 .*10\.00 points.*0\.50 points.*'auto'") as e:
        decide("int8", _facts(_BAD), accuracy_drop=0.005)
    assert e.value.nearest == {"accuracy_drop": pytest.approx(0.1)}
    assert BudgetError.exit_code == 4
    with pytest.raises(BudgetError, match=r"quantize\.precision: int8 .*an operator is missing"):
        decide("int8", PrecisionInputs(_FLOAT, None, why_no_int8="an operator is missing"), accuracy_drop=0.005)


def test_a_drop_of_exactly_the_budget_is_within_it() -> None:
    exact = replace(_GOOD, accuracy=0.895)  # 0.90 - 0.895 is a little more than 0.005 in floating point
    assert decide("auto", _facts(exact), accuracy_drop=0.005).precision == "int8"
    better = replace(_GOOD, accuracy=0.93)
    assert decide("auto", _facts(better), accuracy_drop=0.0).precision == "int8"


def test_manifest_separates_measurement_and_reason() -> None:
    result = decide("auto", _facts(), accuracy_drop=0.005)
    assert result.evidence == "0.50x (0.48 to 0.53) the latency of float32, 1 ms after 2 ms"
    other = decide("auto", _facts(ratio=replace(_FASTER, value=0.6)), accuracy_drop=0.005)
    assert other.reason == result.reason
    assert other.evidence != result.evidence


_FORMS: dict[Precision, PrecisionCandidate] = {
    "float32": _FLOAT,
    "float16": replace(_FLOAT, file_bytes=1_700_000),
    "int8": _BAD,
}


def test_board_gets_every_precision_that_keeps_the_accuracy() -> None:
    result = decide_for_board("auto", _FORMS, {}, accuracy_drop=0.005)
    assert (result.precision, result.other_precisions) == ("float16", ("float32",))
    assert "float32: 90.00%" in result.reason
    assert re.search(r"int8: 80\.00%.*10\.00 points.*0\.50 points", result.reason)
    result = decide_for_board("auto", {**_FORMS, "int8": _GOOD}, {}, accuracy_drop=0.005)
    assert (result.precision, result.other_precisions) == ("int8", ("float32", "float16"))


def test_board_gets_only_the_demanded_precision() -> None:
    result = decide_for_board("float16", _FORMS, {}, accuracy_drop=0.005)
    assert (result.precision, result.other_precisions) == ("float16", ())
    assert result.reason.startswith("float16 ")
    assert "(float32: 90.00%; float16: 90.00%; int8: 80.00%" in result.reason


def test_demanded_precision_that_loses_accuracy_or_is_missing_is_refused() -> None:
    with pytest.raises(BudgetError, match=r"quantize\.precision: int8 .*80\.00%.*10\.00 points"):
        decide_for_board("int8", _FORMS, {}, accuracy_drop=0.005)
    with pytest.raises(BudgetError, match=r"quantize\.precision: int8 .*an operator is missing"):
        decide_for_board("int8", {"float32": _FLOAT}, {"int8": "an operator is missing"}, accuracy_drop=0.005)


def test_earlier_measurement_is_used() -> None:
    for ratio in (_SLOWER, _UNSURE, _FASTER):
        result = decide("auto", replace(_facts(ratio=ratio), locked="faster"), accuracy_drop=0.005)
        again = decide("auto", _facts(ratio=_FASTER), accuracy_drop=0.005)
        assert (result.precision, result.reason) == (again.precision, again.reason)
    assert decide("auto", replace(_facts(), locked="slower"), accuracy_drop=0.005).precision == "float32"
    # It says nothing of the accuracy.
    assert decide("auto", replace(_facts(_BAD), locked="faster"), accuracy_drop=0.005).precision == "float32"
