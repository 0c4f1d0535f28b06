"""Random int8 files of one operator each, written without the converter."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import prod
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from tests.tflite.tflite_files import INT32, File

SAME, VALID = schema.Padding.SAME, schema.Padding.VALID
_ACTIVATIONS = (
    schema.ActivationFunctionType.NONE, schema.ActivationFunctionType.RELU, schema.ActivationFunctionType.RELU6,
    schema.ActivationFunctionType.RELU_N1_TO_1,
)  # fmt: skip


class Draw:
    """Random sizes, scales and values."""

    def __init__(self, seed: int) -> None:
        self.rng = np.random.default_rng(seed)

    def size(self, least: int, most: int) -> int:
        return int(self.rng.integers(least, most + 1))

    def one_of(self, *values: Any) -> Any:
        return values[self.size(0, len(values) - 1)]

    def scale(self) -> float:
        return float(np.float32(self.rng.uniform(0.01, 0.1)))

    def weights(self, *shape: int) -> np.ndarray:
        return self.rng.integers(-127, 128, shape, dtype=np.int8)

    def steps(self) -> dict[str, Any]:
        """Return quantization of an activation."""
        return {"scale": self.scale(), "zero_point": self.size(-128, 127)}

    def activation(self) -> int:
        return int(self.one_of(*_ACTIVATIONS))


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


def _binary(kind: str, options: Callable[..., Any]) -> Callable[[Draw], bytes]:
    def file_of(draw: Draw) -> bytes:
        full = [draw.size(2, 4) for _ in range(4)]
        shapes = [full, [size if draw.one_of(True, False) else 1 for size in full]]
        if draw.one_of(True, False):
            shapes.reverse()
        file, steps = File(), draw.steps()
        same = kind in ("MAXIMUM", "MINIMUM")
        x = file.tensor("x", shapes[0], **(steps if same else draw.steps()))
        steps_of_second = steps if same else draw.steps()
        if kind == "DIV":  # zero is not a divisor
            steps_of_second["zero_point"] = -128
        constant = kind == "DIV" or (prod(shapes[1]) < prod(full) and draw.one_of(True, False))
        values = draw.rng.integers(-127, 128, shapes[1], dtype=np.int8)
        second = file.tensor("c", shapes[1], data=values if constant else None, **steps_of_second)
        y = file.tensor("y", full, **(steps if same else draw.steps()))
        takes = {} if same else {"fusedActivationFunction": draw.activation()}
        file.op(kind, [x, second], [y], options(**takes))
        return file.content([x] if constant else [x, second], [y])

    return file_of


def _packing(draw: Draw) -> bytes:
    file, shape, count, steps = File(), [draw.size(1, 4) for _ in range(3)], draw.size(1, 3), draw.steps()
    axis = draw.size(0, 3)
    parts = [file.tensor(f"x{index}", shape, **steps) for index in range(count)]
    y = file.tensor("y", [*shape[:axis], count, *shape[axis:]], **steps)
    file.op("PACK", parts, [y], schema.PackOptionsT(valuesCount=count, axis=axis))
    return file.content(parts, [y])


def _unpacking(draw: Draw) -> bytes:
    file, shape, steps = File(), [draw.size(1, 4) for _ in range(3)], draw.steps()
    axis = draw.size(0, 2)
    x = file.tensor("x", shape, **steps)
    rest = shape[:axis] + shape[axis + 1 :]
    parts = [file.tensor(f"y{index}", rest, **steps) for index in range(shape[axis])]
    file.op("UNPACK", [x], parts, schema.UnpackOptionsT(num=len(parts), axis=axis))
    return file.content([x], parts)


def _splitting(draw: Draw) -> bytes:
    file, shape, steps, axis = File(), [draw.size(1, 4) for _ in range(3)], draw.steps(), draw.size(0, 2)
    sizes = [draw.size(1, 3) for _ in range(draw.size(1, 3))]
    x = file.tensor("x", [*shape[:axis], sum(sizes), *shape[axis + 1 :]], **steps)
    lengths = file.tensor("sizes", (len(sizes),), INT32, np.int32(sizes))
    place = file.tensor("axis", (), INT32, np.int32(axis))
    parts = [
        file.tensor(f"y{index}", [*shape[:axis], size, *shape[axis + 1 :]], **steps) for index, size in enumerate(sizes)
    ]
    file.op("SPLIT_V", [x, lengths, place], parts, schema.SplitVOptionsT(numSplits=len(sizes)))
    return file.content([x], parts)


def _view(kind: str) -> Callable[[Draw], bytes]:
    def file_of(draw: Draw) -> bytes:
        file, steps, size = File(), draw.steps(), draw.size(1, 20)
        shapes = [(1, size), (size,)]
        inputs, options = [], schema.SqueezeOptionsT(squeezeDims=[0])
        if kind == "EXPAND_DIMS":
            shapes.reverse()
            inputs, options = [file.tensor("axis", (1,), INT32, np.int32([0]))], schema.ExpandDimsOptionsT()
        x, y = (file.tensor(name, shape, **steps) for name, shape in zip("xy", shapes, strict=True))
        file.op(kind, [x, *inputs], [y], options)
        return file.content([x], [y])

    return file_of


FILES: dict[str, Callable[[Draw], bytes]] = {
    "ADD": _binary("ADD", schema.AddOptionsT),
    "AVERAGE_POOL_2D": _pooling("AVERAGE_POOL_2D"),
    "CONV_2D": convolution,
    "DEPTHWISE_CONV_2D": depthwise,
    "EXPAND_DIMS": _view("EXPAND_DIMS"),
    "FULLY_CONNECTED": fully_connected,
    "MAX_POOL_2D": _pooling("MAX_POOL_2D"),
    "MUL": _binary("MUL", schema.MulOptionsT),
    "PACK": _packing,
    "SPLIT_V": _splitting,
    "SQUEEZE": _view("SQUEEZE"),
    "SUB": _binary("SUB", schema.SubOptionsT),
    "UNPACK": _unpacking,
}
"""Writers of files by operator."""
