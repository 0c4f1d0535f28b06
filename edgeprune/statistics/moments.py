"""Streamed mean, magnitude and standard deviation of the activations of each unit."""

from __future__ import annotations

import torch
from torch import Tensor


class Moments:
    """Moments over samples and positions, float64 (m,), on the CPU.

    Sums are of differences from the first value of each unit. Therefore, a constant unit has standard deviation 0, and
    little precision is lost if the deviation is small compared with the mean (Chan, Golub and LeVeque 1983).
    """

    def __init__(self) -> None:
        self._count = 0
        self._shift = torch.zeros(0)
        self._sum = self._squares = self._sizes = torch.zeros((), dtype=torch.float64)

    def add(self, values: Tensor) -> None:
        """Take in ``values`` (samples, m, positions)."""
        if self._count == 0:
            self._shift = values[0, :, :1].clone()
        shifted = values - self._shift
        self._sum = self._sum + _total(shifted)
        self._squares = self._squares + _total(shifted.square())
        self._sizes = self._sizes + _total(values.abs())
        self._count += values.shape[0] * values.shape[2]

    @property
    def mean(self) -> Tensor:
        """Mean of each unit, (m,)."""
        return self._shift.flatten().to("cpu", torch.float64) + self._sum / self._count

    @property
    def mean_size(self) -> Tensor:
        """Mean magnitude of each unit, (m,)."""
        return self._sizes / self._count

    @property
    def std(self) -> Tensor:
        """Standard deviation of the values of each unit, (m,), without a correction for the sample size."""
        return (self._squares / self._count - (self._sum / self._count).square()).clamp(min=0).sqrt()


class ClassMoments:
    """Scatter of the per-sample means of each unit, within and between classes.

    Attributes:
        labels: Class of each sample of the next batch, (samples,). Samples with a class below 0 are skipped.
    """

    def __init__(self) -> None:
        self.labels = torch.zeros(0, dtype=torch.long)
        self._counts = torch.zeros(0, dtype=torch.float64)
        self._sums = self._squares = torch.zeros(0, 0, dtype=torch.float64)
        self._shift = torch.zeros(0)

    def add(self, values: Tensor) -> None:
        """Add ``values``, (samples, m, positions). Values without a dimension of samples are skipped."""
        means = values.mean(2).to("cpu", torch.float64)
        if not len(self._shift):
            self._shift = means[0]
            self._sums = self._squares = means[:0]
        counted = self.labels >= 0
        if len(means) != len(self.labels) or not bool(counted.any()):
            return
        labels = self.labels[counted]
        classes = max(len(self._counts), int(labels.max()) + 1)
        shifted = means[counted] - self._shift
        self._counts = _grown(self._counts, classes).index_add(0, labels, torch.ones(len(labels)).double())
        self._sums = _grown(self._sums, classes, len(self._shift)).index_add(0, labels, shifted)
        self._squares = _grown(self._squares, classes, len(self._shift)).index_add(0, labels, shifted.square())

    @property
    def within(self) -> Tensor:
        """Sum over samples of the squared distance to the mean of their class, (m,)."""
        return (self._squares - self._sums.square() / self._counts.clamp(min=1)[:, None]).clamp(min=0).sum(0)

    @property
    def between(self) -> Tensor:
        """Sum over samples of the squared distance between the mean of their class and the total mean, (m,)."""
        total = self._counts.sum().clamp(min=1)
        centred = self._sums / self._counts.clamp(min=1)[:, None] - self._sums.sum(0) / total
        return (self._counts[:, None] * centred.square()).sum(0)


def _total(values: Tensor) -> Tensor:
    """Return the sum over samples and positions, float64, on the CPU."""
    return values.sum((0, 2)).to("cpu", torch.float64)


def _grown(values: Tensor, *shape: int) -> Tensor:
    """Return ``values``, padded with zeros at the end of each dimension, up to ``shape``."""
    grown = values.new_zeros(shape)
    grown[tuple(slice(size) for size in values.shape)] = values
    return grown
