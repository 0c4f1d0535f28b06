"""Criteria that look at how much a unit can tell: the entropy of its weights, of its activations."""

from __future__ import annotations

import torch
from torch import Tensor

from edgeprune.criteria.base import OPTIONS, Aggregate, Aggregated, Network, Normalize, register
from edgeprune.criteria.magnitude import filters
from edgeprune.statistics.accumulators import gather, stream
from edgeprune.statistics.histogram import Histogram, Range


@register
class WeightEntropy(Aggregated):
    """Entropy ``-sum(p_b * log(p_b))`` of the weights of a filter, ``p_b`` the share of them in bin b, in nats.

    The ``bins`` part the range from minus to plus the largest magnitude of the layer. Small: the weights of the filter
    are much alike, at zero or elsewhere. Meng et al., "Filter Grafting for Deep Neural Networks" (2020).
    """

    name = "weight_entropy"

    def __init__(self, bins: int = 32, aggregate: Aggregate = "sum", normalize: Normalize = "mean") -> None:
        super().__init__(aggregate, normalize)
        self._bins = OPTIONS.integer("bins", bins, least=2)

    def score(self, network: Network) -> Tensor:
        return self._together(network.units, ((unit, self._entropy(rows.float())) for unit, rows in filters(network)))

    def _entropy(self, rows: Tensor) -> Tensor:
        largest = rows.abs().max().clamp(min=torch.finfo(rows.dtype).tiny)
        bins = ((rows / largest + 1) / 2 * self._bins).long().clamp(0, self._bins - 1)
        counts = torch.zeros(len(rows), self._bins, device=rows.device)
        share = counts.scatter_add_(1, bins, torch.ones_like(rows)) / rows.shape[1]
        return -torch.xlogy(share, share).sum(1)


@register
class ActivationEntropy(Aggregated):
    """Entropy ``-sum(p_b * log(p_b))`` of a unit's mean activation per sample, ``p_b`` the share of samples in bin b.

    The ``bins`` part the widest range of any unit consumed together, which a first pass over the samples finds; a
    second one counts. In nats. Small: the unit says much the same of most samples; 0 if it says the same of all. Bins
    of each unit's own range, as Luo and Wu, "An Entropy-based Pruning Method for CNN Compression" (2017), would not
    tell a unit that hardly varies from one that does.
    """

    name = "activation_entropy"
    needs = "data"

    def __init__(self, bins: int = 100, aggregate: Aggregate = "sum", normalize: Normalize = "mean") -> None:
        super().__init__(aggregate, normalize)
        self._bins = OPTIONS.integer("bins", bins, least=2)

    def score(self, network: Network) -> Tensor:
        ranges = gather(network.units, network.data, Range)
        found = [(view, Histogram(one, self._bins)) for view, one in ranges]
        stream(found, network.units, network.data)
        return self._together(network.units, ((view.units, one.entropy) for view, one in found))
