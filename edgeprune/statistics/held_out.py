"""Hold out a part of the samples, to compare networks on."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any

from edgeprune.statistics import Samples

_HELD_OUT = 4
"""Every fourth batch of the data is held out to compare candidates on."""


@dataclass(frozen=True)
class _Every:
    """Every fourth batch of ``source``, from the second on, or with ``others`` the rest."""

    source: Iterable[Any]
    others: bool

    def __iter__(self) -> Iterator[Any]:
        return (batch for number, batch in enumerate(self.source) if (number % _HELD_OUT == 1) != self.others)


def held_out(given: Samples, validation: Iterable[Any] | None) -> tuple[Samples, Samples]:
    """Samples to score, choose and repair with, and those to compare networks on.

    Args:
        given: All samples. A single batch serves both.
        validation: Batches to compare networks on; None: every fourth batch of ``given``.
    """
    if validation is not None:
        return given, replace(given, source=validation)
    compared = replace(given, source=_Every(given.source, others=False))
    if next(iter(compared.source), None) is None:
        return given, given
    return replace(given, source=_Every(given.source, others=True)), compared
