"""Criteria for the importance of units, one module for each family of criteria."""

from __future__ import annotations

import importlib
import pkgutil

from edgeprune.criteria.base import Criterion, Network, create, documentation, find, registered, score
from edgeprune.model.registry import options_of

for _module in pkgutil.iter_modules(__path__):
    importlib.import_module(f"{__name__}.{_module.name}")

__all__ = ["Criterion", "Network", "create", "documentation", "find", "options_of", "registered", "score"]
