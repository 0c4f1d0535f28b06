"""The repairs there are, and which of them a caller means."""

from __future__ import annotations

from collections.abc import Sequence

from edgeprune.errors import InputError

REPAIRS = {
    "constants": "units that never vary go first: a bias makes up for them exactly",
    "bias": "biases take over the mean of what is gone",
    "least_squares": "weights and biases of what reads a removed unit are refitted to the dense outputs",
    "recalibrate": "BatchNorm statistics are taken anew",
}
"""Repairs in the order in which they are made, with a description."""

AUTO = ("constants", "least_squares")
"""Meaning of ``auto`` without training: the methods with the best accuracy before training."""
AUTO_BEFORE_TRAINING = ("constants", "recalibrate")
"""Meaning of ``auto`` with training, after which a refit gains nothing; see docs/selection.md."""


def chosen_repairs(repair: str | Sequence[str] | None, *, data: bool, training: bool = False) -> tuple[str, ...]:
    """The repairs that ``repair`` means: ``auto``, None for none, one of ``REPAIRS``, or several.

    Args:
        repair: What is wanted.
        data: Whether there are samples; without, ``auto`` repairs nothing.
        training: Whether fine-tuning follows.

    Raises:
        InputError: An unknown one, two that exclude each other, or one that lacks data.
    """
    if repair == "auto":
        return () if not data else AUTO_BEFORE_TRAINING if training else AUTO
    wanted = () if repair is None else (repair,) if isinstance(repair, str) else tuple(repair)
    unknown = [name for name in wanted if name not in REPAIRS]
    if unknown:
        raise InputError(f"repair: got {unknown[0]!r}; allowed are 'auto', None, and any of {', '.join(REPAIRS)}")
    if {"bias", "least_squares"} <= set(wanted):
        raise InputError("repair: got bias and least_squares; least_squares refits biases as well, so give one of them")
    if wanted and not data:
        raise InputError(f"repair: {', '.join(wanted)} need data, and there is none; give data=..., or repair=()")
    return wanted
