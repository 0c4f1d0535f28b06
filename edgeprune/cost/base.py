"""Interface of costs for selection."""

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
    """One cost of a network as a function of the units that are left; made for the dense network.

    Attributes:
        terms: The sizes it depends on; they follow what is removed.
    """

    def __init__(self, terms: MultilinearTerms) -> None:
        self.terms = terms

    @abstractmethod
    def total(self) -> float:
        """The cost of what is left."""

    @abstractmethod
    def savings(self, limit: float = -math.inf) -> Tensor:
        """How much nearer to ``limit`` the cost comes with each unit that goes now: float64 of shape (units,).

        For a sum this is what goes with the unit, whatever the limit. A cost that falls in steps spreads a step over
        the units that have to go for it, and a maximum tells what goes where it is above the limit, so that the way
        down never looks flat: whether a limit is kept is for ``total`` to say.
        """

    @abstractmethod
    def gains(self) -> Tensor:
        """Exact increase of ``total`` when each unit alone is put back: float64 of shape (units,)."""

    def taken(self, masks: Tensor) -> Tensor:
        """Reduction of the sizes ``terms.left`` by the units of each mask, (n, units): (n, terms, rank)."""
        return self.terms.taken(masks)

    def totals(self, left: Tensor) -> Tensor:
        """``total`` for many states at once, given by their sizes ``terms.left``, (n, terms, rank): (n,).

        One vector expression where a cost overrides it; here one state after the other.
        """
        twin = self.copy()
        found = torch.zeros(len(left), dtype=torch.float64)
        for index, sizes in enumerate(left):
            twin.terms.left = sizes
            found[index] = twin.total()
        return found

    def as_largest_sum(self) -> tuple[Tensor, float] | None:
        """The weights, (rows, terms), at least 0, and the offset of ``(weights @ terms.values()).max() + offset``.

        None if the cost is not such a maximum of sums.
        """
        return None

    def remove(self, mask: Tensor) -> None:
        """Take the units in ``mask`` (units,) away; each unit at most once."""
        self.terms.shift(mask, -1.0)

    def restore(self, mask: Tensor) -> None:
        """Put units that were removed back."""
        self.terms.shift(mask, 1.0)

    def copy(self) -> Self:
        """The same state, to try moves on; cheap: what never changes is shared."""
        twin = copy.copy(self)
        twin.terms = self.terms.copy()
        return twin
