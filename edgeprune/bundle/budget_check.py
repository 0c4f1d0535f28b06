"""Verdicts on budgets: the value, the limit, what is left between them, and whether the evidence is enough."""

from __future__ import annotations

from collections.abc import Iterable

from edgeprune.bundle.manifest import BudgetReport
from edgeprune.evidence import Evidence, is_at_least

_LOWER = "accuracy"
_ROUNDING = 1e-9


def verdict(
    name: str,
    limit: float,
    value: float | None,
    kind: Evidence,
    *,
    required: Evidence = "estimated",
    note: str = "",
) -> BudgetReport:
    """Judge one limit.

    Args:
        name: What is limited; accuracy has a lower limit, all else an upper one.
        limit: In the unit of the value.
        value: What came out; None where it is not known, which is a limit that was missed.
        kind: Where the value comes from.
        required: The weakest evidence that counts.
        note: What there is to say beside, such as why there is no value.
    """
    if value is None:
        return BudgetReport(name=name, limit=limit, value=None, margin=None, kind=kind, ok=False, note=note)
    margin = value - limit if name == _LOWER else limit - value
    enough = is_at_least(kind, required)
    if not enough:
        note = f"it is {kind}, and budget.require asks for {required}{f'; {note}' if note else ''}"
    kept = margin >= -_ROUNDING * max(1.0, abs(limit))
    return BudgetReport(name=name, limit=limit, value=value, margin=margin, kind=kind, ok=kept and enough, note=note)


def combined(budgets: Iterable[BudgetReport], measured: Iterable[BudgetReport]) -> tuple[BudgetReport, ...]:
    """All verdicts; one on a measurement replaces the one of the same name on an estimate.

    Args:
        budgets: Verdicts in the manifest.
        measured: Verdicts in ``measured.json``.
    """
    return tuple({report.name: report for report in (*budgets, *measured)}.values())


def missed(reports: Iterable[BudgetReport]) -> list[BudgetReport]:
    """Those that are not kept."""
    return [report for report in reports if not report.ok]
