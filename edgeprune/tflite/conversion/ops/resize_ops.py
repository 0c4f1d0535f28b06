"""Resize. The positions that ONNX samples are compared with those of TFLite's modes, one dimension after another."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from edgeprune.tflite.conversion.lowering import Lowering
from edgeprune.tflite.conversion.nhwc import stored_image, stored_shape, write_image
from edgeprune.tflite.conversion.onnx_graph import Node
from edgeprune.tflite.conversion.ops.base import lowering
from edgeprune.tflite.conversion.tflite_graph import Array, Tensor
from edgeprune.tflite.tflite_schema import schema


def _positions(name: str, size: int, count: int, scale: float) -> Array:
    """Position in the input of each of ``count`` samples."""
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
        raise node.refused(f"coordinate_transformation_mode '{name}'", f"one of {', '.join(_MODES)}")
    x = stored_image(node, low, node.inputs[0])
    wanted = stored_shape(node, low)
    if (wanted[0], wanted[3]) != (x.shape[0], x.shape[3]):
        raise node.refused("another batch or number of channels in its output", "over height and width alone")
    if node.get("antialias", 0):
        raise node.refused("antialias 1", "0")
    counts = list(zip(x.shape[1:3], wanted[1:3], _scales(node, low, x, wanted), strict=True))
    positions = [_positions(name, size, out, scale) for size, out, scale in counts]
    if mode == "nearest":
        y = _nearest(node, low, x, wanted, positions)
    elif mode == "linear":
        y = _linear(node, low, x, wanted, positions)
    else:
        raise node.refused(f"mode '{mode}'", "nearest or linear")
    write_image(node, low, y)


def _scales(node: Node, low: Lowering, x: Tensor, wanted: tuple[int, ...]) -> list[float]:
    """Scales of height and width: as given, or from the sizes."""
    given = low.array(node.input(2)) if node.input(2) else None
    if given is None or given.size == 0:
        return [out / size for size, out in zip(x.shape[1:3], wanted[1:3], strict=True)]
    axes = node.get("axes", list(range(len(low.source.shapes[node.inputs[0]]))))
    scales = [1.0] * len(low.source.shapes[node.inputs[0]])
    for axis, scale in zip(axes, given, strict=True):
        scales[axis] = float(scale)
    return scales[2:] if len(scales) == 4 else [1.0, scales[2]]


def _nearest(node: Node, low: Lowering, x: Tensor, wanted: tuple[int, ...], positions: list[Array]) -> Tensor:
    """Resize by the mode of TFLite that selects the same elements, or gather them."""
    rounding = _ROUNDINGS[node.get("nearest_mode", "round_prefer_floor")]
    sizes, outs = x.shape[1:3], wanted[1:3]
    picked = [np.clip(rounding(place), 0, size - 1) for place, size in zip(positions, sizes, strict=True)]
    for name, (nearest, corners, half) in _TFLITE_MODES.items():
        given = [
            np.clip(_ROUNDINGS[nearest](_positions(name, size, out, out / size)), 0, size - 1)
            for size, out in zip(sizes, outs, strict=True)
        ]
        if all(np.array_equal(one, other) for one, other in zip(picked, given, strict=True)):
            options = schema.ResizeNearestNeighborOptionsT(alignCorners=corners, halfPixelCenters=half)
            size = low.constant("size", np.array(outs, np.int32))
            return low.emit("RESIZE_NEAREST_NEIGHBOR", [x, size], wanted, options)
    for axis, indices in enumerate(picked, start=1):
        if not np.array_equal(indices, np.arange(x.shape[axis])):
            shape = [len(indices) if index == axis else size for index, size in enumerate(x.shape)]
            chosen = low.constant("indices", indices.astype(np.int32))
            x = low.emit("GATHER", [x, chosen], shape, schema.GatherOptionsT(axis=axis))
    return x


def _linear(node: Node, low: Lowering, x: Tensor, wanted: tuple[int, ...], positions: list[Array]) -> Tensor:
    sizes, outs = x.shape[1:3], wanted[1:3]
    places = [np.clip(place, 0, size - 1) for place, size in zip(positions, sizes, strict=True)]
    for name, (_, corners, half) in _TFLITE_MODES.items():
        given = [
            np.clip(_positions(name, size, out, out / size), 0, size - 1) for size, out in zip(sizes, outs, strict=True)
        ]
        if all(np.allclose(one, other, atol=1e-6) for one, other in zip(places, given, strict=True)):
            options = schema.ResizeBilinearOptionsT(alignCorners=corners, halfPixelCenters=half)
            size = low.constant("size", np.array(outs, np.int32))
            return low.emit("RESIZE_BILINEAR", [x, size], wanted, options)
    raise node.refused(
        f"scales {[round(float(out / size), 4) for size, out in zip(sizes, outs, strict=True)]} that its sizes round",
        "resized to sizes that are the scales times the input's",
    )
