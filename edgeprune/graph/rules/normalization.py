"""Normalizations. For those that mix channels, the reference of the equivalence check is the sliced operator itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor

from edgeprune.graph.coupling import Coupling
from edgeprune.graph.index_labels import Labels
from edgeprune.graph.operator_call import Call
from edgeprune.graph.rules.base import Keep, Rule, register, remaining_size
from edgeprune.graph.rules.reduction import keep_outside

_FIXED = "normalized together with data whose size is fixed"


@register
class ChannelNorm(Rule):
    """Batch and instance normalization of (batch, channels, *positions), independent for each channel.

    Tracked positions occur where weights are standardized: (1, outputs, inputs x kernel). They remain prunable; if the
    call computes the statistics of its input, these change with each removed position.
    """

    ops = ("aten.batch_norm", "aten.instance_norm", "aten.cudnn_batch_norm", "aten.native_batch_norm")

    def couple(self, call: Call, coupling: Coupling) -> Labels | list[Labels]:
        inputs = call.tensor("input")
        positions = tuple(track for track in inputs.tracks if 1 not in track.dims)
        channels = Labels(inputs.shape, tuple(track for track in inputs.tracks if 1 in track.dims))
        ids = coupling.resolve(channels, [1], reason=_FIXED).get(1)
        for name in ("weight", "bias", "running_mean", "running_var"):
            labels = call.labels(name)
            if labels is not None:
                ids = coupling.tie(ids, labels.vector(0), reason=_FIXED)
        if positions and call.get("training", call.get("use_input_stats")):
            coupling.inexact.add(call.node)
        statistics = [
            Labels.of(shape, {0: ids}) if shape == inputs.shape[1:2] else Labels(shape) for shape in call.out_shapes[1:]
        ]
        outputs = [Labels(inputs.shape, (*Labels.of(inputs.shape, {1: ids}).tracks, *positions)), *statistics]
        return outputs if call.many else outputs[0]

    def module_attributes(self, call: Call, out: Sequence[Keep]) -> Mapping[str, Any]:
        return {"num_features": remaining_size(out[0], 1, call.shape("input")[1])}


@register
class LayerNorm(Rule):
    """Layer and RMS normalization over the last dimensions. The statistics change with each removed index."""

    ops = ("aten.layer_norm", "aten.rms_norm", "aten.native_layer_norm")

    def couple(self, call: Call, coupling: Coupling) -> Labels | list[Labels]:
        inputs = call.tensor("input")
        first = len(inputs.shape) - len(call["normalized_shape"])
        vectors: dict[int, Tensor | None] = dict(
            keep_outside(coupling, inputs, set(range(first, len(inputs.shape))), reason=_FIXED)
        )
        for name in ("weight", "bias"):
            labels = call.labels(name)
            if labels is not None:
                for dim in range(first, len(inputs.shape)):
                    vectors[dim] = coupling.tie(vectors.get(dim), labels.vector(dim - first), reason=_FIXED)
        if any(vectors.get(dim) is not None for dim in range(first, len(inputs.shape))):
            coupling.inexact.add(call.node)
        outer = {dim: ids for dim, ids in vectors.items() if dim < first}
        outputs = [Labels.of(inputs.shape, vectors), *(Labels.of(shape, outer) for shape in call.out_shapes[1:])]
        return outputs if call.many else outputs[0]

    def resize(self, call: Call, keep: Mapping[str, Keep], out: Sequence[Keep]) -> Mapping[str, Any]:
        shape = call.shape("input")
        first = len(shape) - len(call["normalized_shape"])
        return {"normalized_shape": [remaining_size(out[0], dim, shape[dim]) for dim in range(first, len(shape))]}


@register
class GroupNorm(Rule):
    """Group normalization. Units are whole groups, or the same positions of each group, whichever gives more units."""

    ops = ("aten.group_norm",)

    def couple(self, call: Call, coupling: Coupling) -> Labels:
        inputs, groups = call.labels("input"), call["num_groups"]
        assert inputs is not None
        ids = coupling.resolve(inputs, [1], reason="positions of a normalization").get(1)
        for name in ("weight", "bias"):
            labels = call.labels(name)
            if labels is not None:
                ids = coupling.tie(ids, labels.vector(0), reason=_FIXED)
        if ids is not None:
            rows = ids.reshape(groups, -1)
            if groups >= rows.shape[1]:
                ids = coupling.tie_rows(rows).repeat_interleave(rows.shape[1])
            else:
                ids = coupling.tie_rows(rows.T).repeat(groups)
                coupling.inexact.add(call.node)
        return Labels.of(inputs.shape, {1: ids})

    def resize(self, call: Call, keep: Mapping[str, Keep], out: Sequence[Keep]) -> Mapping[str, Any]:
        channels, groups = call.out_shape[1], call["num_groups"]
        width = channels // groups
        return {"num_groups": remaining_size(out[0], 1, channels) // width} if groups >= width else {}


@register
class WeightNorm(Rule):
    """``weight_norm``: each index along ``dim`` of ``v`` is scaled to the length ``g`` over its remaining elements."""

    ops = ("aten._weight_norm", "aten._weight_norm_interface")

    def couple(self, call: Call, coupling: Coupling) -> Labels | list[Labels]:
        direction, length = call.tensor("v"), call.tensor("g")
        own = call["dim"] % len(direction.shape)
        vectors: dict[int, Tensor | None] = dict(coupling.resolve(direction, reason=_FIXED))
        vectors[own] = coupling.tie(vectors.get(own), length.vector(own), reason=_FIXED)
        if any(ids is not None for dim, ids in vectors.items() if dim != own):
            coupling.inexact.add(call.node)
        outputs = [Labels.of(call.out_shapes[0], vectors)]
        outputs += [Labels.of(shape, {own: vectors[own]}) for shape in call.out_shapes[1:]]
        return outputs if call.many else outputs[0]
