"""Layers that sum over units, as weight matrices and the rows that they multiply."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, fx
from torch.nn import functional

from edgeprune.graph import Units
from edgeprune.graph.graph_operators import operator_name
from edgeprune.graph.operator_call import Call
from edgeprune.operator_facts.aten_operators import ATEN
from edgeprune.statistics.consumer_sites import Site, sites_of


@dataclass(frozen=True, eq=False)
class LinearLayer:
    """Convolution or linear layer that is the only reader of its weight.

    In each of its ``groups``, it multiplies rows of ``features`` numbers (patches of the input) with a matrix.

    Attributes:
        site: Call, and the units over which it sums.
        weight: Name of the weight in the state dict, (out_ch, in_ch / groups, *kernel).
        bias: Name of the bias in the state dict. None without a bias.
        mean: Name of the running mean of the BatchNorm that is the only reader of the layer. A change of the bias can
            be made there with the opposite sign. None without such a BatchNorm.
        groups: Number of groups of the convolution. 1 for linear layers.
        kernel: Size of one patch. Empty for a linear layer.
    """

    site: Site
    weight: str
    bias: str | None
    mean: str | None
    groups: int
    kernel: tuple[int, ...]
    _geometry: Mapping[str, Any]

    def matrix(self, weight: Tensor) -> Tensor:
        """Return ``weight`` as a matrix for each group, float64 (groups, out_ch / groups, features)."""
        return weight.detach().double().reshape(self.groups, weight.shape[0] // self.groups, -1)

    def kept_features(self, kept_inputs: Tensor) -> Tensor:
        """Return the mask of the features, (groups, features), that read the inputs in the mask ``kept_inputs``."""
        return kept_inputs.reshape(self.groups, -1).repeat_interleave(math.prod(self.kernel), dim=1)

    def positions(self, value: Tensor) -> int:
        """Return the number of rows that the layer reads from ``value``."""
        return math.prod(value.shape[:-1]) if not self.kernel else value.shape[0] * math.prod(self._out_sizes(value))

    def rows(self, value: Tensor, fraction: float, rng: torch.Generator) -> Tensor:
        """Return a ``fraction`` of the rows of the input ``value``, drawn by ``rng``, (groups, rows, features)."""
        if not self.kernel:
            flat = value.reshape(-1, value.shape[-1])
            return flat[_draw(len(flat), fraction, rng)].unsqueeze(0)
        geometry, rank = self._geometry, len(self.kernel)
        padded = functional.pad(value, [size for pad in reversed(geometry["padding"]) for size in (pad, pad)])
        sizes = self._out_sizes(value)
        corners = torch.unravel_index(_draw(math.prod(sizes), fraction, rng), sizes)
        index = []
        for dim, (corner, size) in enumerate(zip(corners, self.kernel, strict=True)):
            reach = torch.arange(size) * geometry["dilation"][dim]
            at = [1] * rank
            at[dim] = size
            index.append((corner * geometry["stride"][dim]).reshape(-1, *[1] * rank) + reach.reshape(1, *at))
        everything: tuple[Any, ...] = (slice(None), slice(None))
        patches = padded[everything + tuple(at.to(value.device) for at in index)]  # (N, in_ch, rows, *kernel)
        return patches.movedim(2, 1).reshape(patches.shape[0] * patches.shape[2], self.groups, -1).transpose(0, 1)

    def _out_sizes(self, value: Tensor) -> list[int]:
        geometry = self._geometry
        return [
            (size + 2 * padding - dilation * (kernel - 1) - 1) // stride + 1
            for size, padding, dilation, kernel, stride in zip(
                value.shape[2:], geometry["padding"], geometry["dilation"], self.kernel, geometry["stride"], strict=True
            )
        ]


def layers_of(units: Units) -> dict[fx.Node, LinearLayer]:
    """Return the layers of a program by call, in the order of the program.

    Layers with a shared or computed weight, transposed convolutions, and products of two activations are excluded.
    """
    program = units.coordinates.program
    reads = Counter(
        id(program.attribute(node)) for node in program.graph.nodes if node.op == "get_attr" for _ in node.users
    )
    layers = {}
    for site in sites_of(units):
        call = Call(program, site.node, units.coordinates.labels)
        if ATEN[call.name].layer != "linear" and not _is_batched_convolution(call):
            continue
        weight, bias = call["weight"], call["bias"]
        if not _own(weight, reads, units) or (bias is not None and not _own(bias, reads, units)):
            continue
        kernel = call.shape("weight")[2:]
        geometry = {key: _spread(call.get(key), len(kernel)) for key in ("stride", "padding", "dilation")}
        if kernel and not all(isinstance(size, int) for sizes in geometry.values() for size in sizes):
            continue  # padding by name
        layers[site.node] = LinearLayer(
            site,
            str(weight.target),
            None if bias is None else str(bias.target),
            _running_mean(site.node, reads, units),
            call.get("groups", 1),
            tuple(kernel),
            geometry,
        )
    return layers


def _is_batched_convolution(call: Call) -> bool:
    return ATEN[call.name].layer == "convolution" and len(call.shape("input")) == len(call.shape("weight"))


def _own(node: fx.Node, reads: Counter[int], units: Units) -> bool:
    """Return whether the node is a parameter or buffer of the network that is read once."""
    program = units.coordinates.program
    return node.op == "get_attr" and str(node.target) in program.state and reads[id(program.attribute(node))] == 1


def _running_mean(node: fx.Node, reads: Counter[int], units: Units) -> str | None:
    users = list(node.users)
    if len(users) != 1 or operator_name(users[0].target) != "aten.batch_norm":
        return None
    call = Call(units.coordinates.program, users[0], units.coordinates.labels)
    mean = call["running_mean"]
    return str(mean.target) if mean is not None and call["input"] is node and _own(mean, reads, units) else None


def _spread(value: Any, rank: int) -> list[Any]:
    values = list(value) if isinstance(value, (list, tuple)) else [value]
    return values * rank if len(values) == 1 else values


def _draw(count: int, fraction: float, rng: torch.Generator) -> Tensor:
    if fraction >= 1:
        return torch.arange(count)
    return torch.randperm(count, generator=rng)[: max(1, math.ceil(fraction * count))]
