"""Provenance of values, and its order of reliability."""

from __future__ import annotations

from typing import Literal, get_args

Kind = Literal["estimated", "emulated", "measured"]
"""Provenance of values that a device reports, the weakest first."""
Evidence = Literal["estimated", "emulated", "measured", "exact"]
"""Provenance of a value, the weakest first."""


def is_at_least(kind: Evidence, required: Evidence) -> bool:
    """Return whether the provenance ``kind`` is at least as reliable as ``required``."""
    order = get_args(Evidence)
    return order.index(kind) >= order.index(required)
