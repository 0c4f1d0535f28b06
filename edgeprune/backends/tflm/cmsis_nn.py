"""Additional arena bytes of CMSIS-NN kernels over the reference kernels, on cores with or without DSP instructions.

Source: ``*_get_buffer_size`` of CMSIS-NN 4ab83cc, and ``kernels/cmsis_nn`` of TensorFlow Lite Micro 90b983c, which call
them. Cores with MVE are not covered: a depthwise convolution may take 496 bytes there for each position of its
window.
"""

from __future__ import annotations

import math

from edgeprune.backends.tflm.memory_plan import Buffer, activations, planned_bytes
from edgeprune.operator_facts.tflite_operators import TFLITE
from edgeprune.tflite.tflite_file import operator_name
from edgeprune.tflite.tflite_schema import schema

_SLOT = 16
"""Alignment of persistent allocations. A kernel's record of its scratch buffer takes at most one slot more."""


def arena_bytes(model: schema.ModelT) -> int:
    """Upper bound of the growth of the arena with CMSIS-NN kernels, in bytes.

    A scratch buffer is alive only during its operator, so only scratch buffers at the memory peak count.
    """
    buffers = activations(model)
    growth = planned_bytes([*buffers, *scratch_buffers(model)]) - planned_bytes(buffers)
    slots = sum(TFLITE[operator_name(model, op)].cmsis_nn_slots for op in model.subgraphs[0].operators)
    return max(growth, 0) + _SLOT * slots


def scratch_buffers(model: schema.ModelT) -> list[Buffer]:
    """Scratch buffers that kernels request, in the order of their operators."""
    return [
        Buffer(size, step, step)
        for step, op in enumerate(model.subgraphs[0].operators, 1)
        if (size := _scratch_bytes(model, op))
    ]


def _scratch_bytes(model: schema.ModelT, op: schema.OperatorT) -> int:
    """Size of the scratch buffer of an operator in bytes.

    A convolution unfolds two windows to int16, each rounded up to four values. A 1 x 1 convolution without dilation
    needs none (``arm_convolve_wrapper_s8_get_buffer_size``). A depthwise convolution holds one window of all channels,
    or two with a channel multiplier. Average pooling holds one int32 for each channel.
    """
    graph, name = model.subgraphs[0], operator_name(model, op)
    if name == "AVERAGE_POOL_2D":
        return 4 * int(graph.tensors[op.inputs[0]].shape[-1])
    if name not in ("CONV_2D", "DEPTHWISE_CONV_2D"):
        return 0
    _, height, width, channels = map(int, graph.tensors[op.inputs[1]].shape)
    # A file may omit the options or hold those of another operator: kernels then use the defaults of the schema.
    options = op.builtinOptions if isinstance(op.builtinOptions, schema.Conv2DOptionsT) else schema.Conv2DOptionsT()
    if name == "CONV_2D" and height == width == options.dilationWFactor == options.dilationHFactor == 1:
        return 0
    window = math.prod((height, width, channels))
    return 2 * 2 * (window + -window % 4)
