"""``edgeprune build`` and ``edgeprune inspect`` of a network that is an ONNX file."""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import Any

import onnx
import pytest
import torch
from onnx import numpy_helper
from safetensors.torch import load_file, save_file

from edgeprune.bundle.bundle_reader import read
from edgeprune.cli import run
from edgeprune.config import Recipe
from edgeprune.model import network
from edgeprune.onnx_import import load_onnx

_BUILD = [
    "build", "--model", "net.onnx", "--data", "net.py:data", "--input", "1,1,8,8", "--epochs", "1",
    "--set", "training.batch_size=32", "--set", "training.precision=float32", "--budget", "macs=0.5",
    "--target", "board.toml",
]  # fmt: skip


@pytest.fixture
def file(own: Path) -> Path:
    """The network of ``own`` as a file with the batch size 1, with tensors in another file."""
    model = network.load_model("net.py:make", own / "net.safetensors", base=own)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            model, torch.zeros(1, 1, 8, 8), str(own / "net.onnx"), dynamo=False, opset_version=13,
            input_names=["image"], output_names=["scores"], training=torch.onnx.TrainingMode.PRESERVE,
            do_constant_folding=False,
        )  # fmt: skip
    proto = onnx.load(own / "net.onnx")
    onnx.save(proto, own / "net.onnx", save_as_external_data=True, location="net.bin", size_threshold=0)
    return own / "net.onnx"


def test_onnx_file_is_inspected(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["inspect", "net.onnx", "--input", "1,1,8,8", "--json"]) == 0
    groups = {group["name"]: group for group in json.loads(capsys.readouterr().out)["groups"]}
    assert groups["0"]["units"] == 12
    assert {member["tensor"] for member in groups["0"]["members"]} >= {"0.weight", "1.weight", "1.running_mean"}


def test_weights_file_replaces_the_weights_of_an_onnx_file(file: Path) -> None:
    state = load_onnx(file).state_dict()
    dense = load_file(file.parent / "net.safetensors")
    assert state.keys() == dense.keys()
    save_file({**dense, "0.bias": torch.full((12,), 3.0)}, file.parent / "other.safetensors")
    loaded = network.load_model("net.onnx", file.parent / "other.safetensors", base=file.parent)
    assert torch.equal(loaded.state_dict()["0.bias"], torch.full((12,), 3.0))


def _forecast(capsys: pytest.CaptureFixture[str]) -> dict[str, dict[str, Any]]:
    assert run([*_BUILD, "--dry-run", "--json"]) == 0
    return {stage["name"]: stage for stage in json.loads(capsys.readouterr().out)["stages"]}


def test_init_writes_a_recipe_with_an_onnx_file(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = ["--model", "net.onnx", "--data", "net.py:data", "--input", "1,1,8,8"]
    assert run(["init", "--output", "project", *options, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["check"]["has_weights"]
    assert Recipe.load("project").model.factory == "../net.onnx"


@pytest.mark.long
def test_onnx_file_is_built_and_a_change_of_its_external_data_builds_again(
    file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run([*_BUILD, "--json"]) == 0
    values = json.loads(capsys.readouterr().out)
    manifest = values["manifest"]
    assert (manifest["recipe"], manifest["target"]) == ("net", "board")
    assert manifest["equivalence"]["verified"]
    assert manifest["metrics"]["pruned"]["macs"] <= 0.5 * manifest["metrics"]["dense"]["macs"]
    bundle = read(Path(values["folder"]))
    exported = onnx.load(next(Path(values["folder"]).glob("*.onnx")))
    assert [port.name for port in (*exported.graph.input, *exported.graph.output)] == ["image", "scores"]
    assert bundle.manifest.recipe == "net"

    assert {stage["state"] for stage in _forecast(capsys).values()} == {"cached"}
    proto, before = onnx.load(file), file.read_bytes()
    weight = next(tensor for tensor in proto.graph.initializer if tensor.name == "0.bias")
    weight.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(weight) + 1, "0.bias"))
    (file.parent / "net.bin").unlink()
    onnx.save(proto, file, save_as_external_data=True, location="net.bin", size_threshold=0)
    assert file.read_bytes() == before
    stages = _forecast(capsys)
    assert stages["load"]["state"] == "runs"
    assert "net.bin" in stages["load"]["reason"]
    assert run([*_BUILD, "--json"]) == 0
    again = {stage["name"]: stage["cached"] for stage in json.loads(capsys.readouterr().out)["stages"]}
    assert not again["train"]
