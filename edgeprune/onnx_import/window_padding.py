"""Padding of convolution and pooling windows: explicit, automatic, and asymmetric."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch.nn.functional as F  # noqa: N812

from edgeprune.onnx_import.network_builder import NetworkBuilder
from edgeprune.onnx_import.source_graph import SourceNode
from edgeprune.onnx_import.traced_values import Constant, Value


@dataclass(frozen=True)
class Window:
    """Geometry of the windows of a convolution or pooling operator, one number for each spatial dimension.

    Attributes:
        kernel: Number of taps.
        strides: Distance between windows.
        dilations: Distance between taps.
        begin: Padding before the first element.
        end: Padding after the last element.
    """

    kernel: tuple[int, ...]
    strides: tuple[int, ...]
    dilations: tuple[int, ...]
    begin: tuple[int, ...]
    end: tuple[int, ...]

    @property
    def rank(self) -> int:
        return len(self.kernel)

    @property
    def is_symmetric(self) -> bool:
        return self.begin == self.end

    @property
    def is_padded(self) -> bool:
        return any(self.begin) or any(self.end)


def window_of(node: SourceNode, kernel: Sequence[int], sizes: Sequence[int]) -> Window:
    """Return the geometry that the attributes of ``node`` define.

    Args:
        node: Node of a convolution or pooling operator.
        kernel: Number of taps in each spatial dimension.
        sizes: Spatial sizes of the input.
    """
    rank = len(kernel)
    strides = tuple(node.get("strides") or (1,) * rank)
    dilations = tuple(node.get("dilations") or (1,) * rank)
    pads = tuple(node.get("pads") or (0,) * 2 * rank)
    begin, end = pads[:rank], pads[rank:]
    automatic = node.get("auto_pad", "NOTSET")
    if automatic in ("SAME_UPPER", "SAME_LOWER"):
        extents = [(taps - 1) * gap + 1 for taps, gap in zip(kernel, dilations, strict=True)]
        totals = [
            max((-(-size // step) - 1) * step + extent - size, 0)
            for size, step, extent in zip(sizes, strides, extents, strict=True)
        ]
        smaller, larger = tuple(total // 2 for total in totals), tuple(total - total // 2 for total in totals)
        begin, end = (smaller, larger) if automatic == "SAME_UPPER" else (larger, smaller)
    elif automatic == "VALID":
        begin = end = (0,) * rank
    return Window(tuple(kernel), strides, dilations, begin, end)


def ceil_padding(window: Window, sizes: Sequence[int]) -> tuple[int, ...]:
    """Return the padding at the end with which rounding down gives the windows that rounding up gives.

    A window that would start after the last element and its leading padding does not count.
    """
    end = []
    for size, taps, step, gap, before, after in zip(
        sizes, window.kernel, window.strides, window.dilations, window.begin, window.end, strict=True
    ):
        extent = (taps - 1) * gap + 1
        steps = -(-max(size + before + after - extent, 0) // step)
        if steps * step >= size + before:
            steps -= 1
        end.append(max(steps * step + extent - size - before, after))
    return tuple(end)


def padded(
    net: NetworkBuilder, value: Value | Constant, begin: Sequence[int], end: Sequence[int], number: float = 0.0
) -> Value | Constant:
    """Return ``value`` with its spatial dimensions padded; negative numbers crop."""
    pads = [count for pair in zip(reversed(begin), reversed(end), strict=True) for count in pair]
    result: Value | Constant = net.call(F.pad, value, pads, "constant", number)
    return result
