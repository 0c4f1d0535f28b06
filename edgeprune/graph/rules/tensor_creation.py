"""Tensors made in the network's own forward: uniform ones shrink with what they meet."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from edgeprune.graph.coupling import Coupling
from edgeprune.graph.index_labels import Labels
from edgeprune.graph.operator_call import Call
from edgeprune.graph.rules.base import Keep, Rule, aten, left, register


@register
class FilledTensor(Rule):
    """Every element is alike, or drawn from one distribution, so that any index can go."""

    ops = aten("empty full new_empty new_full new_ones new_zeros ones rand randint randn zeros")

    def couple(self, call: Call, coupling: Coupling) -> Labels:
        vectors = {
            dim: coupling.new(call.node.name, dim, size, parameter=False)
            for dim, size in enumerate(call.out_shape)
            if size > 1
        }
        return Labels.of(call.out_shape, vectors)

    def resize(self, call: Call, keep: Mapping[str, Keep], out: Sequence[Keep]) -> Mapping[str, Any]:
        return {"size": [left(out[0], dim, size) for dim, size in enumerate(call.out_shape)]}


@register
class PatternedTensor(Rule):
    """Elements differ by place: what meets them must stay."""

    ops = ("aten.arange", "aten.eye", "aten.linspace", "aten.scalar_tensor", "aten.randperm")

    def couple(self, call: Call, coupling: Coupling) -> Labels:
        return Labels(call.out_shape)
