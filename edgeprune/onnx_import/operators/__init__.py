"""Importers of ONNX operators, one file for each family. Importing this package registers all of them."""

from __future__ import annotations

import importlib
import pkgutil

from edgeprune.onnx_import.operators.base import Importer, importer, registered

for _module in pkgutil.iter_modules(__path__):
    importlib.import_module(f"{__name__}.{_module.name}")

__all__ = ["Importer", "importer", "registered"]
