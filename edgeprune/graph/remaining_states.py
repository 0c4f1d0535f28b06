"""Inputs and outputs of a pruned network: recurrent states shrink with the hidden units, all others are unchanged."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor, fx
from torch.utils import _pytree as pytree

from edgeprune.graph.element_numbers import select
from edgeprune.graph.index_labels import Labels
from edgeprune.graph.units import Units, keep_masks

Arguments = tuple[tuple[Any, ...], dict[str, Any]]
"""Arguments of a network by position and by name."""


def remaining_inputs(units: Units, removed: Tensor) -> Arguments:
    """Return the example inputs without the units in the mask ``removed``."""
    program = units.coordinates.program
    leaves, structure = pytree.tree_flatten((program.args, dict(program.kwargs)))
    remaining = _remaining(units, removed, _inputs(units), leaves)
    arguments: Arguments = pytree.tree_unflatten(remaining, structure)
    return arguments


def remaining_outputs(units: Units, removed: Tensor, values: Any) -> list[Tensor]:
    """Return the tensors of ``values``, outputs of the dense network, without the units in the mask ``removed``."""
    nodes = pytree.tree_leaves(units.coordinates.program.graph.output_node().args[0])
    remaining = _remaining(units, removed, nodes, pytree.tree_leaves(values))
    return [value for value in remaining if isinstance(value, Tensor)]


def state_shapes(units: Units, removed: Tensor) -> dict[str, tuple[int, ...]]:
    """Return the shapes of the inputs that shrink, by their names in the captured program."""
    program = units.coordinates.program
    leaves = pytree.tree_leaves((program.args, dict(program.kwargs)))
    remaining = pytree.tree_leaves(remaining_inputs(units, removed))
    return {
        node.name: tuple(after.shape)
        for node, before, after in zip(_inputs(units), leaves, remaining, strict=True)
        if isinstance(before, Tensor) and before.shape != after.shape
    }


def _inputs(units: Units) -> list[fx.Node]:
    return [node for node in units.coordinates.program.graph.nodes if node.op == "placeholder"]


def _remaining(units: Units, removed: Tensor, nodes: Sequence[Any], values: Sequence[Any]) -> list[Any]:
    """Return the values of nodes, tensors without the indices of the removed units."""
    removed_ids, remaining = units.removed_ids(removed), []
    for node, value in zip(nodes, values, strict=True):
        labels = units.coordinates.labels.get(node)
        if isinstance(value, Tensor) and isinstance(labels, Labels):
            value = select(value, keep_masks(labels, removed_ids) or {})  # noqa: PLW2901
        remaining.append(value)
    return remaining
