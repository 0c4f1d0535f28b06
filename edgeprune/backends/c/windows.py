"""Windows of convolutions and pooling."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from edgeprune.backends.c.int8_network import Tensor
from edgeprune.tflite.tflite_schema import schema


def window(source: Tensor, output: Tensor, kernel: Sequence[int], options: Any, dilation: Sequence[int] = (1, 1)) -> str:
    """Return the initializer of an ``ep_window`` over an image (samples, rows, columns, channels).

    Padding ``SAME`` puts the smaller half before the image, as TFLite does.
    """
    strides = options.strideH, options.strideW
    pads = [0, 0]
    if options.padding == schema.Padding.SAME:
        for axis in range(2):
            reach = (output.shape[axis + 1] - 1) * strides[axis] + (kernel[axis] - 1) * dilation[axis] + 1
            pads[axis] = max(reach - source.shape[axis + 1], 0) // 2
    fields = {
        "in_rows": source.shape[1], "in_columns": source.shape[2], "in_channels": source.shape[3],
        "out_rows": output.shape[1], "out_columns": output.shape[2], "out_channels": output.shape[3],
        "kernel_rows": kernel[0], "kernel_columns": kernel[1],
        "stride_rows": strides[0], "stride_columns": strides[1],
        "dilation_rows": dilation[0], "dilation_columns": dilation[1],
        "pad_rows": pads[0], "pad_columns": pads[1],
    }  # fmt: skip
    return "{" + ", ".join(f".{name} = {value}" for name, value in fields.items()) + "}"
