"""Models of a build are measured where one wants, and what ships follows from that."""

from __future__ import annotations

from pathlib import Path

import pytest

import edgeprune
from edgeprune.cli import run
from edgeprune.devices import Local
from edgeprune.errors import InputError

pytestmark = pytest.mark.long


def test_precision_is_chosen_only_by_measurements_on_the_device(tmp_path: Path) -> None:
    recipe = edgeprune.Recipe.load("digits").override(
        {"training.epochs": 0, "prune.samples": 64, "quantize.precision": "auto"}
    )
    folders = {"output": tmp_path / "dist", "cache": tmp_path / "cache"}
    imitated = edgeprune.build(recipe, "host", device=Local(uri="imitated:", kind="emulated"), **folders)
    assert imitated.profile.device["uri"] == "imitated:"
    assert {model.latency_ms.kind for model in imitated.profile.models.values()} == {"emulated"}
    assert imitated.manifest.precision is not None
    assert imitated.manifest.precision.shipped == "float32"
    assert "its latency on host is emulated, not measured" in imitated.manifest.precision.reason

    here = edgeprune.build(recipe, "host", **folders)
    assert here.profile.device["uri"] == "local:"
    assert {stage.name for stage in here.stages if not stage.cached} >= {"profile", "choose"}
    assert all(stage.cached for stage in here.stages if stage.name in ("train", "export", "quantize"))
    assert here.manifest.precision is not None
    assert "not measured" not in here.manifest.precision.reason


@pytest.mark.parametrize("target", ["jetson-orin-nano", "arduino-nano-33-ble"])
def test_targets_that_choose_by_no_measurement_take_no_device(target: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=rf"{target} .*'edgeprune profile BUNDLE"):
        edgeprune.build("digits", target, device="local:", output=tmp_path, cache=tmp_path)


def test_one_device_for_several_targets_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["build", "--target", "host", "--target", "rpi", "--device", "local:"]) == 2
    assert "--device needs a single --target: got host, raspberry-pi-4" in capsys.readouterr().err


def test_unknown_device_is_refused_before_the_build(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["build", "--device", "carrier-pigeon:7", "--cache", str(tmp_path)]) == 3
    assert "'carrier-pigeon:7'" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())
