"""Broken and hostile ONNX files: each is one ModelError, at once."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import onnx
import pytest
import torch
from onnx import ModelProto, helper

from edgeprune.backends.tensorrt.precision_variants import write_fp16
from edgeprune.cli import run
from edgeprune.config import Target
from edgeprune.errors import ModelError
from edgeprune.export import onnx_loading
from edgeprune.export.preflight import preflight
from edgeprune.model.data import TensorSplit
from edgeprune.quantize import quantize
from edgeprune.quantize.calibration_samples import CalibrationSamples
from edgeprune.tflite.conversion import convert

_FLOAT = onnx.TensorProto.FLOAT
_OPSET = [helper.make_opsetid("", 17), helper.make_opsetid("f", 1)]


def _model(op: str = "Relu", domain: str = "", shape: tuple[int, ...] = (1, 2)) -> ModelProto:
    values = [helper.make_tensor_value_info(name, _FLOAT, shape) for name in "xy"]
    graph = helper.make_graph([helper.make_node(op, ["x"], ["y"], name="node", domain=domain)], "g", *zip(values))
    return helper.make_model(graph, opset_imports=_OPSET, ir_version=10)


def _nested(levels: int, calls: int) -> ModelProto:
    """Functions f0, f1, ... each of which calls the next ``calls`` times."""
    model = _model("f0", "f")
    for level in range(levels):
        op, domain = (f"f{level + 1}", "f") if level < levels - 1 else ("Relu", "")
        names = ["x", *(f"t{call}" for call in range(calls - 1)), "y"]
        nodes = [helper.make_node(op, [names[i]], [names[i + 1]], domain=domain) for i in range(calls)]
        model.functions.append(helper.make_function("f", f"f{level}", ["x"], ["y"], nodes, _OPSET))
    return model


def _calls_itself() -> ModelProto:
    model = _model("f0", "f")
    nodes = [helper.make_node("f0", ["x"], ["y"], domain="f")]
    model.functions.append(helper.make_function("f", "f0", ["x"], ["y"], nodes, _OPSET))
    return model


def _opset(version: int) -> ModelProto:
    model = _model()
    model.opset_import[0].version = version
    return model


def _renamed() -> bytes:
    return _model().SerializeToString().replace(b"node", b"\xff\xfe\x1b]")


def _with_weight(*, stored: int, kind: int = _FLOAT, raw: bool = True) -> ModelProto:
    """A model that adds a weight of 6 elements, of which ``stored`` are in the file."""
    model = _model("Add", shape=(2, 3))
    model.graph.node[0].input.append("w")
    tensor = model.graph.initializer.add(name="w", dims=[2, 3], data_type=kind)
    if raw:
        tensor.raw_data = bytes(4 * stored)
    else:
        tensor.float_data.extend([0.0] * stored)
    return model


def _with_constant(stored: int) -> ModelProto:
    """As ``_with_weight``, with the weight as the attribute of a node."""
    model = _with_weight(stored=stored)
    weight = model.graph.initializer.pop()
    node = model.graph.node.add(op_type="Constant", output=["w"])
    node.attribute.add(name="value", type=onnx.AttributeProto.TENSOR).t.CopyFrom(weight)
    nodes = [model.graph.node.pop(), model.graph.node.pop()]
    model.graph.node.extend(nodes)
    return model


_BAD: dict[str, Callable[[], ModelProto | bytes]] = {
    "garbage": lambda: b"\xff" * 100,
    "empty": lambda: b"",
    "text": lambda: b"not a model",
    "cut off": lambda: _model().SerializeToString()[:60],
    "31 nested functions": lambda: _nested(31, 2),
    "65 nested functions": lambda: _nested(65, 1),
    "3000 nested functions": lambda: _nested(3000, 1),
    "function calls itself": _calls_itself,
    "opset 0": lambda: _opset(0),
    "opset -1": lambda: _opset(-1),
    "opset 2**62": lambda: _opset(2**62),
    "name not UTF-8": _renamed,
    "large dimension": lambda: _model(shape=(2**40, 2)),
    "large tensor": lambda: _model(shape=(2**20, 2**20)),
    "negative dimension": lambda: _model(shape=(-5, 2)),
    "weight cut off": lambda: _with_weight(stored=5),
    "weight longer than its shape": lambda: _with_weight(stored=9),
    "weight of numbers cut off": lambda: _with_weight(stored=5, raw=False),
    "weight of another type": lambda: _with_weight(stored=6, kind=onnx.TensorProto.DOUBLE),
    "weight of no type": lambda: _with_weight(stored=6, kind=99),
    "constant cut off": lambda: _with_constant(5),
    "unknown operator": lambda: _model("\x1b]0;title\x07"),
}


@pytest.mark.timeout(60)
@pytest.mark.parametrize("bad", _BAD)
@pytest.mark.parametrize("command", ["convert", "profile"])
def test_a_broken_model_is_an_input_error(
    command: str, bad: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    content, path = _BAD[bad](), tmp_path / "broken.onnx"
    path.write_bytes(content if isinstance(content, bytes) else content.SerializeToString())
    output = [str(tmp_path / "m.tflite")] if command == "convert" else []
    assert run([command, str(path), *output]) == 3
    printed = capsys.readouterr().err
    assert printed.count("error: ") == 1
    assert not [character for character in printed if not (character.isprintable() or character == "\n")]
    assert not (tmp_path / "m.tflite").exists()


def _quantize(path: Path) -> None:
    quantize(path, path.with_suffix(".int8"), TensorSplit(torch.zeros(1, 2), torch.zeros(1).long()))


def _write_fp16(path: Path) -> None:
    write_fp16(path, path.parent, CalibrationSamples(TensorSplit(torch.zeros(1, 2), torch.zeros(1).long()), 1, 0))


def _preflight(path: Path) -> None:
    preflight(path, Target.load("host"))


@pytest.mark.timeout(60)
@pytest.mark.parametrize("bad", ["31 nested functions", "name not UTF-8", "large tensor", "weight cut off"])
@pytest.mark.parametrize("read", [_quantize, _write_fp16, _preflight])
def test_every_reader_of_a_model_refuses_a_broken_one(read: Callable[[Path], None], bad: str, tmp_path: Path) -> None:
    content, path = _BAD[bad](), tmp_path / "broken.onnx"
    path.write_bytes(content if isinstance(content, bytes) else content.SerializeToString())
    with pytest.raises(ModelError) as problem:
        read(path)
    assert str(path) in str(problem.value)
    assert "\n" not in str(problem.value)
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.timeout(60)
@pytest.mark.parametrize("read", [_quantize, _write_fp16, _preflight])
def test_no_reader_of_a_model_waits_for_a_pipe(read: Callable[[Path], None], tmp_path: Path) -> None:
    path = tmp_path / "pipe.onnx"
    os.mkfifo(path)
    with pytest.raises(ModelError) as problem:
        read(path)
    assert str(path) in str(problem.value)


@pytest.mark.parametrize(
    "model", [_model(), _nested(10, 2), _nested(60, 1), _nested(1, 10), _with_weight(stored=6), _with_constant(6)]
)
def test_a_sound_model_is_loaded(model: ModelProto, tmp_path: Path) -> None:
    path = tmp_path / "m.onnx"
    path.write_bytes(model.SerializeToString())
    assert onnx_loading.load_file(path) == model
    onnx_loading.check_file(path)


def test_shared_functions_are_counted_at_every_call(tmp_path: Path) -> None:
    """Depth is that of the longest chain, whichever chain was counted first."""
    model = _nested(60, 1)
    for level in range(60):
        op = f"g{level + 1}" if level < 59 else "f0"
        nodes = [helper.make_node(op, ["x"], ["y"], domain="f")]
        model.functions.append(helper.make_function("f", f"g{level}", ["x"], ["y"], nodes, _OPSET))
    model.graph.node.append(helper.make_node("g0", ["x"], ["z"], domain="f"))
    path = tmp_path / "m.onnx"
    path.write_bytes(model.SerializeToString())
    with pytest.raises(ModelError, match=str(onnx_loading.MAX_FUNCTION_DEPTH)):
        onnx_loading.load_file(path)


def test_a_tensor_of_another_size_is_named(tmp_path: Path) -> None:
    path = tmp_path / "m.onnx"
    path.write_bytes(_with_weight(stored=5).SerializeToString())
    with pytest.raises(ModelError) as problem:
        onnx_loading.load_file(path)
    for part in (str(path), "'w'", "FLOAT", "[2, 3]", "size 5"):
        assert part in str(problem.value)


def test_external_data_outside_the_folder_is_refused(tmp_path: Path) -> None:
    model = _model()
    tensor = helper.make_tensor("w", _FLOAT, [1], [1.0])
    tensor.ClearField("float_data")
    tensor.data_location = onnx.TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="../secret")
    model.graph.initializer.append(tensor)
    (tmp_path / "secret").write_bytes(b"1234")
    (tmp_path / "inner").mkdir()
    path = tmp_path / "inner" / "m.onnx"
    path.write_bytes(model.SerializeToString())
    with pytest.raises(ModelError):
        convert(path, tmp_path / "m.tflite")
