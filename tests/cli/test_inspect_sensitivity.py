"""``edgeprune inspect --sensitivity``: a table, JSON and a picture, and what it refuses."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from edgeprune.cli import run


@pytest.mark.long
def test_the_table_json_and_picture_are_of_one_measurement(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    picture = tmp_path / "new" / "sensitivity.png"
    arguments = ["inspect", "digits", "--sensitivity", "--samples", "64"]
    assert run([*arguments, "--png", str(picture), "--json"]) == 0
    printed = capsys.readouterr()
    values = json.loads(printed.out)
    result = values["sensitivity"]
    assert {key: result[key] for key in ("criterion", "split", "samples")} == {
        "criterion": "l2",
        "split": "validation",
        "samples": 64,
    }
    free = [group for group in values["groups"] if group["frozen"] is None]
    assert [(group["group"], group["units"]) for group in result["groups"]] == [(g["name"], g["units"]) for g in free]
    for group in result["groups"]:
        assert [point["ratio"] for point in group["points"]] == [0.125, 0.25, 0.5, 0.75, 0.875]
        assert all(
            point.keys() == {"ratio", "remaining_units", "macs_removed", "loss", "accuracy"}
            for point in group["points"]
        )
        macs = [point["macs_removed"] for point in group["points"]]
        assert 0 < macs[0] < macs[-1] < 1
    assert result["accuracy"] > 0.9
    assert min(point["accuracy"] for group in result["groups"] for point in group["points"]) < 0.5
    assert picture.read_bytes().startswith(b"\x89PNG\r\n\x1a\n")
    assert [path.name for path in picture.parent.iterdir()] == ["sensitivity.png"]
    assert str(picture) in printed.err

    assert run(arguments) == 0
    table = capsys.readouterr().out.partition("accuracy on 64 validation samples")[2]
    for group in result["groups"]:
        (line,) = (line for line in table.splitlines() if line.strip().startswith(f"{group['group']} "))
        assert all(f"{100 * point['accuracy']:.1f} %" in line for point in group["points"])


@pytest.mark.long
def test_criterion_decides_which_units_are_removed_first(capsys: pytest.CaptureFixture[str]) -> None:
    results = {}
    for criterion in ("random", "mean_activation"):
        arguments = ["inspect", "digits", "--sensitivity", "--samples", "64", "--criterion", criterion, "--json"]
        assert run(arguments) == 0
        results[criterion] = json.loads(capsys.readouterr().out)["sensitivity"]
        assert results[criterion]["criterion"] == criterion
    assert results["random"]["accuracy"] == results["mean_activation"]["accuracy"]
    assert results["random"]["groups"] != results["mean_activation"]["groups"]


def test_inspect_without_sensitivity_does_not_measure(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["inspect", "digits", "--json"]) == 0
    assert "sensitivity" not in json.loads(capsys.readouterr().out)


@pytest.mark.parametrize(
    "option", [("--png", "a.png"), ("--samples", "8"), ("--criterion", "l1"), ("--weights", "w.pt")]
)
def test_sensitivity_options_need_the_sensitivity_flag(
    option: tuple[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run(["inspect", "digits", *option]) == 2
    assert f"{option[0]} needs --sensitivity" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_a_network_by_its_factory_has_no_data(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["inspect", "torch.nn:Identity", "--input", "1,3", "--sensitivity"]) == 2
    assert "--data" in capsys.readouterr().err


def test_sensitivity_of_an_own_network_is_measured(own: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["inspect", "net.py:make", "--input", "1,1,8,8", "--sensitivity", "--json", "--criterion", "l2"]
    assert run([*arguments, "--data", "net.py:data"]) == 0
    untrained = json.loads(capsys.readouterr().out)
    assert run([*arguments, "--data", "net.py:data", "--weights", "net.safetensors", "--samples", "32"]) == 0
    values = json.loads(capsys.readouterr().out)
    assert values["sensitivity"]["samples"] == 32
    assert {group["group"] for group in values["sensitivity"]["groups"]} == {"0", "3"}
    assert values["sensitivity"]["loss"] != untrained["sensitivity"]["loss"]
    layers = {layer["name"]: (layer["kind"], layer["shape"]) for layer in values["layers"]}
    assert layers["0"] == ("Conv2d", [12, 6, 6])
    assert layers["1"] == ("BatchNorm2d", [12, 6, 6])
    assert layers["7"] == ("Linear", [4])


def test_unwritable_picture_is_refused_before_the_work(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").touch()
    assert run(["inspect", "digits", "--sensitivity", "--png", str(tmp_path / "file" / "a.png")]) == 2
    assert "--png: cannot write" in capsys.readouterr().err
    assert run(["inspect", "digits", "--sensitivity", "--samples", "8", "--png", str(tmp_path)]) == 2
    capsys.readouterr()
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_unknown_criterion_is_bad_input(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["inspect", "digits", "--sensitivity", "--criterion", "tailor"]) == 3
    assert "'taylor'" in capsys.readouterr().err


def test_a_missing_data_folder_is_named_before_the_weights_in_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("EDGEPRUNE_DATA", str(tmp_path / "nowhere"))
    assert run(["inspect", "cifar10-resnet56", "--sensitivity"]) == 3
    assert "train.npz" in capsys.readouterr().err
