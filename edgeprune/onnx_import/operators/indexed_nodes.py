"""Importers of operators that read or write elements at given indices."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from math import prod

import torch
from torch import Tensor, nn

from edgeprune.onnx_import.batch_constants import joined_with_batch, one_sample
from edgeprune.onnx_import.network_builder import NetworkBuilder
from edgeprune.onnx_import.operators.base import importer
from edgeprune.onnx_import.operators.trainable import trainable
from edgeprune.onnx_import.source_graph import SourceNode
from edgeprune.onnx_import.traced_values import Constant, Sizes, Value

_REDUCTIONS_OF_TORCH = {"none": "", "add": "sum", "mul": "prod", "max": "amax", "min": "amin"}


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
    """Import GatherND. With batch dimensions, the rows of each sample are gathered from its flattened elements."""
    value, indices, batch = net.value(0), net.value(1), node.get("batch_dims", 0)
    if not batch:
        net.write(net.call(operator.getitem, value, tuple(_columns(net, indices))))
        return
    depth = batch + indices.shape[-1]
    outer, width = value.shape[:depth], value.shape[depth:]
    rows = _rows(net, indices, outer[batch:])
    value = net.call(torch.flatten, value, batch, depth - 1)
    places = rows.shape[batch:]
    # From here, one dimension of samples, one of places, and one of the elements of a row.
    value = net.call("reshape", net.call(torch.flatten, value, 0, batch - 1), [-1, prod(outer[batch:]), prod(width)])
    rows = net.call("reshape", net.call(torch.flatten, rows, 0, batch - 1), [-1, prod(places), 1])
    if isinstance(rows, Constant):
        rows = one_sample(net, rows, 0)
    result = net.call(torch.take_along_dim, value, rows, 1)
    net.write(net.call("reshape", result, [-1, *outer[1:batch], *places, *width]))


@importer("ScatterElements")
def scatter_elements(node: SourceNode, net: NetworkBuilder) -> None:
    value, new, reduction = net.value(0), net.value(2), _reduction(node)
    axis = node.get("axis", 0) % len(value.shape)
    indices = _positive(net, net.value(1), value.shape[axis])
    if reduction:
        net.write(net.call(torch.scatter_reduce, value, axis, indices, new, reduction))
    else:
        net.write(net.call(torch.scatter, value, axis, indices, new))


@importer("ScatterND")
def scatter_places(node: SourceNode, net: NetworkBuilder) -> None:
    """Import ScatterND. Constant indices of a slice, ``x[:, 2:4] = y``, become a concatenation."""
    value, indices, new, reduction = net.value(0), net.value(1), net.value(2), _reduction(node)
    region = _region(indices.tensor) if isinstance(indices, Constant) and not reduction else None
    if region is not None:
        net.write(_assigned(net, value, new, region))
    elif reduction in ("", "sum"):
        columns = tuple(_columns(net, indices))
        net.write(net.call(torch.index_put, value, columns, new, accumulate=reduction == "sum"))
    else:
        outer = value.shape[: indices.shape[-1]]
        flat = net.call(torch.flatten, value, 0, len(outer) - 1)
        new = net.call("reshape", new, [-1, *value.shape[len(outer) :]])
        rows = net.call("reshape", _rows(net, indices, outer), [-1, *(1,) * (len(new.shape) - 1)])
        rows = net.call("expand_as", rows, new)
        result = net.call(torch.scatter_reduce, flat, 0, rows, new, reduction)
        net.write(net.call(torch.unflatten, result, 0, outer))


@importer("OneHot")
def one_hot(node: SourceNode, net: NetworkBuilder) -> None:
    """Import OneHot as a comparison with the numbers of all classes. Indices outside of them select no class."""
    indices, values = net.value(0), net.needed_constant(2, "a pair of values").tensor
    depth = int(net.needed_constant(1, "a depth").tensor.reshape(-1)[0])
    axis = node.get("axis", -1) % (len(indices.shape) + 1)
    spread = net.call(torch.unsqueeze, indices, axis)
    classes = torch.arange(depth, dtype=indices.dtype).reshape(-1, *(1,) * (len(indices.shape) - axis))
    origin = f"{node.output(0)}_classes"
    hot = net.call(torch.eq, spread, Constant(classes, origin))
    from_end = net.call(torch.eq, spread, Constant(classes - depth, f"{origin}_from_end"))
    off, on = values.tolist()
    result = net.call(torch.where, net.call(torch.logical_or, hot, from_end), on, off)
    net.write(result if result.dtype == values.dtype else net.call("to", result, values.dtype))


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


def _columns(net: NetworkBuilder, indices: Value | Constant) -> list[Value | Constant]:
    """Return the indices along each dimension of a list of indices (..., dimensions)."""
    if isinstance(indices, Constant):
        return [Constant(column.contiguous().long(), indices.origin) for column in indices.tensor.unbind(-1)]
    return [net.call("long", net.call(torch.select, indices, -1, dim)) for dim in range(indices.shape[-1])]


def _rows(net: NetworkBuilder, indices: Value | Constant, sizes: Sequence[int]) -> Value | Constant:
    """Return a list of indices (..., dimensions) as indices in the flattened dimensions, which have ``sizes``."""
    columns = [_positive(net, column, size) for column, size in zip(_columns(net, indices), sizes, strict=True)]
    rows = columns[0]
    for column, size in zip(columns[1:], sizes[1:], strict=True):
        rows = net.call(torch.add, net.call(torch.mul, rows, size), column)
    return rows


def _reduction(node: SourceNode) -> str:
    """Return the name in torch of how values are combined with those that they are scattered to; empty for none."""
    name = node.get("reduction", "none")
    if name not in _REDUCTIONS_OF_TORCH:
        raise node.unsupported(f"reduction = {name}", ", ".join(_REDUCTIONS_OF_TORCH))
    return _REDUCTIONS_OF_TORCH[name]


def _unflattened(net: NetworkBuilder, value: Value | Constant, axis: int, shape: tuple[int, ...]) -> Value | Constant:
    result: Value | Constant = net.call(torch.unflatten, value, axis, shape)
    return result


def _positive(net: NetworkBuilder, indices: Value | Constant, size: int) -> Value | Constant:
    """Return indices of which negative ones count from the end as indices from the start."""
    if isinstance(indices, Constant):
        return Constant(torch.remainder(indices.tensor.long(), size), indices.origin)
    result: Value | Constant = net.call(torch.remainder, net.call("long", indices), size)
    return result
