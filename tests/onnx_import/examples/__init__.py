"""Examples for each importer that conversion to TFLite has no example for."""

from __future__ import annotations

import importlib
import pkgutil

from tests.onnx_import.examples.base import examples

for _module in pkgutil.iter_modules(__path__):
    importlib.import_module(f"{__name__}.{_module.name}")

__all__ = ["examples"]
