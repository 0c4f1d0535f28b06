"""Embeddings: tables that are read by index."""

from __future__ import annotations

from edgeprune.graph.coupling import Coupling
from edgeprune.graph.index_labels import Labels
from edgeprune.graph.operator_call import Call
from edgeprune.graph.rules.base import Rule, register


@register
class Embedding(Rule):
    """``weight`` (entries, features). Entries are frozen, because the data refers to them by index."""

    ops = ("aten.embedding",)

    def couple(self, call: Call, coupling: Coupling) -> Labels:
        weight, indices = call.tensor("weight"), call.tensor("indices")
        coupling.freeze_all(indices, "indices into an embedding")
        ids = coupling.resolve(weight, [1], reason="entries of an embedding").get(1)
        if ids is not None:
            coupling.produced.append(ids)
        return Labels.of(call.out_shape, {len(call.out_shape) - 1: ids})
