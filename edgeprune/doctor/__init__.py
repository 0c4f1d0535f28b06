"""Checks of this machine: what works, what is missing, and the command that fixes it. One file a family of checks."""

from __future__ import annotations

import importlib
import pkgutil

from edgeprune.doctor.base import CheckResult, Finding, State, examine

for _module in pkgutil.iter_modules(__path__):
    importlib.import_module(f"{__name__}.{_module.name}")

__all__ = ["CheckResult", "Finding", "State", "examine"]
"""Checks look; they install nothing and leave nothing behind."""
