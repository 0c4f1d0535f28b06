"""Importers of operators that slice, join, split and pad tensors."""

from __future__ import annotations

import operator
from math import ceil

import torch
import torch.nn.functional as F  # noqa: N812

from edgeprune.onnx_import.batch_constants import joined_with_batch
from edgeprune.onnx_import.network_builder import NetworkBuilder
from edgeprune.onnx_import.operators.base import importer
from edgeprune.onnx_import.operators.trainable import trainable
from edgeprune.onnx_import.source_graph import SourceNode
from edgeprune.onnx_import.traced_values import Constant, Size, Value

_END = (1 << 31) - 1
_PAD_MODES = ("reflect", "edge", "wrap")


@importer("Slice")
def slice_(node: SourceNode, net: NetworkBuilder) -> None:
    """Import Slice. A slice of everything is omitted, also where it is stated by the batch size of the file."""
    value = net.value(0)
    starts, ends = net.sizes(1, "starts") or [], net.sizes(2, "ends") or []
    axes = net.numbers(3, "axes") or list(range(len(starts)))
    steps = net.numbers(4, "steps") or [1] * len(starts)
    rank = len(value.shape)
    bounds: list[slice] = [slice(None)] * rank
    for start, end, axis, step in zip(starts, ends, axes, steps, strict=True):
        size = value.shape[axis % rank]
        if step < 0:
            value = net.call(torch.flip, value, [axis % rank])
            start, end = _reversed(node, start, end, size)  # noqa: PLW2901 - of the flipped tensor
        is_whole = not isinstance(start, Value) and not isinstance(end, Value) and _clamped(start, size) == 0
        if is_whole and not isinstance(end, Value) and _clamped(end, size) == size and abs(step) == 1:
            continue
        last = None if isinstance(end, int) and end >= _END else end
        bounds[axis % rank] = slice(start, last, abs(step))
    if all(bound == slice(None) for bound in bounds):
        net.write(value)
        return
    while bounds and bounds[-1] == slice(None):
        bounds.pop()
    net.write(net.call(operator.getitem, value, tuple(bounds)))


@importer("Split")
def split(node: SourceNode, net: NetworkBuilder) -> None:
    """Import Split. Parts without sizes are equal, except for a smaller last one.

    Parts of one element, such as queries, keys and values that were joined, are selected, since the parts of a
    ``select`` can be pruned independently of each other.
    """
    value = net.value(0)
    axis = node.get("axis", 0) % len(value.shape)
    sizes = net.numbers(1, "split")
    parts = len(node.outputs)
    if sizes is None:
        size = ceil(value.shape[axis] / parts)
        sizes = [size] * (parts - 1) + [value.shape[axis] - size * (parts - 1)]
    if parts == 1:
        net.write(value)
        return
    if all(size == 1 for size in sizes):
        for index in range(parts):
            net.write(net.call(torch.unsqueeze, net.call(torch.select, value, axis, index), axis), index)
        return
    result = net.call(torch.split, value, sizes, axis)
    for index in range(parts):
        net.write(result[index] if isinstance(result, list) else net.item(result, index), index)


@importer("Concat")
def concat(node: SourceNode, net: NetworkBuilder) -> None:
    operands = [net.value(index) for index in range(len(node.inputs))]
    axis = node.get("axis", 1) % len(operands[0].shape)
    if not any(isinstance(operand, Value) for operand in operands):
        net.write(net.call(torch.cat, operands, axis))
        return
    other = max((one for one in operands if isinstance(one, Value)), key=lambda one: not one.is_raw)
    operands = joined_with_batch(net, operands, axis)
    net.write(net.call(torch.cat, [trainable(net, operand, other) for operand in operands], axis))


@importer("Pad")
def pad(node: SourceNode, net: NetworkBuilder) -> None:
    """Import Pad. Negative numbers crop."""
    value, mode = net.value(0), node.get("mode", "constant")
    rank = len(value.shape)
    counts = net.numbers(1, "pads") or []
    axes = net.numbers(3) or list(range(rank))
    begin, end = [0] * rank, [0] * rank
    for index, axis in enumerate(axes):
        begin[axis % rank], end[axis % rank] = counts[index], counts[len(axes) + index]
    fill = net.constant(2)
    number = float(node.get("value", 0.0)) if fill is None else fill.tensor.item()
    if not value.dtype.is_floating_point:
        number = int(number)
    if not any(begin) and not any(end):
        net.write(value)
        return
    if mode != "constant":
        value = _padded_by_elements(node, net, value, begin, end)
        net.write(value)
        return
    first = min(dim for dim in range(rank) if begin[dim] or end[dim])
    pads = [count for dim in range(rank - 1, first - 1, -1) for count in (begin[dim], end[dim])]
    net.write(net.call(F.pad, value, pads, "constant", number))


@importer("Trilu")
def triangle(node: SourceNode, net: NetworkBuilder) -> None:
    diagonal = net.numbers(1) or [0]
    net.write(net.call(torch.triu if node.get("upper", 1) else torch.tril, net.value(0), diagonal[0]))


def _reversed(node: SourceNode, start: Size, end: Size, size: int) -> tuple[int, int]:
    """Return the bounds of a slice with a negative step in the reversed dimension."""
    if isinstance(start, Value) or isinstance(end, Value):
        raise node.unsupported("bounds that depend on the batch size with a negative step", "constant")
    first = min(start if start >= 0 else start + size, size - 1)
    last = end if end >= 0 else max(end + size, -1)
    return size - 1 - first, size - 1 - last


def _clamped(bound: int, size: int) -> int:
    return max(0, min(bound + size if bound < 0 else bound, size))


def _padded_by_elements(
    node: SourceNode, net: NetworkBuilder, value: Value | Constant, begin: list[int], end: list[int]
) -> Value | Constant:
    """Return ``value`` padded with its own elements, one dimension after the other."""
    mode = node.get("mode")
    if mode not in _PAD_MODES:
        raise node.unsupported(f"mode = {mode}", ", ".join(_PAD_MODES))
    for dim, (before, after) in enumerate(zip(begin, end, strict=True)):
        if not before and not after:
            continue
        size = value.shape[dim]
        places = torch.arange(-before, size + after)
        if mode == "reflect":
            period = max(2 * (size - 1), 1)
            places = torch.remainder(places, period)
            places = torch.where(places < size, places, period - places)
        else:
            places = places.clamp(0, size - 1) if mode == "edge" else torch.remainder(places, size)
        value = net.call(torch.index_select, value, dim, Constant(places, f"{node.output(0)}_places"))
    return value
