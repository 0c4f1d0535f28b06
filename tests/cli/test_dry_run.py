"""``edgeprune build --dry-run``: what a build would run, compared with what it runs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from edgeprune.cli import run
from tests.cli.own import ARGUMENTS

pytestmark = pytest.mark.long


def _files(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file() and "__pycache__" not in path.parts}


def _json(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict[str, Any]:
    assert run([*ARGUMENTS, *arguments, "--json"]) == 0
    printed: dict[str, Any] = json.loads(capsys.readouterr().out)
    return printed


def _forecast(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict[str, dict[str, Any]]:
    return {stage["name"]: stage for stage in _json(capsys, *arguments, "--dry-run")["stages"]}


def test_dry_run_writes_nothing_before_the_first_build(own: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = _files(own)
    stages = _forecast(capsys)
    assert _files(own) == before
    assert {stage["state"] for stage in stages.values()} == {"runs"}
    assert {stage["seconds"] for stage in stages.values()} == {None}
    assert next(iter(stages)) == "load"
    assert list(stages)[-1] == "bundle"


def test_dry_run_agrees_with_the_build(shared_own: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first = {stage["name"]: stage for stage in _json(capsys)["stages"]}
    before = _files(shared_own)
    cached = _forecast(capsys)
    assert cached.keys() == first.keys()
    assert {stage["state"] for stage in cached.values()} == {"cached"}
    assert run([*ARGUMENTS, "--dry-run"]) == 0
    assert f"all {len(cached)} stages" in capsys.readouterr().out

    option = ["--set", "export.simplify=false"]
    changed = _forecast(capsys, *option)
    assert changed["train"]["state"] == "cached"
    assert changed["export"]["state"] == "runs"
    assert "simplify" in changed["export"]["reason"]
    assert changed["export"]["seconds"] == pytest.approx(first["export"]["seconds"], abs=0.01)
    assert changed["parity"]["state"] == "runs"
    assert _files(shared_own) == before

    built = {stage["name"]: stage["cached"] for stage in _json(capsys, *option)["stages"]}
    assert all(built[name] for name, stage in changed.items() if stage["state"] == "cached")
    assert not any(built[name] for name, stage in changed.items() if stage["state"] == "runs")


def test_dry_run_names_the_changed_input(shared_own: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _json(capsys)
    network = shared_own / "net.py"
    text = network.read_text()
    try:
        network.write_text(text + "\n# a comment\n")
        stages = _forecast(capsys)
    finally:
        network.write_text(text)
    assert stages["load"]["state"] == "runs"
    assert "net.py" in stages["load"]["reason"]
    assert {stage["state"] for stage in stages.values()} == {"runs", "may run"}
    assert all(stage["seconds"] is not None for stage in stages.values())


def test_dry_run_has_the_same_errors_as_a_build(own: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (own / "dist" / "net-make-board").mkdir(parents=True)
    (own / "dist" / "net-make-board" / "notes.txt").write_text("mine")
    assert run([*ARGUMENTS, "--dry-run"]) == 3
    assert "net-make-board" in capsys.readouterr().err
