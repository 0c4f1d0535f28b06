"""Sites that consume units, and views of their tensors by sample and unit."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, fx

from edgeprune.graph import Units
from edgeprune.graph.coupling import Consumption
from edgeprune.graph.graph_operators import argument_names, module_path


@dataclass(frozen=True, eq=False)
class Site:
    """Call that sums over dimension ``consumption.dim`` of one of its arguments.

    Attributes:
        node: Node of the call.
        consumption: Argument and dimension of the sum.
        units: Unit of each index along that dimension, (n,). -1 for an index without a unit.
        batch: Dimension of the argument that contains the samples, possibly several consecutive entries for each sample
            (windows of an image). None without such a dimension.
        layer: Path of the module that makes the call.
    """

    node: fx.Node
    consumption: Consumption
    units: Tensor
    batch: int | None
    layer: str

    def per_sample(self, value: Tensor, samples: int) -> Tensor:
        """Return ``value`` of the argument as (samples, n, positions), or (1, n, positions) without a batch."""
        dim = self.consumption.dim
        if self.batch is None or value.shape[self.batch] % samples:
            return value.movedim(dim, 0).reshape(1, value.shape[dim], -1)
        moved = value.movedim((self.batch, dim), (0, 1))
        if moved.shape[0] == samples:
            return moved.flatten(2) if moved.ndim > 2 else moved.unsqueeze(2)
        parts = moved.reshape(samples, -1, *moved.shape[1:])
        return parts.transpose(1, 2).flatten(2)

    def add(self, values: Tensor, into: Tensor) -> None:
        """Add ``values`` of indices, (..., n), to the entries of their units in ``into``, (..., units)."""
        has_unit = self.units >= 0
        into.index_add_(-1, self.units[has_unit], values.to(into)[..., has_unit])


def sites_of(units: Units) -> list[Site]:
    """Return all sites that consume units of a group, in the order of the program."""
    coordinates = units.coordinates
    sites = []
    for node, consumptions in coordinates.coupling.consumed.items():
        for consumption in consumptions:
            unit = units.unit_of[consumption.ids]
            if bool((unit >= 0).any()):
                batch = _batch_dim(units, node, consumption)
                sites.append(Site(node, consumption, unit, batch, module_path(node)))
    return sites


def argument_node(site: Site) -> fx.Node:
    """Return the node whose value is consumed."""
    return _argument(site.node, site.consumption)


def _argument(node: fx.Node, consumption: Consumption) -> fx.Node:
    name, _, index = consumption.argument.partition(".")
    arguments: dict[str, Any] = {**dict(zip(argument_names(node.target), node.args, strict=False)), **node.kwargs}
    value = arguments[name]
    if index:
        value = value[int(index)]
    assert isinstance(value, fx.Node)
    return value


def _batch_dim(units: Units, node: fx.Node, consumption: Consumption) -> int | None:
    """Return the first dimension whose size depends on the batch size, or equals it if the program fixes it."""
    program = units.coordinates.program
    value = _argument(node, consumption).meta["val"]
    if program.dynamic_batch:
        batch_dims = [dim for dim, size in enumerate(value.shape) if isinstance(size, torch.SymInt)]
    else:
        leaves = [leaf for leaf in (*program.args, *program.kwargs.values()) if isinstance(leaf, Tensor) and leaf.ndim]
        batch = leaves[0].shape[0] if leaves else 0
        batch_dims = [0] if batch and value.ndim and value.shape[0] % batch == 0 else []
    return next((dim for dim in batch_dims if dim != consumption.dim), None)
