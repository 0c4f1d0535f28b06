"""Upper limits on costs, absolute or relative to the dense network."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from fractions import Fraction
from typing import Any

from pydantic import field_validator, model_validator

from edgeprune.config.settings import Settings, validate
from edgeprune.errors import RecipeError

_BYTES = {"B": 1, "kB": 10**3, "MB": 10**6, "GB": 10**9, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30}
_MILLISECONDS = {"us": 1e-3, "ms": 1.0, "s": 1e3}
_UNITS: dict[str, Mapping[str, float]] = {
    "macs": {},
    "params": {},
    "latency_ms": _MILLISECONDS,
    "peak_activation_bytes": _BYTES,
    "flash_bytes": _BYTES,
    "arena_bytes": _BYTES,
}
"""The costs that can be limited, and the units in which text may give a limit."""
_ALLOWED = {
    "latency_ms": "milliseconds above 1, or a time such as '0.8ms' or '800us'",
    "peak_activation_bytes": "a whole number of bytes above 1, or a size such as '64KiB' or '1MB'",
    "flash_bytes": "a whole number of bytes above 1, or a size such as '64KiB' or '1MB'",
    "arena_bytes": "a whole number of bytes above 1, or a size such as '64KiB' or '1MB'",
}


class Budget(Settings):
    """What the pruned network may cost at most; at least one cost is limited.

    A number in (0, 1] is a share of the dense network's cost, one above 1 is absolute: ``Budget(macs=0.5)`` is half the
    multiply-adds, ``Budget(params=250_000)`` at most 250,000 parameters. Text with a unit is absolute as well:
    ``Budget(flash_bytes="64KiB", latency_ms="0.8ms")``.

    Attributes:
        macs: Multiply-accumulate operations of one forward pass with batch size 1.
        params: Parameters.
        latency_ms: Predicted from the target's latency table, or a microcontroller's cycles per MAC; us, ms and s.
        peak_activation_bytes: The most bytes of activations at once; kB = 1000 bytes, KiB = 1024, likewise M and G.
        flash_bytes: Bytes of the weights as they are shipped; on a microcontroller of the model file, TFLite Micro and
            its kernels.
        arena_bytes: On a microcontroller: the tensor arena of TFLite Micro.
    """

    macs: float | int | None = None
    params: float | int | None = None
    latency_ms: float | int | str | None = None
    peak_activation_bytes: float | int | str | None = None
    flash_bytes: float | int | str | None = None
    arena_bytes: float | int | str | None = None

    @field_validator("macs", "params")
    @classmethod
    def _share_or_count(cls, value: float | None) -> float | int | None:
        if value is None or 0 < value <= 1:
            return value
        if value > 1 and float(value).is_integer():
            return int(value)
        raise ValueError("a share of dense in (0, 1], or a whole number above 1")

    @field_validator("latency_ms", "peak_activation_bytes", "flash_bytes", "arena_bytes")
    @classmethod
    def _share_or_amount(cls, value: float | str | None, info: Any) -> float | int | str | None:
        name = info.field_name
        if isinstance(value, str):
            amount = _amount(value, _UNITS[name])
            good = amount is not None and (name == "latency_ms" or amount.is_integer()) and amount > 0
        else:
            good = (
                value is None or 0 < value <= 1 or (value > 1 and (name == "latency_ms" or float(value).is_integer()))
            )
        if not good:
            raise ValueError(f"a share of dense in (0, 1], {_ALLOWED[name]}")
        return value

    @model_validator(mode="after")
    def _limits_something(self) -> Budget:
        if all(getattr(self, name) is None for name in _UNITS):
            raise ValueError(f"at least one limit: {', '.join(_UNITS)} (macs = 0.5: half of dense)")
        return self

    @classmethod
    def parse(cls, values: Mapping[str, Any] | Budget, *, where: str = "budget") -> Budget:
        """Take a Budget as it is, or build one from a mapping such as ``{"macs": 0.5}``.

        Raises:
            RecipeError: An unknown cost or a value out of range; ``where`` names its origin.
        """
        return values if isinstance(values, Budget) else validate(cls, values, where=where, error=RecipeError)

    @property
    def costs(self) -> tuple[str, ...]:
        """Names of the costs that are limited."""
        return tuple(name for name in _UNITS if getattr(self, name) is not None)

    def limits(self, dense: Mapping[str, float | None]) -> dict[str, float]:
        """Absolute upper limits by cost name; whole numbers, but for ``latency_ms``.

        ``dense`` is what the dense network costs; it needs the costs that are limited by a share.

        Raises:
            RecipeError: A share of a cost that is not known.
        """
        return {name: self.limit(name, dense.get(name)) for name in self.costs}

    def limit(self, name: str, dense: float | None) -> float:
        """Absolute upper limit of one cost that is limited, of which ``dense`` is that of the dense network.

        Raises:
            RecipeError: It is a share, and ``dense`` is not known.
        """
        value: float | str = getattr(self, name)
        if isinstance(value, str):
            amount = _amount(value, _UNITS[name])
            assert amount is not None, "checked when it was read"
            return amount if name == "latency_ms" else int(amount)
        if value > 1:
            return float(value) if name == "latency_ms" else int(value)
        if dense is None:
            raise RecipeError(f"'budget.{name}': {value} is a share of dense, whose {name} is not known here")
        return value * dense if name == "latency_ms" else math.floor(value * dense)


def _amount(text: str, units: Mapping[str, float]) -> float | None:
    """``64KiB`` in bytes, ``800us`` in milliseconds; None for other text."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?) ?([A-Za-z]+)", text.strip())
    # Fraction: 1.001 kB are 1001 bytes.
    return float(Fraction(found[1]) * Fraction(units[found[2]])) if found and found[2] in units else None
