"""Result of a comparison of two bundles or profiles."""

from __future__ import annotations

from dataclasses import dataclass

from edgeprune.report.quantity_change import QuantityChange


@dataclass(frozen=True)
class Comparison:
    """All changes from one bundle to another.

    Attributes:
        title: Recipe and target, or the two paths.
        metric: Name of the metric under the key ``accuracy``.
        changes: One for each quantity, in the order of the table.
        notes: Remarks on the whole comparison.
        undecided_fails: Whether an undecided limit counts as failed.
    """

    title: str
    metric: str
    changes: tuple[QuantityChange, ...]
    notes: tuple[str, ...] = ()
    undecided_fails: bool = True

    @property
    def failed(self) -> tuple[QuantityChange, ...]:
        """Changes whose whole interval is beyond the limit."""
        return tuple(change for change in self.changes if change.failed)

    @property
    def undecided(self) -> tuple[QuantityChange, ...]:
        """Changes whose interval contains the limit."""
        return tuple(change for change in self.changes if change.decision == "undecided")

    @property
    def passed(self) -> bool:
        """Whether no limit fails."""
        return not self.failed and not (self.undecided and self.undecided_fails)
