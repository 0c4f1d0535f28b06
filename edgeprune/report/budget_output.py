"""Results of budgets as a terminal table, as Markdown and as sentences."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from edgeprune.bundle.budget_report import BudgetReport
from edgeprune.report.quantity_text import format_quantity

if TYPE_CHECKING:
    from rich.table import Table

LEAST = "accuracy"
"""Name of the quantity with a lower limit; all others have an upper limit."""
COLUMNS = ("budget", "value", "limit", "margin", "", "")


def cells(report: BudgetReport, metric: str = "accuracy") -> tuple[str, ...]:
    """Return the texts of ``COLUMNS`` for one budget."""
    sign = "at least" if report.name == LEAST else "at most"
    return (
        report.name,
        "unknown" if report.value is None else format_quantity(report.name, report.value, metric=metric),
        f"{sign} {format_quantity(report.name, report.limit, metric=metric)}",
        "" if report.margin is None else _margin(report, metric),
        "" if report.kind == "exact" or report.value is None else report.kind,
        "kept" if report.ok else "MISSED",
    )


def sentence(report: BudgetReport, metric: str = "accuracy") -> str:
    """Return the result of one budget as a clause for a message."""
    name, value, limit, _, kind, _ = cells(report, metric)
    note = f": {report.note}" if report.note else ""
    return f"{name} is {value}{f' ({kind})' if kind else ''}, {limit} is allowed{note}"


def render(reports: Sequence[BudgetReport], metric: str = "accuracy") -> Table:
    """Return a rich table for the terminal."""
    from rich.box import SIMPLE
    from rich.table import Table

    notes = "\n".join(f"{report.name}: {report.note}" for report in reports if report.note)
    table = Table(box=SIMPLE, pad_edge=False, caption=notes or None)
    table.caption_justify = "left"
    for column in COLUMNS:
        table.add_column(column, justify="right" if column in ("value", "margin") else "left", no_wrap=True)
    for report in reports:
        table.add_row(*cells(report, metric))
    return table


def markdown(reports: Sequence[BudgetReport], metric: str = "accuracy") -> str:
    """Return the table as Markdown."""
    lines = [f"| {' | '.join(COLUMNS)} |", "|---|---:|---|---:|---|---|"]
    lines += [f"| {' | '.join(cells(report, metric))} |" for report in reports]
    return "\n".join([*lines, "", *(f"{report.name}: {report.note}" for report in reports if report.note)])


def _margin(report: BudgetReport, metric: str) -> str:
    assert report.margin is not None
    if report.name == LEAST:
        return f"{100 * report.margin:+.2f} points" if metric == "accuracy" else f"{report.margin:+.4g}"
    return (
        f"{100 * report.margin / report.limit:+.1f} %" if report.limit else format_quantity(report.name, report.margin)
    )
