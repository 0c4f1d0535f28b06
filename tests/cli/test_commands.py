"""The commands that only look."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

import edgeprune
from edgeprune.cli import run

_SHOWN = (
    "init",
    "build",
    "profile",
    "calibrate",
    "report",
    "doctor",
    "inspect",
    "convert",
    "compile",
    "lint",
    "sign",
    "verify",
    "recipes",
    "targets",
    "criteria",
    "emulator",
)


def test_help_names_every_command_and_loads_no_heavy_package() -> None:
    code = (
        "import sys\nfrom edgeprune.cli import run\nassert run(['--help']) == 0\n"
        "heavy = {'torch', 'onnx', 'onnxruntime', 'numpy', 'pydantic', 'rich'} & set(sys.modules)\n"
        "heavy |= {'difflib', 'json', 'logging', 'pathlib', 'traceback'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    for name in _SHOWN:
        assert f"  {name} " in ended.stdout


@pytest.mark.parametrize("name", _SHOWN)
def test_each_command_has_an_example_in_its_help(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run([name, "--help"]) == 0
    printed = capsys.readouterr().out
    assert f"edgeprune {name}" in printed.partition("Example:")[2]
    assert "--json" in printed


def test_the_version_is_that_of_the_package(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["--version"]) == 0
    assert edgeprune.__version__ in capsys.readouterr().out


@pytest.mark.parametrize("what", ["targets", "recipes"])
def test_listing_and_showing_agree(what: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run([what, "--json"]) == 0
    listed = json.loads(capsys.readouterr().out)
    assert listed
    for entry in listed:
        assert run([what, "show", entry["name"], "--json"]) == 0
        assert json.loads(capsys.readouterr().out) == entry
        assert run([what, "show", entry["name"]]) == 0
        assert f'name = "{entry["name"]}"' in capsys.readouterr().out
    assert run([what]) == 0
    printed = capsys.readouterr().out
    assert all(entry["name"] in printed for entry in listed)


def test_criteria_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["criteria", "--json"]) == 0
    assert {"l2", "random"} <= {entry["name"] for entry in json.loads(capsys.readouterr().out)}
    assert run(["criteria"]) == 0
    assert "l2" in capsys.readouterr().out


@pytest.mark.long
def test_inspect_prints_groups_frozen_groups_and_costs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run(["inspect", "digits", "--json"]) == 0
    values = json.loads(capsys.readouterr().out)
    assert values["groups"]
    assert all(group["units"] > 0 for group in values["groups"])
    assert all(entry["reason"] for entry in values["frozen"])
    assert sum(layer["macs"] for layer in values["layers"]) == values["macs"]
    frozen = values["never_removed"]
    assert all(0 < frozen[name] < values[name] for name in frozen)
    assert run(["inspect", "digits"]) == 0
    printed = capsys.readouterr().out
    assert values["groups"][0]["name"] in printed
    assert f"{frozen['macs'] / values['macs']:.1%} of the MACs" in printed
    assert list(tmp_path.iterdir()) == []


@pytest.mark.long
def test_inspect_draws_the_coupling(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "new" / "coupling.svg"
    assert run(["inspect", "digits", "--svg", str(path), "--json"]) == 0
    printed = capsys.readouterr()
    samples = path.read_text(encoding="utf-8")
    values = json.loads(printed.out)
    assert all(f">{layer['name']}</text>" in samples for layer in values["layers"])
    assert all(f">{group['name']}, {group['units']} unit" in samples for group in values["groups"])
    assert str(path) in printed.err
    assert run(["inspect", "digits"]) == 0
    assert "●" in capsys.readouterr().out
    assert run(["inspect", "digits", "--svg", str(path / "below-a-file.svg")]) == 2
    assert "cannot write" in capsys.readouterr().err
    assert [item.name for item in path.parent.iterdir()] == ["coupling.svg"]


def test_every_public_name_loads() -> None:
    for name in edgeprune.__all__:
        assert getattr(edgeprune, name) is not None
    assert set(edgeprune.__all__) == set(dir(edgeprune))
    with pytest.raises(AttributeError, match="no_such_name"):
        _ = edgeprune.no_such_name  # type: ignore[attr-defined]


def test_importing_the_package_loads_no_torch() -> None:
    code = "import sys, edgeprune, edgeprune.config; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
