"""Streamed covariance of the activations of the units of one tensor."""

from __future__ import annotations

import torch
from torch import Tensor


class Covariance:
    """Second moments of all pairs of units over samples and positions, float64 (m, m), on the CPU.

    Sums are of differences from the first value of each unit, as in ``Moments``. A constant unit has variance 0.
    """

    def __init__(self) -> None:
        self._count = 0
        self._shift = torch.zeros(0)
        self._sum = self._products = torch.zeros((), dtype=torch.float64)

    def add(self, values: Tensor) -> None:
        """Add ``values``, (samples, m, positions)."""
        rows = values.movedim(1, -1).reshape(-1, values.shape[1])
        if self._count == 0:
            self._shift = rows[0].clone()
        rows = rows - self._shift
        self._sum = self._sum + rows.sum(0).to("cpu", torch.float64)
        self._products = self._products + (rows.T @ rows).to("cpu", torch.float64)
        self._count += len(rows)

    @property
    def covariance(self) -> Tensor:
        """``mean((x_i - mean_i) * (x_j - mean_j))``."""
        mean = self._sum / self._count
        return self._products / self._count - torch.outer(mean, mean)

    @property
    def second_moment(self) -> Tensor:
        """``mean(x_i * x_j)``."""
        mean = self._shift.to("cpu", torch.float64) + self._sum / self._count
        return self.covariance + torch.outer(mean, mean)
