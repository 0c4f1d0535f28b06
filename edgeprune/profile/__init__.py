"""Latency and memory of models on a device; ``runners/`` are self-contained scripts that run there.

The room is also the function: ``edgeprune.profile(bundle, device)`` is ``edgeprune.profile.profile(bundle, device)``.
"""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Any

from edgeprune.profile.prediction import predict
from edgeprune.profile.profiling import Outcome, profile, profile_fleet
from edgeprune.profile.protocol import (
    LITERT_REQUIREMENTS,
    LITERT_RUNNER,
    REQUIREMENTS,
    RUNNER,
    TENSORRT_RUNNER,
    measure,
)
from edgeprune.profile.result import Profile

__all__ = [
    "LITERT_REQUIREMENTS",
    "LITERT_RUNNER",
    "REQUIREMENTS",
    "RUNNER",
    "TENSORRT_RUNNER",
    "Outcome",
    "Profile",
    "measure",
    "predict",
    "profile",
    "profile_fleet",
]


class _Callable(ModuleType):
    """A package shares its name with its main function, and importing it must not hide that."""

    def __call__(self, *arguments: Any, **named: Any) -> Profile:
        return profile(*arguments, **named)


sys.modules[__name__].__class__ = _Callable
