"""Closed-form refit of the weights and bias of a layer whose inputs changed."""

from __future__ import annotations

import torch
from torch import Tensor

_RIDGE = 1e-3
"""Ridge as a fraction of the mean variance of a feature. It keeps weights near the dense ones without enough data."""


class PairedMoments:
    """Streamed first and second moments of the rows of a layer in the pruned and in the dense network."""

    def __init__(self, groups: int, features: int) -> None:
        self.count = 0
        self._pruned = torch.zeros(groups, features, dtype=torch.float64)
        self._dense = torch.zeros(groups, features, dtype=torch.float64)
        self._square = torch.zeros(groups, features, features, dtype=torch.float64)
        self._cross = torch.zeros(groups, features, features, dtype=torch.float64)

    def add(self, pruned: Tensor, dense: Tensor) -> None:
        """Add rows, (groups, rows, features), of both networks for the same samples and positions."""
        self.count += pruned.shape[1]
        self._pruned += pruned.sum(1).double().cpu()
        self._dense += dense.sum(1).double().cpu()
        self._square += (pruned.mT @ pruned).double().cpu()
        self._cross += (pruned.mT @ dense).double().cpu()

    @property
    def means(self) -> tuple[Tensor, Tensor]:
        """Mean row of the pruned and of the dense network, each (groups, features)."""
        return self._pruned / self.count, self._dense / self.count

    def second(self, *, centred: bool) -> tuple[Tensor, Tensor]:
        """Return the second moments pruned by pruned and pruned by dense, each (groups, features, features)."""
        square, cross = self._square / self.count, self._cross / self.count
        if not centred:
            return square, cross
        pruned, dense = self.means
        return square - pruned[:, :, None] * pruned[:, None, :], cross - pruned[:, :, None] * dense[:, None, :]


def least_squares(weight: Tensor, remaining: Tensor, moments: PairedMoments, *, shifts: bool) -> Tensor:
    """Fit the matrix that maps rows of the pruned network to the outputs of ``weight`` in the dense network.

    This is a ridge regression towards ``weight``. He et al., "Channel Pruning for Accelerating Very Deep Neural
    Networks" (2017), equation 5; with rows of the pruned network and outputs of the dense network as in Zhang et al.
    (2016), section 3.3. Complexity: O(features^3) for each group.

    Args:
        weight: Dense weight, float64 (groups, out, features).
        remaining: Mask of the remaining features, (groups, features).
        moments: Moments of the rows of the layer.
        shifts: Whether the bias is adapted with ``shift``. If False, the matrix also compensates for means.

    Returns:
        Fitted weight, float64 (groups, out, features), zero for removed features.
    """
    square, cross = moments.second(centred=shifts)
    mask = remaining.double()
    variance = square.diagonal(dim1=-2, dim2=-1)
    ridge = _RIDGE * (variance * mask).sum(1) / mask.sum(1).clamp(min=1)
    ridge = ridge.clamp(min=1e-12)[:, None]
    system = square * mask[:, :, None] * mask[:, None, :] + torch.diag_embed(torch.where(remaining, ridge, 1.0))
    target = (weight @ cross.mT + ridge[:, :, None] * weight) * mask[:, None, :]
    fitted: Tensor = torch.linalg.solve(system, target.mT)
    return fitted.mT


def shift(weight: Tensor, fitted: Tensor, moments: PairedMoments) -> Tensor:
    """Return the change of the bias, (groups, out), that preserves the mean outputs if ``fitted`` replaces ``weight``.

    If ``fitted`` is ``weight`` without the removed features, the change is the sum of mean times weight over these
    features. It is exact for constant features. Morcos et al. (2018) replace a removed unit by its mean in this way.
    Ye et al. (2018), section 4, fold constants into the next layer.
    """
    pruned, dense = moments.means
    return (weight @ dense.unsqueeze(2) - fitted @ pruned.unsqueeze(2)).squeeze(2)
