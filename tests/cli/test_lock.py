"""A choice that rests on a measurement is made once, and repeated from the lock."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from edgeprune.cli import run
from tests.cli.own import ARGUMENTS

pytestmark = pytest.mark.long

_BOARD = """
name = "quick"
profile = {warmup = 1, runs = 6, blocks = 2}
runtime = {precisions = ["float32", "int8"]}
parity = {int8_top1_agreement = 0.0}
"""
# int8 of an untrained network may change any output: its speed decides.
_BUILD = [*ARGUMENTS, "--epochs", "0", "--set", "quantize.max_accuracy_drop=1.0", "--json"]


def test_measured_precision_is_read_from_the_lock_until_updated(
    shared_own: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (shared_own / "quick.toml").write_text(_BOARD)
    lock = shared_own / "edgeprune.lock"
    build = ["quick.toml" if word == "board.toml" else word for word in _BUILD]

    def built(*more: str) -> tuple[dict[str, Any], set[str]]:
        assert run([*build, *more]) == 0
        values = json.loads(capsys.readouterr().out)
        return values["manifest"]["precision"], {stage["name"] for stage in values["stages"] if not stage["cached"]}

    def found() -> str:
        return str(json.loads(lock.read_text())["recipes"]["net-make"]["targets"]["quick"]["int8"])

    first, _ = built()
    measured = found()
    assert first["shipped"] == ("int8" if measured == "faster" else "float32")
    assert built() == (first, set())
    # A lock that says otherwise, as one that came with the recipe from another machine.
    other = "slower" if measured == "faster" else "faster"
    text = lock.read_text()
    lock.write_text(text.replace(measured, other))
    second, redone = built()
    assert second["shipped"] == ("int8" if other == "faster" else "float32")
    assert f"int8 is {other} on quick" in second["reason"]
    assert redone == {"choose", "evaluate-shipped", "bundle"}
    assert built() == (second, set())
    assert found() == other
    third, redone = built("--update-lock")
    assert {"profile", "choose"} <= redone
    assert third["shipped"] == ("int8" if found() == "faster" else "float32")
    assert f"int8 is {'not significantly faster' if found() == 'unsure' else found()} on quick" in third["reason"]
    lock.write_text(text.replace(f'"{measured}"', '"quick"'))
    assert run(build) == 3
    output = capsys.readouterr().err
    assert "'targets.quick.int8'" in output
    assert "got 'quick'" in output
    lock.unlink()


def test_training_execution_is_read_from_the_lock(shared_own: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lock, build = shared_own / "edgeprune.lock", [*ARGUMENTS, "--epochs", "1", "--json"]

    def redone(*more: str) -> set[str]:
        assert run([*build, *more]) == 0
        return {stage["name"] for stage in json.loads(capsys.readouterr().out)["stages"] if not stage["cached"]}

    assert "train" in redone()
    content = json.loads(lock.read_text())
    training = content["recipes"]["net-make"]["training"]
    assert training.keys() == {"channels_last"}  # the precision is set
    assert redone("--update-lock") == {"profile", "choose", "bundle"}
    training["channels_last"] = not training["channels_last"]
    lock.write_text(json.dumps(content))
    assert {"train", "evaluate", "export", "bundle"} <= redone()
    stages = (shared_own / ".edgeprune" / "cache").glob("train-*/result.json")
    stage = max(stages, key=lambda path: path.stat().st_mtime_ns)
    values = json.loads(stage.read_text())["values"]
    assert values["execution"] == training
    assert values["locked"] is True
    assert redone() == set()
    lock.unlink()


def test_build_refuses_a_latency_table_that_the_lock_does_not_name(
    shared_own: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = ["--model", "net.py:make", "--data", "net.py:data", "--input", "1,1,8,8", "--target", "board.toml"]
    assert run(["calibrate", *model, "--quick", "--json"]) == 0
    table = shared_own / json.loads(capsys.readouterr().out)["table"]
    # On a busy machine the table may say that nothing is faster: a limit that holds all the same.
    build = [*ARGUMENTS, "--epochs", "0", "--budget", "latency_ms=1000ms"]
    assert run(build) == 0
    locked = json.loads((shared_own / "edgeprune.lock").read_text())["recipes"]["net-make"]["targets"]["board"]
    manifest = json.loads((shared_own / "dist" / "net-make-board" / "manifest.json").read_text())
    assert locked["latency_table"] == manifest["provenance"]["inputs"]["latency_table"]
    table.write_text(table.read_text() + "\n")
    assert run(build) == 3
    message = capsys.readouterr().err
    assert "latency table of board" in message
    assert locked["latency_table"] in message
    assert run([*build, "--update-lock"]) == 0
    assert run(build) == 0
