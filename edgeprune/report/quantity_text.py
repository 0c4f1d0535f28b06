"""Formatting of quantities with their units."""

from __future__ import annotations

from collections.abc import Sequence

Steps = Sequence[tuple[str, float]]

_COUNTS: Steps = (("G", 1e9), ("M", 1e6), ("k", 1e3))
_BYTES: Steps = (("GB", 1e9), ("MB", 1e6), ("kB", 1e3))


def format_quantity(name: str, value: float, *, metric: str = "accuracy") -> str:
    """Format the value of a quantity with its unit.

    Args:
        name: Name of the quantity, such as ``macs``, ``latency_ms.p95``, ``file_bytes`` or ``accuracy``.
        value: Value of the quantity.
        metric: Meaning of ``accuracy``: ``accuracy`` for a fraction, else the name of a custom metric.
    """
    base = name.partition(".")[0]
    if base.endswith("accuracy"):
        return percent(value) if metric == "accuracy" else f"{value:.4g}"
    if base.endswith("_ms"):
        return milliseconds(value)
    return size(value) if base.endswith("_bytes") else count(value)


def count(value: float) -> str:
    """Format a count, such as ``1.564 M``."""
    return _scaled(value, _COUNTS) or f"{value:.0f}"


def size(value: float) -> str:
    """Format a number of bytes, such as ``46.48 kB`` (1 kB = 1000 bytes)."""
    return _scaled(value, _BYTES) or f"{value:.0f} B"


def milliseconds(value: float) -> str:
    """Format milliseconds, such as ``0.0387 ms``."""
    return f"{value:.4g} ms"


def percent(fraction: float) -> str:
    """Format a fraction as a percentage, such as ``99.15 %``."""
    return f"{100 * fraction:.2f} %"


def points(change: float) -> str:
    """Format a difference of fractions in percentage points, such as ``−0.56 points``."""
    return f"{signed(100 * change, '.2f')} points"


def signed(value: float, format_spec: str = ".4g") -> str:
    """Format a value with its sign, with a typographic minus."""
    return f"{value:+{format_spec}}".replace("-", "−", 1)


def _scaled(value: float, steps: Steps) -> str | None:
    return next((f"{value / size:.4g} {unit}" for unit, size in steps if abs(value) >= size), None)
