"""Limits on regressions, such as ``latency_ms.p50:+5%``, ``file_bytes:+10KiB`` or ``accuracy:-0.5%``."""

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
    """Limit on the regression of one quantity.

    Attributes:
        key: Name of the quantity, such as ``latency_ms.p50``.
        limit: Allowed regression: a fraction of the base's value, or with ``absolute`` an amount in its unit. For
            accuracy, it is always a difference.
        absolute: Whether ``limit`` is an amount instead of a fraction.
        text: Text of the command-line option; empty for a default limit.
    """

    key: str
    limit: float
    absolute: bool = False
    text: str = ""

    def __str__(self) -> str:
        return self.text

    @property
    def is_default(self) -> bool:
        """Whether the limit is a default instead of a command-line option."""
        return not self.text

    @classmethod
    def parse(cls, text: str) -> RegressionLimit:
        """Parse ``KEY:+5%`` (a fraction), ``KEY:+3ms`` (an amount) or ``accuracy:-0.5%`` (percentage points).

        Raises:
            InputError: The text has another format, or its sign would allow only an improvement.
        """
        match = _TEXT.fullmatch(text)
        if match is None:
            raise InputError(f"got '{text}', must be KEY:+5%, KEY:+10KiB, or accuracy:-0.5%")
        key, amount, unit = match["key"], float(match["amount"]), match["unit"]
        lower = key == ACCURACY
        if (match["sign"] == "-") != lower:
            raise InputError(
                f"got '{text}', must be {key}:{'-' if lower else '+'}{amount:g}{unit}, because {key} is worse if it "
                f"{'falls' if lower else 'grows'}"
            )
        if unit == "%":
            return cls(key, amount / 100, absolute=lower, text=text)
        units = {"": 1.0, **units_of(key)}
        if unit not in units:
            allowed = ", ".join(f"'{one}'" for one in ("%", *units) if one)
            raise InputError(f"got '{text}', must end in a number or one of {allowed}")
        return cls(key, amount * units[unit], absolute=True, text=text)


def default_rule(key: str, kind: Evidence) -> RegressionLimit | None:
    """Return the default limit: no significant loss of accuracy, and no cost that grows by more than 1 %.

    Only the median of latency has a limit, because testing several statistics at the 95 % level would often cause false
    alarms. Emulated latency has no limit, because it does not predict the latency of the device.
    """
    if key == ACCURACY:
        return RegressionLimit(key, 0.0, absolute=True)
    if "latency_ms." in key and (kind == "emulated" or not key.endswith(".p50")):
        return None
    return RegressionLimit(key, _DEFAULT)
