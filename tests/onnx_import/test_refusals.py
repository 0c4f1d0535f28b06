"""Files that cannot be imported: one error that names the file, the node and the operator."""

from __future__ import annotations

import logging
import warnings
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import ModelProto, TensorProto, helper, numpy_helper
from torch import Tensor, nn

from edgeprune import load_onnx
from edgeprune.errors import ModelError

_WEIGHT = numpy_helper.from_array(np.ones((4, 4), np.float32), "w")
_PRODUCT = helper.make_node("MatMul", ["x", "w"], ["h"], name="product")


def _model(*nodes: onnx.NodeProto, shape: tuple[int | str, ...] = (1, 4), opset: int = 17) -> ModelProto:
    """A product with a constant matrix, then ``nodes``, the last of which computes ``y``."""
    graph = helper.make_graph(
        [_PRODUCT, *nodes],
        "graph",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [None] * 2)],
        [_WEIGHT],
    )
    domains = [helper.make_opsetid("", opset), helper.make_opsetid("vendor", 1)]
    return helper.make_model(graph, opset_imports=domains, ir_version=8)


def _saved(model: ModelProto, folder: Path) -> Path:
    onnx.save(model, folder / "net.onnx")
    return folder / "net.onnx"


def _sequential() -> nn.Module:
    layers = [nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 4)]
    return nn.Sequential(*layers).eval()


def _traced(network: nn.Module, x: Tensor, path: Path, **options: object) -> Path:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(network, (x,), str(path), dynamo=False, **{"opset_version": 13, **options})
    return path


def test_all_nodes_without_an_importer_are_listed(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("Fused", ["h"], ["a"], name="one", domain="vendor"),
        helper.make_node("Det", ["a"], ["b"], name="two"),
        helper.make_node("Relu", ["b"], ["y"], name="three"),
    ]
    with pytest.raises(ModelError, match=r"net\.onnx(.|\n)*2 of its 4 (.|\n)*one .*vendor(.|\n)*two \(Det\)") as raised:
        load_onnx(_saved(_model(*nodes), tmp_path))
    assert "three" not in str(raised.value)


def test_quantized_file_is_refused(tmp_path: Path) -> None:
    model = _model(
        helper.make_node("QuantizeLinear", ["h", "s", "z"], ["q"], name="first"),
        helper.make_node("DequantizeLinear", ["q", "s", "z"], ["y"], name="second"),
    )
    scale = numpy_helper.from_array(np.float32(0.1), "s")
    model.graph.initializer.extend([scale, numpy_helper.from_array(np.int8(0), "z")])
    with pytest.raises(ModelError, match=r"first \(QuantizeLinear\): quantized(.|\n)*second"):
        load_onnx(_saved(model, tmp_path))


def test_control_flow_is_refused(tmp_path: Path) -> None:
    branch = helper.make_graph(
        [helper.make_node("Relu", ["h"], ["r"])], "b", [], [helper.make_empty_tensor_value_info("r")]
    )
    model = _model(helper.make_node("If", ["c"], ["y"], name="branch", then_branch=branch, else_branch=branch))
    model.graph.initializer.append(numpy_helper.from_array(np.bool_(True), "c"))
    with pytest.raises(ModelError, match=r"branch \(If\): control flow"):
        load_onnx(_saved(model, tmp_path))


def test_variant_of_an_operator_names_file_and_node(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("Unsqueeze", ["h", "zero"], ["s"]),
        helper.make_node("GRU", ["s", "g", "g"], ["o"], name="cell", hidden_size=4, clip=2.0),
        helper.make_node("Reshape", ["o", "shape"], ["y"]),
    ]
    model = _model(*nodes)
    constants = {"zero": np.array([0]), "g": np.ones((1, 12, 4), np.float32), "shape": np.array([1, -1])}
    model.graph.initializer.extend(numpy_helper.from_array(value, name) for name, value in constants.items())
    with pytest.raises(ModelError, match=r"net\.onnx.*cell \(GRU\).*clip = 2"):
        load_onnx(_saved(model, tmp_path))


@pytest.mark.parametrize(
    ("options", "problem"), [({}, "sampling_ratio 0"), ({"sampling_ratio": 2, "mode": "max"}, "mode 'max'")]
)
def test_regions_without_a_fixed_number_of_averaged_samples_are_refused(
    options: dict[str, object], problem: str, tmp_path: Path
) -> None:
    model = _model(
        helper.make_node("Reshape", ["h", "image"], ["i"]),
        helper.make_node("RoiAlign", ["i", "regions", "first"], ["r"], name="pool", **options),
        helper.make_node("Reshape", ["r", "shape"], ["y"]),
    )
    constants = {"image": np.array([1, 1, 2, 2]), "regions": np.ones((1, 4), np.float32), "first": np.array([0])}
    constants["shape"] = np.array([1, -1])
    model.graph.initializer.extend(numpy_helper.from_array(value, name) for name, value in constants.items())
    with pytest.raises(ModelError, match=rf"net\.onnx.*pool \(RoiAlign\) has {problem}"):
        load_onnx(_saved(model, tmp_path))


