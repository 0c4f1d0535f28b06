"""Lazy attributes of packages (PEP 562): names that are imported on first use, so that importing a package is cheap."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from typing import Any


def lazy_attributes(package: str, modules: Mapping[str, str]) -> Callable[[str], Any]:
    """Return the module-level ``__getattr__`` of a package.

    ``stage_sources`` recognizes packages with lazy attributes by a call of this function in their ``__init__.py``.

    Args:
        package: Name of the package, its ``__name__``.
        modules: Module that defines each public name, relative to the package. A name that is itself a module of the
            package is mapped to itself.

    Returns:
        Function that imports an attribute by name. It raises AttributeError for names that are not in ``modules``.
    """

    def load(name: str) -> Any:
        if name not in modules:
            raise AttributeError(f"module '{package}' has no attribute '{name}'")
        module = importlib.import_module(f"{package}.{modules[name]}")
        return module if modules[name] == name else getattr(module, name)

    return load
