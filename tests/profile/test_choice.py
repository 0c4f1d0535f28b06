"""Which precision a board keeps."""

from __future__ import annotations

import random
from functools import partial

import pytest

from edgeprune.backends.tensorrt.runner_parts import choice
from edgeprune.profile import latency_noise
from edgeprune.quantize import LatencyRatio


@pytest.mark.parametrize(
    ("medians_ms", "remaining", "verdicts"),
    [
        ({"fp32": 3, "fp16": 2, "int8": 1}, "int8", ["fp16 is faster than fp32", "int8 is faster than fp16"]),
        ({"fp32": 3, "fp16": 2, "int8": 4}, "fp16", ["int8 is not significantly faster than fp16"]),
        ({"fp32": 1, "fp16": 2, "int8": 2}, "fp32", ["int8 is not significantly faster than fp32"]),
        ({"fp32": 1, "fp16": 2, "int8": 0.5}, "int8", ["int8 is faster than fp32"]),
        ({"fp32": 2, "fp16": 2}, "fp32", ["fp16 is not significantly faster than fp32"]),
        ({"fp32": 2, "fp16": 1.96}, "fp32", ["fp16 is not significantly faster than fp32"]),
    ],
)
def test_fastest_precision_is_kept(medians_ms: dict[str, float], remaining: str, verdicts: list[str]) -> None:
    rounds_ms = {name: [value] * choice.ROUNDS for name, value in medians_ms.items()}
    result = choice.fastest(rounds_ms)
    assert (result.precision, result.rounds_ms) == (remaining, rounds_ms)
    assert all(verdict in result.reason for verdict in verdicts)


def test_runner_and_build_make_the_same_speed_decision() -> None:
    rng = random.Random(0)
    verdicts = set()
    for factor in (0.8, 0.9, 0.94, 0.97, 0.99, 1.0, 1.05):
        for noise in (0.0, 0.01, 0.05, 0.2):
            for _ in range(20):
                base = [2 * rng.lognormvariate(0, noise) for _ in range(choice.ROUNDS)]
                new = [2 * factor * rng.lognormvariate(0, noise) for _ in range(choice.ROUNDS)]
                expected = latency_noise.ratio([[value] for value in base], [[value] for value in new])
                assert choice.ratio(base, new) == pytest.approx((expected.value, expected.low, expected.high))
                speed = LatencyRatio(expected.value, expected.low, expected.high, "here").speed
                assert (choice.fastest({"fp32": base, "int8": new}).precision == "int8") == (speed == "faster")
                verdicts.add(speed)
    assert verdicts == {"faster", "slower", "unsure"}


def test_reason_states_the_figures() -> None:
    result = choice.fastest({"fp32": [2.0, 2.5, 2.25, 2.2, 2.3, 2.25, 2.25], "int8": [1.125] * 7})
    assert result.reason == (
        "int8 is faster than fp32 (ratio 0.50, 95 % interval 0.47 to 0.53); "
        "medians of 7 interleaved rounds: fp32 2.25 ms, int8 1.125 ms"
    )


def test_precisions_are_measured_interleaved() -> None:
    order: list[str] = []

    def measure(name: str) -> float:
        order.append(name)
        return 1.0

    choice.choose({name: partial(measure, name) for name in ("fp32", "fp16", "int8")})
    assert order == ["fp32", "fp16", "int8"] * choice.ROUNDS


def test_a_single_precision_is_not_measured() -> None:
    result = choice.choose({"fp32": lambda: pytest.fail("it was measured")})
    assert (result.precision, result.rounds_ms) == ("fp32", {})
