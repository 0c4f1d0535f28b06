"""Linear function of another cost: a factor, and an offset that does not depend on the remaining units."""

from __future__ import annotations

import copy
import math
from typing import TYPE_CHECKING

from torch import Tensor

from edgeprune.cost.base import CostModel

if TYPE_CHECKING:
    from typing_extensions import Self


class ScaledCost(CostModel):
    """``factor * base + offset``.

    Args:
        base: Cost to scale. It is copied.
        factor: Factor above 0. Defaults to 1.
        offset: Constant part of the cost. Defaults to 0.
    """

    def __init__(self, base: CostModel, *, factor: float = 1.0, offset: float = 0.0) -> None:
        self._base = base.copy()
        self._factor, self._offset = factor, offset
        super().__init__(self._base.terms)

    def total(self) -> float:
        return self._factor * self._base.total() + self._offset

    def savings(self, limit: float = -math.inf) -> Tensor:
        return self._factor * self._base.savings((limit - self._offset) / self._factor)

    def gains(self) -> Tensor:
        return self._factor * self._base.gains()

    def reduction(self, masks: Tensor) -> Tensor:
        return self._base.reduction(masks)

    def totals(self, remaining: Tensor) -> Tensor:
        return self._factor * self._base.totals(remaining) + self._offset

    def as_largest_sum(self) -> tuple[Tensor, float] | None:
        base = self._base.as_largest_sum()
        return None if base is None else (self._factor * base[0], self._factor * base[1] + self._offset)

    def remove(self, mask: Tensor) -> None:
        self._base.remove(mask)

    def restore(self, mask: Tensor) -> None:
        self._base.restore(mask)

    def copy(self) -> Self:
        twin = copy.copy(self)
        twin._base = self._base.copy()  # noqa: SLF001  of its own class
        twin.terms = twin._base.terms  # noqa: SLF001
        return twin
