"""Closed forms for what a layer should do now that it reads something else."""

from __future__ import annotations

import torch
from torch import Tensor

_RIDGE = 1e-3
"""Ridge as a fraction of the mean variance of a feature: keeps weights near the dense ones where data is missing."""


class PairedMoments:
    """Streamed first and second moments of a layer's rows, of the pruned network beside the dense one."""

    def __init__(self, groups: int, features: int) -> None:
        self.count = 0
        self._pruned = torch.zeros(groups, features, dtype=torch.float64)
        self._dense = torch.zeros(groups, features, dtype=torch.float64)
        self._square = torch.zeros(groups, features, features, dtype=torch.float64)
        self._cross = torch.zeros(groups, features, features, dtype=torch.float64)

    def add(self, pruned: Tensor, dense: Tensor) -> None:
        """Take in rows (groups, rows, features) of both networks for the same samples and positions."""
        self.count += pruned.shape[1]
        self._pruned += pruned.sum(1).double().cpu()
        self._dense += dense.sum(1).double().cpu()
        self._square += (pruned.mT @ pruned).double().cpu()
        self._cross += (pruned.mT @ dense).double().cpu()

    @property
    def means(self) -> tuple[Tensor, Tensor]:
        """Mean rows of the pruned and the dense network, each (groups, features)."""
        return self._pruned / self.count, self._dense / self.count

    def second(self, *, centred: bool) -> tuple[Tensor, Tensor]:
        """Second moments pruned by pruned and pruned by dense, each (groups, features, features)."""
        square, cross = self._square / self.count, self._cross / self.count
        if not centred:
            return square, cross
        pruned, dense = self.means
        return square - pruned[:, :, None] * pruned[:, None, :], cross - pruned[:, :, None] * dense[:, None, :]


def least_squares(weight: Tensor, kept: Tensor, moments: PairedMoments, *, shifts: bool) -> Tensor:
    """The matrix that makes of the pruned network's rows what ``weight`` makes of the dense one's, nearest in squares.

    Ridge regression towards ``weight``. He et al., "Channel Pruning for Accelerating Very Deep Neural Networks" (2017),
    equation 5; rows of the pruned network against outputs of the dense one after Zhang et al. (2016), section 3.3.

    Args:
        weight: Dense, float64 (groups, out, features).
        kept: Mask of the features that are there, (groups, features).
        moments: Of the layer's rows.
        shifts: Whether the layer's bias follows, see ``shift``; without, the matrix makes up for means as well.

    Returns:
        (groups, out, features), zero where a feature is gone.
    """
    square, cross = moments.second(centred=shifts)
    there = kept.double()
    variance = square.diagonal(dim1=-2, dim2=-1)
    ridge = _RIDGE * (variance * there).sum(1) / there.sum(1).clamp(min=1)
    ridge = ridge.clamp(min=1e-12)[:, None]
    known = square * there[:, :, None] * there[:, None, :] + torch.diag_embed(torch.where(kept, ridge, 1.0))
    wanted = (weight @ cross.mT + ridge[:, :, None] * weight) * there[:, None, :]
    fitted: Tensor = torch.linalg.solve(known, wanted.mT)
    return fitted.mT


def shift(weight: Tensor, fitted: Tensor, moments: PairedMoments) -> Tensor:
    """Change of the bias, (groups, out), that keeps the mean of the outputs when ``fitted`` replaces ``weight``.

    With ``fitted`` the dense matrix without the removed features this is the sum over what was removed of its mean
    times its weight, and exact for what was constant. Mean-activation compensation: Morcos et al. (2018) remove a unit
    so, by fixing it at its mean; Ye et al. (2018), section 4, fold constants into what follows.
    """
    pruned, dense = moments.means
    return (weight @ dense.unsqueeze(2) - fitted @ pruned.unsqueeze(2)).squeeze(2)
