"""Numbers as people read them, with the unit that a name says."""

from __future__ import annotations


def shown(name: str, value: float, *, metric: str = "accuracy") -> str:
    """``value`` of ``name`` (``macs``, ``latency_ms.p95``, ``file_bytes``, ``accuracy``) with its unit.

    ``metric`` is what accuracy is: a share where it is called so, else a number of the user's own.
    """
    base = name.partition(".")[0]
    if base.endswith("accuracy"):
        return f"{100 * value:.2f} %" if metric == "accuracy" else f"{value:.4g}"
    if base.endswith("_ms"):
        return milliseconds(value)
    return byte_count(value) if base.endswith("_bytes") else count(value)


def count(value: float) -> str:
    for unit, size in (("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if abs(value) >= size:
            return f"{value / size:.4g} {unit}"
    return f"{value:.0f}"


def byte_count(value: float) -> str:
    for unit, size in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if abs(value) >= size:
            return f"{value / size:.4g} {unit}"
    return f"{value:.0f} B"


def milliseconds(value: float) -> str:
    return f"{value:.4g} ms"
