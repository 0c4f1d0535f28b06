"""Operators that copy elements to other positions: padding, concatenation, slices, splits and transposition."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

import numpy as np

from edgeprune.backends.c.box_copy import Box, copy_box, steps_of
from edgeprune.backends.c.int8_network import Step, Tensor
from edgeprune.backends.c.layer import ANY, Layer, Parts, operator
from edgeprune.errors import ModelError


def _joined(step: Step) -> Parts | None:
    return _along(step.output, [step.input(index) for index in range(len(step.inputs))], step.options.axis)


def _packed(step: Step) -> Parts | None:
    return _joined(step)


def _separated(step: Step) -> Parts | None:
    source, axis = _split(step)
    return _along(source, step.outputs, axis)


def _unpacked(step: Step) -> Parts | None:
    return _along(step.input(0), step.outputs, step.options.axis)


def _along(whole: Tensor, parts: Sequence[Tensor], axis: int) -> Parts | None:
    """Return parts that follow each other along an axis; None if there are several positions before this axis."""
    if prod(whole.shape[: axis % len(whole.shape)]) != 1:
        return None
    starts = np.cumsum([0, *(part.elements for part in parts)])
    return whole, [(part, int(start)) for part, start in zip(parts, starts[:-1], strict=True)]


def _sliced(step: Step) -> Parts | None:
    start, steps = _slice_box(step)
    output = step.output
    own = steps_of(output.shape)
    together = all(size == 1 or a == b for size, a, b in zip(output.shape, steps, own, strict=True))
    return (step.input(0), [(output, start)]) if together else None


def _split(step: Step) -> tuple[Tensor, int]:
    """Return source and axis."""
    is_even = step.kind == "SPLIT"
    source = step.input(1 if is_even else 0)
    return source, int(step.input(0 if is_even else 2).values.reshape(-1)[0]) % len(source.shape)


def _slice_box(step: Step) -> tuple[int, list[int]]:
    """Return the index of the first element, and the steps of each dimension of the output."""
    source = step.input(0)
    begins, strides = (_slice if step.kind == "SLICE" else _strided_slice)(step)
    steps = steps_of(source.shape)
    axes = [axis for axis in range(len(source.shape)) if not _is_shrunk(step, axis)]
    return int(np.dot(begins, steps)), [steps[axis] * strides[axis] for axis in axes]


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


@operator("CONCATENATION", types=ANY, parts=_joined)
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


@operator("SLICE", "STRIDED_SLICE", types=ANY, parts=_sliced)
def slicing(layer: Layer) -> None:
    source, output = layer.step.input(0), layer.step.output
    start, from_steps = _slice_box(layer.step)
    copy_box(layer, Box(source, start, from_steps), Box.whole(output), output.shape)


@operator("SPLIT", "SPLIT_V", types=ANY, parts=_separated)
def splitting(layer: Layer) -> None:
    source, axis = _split(layer.step)
    steps, start = steps_of(source.shape), 0
    for output in layer.step.outputs:
        copy_box(layer, Box(source, start, steps), Box.whole(output), output.shape)
        start += output.shape[axis] * steps[axis]


@operator("UNPACK", types=ANY, parts=_unpacked)
def unpacking(layer: Layer) -> None:
    source = layer.step.input(0)
    axis = layer.step.options.axis % len(source.shape)
    steps = steps_of(source.shape)
    others = [step for dim, step in enumerate(steps) if dim != axis]
    for number, output in enumerate(layer.step.outputs):
        copy_box(layer, Box(source, number * steps[axis], others), Box.whole(output), output.shape)


@operator("PACK", types=ANY, parts=_packed)
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


def _slice(step: Step) -> tuple[list[int], list[int]]:
    begins = [int(begin) for begin in step.input(1).values.reshape(-1)]
    return begins, [1] * len(begins)


def _strided_slice(step: Step) -> tuple[list[int], list[int]]:
    source, options = step.input(0), step.options
    begins, _, strides = (step.input(index).values.reshape(-1) for index in (1, 2, 3))
    if options.ellipsisMask or options.newAxisMask:
        raise ModelError(f"{step.name} has an ellipsis or a new axis, which have no C code: convert the model again")
    starts = []
    for axis, size in enumerate(source.shape):
        stride = int(strides[axis])
        if options.beginMask >> axis & 1 and not _is_shrunk(step, axis):
            starts.append(0 if stride > 0 else size - 1)
        else:
            begin = int(begins[axis])
            begin += size if begin < 0 else 0
            starts.append(min(max(begin, 0), size - (stride < 0)) if stride > 0 else min(max(begin, -1), size - 1))
    return starts, [int(stride) for stride in strides]


def _is_shrunk(step: Step, axis: int) -> bool:
    return step.kind == "STRIDED_SLICE" and bool(step.options.shrinkAxisMask >> axis & 1)
