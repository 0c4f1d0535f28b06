"""Table of the candidate plans of a build."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgeprune.bundle.manifest import Manifest
from edgeprune.bundle.pruning_report import PlanReport
from edgeprune.report import quantity_text

if TYPE_CHECKING:
    from rich.table import Table


def name(plan: PlanReport) -> str:
    """Return the name of a plan, such as ``fisher, balance 1, align 8``."""
    selection = plan.selection if plan.balance is None else f"balance {plan.balance:g}"
    return f"{plan.criterion}, {selection}, align {plan.align}"


def cells(plan: PlanReport, metric: str = "accuracy") -> tuple[str, ...]:
    """Return name, fraction of MACs, loss and metric after repair, and loss and metric after the short training."""
    return (
        name(plan),
        f"{plan.macs:.3f}",
        _loss(plan.loss),
        _accuracy(plan.accuracy, metric),
        "" if plan.trained_loss is None else _loss(plan.trained_loss),
        _accuracy(plan.trained_accuracy, metric),
    )


def render(manifest: Manifest) -> Table | None:
    """Return a rich table for the terminal; None if there are no candidates."""
    from rich.table import Table

    if not manifest.candidates:
        return None
    table = Table(box=None, pad_edge=False)
    columns = ["candidate plan", "MACs", "loss", manifest.metric]
    if any(plan.trained_loss is not None for plan in manifest.candidates):
        columns += ["trained: loss", manifest.metric]
    for index, column in enumerate((*columns, "")):
        table.add_column(column, justify="right" if 0 < index < len(columns) else "left", no_wrap=True)
    for plan in manifest.candidates:
        row = (*cells(plan, manifest.metric)[: len(columns)], "used" if plan.chosen else "")
        table.add_row(*row, style="bold" if plan.chosen else None)
    table.caption = (
        "the plan with the lowest loss is used; an aligned plan is preferred if its loss is within one standard error"
    )
    table.caption_justify = "left"
    return table


def _loss(value: float | None) -> str:
    return "not finite" if value is None else f"{value:.3f}"


def _accuracy(value: float | None, metric: str) -> str:
    if value is None:
        return ""
    return quantity_text.percent(value) if metric == "accuracy" else f"{value:.4g}"
