"""The file that a conversion writes, and what it refuses."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from ai_edge_litert import schema_py_generated as schema
from onnx import TensorProto, helper, numpy_helper

from edgeprune.backends.litert.litert_session import LiteRTSession
from edgeprune.cli import run
from edgeprune.errors import ModelError
from edgeprune.tflite import tflite_file
from edgeprune.tflite.conversion import convert


def model(
    *nodes: onnx.NodeProto,
    shape: tuple[Any, ...] = (1, 4, 8, 8),
    outputs: tuple[str, ...] = ("y",),
    result: tuple[Any, ...] | None = None,
    opset: int = 17,
    dtype: int = TensorProto.FLOAT,
    **constants: np.ndarray,
) -> onnx.ModelProto:
    graph = helper.make_graph(
        list(nodes),
        "g",
        [helper.make_tensor_value_info("x", dtype, shape)],
        [helper.make_tensor_value_info(name, dtype, result) for name in outputs],
        [numpy_helper.from_array(values, name) for name, values in constants.items()],
    )
    opsets = [helper.make_opsetid("", opset), helper.make_opsetid("com.vendor", 1)]
    instance = helper.make_model(graph, opset_imports=opsets, ir_version=9)
    return onnx.shape_inference.infer_shapes(instance, data_prop=True)


def relu(name: str = "/act/Relu") -> onnx.NodeProto:
    return helper.make_node("Relu", ["x"], ["y"], name)


def convolution(*, inner: int = 4, outer: int = 512) -> onnx.ModelProto:
    """With enough weights for others to put them outside of the flatbuffer."""
    weights = np.random.default_rng(0).standard_normal((outer, inner, 8, 8)).astype(np.float32)
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["a"], "/layer1/layer1.0/conv/Conv"),
        helper.make_node("Sigmoid", ["a"], ["y"], "/layer1/layer1.0/act/Sigmoid"),
    ]
    return model(*nodes, w=weights)


def parsed(path: Path) -> schema.ModelT:
    return schema.ModelT.InitFromPackedBuf(path.read_bytes())


def test_every_buffer_is_inside_the_flatbuffer_and_aligned(tmp_path: Path) -> None:
    path = convert(convolution(), tmp_path / "m.tflite").path
    content = path.read_bytes()
    assert content[4:8] == b"TFL3"
    read = schema.Model.GetRootAs(content)
    sizes = []
    for index in range(read.BuffersLength()):
        buffer = read.Buffers(index)
        assert buffer.Offset() == 0
        assert buffer.Size() == 0
        sizes.append(buffer.DataLength())
        if sizes[-1]:
            start = buffer.DataAsNumpy().__array_interface__["data"][0]
            assert (start - np.frombuffer(content, np.uint8).__array_interface__["data"][0]) % 16 == 0
    assert max(sizes) == 512 * 4 * 64 * 4


def test_a_file_of_others_is_packed_with_its_buffers_inside(tmp_path: Path) -> None:
    path = convert(convolution(), tmp_path / "m.tflite").path
    assert tflite_file.pack(parsed(path)) == path.read_bytes()


def test_tensors_are_named_after_the_nodes_that_make_them(tmp_path: Path) -> None:
    (graph,) = parsed(convert(convolution(), tmp_path / "m.tflite").path).subgraphs
    names = {tensor.name.decode() for tensor in graph.tensors}
    conv = "/layer1/layer1.0/conv/Conv"
    assert names == {"x", "y", conv, f"{conv}/weights", f"{conv}/bias"}


def test_duplicate_names_become_unique(tmp_path: Path) -> None:
    nodes = [helper.make_node("Exp", ["x"], ["a"], "n"), helper.make_node("Exp", ["a"], ["b"], "n")]
    result = model(*nodes, helper.make_node("Exp", ["b"], ["y"], "n"))
    (graph,) = parsed(convert(result, tmp_path / "m.tflite").path).subgraphs
    assert sorted(tensor.name.decode() for tensor in graph.tensors) == ["n", "n_1", "x", "y"]


def test_equal_constants_are_stored_once(tmp_path: Path) -> None:
    shared = np.arange(4 * 64, dtype=np.float32)
    nodes = [
        helper.make_node("Mul", ["x", "c"], ["a"], "one"),
        helper.make_node("Exp", ["a"], ["b"], "between"),
        helper.make_node("Mul", ["b", "d"], ["y"], "two"),
    ]
    result = model(*nodes, shape=(2, 256), c=shared, d=shared.copy())
    read = parsed(convert(result, tmp_path / "m.tflite").path)
    used = [read.buffers[number] for number in {tensor.buffer for tensor in read.subgraphs[0].tensors}]
    assert [len(buffer.data) for buffer in used if buffer.data is not None] == [1024]


def test_the_same_model_gives_the_same_bytes(tmp_path: Path) -> None:
    one, two = (convert(convolution(), tmp_path / name).path.read_bytes() for name in "ab")
    assert one == two


def test_images_have_their_channels_last_in_and_out(tmp_path: Path) -> None:
    converted = convert(model(relu()), tmp_path / "m.tflite")
    assert [(port.name, port.shape, port.order) for port in (*converted.inputs, *converted.outputs)] == [
        ("x", (1, 8, 8, 4), (0, 2, 3, 1)),
        ("y", (1, 8, 8, 4), (0, 2, 3, 1)),
    ]
    x = np.random.default_rng(0).standard_normal((3, 4, 8, 8)).astype(np.float32)
    np.testing.assert_array_equal(LiteRTSession(converted.path).predict(x)[0], np.maximum(x, 0))


def test_a_sequence_has_its_channels_last_only_where_a_convolution_reads_it(tmp_path: Path) -> None:
    weights = {"w": np.ones((2, 4, 3), np.float32)}
    exp = helper.make_node("Exp", ["x"], ["a"], "exp")
    conv = model(exp, helper.make_node("Conv", ["a", "w"], ["y"], "conv"), shape=(1, 4, 9), **weights)
    assert convert(conv, tmp_path / "m.tflite").inputs[0].order == (0, 2, 1)
    product = model(exp, helper.make_node("MatMul", ["a", "w"], ["y"], "p"), shape=(1, 4, 9), w=np.ones((9, 2), "f"))
    assert convert(product, tmp_path / "m.tflite").inputs[0].order == (0, 1, 2)


def test_an_output_that_is_an_input_or_a_constant_is_copied(tmp_path: Path) -> None:
    nodes = [helper.make_node("Identity", ["x"], ["y"], "i"), helper.make_node("Identity", ["c"], ["z"], "j")]
    result = model(*nodes, outputs=("y", "z"), shape=(1, 3), c=np.ones((1, 2), np.float32))
    x = np.ones((1, 3), np.float32)
    same, constant = LiteRTSession(convert(result, tmp_path / "m.tflite").path).run([x])
    np.testing.assert_array_equal(same, x)
    np.testing.assert_array_equal(constant, np.ones((1, 2)))


def test_shape_computations_are_folded(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("Shape", ["x"], ["s"], "shape"),
        helper.make_node("Gather", ["s", "zero"], ["n"], "first"),
        helper.make_node("Concat", ["n", "rest"], ["t"], "concat", axis=0),
        helper.make_node("Reshape", ["x", "t"], ["y"], "reshape"),
    ]
    result = model(*nodes, shape=(2, 3, 4, 5), zero=np.array([0]), rest=np.array([-1]))
    converted = convert(result, tmp_path / "m.tflite")
    assert converted.outputs[0].shape == (2, 60)
    x = np.random.default_rng(0).standard_normal((2, 3, 4, 5)).astype(np.float32)
    np.testing.assert_array_equal(LiteRTSession(converted.path).run([x])[0], x.reshape(2, 60))


@pytest.mark.parametrize(
    ("other", "result", "operators"),
    [((1, 4, 8, 8), (1, 4, 8, 8), {"DIV": 1}), ((1, 4, 1, 8), (1, 4, 8, 8), {"DIV": 1, "GATHER": 2})],
)
def test_expand_before_an_operator_that_broadcasts_is_removed(
    other: tuple[int, ...], result: tuple[int, ...], operators: dict[str, int], tmp_path: Path
) -> None:
    divisor = np.random.default_rng(0).random(other, np.float32) + 1
    nodes = [helper.make_node("Expand", ["x", "sizes"], ["a"]), helper.make_node("Div", ["a", "d"], ["y"])]
    source = model(*nodes, shape=(1, 4, 1, 1), result=result, sizes=np.array([1, 4, 8, 8]), d=divisor)
    converted = convert(source, tmp_path / "m.tflite")
    assert converted.operators == operators
    x = np.random.default_rng(1).random((1, 4, 1, 1), np.float32)
    (y,) = LiteRTSession(converted.path).run([x])
    np.testing.assert_allclose(y, np.broadcast_to(x, result) / divisor, rtol=1e-6)


def test_an_older_opset_is_brought_up(tmp_path: Path) -> None:
    instance = model(helper.make_node("Softmax", ["x"], ["y"], "softmax", axis=-1), opset=11, shape=(2, 5))
    (result,) = LiteRTSession(convert(instance, tmp_path / "m.tflite").path).run([np.zeros((2, 5), np.float32)])
    np.testing.assert_allclose(result, np.full((2, 5), 0.2), rtol=1e-6)


def _open_batch() -> onnx.ModelProto:
    return model(relu(), shape=("batch", 3, 8, 8))


def _unknown() -> onnx.ModelProto:
    return model(helper.make_node("Det", ["x"], ["y"], "/body/head/head.2/Det"))


def _custom() -> onnx.ModelProto:
    return model(helper.make_node("Fused", ["x"], ["y"], "/a/Fused", domain="com.vendor"), result=(1, 4, 8, 8))


def _loop() -> onnx.ModelProto:
    body = helper.make_graph(
        [helper.make_node("Identity", ["cond"], ["again"]), helper.make_node("Add", ["state", "one"], ["next"])],
        "body",
        [
            helper.make_tensor_value_info("i", TensorProto.INT64, ()),
            helper.make_tensor_value_info("cond", TensorProto.BOOL, ()),
            helper.make_tensor_value_info("state", TensorProto.FLOAT, (1,)),
        ],
        [
            helper.make_tensor_value_info("again", TensorProto.BOOL, ()),
            helper.make_tensor_value_info("next", TensorProto.FLOAT, (1,)),
        ],
    )
    nodes = [
        helper.make_node("Add", ["a", "a"], ["one"], "twice"),
        helper.make_node("Loop", ["", "true", "a"], ["c"], "/forever", body=body),
        helper.make_node("Add", ["x", "c"], ["y"], "add"),
    ]
    return model(*nodes, result=(1, 4, 8, 8), a=np.ones(1, np.float32), true=np.array(True))


def _indices() -> onnx.ModelProto:
    pool = helper.make_node("MaxPool", ["x"], ["p", "i"], "/pool", kernel_shape=[2, 2])
    cast = helper.make_node("Cast", ["i"], ["c"], "cast", to=1)
    return model(pool, cast, helper.make_node("Add", ["p", "c"], ["y"], "add"))


def _crop() -> onnx.ModelProto:
    options = {"mode": "linear", "coordinate_transformation_mode": "tf_crop_and_resize"}
    resize = helper.make_node("Resize", ["x", "roi", "", "s"], ["y"], "/up/Resize", **options)
    return model(resize, s=np.array([1, 4, 16, 16]), roi=np.array([0, 0, 0, 0, 1, 1, 1, 1], np.float32))


def _data_dependent() -> onnx.ModelProto:
    cast = helper.make_node("Cast", ["x"], ["i"], "cast", to=TensorProto.INT64)
    return model(cast, helper.make_node("Reshape", ["x", "i"], ["y"], "/a/Reshape"), shape=(1,), result=("any",))


def _computed_weights() -> onnx.ModelProto:
    return model(helper.make_node("ConvTranspose", ["x", "x"], ["y"], "/a/ConvTranspose"), shape=(1, 1, 8, 8))


def _wrong_shapes() -> onnx.ModelProto:
    return model(helper.make_node("Add", ["x", "c"], ["y"], "add"), c=np.ones(5, np.float32))


def _enormous_constant() -> onnx.ModelProto:
    nodes = [
        helper.make_node("ConstantOfShape", ["s"], ["c"], "/fill"),
        helper.make_node("Add", ["x", "c"], ["y"], "a"),
    ]
    return model(*nodes, shape=(1, 1), s=np.array([1 << 20, 1 << 20]))


def _computed_size(*, stated: tuple[int, ...] | None = None) -> onnx.ModelProto:
    """A constant of 2^40 elements, a number that shape inference does not see before the square root is computed.

    Args:
        stated: Shape that the file states for it.
    """
    nodes = [
        helper.make_node("Sqrt", ["n"], ["r"], "/root"),
        helper.make_node("Cast", ["r"], ["i"], "/cast", to=TensorProto.INT64),
        helper.make_node("ConstantOfShape", ["i"], ["c"], "/fill"),
        helper.make_node("ReduceSum", ["c"], ["s"], "/sum", keepdims=0),
        helper.make_node("Add", ["x", "s"], ["y"], "/add"),
    ]
    built = model(*nodes, shape=(1, 1), n=np.array([2.0**80], np.float32))
    if stated is not None:
        del built.graph.value_info[:]
        built.graph.value_info.append(helper.make_tensor_value_info("c", TensorProto.FLOAT, stated))
    return built


def _endless_rounds() -> onnx.ModelProto:
    """Numbers of non-zero values of numbers of non-zero values: each size is known only when the one before is."""
    nodes = []
    for level in range(400):
        nodes += [
            helper.make_node("NonZero", [f"c{level}"], [f"n{level}"]),
            helper.make_node("Cast", [f"n{level}"], [f"f{level}"], to=TensorProto.FLOAT),
            helper.make_node("ReduceMax", [f"f{level}"], [f"m{level}"], keepdims=0),
            helper.make_node("Add", ["c0", f"m{level}"], [f"c{level + 1}"]),
        ]
    nodes += [helper.make_node("ReduceMax", ["c400"], ["r"], keepdims=0), helper.make_node("Add", ["x", "r"], ["y"])]
    return model(*nodes, shape=(1, 1), opset=13, c0=np.ones((2, 2), np.float32))


def _large(name: str, values: list[int]) -> onnx.ModelProto:
    attributes = {"kernel_shape": [1, 1], name: values}
    return model(helper.make_node("MaxPool", ["x"], ["y"], "/pool", **attributes))


@pytest.mark.long
@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: _large("strides", [1 << 40, 1]), r"/pool.*'strides'.*1,099,511,627,776"),
        (lambda: _large("dilations", [1, 1 << 31]), r"/pool.*'dilations'.*2,147,483,648"),
        (_computed_size, r"/fill.*constant of shape \(1099511627776,\)"),
        (lambda: _computed_size(stated=(4,)), r"/fill.*constant of shape \(1099511627776,\)"),
        (_endless_rounds, "64 rounds"),
        (_open_batch, r"'x' .*\(batch, 3, 8, 8\).*dynamic_batch = false"),
        (
            _unknown,
            r"node /body/head/head\.2/Det \(Det\) of module body\.head\.2: the operator Det cannot be converted",
        ),
        (_custom, r"/a/Fused \(com\.vendor\.Fused\).*: the operator com\.vendor\.Fused cannot be converted"),
        (_loop, r"node /forever \(Loop\): "),
        (_indices, "node /pool .*'i' "),
        (_crop, r"node /up/Resize \(Resize\) of module up .*'tf_crop_and_resize'.*half_pixel"),
        (_data_dependent, r"node /a/Reshape \(Reshape\) of module a: .*'y'"),
        (_computed_weights, r"/a/ConvTranspose.*weights.*constant"),
        (_wrong_shapes, "valid ONNX model"),
        (_enormous_constant, r"/fill.*constant of shape \(1048576, 1048576\)"),
        (lambda: model(relu(), dtype=TensorProto.DOUBLE), "input: 'x' .*float64.*float32"),
    ],
)
def test_unsupported_operator_is_named_with_its_node(build: Any, message: str, tmp_path: Path) -> None:
    path = tmp_path / "m.tflite"
    path.write_bytes(b"an earlier file")
    with pytest.raises(ModelError, match=message):
        convert(build(), path)
    assert path.read_bytes() == b"an earlier file"
    assert [item.name for item in tmp_path.iterdir()] == ["m.tflite"]


def test_model_larger_than_a_flatbuffer_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tflite_file, "_MOST_BYTES", 100_000)
    with pytest.raises(ModelError, match=r"weights .*\d{3},\d{3} bytes.*100,000"):
        convert(convolution(), tmp_path / "m.tflite")


def test_wrong_inputs_are_refused(tmp_path: Path) -> None:
    session = LiteRTSession(convert(model(relu()), tmp_path / "m.tflite").path)
    with pytest.raises(ModelError, match=r"m\.tflite.* x\b.* 2 "):
        session.predict([np.zeros((1, 4, 8, 8), np.float32)] * 2)
    with pytest.raises(ModelError, match=r"m\.tflite.*LiteRT.*\(1, 4, 8, 9\)"):
        session.predict(np.zeros((1, 4, 8, 9), np.float32))


@pytest.mark.parametrize("content", [b"", b"no model", None], ids=["empty", "nonsense", "absent"])
def test_a_file_that_is_no_model_ends_the_command_with_3(
    content: bytes | None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = tmp_path / "m.onnx"
    if content is not None:
        source.write_bytes(content)
    assert run(["convert", str(source), str(tmp_path / "m.tflite")]) == 3
    printed = capsys.readouterr()
    assert "m.onnx" in printed.err
    assert printed.out == ""
    assert not (tmp_path / "m.tflite").exists()


def test_a_truncated_file_is_an_error_wherever_it_ends(tmp_path: Path) -> None:
    content = convolution(outer=2).SerializeToString()
    source = tmp_path / "m.onnx"
    for end in range(1, len(content) - 1, 37):
        source.write_bytes(content[:end])
        with pytest.raises(ModelError, match=r"m\.onnx"):
            convert(source, tmp_path / "m.tflite")


def test_command_prints_layouts_and_operators(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source, path = tmp_path / "m.onnx", tmp_path / "out" / "m.tflite"
    onnx.save(model(relu()), source)
    assert run(["convert", str(source), str(path), "--json"]) == 0
    values = json.loads(capsys.readouterr().out)
    assert values["path"] == str(path)
    assert values["file_bytes"] == path.stat().st_size
    assert values["inputs"] == [
        {"name": "x", "shape": [1, 8, 8, 4], "dtype": "float32", "order": [0, 2, 3, 1], "scale": 0, "zero_point": 0}
    ]
    assert values["operators"] == {"RELU": 1}
    assert run(["convert", str(source), str(path)]) == 0
    assert "x: float32 [1, 8, 8, 4], dimensions [0, 2, 3, 1] of the ONNX file" in capsys.readouterr().out
    assert run(["convert", str(source), str(source / "below-a-file.tflite")]) == 2
    assert "cannot write" in capsys.readouterr().err
