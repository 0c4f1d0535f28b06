"""Provenance of numbers, and how much each kind of it is worth."""

from __future__ import annotations

from typing import Literal, get_args

Kind = Literal["estimated", "emulated", "measured"]
"""Provenance of values that a device reports, the weakest first."""
Evidence = Literal["estimated", "emulated", "measured", "exact"]
"""Provenance of a value, the weakest first."""


def is_at_least(kind: Evidence, required: Evidence) -> bool:
    """Whether a value of ``kind`` is as sure as one of the ``required`` kind."""
    order = get_args(Evidence)
    return order.index(kind) >= order.index(required)
