"""Schedules: when, in the course of training, units go. One file each; a new one is a class with ``@register``."""

from __future__ import annotations

import importlib
import pkgutil

from edgeprune.schedules.base import Schedule, create, find, registered
from edgeprune.schedules.session import Choice, Session, Snapshot

for _module in pkgutil.iter_modules(__path__):
    importlib.import_module(f"{__name__}.{_module.name}")

__all__ = ["Choice", "Schedule", "Session", "Snapshot", "create", "find", "registered"]
