"""Base class of cost models, the interface between costs and selections."""

from __future__ import annotations

import copy
import math
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from edgeprune.cost.multilinear_terms import MultilinearTerms

if TYPE_CHECKING:
    from typing_extensions import Self


class CostModel(ABC):
    """One cost of a network as a function of its remaining units, initially all units of the dense network.

    Attributes:
        terms: Remaining sizes on which the cost depends.
    """

    def __init__(self, terms: MultilinearTerms) -> None:
        self.terms = terms

    @abstractmethod
    def total(self) -> float:
        """Return the cost of the network with the remaining units."""

    @abstractmethod
    def savings(self, limit: float = -math.inf) -> Tensor:
        """Return the estimated reduction of the cost towards ``limit`` by removal of each unit, float64 (units,).

        For a sum, this is the exact reduction, whatever the limit. A cost that decreases in steps distributes a step
        over the units that cause it. A maximum returns the reduction where it is above the limit. Therefore, the
        estimate is rarely 0. Only ``total`` determines whether a limit holds.
        """

    @abstractmethod
    def gains(self) -> Tensor:
        """Return the exact increase of ``total`` by restoration of each unit alone, float64 (units,)."""

    def reduction(self, masks: Tensor) -> Tensor:
        """Return the reduction of ``terms.remaining`` by the units of each mask, (n, units) -> (n, terms, rank)."""
        return self.terms.reduction(masks)

    def totals(self, remaining: Tensor) -> Tensor:
        """Return ``total`` for many states, given by their sizes ``terms.remaining``, (n, terms, rank) -> (n,).

        This implementation evaluates one state after another. Most costs override it with one vector expression.
        """
        twin = self.copy()
        totals = torch.zeros(len(remaining), dtype=torch.float64)
        for index, sizes in enumerate(remaining):
            twin.terms.remaining = sizes
            totals[index] = twin.total()
        return totals

    def as_largest_sum(self) -> tuple[Tensor, float] | None:
        """Return weights and offset of the cost as ``(weights @ terms.values()).max() + offset``.

        The weights, (rows, terms), are at least 0. The result is None if the cost is not such a maximum of sums.
        """
        return None

    def remove(self, mask: Tensor) -> None:
        """Remove the units in ``mask``, (units,). They must not have been removed before."""
        self.terms.shift(mask, -1.0)

    def restore(self, mask: Tensor) -> None:
        """Restore the units in ``mask``, (units,), which must have been removed."""
        self.terms.shift(mask, 1.0)

    def copy(self) -> Self:
        """Return an independent copy of the state. Constant data is shared."""
        twin = copy.copy(self)
        twin.terms = self.terms.copy()
        return twin
