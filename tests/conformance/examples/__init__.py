"""An example for each operator with a rule. One file a family of operators; all are found by importing this package."""

from __future__ import annotations

import importlib
import pkgutil

from tests.conformance.examples.base import CAPTURED_AS, Between, Build, Draw, Example, examples

for _module in pkgutil.iter_modules(__path__):
    importlib.import_module(f"{__name__}.{_module.name}")

__all__ = ["CAPTURED_AS", "Between", "Build", "Draw", "Example", "examples"]
