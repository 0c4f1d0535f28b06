"""Units of time and memory that limits are written in."""

from __future__ import annotations

from collections.abc import Mapping

BYTES: Mapping[str, float] = {
    "B": 1, "kB": 10**3, "MB": 10**6, "GB": 10**9, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30,
}  # fmt: skip
MILLISECONDS: Mapping[str, float] = {"us": 1e-3, "ms": 1.0, "s": 1e3}


def units_of(quantity: str) -> Mapping[str, float]:
    """Units of a quantity, with their values in bytes or milliseconds; empty for a quantity without a unit.

    Args:
        quantity: Name such as ``macs``, ``flash_bytes`` or ``latency_ms.p50``.
    """
    parts = quantity.split(".")
    if any(part.endswith("_ms") for part in parts):
        return MILLISECONDS
    return BYTES if any(part.endswith("_bytes") for part in parts) else {}
