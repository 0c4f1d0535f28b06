"""Importers of operators that select, join, split, pad and scatter elements."""

from __future__ import annotations

import operator
from math import ceil

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from edgeprune.onnx_import.batch_constants import joined_with_batch
from edgeprune.onnx_import.network_builder import NetworkBuilder
from edgeprune.onnx_import.operators.base import importer
from edgeprune.onnx_import.operators.trainable import trainable
from edgeprune.onnx_import.source_graph import SourceNode
from edgeprune.onnx_import.traced_values import Constant, Size, Sizes, Value

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


@importer("Gather")
def gather(node: SourceNode, net: NetworkBuilder) -> None:
    """Import Gather. Rows of a constant matrix are an embedding; a single index selects, several are a list."""
    value, indices = net.value(0), net.operand(node.inputs[1])
    axis = node.get("axis", 0) % len(value.shape)
    if isinstance(indices, Sizes):
        raise node.unsupported("indices that depend on the batch size", "constant, or computed from the inputs")
    if isinstance(indices, Constant) and not isinstance(value, Constant):
        size = value.shape[axis]
        if not indices.shape:
            net.write(net.call(torch.select, value, axis, int(indices.tensor) % size))
            return
        rows = torch.remainder(indices.tensor.reshape(-1).long(), size)
        result = net.call(torch.index_select, value, axis, Constant(rows, indices.origin))
        net.write(result if len(indices.shape) == 1 else _unflattened(net, result, axis, indices.shape))
        return
    if isinstance(value, Constant) and isinstance(indices, Value):
        if axis == 0 and len(value.shape) == 2 and value.dtype.is_floating_point:
            module = nn.Embedding(*value.shape, _weight=torch.empty(value.shape))
            module.weight = net.parameter(value)
            net.write(net.layer(module, [value], indices))
            return
        net.write(
            net.call(operator.getitem, trainable(net, value), (*(slice(None),) * axis, net.call("long", indices)))
        )
        return
    net.write(net.call(operator.getitem, value, (*(slice(None),) * axis, net.call("long", indices))))


@importer("GatherElements")
def gather_elements(node: SourceNode, net: NetworkBuilder) -> None:
    value = net.value(0)
    axis = node.get("axis", 0) % len(value.shape)
    net.write(net.call(torch.gather, value, axis, _positive(net, net.value(1), value.shape[axis])))


@importer("GatherND")
def gather_places(node: SourceNode, net: NetworkBuilder) -> None:
    """Import GatherND with constant indices and without batch dimensions."""
    if node.get("batch_dims", 0):
        raise node.unsupported("batch_dims", "without batch dimensions")
    indices = net.needed_constant(1, "a list of indices")
    columns = [Constant(column.contiguous().long(), indices.origin) for column in indices.tensor.unbind(-1)]
    net.write(net.call(operator.getitem, net.value(0), tuple(columns)))


@importer("ScatterElements")
def scatter_elements(node: SourceNode, net: NetworkBuilder) -> None:
    if node.get("reduction", "none") != "none":
        raise node.unsupported(f"reduction = {node.get('reduction')}", "none")
    value = net.value(0)
    axis = node.get("axis", 0) % len(value.shape)
    net.write(net.call(torch.scatter, value, axis, _positive(net, net.value(1), value.shape[axis]), net.value(2)))


@importer("ScatterND")
def scatter_places(node: SourceNode, net: NetworkBuilder) -> None:
    """Import ScatterND with constant indices. Those of a slice, ``x[:, 2:4] = y``, become a concatenation."""
    if node.get("reduction", "none") != "none":
        raise node.unsupported(f"reduction = {node.get('reduction')}", "none")
    indices = net.needed_constant(1, "a list of indices")
    region = _region(indices.tensor)
    if region is not None:
        net.write(_assigned(net, net.value(0), net.value(2), region))
        return
    columns = [Constant(column.contiguous().long(), indices.origin) for column in indices.tensor.unbind(-1)]
    net.write(net.call(torch.index_put, net.value(0), tuple(columns), net.value(2)))


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


@importer("OneHot")
def one_hot(node: SourceNode, net: NetworkBuilder) -> None:
    """Import OneHot with the dimension last or elsewhere."""
    indices, values = net.value(0), net.needed_constant(2, "a pair of values").tensor
    depth = int(net.needed_constant(1, "a depth").tensor.reshape(-1)[0])
    rank = len(indices.shape)
    hot = net.call(F.one_hot, _positive(net, net.call("long", indices), depth), depth)
    axis = node.get("axis", -1) % (rank + 1)
    if axis != rank:
        hot = net.call(torch.movedim, hot, rank, axis)
    off, on = values.tolist()
    result = net.call("to", hot, values.dtype)
    net.write(result if (off, on) == (0, 1) else net.call(torch.add, net.call(torch.mul, result, on - off), off))


def _region(indices: Tensor) -> list[tuple[int, int]] | None:
    """Return start and length in each dimension if ``indices``, (..., dimensions), are those of a slice."""
    columns = indices.unbind(-1)
    if indices.ndim - 1 != len(columns) or not indices.numel():
        return None
    region = []
    for dim, column in enumerate(columns):
        line = column.movedim(dim, 0).reshape(column.shape[dim], -1)[:, 0]
        expected = (line[0] + torch.arange(len(line))).reshape(-1, *(1,) * (len(columns) - 1 - dim))
        if line[0] < 0 or not torch.equal(column, expected.expand_as(column)):
            return None
        region.append((int(line[0]), len(line)))
    return region


def _assigned(
    net: NetworkBuilder, value: Value | Constant, new: Value | Constant, region: list[tuple[int, int]]
) -> Value | Constant:
    """Return ``value`` with the elements in ``region`` replaced by ``new``, by concatenations."""
    dim = next((dim for dim, place in enumerate(region) if place != (0, value.shape[dim])), None)
    if dim is None:
        return new
    start, length = region[dim]
    inside = net.call(torch.narrow, value, dim, start, length)
    end = start + length
    parts = [
        net.call(torch.narrow, value, dim, 0, start) if start else None,
        _assigned(net, inside, new, [*region[:dim], (0, length), *region[dim + 1 :]]),
        net.call(torch.narrow, value, dim, end, value.shape[dim] - end) if end < value.shape[dim] else None,
    ]
    joined = joined_with_batch(net, [part for part in parts if part is not None], dim)
    result: Value | Constant = net.call(torch.cat, joined, dim)
    return result


def _reversed(node: SourceNode, start: Size, end: Size, size: int) -> tuple[int, int]:
    """Return the bounds of a slice with a negative step in the reversed dimension."""
    if isinstance(start, Value) or isinstance(end, Value):
        raise node.unsupported("bounds that depend on the batch size with a negative step", "constant")
    first = min(start if start >= 0 else start + size, size - 1)
    last = end if end >= 0 else max(end + size, -1)
    return size - 1 - first, size - 1 - last


def _clamped(bound: int, size: int) -> int:
    return max(0, min(bound + size if bound < 0 else bound, size))


def _unflattened(net: NetworkBuilder, value: Value | Constant, axis: int, shape: tuple[int, ...]) -> Value | Constant:
    result: Value | Constant = net.call(torch.unflatten, value, axis, shape)
    return result


def _positive(net: NetworkBuilder, indices: Value | Constant, size: int) -> Value | Constant:
    """Return indices of which negative ones count from the end as indices from the start."""
    if isinstance(indices, Constant):
        return Constant(torch.remainder(indices.tensor.long(), size), indices.origin)
    result: Value | Constant = net.call(torch.remainder, net.call("long", indices), size)
    return result


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
