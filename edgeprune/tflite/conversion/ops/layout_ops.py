"""Lowerings of operators that only change the view of a tensor, and of Cast."""

from __future__ import annotations

import numpy as np
from onnx import helper

from edgeprune.tflite.conversion.lowering import Lowering
from edgeprune.tflite.conversion.onnx_graph import Node
from edgeprune.tflite.conversion.ops.base import lowering
from edgeprune.tflite.conversion.tflite_writer import tensor_type
from edgeprune.tflite.tflite_schema import schema


@lowering("Reshape", "Flatten", "Squeeze", "Unsqueeze")
def reshape(node: Node, low: Lowering) -> None:
    low.write(node.outputs[0], low.reshaped(low.view(node.inputs[0]), low.source.shapes[node.outputs[0]]))


@lowering("Transpose")
def transpose(node: Node, low: Lowering) -> None:
    view = low.view(node.inputs[0])
    low.write(node.outputs[0], view.transposed(node.get("perm", range(view.rank)[::-1])))


@lowering("Identity", "Dropout", layout="any")
def identity(node: Node, low: Lowering) -> None:
    low.write(node.outputs[0], low.view(node.inputs[0]))


@lowering("Cast", layout="any")
def cast(node: Node, low: Lowering) -> None:
    view = low.view(node.inputs[0])
    x, dtype = view.tensor, np.dtype(helper.tensor_dtype_to_np_dtype(node.get("to")))
    if x.dtype != dtype:
        options = schema.CastOptionsT(inDataType=tensor_type(x.dtype), outDataType=tensor_type(dtype))
        x = low.emit("CAST", [x], x.shape, options, dtype=dtype)
    low.write(node.outputs[0], view.over(x))
