"""A comparison for the terminal, as Markdown for a pull request, as JUnit's XML and for machines."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree as ET

from edgeprune.report.comparison import Change, Comparison
from edgeprune.report.rules import ACCURACY
from edgeprune.report.text import points, shown, signed

if TYPE_CHECKING:
    from rich.table import Table

_COLUMNS = ("", "base", "new", "change", "95 % interval", "", "")
_HIDDEN = (".p90", ".p99", ".min", ".mean")
"""Of latency, what only machines are told, unless there is a rule for it."""


def cells(change: Change, metric: str) -> tuple[str, ...]:
    """One change as the texts of the columns."""
    values = ("" if value is None else shown(change.key, value, metric=metric) for value in (change.base, change.new))
    return (
        change.key,
        *values,
        "" if change.worse is None else _amount(change, change.worse, metric),
        _interval(change, metric),
        "" if change.kind == "exact" else change.kind,
        _allowed(change) if change.failed else change.verdict,
    )


def visible(comparison: Comparison) -> list[Change]:
    """The changes that people are shown."""
    return [change for change in comparison.changes if not change.key.endswith(_HIDDEN) or change.rule is not None]


def render(comparison: Comparison) -> Table:
    """The table for a terminal, made with rich."""
    from rich.box import SIMPLE
    from rich.table import Table

    table = Table(
        title=comparison.title, caption="\n".join(_notes(comparison)) or None, box=SIMPLE, pad_edge=False,
        title_justify="left", caption_justify="left",
    )  # fmt: skip
    for index, column in enumerate(_COLUMNS):
        table.add_column(column, justify="right" if 0 < index < 5 else "left", no_wrap=True)
    for change in visible(comparison):
        table.add_row(*cells(change, comparison.metric))
    return table


def markdown(comparison: Comparison) -> str:
    """The table for a comment on a pull request."""
    failed = comparison.failed
    verdict = "no regression" if not failed else f"{len(failed)} regression{'s' if len(failed) > 1 else ''}"
    lines = [
        f"**{comparison.title}: {verdict}**",
        "",
        f"| {' | '.join(_COLUMNS)} |",
        "|---|---:|---:|---:|---:|---|---|",
    ]
    for change in visible(comparison):
        row = cells(change, comparison.metric)
        lines.append(f"| {' | '.join((*row[:-1], f'**{row[-1]}**' if change.failed else row[-1]))} |")
    return "\n".join([*lines, "", *_notes(comparison), ""])


def junit(comparison: Comparison) -> str:
    """JUnit's XML: a test for each quantity."""
    changes = comparison.changes
    skipped = [change for change in changes if change.worse is None]
    counts = {"tests": len(changes), "failures": len(comparison.failed), "skipped": len(skipped), "errors": 0}
    suite = ET.Element("testsuite", {"name": "edgeprune compare", **{name: str(n) for name, n in counts.items()}})
    for change in changes:
        case = ET.SubElement(suite, "testcase", classname=comparison.title, name=change.key)
        if change.failed:
            ET.SubElement(case, "failure", message=sentence(change, comparison.metric))
        elif change.worse is None:
            ET.SubElement(case, "skipped", message=change.note)
    ET.indent(suite)
    return ET.tostring(suite, encoding="unicode", xml_declaration=True) + "\n"


def told(comparison: Comparison) -> dict[str, Any]:
    """All of it as plain JSON values."""
    return {
        "title": comparison.title,
        "metric": comparison.metric,
        "notes": list(comparison.notes),
        "failed": [change.key for change in comparison.failed],
        "changes": [
            {
                "key": change.key,
                "base": change.base,
                "new": change.new,
                "kind": change.kind,
                "worse": _finite(change.worse),
                "low": _finite(change.low),
                "high": _finite(change.high),
                "verdict": change.verdict,
                "failed": change.failed,
                "rule": None if change.rule is None else {"limit": change.rule.limit, "absolute": change.rule.absolute},
                "note": change.note,
            }
            for change in comparison.changes
        ],
    }


def sentence(change: Change, metric: str) -> str:
    """A regression as a part of a message."""
    name, base, new, amount, interval, _, allowed = cells(change, metric)
    return f"{name} went from {base} to {new} ({amount}{f', {interval}' if interval else ''}; {allowed})"


def _allowed(change: Change) -> str:
    assert change.rule is not None
    limit = change.rule.limit
    if not limit:
        return "WORSE, beyond noise"
    allowed = shown(change.key, limit) if change.rule.absolute else f"{100 * limit:g} %"
    return f"WORSE, {allowed} is allowed"


def _amount(change: Change, worse: float, metric: str) -> str:
    if change.key != ACCURACY:
        return "new" if math.isinf(worse) else f"{signed(100 * worse, '.1f')} %"
    return points(0.0 - worse) if metric == ACCURACY else signed(0.0 - worse)


def _interval(change: Change, metric: str) -> str:
    if change.worse is None or change.low == change.high:
        return ""
    low, high = (change.high, change.low) if change.key == ACCURACY else (change.low, change.high)
    return f"{_amount(change, low, metric)} to {_amount(change, high, metric)}"


def _notes(comparison: Comparison) -> list[str]:
    return [*comparison.notes, *(f"{change.key}: {change.note}" for change in visible(comparison) if change.note)]


def _finite(value: float | None) -> float | None:
    return None if value is None or not math.isfinite(value) else value
