"""Budgets as gates: verdicts of a build, what they rest on, and what they do to the exit code."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from edgeprune.cli import run
from tests.cli.own import ARGUMENTS

_QUICK = [*ARGUMENTS, "--epochs", "0", "--json"]


def verdicts(capsys: pytest.CaptureFixture[str]) -> dict[str, dict[str, Any]]:
    return {item["name"]: item for item in json.loads(capsys.readouterr().out)["budgets"]}


@pytest.mark.long
def test_every_limit_has_its_verdict(shared_own: Path, capsys: pytest.CaptureFixture[str]) -> None:
    budgets = ("accuracy=drop 100%", "file_bytes=0.9", "latency_ms.p95=10s", "memory_bytes=1GB", "require=measured")
    inputs = [word for budget in budgets for word in ("--budget", budget)]
    assert run([*_QUICK, *inputs]) == 0
    result = verdicts(capsys)
    kinds = {name: report["kind"] for name, report in result.items()}
    assert kinds == {
        "macs": "exact", "accuracy": "exact", "file_bytes": "exact",
        "latency_ms.p95": "measured", "memory_bytes": "measured",
    }  # fmt: skip
    assert all(report["ok"] for report in result.values())
    assert result["latency_ms.p95"]["limit"] == 10_000
    assert result["latency_ms.p95"]["margin"] == 10_000 - result["latency_ms.p95"]["value"]
    folder = shared_own / "dist" / "net-make-board"
    manifest, measured = (json.loads((folder / f"{name}.json").read_text()) for name in ("manifest", "measured"))
    # What changes from run to run is no part of what repeats.
    assert [report["name"] for report in manifest["budgets"]] == ["macs", "accuracy", "file_bytes"]
    assert {gate["name"]: gate["limit"] for gate in manifest["constraints"]} == {
        "latency_ms.p95": "10s", "memory_bytes": "1GB",
    }  # fmt: skip
    assert {report["name"] for report in measured["budgets"]} == {"latency_ms.p95", "memory_bytes"}
    assert measured["files"].keys() == {"profile.json", "report.html"}


@pytest.mark.long
def test_missed_limit_exits_with_4_and_prints_the_margin(shared_own: Path, capsys: pytest.CaptureFixture[str]) -> None:
    inputs = ["--budget", "accuracy=1.0", "--budget", "latency_ms.p50=1us", "--budget", "file_bytes=100B"]
    assert run([*_QUICK[:-1], *inputs]) == 4
    printed = capsys.readouterr()
    table = {cells[0]: cells for line in printed.out.splitlines() if (cells := line.split())}
    for name in ("accuracy", "latency_ms.p50", "file_bytes"):
        assert table[name][-1] == "MISSED"
        assert name in printed.err
    assert table["macs"][-1] == "kept"
    missed, _, suggestions = printed.err.partition("budget missed")[2].partition("; try ")
    assert "macs" not in missed
    assert "--budget macs=" in suggestions
    assert "at most 100 B" in printed.out
    assert (shared_own / "dist" / "net-make-board" / "manifest.json").is_file()


@pytest.mark.long
def test_evidence_that_is_too_weak_is_refused(shared_own: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (shared_own / "other.toml").write_text(
        "name = 'other'\nprofile = {warmup = 1, runs = 6, blocks = 2}\nhardware = {architecture = 'riscv64'}\n"
    )
    build = ["other.toml" if word == "board.toml" else word for word in _QUICK]
    assert run([*build, "--budget", "latency_ms.p95=10s"]) == 0
    result = verdicts(capsys)["latency_ms.p95"]
    assert (result["kind"], result["ok"]) == ("estimated", True)
    assert "--device" in result["note"]
    assert run([*build, "--budget", "latency_ms.p95=10s", "--budget", "require=measured"]) == 4
    result = verdicts(capsys)["latency_ms.p95"]
    assert (result["kind"], result["ok"], result["value"] < 10_000) == ("estimated", False, True)
    assert "'measured'" in result["note"]


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        (["--budget", "accuracy=98.5"], "'budget.accuracy': got 98.5"),
        (
            ["--budget", "latency_ms=0.5", "--budget", "require=measured"],
            "'budget.latency_ms': budget.require is 'measured'",
        ),
        (["--budget", "latency_ms=60%"], "target board: budget.latency_ms"),
        (["--budget", "bord:macs=0.3"], "'budget.targets.bord'"),
        (["--budget", "energy_mj=3"], "'budget.energy_mj'"),
    ],
)
def test_impossible_limits_are_refused_before_the_build(
    own: Path, capsys: pytest.CaptureFixture[str], inputs: list[str], message: str
) -> None:
    assert run([*ARGUMENTS, *inputs]) == 3
    assert message in capsys.readouterr().err
    assert not (own / ".edgeprune").exists()


@pytest.mark.long
def test_target_limits_override_general_limits(shared_own: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run([*_QUICK, "--budget", "board:file_bytes=100B", "--budget", "host:file_bytes=1GB"]) == 4
    assert verdicts(capsys)["file_bytes"]["limit"] == 100
