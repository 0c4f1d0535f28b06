"""Normalisations, Softmax and reductions."""

from __future__ import annotations

import numpy as np

from tests.conformance.lowerings.base import Example, Maker, example


@example("BatchNormalization")
def batch_normalization(make: Maker) -> Example:
    x = make.tensor(least=2)
    channels = x.shape[1]
    statistics = [make.values(channels), make.values(channels), make.values(channels), make.values(channels, low=0.5)]
    return make.model("BatchNormalization", [x], statistics, epsilon=make.draw.one_of(None, 1e-3))


@example("LayerNormalization")
def layer_normalization(make: Maker) -> Example:
    x = make.values(*(make.draw.size(1, 4) for _ in range(make.draw.size(1, 3))), 8)
    axis = make.draw.size(-x.ndim, -1)
    shape = x.shape[axis:]
    bias = make.draw.one_of(None, make.values(*shape))
    return make.model("LayerNormalization", [x], [make.values(*shape), bias], axis=axis)


@example("Softmax", "LogSoftmax")
def softmax(make: Maker, op: str) -> Example:
    x = make.tensor()
    return make.model(op, [x], axis=make.draw.one_of(None, make.draw.size(-x.ndim, x.ndim - 1)))


@example(
    "ReduceMean",
    "ReduceMax",
    "ReduceMin",
    "ReduceSum",
    "ReduceL1",
    "ReduceL2",
    "ReduceLogSumExp",
    "ReduceSumSquare",
    "ReduceProd",
)
def reduction(make: Maker, op: str) -> Example:
    x = make.tensor(most=5)
    axes = [axis for axis in range(x.ndim) if make.draw.one_of(True, False)] or None
    keep = make.draw.size(0, 1)
    if op == "ReduceSum" or make.draw.one_of(True, False):
        inputs = None if axes is None else np.array(axes, np.int64)
        return make.model(op, [x], [inputs], opset=18, keepdims=keep)
    return make.model(op, [x], axes=axes, keepdims=keep)


@example("ReduceLogSum")
def log_of_sum(make: Maker) -> Example:
    x = make.tensor(low=0.5)
    return make.model("ReduceLogSum", [x], axes=make.draw.one_of(None, [0], [-1]), keepdims=make.draw.size(0, 1))


@example("ReduceMean")
def of_an_image(make: Maker) -> Example:
    return make.model("ReduceMean", [make.image()], axes=[2, 3], keepdims=make.draw.size(0, 1))


@example("InstanceNormalization")
def instance_normalization(make: Maker) -> Example:
    x = make.draw.one_of(make.image(least=5), make.signal())
    scale, bias = make.values(x.shape[1]), make.values(x.shape[1])
    return make.model("InstanceNormalization", [x], [scale, bias], epsilon=make.draw.one_of(None, 1e-3))


@example("ArgMax", "ArgMin")
def index_of_extremum(make: Maker, op: str) -> Example:
    x = make.tensor()
    return make.model(op, [x], axis=make.draw.size(-x.ndim, x.ndim - 1), keepdims=make.draw.size(0, 1))


@example("CumSum")
def cumulative_sum(make: Maker) -> Example:
    x = make.tensor()
    options = {"exclusive": make.draw.size(0, 1), "reverse": make.draw.size(0, 1)}
    return make.model("CumSum", [x], [np.array(make.draw.size(-x.ndim, x.ndim - 1), np.int64)], **options)


@example("RMSNormalization")
def rms_normalization(make: Maker) -> Example:
    x = make.values(*(make.draw.size(1, 4) for _ in range(make.draw.size(1, 3))), 8)
    axis = make.draw.size(-x.ndim, -1)
    return make.model("RMSNormalization", [x], [make.values(*x.shape[axis:])], opset=23, axis=axis)
