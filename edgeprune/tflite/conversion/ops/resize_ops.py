"""Lowering of Resize. It compares the sampling positions of ONNX with those of TFLite's modes in each dimension."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from edgeprune.tflite.conversion.lowering import Lowering
from edgeprune.tflite.conversion.nhwc import stored_image, write_image
from edgeprune.tflite.conversion.onnx_graph import Node
from edgeprune.tflite.conversion.ops.base import lowering
from edgeprune.tflite.conversion.tflite_graph import Array, Tensor
from edgeprune.tflite.conversion.volumes import RANK, along_depth, planes, volume
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


@lowering("Resize", layout="channels_last")
def resize(node: Node, low: Lowering) -> None:
    mode, name = node.get("mode", "nearest"), node.get("coordinate_transformation_mode", "half_pixel")
    if name not in _MODES:
        raise node.unsupported(f"coordinate_transformation_mode '{name}'", f"one of {', '.join(_MODES)}")
    if node.get("antialias", 0):
        raise node.unsupported("antialias 1", "0")
    if mode not in ("nearest", "linear"):
        raise node.unsupported(f"mode '{mode}'", "nearest or linear")
    view = low.view(node.inputs[0])
    outs = low.source.shapes[node.outputs[0]]
    if outs[:2] != view.shape[:2]:
        raise node.unsupported("another batch or number of channels in its output", "over spatial dimensions alone")
    positions = [
        _positions(name, size, out, scale)
        for size, out, scale in zip(view.shape[2:], outs[2:], _scales(node, low, view.shape, outs), strict=True)
    ]
    if view.rank < RANK:
        x = stored_image(node, low, node.inputs[0])
        write_image(node, low, _resized(node, low, x, [np.zeros(1), *positions][-2:]))
        return
    if outs[3:] != view.shape[3:]:
        y = _resized(node, low, planes(low, view), positions[1:])
        view = volume(low, y, view.shape[0], (view.shape[2], *outs[3:]))
    if outs[2] != view.shape[2]:
        y = _resized(node, low, along_depth(low, view), [positions[0], np.arange(outs[3] * outs[4], dtype=float)])
        view = volume(low, y, view.shape[0], outs[2:])
    low.write(node.outputs[0], view)


def _resized(node: Node, low: Lowering, x: Tensor, positions: list[Array]) -> Tensor:
    output_shape = (x.shape[0], *(len(position) for position in positions), x.shape[3])
    resize_image = _nearest if node.get("mode", "nearest") == "nearest" else _linear
    return resize_image(node, low, x, output_shape, positions)


def _scales(node: Node, low: Lowering, shape: Sequence[int], output_shape: Sequence[int]) -> list[float]:
    """Return the scales of spatial dimensions, from the input ``scales`` or from the sizes."""
    stated_scales = low.array(node.input(2)) if node.input(2) else None
    if stated_scales is None or stated_scales.size == 0:
        return [out / size for size, out in zip(shape[2:], output_shape[2:], strict=True)]
    scales = [1.0] * len(shape)
    for axis, scale in zip(node.get("axes", range(len(shape))), stated_scales, strict=True):
        scales[axis] = float(scale)
    return scales[2:]


def _nearest(node: Node, low: Lowering, x: Tensor, output_shape: tuple[int, ...], positions: list[Array]) -> Tensor:
    """Resize with the mode of TFLite that selects the same elements, or else gather them."""
    rounding = _ROUNDINGS[node.get("nearest_mode", "round_prefer_floor")]
    sizes, outs = x.shape[1:3], output_shape[1:3]
    onnx_indices = [np.clip(rounding(position), 0, size - 1) for position, size in zip(positions, sizes, strict=True)]
    for name, (nearest, corners, half) in _TFLITE_MODES.items():
        tflite_indices = [
            np.clip(_ROUNDINGS[nearest](_positions(name, size, out, out / size)), 0, size - 1)
            for size, out in zip(sizes, outs, strict=True)
        ]
        if all(np.array_equal(expected, actual) for expected, actual in zip(onnx_indices, tflite_indices, strict=True)):
            options = schema.ResizeNearestNeighborOptionsT(alignCorners=corners, halfPixelCenters=half)
            size = low.constant("size", np.array(outs, np.int32))
            return low.emit("RESIZE_NEAREST_NEIGHBOR", [x, size], output_shape, options)
    for axis, indices in enumerate(onnx_indices, start=1):
        if not np.array_equal(indices, np.arange(x.shape[axis])):
            shape = [len(indices) if index == axis else size for index, size in enumerate(x.shape)]
            indices_tensor = low.constant("indices", indices.astype(np.int32))
            x = low.emit("GATHER", [x, indices_tensor], shape, schema.GatherOptionsT(axis=axis))
    return x


def _linear(node: Node, low: Lowering, x: Tensor, output_shape: tuple[int, ...], positions: list[Array]) -> Tensor:
    sizes, outs = x.shape[1:3], output_shape[1:3]
    onnx_positions = [np.clip(position, 0, size - 1) for position, size in zip(positions, sizes, strict=True)]
    for name, (_, corners, half) in _TFLITE_MODES.items():
        tflite_positions = [
            np.clip(_positions(name, size, out, out / size), 0, size - 1) for size, out in zip(sizes, outs, strict=True)
        ]
        if all(
            np.allclose(expected, actual, atol=1e-6)
            for expected, actual in zip(onnx_positions, tflite_positions, strict=True)
        ):
            options = schema.ResizeBilinearOptionsT(alignCorners=corners, halfPixelCenters=half)
            size = low.constant("size", np.array(outs, np.int32))
            return low.emit("RESIZE_BILINEAR", [x, size], output_shape, options)
    raise node.unsupported(
        f"scales {[round(float(out / size), 4) for size, out in zip(sizes, outs, strict=True)]} that its sizes round",
        "resized to sizes that are the scales times the input's",
    )
