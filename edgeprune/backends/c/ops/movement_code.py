"""Operators that copy elements to other positions: padding, concatenation, slices, splits and transposition."""

from __future__ import annotations

import numpy as np

from edgeprune.backends.c.box_copy import Box, copy_box, steps_of
from edgeprune.backends.c.int8_network import Tensor
from edgeprune.backends.c.layer import ANY, Layer, operator
from edgeprune.errors import ModelError


@operator("PAD", "PADV2", types=ANY)
def padding(layer: Layer) -> None:
    source, output = layer.step.input(0), layer.step.output
    before = layer.step.input(1).values.reshape(-1, 2)[:, 0]
    value = output.zero_point if layer.step.kind == "PAD" else layer.step.input(2).values.reshape(-1)[0]
    if output.dtype.name != "int8" and value != 0:
        raise ModelError(
            f"{layer.step.name} pads {output.dtype} with {value}, which has no C code: quantize it to int8"
        )
    layer.statements.append(f"memset({layer.bytes_pointer(output)}, {int(value)}, {output.bytes});")
    start = int(np.dot(before, steps_of(output.shape)))
    copy_box(layer, Box.whole(source), Box(output, start, steps_of(output.shape)), source.shape)


@operator("CONCATENATION", types=ANY)
def concatenation(layer: Layer) -> None:
    output = layer.step.output
    axis = layer.step.options.axis % len(output.shape)
    steps, start = steps_of(output.shape), 0
    for number in range(len(layer.step.inputs)):
        part = layer.step.input(number)
        if part.scales != output.scales or part.zero_point != output.zero_point:
            raise ModelError(f"{layer.step.name} joins tensors of different scales: quantize the model again")
        copy_box(layer, Box.whole(part), Box(output, start, steps), part.shape)
        start += part.shape[axis] * steps[axis]


@operator("SLICE", "STRIDED_SLICE", types=ANY)
def slicing(layer: Layer) -> None:
    source, output = layer.step.input(0), layer.step.output
    begins, strides = (_slice if layer.step.kind == "SLICE" else _strided_slice)(layer)
    steps = steps_of(source.shape)
    start = int(np.dot(begins, steps))
    kept = [axis for axis in range(len(source.shape)) if not _is_shrunk(layer, axis)]
    from_steps = [steps[axis] * strides[axis] for axis in kept]
    copy_box(layer, Box(source, start, from_steps), Box.whole(output), output.shape)


@operator("SPLIT", "SPLIT_V", types=ANY)
def splitting(layer: Layer) -> None:
    is_even = layer.step.kind == "SPLIT"
    source = layer.step.input(1 if is_even else 0)
    axis = int(layer.step.input(0 if is_even else 2).values.reshape(-1)[0]) % len(source.shape)
    steps, start = steps_of(source.shape), 0
    for output in layer.step.outputs:
        copy_box(layer, Box(source, start, steps), Box.whole(output), output.shape)
        start += output.shape[axis] * steps[axis]


@operator("UNPACK", types=ANY)
def unpacking(layer: Layer) -> None:
    source = layer.step.input(0)
    axis = layer.step.options.axis % len(source.shape)
    steps = steps_of(source.shape)
    others = [step for dim, step in enumerate(steps) if dim != axis]
    for number, output in enumerate(layer.step.outputs):
        copy_box(layer, Box(source, number * steps[axis], others), Box.whole(output), output.shape)


@operator("PACK", types=ANY)
def packing(layer: Layer) -> None:
    output = layer.step.output
    axis = layer.step.options.axis % len(output.shape)
    steps = steps_of(output.shape)
    others = [step for dim, step in enumerate(steps) if dim != axis]
    for number in range(len(layer.step.inputs)):
        part = layer.step.input(number)
        copy_box(layer, Box.whole(part), Box(output, number * steps[axis], others), part.shape)


@operator("TRANSPOSE", types=ANY)
def transposition(layer: Layer) -> None:
    source, output = layer.step.input(0), layer.step.output
    order = [int(axis) for axis in layer.step.input(1).values.reshape(-1)]
    steps = steps_of(source.shape)
    copy_box(layer, Box(source, 0, [steps[axis] for axis in order]), Box.whole(output), output.shape)


@operator("DEPTH_TO_SPACE", types=ANY)
def depth_to_space(layer: Layer) -> None:
    source, output = layer.step.input(0), layer.step.output
    inner, outer = _blocks(layer, output, source)
    copy_box(layer, inner, outer, _block_sizes(layer, source, output.shape[3]))


@operator("SPACE_TO_DEPTH", types=ANY)
def space_to_depth(layer: Layer) -> None:
    source, output = layer.step.input(0), layer.step.output
    inner, outer = _blocks(layer, source, output)
    copy_box(layer, outer, inner, _block_sizes(layer, output, source.shape[3]))


def _blocks(layer: Layer, spread: Tensor, stacked: Tensor) -> tuple[Box, Box]:
    """Return boxes with (samples, rows, columns, rows in a block, columns in a block, channels).

    Args:
        layer: The layer.
        spread: Tensor whose blocks are pixels.
        stacked: Tensor whose blocks are channels.

    Returns:
        Boxes of the stacked and of the spread tensor.
    """
    block, channels = layer.step.options.blockSize, spread.shape[3]
    samples, rows, columns, each = steps_of(spread.shape)
    outer = [samples, rows * block, columns * block, rows, columns, each]
    inner = [*steps_of(stacked.shape)[:3], block * channels, channels, 1]
    return Box(stacked, 0, inner), Box(spread, 0, outer)


def _block_sizes(layer: Layer, stacked: Tensor, channels: int) -> list[int]:
    block = layer.step.options.blockSize
    return [*stacked.shape[:3], block, block, channels]


def _slice(layer: Layer) -> tuple[list[int], list[int]]:
    begins = [int(begin) for begin in layer.step.input(1).values.reshape(-1)]
    return begins, [1] * len(begins)


def _strided_slice(layer: Layer) -> tuple[list[int], list[int]]:
    source, options = layer.step.input(0), layer.step.options
    begins, _, strides = (layer.step.input(index).values.reshape(-1) for index in (1, 2, 3))
    if options.ellipsisMask or options.newAxisMask:
        raise ModelError(
            f"{layer.step.name} has an ellipsis or a new axis, which have no C code: convert the model again"
        )
    starts = []
    for axis, size in enumerate(source.shape):
        stride = int(strides[axis])
        if options.beginMask >> axis & 1 and not _is_shrunk(layer, axis):
            starts.append(0 if stride > 0 else size - 1)
        else:
            begin = int(begins[axis])
            begin += size if begin < 0 else 0
            starts.append(min(max(begin, 0), size - (stride < 0)) if stride > 0 else min(max(begin, -1), size - 1))
    return starts, [int(stride) for stride in strides]


def _is_shrunk(layer: Layer, axis: int) -> bool:
    return layer.step.kind == "STRIDED_SLICE" and bool(layer.step.options.shrinkAxisMask >> axis & 1)
