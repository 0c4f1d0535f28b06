"""A cost that is known for the dense network alone, for what is left of it."""

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
    """``dense``, a model of the dense network's cost, in terms of the units of a smaller one that it became.

    Args:
        dense: It is copied.
        whole: Units of the dense network.
        units: Units of the smaller network.
        kept: What is left of the dense network's tensors: indices by dimension.
    """

    def __init__(self, dense: CostModel, whole: Units, units: Units, kept: Mapping[str, Mapping[int, Tensor]]) -> None:
        self._dense = dense.copy()
        self._dense.remove(whole.removed(kept))
        self._place = _places(whole, units, kept)
        self._size = len(whole)
        super().__init__(self._dense.terms)

    def total(self) -> float:
        return self._dense.total()

    def savings(self, limit: float = -math.inf) -> Tensor:
        return self._dense.savings(limit)[self._place]

    def gains(self) -> Tensor:
        return self._dense.gains()[self._place]

    def taken(self, masks: Tensor) -> Tensor:
        whole = torch.zeros(len(masks), self._size, dtype=torch.bool)
        whole[:, self._place] = masks
        return self._dense.taken(whole)

    def totals(self, left: Tensor) -> Tensor:
        return self._dense.totals(left)

    def as_largest_sum(self) -> tuple[Tensor, float] | None:
        return self._dense.as_largest_sum()

    def remove(self, mask: Tensor) -> None:
        self._dense.remove(self._whole(mask))

    def restore(self, mask: Tensor) -> None:
        self._dense.restore(self._whole(mask))

    def copy(self) -> Self:
        twin = copy.copy(self)
        twin._dense = self._dense.copy()  # noqa: SLF001  of its own class
        twin.terms = twin._dense.terms  # noqa: SLF001
        return twin

    def _whole(self, mask: Tensor) -> Tensor:
        whole = torch.zeros(self._size, dtype=torch.bool)
        whole[self._place[mask]] = True
        return whole


def _places(whole: Units, units: Units, kept: Mapping[str, Mapping[int, Tensor]]) -> Tensor:
    """The unit of the dense network that each unit of the smaller one is, (units,)."""
    owners = {(owner.name, owner.dim): owner for owner in whole.coordinates.coupling.owners if owner.parameter}
    places = torch.full((len(units),), -1)
    for owner in units.coordinates.coupling.owners:
        dense = owners.get((owner.name, owner.dim))
        if owner.parameter and dense is not None:
            index = kept.get(owner.name, {}).get(owner.dim, torch.arange(dense.size))
            own = units.unit_of[owner.start : owner.start + owner.size]
            held = own >= 0
            places[own[held]] = whole.unit_of[dense.start : dense.start + dense.size][index][held]
    assert bool((places >= 0).all()), "every unit has a parameter"
    return places
