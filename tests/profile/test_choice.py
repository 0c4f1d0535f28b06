"""Which precision a board keeps."""

from __future__ import annotations

from functools import partial

import pytest

from edgeprune.profile.runners import choice


@pytest.mark.parametrize(
    ("rounds_ms", "kept", "verdicts"),
    [
        ({"fp32": [3, 3, 3], "fp16": [2, 2, 2], "int8": [1, 1, 1]}, "int8", "fp16 is faster than fp32, int8 is faster"),
        ({"fp32": [3, 3, 3], "fp16": [2, 2, 2], "int8": [4, 4, 4]}, "fp16", "int8 is not surely faster than fp16"),
        ({"fp32": [1, 1, 1], "fp16": [2, 2, 2], "int8": [2, 2, 2]}, "fp32", "int8 is not surely faster than fp32"),
        ({"fp32": [1, 1, 1], "fp16": [2, 2, 2], "int8": [0.5, 0.5, 0.5]}, "int8", "int8 is faster than fp32"),
        ({"fp32": [2, 2, 2], "fp16": [2, 2, 2]}, "fp32", "fp16 is not surely faster than fp32"),
    ],
)
def test_the_fastest_is_kept(rounds_ms: dict[str, list[float]], kept: str, verdicts: str) -> None:
    found = choice.fastest(rounds_ms)
    assert (found.precision, found.rounds_ms) == (kept, rounds_ms)
    assert verdicts in found.reason


def test_a_lower_precision_that_is_faster_within_the_noise_is_not_kept() -> None:
    noisy = [2.0, 1.5, 2.1, 2.2, 1.9]
    assert choice.fastest({"fp32": noisy, "fp16": [1.6] * 5}).precision == "fp32"
    assert choice.fastest({"fp32": noisy, "fp16": [1.4, 1.4, 1.4, 2.5, 2.5]}).precision == "fp16"


def test_the_reason_has_the_figures() -> None:
    found = choice.fastest({"fp32": [2.0, 2.5, 2.25], "int8": [1.0, 1.25, 1.125]})
    assert found.reason == (
        "int8 is faster than fp32; medians of 3 rounds in turn: fp32 2.25 ms (2 to 2.5), int8 1.125 ms (1 to 1.25)"
    )


def test_precisions_are_measured_in_turn() -> None:
    order: list[str] = []

    def measure(name: str) -> float:
        order.append(name)
        return 1.0

    choice.choose({name: partial(measure, name) for name in ("fp32", "fp16", "int8")})
    assert order == ["fp32", "fp16", "int8"] * choice.ROUNDS


def test_what_has_no_rival_is_not_measured() -> None:
    found = choice.choose({"fp32": lambda: pytest.fail("it was measured")})
    assert (found.precision, found.rounds_ms) == ("fp32", {})
