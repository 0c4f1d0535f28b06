"""Importers of operators that change the shape or the order of dimensions."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812

from edgeprune.onnx_import.batch_constants import one_sample
from edgeprune.onnx_import.batch_position import MixedBatchError, reshape_positions
from edgeprune.onnx_import.network_builder import NetworkBuilder
from edgeprune.onnx_import.operators.base import importer
from edgeprune.onnx_import.operators.trainable import trainable_sample
from edgeprune.onnx_import.source_graph import SourceNode
from edgeprune.onnx_import.traced_values import Constant, Size, Value


@importer("Reshape")
def reshape(node: SourceNode, net: NetworkBuilder) -> None:
    value = net.value(0)
    target = _without_zeros(net, value, net.sizes(1, "shape") or [], keep=not node.get("allowzero", 0))
    net.write(reshaped(net, value, target))


@importer("Flatten")
def flatten(node: SourceNode, net: NetworkBuilder) -> None:
    value = net.value(0)
    axis = node.get("axis", 1)
    axis = axis + len(value.shape) if axis < 0 else axis
    if axis == 1 and len(value.shape) > 1:
        net.write(net.call(torch.flatten, value, 1) if len(value.shape) > 2 else value)
        return
    net.write(reshaped(net, value, [prod(value.shape[:axis]), prod(value.shape[axis:])]))


@importer("Squeeze")
def squeeze(node: SourceNode, net: NetworkBuilder) -> None:
    value = net.value(0)
    rank = len(value.shape)
    axes = net.numbers(1, "axes")
    if axes is None:
        axes = [dim for dim, size in enumerate(value.shape) if size == 1]
    net.write(net.call(torch.squeeze, value, tuple(sorted(axis % rank for axis in axes))))


@importer("Unsqueeze")
def unsqueeze(node: SourceNode, net: NetworkBuilder) -> None:
    result = net.value(0)
    axes = net.numbers(1, "axes") or []
    rank = len(result.shape) + len(axes)
    for axis in sorted(axis % rank for axis in axes):
        result = net.call(torch.unsqueeze, result, axis)
    net.write(result)


@importer("Transpose")
def transpose(node: SourceNode, net: NetworkBuilder) -> None:
    value = net.value(0)
    order = list(node.get("perm") or range(len(value.shape))[::-1])
    net.write(net.call(torch.permute, value, order))


@importer("Expand")
def expand(node: SourceNode, net: NetworkBuilder) -> None:
    """Import Expand: sizes of the input and of the target are broadcast."""
    value, target = net.value(0), net.sizes(1) or []
    rank = max(len(value.shape), len(target))
    for dim, size in enumerate(target):  # a constant may already have the batch size of the file
        place = dim + len(value.shape) - len(target)
        value = one_sample(net, value, place) if isinstance(size, Value) and place >= 0 else value
    own = (1,) * (rank - len(value.shape)) + value.shape
    sizes: list[Size] = []
    for dim, size in enumerate([1] * (rank - len(target)) + target):
        is_wider = isinstance(size, Value) or (size != 1 and own[dim] == 1)
        sizes.append(size if is_wider and size != 1 else -1)
    for dim, size in enumerate(sizes):
        # A new dimension has no size that -1 could mean.
        sizes[dim] = 1 if size == -1 and dim < rank - len(value.shape) else size
    position = value.position if isinstance(value, Value) else None
    if position is not None:
        dim = position.dim + rank - len(value.shape)
        sizes[dim] = -1 if isinstance(sizes[dim], Value) or sizes[dim] == own[dim] else sizes[dim]
    if all(size == -1 for size in sizes):
        net.write(value)
    else:
        # A constant that is repeated for the batch size of the file is folded, and expanded where it is joined.
        is_final = not net.has_free_batch or any(isinstance(size, Value) for size in sizes)
        net.write(net.call("expand", trainable_sample(net, value) if is_final else value, sizes))


@importer("Tile")
def tile(node: SourceNode, net: NetworkBuilder) -> None:
    value, repeats = net.value(0), net.sizes(1) or []
    if all(count == 1 for count in repeats):
        net.write(value)
    elif len(repeats) == len(value.shape) and all(
        count == 1 or (size == 1 and isinstance(count, Value)) for size, count in zip(value.shape, repeats, strict=True)
    ):
        sizes = [count if isinstance(count, Value) else -1 for count in repeats]
        net.write(net.call("expand", trainable_sample(net, value), sizes))
    else:
        net.write(net.call("repeat", value, repeats))


@importer("DepthToSpace")
def depth_to_space(node: SourceNode, net: NetworkBuilder) -> None:
    """Import DepthToSpace. The order CRD is that of torch; DCR needs a permutation of the channels first."""
    value, block = net.value(0), int(node.get("blocksize"))
    if node.get("mode", "DCR") == "DCR" and block > 1:
        channels = value.shape[1] // block**2
        order = torch.arange(value.shape[1]).reshape(block**2, channels).t().reshape(-1)
        value = net.call(torch.index_select, value, 1, Constant(order, f"{node.output(0)}_order"))
    net.write(net.call(F.pixel_shuffle, value, block))


@importer("SpaceToDepth")
def space_to_depth(node: SourceNode, net: NetworkBuilder) -> None:
    """Import SpaceToDepth. torch orders the new channels by channel, then by place; ONNX the other way."""
    value, block = net.value(0), int(node.get("blocksize"))
    result = net.call(F.pixel_unshuffle, value, block)
    if block > 1 and value.shape[1] > 1:
        order = torch.arange(value.shape[1] * block**2).reshape(value.shape[1], block**2).t().reshape(-1)
        result = net.call(torch.index_select, result, 1, Constant(order, f"{node.output(0)}_order"))
    net.write(result)


def reshaped(net: NetworkBuilder, value: Value | Constant, target: Sequence[Size]) -> Any:
    """Return ``value`` with another shape. A batch size in the target becomes that of the network."""
    position = value.position if isinstance(value, Value) else None
    if position is None or any(isinstance(size, Value) for size in target):
        return net.call("reshape", value, list(target))
    total = prod(value.shape)
    stated = prod(size for size in target if isinstance(size, int) and size != -1)
    complete = [total // max(stated, 1) if size == -1 else int(size) for size in target if isinstance(size, int)]
    if len(complete) == 2 and len(value.shape) > 2 and position.dim == 0 and complete[0] == value.shape[0]:
        return net.call(torch.flatten, value, 1)
    candidates = reshape_positions(position, value.shape, complete, net.batch_size)
    if -1 in target and (target.index(-1) in candidates[:1] or not candidates):
        return net.call("reshape", value, list(target))
    problem: MixedBatchError | None = None
    for dim in candidates:
        sizes: list[Size] = list(complete)
        sizes[dim] = net.batch if complete[dim] == net.batch_size else -1
        try:
            return net.call("reshape", value, sizes)
        except MixedBatchError as error:
            problem = error
    raise problem or MixedBatchError(f"{net.node.where}: its target {complete} has no place for another batch size")


def _without_zeros(net: NetworkBuilder, value: Value | Constant, target: Sequence[Size], *, keep: bool) -> list[Size]:
    """Return the target of a reshape, in which 0 keeps the size of the input."""
    return [
        net.size(value, dim) if keep and size == 0 and not isinstance(size, Value) else size
        for dim, size in enumerate(target)
    ]
