"""Importers of convolutions and transposed convolutions in one to three dimensions."""

from __future__ import annotations

from typing import Any

import torch.nn.functional as F  # noqa: N812
from torch import nn

from edgeprune.onnx_import.network_builder import NetworkBuilder
from edgeprune.onnx_import.operators.base import importer
from edgeprune.onnx_import.source_graph import SourceNode
from edgeprune.onnx_import.traced_values import Constant, Value
from edgeprune.onnx_import.window_padding import Window, padded, window_of

_CONVOLUTIONS: dict[int, Any] = {1: nn.Conv1d, 2: nn.Conv2d, 3: nn.Conv3d}
_TRANSPOSED: dict[int, Any] = {1: nn.ConvTranspose1d, 2: nn.ConvTranspose2d, 3: nn.ConvTranspose3d}
_FUNCTIONS = {1: F.conv1d, 2: F.conv2d, 3: F.conv3d}
_TRANSPOSED_FUNCTIONS = {1: F.conv_transpose1d, 2: F.conv_transpose2d, 3: F.conv_transpose3d}


@importer("Conv")
def convolution(node: SourceNode, net: NetworkBuilder) -> None:
    value, weight = net.value(0), net.value(1)
    rank = _rank(node, weight)
    window = window_of(node, weight.shape[2:], value.shape[2:])
    padding = window.begin
    if not window.is_symmetric:
        value, padding = padded(net, value, window.begin, window.end), (0,) * rank
    groups = node.get("group", 1)
    if isinstance(weight, Value) or isinstance(value, Constant) or not _has_constant_bias(net):
        bias = net.value(2) if node.input(2) else None
        net.write(net.call(_FUNCTIONS[rank], value, weight, bias, window.strides, padding, window.dilations, groups))
        return
    options = (window.kernel, window.strides, padding, window.dilations, groups)
    module = _CONVOLUTIONS[rank](weight.shape[1] * groups, weight.shape[0], *options, bias=False, device="meta")
    _write_layer(net, module, value, weight, options)


@importer("ConvTranspose")
def transposed_convolution(node: SourceNode, net: NetworkBuilder) -> None:
    value, weight = net.value(0), net.value(1)
    rank, groups = _rank(node, weight), node.get("group", 1)
    window, extra = _transposed_window(node, weight.shape[2:], value.shape[2:])
    # torch has one number for both ends, and adds the extra elements at the end: the rest is cropped.
    fits = window.is_symmetric and all(
        more < max(step, gap) for more, step, gap in zip(extra, window.strides, window.dilations, strict=True)
    )
    padding = window.begin if fits else (0,) * rank
    added = extra if fits else (0,) * rank
    if isinstance(weight, Value) or isinstance(value, Constant) or not _has_constant_bias(net):
        bias = net.value(2) if node.input(2) else None
        result = net.call(
            _TRANSPOSED_FUNCTIONS[rank], value, weight, bias, window.strides, padding, added, groups, window.dilations
        )
        net.write(result if fits else _cropped(net, result, window, extra))
        return
    module = _TRANSPOSED[rank](
        weight.shape[0],
        weight.shape[1] * groups,
        window.kernel,
        window.strides,
        padding,
        added,
        groups,
        bias=False,
        dilation=window.dilations,
        device="meta",
    )
    _write_layer(net, module, value, weight, (window, added, groups))
    if not fits:
        result = net.operand(node.outputs[0])
        assert isinstance(result, Value)
        net.write(_cropped(net, result, window, extra))


def _write_layer(net: NetworkBuilder, module: Any, value: Value, weight: Constant, options: tuple[Any, ...]) -> None:
    bias = net.constant(2)
    module.weight = net.parameter(weight)
    module.bias = None if bias is None else net.parameter(bias)
    net.write(net.layer(module, [weight, bias], value, key=options))


def _has_constant_bias(net: NetworkBuilder) -> bool:
    return not net.node.input(2) or net.constant(2) is not None


def _rank(node: SourceNode, weight: Value | Constant) -> int:
    rank = len(weight.shape) - 2
    if rank not in _CONVOLUTIONS:
        raise node.unsupported(f"{rank} spatial dimensions", "1, 2 or 3")
    return rank


def _transposed_window(
    node: SourceNode, kernel: tuple[int, ...], sizes: tuple[int, ...]
) -> tuple[Window, tuple[int, ...]]:
    """Return the window, whose padding is cropped from the full result, and the number of elements that are added."""
    window = window_of(node, kernel, sizes)
    extra = tuple(node.get("output_padding") or (0,) * len(kernel))
    full = [
        (size - 1) * step + (taps - 1) * gap + 1 + more
        for size, step, taps, gap, more in zip(sizes, window.strides, kernel, window.dilations, extra, strict=True)
    ]
    automatic = node.get("auto_pad", "NOTSET")
    if node.get("output_shape"):
        outs = list(node.get("output_shape"))[-len(kernel) :]
    elif automatic in ("SAME_UPPER", "SAME_LOWER"):
        outs = [size * step for size, step in zip(sizes, window.strides, strict=True)]
    else:
        return window, extra
    totals = [size - out for size, out in zip(full, outs, strict=True)]
    smaller, larger = tuple(total // 2 for total in totals), tuple(total - total // 2 for total in totals)
    begin, end = (smaller, larger) if automatic == "SAME_UPPER" else (larger, smaller)
    return Window(window.kernel, window.strides, window.dilations, begin, end), extra


def _cropped(net: NetworkBuilder, value: Value | Constant, window: Window, extra: tuple[int, ...]) -> Value | Constant:
    """Return a full result without its padding. Elements that were added beyond the last tap are the bias."""
    bias = net.value(2) if net.node.input(2) else None
    end = [more - after for more, after in zip(extra, window.end, strict=True)]
    if any(count > 0 for count in end) and bias is not None:
        raise net.node.unsupported("output_padding with asymmetric pads and a bias", "without one of them")
    return padded(net, value, [-before for before in window.begin], end)
