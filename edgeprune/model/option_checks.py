"""Checks of the options of criteria, selections and schedules."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from edgeprune.errors import InputError


@dataclass(frozen=True)
class OptionChecks:
    """Checks that return a valid value, and otherwise raise InputError with the rule and the value.

    Attributes:
        owner: Kind of class with the options, which begins messages: ``criterion``, ``selection`` or ``schedule``.
    """

    owner: str

    def number(
        self,
        option: str,
        value: float,
        *,
        least: float | None = None,
        above: float | None = None,
        most: float | None = None,
        below: float | None = None,
    ) -> float:
        """Check a finite number: ``least`` and ``most`` are inclusive limits, ``above`` and ``below`` exclusive."""
        limits = {"at least": least, "above": above, "at most": most, "below": below}
        is_number = not isinstance(value, bool) and isinstance(value, (int, float)) and math.isfinite(value)
        if not (
            is_number
            and (least is None or value >= least)
            and (above is None or value > above)
            and (most is None or value <= most)
            and (below is None or value < below)
        ):
            rule = " and ".join(f"{name} {limit:g}" for name, limit in limits.items() if limit is not None)
            raise InputError(f"{self.owner}: {option}: got {value!r}, must be a number {rule}".rstrip())
        return value

    def integer(self, option: str, value: Any, *, least: int) -> int:
        """Check an integer of at least ``least``."""
        if isinstance(value, bool) or not isinstance(value, int) or value < least:
            raise InputError(f"{self.owner}: {option}: got {value!r}, must be an integer of at least {least}")
        return value

    def one_of(self, option: str, value: Any, allowed: tuple[str, ...]) -> str:
        """Check a text that must be in ``allowed``."""
        if value not in allowed:
            raise InputError(f"{self.owner}: {option}: got {value!r}, must be {' or '.join(map(repr, allowed))}")
        return str(value)

    def boolean(self, option: str, value: Any) -> bool:
        """Check a value that must be True or False."""
        if not isinstance(value, bool):
            raise InputError(f"{self.owner}: {option}: got {value!r}, must be True or False")
        return value
