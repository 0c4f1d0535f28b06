"""Random int8 files of one operator each, written without the converter."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from tests.backends.c.movement_files import MOVEMENT_FILES
from tests.backends.c.pair_files import PAIR_FILES
from tests.backends.c.random_draw import Draw
from tests.tflite.tflite_files import INT32, File

SAME, VALID = schema.Padding.SAME, schema.Padding.VALID


def _windowed(size: int, kernel: int, stride: int, dilation: int, padding: int) -> int:
    reach = (kernel - 1) * dilation + 1
    return -(-size // stride) if padding == SAME else (size - reach) // stride + 1


def _layer(
    draw: Draw, file: File, x: int, weights: np.ndarray, axis: int, shape: Sequence[int]
) -> tuple[list[int], int]:
    """Add weights with a scale for each channel, a bias (or none), and the output."""
    channels = weights.shape[axis]
    scales = [draw.scale() / 4 for _ in range(channels)]
    w = file.tensor("w", weights.shape, data=weights, scale=scales, axis=axis)
    inputs = [x, w]
    if (len(shape) == 4 and axis == 0) or draw.one_of(True, False):  # LiteRT requires a bias in CONV_2D
        bias = draw.rng.integers(-2000, 2000, channels, dtype=np.int32)
        inputs.append(file.tensor("b", (channels,), INT32, bias))
        of_input = file.tensors[x].quantization.scale[0]
        file.tensors[-1].quantization = schema.QuantizationParametersT(
            scale=[of_input * scale for scale in scales], zeroPoint=[0] * channels
        )
    return inputs, file.tensor("y", shape, **draw.steps())


def convolution(draw: Draw) -> bytes:
    groups = draw.one_of(1, 1, 1, 2, 3)
    kernel, stride, dilation = ([draw.size(1, most) for _ in range(2)] for most in (4, 3, 2))
    depth, channels, padding = draw.size(1, 9), groups * draw.size(1, 5), draw.one_of(SAME, VALID)
    image = [(k - 1) * d + 1 + draw.size(0, 7) for k, d in zip(kernel, dilation, strict=True)]
    result = [_windowed(*sizes, padding) for sizes in zip(image, kernel, stride, dilation, strict=True)]
    file, batch = File(), draw.one_of(1, 1, 2)
    x = file.tensor("x", (batch, *image, groups * depth), **draw.steps())
    weights = draw.weights(channels, *kernel, depth)
    inputs, y = _layer(draw, file, x, weights, 0, (batch, *result, channels))
    options = schema.Conv2DOptionsT(
        padding=padding, strideH=stride[0], strideW=stride[1], dilationHFactor=dilation[0], dilationWFactor=dilation[1],
        fusedActivationFunction=draw.activation(),
    )  # fmt: skip
    file.op("CONV_2D", inputs, [y], options)
    return file.content([x], [y])


def depthwise(draw: Draw) -> bytes:
    multiplier = draw.one_of(1, 1, 2, 3)
    kernel, dilation = ([draw.size(1, most) for _ in range(2)] for most in (5, 2))
    stride = [draw.size(1, 2)] * 2
    depth, padding = draw.size(1, 9), draw.one_of(SAME, VALID)
    image = [(k - 1) * d + 1 + draw.size(0, 7) for k, d in zip(kernel, dilation, strict=True)]
    result = [_windowed(*sizes, padding) for sizes in zip(image, kernel, stride, dilation, strict=True)]
    file, batch = File(), draw.one_of(1, 1, 2)
    x = file.tensor("x", (batch, *image, depth), **draw.steps())
    inputs, y = _layer(
        draw, file, x, draw.weights(1, *kernel, depth * multiplier), 3, (batch, *result, depth * multiplier)
    )
    options = schema.DepthwiseConv2DOptionsT(
        padding=padding, strideH=stride[0], strideW=stride[1], dilationHFactor=dilation[0], dilationWFactor=dilation[1],
        depthMultiplier=multiplier, fusedActivationFunction=draw.activation(),
    )  # fmt: skip
    file.op("DEPTHWISE_CONV_2D", inputs, [y], options)
    return file.content([x], [y])


def fully_connected(draw: Draw) -> bytes:
    file, size, channels, rows = File(), draw.size(1, 30), draw.size(1, 9), draw.size(1, 5)
    x = file.tensor("x", (rows, size), **draw.steps())
    weights = draw.weights(channels, size)
    if draw.one_of(True, False):
        inputs, y = _layer(draw, file, x, weights, 0, (rows, channels))
    else:
        inputs = [x, file.tensor("w", weights.shape, data=weights, scale=draw.scale()), -1]
        y = file.tensor("y", (rows, channels), **draw.steps())
    options = schema.FullyConnectedOptionsT(fusedActivationFunction=draw.activation())
    file.op("FULLY_CONNECTED", inputs, [y], options)
    return file.content([x], [y])


def _pooling(kind: str) -> Callable[[Draw], bytes]:
    def file_of(draw: Draw) -> bytes:
        kernel, stride, padding = draw.size(1, 4), draw.size(1, 3), draw.one_of(SAME, VALID)
        image = [kernel + draw.size(0, 5) for _ in range(2)]
        result = [_windowed(size, kernel, stride, 1, padding) for size in image]
        file, depth, steps, batch = File(), draw.size(1, 5), draw.steps(), draw.one_of(1, 2)
        x = file.tensor("x", (batch, *image, depth), **steps)
        y = file.tensor("y", (batch, *result, depth), **steps)
        options = schema.Pool2DOptionsT(
            padding=padding, strideH=stride, strideW=stride, filterHeight=kernel, filterWidth=kernel,
            fusedActivationFunction=draw.activation(),
        )  # fmt: skip
        file.op(kind, [x], [y], options)
        return file.content([x], [y])

    return file_of


def softmax(draw: Draw) -> bytes:
    file, shape = File(), (draw.size(1, 4), draw.size(1, 12))
    x, y = file.tensor("x", shape, **draw.steps()), file.tensor("y", shape, scale=1 / 256, zero_point=-128)
    file.op("SOFTMAX", [x], [y], schema.SoftmaxOptionsT(beta=draw.one_of(0.5, 1.0, 2.0)))
    return file.content([x], [y])


def transposed_convolution(draw: Draw) -> bytes:
    kernel, stride, padding = [draw.size(1, 4), draw.size(1, 4)], [draw.size(1, 3), draw.size(1, 3)], VALID
    image, batch = [draw.size(1, 5), draw.size(1, 5)], draw.one_of(1, 1, 2)
    result = [(size - 1) * step + tap for size, step, tap in zip(image, stride, kernel, strict=True)]
    if draw.one_of(True, False):
        padding, result = SAME, [size * step for size, step in zip(image, stride, strict=True)]
    depth, channels, file = draw.size(1, 5), draw.size(1, 4), File()
    x = file.tensor("x", (batch, *image, depth), **draw.steps())
    (_, weights, *bias), y = _layer(
        draw, file, x, draw.weights(channels, *kernel, depth), 0, (batch, *result, channels)
    )
    size = file.tensor("size", (4,), INT32, np.int32([batch, *result, channels]))
    options = schema.TransposeConvOptionsT(padding=padding, strideH=stride[0], strideW=stride[1])
    file.op("TRANSPOSE_CONV", [size, weights, x, *bias], [y], options)
    return file.content([x], [y])


FILES: dict[str, Callable[[Draw], bytes]] = {
    "AVERAGE_POOL_2D": _pooling("AVERAGE_POOL_2D"),
    "CONV_2D": convolution,
    "DEPTHWISE_CONV_2D": depthwise,
    "FULLY_CONNECTED": fully_connected,
    "MAX_POOL_2D": _pooling("MAX_POOL_2D"),
    "SOFTMAX": softmax,
    "TRANSPOSE_CONV": transposed_convolution,
    **MOVEMENT_FILES,
    **PAIR_FILES,
}
"""Writers of files by operator."""
