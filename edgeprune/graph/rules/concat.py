"""``cat`` and ``stack``: sources are independent along the joined dimension and tied along all others."""

from __future__ import annotations

import torch
from torch import Tensor

from edgeprune.graph.coupling import Coupling
from edgeprune.graph.index_labels import OPAQUE, Labels
from edgeprune.graph.operator_call import Call
from edgeprune.graph.rules.base import Rule, register
from edgeprune.graph.rules.pointwise import join

_FIXED = "joined with data whose size is fixed"


@register
class Concatenation(Rule):
    """Concatenation of tensors, in which the sources keep separate coordinates: their channels are not tied."""

    ops = ("aten.cat", "aten.concat", "aten.concatenate")

    def couple(self, call: Call, coupling: Coupling) -> Labels:
        # A tensor of shape (0,) joins anything.
        sources = [labels for labels in call.tensors if labels.shape != (0,)]
        dim = call["dim"] % len(call.out_shape)
        resolved = [coupling.resolve(labels, reason=_FIXED) for labels in sources]
        vectors: dict[int, Tensor | None] = {
            other: coupling.tie(*(operand_vectors.get(other) for operand_vectors in resolved), reason=_FIXED)
            for other, size in enumerate(call.out_shape)
            if other != dim and size > 1
        }
        if any(dim in operand_vectors for operand_vectors in resolved):
            parts = [
                operand_vectors.get(dim, torch.full((labels.shape[dim],), OPAQUE))
                for labels, operand_vectors in zip(sources, resolved, strict=True)
            ]
            vectors[dim] = torch.cat(parts)
        return Labels.of(call.out_shape, vectors)


@register
class Stacking(Rule):
    """The new dimension holds one index a source; it never shrinks."""

    ops = ("aten.stack",)

    def couple(self, call: Call, coupling: Coupling) -> Labels:
        dim = call["dim"] % len(call.out_shape)
        joined = join(coupling, call.tensors, call.tensors[0].shape)
        vectors = {other + (other >= dim): joined.vector(other) for other in range(len(joined.shape))}
        return Labels.of(call.out_shape, vectors)
