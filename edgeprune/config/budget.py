"""Upper limits on costs, absolute or relative to the dense network."""

from __future__ import annotations

import logging
import math
import re
from collections.abc import Mapping
from fractions import Fraction
from functools import cache
from typing import Any

from pydantic import ValidationInfo, field_validator, model_validator

from edgeprune.config.settings_base import Settings, validate
from edgeprune.config.units_of_measure import BYTES, MILLISECONDS, units_of
from edgeprune.errors import RecipeError

logger = logging.getLogger(__name__)

COSTS = ("macs", "params", "latency_ms", "peak_activation_bytes", "flash_bytes", "arena_bytes")
"""Costs that pruning can limit."""
_FRACTION = "a fraction of the dense network's value such as 0.5 or '50%'"
_ALLOWED_COUNT = f"{_FRACTION}, or a whole number above 1"
_ALLOWED_TIME = f"{_FRACTION}, milliseconds above 1, or a time such as '0.8ms' or '800us'"
_ALLOWED_BYTES = f"{_FRACTION}, a whole number of bytes above 1, or a size such as '64KiB' or '1MB'"


def checked_amount(name: str, value: object) -> float | int | str | None:
    """Return a limit unchanged: a fraction of dense, an amount, or text with ``%`` or a unit.

    A number below 1 is a fraction, a number above 1 an amount. The number 1 is all of dense for a count. For a time or
    a size it could be either and is refused. A fraction of a time is logged once as a warning, because it could be
    meant in milliseconds.

    Args:
        name: Name of the limited quantity, such as ``macs``, ``latency_ms`` or ``flash_bytes``.
        value: Value from TOML or Python, of any type.

    Raises:
        ValueError: The value is none of them; the message names the allowed values.
    """
    units = units_of(name)
    if value is None:
        return None
    if isinstance(value, str):
        amount, fraction = _amount(value, units), _fraction(value)
        is_valid = amount is not None and (units is not BYTES or amount.is_integer()) and amount > 0
        is_valid = is_valid or (fraction is not None and 0 < fraction <= 1)
    elif isinstance(value, bool) or not isinstance(value, int | float):
        is_valid = False
    elif value == 1 and units:
        raise ValueError(f"'100%' or '1{'B' if units is BYTES else 'ms'}': the number 1 could mean either")
    else:
        is_whole = units is MILLISECONDS or float(value).is_integer()
        is_valid = 0 < value <= 1 or (value > 1 and is_whole and math.isfinite(value))
        if 0 < value < 1 and units is MILLISECONDS:
            _warn_of_fraction(name, value)
    if not is_valid:
        raise ValueError(_allowed(units))
    assert isinstance(value, int | float | str)
    return int(value) if not isinstance(value, str) and value > 1 and units is not MILLISECONDS else value


def _allowed(units: Mapping[str, float]) -> str:
    if units is MILLISECONDS:
        return _ALLOWED_TIME
    return _ALLOWED_BYTES if units is BYTES else _ALLOWED_COUNT


@cache
def _warn_of_fraction(name: str, value: float) -> None:
    logger.warning(
        "budget: %s = %g means %g %% of the dense network's value: write '%g%%' to confirm, or '%gms' for a time",
        name, value, 100 * value, 100 * value, value,
    )  # fmt: skip


class Costs(Settings):
    """Limits of costs that do not depend on the device."""

    macs: float | int | str | None = None
    params: float | int | str | None = None
    peak_activation_bytes: float | int | str | None = None
    flash_bytes: float | int | str | None = None
    arena_bytes: float | int | str | None = None

    # Before the alternatives of the type are tried, so that a wrong value gives one sentence.
    @field_validator("macs", "params", "peak_activation_bytes", "flash_bytes", "arena_bytes", mode="before")
    @classmethod
    def _is_amount(cls, value: object, info: ValidationInfo) -> float | int | str | None:
        return checked_amount(str(info.field_name), value)


