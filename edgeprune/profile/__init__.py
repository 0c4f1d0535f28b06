"""Latency and memory of models on a device; ``runners/`` are self-contained scripts that run there."""

from __future__ import annotations

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
