"""Importance of units. One file a family; a new criterion is one file."""

from __future__ import annotations

import importlib
import pkgutil

from edgeprune.criteria.base import Criterion, Network, create, documentation, find, registered, score
from edgeprune.model.registry import options_of

for _module in pkgutil.iter_modules(__path__):
    importlib.import_module(f"{__name__}.{_module.name}")

__all__ = ["Criterion", "Network", "create", "documentation", "find", "options_of", "registered", "score"]
