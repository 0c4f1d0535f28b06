"""Examples for each ONNX operator that can be lowered to TFLite. One file a family; all are found by importing this."""

from __future__ import annotations

import importlib
import pkgutil

from tests.conformance.lowerings.base import Build, Example, examples

for _module in pkgutil.iter_modules(__path__):
    importlib.import_module(f"{__name__}.{_module.name}")

__all__ = ["Build", "Example", "examples"]
