"""Criteria that look at the size of weights."""

from __future__ import annotations

import torch
from torch import Tensor

from edgeprune.criteria.base import Criterion, Network, per_unit, register


@register
class L2(Criterion):
    """Sum over the layers that make a unit of the L2 norm of its filter there, over the mean norm of that layer.

    A filter is a slice ``(out_ch, in_ch, kh, kw)[i]`` of the weight. A unit that many layers make (a channel of a
    residual stream) is as important as all its filters together. After Li et al., "Pruning Filters for Efficient
    ConvNets" (2017), with L2 for their L1.
    """

    name = "l2"

    def score(self, network: Network) -> Tensor:
        units = network.units
        scores = torch.zeros(len(units), dtype=torch.float64)
        made = {(member.tensor, member.dim) for group in units.groups for member in group.producers}
        state = dict(network.model.named_parameters(remove_duplicate=False))
        for owner in units.coordinates.coupling.owners:
            if (owner.name, owner.dim) in made and owner.name in state:
                filters = state[owner.name].detach().movedim(owner.dim, 0).reshape(owner.size, -1)
                norms = torch.linalg.vector_norm(filters, dim=1).double().cpu()
                per_unit(units, owner.start, norms / norms.mean().clamp(min=1e-12), scores)
        return scores
