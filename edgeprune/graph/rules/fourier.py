"""Fourier transforms along positions, which are independent for each channel. Transformed dimensions are frozen."""

from __future__ import annotations

from edgeprune.graph.coupling import Coupling
from edgeprune.graph.index_labels import Labels
from edgeprune.graph.operator_call import Call
from edgeprune.graph.rules.base import Rule, aten, register
from edgeprune.graph.rules.reduction import keep_outside


@register
class Fourier(Rule):
    """Transforms of the dimensions ``dim``, a number or a list; without it, of the last ones in ``s``, or of all."""

    ops = aten(
        "fft_fft fft_ifft fft_rfft fft_irfft fft_hfft fft_ihfft fft_fft2 fft_ifft2 fft_rfft2 fft_irfft2 fft_fftn "
        "fft_ifftn fft_rfftn fft_irfftn"
    )

    def couple(self, call: Call, coupling: Coupling) -> Labels:
        labels = call.tensor("self")
        rank, dims, sizes = len(labels.shape), call.get("dim"), call.get("s")
        if dims is None:
            dims = range(rank - len(sizes), rank) if sizes else range(rank)
        transformed = {dim % rank for dim in ([dims] if isinstance(dims, int) else dims)}
        vectors = keep_outside(coupling, labels, transformed, reason=f"transformed by {call.name}")
        for dim in transformed:
            coupling.freeze(vectors.pop(dim, None), f"transformed by {call.name}")
        return Labels.of(call.out_shape, vectors)
