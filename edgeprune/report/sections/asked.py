"""What was asked, and what came out."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from edgeprune.bundle.manifest import BudgetReport
from edgeprune.report import text
from edgeprune.report.markup import Content, element
from edgeprune.report.parts import Column, Section, Source, kind, table, terms

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
    Column("limit"),
    Column("value"),
    Column("margin"),
    Column("from", False),
    Column("verdict", False),
)


def section(source: Source) -> Section:
    """The request in words, and each limit with its verdict."""
    asked = source.facts.asked
    verdicts = table("Budgets", _COLUMNS, map(_verdict, source.manifest.budgets))
    pairs: list[tuple[Content, Content]] = [
        ("network", [source.manifest.recipe, f": {asked.description}" if asked.description else None]),
        ("at most", ", ".join(_limit(name, limit) for name, limit in asked.budget.items())),
        ("units chosen by", f"{asked.criterion} scores, {asked.select} selection"),
        ("repaired with", ", ".join(asked.repairs).replace("_", " ") or "nothing"),
        ("schedule", [asked.schedule.replace("_", " "), _options(asked.options), f", {_epochs(asked.epochs)}"]),
        ("precision", _precision(asked.precision, asked.max_accuracy_drop)),
        ("target", [source.manifest.target, f": {asked.target}" if asked.target else None]),
        ("runtime", f"{asked.runtime} {asked.versions}".rstrip()),
        ("board", _options(asked.hardware).lstrip(" (").rstrip(")")),
    ]
    came = terms([("ships", _shipped(source)), ("cost", _costs(source))])
    body = [element("h3", "Asked"), terms(pairs), element("h3", "Came out"), came, verdicts]
    return Section("asked", "What was asked, and what came out", body)


def _shipped(source: Source) -> str:
    accuracy = source.manifest.metrics.shipped.accuracy
    return source.shipped + ("" if accuracy is None else f", {source.manifest.metric} {source.accuracy(accuracy)}")


def _costs(source: Source) -> str:
    shipped = source.manifest.metrics.shipped
    return f"{text.count(shipped.macs)} multiply-adds, {text.count(shipped.params)} parameters"


def quantity(name: str, value: float) -> str:
    """A value of the budget ``name`` with its unit."""
    cost = name.partition(".")[0]
    if cost.endswith("_ms"):
        return text.milliseconds(value)
    if cost.endswith("_bytes"):
        return text.size(value)
    return text.percent(value) if cost == "accuracy" else text.count(value)


def _verdict(budget: BudgetReport) -> list[Content]:
    left = (budget.limit - budget.value) / budget.limit if budget.limit else 0.0
    return [
        _name(budget.name),
        quantity(budget.name, budget.limit),
        quantity(budget.name, budget.value),
        f"{text.signed(100 * left, '.1f')} %",
        kind(budget.kind),
        element("span", "✓ kept" if budget.ok else "✗ missed", class_="good" if budget.ok else "bad"),
    ]


def _name(name: str) -> str:
    cost, _, part = name.partition(".")
    return f"{_NAMES.get(cost, cost)} {part}".rstrip()


def _limit(name: str, limit: float | str) -> str:
    if isinstance(limit, str):
        return f"{limit} of {_name(name)}"
    shown = f"{100 * limit:g} %" if limit <= 1 else quantity(name, limit)
    return f"{shown} of {'the dense ' if limit <= 1 else ''}{_name(name)}"


def _options(options: Mapping[str, Any]) -> str:
    told = (f"{name.replace('_', ' ')} {_plain(value)}" for name, value in options.items())
    return f" ({', '.join(told)})" if options else ""


def _plain(value: Any) -> str:
    if isinstance(value, list):
        return " ".join(map(str, value))
    return value if isinstance(value, str) else json.dumps(value)


def _epochs(count: int) -> str:
    return f"{count} epoch{'' if count == 1 else 's'} of training" if count else "no training"


def _precision(demanded: str, drop: float) -> str:
    if demanded == "auto":
        return f"auto: the fastest that was measured and loses at most {100 * drop:g} points"
    return demanded
