"""Normalization, pooling, resizing and recurrent layers."""

from __future__ import annotations

from typing import Any

import numpy as np
from onnx import TensorProto, helper, numpy_helper

from tests.conformance.lowerings.base import Example, Maker, assemble
from tests.onnx_import.examples.base import example


@example("GroupNormalization")
def group_normalization(make: Maker) -> Example:
    """The opset 21 has a scale for each channel."""
    groups = make.draw.size(1, 3)
    x = make.image(groups * make.draw.size(1, 3))
    weights = [make.values(x.shape[1], low=0.5), make.values(x.shape[1])]
    example = make.model("GroupNormalization", [x], weights, opset=21, num_groups=groups, epsilon=1e-3)
    # Shape inference does not give the output a type.
    example.model.graph.output[0].CopyFrom(helper.make_tensor_value_info("y0", TensorProto.FLOAT, x.shape))
    return example


@example("RMSNormalization")
def rms_normalization(make: Maker) -> Example:
    x = make.values(2, 3, 5)
    return make.model("RMSNormalization", [x], [make.values(5, low=0.5)], opset=23, axis=-1)


@example("LRN")
def local_response(make: Maker) -> Example:
    options = {"alpha": 0.1, "beta": 0.6, "bias": 1.5}
    return make.model("LRN", [make.image()], size=make.draw.size(1, 5), **options)


@example("LpNormalization")
def lp_normalization(make: Maker) -> Example:
    x = make.tensor(least=2, low=0.5)
    return make.model("LpNormalization", [x], p=make.draw.size(1, 2), axis=make.draw.size(0, x.ndim - 1))


@example("MeanVarianceNormalization")
def mean_variance(make: Maker) -> Example:
    return make.model("MeanVarianceNormalization", [make.image()], axes=make.draw.one_of([2, 3], [1, 2, 3]))


@example("BatchNormalization")
def batch_normalization(make: Maker) -> Example:
    """Files of opset 9 have the same inputs and no training mode."""
    x = make.image()
    channels = x.shape[1]
    weights = [make.values(channels), make.values(channels), make.values(channels), make.values(channels, low=0.5)]
    return make.model("BatchNormalization", [x], weights, opset=9, epsilon=1e-3, momentum=0.8)


@example("Softmax", "LogSoftmax", "Hardmax")
def softmax(make: Maker, op: str) -> Example:
    """Before opset 13, all dimensions from the axis on are one."""
    x = make.tensor(least=2)
    return make.model(op, [x], opset=make.draw.one_of(11, 13), axis=make.draw.size(0, x.ndim - 1))


@example("LpPool")
def lp_pool(make: Maker) -> Example:
    options = {"kernel_shape": [2, 3], "strides": [make.draw.size(1, 2), 1], "pads": [0, 1, 1, 1]}
    return make.model("LpPool", [make.image(least=6)], p=make.draw.one_of(1, 2), **options)


@example("GlobalLpPool")
def global_lp_pool(make: Maker) -> Example:
    return make.model("GlobalLpPool", [make.image()], p=make.draw.one_of(1, 2))


@example("MaxPool", "AveragePool")
def asymmetric_pool(make: Maker, op: str) -> Example:
    """Padding of more than half of the window, or at one end."""
    kernel = [make.draw.size(2, 4), make.draw.size(2, 4)]
    pads = [make.draw.size(0, taps - 1) for _ in range(2) for taps in kernel]
    options: dict[str, Any] = {"count_include_pad": make.draw.size(0, 1)} if op == "AveragePool" else {}
    return make.model(op, [make.image(least=6)], opset=19, kernel_shape=kernel, pads=pads, strides=[2, 1], **options)


@example("Conv", "ConvTranspose")
def volume(make: Maker, op: str) -> Example:
    """Three spatial dimensions."""
    x = make.values(make.draw.size(1, 2), 2, 5, 6, 4)
    padding = make.draw.one_of({"pads": [1, 0, 1, 0, 1, 1]}, {"auto_pad": "SAME_UPPER"}, {})
    return make.model(op, [x], [make.values(2, 2, 3, 2, 3), make.values(2)], strides=[1, 2, 1], **padding)


