"""Criteria by redundancy: units that other units of their layer can replace."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from edgeprune.criteria.base import Aggregate, Aggregated, Network, Normalize, register
from edgeprune.criteria.magnitude import filters
from edgeprune.errors import InputError
from edgeprune.statistics.accumulators import gather
from edgeprune.statistics.covariance import Covariance


@register
class Fpgm(Aggregated):
    """Sum of the Euclidean distances of a filter to all filters of its layer, over the mean of the layer.

    A low score means that the filter is near the geometric median of its layer, so that other filters can replace it.
    Both of two equal filters have low scores. He et al., "Filter Pruning via Geometric Median" (2019).
    """

    name = "fpgm"

    def score(self, network: Network) -> Tensor:
        parts = ((unit, torch.cdist(rows.float(), rows.float()).sum(1)) for unit, rows in filters(network))
        return self._together(network.units, parts)


class _Replaceable(Aggregated):
    """Option ``weighted``: whether the score includes the magnitude of the unit, or only its dissimilarity to others.

    With the magnitude, a score is low because the unit is small or because another unit is similar. On the CIFAR
    ResNet-56, this ranks units more like the loss after removal of single units without repair. Magnitude alone has
    the same effect (``scripts/bench_criteria.py``).
    """

    def __init__(self, weighted: bool = True, aggregate: Aggregate = "sum", normalize: Normalize = "mean") -> None:
        super().__init__(aggregate, normalize)
        if not isinstance(weighted, bool):
            raise InputError(f"criterion: weighted: got {weighted!r}, must be True or False")
        self._weighted = weighted

    def _residuals(self, products: Tensor, *, opposed: bool) -> Tensor:
        """Return the magnitude of each unit without its component along the most similar stronger unit, (n,).

        Args:
            products: Scalar products of all pairs of units, (n, n). The diagonal contains the squared magnitudes.
            opposed: Whether units of opposite direction count as similar.
        """
        size = products.diagonal().clamp(min=0).sqrt()
        scale = size.clamp(min=torch.finfo(size.dtype).tiny)
        similarity = products / scale[:, None] / scale[None, :]
        residual = (1 - _to_stronger(similarity.abs() if opposed else similarity, size).square()).sqrt()
        return residual * size if self._weighted else torch.where(size > 0, residual, 0.0)


@register
class Cosine(_Replaceable):
    """``|w_i| * sqrt(1 - max cos(w_i, w_j)^2)`` over the filters j of the layer that are longer.

    This is the distance of the filter from the line through the longer filter with the most similar direction. A low
    score means that a longer filter has the same or the opposite direction, or that the filter is short. Of two similar
    filters, only the shorter one has a low score, so that one of them remains. A filter of zeros has the score 0. After
    Ayinde, Inanc and Zurada, "Redundant Feature Pruning for Accelerated Inference in Deep Neural Networks" (2019), who
    cluster filters by their cosine.
    """

    name = "cosine"

    def score(self, network: Network) -> Tensor:
        parts = ((unit, rows.float()) for unit, rows in filters(network))
        return self._together(
            network.units, ((unit, self._residuals(rows @ rows.T, opposed=True)) for unit, rows in parts)
        )


class _Pairwise(_Replaceable):
    needs = "data"

    def _score(self, network: Network, products: Callable[[Covariance], Tensor]) -> Tensor:
        covariances = gather(network.units, network.data, Covariance)
        parts = ((view.units, self._residuals(products(one), opposed=False)) for view, one in covariances)
        return self._together(network.units, parts)


@register
class ActivationSimilarity(_Pairwise):
    """``rms(x_i) * sqrt(1 - max(cos(x_i, x_j), 0)^2)`` over the units j consumed with i that are stronger.

    ``x_i`` is the activation of unit i over all samples and positions, including its mean. The stronger of two units
    has the larger root mean square. A low score means that a stronger unit has proportional activations, so that the
    weights of the consumer can compensate for the removal, or that the activations are small. Of two similar units,
    only the weaker one has a low score. Mariet and Sra, "Diversity Networks" (2016), with the cosine of the activations
    instead of their distance.
    """

    name = "activation_similarity"

    def score(self, network: Network) -> Tensor:
        return self._score(network, lambda covariance: covariance.second_moment)


@register
class Correlation(_Pairwise):
    """``std(x_i) * sqrt(1 - max(corr(x_i, x_j), 0)^2)`` over the units j consumed with i that vary more.

    This is the standard deviation of the residual if the unit is predicted from the most correlated unit. ``x_i`` is
    the activation of unit i over all samples and positions. A low score means that a unit with more variation is
    positively correlated with it, or that the unit hardly varies. Negative correlations do not lower the score. Of two
    similar units, only the one with less variation has a low score. A constant unit has the score 0, because a bias can
    replace it. After Suau et al., "Filter Distillation for Network Compression" (2018), who use the correlations of
    entire layers.
    """

    name = "correlation"

    def score(self, network: Network) -> Tensor:
        return self._score(network, lambda covariance: covariance.covariance)


def _to_stronger(similarity: Tensor, strength: Tensor) -> Tensor:
    """Return the largest similarity of each unit to a stronger one, 0 to 1. Ties are ordered by position."""
    order = torch.argsort(strength, descending=True, stable=True)
    largest = similarity[order][:, order].tril(-1).amax(1).clamp(max=1)
    return torch.empty_like(largest).index_copy_(0, order, largest)
