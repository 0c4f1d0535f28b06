"""Shapes of the convolutions and linear layers of a program, the keys of latency tables."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from edgeprune.graph import Units
from edgeprune.graph.coupling import Product
from edgeprune.graph.graph_operators import is_operator_call, module_path
from edgeprune.graph.index_labels import CONSTANT
from edgeprune.graph.operator_call import Call
from edgeprune.operator_facts.aten_operators import ATEN


@dataclass(frozen=True)
class LayerShape:
    """Properties of a layer that determine its latency, apart from the number of remaining channels.

    Attributes:
        kind: ``conv``, ``linear``, or ``depthwise`` for a grouped convolution whose groups are removed as a whole.
        batch: Number of samples, or of rows of a linear layer.
        positions: Input size (height, width). Empty for a linear layer.
        kernel: Size of the kernel in each dimension. Empty for a linear layer.
        stride: Stride in each dimension.
        padding: Padding in each dimension.
        dilation: Dilation in each dimension.
        groups: Number of groups of the dense layer.
        channels: Numbers of channels of the dense layer, (in, out).
        shrinks: Whether the channels (in, out) can shrink. A depthwise layer has only one size, its output channels.
    """

    kind: str
    batch: int
    positions: tuple[int, ...]
    kernel: tuple[int, ...]
    stride: tuple[int, ...]
    padding: tuple[int, ...]
    dilation: tuple[int, ...]
    groups: int
    channels: tuple[int, int]
    shrinks: tuple[bool, bool]


@dataclass(frozen=True)
class CostLayer:
    """Call of a layer.

    Attributes:
        name: Path of the module.
        shape: Shape of the layer.
        sizes: Product whose factors are the ids along the (in, out) channels.
    """

    name: str
    shape: LayerShape
    sizes: Product


def layers(units: Units) -> Iterator[CostLayer]:
    """Yield the convolutions and linear layers that evaluation calls, without transposed convolutions."""
    coordinates = units.coordinates
    for node in coordinates.program.graph.nodes:
        if not is_operator_call(node) or node not in coordinates.labels:
            continue
        call = Call(coordinates.program, node, coordinates.labels)
        layer = ATEN[call.name].layer
        if layer == "linear":
            yield _linear(units, call)
        elif layer == "convolution":
            yield _convolution(units, call)


def _linear(units: Units, call: Call) -> CostLayer:
    weight = call.tensor("weight")
    out, into = weight.shape
    ids = (weight.vector(1), weight.vector(0))
    shape = LayerShape(
        "linear", math.prod(call.shape("input")[:-1]), (), (), (), (), (), 1, (into, out), _shrinks(units, *ids)
    )
    return CostLayer(module_path(call.node), shape, _sizes(shape, *ids))


def _convolution(units: Units, call: Call) -> CostLayer:
    inputs, weight, groups = call.tensor("input"), call.tensor("weight"), call["groups"]
    rank = len(weight.shape) - 2
    channel = len(inputs.shape) - rank - 1
    kernel, dilation, padding = weight.shape[2:], tuple(call["dilation"]), call["padding"]
    if isinstance(padding, str):
        same = tuple(step * (size - 1) // 2 for step, size in zip(dilation, kernel, strict=True))
        padding = same if padding == "same" else (0,) * rank
    whole_groups = groups > 1 and groups >= weight.shape[1]
    into = weight.vector(1) if groups == 1 else inputs.vector(channel)
    ids = (None if whole_groups else into, weight.vector(0))
    shape = LayerShape(
        kind="depthwise" if whole_groups else "conv",
        batch=math.prod(inputs.shape[:channel]),
        positions=inputs.shape[channel + 1 :],
        kernel=tuple(kernel),
        stride=tuple(call["stride"]),
        padding=tuple(padding),
        dilation=dilation,
        groups=groups,
        channels=(inputs.shape[channel], weight.shape[0]),
        shrinks=_shrinks(units, *ids),
    )
    return CostLayer(module_path(call.node), shape, _sizes(shape, *ids))


def _shrinks(units: Units, into: Tensor | None, out: Tensor | None) -> tuple[bool, bool]:
    return _can_go(units, into), _can_go(units, out)


def _can_go(units: Units, ids: Tensor | None) -> bool:
    unit = units.unit_of[ids] if ids is not None else torch.zeros(0, dtype=torch.long)
    return bool(units.prunable[unit[unit >= 0]].any())


def _sizes(shape: LayerShape, *ids: Tensor | None) -> Product:
    """Return the ids along the input and output channels, with constant ids for a size that never changes."""
    fixed = (torch.full((size,), CONSTANT) for size in shape.channels)
    return Product(1, tuple(other if own is None else own for own, other in zip(ids, fixed, strict=True)))
