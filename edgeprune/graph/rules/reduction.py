"""Reductions, and operators that compare or order the indices of a dimension."""

from __future__ import annotations

from torch import Tensor

from edgeprune.graph.coupling import Coupling
from edgeprune.graph.index_labels import Labels
from edgeprune.graph.operator_call import Call
from edgeprune.graph.rules.base import Rule, aten, register
from edgeprune.graph.rules.pointwise import join


@register
class Reduction(Rule):
    """Reductions. A removed index is zero in a sum. Means, variances and extrema are taken over remaining indices."""

    ops = aten(
        "sum mean var std var_mean std_mean amax amin logsumexp norm linalg_vector_norm frobenius_norm nansum nanmean "
        "count_nonzero all any max min prod"
    )

    def couple(self, call: Call, coupling: Coupling) -> Labels | list[Labels]:
        labels = call.tensor(call.first)
        if len(call.tensors) > 1:  # max(a, b) compares place by place
            return join(coupling, call.tensors, call.out_shape)
        rank = len(labels.shape)
        dims = call.get("dim")
        dims = [dims] if isinstance(dims, int) else list(dims or range(rank))
        reduced = {dim % rank for dim in dims}
        input_vectors = keep_outside(coupling, labels, reduced, reason=f"reduced by {call.name}")
        inside = {dim: ids for dim, ids in input_vectors.items() if dim in reduced}
        if call.name == "aten.sum":
            for dim, ids in inside.items():
                coupling.consume(call.node, call.first, dim, ids)
        elif call.name in _COMPARED or _returns_places(call):
            for ids in inside.values():
                coupling.freeze(ids, f"compared with each other by {call.name}")
        elif inside:
            coupling.inexact.add(call.node)
        shape = call.out_shape
        keepdim = len(shape) == rank
        remaining_dims = [dim for dim in range(rank) if keepdim or dim not in reduced]
        vectors = {at: input_vectors.get(dim) for at, dim in enumerate(remaining_dims) if dim not in reduced}
        outputs = [Labels.of(shape, vectors) for shape in call.out_shapes]
        return outputs if call.many else outputs[0]


_COMPARED = ("aten.prod", "aten.all", "aten.any", "aten.count_nonzero")


def _returns_places(call: Call) -> bool:
    """Return whether the network reads the second result of ``max`` or ``min``: indices, which removal changes."""
    places = [user for user in call.node.users if user.args[1] == 1] if call.many else []
    return call.name in ("aten.max", "aten.min") and any(user.users for user in places)


@register
class AlongDimension(Rule):
    """Operators whose results depend on all indices of one dimension, which is therefore frozen."""

    ops = aten(
        "softmax _softmax log_softmax _log_softmax cumsum cumprod logcumsumexp cummax cummin topk sort argsort argmax "
        "argmin median mode kthvalue"
    )

    def couple(self, call: Call, coupling: Coupling) -> Labels | list[Labels]:
        labels = call.tensor(call.first)
        rank, dim = len(labels.shape), call.get("dim")
        dims = set(range(rank)) if dim is None else {dim % rank}
        input_vectors = keep_outside(coupling, labels, dims, reason=f"ordered or normalized by {call.name}")
        for dim in dims:
            coupling.freeze(input_vectors.pop(dim, None), f"ordered or normalized by {call.name}")
        outputs = []
        for shape in call.out_shapes:
            remaining_dims = [d for d in range(rank) if len(shape) == rank or d not in dims]
            outputs.append(Labels.of(shape, {at: input_vectors.get(d) for at, d in enumerate(remaining_dims)}))
        return outputs if call.many else outputs[0]


def keep_outside(coupling: Coupling, labels: Labels, inside: set[int], *, reason: str) -> dict[int, Tensor]:
    """Resolve ``labels`` so that a split dimension keeps, if possible, a factor that is not in ``inside``."""
    outside = [dim for dim in range(len(labels.shape)) if dim not in inside]
    mixed = tuple(track for track in labels.tracks if any(dim in outside for dim in track.dims))
    inner = tuple(track for track in labels.tracks if not any(dim in outside for dim in track.dims))
    resolved = coupling.resolve(Labels(labels.shape, mixed), outside, reason=reason)
    return resolved | coupling.resolve(Labels(labels.shape, inner), reason=reason)