class Budget(Costs):
    """Largest costs of the pruned network; at least one cost is limited.

    A number in (0, 1] is a fraction of the dense network's cost, and a number above 1 is absolute: ``Budget(macs=0.5)``
    is half the multiply-adds, ``Budget(params=250_000)`` at most 250,000 parameters. Text with a unit is also absolute:
    ``Budget(flash_bytes="64KiB", latency_ms="0.8ms")``. A fraction may be text: ``"60%"``. For times and bytes,
    the number 1 is not allowed, because it could mean all of dense or one millisecond.

    Attributes:
        macs: Multiply-accumulate operations of one forward pass with batch size 1.
        params: Number of parameters.
        latency_ms: Latency predicted from the target's latency table or a microcontroller's cycles per MAC, in us, ms
            or s.
        peak_activation_bytes: Maximum size of all activations at one time; kB = 1000 bytes, KiB = 1024, likewise M, G.
        flash_bytes: Size of the exported weights; on a microcontroller, of the model file, TFLite Micro and its
            kernels.
        arena_bytes: Size of the tensor arena of TFLite Micro, on a microcontroller.
    """

    latency_ms: float | int | str | None = None

    @field_validator("latency_ms", mode="before")
    @classmethod
    def _is_time(cls, value: object) -> float | int | str | None:
        return checked_amount("latency_ms", value)

    @model_validator(mode="after")
    def _limits_something(self) -> Budget:
        if all(getattr(self, name) is None for name in COSTS):
            raise ValueError(f"a table with at least one of {', '.join(COSTS)}, such as macs = 0.5 for half")
        return self

    @classmethod
    def parse(cls, values: Mapping[str, Any] | Budget, *, where: str = "budget") -> Budget:
        """Return a Budget unchanged, or create one from a mapping such as ``{"macs": 0.5}``.

        Raises:
            RecipeError: A cost is unknown or a value is out of range; ``where`` names its origin.
        """
        return values if isinstance(values, Budget) else validate(cls, values, where=where, error=RecipeError)

    @property
    def costs(self) -> tuple[str, ...]:
        """Names of the costs that are limited."""
        return tuple(name for name in COSTS if getattr(self, name) is not None)

    def limits(self, dense: Mapping[str, float | None]) -> dict[str, float]:
        """Return the absolute upper limits by cost name; whole numbers, except for ``latency_ms``.

        ``dense`` has the costs of the dense network; only costs that are limited by a fraction are needed.

        Raises:
            RecipeError: A limit is a fraction of an unknown cost.
        """
        return {name: self.limit(name, dense.get(name)) for name in self.costs}

    def limit(self, name: str, dense: float | None) -> float:
        """Return the absolute upper limit of one limited cost; ``dense`` is the cost of the dense network.

        Raises:
            RecipeError: The limit is a fraction, and ``dense`` is None.
        """
        return absolute(name, getattr(self, name), dense)


def absolute(name: str, limit: float | str, dense: float | None) -> float:
    """Return the upper limit of the cost ``name`` in its own unit: a whole number, except for times.

    Args:
        name: Name of the cost, such as ``macs``, ``latency_ms.p95`` or ``file_bytes``.
        limit: Validated limit: a fraction of dense, an amount, or text.
        dense: Cost of the dense network; None: unknown.

    Raises:
        RecipeError: The limit is a fraction, and ``dense`` is None.
    """
    units = units_of(name)
    fraction = _fraction(limit) if isinstance(limit, str) else None
    if fraction is not None:
        limit = fraction
    if isinstance(limit, str):
        amount = _amount(limit, units)
        assert amount is not None, "checked when it was read"
        return amount if units is MILLISECONDS else int(amount)
    if limit > 1:
        return float(limit) if units is MILLISECONDS else int(limit)
    if dense is None:
        raise RecipeError(
            f"'budget.{name}': got {limit}, a fraction of the dense network's value, which is unknown: "
            "set an absolute limit"
        )
    return limit * dense if units is MILLISECONDS else math.floor(limit * dense)


def is_fraction(limit: float | str) -> bool:
    """Return whether an upper limit is a fraction of the dense network's value."""
    return _fraction(limit) is not None if isinstance(limit, str) else limit <= 1


def _fraction(text: str) -> float | None:
    """Return ``60%`` as 0.6; None for other text."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?) ?%", text.strip())
    return float(Fraction(match[1]) / 100) if match else None


def _amount(text: str, units: Mapping[str, float]) -> float | None:
    """Return ``64KiB`` in bytes, ``800us`` in milliseconds; None for other text."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?) ?([A-Za-z]+)", text.strip())
    # Fraction: 1.001 kB are 1001 bytes.
    return float(Fraction(match[1]) * Fraction(units[match[2]])) if match and match[2] in units else None
