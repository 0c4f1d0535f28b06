"""Weights with which Resize interpolates along one dimension, for modes and positions that TFLite does not have."""

from __future__ import annotations

import numpy as np
import onnxruntime
from onnx import helper, numpy_helper

from edgeprune.tflite.conversion.onnx_graph import Node
from edgeprune.tflite.conversion.tflite_graph import Array

_OF_ALL_AXES = {"axes", "keep_aspect_ratio_policy"}


def resize_weights(node: Node, size: int, out: int, scale: float, opset: int) -> Array:
    """Return the weights (out, size) by resizing the columns of an identity matrix with ONNX Runtime.

    Args:
        node: The Resize, with its mode and its rules for positions and for edges.
        size: Size of the input.
        out: Size of the output.
        scale: Scale; only the position of the samples depends on it if it is not ``out / size``.
        opset: Version of the operator set.
    """
    if size == out and scale == 1:
        return np.eye(size, dtype=np.float32)
    by_scale = int(np.floor(np.float32(size) * np.float32(scale))) == out
    amounts = np.array([1, 1, 1, scale], np.float32) if by_scale else np.array([1, 1, size, out], np.int64)
    inputs = ["x", "", "amounts"] if by_scale else ["x", "", "", "amounts"]
    attributes = {name: value for name, value in node.attributes.items() if name not in _OF_ALL_AXES}
    graph = helper.make_graph(
        [helper.make_node("Resize", inputs, ["y"], **attributes)],
        "weights",
        [],
        [helper.make_empty_tensor_value_info("y")],
        [
            numpy_helper.from_array(np.eye(size, dtype=np.float32)[None, None], "x"),
            numpy_helper.from_array(amounts, "amounts"),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4  # what goes wrong is raised
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    (weights,) = session.run(None, {})
    return np.ascontiguousarray(weights[0, 0].T)
