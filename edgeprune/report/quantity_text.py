"""Quantities as people read them, with their units."""

from __future__ import annotations

from collections.abc import Sequence

Steps = Sequence[tuple[str, float]]

_COUNTS: Steps = (("G", 1e9), ("M", 1e6), ("k", 1e3))
_BYTES: Steps = (("GB", 1e9), ("MB", 1e6), ("kB", 1e3))


def shown(name: str, value: float, *, metric: str = "accuracy") -> str:
    """``value`` of ``name`` (``macs``, ``latency_ms.p95``, ``file_bytes``, ``accuracy``) with its unit.

    ``metric`` is what accuracy is: a share where it is called so, else a number of the user's own.
    """
    base = name.partition(".")[0]
    if base.endswith("accuracy"):
        return percent(value) if metric == "accuracy" else f"{value:.4g}"
    if base.endswith("_ms"):
        return milliseconds(value)
    return size(value) if base.endswith("_bytes") else count(value)


def count(value: float) -> str:
    """``1.564 M``."""
    return _scaled(value, _COUNTS) or f"{value:.0f}"


def size(value: float) -> str:
    """Bytes: ``46.48 kB``, of 1000 bytes each."""
    return _scaled(value, _BYTES) or f"{value:.0f} B"


def milliseconds(value: float) -> str:
    """``0.0387 ms``."""
    return f"{value:.4g} ms"


def percent(share: float) -> str:
    """``99.15 %``."""
    return f"{100 * share:.2f} %"


def points(change: float) -> str:
    """A difference of shares: ``−0.56 points``."""
    return f"{signed(100 * change, '.2f')} points"


def signed(value: float, form: str = ".4g") -> str:
    """With its sign, and a minus as long as a plus."""
    return f"{value:+{form}}".replace("-", "−", 1)


def _scaled(value: float, steps: Steps) -> str | None:
    return next((f"{value / size:.4g} {unit}" for unit, size in steps if abs(value) >= size), None)
