"""Comparison of values with the limits of a budget, including margin and provenance."""

from __future__ import annotations

from collections.abc import Iterable

from edgeprune.bundle.budget_report import BudgetReport
from edgeprune.evidence import Evidence, is_at_least

_LOWER = "accuracy"
_ROUNDING = 1e-9


def compare_with_limit(
    name: str,
    limit: float,
    value: float | None,
    kind: Evidence,
    *,
    required: Evidence = "estimated",
    note: str = "",
) -> BudgetReport:
    """Compare one value with its limit.

    Args:
        name: Name of the limited quantity. Accuracy has a lower limit; every other quantity has an upper limit.
        limit: Limit in the unit of the value.
        value: Actual value; None if it is not known, which counts as missing the limit.
        kind: Provenance of the value.
        required: Weakest provenance that is accepted.
        note: Additional remark, such as the reason for a missing value.
    """
    if value is None:
        return BudgetReport(name=name, limit=limit, value=None, margin=None, kind=kind, ok=False, note=note)
    margin = value - limit if name == _LOWER else limit - value
    is_accepted = is_at_least(kind, required)
    if not is_accepted:
        note = f"the value is {kind}, but budget.require is '{required}'{f'; {note}' if note else ''}"
    is_within = margin >= -_ROUNDING * max(1.0, abs(limit))
    return BudgetReport(
        name=name, limit=limit, value=value, margin=margin, kind=kind, ok=is_within and is_accepted, note=note
    )


def combined(budgets: Iterable[BudgetReport], measured: Iterable[BudgetReport]) -> tuple[BudgetReport, ...]:
    """Return all budget results; the result for a measurement replaces the estimated one of the same name.

    Args:
        budgets: Budget results of the manifest.
        measured: Budget results of ``measured.json``.
    """
    return tuple({report.name: report for report in (*budgets, *measured)}.values())


def missed(reports: Iterable[BudgetReport]) -> list[BudgetReport]:
    """Return the results whose limit is not met."""
    return [report for report in reports if not report.ok]
