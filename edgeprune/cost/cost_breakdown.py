"""Breakdown of costs by layer: multiply-adds and activation bytes, dense and after removal of units."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, fx

from edgeprune.cost.memory_cost import activations
from edgeprune.cost.multilinear_terms import MultilinearTerms
from edgeprune.graph import Units
from edgeprune.graph.graph_operators import module_path, operator_name
from edgeprune.graph.index_labels import Labels
from edgeprune.graph.operator_call import Call
from edgeprune.graph.units import remaining_shape
from edgeprune.operator_facts.aten_operators import ATEN


@dataclass(frozen=True)
class LayerCost:
    """Multiply-adds of one call.

    Attributes:
        name: Name of the module, or of the operator outside of modules.
        kind: Kind of the call: ``conv 3x3``, ``linear``, ``matmul``, ...
        channels: Output channels, (dense, remaining). None if the call is neither a convolution nor a linear layer.
        macs: Multiply-adds for the example, (dense, remaining).
    """

    name: str
    kind: str
    channels: tuple[int, int] | None
    macs: tuple[int, int]


@dataclass(frozen=True)
class LiveBytes:
    """Size of the activations that are alive during one call.

    Attributes:
        name: Name of the module, or of the operator outside of modules.
        kind: Name of the operator.
        bytes: Size of the live activations in bytes, (dense, remaining).
    """

    name: str
    kind: str
    bytes: tuple[int, int]


def layer_costs(units: Units, removed: Tensor) -> list[LayerCost]:
    """Return the costs of all calls with multiply-adds, in order. ``removed`` is a mask of units, (units,)."""
    products = units.coordinates.coupling.products
    of_node = torch.repeat_interleave(torch.tensor([len(some) for some in products.values()], dtype=torch.long))
    terms = MultilinearTerms(units, [product for some in products.values() for product in some])
    none = torch.zeros(len(products), dtype=torch.float64)
    before = none.index_add(0, of_node, terms.values())
    terms.shift(removed, -1.0)
    after = none.index_add(0, of_node, terms.values())
    removed_ids = units.removed_ids(removed)
    return [
        LayerCost(_name(node), *_kind(units, node, removed_ids), (round(dense), round(pruned)))
        for node, dense, pruned in zip(products, before.tolist(), after.tolist(), strict=True)
    ]


def live_bytes(units: Units, removed: Tensor) -> list[LiveBytes]:
    """Return the live bytes at each call that creates a tensor, in order. The maximum is the peak of ``cost_of``."""
    removed_ids = units.removed_ids(removed)
    nodes = list(units.coordinates.program.graph.nodes)
    tensors = list(activations(units))
    change = torch.zeros(len(nodes) + 1, 2, dtype=torch.long)
    for tensor in tensors:
        elements = math.prod(tensor.labels.shape), math.prod(remaining_shape(tensor.labels, removed_ids))
        size = torch.tensor(elements) * tensor.element_bytes
        change[tensor.creator] += size
        change[tensor.last_reader + 1] -= size
    live = change.cumsum(0).tolist()
    creators = sorted({tensor.creator for tensor in tensors})
    return [LiveBytes(_name(nodes[at]), _operator(nodes[at]), (live[at][0], live[at][1])) for at in creators]


def _name(node: fx.Node) -> str:
    return "input" if node.op == "placeholder" else module_path(node) or _operator(node)


def _operator(node: fx.Node) -> str:
    return "input" if node.op == "placeholder" else operator_name(node.target).removeprefix("aten.")


def _kind(units: Units, node: fx.Node, removed_ids: Tensor) -> tuple[str, tuple[int, int] | None]:
    coordinates = units.coordinates
    call = Call(coordinates.program, node, coordinates.labels)
    labels = coordinates.labels[node]
    if ATEN[call.name].is_convolution and isinstance(labels, Labels):
        kernel = call.shape("weight")[2:]
        groups = call["groups"]
        kind = f"conv {'x'.join(map(str, kernel))}" + (f", {groups} groups" if groups > 1 else "")
        channel = len(labels.shape) - len(kernel) - 1
    elif ATEN[call.name].layer == "linear" and isinstance(labels, Labels):
        kind, channel = "linear", len(labels.shape) - 1
    else:
        return _operator(node), None
    return kind, (labels.shape[channel], remaining_shape(labels, removed_ids)[channel])
