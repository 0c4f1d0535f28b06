"""Conversion of ONNX images (N, C, H, W) and signals (N, C, L) to the NHWC tensors of TFLite's spatial operators."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from edgeprune.tflite.conversion.layout_views import LayoutView
from edgeprune.tflite.conversion.lowering import Lowering
from edgeprune.tflite.conversion.onnx_graph import Node
from edgeprune.tflite.conversion.tflite_graph import Tensor
from edgeprune.tflite.conversion.window_geometry import WindowAxis, axes_of

NHWC = (0, 2, 3, 1)
_WHOLE = WindowAxis(size=1, out=1, extent=1, stride=1, before=0, after=0)


def stored_image(node: Node, low: Lowering, name: str) -> Tensor:
    """Return the value ``name`` as NHWC. A signal has height 1."""
    return stored(node, low, low.view(name))


def stored(node: Node, low: Lowering, view: LayoutView) -> Tensor:
    """Return a view of an image or a signal as NHWC. A signal has height 1."""
    if view.rank not in (3, 4):
        raise node.unsupported(f"an input of shape {view.shape}", "a signal (N, C, L) or an image (N, C, H, W)")
    return low.arranged(low.reshaped(view, as_image(view.shape)), NHWC)


def write_image(node: Node, low: Lowering, tensor: Tensor) -> None:
    """Set the NHWC ``tensor`` as the output of ``node``."""
    low.write(node.outputs[0], low.reshaped(LayoutView.of(tensor, NHWC), low.source.shapes[node.outputs[0]]))


def as_image(shape: Sequence[int]) -> tuple[int, ...]:
    """Add a height of 1 to a shape of rank 3."""
    return tuple(shape) if len(shape) == 4 else (*shape[:2], 1, *shape[2:])


def stored_shape(node: Node, low: Lowering) -> tuple[int, ...]:
    """Return the NHWC shape of the output."""
    shape = as_image(low.source.shapes[node.outputs[0]])
    return tuple(shape[dim] for dim in NHWC)


def spatial(node: Node, name: str, default: Sequence[int]) -> list[int]:
    """Return a spatial attribute for height and width. It is 1 for the height of a signal."""
    values = list(node.get(name, default))
    return values if len(values) == 2 else [1, *values]


def window_axes(node: Node, low: Lowering, kernel: Sequence[int]) -> tuple[WindowAxis, WindowAxis]:
    """Return the windows along height and width. ``kernel`` has the rank of the node's attributes."""
    sizes, outs = (low.source.shapes[name][2:] for name in (node.inputs[0], node.outputs[0]))
    axes = axes_of(node, sizes, outs, kernel)
    return (axes[0], axes[1]) if len(axes) == 2 else (_WHOLE, axes[0])


def pads_of(low: Lowering, axes: Sequence[WindowAxis]) -> Tensor:
    """Return the padding of ``axes`` in the format of TFLite's pad operators."""
    return low.constant("pads", np.array([(0, 0), *((axis.before, axis.after) for axis in axes), (0, 0)], np.int32))


def padded_shape(tensor: Tensor, axes: Sequence[WindowAxis]) -> tuple[int, ...]:
    batch, *sizes, channels = tensor.shape
    return (batch, *(size + axis.before + axis.after for size, axis in zip(sizes, axes, strict=True)), channels)
