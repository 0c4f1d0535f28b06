"""Table of facts about operators by name."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Generic, TypeVar

Facts = TypeVar("Facts")


class OperatorTable(Generic[Facts]):
    """Facts about operators, by name.

    Args:
        rows: Names of operators with equal facts, and the facts. A name may occur only once.
        default: Facts about operators without a row.
    """

    def __init__(self, rows: Iterable[tuple[Iterable[str], Facts]], default: Facts) -> None:
        self._default = default
        self._facts: dict[str, Facts] = {}
        for names, facts in rows:
            for name in names:
                assert name not in self._facts, f"two rows for {name}"
                self._facts[name] = facts

    def __getitem__(self, name: str) -> Facts:
        return self._facts.get(name, self._default)

    def names(self, condition: Callable[[Facts], object] = lambda _: True) -> tuple[str, ...]:
        """Return the names of operators whose facts meet ``condition``, in row order; by default, all names."""
        return tuple(name for name, facts in self._facts.items() if condition(facts))
