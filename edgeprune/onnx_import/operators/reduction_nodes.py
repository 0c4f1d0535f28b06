"""Importers of reductions, and of operators that order or accumulate the elements of a dimension."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from edgeprune.onnx_import.network_builder import NetworkBuilder
from edgeprune.onnx_import.operators.base import importer
from edgeprune.onnx_import.source_graph import SourceNode

_REDUCTIONS: dict[str, Callable[..., Any]] = {
    "ReduceLogSumExp": torch.logsumexp,
    "ReduceMax": torch.amax,
    "ReduceMean": torch.mean,
    "ReduceMin": torch.amin,
    "ReduceSum": torch.sum,
}
_BEFORE: dict[str, Callable[..., Any]] = {
    "ReduceL1": torch.abs,
    "ReduceL2": torch.square,
    "ReduceSumSquare": torch.square,
}
_AFTER: dict[str, Callable[..., Any]] = {"ReduceL2": torch.sqrt, "ReduceLogSum": torch.log}
"""Functions of the elements, or of the result, of reductions that are sums."""


@importer(*_REDUCTIONS, *_BEFORE, "ReduceLogSum", "ReduceProd")
def reduction(node: SourceNode, net: NetworkBuilder) -> None:
    value = net.value(0)
    rank = len(value.shape)
    axes = net.numbers(1, "axes")
    if not axes and node.get("noop_with_empty_axes", 0):
        net.write(value)
        return
    dims = sorted({axis % rank for axis in axes} if axes else range(rank))
    keepdim = bool(node.get("keepdims", 1))
    if node.op == "ReduceProd":
        for dim in reversed(dims):
            value = net.call(torch.prod, value, dim, keepdim=keepdim)
        net.write(value)
        return
    if not dims:
        net.write(value)
        return
    if node.op in _BEFORE:
        value = net.call(_BEFORE[node.op], value)
    result = net.call(_REDUCTIONS.get(node.op, torch.sum), value, dims, keepdim=keepdim)
    net.write(net.call(_AFTER[node.op], result) if node.op in _AFTER else result)


@importer("ArgMax", "ArgMin")
def index_of_extremum(node: SourceNode, net: NetworkBuilder) -> None:
    value = net.value(0)
    axis, keepdim = node.get("axis", 0) % len(value.shape), bool(node.get("keepdims", 1))
    function = torch.argmax if node.op == "ArgMax" else torch.argmin
    if node.get("select_last_index", 0):
        indices = net.call(function, net.call(torch.flip, value, [axis]), axis, keepdim=keepdim)
        net.write(net.call(torch.rsub, indices, value.shape[axis] - 1))
        return
    net.write(net.call(function, value, axis, keepdim=keepdim))


@importer("CumSum")
def cumulative_sum(node: SourceNode, net: NetworkBuilder) -> None:
    value = net.value(0)
    axis = (net.numbers(1) or [0])[0] % len(value.shape)
    if node.get("reverse", 0):
        value = net.call(torch.flip, value, [axis])
    result = net.call(torch.cumsum, value, axis)
    if node.get("exclusive", 0):
        result = net.call(torch.sub, result, value)
    net.write(net.call(torch.flip, result, [axis]) if node.get("reverse", 0) else result)


@importer("TopK")
def largest(node: SourceNode, net: NetworkBuilder) -> None:
    value = net.value(0)
    [count] = net.numbers(1, "k") or [1]
    axis = node.get("axis", -1) % len(value.shape)
    is_sorted = bool(node.get("sorted", 1))
    result = net.call(torch.topk, value, count, axis, bool(node.get("largest", 1)), is_sorted)
    for index in range(2):
        net.write(result[index] if isinstance(result, list) else net.item(result, index), index)
