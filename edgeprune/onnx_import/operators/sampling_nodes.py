"""Importers of operators that sample images at computed positions."""

from __future__ import annotations

import torch
import torch.nn.functional as F  # noqa: N812

from edgeprune.onnx_import.batch_constants import expanded_to_batch
from edgeprune.onnx_import.network_builder import NetworkBuilder
from edgeprune.onnx_import.operators.base import importer
from edgeprune.onnx_import.source_graph import SourceNode
from edgeprune.onnx_import.traced_values import Constant, Value

_HALF_PIXEL = 16
"""First operator set in which samples are shifted by half a pixel."""
_MODE = "half_pixel"


@importer("GridSample")
def grid_sample(node: SourceNode, net: NetworkBuilder) -> None:
    mode = node.get("mode", "linear").replace("linear", "bilinear").replace("bibilinear", "bilinear")
    net.write(
        net.call(
            F.grid_sample,
            net.value(0),
            expanded_to_batch(net, net.value(1), 0, trained=False),
            mode.replace("cubic", "bicubic").replace("bibicubic", "bicubic"),
            node.get("padding_mode", "zeros"),
            bool(node.get("align_corners", 0)),
        )
    )


@importer("AffineGrid")
def affine_grid(node: SourceNode, net: NetworkBuilder) -> None:
    """Import AffineGrid. The function that defines it in ONNX has control flow."""
    theta, sizes = net.value(0), net.sizes(1) or []
    size = [net.size(theta, 0), *sizes[1:]]
    net.write(net.call(F.affine_grid, theta, size, bool(node.get("align_corners", 0))))


@importer("RoiAlign")
def roi_align(node: SourceNode, net: NetworkBuilder) -> None:
    """Import RoiAlign as averages of samples of a grid. Samples outside of the image are zero.

    The number of samples must be fixed: with ``sampling_ratio`` 0, it depends on the size of each region.
    """
    samples = node.get("sampling_ratio", 0)
    if samples < 1:
        raise node.unsupported(f"sampling_ratio {samples}", "positive: otherwise, the number of samples is computed")
    if node.get("mode", "avg") != "avg":
        raise node.unsupported(f"mode '{node.get('mode')}'", "avg")
    value = net.value(0)
    counts = [int(node.get(name, 1)) * samples for name in ("output_height", "output_width")]
    grid, masks = [], []
    for axis, (count, size) in enumerate(zip(counts, value.shape[2:], strict=True)):
        positions = _roi_positions(node, net, axis, count)
        inside = net.call(torch.logical_and, net.call(torch.ge, positions, -1), net.call(torch.le, positions, size))
        masks.append(net.call(torch.unsqueeze, net.call("to", inside, value.dtype), 2 - axis))
        place = net.call(torch.sub, net.call(torch.mul, positions, 2 / max(size - 1, 1)), 1)
        sizes = [-1, -1, counts[1]] if axis == 0 else [-1, counts[0], -1]
        grid.append(net.call("expand", net.call(torch.unsqueeze, place, 2 - axis), sizes))
    places = net.call(torch.stack, grid[::-1], -1)
    images = net.call(torch.index_select, value, 0, net.value(2))
    sampled = net.call(F.grid_sample, images, places, "bilinear", "border", True)
    mask = net.call(torch.unsqueeze, net.call(torch.mul, *masks), 1)
    net.write(net.call(F.avg_pool2d, net.call(torch.mul, sampled, mask), samples))


def _roi_positions(node: SourceNode, net: NetworkBuilder, axis: int, count: int) -> Value | Constant:
    """Return the positions of ``count`` samples of each region (regions, count) along height (0) or width (1)."""
    scale = node.get("spatial_scale", 1.0)
    is_half_pixel = node.opset >= _HALF_PIXEL and node.get("coordinate_transformation_mode", _MODE) == _MODE
    start, end = (
        net.call(torch.mul, net.call(torch.narrow, net.value(1), 1, index, 1), scale) for index in (1 - axis, 3 - axis)
    )
    if is_half_pixel:
        start, end = (net.call(torch.sub, edge, 0.5) for edge in (start, end))
    length = net.call(torch.sub, end, start)
    if not is_half_pixel:
        length = net.call(torch.clamp, length, min=1)
    steps = Constant((torch.arange(count).reshape(1, -1) + 0.5) / count, f"{node.output(0)}_steps")
    positions: Value | Constant = net.call(torch.add, net.call(torch.mul, length, steps), start)
    return positions
