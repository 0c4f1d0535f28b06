"""Latency and memory of models on a device.

The room is also the function: ``edgeprune.profile(bundle, device)`` is ``edgeprune.profile.profile(bundle, device)``.
Names are loaded on first use (PEP 562): what only reads profiles needs no numpy.
"""

from __future__ import annotations

import importlib
import sys
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from edgeprune.profile.device_outputs import predict
    from edgeprune.profile.interleaved_bench import measure
    from edgeprune.profile.profile_devices import DeviceOutcome, profile, profile_fleet
    from edgeprune.profile.profile_result import Profile

__all__ = [
    "DeviceOutcome",
    "Profile",
    "measure",
    "predict",
    "profile",
    "profile_fleet",
]

_HOMES = {
    "DeviceOutcome": "profile_devices",
    "Profile": "profile_result",
    "measure": "interleaved_bench",
    "predict": "device_outputs",
    "profile": "profile_devices",
    "profile_fleet": "profile_devices",
}


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module 'edgeprune.profile' has no attribute '{name}'")
    return getattr(importlib.import_module(f"edgeprune.profile.{home}"), name)


class _Callable(ModuleType):
    """A package shares its name with its main function, and importing it must not hide that."""

    def __call__(self, *arguments: Any, **named: Any) -> Profile:
        from edgeprune.profile.profile_devices import profile

        return profile(*arguments, **named)


sys.modules[__name__].__class__ = _Callable
