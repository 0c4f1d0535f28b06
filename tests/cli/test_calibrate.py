"""``edgeprune calibrate`` on a network of three layers, measured here."""

from __future__ import annotations

import getpass
import json
import platform
import shutil
from pathlib import Path

import pytest

from edgeprune.cli import run
from edgeprune.config import Target
from edgeprune.cost import cost_model, load_table
from edgeprune.devices import Emulator
from edgeprune.errors import InputError
from edgeprune.graph import capture, units_of
from edgeprune.model import network
from edgeprune.profile.calibration_checks import check_device
from tests.devices import sshd

_NETWORK = """
from torch import nn


def make():
    return nn.Sequential(
        nn.Conv2d(1, 8, 3, padding=1, bias=False), nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 4, 1),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 3),
    )


def data():
    raise AssertionError("no data is read")
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "net.py").write_text(_NETWORK)
    (tmp_path / "here.toml").write_text('name = "here"\n[runtime]\nthreads = 1\n')
    monkeypatch.chdir(tmp_path)
    return tmp_path


def _calibrate(*more: str) -> int:
    named = ["--model", "net.py:make", "--data", "net.py:data", "--input", "1,1,8,8"]
    return run(["calibrate", *named, "--target", "here.toml", "--quick", *more])


@pytest.mark.long
def test_calibrated_table_predicts_the_latency_of_the_network(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert _calibrate("--json") == 0
    values = json.loads(capsys.readouterr().out)
    table = load_table(Target.load("here.toml"))
    assert (folder / values["table"]).is_file()
    assert values["layers"] == len(table.grids) == 3
    assert values["target"] == table.target == "here"
    dense, half = values["networks"]
    assert dense["measured_ms"] == {"value": table.rests[0].measured_ms, "kind": "measured"}
    assert dense["predicted_ms"]["kind"] == "estimated"
    assert dense["error"] == pytest.approx(0)
    assert half["predicted_ms"]["kind"] == "estimated"
    model = network.load_model("net.py:make", None, base=folder)
    units = units_of(capture(model, network.example_inputs((1, 1, 8, 8))))
    cost = cost_model("latency_ms", units, model, table=table)
    assert cost.total() == pytest.approx(dense["predicted_ms"]["value"])
    assert table.grids[0].out == (1, 4, 8)


@pytest.mark.long
def test_second_calibration_extends_the_table(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert _calibrate() == 0
    text = capsys.readouterr().out
    assert "half of the MACs" in text
    assert "targets/tables/here.json" in text
    (folder / "net.py").write_text(_NETWORK.replace("8, 4, 1", "8, 5, 1").replace("(4, 3)", "(5, 3)"))
    assert _calibrate() == 0
    table = load_table(Target.load("here.toml"))
    assert len(table.rests) == 2
    assert len(table.grids) == 5


def test_a_table_for_another_processor_is_refused(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    target = Path("other.toml")
    target.write_text('name = "other"\n[hardware]\narchitecture = "pdp11"\n')
    assert _calibrate("--target", "other.toml") == 3
    error = capsys.readouterr().err
    assert "target other" in error
    assert "pdp11" in error
    assert platform.machine() in error


@pytest.mark.long
def test_a_device_over_ssh_is_calibrated(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    if not (Path(sshd.SERVER).is_file() and shutil.which("ssh")):
        pytest.skip("needs sshd and ssh: scripts/system installs them")
    with sshd.server(folder / "sshd") as server:
        assert _calibrate("--device", server.uri(), "--json") == 0
        assert json.loads(capsys.readouterr().out)["device"]["uri"].startswith("ssh://")
        target = Path("other.toml")
        target.write_text('name = "other"\n[hardware]\narchitecture = "pdp11"\n')
        assert _calibrate("--target", "other.toml", "--device", server.uri()) == 3
        error = capsys.readouterr().err
        assert f"ssh://{getpass.getuser()}@127.0.0.1:{server.port}" in error
        assert platform.machine() in error
        assert server.is_clean()


@pytest.mark.parametrize("name", ["serial:/dev/ttyACM0", "emulator:microcontroller"])
def test_a_device_that_runs_no_onnx_runtime_is_refused(
    folder: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert _calibrate("--device", name) == 3
    message = capsys.readouterr().err
    assert name in message
    assert "ONNX Runtime" in message


def test_emulated_device_cannot_be_calibrated() -> None:
    with pytest.raises(InputError, match="emulated"):
        check_device(Emulator("raspberry-pi-4"))


def test_output_folder_that_cannot_be_created_is_an_error(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "file").write_text("")
    assert _calibrate("--output", "file/tables") == 2
    assert "--output: cannot use file/tables: Not a directory" in capsys.readouterr().err


def test_a_damaged_table_is_found_before_anything_is_measured(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "here.json").write_text("{}")
    assert _calibrate("--output", ".") == 3
    assert "here.json" in capsys.readouterr().err
