"""Upper limits on costs, absolute or relative to the dense network."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from pydantic import field_validator, model_validator

from edgeprune.config.settings import Settings, validate
from edgeprune.errors import RecipeError


class Budget(Settings):
    """What the pruned network may cost at most; at least one cost is limited.

    A value in (0, 1] is a share of the dense network's cost, a whole number above 1 is absolute:
    ``Budget(macs=0.5)`` is half the multiply-adds, ``Budget(params=250_000)`` at most 250,000 parameters.

    Attributes:
        macs: Multiply-accumulate operations of one forward pass with batch size 1.
        params: Parameters.
    """

    macs: float | int | None = None
    params: float | int | None = None

    @field_validator("macs", "params")
    @classmethod
    def _share_or_count(cls, value: float | None) -> float | int | None:
        if value is None or 0 < value <= 1:
            return value
        if value > 1 and float(value).is_integer():
            return int(value)
        raise ValueError("a share of dense in (0, 1], or a whole number above 1")

    @model_validator(mode="after")
    def _limits_something(self) -> Budget:
        if self.macs is None and self.params is None:
            raise ValueError("at least one limit: macs or params (0.5 = half of dense)")
        return self

    @classmethod
    def parse(cls, values: Mapping[str, Any] | Budget, *, where: str = "budget") -> Budget:
        """Take a Budget as it is, or build one from a mapping such as ``{"macs": 0.5}``.

        Raises:
            RecipeError: An unknown cost or a value out of range; ``where`` names its origin.
        """
        return values if isinstance(values, Budget) else validate(cls, values, where=where, error=RecipeError)

    def limits(self, dense: Mapping[str, float]) -> dict[str, int]:
        """Absolute upper limits by cost name, given what the dense network costs."""
        named = {"macs": self.macs, "params": self.params}
        return {
            name: value if isinstance(value, int) and value > 1 else math.floor(value * dense[name])
            for name, value in named.items()
            if value is not None
        }
