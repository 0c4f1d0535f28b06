"""Section on the requested build and its result."""

from __future__ import annotations

import json
from collections.abc import Mapping
from itertools import starmap
from typing import Any

from edgeprune.bundle.budget_report import BudgetReport
from edgeprune.report import budget_output, quantity_text, training_text
from edgeprune.report.components import Column, ReportSource, Section, kind, table, terms
from edgeprune.report.markup import Content, element

_NAMES = {
    "macs": "multiply-adds",
    "params": "parameters",
    "latency_ms": "latency",
    "peak_activation_bytes": "peak activation memory",
    "flash_bytes": "weights in flash",
    "arena_bytes": "arena",
    "memory_bytes": "memory",
    "file_bytes": "file",
}
_COLUMNS = (
    Column("budget", False),
    Column("result", False),  # visible on a phone without scrolling
    Column("limit"),
    Column("value"),
    Column("margin"),
    Column("provenance", False),
    Column("note", False),
)


def section(source: ReportSource) -> Section:
    """Return the section with the request, the result, and a table of all budgets."""
    settings = source.data.settings
    budgets = table("Budgets", _COLUMNS, (_budget_row(source, budget) for budget in source.budgets))
    pairs: list[tuple[Content, Content]] = [
        ("network", [source.manifest.recipe, f": {settings.description}" if settings.description else None]),
        ("limits", ", ".join(_limit(name, limit) for name, limit in settings.budget.items())),
        ("unit selection", f"{settings.criterion} scores, {settings.selection} selection"),
        ("repairs", ", ".join(settings.repairs).replace("_", " ") or "none"),
        ("schedule", [settings.schedule.replace("_", " "), _options(settings.options), f", {_training(source)}"]),
        ("precision", _precision(settings.precision, settings.max_accuracy_drop)),
        ("target", [source.manifest.target, f": {settings.target}" if settings.target else None]),
        ("runtime", f"{settings.runtime} {settings.versions}".rstrip()),
        ("board", ", ".join(starmap(_fact, settings.hardware.items()))),
    ]
    result = terms([("shipped model", _shipped(source)), ("cost", _costs(source))])
    body = [element("h3", "Request"), terms(pairs), element("h3", "Result"), result, budgets]
    return Section("summary", "Request and result", body)


def _shipped(source: ReportSource) -> str:
    accuracy = source.manifest.metrics.shipped.accuracy
    return source.shipped + ("" if accuracy is None else f", {source.manifest.metric} {source.accuracy(accuracy)}")


def _costs(source: ReportSource) -> str:
    shipped = source.manifest.metrics.shipped
    return f"{quantity_text.count(shipped.macs)} multiply-adds, {quantity_text.count(shipped.params)} parameters"


def _budget_row(source: ReportSource, budget: BudgetReport) -> list[Content]:
    _, value, limit, margin, _, _ = budget_output.cells(budget, source.manifest.metric)
    return [
        _name(budget.name),
        element("span", "✓ kept" if budget.ok else "✗ missed", class_="good" if budget.ok else "bad"),
        limit,
        value,
        margin,
        kind(budget.kind) if budget.value is not None else "",
        budget.note or "",
    ]


def _name(name: str) -> str:
    cost, _, part = name.partition(".")
    return f"{_NAMES.get(cost, cost)} {part}".rstrip()


def _limit(name: str, limit: float | str) -> str:
    bound = "at least" if name == budget_output.LEAST else "at most"
    if isinstance(limit, str):
        return f"{_name(name)} {bound} {limit}"
    if name != budget_output.LEAST and limit <= 1:
        return f"{_name(name)} {bound} {100 * limit:g} % of the dense network's"
    return f"{_name(name)} {bound} {quantity_text.format_quantity(name, limit)}"


def _options(options: Mapping[str, Any]) -> str:
    settings = (f"{name.replace('_', ' ')} {_value_text(value)}" for name, value in options.items())
    return f" ({', '.join(settings)})" if options else ""


def _fact(name: str, value: Any) -> str:
    what, _, unit = name.rpartition("_")
    if unit == "bytes":
        return f"{quantity_text.size(value)} of {what.replace('_', ' ')}"
    if unit == "mhz":
        return f"{what} {value} MHz"
    return f"{name.replace('_', ' ')} {_value_text(value)}"


def _value_text(value: Any) -> str:
    if isinstance(value, list):
        return " ".join(map(str, value))
    return value if isinstance(value, str) else json.dumps(value)


def _training(source: ReportSource) -> str:
    report = source.manifest.training
    if report is not None:
        return training_text.settings(report)
    count = source.data.settings.epochs
    return f"{count} epoch{'' if count == 1 else 's'} of training" if count else "no training"


def _precision(requested: str, drop: float) -> str:
    if requested == "auto":
        return f"auto: the fastest measured one with a loss of at most {100 * drop:g} points"
    return requested
