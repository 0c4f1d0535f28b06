"""Criteria by information content: the entropy of the weights or of the activations of a unit."""

from __future__ import annotations

import torch
from torch import Tensor

from edgeprune.criteria.base import OPTIONS, Aggregate, Aggregated, Network, Normalize, register
from edgeprune.criteria.magnitude import filters
from edgeprune.statistics.accumulators import gather, stream
from edgeprune.statistics.histogram import Histogram, Range


@register
class WeightEntropy(Aggregated):
    """Entropy ``-sum(p_b * log(p_b))`` of the weights of a filter in nats, ``p_b`` the fraction of them in bin b.

    The ``bins`` divide the range from minus to plus the largest magnitude of the layer. A low score means that the
    weights of the filter are similar. Meng et al., "Filter Grafting for Deep Neural Networks" (2020).
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
        fraction = counts.scatter_add_(1, bins, torch.ones_like(rows)) / rows.shape[1]
        return -torch.xlogy(fraction, fraction).sum(1)


@register
class ActivationEntropy(Aggregated):
    """Entropy ``-sum(p_b * log(p_b))`` of the mean activation of samples, ``p_b`` the fraction of samples in bin b.

    The ``bins`` divide the widest range of any unit that is consumed together. A first pass over the samples computes
    the range, a second pass counts. The unit is nats. A low score means that the activation is similar for most
    samples, and 0 means that it is equal for all. Bins over the range of each unit, as in Luo and Wu, "An Entropy-based
    Pruning Method for CNN Compression" (2017), would not distinguish units with small and large variation.
    """

    name = "activation_entropy"
    needs = "data"

    def __init__(self, bins: int = 100, aggregate: Aggregate = "sum", normalize: Normalize = "mean") -> None:
        super().__init__(aggregate, normalize)
        self._bins = OPTIONS.integer("bins", bins, least=2)

    def score(self, network: Network) -> Tensor:
        ranges = gather(network.units, network.data, Range)
        histograms = [(view, Histogram(one, self._bins)) for view, one in ranges]
        stream(histograms, network.units, network.data)
        return self._together(network.units, ((view.units, one.entropy) for view, one in histograms))
