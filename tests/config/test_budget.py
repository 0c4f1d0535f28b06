"""Limits: shares, counts, sizes and times."""

from __future__ import annotations

from typing import Any

import pytest

from edgeprune.config import Budget
from edgeprune.errors import RecipeError

_DENSE = {
    "macs": 1001,
    "params": 500,
    "latency_ms": 0.8,
    "peak_activation_bytes": 4097,
    "flash_bytes": 2000,
    "arena_bytes": 1025,
}


@pytest.mark.parametrize(
    ("inputs", "limits"),
    [
        ({"macs": 0.5}, {"macs": 500}),
        ({"macs": 1.0}, {"macs": 1001}),
        ({"macs": 250_000, "params": 0.1}, {"macs": 250_000, "params": 50}),
        ({"macs": "50%", "params": "12.5 %"}, {"macs": 500, "params": 62}),
        ({"macs": 2e6}, {"macs": 2_000_000}),
        ({"latency_ms": 0.5}, {"latency_ms": 0.4}),
        ({"latency_ms": 12.5}, {"latency_ms": 12.5}),
        ({"latency_ms": "50%"}, {"latency_ms": 0.4}),
        ({"latency_ms": "100 %"}, {"latency_ms": 0.8}),
        ({"latency_ms": "1ms"}, {"latency_ms": 1.0}),
        ({"arena_bytes": "12.5%"}, {"arena_bytes": 128}),
        ({"latency_ms": "0.8ms"}, {"latency_ms": 0.8}),
        ({"latency_ms": "800 us"}, {"latency_ms": 0.8}),
        ({"latency_ms": "1.5s"}, {"latency_ms": 1500.0}),
        ({"peak_activation_bytes": 0.5}, {"peak_activation_bytes": 2048}),
        ({"peak_activation_bytes": "64KiB"}, {"peak_activation_bytes": 65536}),
        ({"peak_activation_bytes": "64kB"}, {"peak_activation_bytes": 64000}),
        ({"flash_bytes": "1MiB"}, {"flash_bytes": 2**20}),
        ({"flash_bytes": "1.5 MB"}, {"flash_bytes": 1_500_000}),
        ({"flash_bytes": "1.001kB"}, {"flash_bytes": 1001}),
        ({"flash_bytes": 4096}, {"flash_bytes": 4096}),
        ({"arena_bytes": 0.5}, {"arena_bytes": 512}),
        ({"arena_bytes": "64KiB"}, {"arena_bytes": 65536}),
    ],
)
def test_limits(inputs: dict[str, Any], limits: dict[str, float]) -> None:
    budget = Budget.parse(inputs)
    assert budget.limits(_DENSE) == pytest.approx(limits)
    assert budget.costs == tuple(limits)
    assert Budget.parse(budget.model_dump(exclude_none=True)) == budget
    assert all(
        isinstance(value, float if name == "latency_ms" else int) for name, value in budget.limits(_DENSE).items()
    )


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        ({"macs": 0}, "'macs' in budget.* 0,.*'50%'"),
        ({"macs": "2%%"}, "'macs' in budget.*'2%%'"),
        ({"macs": True}, "'macs' in budget.*True"),
        ({"macs": 1.5}, r"'macs' in budget.*1\.5"),
        ({"macs": "1MB"}, "'macs' in budget.*'1MB'"),
        ({"params": -3}, "'params' in budget.*-3"),
        ({"latency_ms": -1.0}, r"'latency_ms' in budget.*-1\.0.*'0\.8ms'.*'800us'"),
        ({"latency_ms": 1}, "'latency_ms' in budget.* 1,.*'100%'.*'1ms'"),
        ({"latency_ms": 1.0}, r"'latency_ms' in budget.* 1\.0,.*'100%'"),
        ({"arena_bytes": 1}, "'arena_bytes' in budget.* 1,.*'100%'.*'1B'"),
        ({"flash_bytes": "0%"}, "'flash_bytes' in budget.*'0%'"),
        ({"flash_bytes": "101%"}, "'flash_bytes' in budget.*'101%'"),
        ({"latency_ms": "0ms"}, "'latency_ms' in budget.*'0ms'"),
        ({"latency_ms": "3 days"}, "'latency_ms' in budget.*'3 days'"),
        ({"latency_ms": "0.5"}, r"'latency_ms' in budget.*'0\.5'"),
        ({"flash_bytes": "64kib"}, "'flash_bytes' in budget.*'64kib'.*'64KiB'.*'1MB'"),
        ({"flash_bytes": "0.3B"}, r"'flash_bytes' in budget.*'0\.3B'"),
        ({"arena_bytes": "64ms"}, "'arena_bytes' in budget.*'64ms'"),
        ({"peak_activation_bytes": 1.5}, r"'peak_activation_bytes' in budget.*1\.5"),
        ({"latency": 0.5}, "'latency' in budget.*'latency_ms'"),
        ({}, r"^budget: .*\{\}.*macs, params, latency_ms"),
    ],
)
def test_invalid_budgets_are_refused(inputs: dict[str, Any], message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        Budget.parse(inputs)


def test_fraction_of_a_time_is_warned_about_once(caplog: pytest.LogCaptureFixture) -> None:
    for value in (0.375, "37.5%", "0.375ms"):
        Budget(latency_ms=value)
        Budget(latency_ms=value)
    Budget(arena_bytes=0.375)
    warnings = [record.getMessage() for record in caplog.records]
    assert len(warnings) == 1
    assert all(text in warnings[0] for text in ("'37.5%'", "'0.375ms'"))


def test_fraction_of_an_unknown_cost_is_an_error() -> None:
    with pytest.raises(RecipeError, match=r"'budget\.latency_ms'.*0\.5"):
        Budget(latency_ms=0.5).limits({"macs": 10})
    assert Budget(latency_ms="2ms").limits({}) == {"latency_ms": 2.0}
