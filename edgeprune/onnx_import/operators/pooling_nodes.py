"""Importers of pooling operators in one to three dimensions."""

from __future__ import annotations

from collections.abc import Sequence
from math import inf, prod

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from edgeprune.onnx_import.network_builder import NetworkBuilder
from edgeprune.onnx_import.operators.base import importer
from edgeprune.onnx_import.source_graph import SourceNode
from edgeprune.onnx_import.traced_values import Constant, Value
from edgeprune.onnx_import.window_padding import Window, ceil_padding, padded, window_of

_MAXIMA = {1: F.max_pool1d, 2: F.max_pool2d, 3: F.max_pool3d}
_MEANS = {1: F.avg_pool1d, 2: F.avg_pool2d, 3: F.avg_pool3d}
_GLOBAL_MAXIMA = {1: F.adaptive_max_pool1d, 2: F.adaptive_max_pool2d, 3: F.adaptive_max_pool3d}
_GLOBAL_MEANS = {1: F.adaptive_avg_pool1d, 2: F.adaptive_avg_pool2d, 3: F.adaptive_avg_pool3d}


@importer("MaxPool")
def max_pool(node: SourceNode, net: NetworkBuilder) -> None:
    if net.is_read(node.output(1)):
        raise node.unsupported("indices that other nodes read", "used without its second output")
    value = net.value(0)
    window = _window(node, value)
    if _fits(window):
        padding = window.begin
    else:
        value, padding = padded(net, value, window.begin, window.end, -inf), (0,) * window.rank
    pool = _MAXIMA[window.rank]
    net.write(net.call(pool, value, window.kernel, window.strides, padding, window.dilations))


@importer("AveragePool")
def average_pool(node: SourceNode, net: NetworkBuilder) -> None:
    """Import AveragePool. Padding that torch does not have is added before, and the number of elements corrected."""
    value = net.value(0)
    window = _window(node, value)
    if any(gap > 1 for gap in window.dilations):
        raise node.unsupported("dilations", "without dilations")
    pool, sizes = _MEANS[window.rank], value.shape[2:]
    stated = window_of(node, node.get("kernel_shape"), sizes)
    counts_padding = bool(node.get("count_include_pad", 0))
    if _fits(window) and (stated == window or not counts_padding):
        options = {"count_include_pad": counts_padding} if window.is_padded else {}
        net.write(net.call(pool, value, window.kernel, window.strides, window.begin, **options))
        return
    result = net.call(pool, padded(net, value, window.begin, window.end), window.kernel, window.strides)
    # torch divides by all elements of a window, ONNX by those of the input, or of the input and its padding.
    counted = torch.ones(1, 1, *sizes)
    if counts_padding:
        counted = _padded(counted, stated.begin, stated.end, 1.0)
    missing = [one - other for one, other in zip(window.end, stated.end, strict=True)]
    begin, end = ((0,) * window.rank, missing) if counts_padding else (window.begin, window.end)
    counted = _padded(counted, begin, end, 0.0)
    fractions = pool(counted, window.kernel, window.strides)
    if bool((fractions == 1).all()):
        net.write(result)
        return
    factor = Constant((1 / fractions.clamp(min=1 / (2 * prod(window.kernel)))), f"{node.output(0)}_divisor")
    net.write(net.call(torch.mul, result, factor))


@importer("LpPool")
def lp_pool(node: SourceNode, net: NetworkBuilder) -> None:
    """Import LpPool, the root of the sum of powers in each window."""
    value, order = net.value(0), node.get("p", 2)
    window = _window(node, value)
    if any(gap > 1 for gap in window.dilations):
        raise node.unsupported("dilations", "without dilations")
    powers = net.call(torch.pow, net.call(torch.abs, value), order)
    if window.is_padded:
        powers = padded(net, powers, window.begin, window.end)
    sums = net.call(
        torch.mul, net.call(_MEANS[window.rank], powers, window.kernel, window.strides), prod(window.kernel)
    )
    net.write(net.call(torch.pow, sums, 1 / order))


@importer("GlobalAveragePool")
def global_average_pool(node: SourceNode, net: NetworkBuilder) -> None:
    value = net.value(0)
    net.write(net.call(_GLOBAL_MEANS[len(value.shape) - 2], value, 1))


@importer("GlobalMaxPool")
def global_max_pool(node: SourceNode, net: NetworkBuilder) -> None:
    value = net.value(0)
    net.write(net.call(_GLOBAL_MAXIMA[len(value.shape) - 2], value, 1))


@importer("GlobalLpPool")
def global_lp_pool(node: SourceNode, net: NetworkBuilder) -> None:
    value = net.value(0)
    dims = list(range(2, len(value.shape)))
    net.write(net.call(torch.linalg.vector_norm, value, float(node.get("p", 2)), dims, keepdim=True))


def _window(node: SourceNode, value: Value | Constant) -> Window:
    """Return the windows, with the padding at the end that ``ceil_mode`` needs."""
    rank = len(value.shape) - 2
    if rank not in _MAXIMA:
        raise node.unsupported(f"{rank} spatial dimensions", "1, 2 or 3")
    window = window_of(node, node.get("kernel_shape"), value.shape[2:])
    if not node.get("ceil_mode", 0):
        return window
    end = ceil_padding(window, value.shape[2:])
    return Window(window.kernel, window.strides, window.dilations, window.begin, end)


def _fits(window: Window) -> bool:
    """Return whether torch has the padding: equal at both ends, and at most half of the taps."""
    return window.is_symmetric and all(pad <= taps // 2 for pad, taps in zip(window.begin, window.kernel, strict=True))


def _padded(tensor: Tensor, begin: Sequence[int], end: Sequence[int], number: float) -> Tensor:
    pads = [count for pair in zip(reversed(begin), reversed(end), strict=True) for count in pair]
    return F.pad(tensor, pads, value=number)
