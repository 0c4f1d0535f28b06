"""One network for each operator that a quantized TFLite file may have, and its int8 file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from edgeprune.model.data import TensorSplit
from edgeprune.tflite.conversion import TfliteConversion, convert
from edgeprune.tflite.tflite_quantizing import QuantizedTflite, quantize

SHAPE = (1, 4, 8, 8)
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
CASES: dict[str, Nodes] = {
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


def model(nodes: Nodes) -> onnx.ModelProto:
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
        result, "one", [helper.make_tensor_value_info("x", TensorProto.FLOAT, SHAPE)],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in outputs], constants,
    )  # fmt: skip
    whole = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    return onnx.shape_inference.infer_shapes(whole, data_prop=True)


def samples_of(op: str) -> NDArray[np.float32]:
    """Return the calibration samples of a case, (samples, *SHAPE[1:])."""
    samples = np.random.default_rng(1).standard_normal((_SAMPLES, *SHAPE[1:])).astype(np.float32)
    return np.abs(samples) + np.float32(0.5) if op in _POSITIVE else samples


def int8_file(op: str, folder: Path) -> tuple[TfliteConversion, QuantizedTflite]:
    """Convert and quantize the network of a case."""
    converted = convert(model(CASES[op]), folder / "float.tflite")
    samples = torch.from_numpy(samples_of(op))
    split = TensorSplit(samples, torch.zeros(_SAMPLES, dtype=torch.int64))
    return converted, quantize(converted, folder / "int8.tflite", split)
