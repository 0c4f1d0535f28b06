"""Budget + scores + costs -> plan."""

from __future__ import annotations

from edgeprune.select.greedy import select_global
from edgeprune.select.plan import Plan
from edgeprune.select.planning import make_plan

__all__ = ["Plan", "make_plan", "select_global"]
