"""A target that cannot run a network says so, by operator, node and module, before anything is spent."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import onnx
import pytest
import torch
from torch import Tensor, nn

from edgeprune.config import Target
from edgeprune.errors import TargetError
from edgeprune.export import onnx_export as exporting
from edgeprune.export.onnx_modules import module_path
from edgeprune.export.preflight import preflight


class _Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Sequential(nn.ReLU(), nn.Conv2d(4, 5, 1)))
        self.ends = nn.ModuleDict({"norm": nn.LayerNorm(5)})

    def forward(self, x: Tensor) -> Tensor:
        normed: Tensor = self.ends["norm"](self.body(x).mean((2, 3)))
        return normed.cumsum(1)


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("preflight") / "net.onnx"
    exporting.export(_Net().eval(), (torch.zeros(1, 3, 9, 9),), path)
    return path


def _target(**tables: Any) -> Target:
    return Target.parse({"name": "board", **tables}, where="a test")


def test_nodes_know_their_modules(file: Path) -> None:
    modules = {module_path(node) for node in onnx.load(file).graph.node if node.op_type == "Conv"}
    assert modules == {"body.0", "body.1.1"}


def test_modules_are_read_from_metadata_of_the_other_exporter() -> None:
    scopes = "['', 'layer1', 'layer1.0', 'layer1.0.conv1', 'conv2d']"
    node = onnx.helper.make_node("Conv", ["x"], ["y"], name="node_conv2d")
    node.metadata_props.add(key="pkg.torch.onnx.name_scopes", value=scopes)
    assert module_path(node) == "layer1.0.conv1"


@pytest.mark.parametrize("name", Target.names())
def test_every_target_runs_a_plain_network(name: str, tmp_path: Path) -> None:
    plain = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 2))
    exporting.export(plain.eval(), (torch.zeros(1, 3, 9, 9),), tmp_path / "net.onnx")
    assert preflight(tmp_path / "net.onnx", Target.load(name)).remarks == ()


def test_operator_without_kernel_is_named_with_its_layer(file: Path) -> None:
    layer = r"\n  LayerNormalization .*tensorrt >=8\.4,<9 \(/norm/LayerNormalization in norm\): .*8\.6"
    with pytest.raises(TargetError, match=f"jetson-xavier-nx .*{layer}"):
        preflight(file, Target.load("jetson-xavier-nx"))


def test_all_problems_are_in_one_error(file: Path) -> None:
    target = _target(
        hardware={"memory_bytes": 1000},
        runtime={"versions": "<1"},
        onnx={"unsupported": ["CumSum", "Conv"], "slow": ["Relu"], "remarks": {"CumSum": "do it later"}},
    )
    with pytest.raises(TargetError) as caught:
        preflight(file, target, installed="1.22.0")
    versions, *kinds, memory = str(caught.value).splitlines()[1:]
    assert re.search(r"onnxruntime <1\b.* 1\.22\.0\b", versions)
    assert {line.split()[0] for line in kinds} == {"CumSum", "Conv"}
    assert any("/body/body.1/body.1.1/Conv in body.1.1" in line for line in kinds)
    assert any(line.endswith(": do it later") for line in kinds)
    assert " 1,000" in memory


def test_slow_operators_are_remarks(file: Path) -> None:
    target = _target(onnx={"slow": ["Relu"], "remarks": {"Relu": "it is slow"}})
    assert preflight(file, target).remarks == (
        "Relu runs slowly on this target (/body/body.1/body.1.0/Relu in body.1.0): it is slow",
    )


def test_the_least_memory_is_the_weights_and_the_largest_operator(tmp_path: Path) -> None:
    exporting.export(nn.Conv2d(3, 4, 3).eval(), (torch.zeros(1, 3, 9, 9),), tmp_path / "net.onnx")
    weights, activations = 4 * 3 * 3 * 3 + 4, 3 * 9 * 9 + 4 * 7 * 7
    # The weights are read by the operator, and counted once.
    assert preflight(tmp_path / "net.onnx", _target()).least_memory_bytes == 4 * (weights + activations)


def test_open_dimensions_but_the_batch_are_refused(tmp_path: Path) -> None:
    def model(*shape: int | str) -> Path:
        value = [onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, list(shape)) for name in "xy"]
        graph = onnx.helper.make_graph(
            [onnx.helper.make_node("Relu", ["x"], ["y"], name="r")], "g", value[:1], value[1:]
        )
        path = tmp_path / "open.onnx"
        onnx.save(onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)]), path)
        return path

    preflight(model("batch", 3, 8, 8), _target())
    with pytest.raises(TargetError, match=r"input x .*\(1, 3, height, 8\)"):
        preflight(model(1, 3, "height", 8), _target())


def test_an_opset_that_is_too_high_and_operators_of_others_are_refused(tmp_path: Path) -> None:
    value = [onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [1, 2]) for name in "xy"]
    nodes = [onnx.helper.make_node("Gelu", ["x"], ["y"], name="g", domain="com.microsoft")]
    opsets = [onnx.helper.make_opsetid("", 21), onnx.helper.make_opsetid("com.microsoft", 1)]
    onnx.save(
        onnx.helper.make_model(onnx.helper.make_graph(nodes, "g", value[:1], value[1:]), opset_imports=opsets),
        tmp_path / "m.onnx",
    )
    with pytest.raises(TargetError, match=r"opset 21\b.* 17\b.*\n.*'com\.microsoft'"):
        preflight(tmp_path / "m.onnx", _target(onnx={"opset_max": 17}))
