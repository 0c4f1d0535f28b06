"""What a criterion is, and the registry that finds it by name."""

from __future__ import annotations

import difflib
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, TypeVar

import torch
from torch import Tensor, nn

from edgeprune.errors import InputError
from edgeprune.graph import Units


@dataclass(frozen=True)
class Network:
    """What a criterion may look at. ``seed`` makes its choices repeatable."""

    model: nn.Module
    units: Units
    seed: int = 0


class Criterion(ABC):
    """Scores every unit: the larger, the more its removal is expected to cost."""

    name: ClassVar[str]

    @abstractmethod
    def score(self, network: Network) -> Tensor:
        """Scores of all units, frozen ones included: finite, at least 0, float64 of shape (units,)."""


_criteria: dict[str, type[Criterion]] = {}
C = TypeVar("C", bound=type[Criterion])

AUTO = "l2"
"""What ``auto`` stands for."""


def register(criterion: C) -> C:
    """Class decorator: make the criterion known by its ``name``."""
    assert criterion.name not in _criteria, f"two criteria named {criterion.name}"
    _criteria[criterion.name] = criterion
    return criterion


def registered() -> Mapping[str, type[Criterion]]:
    """All criteria by name."""
    return dict(sorted(_criteria.items()))


def create(name: str) -> Criterion:
    """The criterion called ``name``; ``auto`` picks the best one known.

    Raises:
        InputError: there is none; names the nearest.
    """
    name = AUTO if name == "auto" else name
    if name not in _criteria:
        near = difflib.get_close_matches(name, _criteria, 1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        raise InputError(f"criterion: got {name!r}; there are auto, {', '.join(sorted(_criteria))}{hint}")
    return _criteria[name]()


def per_unit(units: Units, owner_start: int, values: Tensor, into: Tensor) -> None:
    """Add ``values``, one for each id from ``owner_start``, to the units that hold these ids."""
    unit = units.unit_of[owner_start : owner_start + len(values)]
    into.index_add_(0, unit[unit >= 0], values.to(torch.float64)[unit >= 0])
