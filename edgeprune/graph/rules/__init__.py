"""Rules of operator families, one module for each family. Importing this package registers all of them."""

from __future__ import annotations

import importlib
import pkgutil

from edgeprune.graph.rules.base import Keep, Rule, register, registered, rule_for

for _module in pkgutil.iter_modules(__path__):
    importlib.import_module(f"{__name__}.{_module.name}")

__all__ = ["Keep", "Rule", "register", "registered", "rule_for"]
