"""Section on the sensitivity of groups: one small chart a group."""

from __future__ import annotations

import math

from edgeprune.bundle.report_data import ReportGroup, ReportSensitivity, SensitivityCurve
from edgeprune.report.charts import ChartAxis, dots, line, plot
from edgeprune.report.components import Column, ReportSource, Section, figure, folded, kind, paragraph, table
from edgeprune.report.markup import Content, Markup, element

_TITLE = "Sensitivity"


def section(source: ReportSource) -> Section:
    """The rise of the loss against the share of the group that is gone; the upright line is what the plan chose."""
    found = source.facts.sensitivity
    if found is None or not found.groups:
        return Section("sensitivity", _TITLE, paragraph("It was not measured."))
    highest = max(max(0.0, point.loss - found.loss) for curve in found.groups for point in curve.points)
    # Heights are square roots: a few groups lose ten times as much as most, which differ as well.
    y = ChartAxis(0, math.sqrt(highest) or 1.0)
    groups = {group.name: group for group in source.facts.groups}
    drawn = [_drawn(curve, groups.get(curve.group), found, y) for curve in found.groups]
    caption = (
        f"Rise of the loss on {found.samples:,} validation samples as one group alone shrinks to a quarter, nothing "
        f"repaired and nothing trained; every chart goes from 0 to {highest:.3g}, by the square root. The upright "
        "line: how much of the group is gone in what ships. "
    )
    return Section(
        "sensitivity",
        _TITLE,
        [figure([caption, kind("measured")], element("div", drawn, class_="multiples")), _listed(found)],
    )


def _drawn(curve: SensitivityCurve, group: ReportGroup | None, found: ReportSensitivity, y: ChartAxis) -> Markup:
    x = ChartAxis(0, 1)
    places = [(0.0, 100.0)] + [
        (x.at(1 - point.kept / curve.units), 100 - y.at(math.sqrt(max(0.0, point.loss - found.loss))))
        for point in curve.points
    ]
    gone = None if group is None else 1 - group.left / group.units
    chosen = None if gone is None else line([(x.at(gone), 0), (x.at(gone), 100)], "bound")
    worst = curve.points[-1]
    description = (
        f"without {curve.units - worst.kept} of {curve.units} units the loss rises by {worst.loss - found.loss:.3g}"
    )
    base = line([(0, 100), (100, 100)], "grid")
    marks = [base, chosen, line(places, "pruned"), dots(places, "pruned small")]
    drawn = plot(f"Sensitivity of {curve.group}", description, marks, x=x, y=y, height_rem=4)
    left = None if gone is None else f" −{100 * gone:.0f} %" if gone else " whole"
    return element("div", element("p", element("strong", curve.group), left, class_="name"), drawn, class_="named")


def _listed(found: ReportSensitivity) -> Markup:
    ratios = [f"−{100 * (1 - point.kept / found.groups[0].units):.0f} %" for point in found.groups[0].points]
    shown = "loss" if found.accuracy is None else "accuracy"
    columns = (Column("group", False), Column("units"), *(Column(f"{shown}, about {ratio}") for ratio in ratios))
    rows: list[list[Content]] = [
        [curve.group, f"{curve.units:,}", *(_value(point.loss, point.accuracy) for point in curve.points)]
        for curve in found.groups
    ]
    dense = _value(found.loss, found.accuracy)
    return folded("The same as a table", table(f"Dense: {shown} {dense} (measured)", columns, rows))


def _value(loss: float, accuracy: float | None) -> str:
    return f"{loss:.3g}" if accuracy is None else f"{100 * accuracy:.1f} %"
