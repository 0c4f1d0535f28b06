"""Scaled dot-product attention, including grouped queries."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor

from edgeprune.graph.coupling import Coupling
from edgeprune.graph.index_labels import Labels
from edgeprune.graph.operator_call import Call
from edgeprune.graph.rules.base import Keep, Rule, register

_FIXED = "attention with data whose size is fixed"


@register
class Attention(Rule):
    """``query`` (..., heads, targets, dim), ``key`` and ``value`` (..., heads or fewer, sources, dim)."""

    ops = ("aten.scaled_dot_product_attention",)

    def couple(self, call: Call, coupling: Coupling) -> Labels:
        query, key, value = (call.tensor(name) for name in ("query", "key", "value"))
        q, k, v = (coupling.resolve(labels, reason=_FIXED) for labels in (query, key, value))
        rank = len(query.shape)
        width = coupling.tie(q.get(rank - 1), k.get(rank - 1), reason=_FIXED)
        coupling.consume(call.node, "query", rank - 1, width)
        vectors: dict[int, Tensor | None] = {rank - 1: v.get(rank - 1)}
        for dim in range(rank - 2):
            shared: list[Tensor | None] = [source_vectors.get(dim) for source_vectors in (k, v)]
            if key.shape[dim] < query.shape[dim] and key.shape[dim] > 1:
                repeats = query.shape[dim] // key.shape[dim]
                shared = [None if ids is None else ids.repeat_interleave(repeats) for ids in shared]
            elif key.shape[dim] < query.shape[dim]:
                shared = []
            vectors[dim] = coupling.tie(q.get(dim), *shared, reason=_FIXED)
        for source_vectors in (k, v):
            coupling.freeze(source_vectors.get(rank - 2), "sources of an attention")
        vectors[rank - 2] = q.get(rank - 2)
        mask = call.labels("attn_mask")
        if mask is not None:
            scores = (*query.shape[:-1], key.shape[-2])
            for dim, ids in coupling.resolve(mask, range(len(mask.shape) - 2), reason=_FIXED).items():
                of_scores = dim - len(mask.shape) + len(scores)
                vectors[of_scores] = coupling.tie(vectors.get(of_scores), ids, reason=_FIXED)
        outer = (*query.shape[:-1], key.shape[-2])
        row_vectors = [*(vectors.get(dim) for dim in range(rank - 1)), None]
        coupling.multiply(call.node, (*outer, query.shape[-1]), (*row_vectors, width))
        coupling.multiply(call.node, (*outer, value.shape[-1]), (*row_vectors, v.get(rank - 1)))
        return Labels.of(call.out_shape, vectors)

    def resize(self, call: Call, keep: Mapping[str, Keep], out: Sequence[Keep]) -> Mapping[str, Any]:
        width = call.shape("query")[-1]
        narrower = len(call.shape("query")) - 1 in keep.get("query", {})
        # Scores were divided by the root of the dense width: that must not change with what is left of it.
        return {"scale": width**-0.5} if narrower and call.get("scale") is None else {}
