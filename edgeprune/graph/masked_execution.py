"""Simulation of a pruned network by the dense program, with removed coordinates set to zero where they are consumed.

Calls that mix remaining and removed coordinates (LayerNorm) have no such zero. They run on the remaining slice.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor, fx

from edgeprune.graph.consumer_interpreter import ConsumerInterpreter
from edgeprune.graph.coupling import Consumption
from edgeprune.graph.element_numbers import select
from edgeprune.graph.graph_operators import call_operator
from edgeprune.graph.operator_call import Call
from edgeprune.graph.rules import Keep, rule_for
from edgeprune.graph.units import Units, keep_masks


class MaskedProgram(ConsumerInterpreter):
    """Interpreter of the dense program that sets removed coordinates to zero where they are consumed.

    Args:
        units: Units of the program.
        removed: Mask of the units to remove, (units,).
        state: Tensors of dense shape that replace those of the program, by name. Defaults to none.
    """

    def __init__(self, units: Units, removed: Tensor, state: Mapping[str, Tensor] | None = None) -> None:
        super().__init__(units)
        self.removed_ids = units.removed_ids(removed)
        self.state = state or {}
        self.exact = True
        """Whether zeros were the reference everywhere. False if a call ran on the remaining slice."""

    def get_attr(self, target: Any, args: Any, kwargs: Any) -> Any:
        return self.state[target] if target in self.state else super().get_attr(target, args, kwargs)

    def consume(self, node: fx.Node, consumption: Consumption, value: Tensor) -> Tensor:
        removed = self.removed_ids[consumption.ids]
        return value.index_fill(consumption.dim, removed.nonzero().flatten(), 0) if bool(removed.any()) else value

    def run_node(self, node: fx.Node) -> Any:
        if node not in self.units.coordinates.coupling.inexact:
            return super().run_node(node)
        call = Call(self.units.coordinates.program, node, self.units.coordinates.labels)
        return self._on_slice(call, {**call.arguments, **self.arguments(node)})

    def _on_slice(self, call: Call, arguments: dict[str, Any]) -> Any:
        """Run the operator on the remaining slice, and scatter the result into zeros of the dense shape."""
        labels = self.units.coordinates.labels[call.node]
        outputs = labels if isinstance(labels, list) else [labels]
        keep = {
            name: keep_masks(part_labels, self.removed_ids) or {}
            for name in arguments
            if (part_labels := call.labels(name))
        }
        out = [keep_masks(part_labels, self.removed_ids) or {} for part_labels in outputs]
        if not any(keep.values()):
            return call_operator(call.node.target, arguments)
        self.exact = False
        rule = rule_for(call.name)
        assert rule is not None
        small = {
            name: select(value, keep[name]) if isinstance(value, Tensor) and name in keep else value
            for name, value in arguments.items()
        }
        results = call_operator(call.node.target, {**small, **rule.resize(call, keep, out)})
        parts = results if isinstance(results, (list, tuple)) else [results]
        spread = [
            _scatter(part, part_labels.shape, mask) for part, part_labels, mask in zip(parts, outputs, out, strict=True)
        ]
        return spread if isinstance(results, (list, tuple)) else spread[0]


def _scatter(tensor: Tensor, shape: tuple[int, ...], keep: Keep) -> Tensor:
    for dim, mask in keep.items():
        sizes = list(tensor.shape)
        sizes[dim] = shape[dim]
        tensor = tensor.new_zeros(sizes).index_copy(dim, mask.nonzero().flatten(), tensor)
    return tensor
