"""The way from opset 18 down to 17: each operator that changed, run before and after."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import NodeProto, TensorProto, helper, numpy_helper

from edgeprune.export.opset_conversion import lower, version
from edgeprune.export.torch_exporters import ExportFailed

_X = np.arange(2 * 3 * 5, dtype=np.float32).reshape(2, 3, 5) - 7


def model(node: NodeProto, *, outputs: int = 1, shape: Sequence[int | str] = (2, 3, 5), **constants: list[int]):
    graph = helper.make_graph(
        [node],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info(f"y{index}", TensorProto.FLOAT, None) for index in range(outputs)],
        [numpy_helper.from_array(np.asarray(values, np.int64), name) for name, values in constants.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)


def run(proto: onnx.ModelProto) -> list[np.ndarray]:
    session = onnxruntime.InferenceSession(proto.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(None, {"x": _X})


@pytest.mark.parametrize(
    ("node", "outputs", "constants"),
    [
        (helper.make_node("Pad", ["x", "p", "", "a"], ["y0"]), 1, {"p": [1, 0, 2, 3], "a": [0, -1]}),
        (helper.make_node("Pad", ["x", "p"], ["y0"], mode="edge"), 1, {"p": [0, 0, 1, 0, 0, 2]}),
        (helper.make_node("ReduceMean", ["x", "a"], ["y0"], keepdims=0), 1, {"a": [-1]}),
        (helper.make_node("ReduceMax", ["x", "a"], ["y0"]), 1, {"a": [0, 2]}),
        (helper.make_node("ReduceL2", ["x"], ["y0"], noop_with_empty_axes=0), 1, {}),
        (helper.make_node("Split", ["x"], ["y0", "y1"], axis=-1, num_outputs=2), 2, {}),
        (helper.make_node("Split", ["x", "s"], ["y0", "y1"], axis=1), 2, {"s": [1, 2]}),
    ],
    ids=["pad-axes", "pad-all", "mean", "max", "l2-all", "split-unequal", "split-sizes"],
)
def test_downgraded_model_computes_the_same(node: NodeProto, outputs: int, constants: dict[str, list[int]]) -> None:
    proto = model(node, outputs=outputs, **constants)
    expected = run(proto)
    lowered = lower(proto, 17)
    assert version(lowered) == 17
    for got, want in zip(run(lowered), expected, strict=True):
        np.testing.assert_array_equal(got, want)


@pytest.mark.parametrize(
    ("node", "reason"),
    [
        (helper.make_node("ReduceMean", ["x", "x"], ["y0"]), "computed axes"),
        (helper.make_node("ReduceMean", ["x"], ["y0"], noop_with_empty_axes=1), "no axes"),
        (helper.make_node("Mish", ["x"], ["y0"]), r"Mish .*\b18\b"),
        (helper.make_node("Resize", ["x", "", "", "s"], ["y0"], antialias=1), "antialias"),
        (helper.make_node("ScatterND", ["x", "i", "x"], ["y0"], reduction="max"), "maxima"),
        (helper.make_node("Split", ["x"], ["y0"], axis=0, num_outputs=1), "Split .*size of its input"),
    ],
)
def test_operator_missing_in_opset_17_is_named(node: NodeProto, reason: str) -> None:
    proto = model(node, shape=("n", 3, 5))
    with pytest.raises(ExportFailed, match=reason):
        lower(proto, 17)


def test_other_opsets_cannot_be_downgraded_to() -> None:
    proto = model(helper.make_node("Relu", ["x"], ["y0"]))
    proto.opset_import[0].version = 20
    with pytest.raises(ExportFailed, match=r"opset 20\b.*\b17\b"):
        lower(proto, 17)
