"""Probes: small ONNX models whose difference in latency is the latency of one layer inside a network.

A single layer would include the conversion of its input and output between memory layouts, which the layers of a
network share. Therefore, a probe consists of a pointwise convolution that computes the input, ``copies`` parallel
copies of the layer, their sum (which runtimes fuse into the convolutions), and a mean over positions. Two probes differ
only in the number of copies.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper

from edgeprune.cost.layer_shapes import LayerShape

_OPSET, _IR = 17, 8


def probe(shape: LayerShape, into: int, out: int, copies: int) -> bytes:
    """Return the ONNX file of ``copies`` layers of ``shape`` with ``into`` and ``out`` channels and random weights."""
    return (_linear if shape.kind == "linear" else _convolutions)(shape, into, out, copies)


def empty() -> bytes:
    """Return the ONNX file of an identity model, whose latency is the overhead of a call of the runtime."""
    model = _Model()
    model.node("Identity", ["x"], "y")
    return model.file([1], [1])


class _Model:
    def __init__(self) -> None:
        self._nodes: list[onnx.NodeProto] = []
        self._weights: list[onnx.TensorProto] = []
        self._random = np.random.default_rng(0)

    def node(self, op: str, inputs: list[str], output: str, **attributes: Any) -> str:
        self._nodes.append(helper.make_node(op, inputs, [output], **attributes))
        return output

    def weight(self, name: str, *shape: int) -> str:
        values = self._random.random(shape, dtype=np.float32) - np.float32(0.5)
        self._weights.append(numpy_helper.from_array(values, name))
        return name

    def file(self, input_shape: list[int], output_shape: list[int]) -> bytes:
        x, y = (
            helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, size)
            for name, size in (("x", input_shape), ("y", output_shape))
        )
        graph = helper.make_graph(self._nodes, "probe", [x], [y], self._weights)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", _OPSET)], ir_version=_IR)
        return bytes(model.SerializeToString())


def _linear(shape: LayerShape, into: int, out: int, copies: int) -> bytes:
    model = _Model()
    results = [
        model.node("Gemm", ["x", model.weight(f"w{i}", out, into), model.weight(f"b{i}", out)], f"y{i}", transB=1)
        for i in range(copies)
    ]
    model.node("Concat", results, "y", axis=1)
    return model.file([shape.batch, into], [shape.batch, out * copies])


def _convolutions(shape: LayerShape, into: int, out: int, copies: int) -> bytes:
    groups = shape.groups
    if shape.kind == "depthwise":
        groups = out * shape.groups // shape.channels[1]
        into = groups * shape.channels[0] // shape.groups
    rank = len(shape.positions)
    model = _Model()
    expanded = model.node("Conv", ["x", model.weight("w", into, 1, *[1] * rank), model.weight("b", into)], "expanded")
    read = model.node("Relu", [expanded], "read")
    total = ""
    for i in range(copies):
        weights = [model.weight(f"w{i}", out, into // groups, *shape.kernel), model.weight(f"b{i}", out)]
        result = model.node(
            "Conv",
            [read, *weights],
            f"y{i}",
            kernel_shape=shape.kernel,
            strides=shape.stride,
            pads=shape.padding * 2,
            dilations=shape.dilation,
            group=groups,
        )
        total = model.node("Add", [result, total], f"sum{i}") if total else result
    model.node("GlobalAveragePool", [total], "y")
    return model.file([shape.batch, 1, *shape.positions], [shape.batch, out, *[1] * rank])