def test_quantization_that_a_function_defines_is_refused_by_its_own_name(tmp_path: Path) -> None:
    model = _model(
        helper.make_node("DynamicQuantizeLinear", ["h"], ["q", "s", "z"], name="dynamic"),
        helper.make_node("Cast", ["q"], ["y"], to=TensorProto.FLOAT),
    )
    with pytest.raises(ModelError, match=r"1 of its 3 (.|\n)*dynamic \(DynamicQuantizeLinear\): quantized"):
        load_onnx(_saved(model, tmp_path))


def test_old_opset_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"net\.onnx.* 6.* 7"):
        load_onnx(_saved(_model(helper.make_node("Relu", ["h"], ["y"]), opset=6), tmp_path))


def test_file_without_weights_is_refused(tmp_path: Path) -> None:
    model = _model(helper.make_node("Relu", ["x"], ["y"]))
    del model.graph.node[0], model.graph.initializer[:]
    with pytest.raises(ModelError, match=r"net\.onnx.* no float weights"):
        load_onnx(_saved(model, tmp_path))


def test_training_mode_is_refused(tmp_path: Path) -> None:
    training = torch.onnx.TrainingMode.TRAINING
    for opset in (13, 17):
        path = _traced(
            _sequential(), torch.rand(1, 3, 8, 8), tmp_path / "net.onnx",
            training=training, do_constant_folding=False, opset_version=opset,
        )  # fmt: skip
        with pytest.raises(ModelError, match=r"BatchNormalization.*evaluation mode"):
            load_onnx(path)


def test_dynamic_sizes_need_a_shape(tmp_path: Path) -> None:
    axes = {"image": {0: "count", 2: "height", 3: "width"}}
    network, x = _sequential(), torch.rand(1, 3, 8, 8)
    path = _traced(network, x, tmp_path / "net.onnx", dynamic_axes=axes, input_names=["image"])
    with pytest.raises(ModelError, match=r"'image'.*\(count, 3, height, width\).*model\.input"):
        load_onnx(path)
    with pytest.raises(ModelError, match=r"'image'.*\(1, 4, 8, 8\)"):
        load_onnx(path, shape=(1, 4, 8, 8))
    with pytest.raises(ModelError, match=r"'other'.* image"):
        load_onnx(path, shape={"other": (1, 3, 8, 8)})
    torch.testing.assert_close(load_onnx(path, shape=(9, 3, 8, 8))(x), network(x))


def test_missing_external_data_names_the_file(tmp_path: Path) -> None:
    onnx.save(
        _model(helper.make_node("Relu", ["h"], ["y"])), tmp_path / "net.onnx", save_as_external_data=True,
        location="net.bin", size_threshold=0,
    )  # fmt: skip
    (tmp_path / "net.bin").unlink()
    with pytest.raises(ModelError, match=r"net\.onnx.*net\.bin"):
        load_onnx(tmp_path / "net.onnx")


@pytest.mark.parametrize("content", [b"", b"not a model", b"\x08\x08"])
def test_broken_file_is_refused(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "net.onnx").write_bytes(content)
    with pytest.raises(ModelError, match=r"net\.onnx"):
        load_onnx(tmp_path / "net.onnx")


@pytest.mark.parametrize("op", ["Expand", "Tile", "ConstantOfShape"])
def test_file_cannot_require_unlimited_memory(op: str, tmp_path: Path) -> None:
    sizes = numpy_helper.from_array(np.array([1 << 40, 4]), "n")
    inputs = ["n"] if op == "ConstantOfShape" else ["h", "n"]
    model = _model(helper.make_node(op, inputs, ["t"], name="large"), helper.make_node("Add", ["h", "t"], ["y"]))
    model.graph.initializer.append(sizes)
    with pytest.raises(ModelError, match=r"net\.onnx.*large.*elements"):
        load_onnx(_saved(model, tmp_path))


def test_file_in_float16_is_converted_with_a_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    network = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Flatten(), nn.Linear(288, 4)).eval().half()
    x = torch.rand(1, 3, 8, 8)
    path = _traced(network, x.half(), tmp_path / "net.onnx")
    with caplog.at_level(logging.WARNING):
        imported = load_onnx(path)
    assert "float32" in caplog.text
    assert {parameter.dtype for parameter in imported.parameters()} == {torch.float32}
    torch.testing.assert_close(imported(x), network.float()(x), rtol=1e-3, atol=1e-3)


def test_network_that_mixes_samples_keeps_its_batch_size(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    model = _model(
        helper.make_node("ReduceMean", ["h"], ["m"], name="mixing", axes=[0]),
        helper.make_node("Sub", ["h", "m"], ["y"]),
        shape=(3, 4),
    )
    with caplog.at_level(logging.WARNING):
        network = load_onnx(_saved(model, tmp_path))
    assert "mixing" in caplog.text
    x = torch.rand(3, 4)
    torch.testing.assert_close(network(x), (x - x.mean(0)) @ torch.ones(4, 4))
