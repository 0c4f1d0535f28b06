"""Checks of the installation on this machine, with a command that fixes each problem; one module per group."""

from __future__ import annotations

import importlib
import pkgutil

from edgeprune.doctor.base import CheckResult, Finding, State, examine

for _module in pkgutil.iter_modules(__path__):
    importlib.import_module(f"{__name__}.{_module.name}")

__all__ = ["CheckResult", "Finding", "State", "examine"]
"""Checks only read: they install nothing and leave no files behind."""
