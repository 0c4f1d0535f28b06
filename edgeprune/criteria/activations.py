"""Criteria by the magnitude and variation of activations."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from edgeprune.criteria.base import OPTIONS, Aggregate, Aggregated, Network, Normalize, register
from edgeprune.statistics.accumulators import gather
from edgeprune.statistics.moments import Moments


class _Activation(Aggregated):
    needs = "data"

    def _score(self, network: Network, read: Callable[[Moments], Tensor]) -> Tensor:
        moments = gather(network.units, network.data, Moments)
        return self._together(network.units, ((view.units, read(one)) for view, one in moments))


@register
class MeanActivation(_Activation):
    """``mean |x_i|`` over samples and positions where the unit is consumed, over the mean of the layer.

    A low score means that the unit contributes little to the layers that read it. Molchanov et al., "Pruning
    Convolutional Neural Networks for Resource Efficient Inference" (2017), section 2.2.
    """

    name = "mean_activation"

    def score(self, network: Network) -> Tensor:
        return self._score(network, lambda moments: moments.mean_size)


@register
class ActivationStd(_Activation):
    """Standard deviation of ``x_i`` over samples and positions where the unit is consumed, over the mean of the layer.

    A low score means that the unit varies little, so that a bias can replace it. A constant unit has the score 0.
    Polyak and Wolf, "Channel-Level Acceleration of Deep Face Representations" (2015), and Molchanov et al. (2017).
    """

    name = "activation_std"

    def score(self, network: Network) -> Tensor:
        return self._score(network, lambda moments: moments.std)


@register
class Apoz(Aggregated):
    """Fraction of the samples and positions where the unit is not zero: one minus the average percentage of zeros.

    A low score means that the unit is mostly inactive. A magnitude of at most ``threshold`` times the root mean square
    of the sample where the unit is consumed counts as zero, so that activation functions other than ReLU have zeros
    too. With a threshold of 0, only exact zeros count. Hu et al., "Network Trimming" (2016).
    """

    name = "apoz"
    needs = "data"

    def __init__(self, threshold: float = 0.01, aggregate: Aggregate = "sum", normalize: Normalize = "mean") -> None:
        super().__init__(aggregate, normalize)
        self._threshold = OPTIONS.number("threshold", threshold, least=0, below=1)

    def score(self, network: Network) -> Tensor:
        active_counts = gather(network.units, network.data, lambda: _Active(self._threshold))
        return self._together(network.units, ((view.units, one.fraction) for view, one in active_counts))


class _Active:
    """Fraction of nonzero values of each unit, (m,)."""

    def __init__(self, threshold: float) -> None:
        self._threshold = threshold
        self._count = 0
        self._active = torch.zeros((), dtype=torch.float64)

    def add(self, values: Tensor) -> None:
        limit = self._threshold * values.square().mean((1, 2), keepdim=True).sqrt()
        self._active = self._active + (values.abs() > limit).sum((0, 2)).to("cpu", torch.float64)
        self._count += values.shape[0] * values.shape[2]

    @property
    def fraction(self) -> Tensor:
        return self._active / self._count
