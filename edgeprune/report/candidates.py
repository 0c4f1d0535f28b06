"""Candidate plans of a build, for the terminal and as cells of a table."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgeprune.bundle.manifest import Manifest, PlanReport
from edgeprune.report import text

if TYPE_CHECKING:
    from rich.table import Table

COLUMNS = ("candidate plan", "MACs", "loss", "", "loss, trained", "")
"""Both figures of a state stand beside each other: the loss, and the metric without a heading."""


def name(plan: PlanReport) -> str:
    """``fisher, balance 1, align 8``."""
    select = plan.select if plan.balance is None else f"balance {plan.balance:g}"
    return f"{plan.criterion}, {select}, align {plan.align}"


def cells(plan: PlanReport, metric: str = "accuracy") -> tuple[str, ...]:
    """One candidate as the texts of ``COLUMNS``."""
    return (
        name(plan),
        f"{plan.macs:.3f}",
        _loss(plan.loss),
        _accuracy(plan.accuracy, metric),
        "" if plan.trained_loss is None else _loss(plan.trained_loss),
        _accuracy(plan.trained_accuracy, metric),
    )


def render(manifest: Manifest) -> Table | None:
    """The table for a terminal, made with rich; None where nothing was compared."""
    from rich.table import Table

    if not manifest.candidates:
        return None
    table = Table(box=None, pad_edge=False)
    for index, column in enumerate((*COLUMNS, "")):
        table.add_column(column, justify="right" if 0 < index < len(COLUMNS) else "left", no_wrap=True)
    for plan in manifest.candidates:
        row = (*cells(plan, manifest.metric), "used" if plan.chosen else "")
        table.add_row(*row, style="bold" if plan.chosen else None)
    return table


def _loss(value: float | None) -> str:
    return "not finite" if value is None else f"{value:.3f}"


def _accuracy(value: float | None, metric: str) -> str:
    if value is None:
        return ""
    return text.percent(value) if metric == "accuracy" else f"{value:.4g}"
