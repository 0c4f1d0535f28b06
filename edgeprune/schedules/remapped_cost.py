"""Cost model of a pruned network, computed by a cost model of the dense network."""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from edgeprune.cost import CostModel
from edgeprune.graph import Units

if TYPE_CHECKING:
    from typing_extensions import Self


class RemappedCost(CostModel):
    """Cost model of the dense network in terms of the units of a pruned network.

    Args:
        dense: Cost model of the dense network, which is copied.
        dense_units: Units of the dense network.
        units: Units of the pruned network.
        kept_indices: Remaining indices of each tensor of the dense network, by dimension.
    """

    def __init__(
        self, dense: CostModel, dense_units: Units, units: Units, kept_indices: Mapping[str, Mapping[int, Tensor]]
    ) -> None:
        self._dense = dense.copy()
        self._dense.remove(dense_units.removed(kept_indices))
        self._dense_index = _dense_indices(dense_units, units, kept_indices)
        self._size = len(dense_units)
        super().__init__(self._dense.terms)

    def total(self) -> float:
        return self._dense.total()

    def savings(self, limit: float = -math.inf) -> Tensor:
        return self._dense.savings(limit)[self._dense_index]

    def gains(self) -> Tensor:
        return self._dense.gains()[self._dense_index]

    def reduction(self, masks: Tensor) -> Tensor:
        dense_masks = torch.zeros(len(masks), self._size, dtype=torch.bool)
        dense_masks[:, self._dense_index] = masks
        return self._dense.reduction(dense_masks)

    def totals(self, remaining: Tensor) -> Tensor:
        return self._dense.totals(remaining)

    def as_largest_sum(self) -> tuple[Tensor, float] | None:
        return self._dense.as_largest_sum()

    def remove(self, mask: Tensor) -> None:
        self._dense.remove(self._dense_mask(mask))

    def restore(self, mask: Tensor) -> None:
        self._dense.restore(self._dense_mask(mask))

    def copy(self) -> Self:
        twin = copy.copy(self)
        twin._dense = self._dense.copy()  # noqa: SLF001  of its own class
        twin.terms = twin._dense.terms  # noqa: SLF001
        return twin

    def _dense_mask(self, mask: Tensor) -> Tensor:
        dense_mask = torch.zeros(self._size, dtype=torch.bool)
        dense_mask[self._dense_index[mask]] = True
        return dense_mask


def _dense_indices(dense_units: Units, units: Units, kept_indices: Mapping[str, Mapping[int, Tensor]]) -> Tensor:
    """Return the unit of the dense network for each unit of the pruned one, (units,)."""
    owners = {(owner.name, owner.dim): owner for owner in dense_units.coordinates.coupling.owners if owner.parameter}
    indices = torch.full((len(units),), -1)
    for owner in units.coordinates.coupling.owners:
        dense = owners.get((owner.name, owner.dim))
        if owner.parameter and dense is not None:
            index = kept_indices.get(owner.name, {}).get(owner.dim, torch.arange(dense.size))
            own = units.unit_of[owner.start : owner.start + owner.size]
            is_unit = own >= 0
            indices[own[is_unit]] = dense_units.unit_of[dense.start : dense.start + dense.size][index][is_unit]
    assert bool((indices >= 0).all()), "every unit has a parameter"
    return indices
