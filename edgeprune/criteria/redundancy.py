"""Criteria that look for units which others of their layer can stand in for."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from edgeprune.criteria.base import Aggregated, Network, register
from edgeprune.criteria.magnitude import filters
from edgeprune.statistics.covariance import Covariance
from edgeprune.statistics.streamed import stream, views_of


@register
class Fpgm(Aggregated):
    """Sum of the Euclidean distances of a filter to all filters of its layer, over the mean of the layer.

    Small: the filter is near the geometric median of its layer, where others can stand in for it. Both of two equal
    filters score low. He et al., "Filter Pruning via Geometric Median" (2019).
    """

    name = "fpgm"

    def score(self, network: Network) -> Tensor:
        parts = ((unit, torch.cdist(rows.float(), rows.float()).sum(1)) for unit, rows in filters(network))
        return self._together(network.units, parts)


@register
class Cosine(Aggregated):
    """``1 - max |cos(w_i, w_j)|`` over the filters j of the layer that are longer, 0 to 1 before ``normalize``.

    Small: a longer filter points the same way, or the opposite one. Of two that are alike only the shorter scores low,
    so that not both go; the longest has 1, a filter of zeros 0. After Ayinde, Inanc and Zurada, "Redundant Feature
    Pruning for Accelerated Inference in Deep Neural Networks" (2019), who cluster filters by their cosine.
    """

    name = "cosine"

    def score(self, network: Network) -> Tensor:
        return self._together(network.units, ((unit, _distinct(rows.float())) for unit, rows in filters(network)))


class _Pairwise(Aggregated):
    needs = "data"

    def _score(self, network: Network, products: Callable[[Covariance], Tensor]) -> Tensor:
        views = views_of(network.units)
        found = [Covariance() for _ in views]
        stream(views, network.units, network.data, found)
        parts = ((view.units, _alone(products(one))) for view, one in zip(views, found, strict=True))
        return self._together(network.units, parts)


@register
class ActivationSimilarity(_Pairwise):
    """``1 - max cos(x_i, x_j)`` over the units j consumed with i that are stronger, 0 to 1 before ``normalize``.

    ``x_i`` is what unit i gives over all samples and positions, mean included; stronger is the one of larger mean
    square. Small: a stronger unit gives the same but for a factor, which the weights of the consumer can take up. Of
    two that are alike only the weaker scores low. A unit that gives nothing has 0. Compares activations as Mariet and
    Sra, "Diversity Networks" (2016), by their cosine in place of their distance.
    """

    name = "activation_similarity"

    def score(self, network: Network) -> Tensor:
        return self._score(network, lambda found: found.second_moment)


@register
class Correlation(_Pairwise):
    """``1 - max(corr(x_i, x_j), 0)`` over the units j consumed with i that vary more, 0 to 1 before ``normalize``.

    ``x_i`` is what unit i gives over all samples and positions. Small: a unit that varies more goes up and down with
    it. Units that go against each other are kept, as no positive factor turns one into the other. Of two that are alike
    only the one that varies less scores low. A constant unit has 0: a bias can stand in for it. After Suau et al.,
    "Filter Distillation for Network Compression" (2018), who look at the correlations of whole layers.
    """

    name = "correlation"

    def score(self, network: Network) -> Tensor:
        return self._score(network, lambda found: found.covariance)


def _distinct(rows: Tensor) -> Tensor:
    """``1 - max |cos|`` of each row to longer ones, (n,)."""
    length = torch.linalg.vector_norm(rows, dim=1)
    unit = rows / length.clamp(min=torch.finfo(rows.dtype).tiny)[:, None]
    return torch.where(length > 0, 1 - _to_stronger((unit @ unit.T).abs(), length), 0.0)


def _alone(products: Tensor) -> Tensor:
    """``1 - max`` of each unit's normalised products with units of larger square; ``products`` (m, m)."""
    square = products.diagonal().clamp(min=0)
    scale = square.sqrt().clamp(min=torch.finfo(products.dtype).tiny)
    similarity = products / scale[:, None] / scale[None, :]
    return torch.where(square > 0, 1 - _to_stronger(similarity, square), 0.0)


def _to_stronger(similarity: Tensor, strength: Tensor) -> Tensor:
    """The largest similarity of each to one that is stronger, 0 to 1; 0 for the strongest. Ties go by position."""
    order = torch.argsort(strength, descending=True, stable=True)
    largest = similarity[order][:, order].tril(-1).amax(1).clamp(max=1)
    return torch.empty_like(largest).index_copy_(0, order, largest)
