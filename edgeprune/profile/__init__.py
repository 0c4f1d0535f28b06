"""Latency and memory of models on a device.

The package is callable: ``edgeprune.profile(bundle, device)`` is ``edgeprune.profile.profile(bundle, device)``. Names
are loaded on first use (PEP 562), so code that only reads profiles does not need numpy.
"""

from __future__ import annotations

import sys
from types import ModuleType
from typing import TYPE_CHECKING, Any

from edgeprune.lazy_attributes import lazy_attributes

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

_MODULES = {
    "DeviceOutcome": "profile_devices",
    "Profile": "profile_result",
    "measure": "interleaved_bench",
    "predict": "device_outputs",
    "profile": "profile_devices",
    "profile_fleet": "profile_devices",
}

__getattr__ = lazy_attributes(__name__, _MODULES)


class _Callable(ModuleType):
    """Callable package, because it shares its name with its main function."""

    def __call__(self, *arguments: Any, **named: Any) -> Profile:
        from edgeprune.profile.profile_devices import profile

        return profile(*arguments, **named)


sys.modules[__name__].__class__ = _Callable
