"""Importers of Resize and Upsample.

Where torch has the same interpolation, ``F.interpolate`` computes it. Other interpolations are computed for each
dimension by lists of indices and weights.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import floor
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from edgeprune.onnx_import.network_builder import NetworkBuilder
from edgeprune.onnx_import.operators.base import importer
from edgeprune.onnx_import.source_graph import SourceNode
from edgeprune.onnx_import.traced_values import Constant, Value

_LINEAR = {1: "linear", 2: "bilinear", 3: "trilinear"}
_OPSET_OF_RESIZE_WITH_SIZES = 11


@importer("Resize", "Upsample")
def resize(node: SourceNode, net: NetworkBuilder) -> None:
    value = net.value(0)
    rank = len(value.shape)
    axes = [axis % rank for axis in node.get("axes") or range(rank)]
    scales, sizes = _factors(node, net, len(axes))
    if sizes is not None:
        if node.get("keep_aspect_ratio_policy", "stretch") != "stretch":
            raise node.unsupported("a policy for the aspect ratio", "stretch")
        scales = [out / value.shape[axis] for out, axis in zip(sizes, axes, strict=True)]
    assert scales is not None
    outs = sizes or [floor(value.shape[axis] * scale + 1e-6) for axis, scale in zip(axes, scales, strict=True)]
    changed = [index for index, axis in enumerate(axes) if outs[index] != value.shape[axis] or scales[index] != 1]
    if not changed:
        net.write(value)
        return
    if node.get("antialias", 0):
        raise node.unsupported("antialiasing", "without it")
    coordinates = _coordinates(node)
    mode = node.get("mode", "nearest")
    spatial = {axes[index]: (outs[index], scales[index]) for index in changed}
    options = _torch_mode(node, mode, coordinates, value.shape, spatial)
    if options is not None:
        new_sizes = [spatial[dim][0] if dim in spatial else value.shape[dim] for dim in range(2, rank)]
        net.write(net.call(F.interpolate, value, new_sizes, **options))
        return
    if mode not in ("nearest", "linear"):
        raise node.unsupported(
            f"mode = {mode} with {coordinates}", "cubic over images with half_pixel, or another mode"
        )
    for dim, (out, scale) in spatial.items():
        places = _places(node, coordinates, value.shape[dim], out, scale)
        value = _interpolated(net, value, dim, places, mode)
    net.write(value)


def _factors(node: SourceNode, net: NetworkBuilder, count: int) -> tuple[list[float] | None, list[int] | None]:
    """Return the scales, or the sizes, of all axes."""
    if "scales" in node.attributes:  # Upsample before opset 9
        return list(node.attributes["scales"]), None
    index = 1 if node.op == "Upsample" or node.opset < _OPSET_OF_RESIZE_WITH_SIZES else 2
    scales = net.constant(index)
    if scales is not None and scales.tensor.numel():
        return [*scales.tensor.tolist()], None
    sizes = net.sizes(3)
    if sizes is None or len(sizes) != count:
        raise node.unsupported("neither constant scales nor sizes", "resized by constant scales or to sizes")
    value = net.value(0)
    # The batch and the channels remain.
    return None, [value.shape[axis] if isinstance(size, Value) else size for axis, size in enumerate(sizes)]


def _coordinates(node: SourceNode) -> str:
    if node.op == "Upsample" or node.opset < _OPSET_OF_RESIZE_WITH_SIZES:
        return "asymmetric"
    name: str = node.get("coordinate_transformation_mode", "half_pixel")
    return name


def _torch_mode(
    node: SourceNode,
    mode: str,
    coordinates: str,
    shape: tuple[int, ...],
    spatial: dict[int, tuple[int, float]],
) -> dict[str, Any] | None:
    """Return the arguments of ``F.interpolate`` that compute the same; None if there are none."""
    rank = len(shape) - 2
    is_exact = all(abs(out - shape[dim] * scale) < 1e-4 for dim, (out, scale) in spatial.items())
    if min(spatial) < 2 or rank not in _LINEAR or not is_exact:
        return None
    floors = node.opset < _OPSET_OF_RESIZE_WITH_SIZES or node.op == "Upsample" or node.get("nearest_mode") == "floor"
    if mode == "nearest":
        return {"mode": "nearest"} if coordinates == "asymmetric" and floors else None
    aligned = coordinates == "align_corners"
    single = any(out == 1 for out, _ in spatial.values())
    if not aligned and coordinates != "half_pixel" and (coordinates != "pytorch_half_pixel" or single):
        return None
    if aligned and single:
        return None
    if mode == "linear":
        return {"mode": _LINEAR[rank], "align_corners": aligned}
    is_torch_cubic = node.get("cubic_coeff_a", -0.75) == -0.75 and not node.get("exclude_outside", 0)
    return {"mode": "bicubic", "align_corners": aligned} if rank == 2 and is_torch_cubic else None


def _places(node: SourceNode, coordinates: str, size: int, out: int, scale: float) -> Tensor:
    """Return the place in the input of each output element, as a fraction of elements, (out,)."""
    index = torch.arange(out, dtype=torch.float64)
    if coordinates == "asymmetric":
        return index / scale
    if coordinates == "align_corners":
        return index * ((size - 1) / (out - 1)) if out > 1 else index * 0
    if coordinates == "pytorch_half_pixel" and out == 1:
        return index * 0
    if coordinates == "half_pixel_symmetric":
        center = size / 2
        offset = center * (1 - out / (scale * size))
        return offset + (index + 0.5) / scale - 0.5
    if coordinates in ("half_pixel", "pytorch_half_pixel"):
        return (index + 0.5) / scale - 0.5
    raise node.unsupported(f"coordinate_transformation_mode = {coordinates}", "without a region of interest")


def _interpolated(net: NetworkBuilder, value: Value | Constant, dim: int, places: Tensor, mode: str) -> Any:
    node = net.node
    size = value.shape[dim]
    if mode == "nearest":
        indices = _nearest(node, places).clamp(0, size - 1).long()
        return net.call(torch.index_select, value, dim, Constant(indices, f"{node.output(0)}_places"))
    places = places.clamp(0, size - 1)
    before = places.floor().clamp(max=max(size - 2, 0))
    weight = (places - before).float().reshape(-1, *(1,) * (len(value.shape) - 1 - dim))
    parts: Sequence[Any] = [
        net.call(torch.index_select, value, dim, Constant(index.long().clamp(max=size - 1), f"{node.output(0)}_places"))
        for index in (before, before + 1)
    ]
    return net.call(torch.lerp, *parts, Constant(weight, f"{node.output(0)}_weights"))


def _nearest(node: SourceNode, places: Tensor) -> Tensor:
    older = node.op == "Upsample" or node.opset < _OPSET_OF_RESIZE_WITH_SIZES
    rounding = "floor" if older else node.get("nearest_mode", "round_prefer_floor")
    if rounding == "floor":
        return (places + 1e-9).floor()
    if rounding == "ceil":
        return (places - 1e-9).ceil()
    return (places - 0.5 - 1e-9).ceil() if rounding == "round_prefer_floor" else (places + 0.5 + 1e-9).floor()
