"""Complex numbers, as rotary position embeddings multiply them: real and imaginary part are removed together."""

from __future__ import annotations

from torch import Tensor

from edgeprune.graph.coupling import Coupling
from edgeprune.graph.index_labels import Labels, Track
from edgeprune.graph.operator_call import Call
from edgeprune.graph.rules.base import Rule, aten, register
from edgeprune.graph.rules.pointwise import join


@register
class ComplexView(Rule):
    """``view_as_complex``, which reads the last dimension, of size 2, as real and imaginary part."""

    ops = ("aten.view_as_complex",)

    def couple(self, call: Call, coupling: Coupling) -> Labels:
        labels = call.tensor("self")
        last = len(labels.shape) - 1
        tracks = []
        for track in labels.tracks:
            if track.dims == (last,):
                coupling.freeze(track.ids, "real and imaginary part of one number")
            elif last in track.dims:
                tracks.append(Track(track.dims[:-1], _tie_parts(coupling, track.ids)))
            else:
                tracks.append(track)
        return Labels(call.out_shape, tuple(tracks))


@register
class ComplexParts(Rule):
    """Operators that return both parts along a new last dimension, one of them, or the conjugate."""

    ops = aten("view_as_real real imag _conj _conj_physical conj_physical resolve_conj")

    def couple(self, call: Call, coupling: Coupling) -> Labels:
        return Labels(call.out_shape, call.tensor("self").tracks)


@register
class ComplexFromParts(Rule):
    """Complex numbers from real and imaginary part, or from magnitude and angle."""

    ops = aten("complex polar")

    def couple(self, call: Call, coupling: Coupling) -> Labels:
        return join(coupling, call.tensors, call.out_shape)


def _tie_parts(coupling: Coupling, ids: Tensor) -> Tensor:
    """Tie the two ids of each number, (..., 2), and return one id for each, (...)."""
    return coupling.tie_rows(ids.reshape(-1, 2)).reshape(ids.shape[:-1])
