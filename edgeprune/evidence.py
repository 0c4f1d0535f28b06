"""Where a number comes from, and how sure that makes it."""

from __future__ import annotations

from typing import Literal, get_args

Kind = Literal["estimated", "emulated", "measured"]
"""Where what a device told comes from, the weakest first."""
Evidence = Literal["estimated", "emulated", "measured", "exact"]
"""Where a value comes from, the weakest first."""


def is_at_least(kind: Evidence, required: Evidence) -> bool:
    """Whether a value of ``kind`` is as sure as one of the ``required`` kind."""
    order = get_args(Evidence)
    return order.index(kind) >= order.index(required)
