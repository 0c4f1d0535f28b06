"""Lowerings of operators that only change the view of a tensor, and of Cast."""

from __future__ import annotations

from edgeprune.tflite.conversion.lowering import Lowering
from edgeprune.tflite.conversion.onnx_graph import Node
from edgeprune.tflite.conversion.ops.base import lowering
from edgeprune.tflite.conversion.ops.view_operators import converted


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


@lowering("Cast", "CastLike", layout="any")
def cast(node: Node, low: Lowering) -> None:
    dtype = low.source.dtypes[node.outputs[0]]
    low.write(node.outputs[0], converted(low, low.view(node.inputs[0]), dtype))
