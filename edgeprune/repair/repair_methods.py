"""Names of the repairs, and the meaning of ``auto``."""

from __future__ import annotations

from collections.abc import Sequence

from edgeprune.errors import InputError

REPAIRS = {
    "constants": "constant units are removed first: biases replace them exactly",
    "bias": "biases take over the mean of the removed units",
    "least_squares": "weights and biases of the layers that read removed units are refitted to the dense outputs",
    "recalibrate": "BatchNorm statistics are computed again",
}
"""Descriptions of the repairs by name, in the order in which they are applied."""

AUTO = ("constants", "least_squares")
"""Meaning of ``auto`` without training: the methods with the best accuracy before training."""
AUTO_BEFORE_TRAINING = ("constants", "recalibrate")
"""Meaning of ``auto`` with training, after which a refit gains nothing; see docs/selection.md."""


def chosen_repairs(repair: str | Sequence[str] | None, *, data: bool, training: bool = False) -> tuple[str, ...]:
    """Return the names of the repairs to apply.

    Args:
        repair: ``auto``, one of ``REPAIRS``, or several; None or an empty sequence for none.
        data: Whether there are samples; without them, ``auto`` repairs nothing.
        training: Whether fine-tuning follows.

    Raises:
        InputError: A repair is unknown, needs data, or excludes another one.
    """
    if repair == "auto":
        return () if not data else AUTO_BEFORE_TRAINING if training else AUTO
    names = () if repair is None else (repair,) if isinstance(repair, str) else tuple(repair)
    unknown = [name for name in names if name not in REPAIRS]
    if unknown:
        raise InputError(f"repair: got {unknown[0]!r}, must be 'auto', None, or any of {', '.join(REPAIRS)}")
    if {"bias", "least_squares"} <= set(names):
        raise InputError("repair: got bias and least_squares, but least_squares also refits biases: use one of them")
    if names and not data:
        raise InputError(f"repair: data is needed for {', '.join(names)}: pass data=..., or repair=()")
    return names
