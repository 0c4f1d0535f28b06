"""Selection of the units to remove: scores, cost models and a budget in, a pruning plan out.

Each selection is one module of this package, which registers it by name.
"""

from __future__ import annotations

import importlib
import pkgutil

from edgeprune.selection.base import LossCurve, Problem, Selection, create, registered
from edgeprune.selection.constraints import Constraint, prefer_alignment, resolve
from edgeprune.selection.infeasible import removable
from edgeprune.selection.plan import Plan
from edgeprune.selection.planning import PlanMethod, make_plan

for _module in pkgutil.iter_modules(__path__):
    importlib.import_module(f"{__name__}.{_module.name}")

__all__ = [
    "Constraint",
    "LossCurve",
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
