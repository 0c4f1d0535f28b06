"""A choice that rests on a measurement is made once, and repeated from the lock."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from edgeprune.cli import run
from tests.cli.own import ARGUMENTS

_BOARD = """
name = "board"
profile = {warmup = 1, runs = 6, blocks = 2}
runtime = {precisions = ["float32", "int8"]}
"""
# Of a network this small int8 may lose anything: it is the speed that decides.
_BUILD = [*ARGUMENTS, "--epochs", "0", "--set", "quantize.max_accuracy_drop=1.0", "--json"]


def test_what_was_measured_is_repeated_until_it_is_measured_anew(own: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (own / "board.toml").write_text(_BOARD)
    lock = own / "edgeprune.lock"

    def built(*more: str) -> tuple[dict[str, Any], set[str]]:
        assert run([*_BUILD, *more]) == 0
        told = json.loads(capsys.readouterr().out)
        return told["manifest"]["precision"], {stage["name"] for stage in told["stages"] if not stage["cached"]}

    def found() -> str:
        return str(json.loads(lock.read_text())["recipes"]["net-make"]["targets"]["board"]["int8"])

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
    assert f"int8 is {other} on board" in second["reason"]
    assert redone == {"choose", "evaluate-shipped", "bundle"}
    assert built() == (second, set())
    assert found() == other
    third, redone = built("--update-lock")
    assert {"profile", "choose"} <= redone
    assert third["shipped"] == ("int8" if found() == "faster" else "float32")
    assert f"int8 is {'not surely faster' if found() == 'unsure' else found()} on board" in third["reason"]
    lock.write_text(text.replace(f'"{measured}"', '"quick"'))
    assert run(_BUILD) == 3
    assert "targets.board.int8 is 'quick', must be one of faster, slower, unsure" in capsys.readouterr().err
