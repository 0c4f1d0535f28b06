"""Every operator that a quantized TFLite file may have: TFLite Micro computes what LiteRT and the float file do."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper

from edgeprune.backends.litert.litert_session import LiteRTSession
from edgeprune.backends.tflm import host_comparison
from edgeprune.backends.tflm.interpreter import Interpreter
from edgeprune.model.data import TensorSplit
from edgeprune.operator_facts.tflite_operators import TFLITE
from edgeprune.tflite.conversion import convert
from edgeprune.tflite.tflite_quantizing import quantize

_SHAPE = (1, 4, 8, 8)
_SAMPLES = 8
_RNG = np.random.default_rng(0)
_C = _RNG.standard_normal((1, 4, 1, 1)).astype(np.float32)
_KERNEL = _RNG.standard_normal((4, 4, 3, 3)).astype(np.float32)
_EACH = _RNG.standard_normal((4, 1, 3, 3)).astype(np.float32)
_MATRIX = _RNG.standard_normal((256, 5)).astype(np.float32)
_AXIS = np.array([1])
_PADS = np.array([0, 0, 1, 1, 0, 0, 1, 1])
_HALVES = np.array([2, 2])
_EMPTY = np.zeros(0, np.float32)
_TWICE = np.array([1, 1, 2, 2], np.float32)

Nodes = list[tuple[Any, ...]]
"""(operator, inputs, attributes) each; "x" is the input of the network, "" what the node before gives."""
_POSITIVE = {"LOG", "SQRT"}
_STEPS = {"RSQRT": 8.0}
"""Off the float file, where one operator of ONNX is many: the one of a LayerNormalization is its fourth last."""
_CASES: dict[str, Nodes] = {
    "ABS": [("Abs", ["x"])],
    "ADD": [("Add", ["x", _C])],
    "AVERAGE_POOL_2D": [("AveragePool", ["x"], {"kernel_shape": [2, 2]})],
    "BATCH_MATMUL": [("Sigmoid", ["x"]), ("MatMul", ["x", ""])],
    "CAST": [("Cast", ["x"], {"to": TensorProto.INT32}), ("Cast", [""], {"to": TensorProto.FLOAT})],
    "CEIL": [("Ceil", ["x"])],
    "CONCATENATION": [("Sigmoid", ["x"]), ("Concat", ["x", ""], {"axis": 1})],
    "CONV_2D": [("Conv", ["x", _KERNEL])],
    "COS": [("Cos", ["x"])],
    "DEPTHWISE_CONV_2D": [("Conv", ["x", _EACH], {"group": 4})],
    "DEPTH_TO_SPACE": [("DepthToSpace", ["x"], {"blocksize": 2})],
    "DIV": [("Div", ["x", np.abs(_C) + 1])],
    "ELU": [("Elu", ["x"])],
    "EXP": [("Exp", ["x"])],
    "FLOOR": [("Floor", ["x"])],
    "FULLY_CONNECTED": [("Flatten", ["x"]), ("Gemm", ["", _MATRIX])],
    "GATHER": [("Gather", ["x", np.array([3, 0, 2])], {"axis": 3})],
    "HARD_SWISH": [("HardSwish", ["x"])],
    "LEAKY_RELU": [("LeakyRelu", ["x"])],
    "LOG": [("Log", ["x"])],
    "LOGISTIC": [("Sigmoid", ["x"])],
    "LOG_SOFTMAX": [("LogSoftmax", ["x"], {"axis": 1})],
    "MAXIMUM": [("Max", ["x", _C])],
    "MAX_POOL_2D": [("MaxPool", ["x"], {"kernel_shape": [2, 2]})],
    "MEAN": [("ReduceMean", ["x"], {"axes": [1]})],
    "MINIMUM": [("Min", ["x", _C])],
    "MIRROR_PAD": [("Pad", ["x", _PADS], {"mode": "reflect"})],
    "MUL": [("Mul", ["x", _C])],
    "NEG": [("Neg", ["x"])],
    "PAD": [("Pad", ["x", _PADS])],
    "PADV2": [("Pad", ["x", _PADS, np.float32(0.5)])],
    "PRELU": [("PRelu", ["x", _C[0]])],
    "REDUCE_MAX": [("ReduceMax", ["x"], {"axes": [1]})],
    "REDUCE_MIN": [("ReduceMin", ["x"], {"axes": [1]})],
    "RELU": [("Relu", ["x"])],
    "RELU6": [("Clip", ["x", np.float32(0), np.float32(6)])],
    "RESHAPE": [("Reshape", ["x", np.array([1, 4, 64])])],
    "RESIZE_BILINEAR": [("Resize", ["x", _EMPTY, _TWICE], {"mode": "linear"})],
    "RESIZE_NEAREST_NEIGHBOR": [("Resize", ["x", _EMPTY, _TWICE], {"coordinate_transformation_mode": "asymmetric",
                                                                   "nearest_mode": "floor"})],
    "RSQRT": [("LayerNormalization", ["x", np.ones(8, np.float32)])],
    "SIN": [("Sin", ["x"])],
    "SLICE": [("Slice", ["x", np.array([1]), np.array([3]), _AXIS])],
    "SOFTMAX": [("Softmax", ["x"], {"axis": 1})],
    "SPACE_TO_DEPTH": [("SpaceToDepth", ["x"], {"blocksize": 2})],
    "SPLIT": [("Split", ["x", _HALVES], {"axis": 1})],
    "SQRT": [("Sqrt", ["x"])],
    "STRIDED_SLICE": [("Slice", ["x", np.array([0]), np.array([8]), np.array([2]), np.array([2])])],
    "SUB": [("Sub", ["x", _C])],
    "SUM": [("ReduceSum", ["x", _AXIS])],
    "TANH": [("Tanh", ["x"])],
    "TRANSPOSE": [("Transpose", ["x"], {"perm": [0, 1, 3, 2]}), ("Softmax", [""], {"axis": 3})],
    "TRANSPOSE_CONV": [("ConvTranspose", ["x", _KERNEL], {"strides": [2, 2]})],
}  # fmt: skip


def _model(nodes: Nodes) -> onnx.ModelProto:
    result, constants, last = [], [], "x"
    for place, (op, inputs, *attributes) in enumerate(nodes):
        names = []
        for value in inputs:
            if isinstance(value, str):
                names.append(value or last)
            else:
                constants.append(numpy_helper.from_array(np.asarray(value), f"c{len(constants)}"))
                names.append(constants[-1].name)
        last = f"y{place}"
        outputs = [last, "other"] if op == "Split" else [last]
        result.append(helper.make_node(op, names, outputs, f"node{place}", **(attributes[0] if attributes else {})))
    outputs = [last, "other"] if result[-1].op_type == "Split" else [last]
    graph = helper.make_graph(
        result, "one", [helper.make_tensor_value_info("x", TensorProto.FLOAT, _SHAPE)],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in outputs], constants,
    )  # fmt: skip
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    return onnx.shape_inference.infer_shapes(model, data_prop=True)


def test_every_operator_has_a_case() -> None:
    assert set(_CASES) == set(TFLITE.names(lambda facts: facts.int8))


@pytest.mark.parametrize("op", _CASES)
def test_operator(op: str, tmp_path: Path) -> None:
    converted = convert(_model(_CASES[op]), tmp_path / "float.tflite")
    samples = np.random.default_rng(1).standard_normal((_SAMPLES, *_SHAPE[1:])).astype(np.float32)
    if op in _POSITIVE:
        samples = np.abs(samples) + np.float32(0.5)
    split = TensorSplit(torch.from_numpy(samples), torch.zeros(_SAMPLES, dtype=torch.int64))
    result = quantize(converted, tmp_path / "int8.tflite", split)
    assert op in result.operators
    assert {node.op for node in result.float_nodes} == ({op} if TFLITE[op].int8 == "float" else set())
    assert {port.dtype for port in (*result.inputs, *result.outputs)} == {"int8"}
    (entry,) = result.inputs
    on_steps = np.concatenate([entry.restored(entry.stored(sample[None])) for sample in samples])
    output = host_comparison.compare(result.path, on_steps, result.inputs, result.outputs, classes=False)
    expected = LiteRTSession(converted.path).predict(on_steps)
    got = Interpreter(result.path, result.inputs, result.outputs).predict(on_steps)
    off = max(np.abs(a - b).max() / port.scale for a, b, port in zip(expected, got, result.outputs, strict=True))
    assert output.worst_steps <= 1
    assert off <= _STEPS.get(op, 1.5)
