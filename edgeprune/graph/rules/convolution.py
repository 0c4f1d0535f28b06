"""Convolutions of any rank: standard, grouped, depthwise and transposed."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from edgeprune.graph.coupling import Coupling
from edgeprune.graph.index_labels import Labels
from edgeprune.graph.operator_call import Call
from edgeprune.graph.rules.base import Keep, Rule, register, remaining_size
from edgeprune.operator_facts.aten_operators import ATEN

_FIXED = "a convolution reads data whose channels are fixed"


@register
class Convolution(Rule):
    """``weight`` is (out_ch, in_ch / groups, *kernel); transposed, it is (in_ch, out_ch / groups, *kernel)."""

    ops = ATEN.names(lambda facts: facts.is_convolution)

    def couple(self, call: Call, coupling: Coupling) -> Labels:
        inputs, weight, bias = call.tensor("input"), call.tensor("weight"), call.labels("bias")
        channel = _channel(call)
        outer_dims = _pointwise_dims(call, channel)
        vectors = coupling.resolve(inputs, [channel, *outer_dims], reason="positions of a convolution")
        x = vectors.pop(channel, None)
        w = coupling.resolve(weight, [0, 1], reason="positions of a kernel")
        outer, inner = w.get(0), w.get(1)
        transposed, groups = _transposed(call), call["groups"]

        if groups > 1:
            out = _couple_groups(coupling, x, outer, inner, weight=weight.shape, groups=groups, transposed=transposed)
            if weight.shape[1] > 1:
                coupling.consume(call.node, "input", channel, x)
        else:
            into, out = (outer, inner) if transposed else (inner, outer)
            coupling.tie(x, into, reason=_FIXED)
            coupling.consume(call.node, "input", channel, into)
        if bias is not None:
            out = coupling.tie(out, bias.vector(0), reason="a bias of fixed size")
        if out is not None:
            coupling.produced.append(out)
        sites = inputs.shape if transposed else call.out_shape
        positions = math.prod(size for dim, size in enumerate(sites) if dim != channel and dim not in vectors)
        shape = (*weight.shape[:2], *(inputs.shape[dim] for dim in vectors))
        coupling.multiply(call.node, shape, (outer, inner, *vectors.values()), positions, *weight.shape[2:])
        return Labels.of(call.out_shape, {channel: out, **vectors})

    def resize(self, call: Call, keep: Mapping[str, Keep], out: Sequence[Keep]) -> Mapping[str, Any]:
        if call["groups"] == 1:
            return {}
        # The dimension that the weight splits by groups, over what one group has of it.
        channel = _channel(call)
        if _transposed(call):
            total = remaining_size(out[0], channel, call.out_shape[channel])
        else:
            total = remaining_size(keep.get("input"), channel, call.shape("input")[channel])
        return {"groups": total // remaining_size(keep.get("weight"), 1, call.shape("weight")[1])}


def _couple_groups(
    coupling: Coupling,
    x: Tensor | None,
    outer: Tensor | None,
    inner: Tensor | None,
    *,
    weight: tuple[int, ...],
    groups: int,
    transposed: bool,
) -> Tensor | None:
    """Keep the groups equal: tie whole groups, or the same positions of each group, whichever gives more units."""
    if x is None or outer is None:
        for ids in (x, outer, inner):
            coupling.freeze(ids, _FIXED)
        return None
    own = x.reshape(groups, -1)
    rows = outer.reshape(groups, -1)
    if groups >= own.shape[1]:
        coupling.freeze(inner, "channels of one group of a grouped convolution")
        tied_rows = coupling.tie_rows(torch.cat([own, rows], 1))
        return tied_rows.repeat_interleave(weight[1] if transposed else rows.shape[1])
    if transposed:
        coupling.tie_rows(torch.cat([own, rows]).T)
        return None if inner is None else inner.repeat(groups)
    coupling.tie(coupling.tie_rows(own.T), inner, reason=_FIXED)
    return coupling.tie_rows(rows.T).repeat(groups)


def _channel(call: Call) -> int:
    """Return the dimension of the channels: 1, or 0 for an input without a batch."""
    return len(call.shape("input")) - len(call.shape("weight")) + 1


def _pointwise_dims(call: Call, channel: int) -> list[int]:
    """Return the dimensions along which each position of the output reads the same position of the input alone."""
    kernel = call.shape("weight")[2:]

    def along(name: str, dim: int) -> Any:
        values = call.get(name, 0)
        values = list(values) if isinstance(values, (list, tuple)) else [values]
        return values[dim] if len(values) > 1 else values[0]

    return [
        channel + 1 + dim
        for dim, size in enumerate(kernel)
        if size == along("stride", dim) == 1
        and along("padding", dim) in (0, "same", "valid")
        and not along("output_padding", dim)
    ]


def _transposed(call: Call) -> bool:
    return "transpose" in call.name or bool(call.get("transposed"))
