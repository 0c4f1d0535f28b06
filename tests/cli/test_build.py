"""``edgeprune build`` of a network of one's own, from the command line alone."""

from __future__ import annotations

import dataclasses
import json
import tarfile
from pathlib import Path

import pytest
from safetensors.torch import load_file

import edgeprune
from edgeprune.bundle.bundle_reader import read
from edgeprune.bundle.manifest import Manifest
from edgeprune.bundle.report_data import ReportData
from edgeprune.bundle.verification import verify
from edgeprune.cli import run
from edgeprune.report import report_page
from edgeprune.report.result_warnings import result_warnings
from tests.cli.own import ARGUMENTS, NETWORK


@pytest.mark.long
def test_own_network_is_built_into_a_bundle(own: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run([*ARGUMENTS, "--json"]) == 0
    values = json.loads(capsys.readouterr().out)
    manifest = values["manifest"]
    assert (manifest["recipe"], manifest["target"]) == ("net-make", "board")
    dense, pruned = manifest["metrics"]["dense"], manifest["metrics"]["pruned"]
    assert pruned["macs"] <= 0.4 * dense["macs"]
    assert manifest["budgets"] == [
        {
            "name": "macs", "limit": (limit := int(0.4 * dense["macs"])), "value": pruned["macs"],
            "margin": limit - pruned["macs"], "kind": "exact", "ok": True, "note": "",
        }
    ]  # fmt: skip
    assert manifest["equivalence"]["verified"]
    assert manifest["equivalence"]["max_error"] < 1e-5
    assert dense["samples"] == manifest["metrics"]["shipped"]["samples"] == 60
    assert {row["key"] for row in values["table"]} >= {
        "macs", "params", "file_bytes", "accuracy", "latency_ms.p50", "peak_memory_bytes",
    }  # fmt: skip
    folder = Path(values["folder"])
    assert folder == own / "dist" / "net-make-board"
    result = ReportData.load(folder)
    assert sum(layer.macs[0] for layer in result.layers) == dense["macs"]
    assert sum(layer.macs[1] for layer in result.layers) == pruned["macs"]
    assert [len(group.remaining_scores) for group in result.groups] == [
        0 if group.frozen else group.remaining_units for group in result.groups
    ]
    assert [epoch.phase for epoch in result.epochs] == [1, 1]
    pairs, shipped_accuracy = manifest["pairs"], manifest["metrics"]["shipped"]["accuracy"]
    assert pairs["only_dense"] - pairs["only_shipped"] == round(60 * (dense["accuracy"] - shipped_accuracy))
    assert values["warnings"] == json.loads(
        json.dumps([dataclasses.asdict(warning) for warning in result_warnings(Manifest.load(folder))])
    )
    training = manifest["training"]
    assert (training["epochs"], training["batch_size"], training["automatic"]) == (2, 32, ["optimizer", "lr"])
    assert f"peak learning rate {training['lr']:g} (range test)" in (folder / "report.html").read_text()
    assert training["accuracy"] == max(
        training["start_accuracy"], *(epoch.validation_accuracy for epoch in result.epochs)
    )
    assert result.sensitivity is not None
    assert result.sensitivity.samples == 10  # 64 over two groups and three ratios
    assert [
        (curve.group, [point.remaining_units for point in curve.points]) for curve in result.sensitivity.groups
    ] == [(group.name, [9, 6, 3]) for group in result.groups if group.frozen is None]
    assert {"report.json", "plan.json"} <= manifest["files"].keys()
    shipped, evaluation = manifest["metrics"]["shipped"], read(folder).evaluation
    assert evaluation is not None
    assert evaluation.bits.bit_count() / evaluation.samples == shipped["accuracy"]
    assert read(Path(values["archive"])).evaluation == evaluation
    assert "report.html" not in manifest["files"]  # it tells timings, as profile.json does
    assert (folder / "report.html").read_text() == report_page.of_bundle(folder)
    state = load_file(folder / "weights.safetensors")
    assert (
        sum(tensor.numel() for name, tensor in state.items() if "running" not in name and "num_" not in name)
        == (pruned["params"])
    )
    with tarfile.open(values["archive"]) as archive:
        assert {f"net-make-board/{name}" for name in (*manifest["files"], "manifest.json")} == set(archive.getnames())
    assert verify(folder).manifest == verify(Path(values["archive"])).manifest
    used = {part["name"]: part for part in json.loads((folder / "sbom.json").read_text())["components"]}
    assert used["torch"]["version"] == manifest["provenance"]["packages"]["torch"]
    hashes = {name: part["hashes"][0]["content"] for name, part in used.items() if "hashes" in part}
    assert hashes == manifest["provenance"]["inputs"] != {}


@pytest.mark.long
def test_manifest_says_that_equivalence_was_not_checked(own: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run([*ARGUMENTS, "--epochs", "0", "--set", "prune.verify=false", "--json"]) == 0
    equivalence = json.loads(capsys.readouterr().out)["manifest"]["equivalence"]
    assert equivalence == {"verified": False, "max_error": None, "exact": None}


@pytest.mark.long
def test_second_build_reruns_only_stages_that_depend_on_a_changed_setting(
    own: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    one_way = ["--criterion", "l2", "--set", "prune.selection=global", "--set", "prune.align=target"]

    def redone(*more: str) -> list[str]:
        assert run([*ARGUMENTS, *one_way, "--json", *more]) == 0
        stages = json.loads(capsys.readouterr().out)["stages"]
        return [stage["name"] for stage in stages if not stage["cached"]]

    every = redone()
    assert every[0] == "load"
    assert every[-1] == "bundle"
    assert redone() == []
    assert redone("--output", "elsewhere") == ["bundle"]
    assert redone("--budget", "macs=0.6") == ["candidates", *every[every.index("select") :]]
    assert redone("--epochs", "1") == ["candidates", *every[every.index("train") :]]
    (own / "net.py").write_text(NETWORK + "\n# changed\n")
    assert redone() == every


@pytest.mark.long
def test_the_table_is_printed_on_stdout_and_progress_on_stderr(own: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(ARGUMENTS) == 0
    printed = capsys.readouterr()
    for part in ("MACs", "parameters", "accuracy", "latency p50", "peak memory", "dense", "pruned", "ratio"):
        assert part in printed.out
    assert "training: AdamW, batch size 32, 2 epochs, peak learning rate" in printed.out
    for part in ("evaluate dense", "prune and train", "export ONNX", "bundle"):
        assert part in printed.err
        assert part not in printed.out.replace("bundle: ", "")


@pytest.mark.long
def test_python_and_command_line_build_the_same(own: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert (
        run(["build", "digits", "--epochs", "0", "--set", "prune.samples=64", "--target", "board.toml", "--json"]) == 0
    )
    values = json.loads(capsys.readouterr().out)
    recipe = edgeprune.Recipe.load("digits").override({"training.epochs": 0, "prune.samples": 64})
    result = edgeprune.build(recipe, own / "board.toml")
    assert all(stage.cached for stage in result.stages)
    assert str(result.folder) == values["folder"]
    assert result.manifest.model_dump(mode="json") == values["manifest"]
    module = edgeprune.Plan.load(result.folder / "plan.json")
    assert module.after.macs == result.manifest.metrics.pruned.macs


@pytest.mark.long
def test_nan_loss_stops_the_build_with_an_error(own: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run([*ARGUMENTS, "--set", "training.lr=1e38"]) == 1
    output = capsys.readouterr().err
    assert "loss became" in output or "not finite" in output
    assert "training.lr" in output
    assert not (own / "dist").exists()
