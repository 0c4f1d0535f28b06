"""Slices of concatenations and of splits, after fusing."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from edgeprune.backends.litert.litert_session import LiteRTSession
from edgeprune.tflite.conversion import convert


def _model(nodes: list[onnx.NodeProto], outputs: list[str], **constants: list[int]) -> onnx.ModelProto:
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, (6, 4))],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in outputs],
        [numpy_helper.from_array(np.array(values, np.int64), name) for name, values in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    return onnx.shape_inference.infer_shapes(model, data_prop=True)


def _joined(start: int, end: int, *, outputs: tuple[str, ...] = ("y",), last: str = "Neg") -> onnx.ModelProto:
    """Rows ``start`` to ``end`` of the exponentials, the sines and the cosines of six rows."""
    nodes = [
        *(helper.make_node(op, ["x"], [op], op) for op in ("Exp", "Sin", "Cos")),
        helper.make_node("Concat", ["Exp", "Sin"], ["inner"], "inner", axis=0),
        helper.make_node("Concat", ["inner", "Cos"], ["all"], "all", axis=0),
        helper.make_node("Slice", ["all", "start", "end"], ["part"], "slice"),
        helper.make_node(last, ["part"], ["y"], "last"),
    ]
    return _model(nodes, list(outputs), start=[start], end=[end])


def _check(model: onnx.ModelProto, operators: dict[str, int], folder: Path) -> None:
    converted = convert(model, folder / "m.tflite")
    assert converted.operators == operators
    x = np.random.default_rng(0).standard_normal((6, 4)).astype(np.float32)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    for got, expected in zip(LiteRTSession(converted.path).run([x]), session.run(None, {"x": x}), strict=True):
        np.testing.assert_allclose(got, expected, atol=1e-6)


@pytest.mark.parametrize(
    ("start", "end", "operators"),
    [
        (0, 6, {"EXP": 1, "NEG": 1}),
        (6, 12, {"NEG": 1, "SIN": 1}),
        (12, 18, {"COS": 1, "NEG": 1}),
        (0, 12, {"CONCATENATION": 1, "EXP": 1, "NEG": 1, "SIN": 1}),
        (7, 9, {"CONCATENATION": 2, "COS": 1, "EXP": 1, "NEG": 1, "SIN": 1, "SLICE": 1}),
        (5, 11, {"CONCATENATION": 2, "COS": 1, "EXP": 1, "NEG": 1, "SIN": 1, "SLICE": 1}),
    ],
)
def test_slice_of_one_part_reads_this_part(start: int, end: int, operators: dict[str, int], tmp_path: Path) -> None:
    _check(_joined(start, end), operators, tmp_path)


def test_slice_that_is_an_output_is_copied_from_the_part(tmp_path: Path) -> None:
    model = _joined(6, 12, outputs=("y", "Sin"), last="Identity")
    _check(model, {"RESHAPE": 1, "SIN": 1}, tmp_path)


@pytest.mark.parametrize(("read", "operators"), [([1], {"NEG": 1, "SLICE": 1}), ([0, 1], {"ADD": 1, "SPLIT": 1})])
def test_split_with_unread_parts_becomes_slices(read: list[int], operators: dict[str, int], tmp_path: Path) -> None:
    last = helper.make_node("Neg", ["b"], ["y"]) if len(read) == 1 else helper.make_node("Add", ["a", "b"], ["y"])
    _check(_model([helper.make_node("Split", ["x"], ["a", "b"], axis=0), last], ["y"]), operators, tmp_path)
