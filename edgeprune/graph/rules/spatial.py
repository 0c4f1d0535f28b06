"""Pooling, resizing and sampling, independent for each channel. Positions are frozen."""

from __future__ import annotations

from edgeprune.graph.coupling import Coupling
from edgeprune.graph.index_labels import Labels
from edgeprune.graph.operator_call import Call
from edgeprune.graph.rules.base import Rule, register

_POOLS = ("max_pool", "avg_pool", "adaptive_max_pool", "adaptive_avg_pool")
_RESIZES = ("nearest1d", "nearest2d", "nearest3d", "linear1d", "bilinear2d", "trilinear3d", "bicubic2d")


@register
class Spatial(Rule):
    """Spatial operators. Dimension 1 (0 without a batch) contains the channels, all later dimensions are positions."""

    ops = (
        *(f"aten.{pool}{rank}d" for pool in _POOLS for rank in (1, 2, 3)),
        *(f"aten.max_pool{rank}d_with_indices" for rank in (1, 2, 3)),
        *(f"aten.upsample_{resize}" for resize in _RESIZES),
        *(f"aten._upsample_{exact}" for exact in ("nearest_exact1d", "nearest_exact2d", "nearest_exact3d")),
        *(f"aten._upsample_{smooth}" for smooth in ("bilinear2d_aa", "bicubic2d_aa")),
        "aten.grid_sampler",
        "aten.grid_sampler_2d",
        "aten.grid_sampler_3d",
    )

    def couple(self, call: Call, coupling: Coupling) -> Labels | list[Labels]:
        labels, *others = call.tensors
        rank = next((int(digit) for digit in call.name if digit.isdigit()), len(labels.shape) - 2)
        channel = len(labels.shape) - rank - 1
        ids = coupling.resolve(labels, [channel], reason=f"positions of {call.name}").get(channel)
        for other in others:
            coupling.freeze_all(other, f"positions of {call.name}")
        outputs = [Labels.of(shape, {channel: ids}) for shape in call.out_shapes]
        return outputs if call.many else outputs[0]


@register
class FractionalMaxPool(Rule):
    """Pooling of random regions. ``random_samples``, (batch, channels, rank), has one draw for each channel."""

    ops = ("aten.fractional_max_pool2d", "aten.fractional_max_pool3d")

    def couple(self, call: Call, coupling: Coupling) -> list[Labels]:
        inputs, samples = call.tensor("self"), call.tensor("random_samples")
        channel = len(inputs.shape) - samples.shape[2] - 1
        reason = f"positions of {call.name}"
        ids = coupling.resolve(inputs, [channel], reason=reason).get(channel)
        sample_ids = coupling.resolve(samples, [1], reason=reason).get(1)
        ids = coupling.tie(ids, sample_ids, reason="pooled at places whose number is fixed")
        return [Labels.of(shape, {channel: ids}) for shape in call.out_shapes]
