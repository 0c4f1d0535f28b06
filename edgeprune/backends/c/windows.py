"""Windows of convolutions and pooling."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from edgeprune.backends.c.int8_network import Step, Tensor
from edgeprune.tflite.tflite_schema import schema

Pair = tuple[int, int]
"""Rows and columns."""


@dataclass(frozen=True)
class Window:
    """Window that moves over an image (samples, rows, columns, channels).

    Attributes:
        image: Rows and columns of the input.
        result: Rows and columns of the output.
        channels: Channels of input and output.
        kernel: Taps.
        strides: Distance of neighboring windows.
        dilation: Distance of neighboring taps.
        pads: Padding before the image.
    """

    image: Pair
    result: Pair
    channels: Pair
    kernel: Pair
    strides: Pair
    dilation: Pair
    pads: Pair

    @staticmethod
    def of(step: Step, kernel: Pair, dilation: Pair = (1, 1)) -> Window:
        """Return the window of an operator. Padding ``SAME`` puts the smaller half before the image, as TFLite does."""
        source, output, options = step.input(0), step.output, step.options
        before, after = step.pads
        strides = (options.strideH, options.strideW)
        pads = [0, 0]
        if options.padding == schema.Padding.SAME:
            for axis in range(2):
                reach = (output.shape[axis + 1] - 1) * strides[axis] + (kernel[axis] - 1) * dilation[axis] + 1
                padded = source.shape[axis + 1] + before[axis] + after[axis]
                pads[axis] = max(reach - padded, 0) // 2
        pads = [own + extra for own, extra in zip(pads, before, strict=True)]
        return Window(
            _pair(source.shape[1:3]),
            _pair(output.shape[1:3]),
            (source.shape[3], output.shape[3]),
            kernel,
            strides,
            dilation,
            _pair(pads),
        )

    @staticmethod
    def transposed(source: Tensor, output: Tensor, kernel: Pair, options: Any) -> Window:
        """Return the window of a transposed convolution, which moves over the output."""
        strides = (options.strideH, options.strideW)
        pads = [0, 0]
        if options.padding == schema.Padding.SAME:
            for axis in range(2):
                size = output.shape[axis + 1]
                count = -(-size // strides[axis])
                pads[axis] = max((count - 1) * strides[axis] + kernel[axis] - size, 0) // 2
        return Window(
            _pair(source.shape[1:3]),
            _pair(output.shape[1:3]),
            (source.shape[3], output.shape[3]),
            kernel,
            strides,
            (1, 1),
            _pair(pads),
        )

    def flattened(self) -> Window:
        """Return the same window with one row of all pixels if it has one tap at every pixel."""
        if self.kernel != (1, 1) or self.strides != (1, 1) or self.image != self.result:
            return self
        pixels = 1, self.image[0] * self.image[1]
        return replace(self, image=pixels, result=pixels)

    def initializer(self) -> str:
        """Return the initializer of an ``ep_window``."""
        fields = {
            "in_rows": self.image[0], "in_columns": self.image[1], "in_channels": self.channels[0],
            "out_rows": self.result[0], "out_columns": self.result[1], "out_channels": self.channels[1],
            "kernel_rows": self.kernel[0], "kernel_columns": self.kernel[1],
            "stride_rows": self.strides[0], "stride_columns": self.strides[1],
            "dilation_rows": self.dilation[0], "dilation_columns": self.dilation[1],
            "pad_rows": self.pads[0], "pad_columns": self.pads[1],
        }  # fmt: skip
        return "{" + ", ".join(f".{name} = {value}" for name, value in fields.items()) + "}"


def _pair(values: Sequence[int]) -> Pair:
    first, second = values
    return int(first), int(second)
