"""Criterion by the scales of normalization layers."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from edgeprune.criteria.base import Aggregated, Network, register
from edgeprune.criteria.magnitude import filters
from edgeprune.graph.graph_operators import argument_names, is_operator_call, operator_name
from edgeprune.graph.rules import rule_for
from edgeprune.graph.rules.normalization import ChannelNorm, GroupNorm, LayerNorm


@register
class BnScale(Aggregated):
    """Magnitude ``|gamma|`` of the scales by which normalizations multiply a unit, over the mean of the layer.

    BatchNorm, InstanceNorm, GroupNorm, LayerNorm and RMSNorm are used, after the layer that produces the unit or before
    a layer that reads it. A low score means that the normalized unit varies little. The criterion is most informative
    for networks trained with an L1 penalty on gamma. The score of a unit without such a scale is the Euclidean norm of
    its filters over the mean of their layer, which is the magnitude of its output for inputs of unit variance.
    Liu et al., "Learning Efficient Convolutional Networks through Network Slimming" (2017).
    """

    name = "bn_scale"

    def score(self, network: Network) -> Tensor:
        parts = list(_scales(network))
        scaled = torch.zeros(len(network.units), dtype=torch.bool)
        for unit, _ in parts:
            scaled[unit[unit >= 0]] = True
        for unit, rows in filters(network):
            bare = (unit >= 0) & ~scaled[unit]
            if bool(bare.any()):
                # The mean is that of the whole layer, so it is taken before the scaled units are left out.
                parts.append((torch.where(bare, unit, -1), torch.linalg.vector_norm(rows.float(), dim=1)))
        return self._together(network.units, parts)


def _scales(network: Network) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield the unit of each index and |gamma|, both (n,), for each normalization with a scale."""
    coordinates = network.units.coordinates
    owners = {(owner.name, owner.dim): owner for owner in coordinates.coupling.owners}
    state = dict(network.model.named_parameters(remove_duplicate=False))
    names = set()
    for node in coordinates.program.graph.nodes:
        if not is_operator_call(node):
            continue
        if not isinstance(rule_for(operator_name(node.target)), (ChannelNorm, LayerNorm, GroupNorm)):
            continue
        arguments = {**dict(zip(argument_names(node.target), node.args, strict=False)), **node.kwargs}
        name = str(getattr(arguments.get("weight"), "target", ""))
        owner = owners.get((coordinates.aliases.get(name, name), 0))
        if owner is not None and name in state and state[name].ndim == 1 and owner.name not in names:
            names.add(owner.name)
            unit = network.units.unit_of[owner.start : owner.start + owner.size]
            yield unit, state[name].detach().float().abs()
