"""Histograms of the per-sample means of units, computed in two passes over the samples."""

from __future__ import annotations

import torch
from torch import Tensor


class Range:
    """Smallest and largest per-sample mean of each unit, both (m,)."""

    def __init__(self) -> None:
        self.low = torch.full((), torch.inf)
        self.high = torch.full((), -torch.inf)

    def add(self, values: Tensor) -> None:
        """Take in ``values`` (samples, m, positions)."""
        means = values.mean(2).cpu()
        self.low = torch.minimum(self.low, means.amin(0))
        self.high = torch.maximum(self.high, means.amax(0))


class Histogram:
    """Counts of the per-sample means of each unit in ``bins`` bins from its smallest one on, (m, bins).

    The bins of all units are of one width, those of the widest range: what hardly varies fills few of them.
    """

    def __init__(self, value_range: Range, bins: int) -> None:
        self._low = value_range.low
        self._width = ((value_range.high - value_range.low).max() / bins).clamp(min=torch.finfo(torch.float32).tiny)
        self._bins = bins
        self.counts = torch.zeros(len(value_range.low), bins, dtype=torch.float64)

    def add(self, values: Tensor) -> None:
        """Take in ``values`` (samples, m, positions)."""
        means = values.mean(2).cpu()
        bins = ((means - self._low) / self._width).long().clamp(0, self._bins - 1).T
        self.counts.scatter_add_(1, bins, torch.ones_like(bins, dtype=torch.float64))

    @property
    def entropy(self) -> Tensor:
        """Shannon entropy of each unit in nats, 0 to log(bins), (m,)."""
        fraction = self.counts / self.counts.sum(1, keepdim=True).clamp(min=1)
        return -torch.xlogy(fraction, fraction).sum(1)
