"""Small ONNX models whose difference is the time of one layer, as it runs inside a network.

A layer alone would pay for bringing its input into the runtime's blocked layout and its output back, which layers of
a network share. So a probe is: a pointwise convolution that makes the input, ``copies`` of the layer beside each other,
their sum (which runtimes fuse into the convolutions), and a mean over positions. Two probes differ by copies alone.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper

from edgeprune.cost.layer_shapes import LayerShape

_OPSET, _IR = 17, 8


def probe(shape: LayerShape, into: int, out: int, copies: int) -> bytes:
    """The ONNX file of ``copies`` layers of ``shape`` with ``into`` and ``out`` channels, random weights."""
    return (_linear if shape.kind == "linear" else _convolutions)(shape, into, out, copies)


def empty() -> bytes:
    """A model that does nothing: what calling the runtime costs."""
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

    def file(self, taken: list[int], given: list[int]) -> bytes:
        x, y = (
            helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, size)
            for name, size in (("x", taken), ("y", given))
        )
        graph = helper.make_graph(self._nodes, "probe", [x], [y], self._weights)
        made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", _OPSET)], ir_version=_IR)
        return bytes(made.SerializeToString())


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
    made = model.node("Conv", ["x", model.weight("w", into, 1, *[1] * rank), model.weight("b", into)], "made")
    read = model.node("Relu", [made], "read")
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