@example("Upsample")
def upsample(make: Maker) -> Example:
    x, mode = make.image(), make.draw.one_of("nearest", "linear")
    scales = [1.0, 1.0, make.draw.one_of(2.0, 1.5), 3.0]
    if make.draw.one_of(True, False):
        return make.model("Upsample", [x], opset=7, mode=mode, scales=scales)
    return make.model("Upsample", [x], [np.array(scales, np.float32)], opset=9, mode=mode)


@example("Resize")
def resize(make: Maker) -> Example:
    """All combinations of mode and coordinates, most of which torch does not have."""
    x, mode = make.image(), make.draw.one_of("nearest", "linear")
    names = ["half_pixel", "pytorch_half_pixel", "align_corners", "asymmetric", "half_pixel_symmetric"]
    roundings = ["round_prefer_floor", "round_prefer_ceil", "floor", "ceil"]
    scales = np.array([1, 1, make.draw.one_of(2.0, 0.5, 1.7), make.draw.one_of(1.0, 3.0, 0.7)], np.float32)
    options = {"nearest_mode": make.draw.one_of(*roundings)} if mode == "nearest" else {}
    return make.model(
        "Resize",
        [x],
        [None, scales],
        opset=19,
        mode=mode,
        coordinate_transformation_mode=make.draw.one_of(*names),
        **options,
    )


@example("Resize")
def resize_before_eleven(make: Maker) -> Example:
    """In opset 10, scales are the second input, and the places are not centered."""
    scales = np.array([1, 1, 2, 3], np.float32)
    return make.model("Resize", [make.image()], [scales], opset=10, mode=make.draw.one_of("nearest", "linear"))


@example("GridSample")
def grid_sample(make: Maker) -> Example:
    x = make.image()
    grid = np.tanh(make.values(x.shape[0], 4, 5, 2)) * np.float32(1.2)
    options = {"mode": make.draw.one_of("bilinear", "nearest"), "align_corners": make.draw.size(0, 1)}
    return make.model("GridSample", [x, grid], opset=16, padding_mode=make.draw.one_of("zeros", "border"), **options)


@example("AffineGrid")
def affine_grid(make: Maker) -> Example:
    """Positions in an image or a volume."""
    batch, dims = make.draw.size(1, 2), make.draw.size(2, 3)
    sizes = np.array([batch, 2, *(make.draw.size(2, 5) for _ in range(dims))])
    theta = make.values(batch, dims, dims + 1)
    return make.model("AffineGrid", [theta], [sizes], opset=20, align_corners=make.draw.one_of(None, 0, 1))


@example("LSTM", "GRU", "RNN")
def recurrent(make: Maker, op: str) -> Example:
    """One or two directions, with or without bias and initial states."""
    gates = {"LSTM": 4, "GRU": 3, "RNN": 1}[op]
    direction = make.draw.one_of("forward", "reverse", "bidirectional")
    directions, hidden, batch = (2 if direction == "bidirectional" else 1), 4, make.draw.size(1, 2)
    x = make.values(5, batch, 3)
    names = ["w", "r", "b"] if make.draw.one_of(True, False) else ["w", "r"]
    shapes = {"w": (directions, gates * hidden, 3), "r": (directions, gates * hidden, hidden)}
    shapes["b"] = (directions, 2 * gates * hidden)
    if make.draw.one_of(True, False):
        names += [""] * (4 - len(names)) + ["h", *(["c"] if op == "LSTM" else [])]
    shapes["h"] = shapes["c"] = (directions, batch, hidden)
    weights = [numpy_helper.from_array(make.values(*shapes[name]) * np.float32(0.5), name) for name in names if name]
    options: dict[str, Any] = {"linear_before_reset": 1} if op == "GRU" else {}
    results = ["y", "y_h", "y_c"] if op == "LSTM" else ["y", "y_h"]
    node = helper.make_node(op, ["x", *names], results, hidden_size=hidden, direction=direction, **options)
    return Example(assemble([node], {"x": x}, results, weights), {"x": x})
