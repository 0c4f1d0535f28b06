"""Tensors that the forward of a network creates. Uniform tensors shrink with the tensors they are combined with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from edgeprune.graph.coupling import Coupling
from edgeprune.graph.index_labels import Labels
from edgeprune.graph.operator_call import Call
from edgeprune.graph.rules.base import Keep, Rule, aten, register, remaining_size


@register
class FilledTensor(Rule):
    """Tensors with equal elements, or elements from one distribution, of which any index can be removed."""

    ops = aten("empty full new_empty new_full new_ones new_zeros ones rand randint randn zeros")

    def couple(self, call: Call, coupling: Coupling) -> Labels:
        vectors = {
            dim: coupling.new(call.node.name, dim, size, parameter=False)
            for dim, size in enumerate(call.out_shape)
            if size > 1
        }
        return Labels.of(call.out_shape, vectors)

    def resize(self, call: Call, keep: Mapping[str, Keep], out: Sequence[Keep]) -> Mapping[str, Any]:
        return {"size": [remaining_size(out[0], dim, size) for dim, size in enumerate(call.out_shape)]}


@register
class PatternedTensor(Rule):
    """Tensors whose elements differ by position. Dimensions that are combined with them are frozen."""

    ops = ("aten.arange", "aten.eye", "aten.linspace", "aten.scalar_tensor", "aten.randperm")

    def couple(self, call: Call, coupling: Coupling) -> Labels:
        return Labels(call.out_shape)
