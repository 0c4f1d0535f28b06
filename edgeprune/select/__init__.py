"""Budget + scores + costs -> plan."""

from __future__ import annotations

from edgeprune.select.greedy import select_global
from edgeprune.select.plan import Plan

__all__ = ["Plan", "select_global"]
