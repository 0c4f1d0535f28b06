"""Output of a comparison as a terminal table, Markdown for a pull request, JUnit XML or JSON values."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree as ET

from edgeprune.report.comparison_result import Comparison
from edgeprune.report.quantity_change import QuantityChange
from edgeprune.report.quantity_text import format_quantity, points, signed
from edgeprune.report.regression_limits import ACCURACY

if TYPE_CHECKING:
    from rich.table import Table

_COLUMNS = ("", "base", "new", "change", "95 % interval", "", "")
_HIDDEN = (".p90", ".p99", ".min", ".mean")
"""Latency statistics that tables omit unless they have a limit."""
_COUNTED = {"failures": "failure", "skipped": "skipped", "errors": "error"}


def cells(change: QuantityChange, metric: str) -> tuple[str, ...]:
    """Return the texts of the columns for one change."""
    values = (
        "" if value is None else format_quantity(change.key, value, metric=metric)
        for value in (change.base, change.new)
    )
    return (
        change.key,
        *values,
        "" if change.worse is None else _amount(change, change.worse, metric),
        _interval(change, metric),
        "" if change.kind == "exact" else change.kind,
        _outcome(change, metric),
    )


def visible(comparison: Comparison) -> list[QuantityChange]:
    """Return the changes that tables show."""
    return [change for change in comparison.changes if not change.key.endswith(_HIDDEN) or change.rule is not None]


def render(comparison: Comparison) -> Table:
    """Return a rich table for a terminal of at least 80 columns, with limits and advice in the caption."""
    from rich.box import SIMPLE
    from rich.table import Table

    limits = [f"{one.key}: {_outcome(one, comparison.metric)}" for one in (*comparison.failed, *comparison.undecided)]
    table = Table(
        title=comparison.title, caption="\n".join([*limits, *_notes(comparison)]) or None, box=SIMPLE, pad_edge=False,
        title_justify="left", caption_justify="left", collapse_padding=True,
    )  # fmt: skip
    for index, column in enumerate((*_COLUMNS[:5], "")):
        table.add_column(column, justify="right" if 0 < index < 5 else "left", no_wrap=True)
    for change in visible(comparison):
        *figures, interval, _, outcome = cells(change, comparison.metric)
        table.add_row(*figures, interval.removesuffix(" points"), outcome.partition(",")[0])
    return table


def markdown(comparison: Comparison) -> str:
    """Return the table as Markdown for a comment on a pull request."""
    lines = [
        f"**{comparison.title}: {_summary(comparison)}**",
        "",
        f"| {' | '.join(_COLUMNS)} |",
        "|---|---:|---:|---:|---:|---|---|",
    ]
    for change in visible(comparison):
        row = cells(change, comparison.metric)
        stands_out = change.decision in ("failed", "undecided")
        lines.append(f"| {' | '.join((*row[:-1], f'**{row[-1]}**' if stands_out else row[-1]))} |")
    return "\n".join([*lines, "", *_notes(comparison), ""])


def junit(comparison: Comparison) -> str:
    """Return JUnit XML with one test for each quantity.

    A failure has the type ``regression`` or ``undecided``. Quantities that cannot be compared are skipped, and so are
    undecided ones if ``undecided_fails`` is False.
    """
    suite = ET.Element("testsuite", name="edgeprune compare")
    for change in comparison.changes:
        case = ET.SubElement(suite, "testcase", classname=comparison.title, name=change.key)
        if change.failed:
            ET.SubElement(case, "failure", type="regression", message=sentence(change, comparison.metric))
        elif change.decision == "undecided":
            kind = "failure" if comparison.undecided_fails else "skipped"
            ET.SubElement(case, kind, type="undecided", message=sentence(change, comparison.metric))
        elif change.worse is None:
            ET.SubElement(case, "skipped", message=change.note)
    counts = {kind: len(suite.findall(f"testcase/{tag}")) for kind, tag in _COUNTED.items()}
    suite.attrib |= {"tests": str(len(comparison.changes)), **{kind: str(count) for kind, count in counts.items()}}
    ET.indent(suite)
    return ET.tostring(suite, encoding="unicode", xml_declaration=True) + "\n"


def as_json(comparison: Comparison) -> dict[str, Any]:
    """Return the comparison as JSON values."""
    return {
        "title": comparison.title,
        "metric": comparison.metric,
        "notes": list(comparison.notes),
        "passed": comparison.passed,
        "failed": [change.key for change in comparison.failed],
        "undecided": [change.key for change in comparison.undecided],
        "changes": [
            {
                "key": change.key,
                "base": change.base,
                "new": change.new,
                "kind": change.kind,
                "worse": _finite(change.worse),
                "low": _finite(change.low),
                "high": _finite(change.high),
                "direction": change.direction,
                "decision": change.decision,
                "failed": change.failed,
                "needed": {change.repeats: change.needed}
                if change.decision == "undecided" and change.repeats
                else None,
                "rule": None if change.rule is None else {"limit": change.rule.limit, "absolute": change.rule.absolute},
                "note": change.note,
            }
            for change in comparison.changes
        ],
    }


def sentence(change: QuantityChange, metric: str) -> str:
    """Return a failed or undecided change as a clause for a message."""
    name, base, new, amount, interval, _, outcome = cells(change, metric)
    advice = f"; {_advice(change)}" if change.decision == "undecided" else ""
    return f"{name} went from {base} to {new} ({amount}{f', {interval}' if interval else ''}; {outcome}{advice})"


def _summary(comparison: Comparison) -> str:
    failed, undecided = len(comparison.failed), len(comparison.undecided)
    regressions = "no regression" if not failed else f"{failed} regression{'s' if failed > 1 else ''}"
    return f"{regressions}, {undecided} undecided" if undecided else regressions


def _outcome(change: QuantityChange, metric: str) -> str:
    """Return the displayed decision, with the limit if the change failed or is undecided."""
    if change.decision not in ("failed", "undecided") or change.rule is None:
        return change.direction
    limit = change.rule.limit
    if change.failed and not limit:
        return "WORSE, beyond noise"
    allowed = format_quantity(change.key, limit) if change.rule.absolute else f"{100 * limit:g} %"
    if change.key == ACCURACY:
        allowed = f"{100 * limit:g} points" if metric == ACCURACY else f"{limit:g}"
    return f"{'WORSE' if change.failed else 'UNDECIDED'}, {allowed} is allowed"


def _advice(change: QuantityChange) -> str:
    """Return the advice for an undecided change, such as the number of samples or blocks that would decide it."""
    if not change.repeats:
        return "more measurements would not narrow the interval: choose another limit, or --undecided pass"
    if change.needed is None:
        return f"no number of {change.repeats} would decide: choose another limit, or --undecided pass"
    option = " ('edgeprune profile --blocks')" if change.repeats == "blocks" else ""
    return f"about {_rounded(change.needed):,} {change.repeats} would decide{option}"


def _rounded(count: int) -> int:
    """Round a count up to two significant digits."""
    step = int(10 ** max(0, len(str(count)) - 2))
    return -(-count // step) * step


def _amount(change: QuantityChange, worse: float, metric: str) -> str:
    if change.key != ACCURACY:
        return "new" if math.isinf(worse) else f"{signed(100 * worse, '.1f')} %"
    return points(0.0 - worse) if metric == ACCURACY else signed(0.0 - worse)


def _interval(change: QuantityChange, metric: str) -> str:
    if change.worse is None or change.low == change.high:
        return ""
    low, high = (change.high, change.low) if change.key == ACCURACY else (change.low, change.high)
    ends = [_amount(change, end, metric) for end in (low, high)]
    return f"{ends[0].partition(' ')[0]} to {ends[1]}"


def _notes(comparison: Comparison) -> list[str]:
    remarks: list[tuple[str, str]] = [
        (change.key, change.kind) for change in visible(comparison) if change.kind in ("emulated", "estimated")
    ]
    remarks += [(change.key, change.note) for change in visible(comparison) if change.note]
    remarks += [(change.key, f"undecided; {_advice(change)}") for change in comparison.undecided]
    return [*comparison.notes, *(f"{key}: {remark}" for key, remark in remarks)]


def _finite(value: float | None) -> float | None:
    return None if value is None or not math.isfinite(value) else value
