"""Limits for how much worse a quantity may be: ``latency_ms.p50:+5%``, ``file_bytes:+10KiB``, ``accuracy:-0.5%``."""

from __future__ import annotations

import re
from dataclasses import dataclass

from edgeprune.config.units_of_measure import units_of
from edgeprune.errors import InputError
from edgeprune.evidence import Evidence

ACCURACY = "accuracy"
_TEXT = re.compile(r"(?P<key>[\w.-]+):(?P<sign>[+-])(?P<amount>\d+(?:\.\d+)?) ?(?P<unit>[A-Za-z%]*)")
_DEFAULT = 0.01


@dataclass(frozen=True)
class RegressionLimit:
    """A limit for how much worse a quantity may become.

    Attributes:
        key: Quantity: ``latency_ms.p50``.
        limit: A fraction of the base's value; with ``absolute`` an amount in its unit.
        absolute: See ``limit``. For accuracy both mean a difference.
        text: The option as the user wrote it; empty for a default limit.
    """

    key: str
    limit: float
    absolute: bool = False
    text: str = ""

    def __str__(self) -> str:
        return self.text

    @property
    def is_default(self) -> bool:
        """Whether no user asked for it."""
        return not self.text

    @classmethod
    def parse(cls, text: str) -> RegressionLimit:
        """Read ``KEY:+5%`` (a share), ``KEY:+3ms`` (an amount), or for accuracy ``accuracy:-0.5%`` (points).

        Raises:
            InputError: It is something else, or of a sign that would be an improvement.
        """
        found = _TEXT.fullmatch(text)
        if found is None:
            raise InputError(f"got '{text}', must be KEY:+5%, KEY:+10KiB, or accuracy:-0.5%")
        key, amount, unit = found["key"], float(found["amount"]), found["unit"]
        lower = key == ACCURACY
        if (found["sign"] == "-") != lower:
            raise InputError(
                f"got '{text}': {key} is worse when it {'falls: -' if lower else 'grows: +'}{amount:g}{unit}"
            )
        if unit == "%":
            return cls(key, amount / 100, absolute=lower, text=text)
        units = {"": 1.0, **units_of(key)}
        if unit not in units:
            allowed = ", ".join(f"'{one}'" for one in ("%", *units) if one)
            raise InputError(f"got '{text}', must end in a number or one of {allowed}")
        return cls(key, amount * units[unit], absolute=True, text=text)


def default_rule(key: str, kind: Evidence) -> RegressionLimit | None:
    """Default rules: no loss of accuracy beyond noise, and no cost that grows by more than 1 %.

    Of latency that is the median: of several figures that each err in one of twenty cases, one soon does. An emulated
    one is that of the emulator, and may be anything.
    """
    if key == ACCURACY:
        return RegressionLimit(key, 0.0, absolute=True)
    if "latency_ms." in key and (kind == "emulated" or not key.endswith(".p50")):
        return None
    return RegressionLimit(key, _DEFAULT)
