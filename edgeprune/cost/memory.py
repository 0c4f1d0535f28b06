"""Activation memory: the largest sum of tensors that are alive at once, over the order of execution."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, fx

from edgeprune.graph.labels import Labels
from edgeprune.graph.operators import aliases
from edgeprune.graph.units import Units, shape_left


def peak_activation_bytes(units: Units, removed: Tensor) -> int:
    """Bytes of the live activations at the worst call, when the units in the mask ``removed`` are gone.

    A tensor lives from the call that makes it to its last reader. Views and in-place results share the memory of
    what they come from. Weights do not count; the network's inputs and outputs do.
    """
    coordinates = units.coordinates
    gone = units.gone(removed)
    nodes = list(coordinates.program.graph.nodes)
    owner: dict[fx.Node, fx.Node] = {}
    last: dict[fx.Node, int] = {}
    for index, node in enumerate(nodes):
        source = node.args[0] if node.args and isinstance(node.args[0], fx.Node) else None
        owner[node] = owner[source] if source is not None and aliases(node) else node
        for read in (node, *node.all_input_nodes):
            last[owner[read]] = index
    sizes = {
        node: _bytes(node, coordinates.labels.get(node), gone)
        for node in nodes
        if owner[node] is node and node.op not in ("get_attr", "output")
    }
    freed: dict[int, list[fx.Node]] = {}
    for node in sizes:
        freed.setdefault(last[node], []).append(node)
    live = peak = 0
    for index, node in enumerate(nodes):
        live += sizes.get(node, 0)
        peak = max(peak, live)
        live -= sum(sizes[done] for done in freed.get(index, ()))
    return peak


def _bytes(node: fx.Node, labels: Any, gone: Tensor) -> int:
    value = node.meta.get("val")
    values = value if isinstance(value, (list, tuple)) else [value]
    found = labels if isinstance(labels, list) else [labels]
    total = 0
    for item, item_labels in zip(values, found, strict=False):
        if isinstance(item, torch.Tensor) and isinstance(item_labels, Labels):
            total += math.prod(shape_left(item_labels, gone)) * item.element_size()
    return total
