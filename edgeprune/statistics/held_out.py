"""Held-out part of the samples, on which networks are compared."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any

from edgeprune.statistics import Samples

_HELD_OUT = 4
"""Period of the held-out batches: every fourth batch of the data."""


@dataclass(frozen=True)
class _Every:
    """Every fourth batch of ``source``, from the second batch on, or all other batches with ``others``."""

    source: Iterable[Any]
    others: bool

    def __iter__(self) -> Iterator[Any]:
        return (batch for number, batch in enumerate(self.source) if (number % _HELD_OUT == 1) != self.others)


def held_out(samples: Samples, validation: Iterable[Any] | None) -> tuple[Samples, Samples]:
    """Return the samples for scores, selection and repair, and the samples for comparison of networks.

    Args:
        samples: All samples. A single batch is used for both.
        validation: Batches for comparison. Defaults to every fourth batch of ``samples``.
    """
    if validation is not None:
        return samples, replace(samples, source=validation)
    compared = replace(samples, source=_Every(samples.source, others=False))
    if next(iter(compared.source), None) is None:
        return samples, samples
    return replace(samples, source=_Every(samples.source, others=True)), compared
