"""Operators that copy elements to other positions: padding, concatenation, slices, splits and transposition."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

import numpy as np

from edgeprune.backends.c.int8_network import Tensor
from edgeprune.backends.c.layer import Layer, operator
from edgeprune.errors import ModelError

_RANK = 5


@operator("PAD", "PADV2")
def padding(layer: Layer) -> None:
    source, output = layer.step.input(0), layer.step.output
    before = layer.step.input(1).values.reshape(-1, 2)[:, 0]
    value = output.zero_point if layer.step.kind == "PAD" else int(layer.step.input(2).values.reshape(-1)[0])
    layer.statements.append(f"memset({layer.pointer(output)}, {value}, {output.bytes});")
    start = int(np.dot(before, _steps(output.shape)))
    _copy(layer, source, 0, _steps(source.shape), output, start, _steps(output.shape), source.shape)


@operator("CONCATENATION")
def concatenation(layer: Layer) -> None:
    output = layer.step.output
    axis = layer.step.options.axis % len(output.shape)
    steps, start = _steps(output.shape), 0
    for number in range(len(layer.step.inputs)):
        part = layer.step.input(number)
        if part.scale != output.scale or part.zero_point != output.zero_point:
            raise ModelError(f"{layer.step.name} joins tensors of different scales: quantize the model again")
        _copy(layer, part, 0, _steps(part.shape), output, start, steps, part.shape)
        start += part.shape[axis] * steps[axis]


@operator("SLICE", "STRIDED_SLICE")
def slicing(layer: Layer) -> None:
    source, output = layer.step.input(0), layer.step.output
    begins, strides = (_slice if layer.step.kind == "SLICE" else _strided_slice)(layer)
    steps = _steps(source.shape)
    start = int(np.dot(begins, steps))
    kept = [axis for axis in range(len(source.shape)) if not _is_shrunk(layer, axis)]
    from_steps = [steps[axis] * strides[axis] for axis in kept]
    sizes = list(output.shape)
    _copy(layer, source, start, from_steps, output, 0, _steps(output.shape), sizes)


@operator("SPLIT", "SPLIT_V")
def splitting(layer: Layer) -> None:
    is_even = layer.step.kind == "SPLIT"
    source = layer.step.input(1 if is_even else 0)
    axis = int(layer.step.input(0 if is_even else 2).values.reshape(-1)[0]) % len(source.shape)
    steps, start = _steps(source.shape), 0
    for output in layer.step.outputs:
        _copy(layer, source, start, steps, output, 0, _steps(output.shape), output.shape)
        start += output.shape[axis] * steps[axis]


@operator("UNPACK")
def unpacking(layer: Layer) -> None:
    source = layer.step.input(0)
    axis = layer.step.options.axis % len(source.shape)
    steps = _steps(source.shape)
    others = [step for dim, step in enumerate(steps) if dim != axis]
    for number, output in enumerate(layer.step.outputs):
        _copy(layer, source, number * steps[axis], others, output, 0, _steps(output.shape), output.shape)


@operator("PACK")
def packing(layer: Layer) -> None:
    output = layer.step.output
    axis = layer.step.options.axis % len(output.shape)
    steps = _steps(output.shape)
    others = [step for dim, step in enumerate(steps) if dim != axis]
    for number in range(len(layer.step.inputs)):
        part = layer.step.input(number)
        _copy(layer, part, 0, _steps(part.shape), output, number * steps[axis], others, part.shape)


@operator("TRANSPOSE")
def transposition(layer: Layer) -> None:
    source, output = layer.step.input(0), layer.step.output
    order = [int(axis) for axis in layer.step.input(1).values.reshape(-1)]
    steps = _steps(source.shape)
    _copy(layer, source, 0, [steps[axis] for axis in order], output, 0, _steps(output.shape), output.shape)


def _slice(layer: Layer) -> tuple[list[int], list[int]]:
    begins = [int(begin) for begin in layer.step.input(1).values.reshape(-1)]
    return begins, [1] * len(begins)


def _strided_slice(layer: Layer) -> tuple[list[int], list[int]]:
    source, options = layer.step.input(0), layer.step.options
    begins, _, strides = (layer.step.input(index).values.reshape(-1) for index in (1, 2, 3))
    if options.ellipsisMask or options.newAxisMask:
        raise ModelError(f"{layer.step.name} has an ellipsis or a new axis, which have no C code: convert the model again")
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


def _steps(shape: Sequence[int]) -> list[int]:
    """Return the number of elements to the next index of each dimension of a contiguous tensor."""
    return [prod(shape[axis + 1 :]) for axis in range(len(shape))]


def _copy(
    layer: Layer,
    source: Tensor,
    source_start: int,
    source_steps: Sequence[int],
    output: Tensor,
    output_start: int,
    output_steps: Sequence[int],
    sizes: Sequence[int],
) -> None:
    """Add a copy of a box of ``sizes``. Dimensions that are contiguous on both sides become one piece."""
    each = source.dtype.itemsize
    dims = [dim for dim in zip(sizes, source_steps, output_steps, strict=True) if dim[0] != 1]
    merged: list[tuple[int, int, int]] = []
    for size, from_step, to_step in reversed(dims):
        if merged and (merged[0][0] * merged[0][1], merged[0][0] * merged[0][2]) == (from_step, to_step):
            merged[0] = size * merged[0][0], merged[0][1], merged[0][2]
        else:
            merged.insert(0, (size, from_step, to_step))
    run = 1
    if merged and merged[-1][1:] == (1, 1):
        run = merged.pop()[0]
    if len(merged) > _RANK:
        raise ModelError(f"{layer.step.name} moves more than {_RANK} dimensions, which has no C code: reshape its input")
    merged = [(1, 0, 0)] * (_RANK - len(merged)) + merged
    fields = [
        ("sizes", "{" + ", ".join(str(size) for size, _, _ in merged) + "}"),
        ("in_steps", "{" + ", ".join(str(step * each) for _, step, _ in merged) + "}"),
        ("out_steps", "{" + ", ".join(str(step * each) for _, _, step in merged) + "}"),
        ("run", str(run * each)),
    ]
    pointers = (
        _cast(layer, source) + (f" + {source_start * each}" if source_start else ""),
        _cast(layer, output) + (f" + {output_start * each}" if output_start else ""),
    )
    layer.call("movement", "ep_move", "ep_movement", fields, *pointers)


def _cast(layer: Layer, tensor: Tensor) -> str:
    pointer = layer.pointer(tensor)
    return pointer if tensor.dtype == np.int8 else f"(const int8_t *){pointer}"
