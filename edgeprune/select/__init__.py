"""Budget + scores + costs -> plan. One selection a file; a new one is one file."""

from __future__ import annotations

import importlib
import pkgutil

from edgeprune.select.base import Curve, Problem, Selection, create, registered
from edgeprune.select.constraints import Constraint, prefer_alignment, resolve
from edgeprune.select.plan import Plan
from edgeprune.select.planning import PlanMethod, make_plan
from edgeprune.select.reach import removable

for _module in pkgutil.iter_modules(__path__):
    importlib.import_module(f"{__name__}.{_module.name}")

__all__ = [
    "Constraint",
    "Curve",
    "Plan",
    "PlanMethod",
    "Problem",
    "Selection",
    "create",
    "make_plan",
    "prefer_alignment",
    "registered",
    "removable",
    "resolve",
]
