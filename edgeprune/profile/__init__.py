"""Latency and memory of models on a device; ``runners/`` are self-contained scripts that run there.

Names are loaded on first use (PEP 562): what only reads profiles needs no numpy.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from edgeprune.profile.prediction import predict
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
    "Profile",
    "measure",
    "predict",
]

_HOMES = {"Profile": "result", "predict": "prediction"}


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'edgeprune.profile' has no attribute '{name}'")
    home = importlib.import_module(f"edgeprune.profile.{_HOMES.get(name, 'protocol')}")
    return getattr(home, name)
