"""Lowering of Resize. It compares the sampling positions of ONNX with those of TFLite's modes in each dimension.

Other ways to interpolate, such as cubic, are products with constant weights.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from edgeprune.tflite.conversion.layout_views import LayoutView
from edgeprune.tflite.conversion.lowering import Lowering
from edgeprune.tflite.conversion.nhwc import stored_image, write_image
from edgeprune.tflite.conversion.onnx_graph import Node
from edgeprune.tflite.conversion.ops.base import lowering
from edgeprune.tflite.conversion.ops.matmul_ops import matrix_product
from edgeprune.tflite.conversion.ops.view_operators import constant, gathered
from edgeprune.tflite.conversion.ops.volumes import RANK, along_depth, planes, volume
from edgeprune.tflite.conversion.resize_weights import resize_weights
from edgeprune.tflite.conversion.tflite_graph import Array, Tensor
from edgeprune.tflite.tflite_schema import schema


def _positions(name: str, size: int, count: int, scale: float) -> Array:
    """Return the position in the input of each of ``count`` samples."""
    out = np.arange(count)
    if name == "asymmetric":
        return out / scale
    if name == "align_corners":
        return out * (size - 1) / max(count - 1, 1)
    if name == "pytorch_half_pixel" and count == 1:
        return np.zeros(1)
    return (out + 0.5) / scale - 0.5


_ROUNDINGS: dict[str, Callable[[Array], Array]] = {
    "round_prefer_floor": lambda x: np.ceil(x - 0.5),
    "round_prefer_ceil": lambda x: np.floor(x + 0.5),
    "floor": np.floor,
    "ceil": np.ceil,
}
_MODES = ("half_pixel", "pytorch_half_pixel", "asymmetric", "align_corners")
_TFLITE_MODES = {  # name of ONNX's positions, rounding to the nearest, align_corners, half_pixel_centers
    "asymmetric": ("floor", False, False),
    "half_pixel": ("round_prefer_ceil", False, True),
    "align_corners": ("round_prefer_ceil", True, False),
}


@dataclass(frozen=True)
class _Axis:
    """Spatial dimension.

    Attributes:
        size: Size of the input.
        positions: Position in the input of each element of the output.
        scale: Scale that the node states, or else the quotient of the sizes.
    """

    size: int
    positions: Array
    scale: float

    @property
    def out(self) -> int:
        return len(self.positions)

    @property
    def clipped(self) -> Array:
        return np.clip(self.positions, 0, self.size - 1)


def _unscaled(size: int) -> _Axis:
    return _Axis(size, np.arange(size, dtype=float), 1.0)


@lowering("Resize", layout="channels_last")
def resize(node: Node, low: Lowering) -> None:
    name = node.get("coordinate_transformation_mode", "half_pixel")
    if name not in _MODES:
        raise node.unsupported(f"coordinate_transformation_mode '{name}'", f"one of {', '.join(_MODES)}")
    view = low.view(node.inputs[0])
    outs = low.source.shapes[node.outputs[0]]
    if outs[:2] != view.shape[:2]:
        raise node.unsupported("another batch or number of channels in its output", "over spatial dimensions alone")
    axes = [
        _Axis(size, _positions(name, size, out, scale), scale)
        for size, out, scale in zip(view.shape[2:], outs[2:], _scales(node, low, view.shape, outs), strict=True)
    ]
    if view.rank < RANK:
        x = stored_image(node, low, node.inputs[0])
        write_image(node, low, _resized(node, low, x, [_unscaled(1), *axes][-2:]))
        return
    if outs[3:] != view.shape[3:]:
        y = _resized(node, low, planes(low, view), axes[1:])
        view = volume(low, y, view.shape[0], (view.shape[2], *outs[3:]))
    if outs[2] != view.shape[2]:
        y = _resized(node, low, along_depth(low, view), [axes[0], _unscaled(outs[3] * outs[4])])
        view = volume(low, y, view.shape[0], outs[2:])
    low.write(node.outputs[0], view)


def _resized(node: Node, low: Lowering, x: Tensor, axes: Sequence[_Axis]) -> Tensor:
    """Resize NHWC ``x`` along height and width."""
    if node.get("mode", "nearest") == "nearest":
        return _nearest(node, low, x, axes)
    y = None
    if node.get("mode") == "linear" and not node.get("antialias", 0):
        y = _linear(low, x, axes)
    return _weighted(node, low, x, axes) if y is None else y


def _scales(node: Node, low: Lowering, shape: Sequence[int], output_shape: Sequence[int]) -> list[float]:
    """Return the scales of spatial dimensions, from the input ``scales`` or from the sizes."""
    stated_scales = low.array(node.input(2)) if node.input(2) else None
    if stated_scales is None or stated_scales.size == 0:
        return [out / size for size, out in zip(shape[2:], output_shape[2:], strict=True)]
    scales = [1.0] * len(shape)
    for axis, scale in zip(node.get("axes", range(len(shape))), stated_scales, strict=True):
        scales[axis] = float(scale)
    return scales[2:]


def _nearest(node: Node, low: Lowering, x: Tensor, axes: Sequence[_Axis]) -> Tensor:
    """Resize with the mode of TFLite that selects the same elements, or else gather them."""
    rounding = _ROUNDINGS[node.get("nearest_mode", "round_prefer_floor")]
    onnx_indices = [np.clip(rounding(axis.positions), 0, axis.size - 1) for axis in axes]
    for name, (nearest, corners, half) in _TFLITE_MODES.items():
        tflite_indices = [
            np.clip(_ROUNDINGS[nearest](_positions(name, axis.size, axis.out, axis.out / axis.size)), 0, axis.size - 1)
            for axis in axes
        ]
        if all(np.array_equal(expected, actual) for expected, actual in zip(onnx_indices, tflite_indices, strict=True)):
            options = schema.ResizeNearestNeighborOptionsT(alignCorners=corners, halfPixelCenters=half)
            return _by_mode(low, "RESIZE_NEAREST_NEIGHBOR", x, axes, options)
    result = LayoutView.of(x)
    for dim, indices in enumerate(onnx_indices, start=1):
        if not np.array_equal(indices, np.arange(x.shape[dim])):
            result = gathered(low, result, dim, indices)
    return result.tensor


def _linear(low: Lowering, x: Tensor, axes: Sequence[_Axis]) -> Tensor | None:
    """Resize with the mode of TFLite that has the same positions; None if there is none."""
    for name, (_, corners, half) in _TFLITE_MODES.items():
        tflite_axes = [
            _Axis(axis.size, _positions(name, axis.size, axis.out, axis.out / axis.size), axis.scale) for axis in axes
        ]
        if all(
            np.allclose(axis.clipped, other.clipped, atol=1e-6) for axis, other in zip(axes, tflite_axes, strict=True)
        ):
            options = schema.ResizeBilinearOptionsT(alignCorners=corners, halfPixelCenters=half)
            return _by_mode(low, "RESIZE_BILINEAR", x, axes, options)
    return None


def _by_mode(low: Lowering, code: str, x: Tensor, axes: Sequence[_Axis], options: object) -> Tensor:
    size = low.constant("size", np.array([axis.out for axis in axes], np.int32))
    return low.emit(code, [x, size], (x.shape[0], *(axis.out for axis in axes), x.shape[3]), options)


def _weighted(node: Node, low: Lowering, x: Tensor, axes: Sequence[_Axis]) -> Tensor:
    """Multiply height and then width by constant weights."""
    batch, _, wide, channels = x.shape
    shapes = [(batch, x.shape[1], wide * channels), (batch * axes[0].out, wide, channels)]
    result = LayoutView.of(x)
    for axis, shape in zip(axes, shapes, strict=True):
        weights = resize_weights(node, axis.size, axis.out, axis.scale, low.source.opset)
        if not np.array_equal(weights, np.eye(axis.size)):
            result = matrix_product(low, constant(low, "weights", weights[None]), low.reshaped(result, shape))
    whole = low.reshaped(result, (batch, *(axis.out for axis in axes), channels))
    return low.arranged(whole, range(4))
