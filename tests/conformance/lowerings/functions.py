"""Operators that ONNX defines by a function, and that have no lowering of their own."""

from __future__ import annotations

import numpy as np
from onnx import TensorProto, helper

from tests.conformance.lowerings.base import Array, Example, Maker, example


@example("MeanVarianceNormalization")
def mean_variance_normalization(make: Maker) -> Example:
    x = make.image()
    return _stated(make.model("MeanVarianceNormalization", [x]), x)


@example("CenterCropPad")
def center_crop_pad(make: Maker) -> Example:
    sizes = np.array([make.draw.size(3, 12), make.draw.size(3, 12)])
    return make.model("CenterCropPad", [make.image()], [sizes], opset=18, axes=[2, 3])


@example("Attention")
def attention(make: Maker) -> Example:
    batch, heads, steps, width = (make.draw.size(1, 4) for _ in range(4))
    q, k, v = (make.values(batch, heads, steps, width) for _ in range(3))
    return make.model("Attention", [q, k, v], opset=23, is_causal=make.draw.size(0, 1))


@example("GroupNormalization")
def group_normalization(make: Maker) -> Example:
    groups = make.draw.size(1, 3)
    channels = groups * make.draw.size(1, 3)
    x = make.draw.one_of(make.image, make.signal)(channels)
    statistics = [make.values(channels), make.values(channels)]
    epsilon = make.draw.one_of(None, 1e-3)
    built = make.model("GroupNormalization", [x], statistics, opset=21, num_groups=groups, epsilon=epsilon)
    return _stated(built, x)


def _stated(built: Example, output: Array) -> Example:
    """The example with the shape of its output, which shape inference does not find."""
    built.model.graph.output[0].CopyFrom(helper.make_tensor_value_info("y0", TensorProto.FLOAT, output.shape))
    return built
