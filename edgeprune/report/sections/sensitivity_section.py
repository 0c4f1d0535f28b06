"""Section on the sensitivity of groups, with one small chart for each group."""

from __future__ import annotations

import math

from edgeprune.bundle.report_data import ReportGroup, ReportSensitivity, SensitivityCurve
from edgeprune.report.charts import ChartAxis, dots, line, plot
from edgeprune.report.components import Column, ReportSource, Section, figure, folded, kind, paragraph, table
from edgeprune.report.markup import Content, Markup, element

_TITLE = "Sensitivity"


def section(source: ReportSource) -> Section:
    """Return the section with the increase of the loss by the fraction of removed units, for each group."""
    sensitivity = source.data.sensitivity
    if sensitivity is None or not sensitivity.groups:
        return Section("sensitivity", _TITLE, paragraph("The sensitivity was not measured."))
    highest = max(max(0.0, point.loss - sensitivity.loss) for curve in sensitivity.groups for point in curve.points)
    # Heights are square roots, because the increase of a few groups is ten times that of most others.
    y = ChartAxis(0, math.sqrt(highest) or 1.0)
    groups = {group.name: group for group in source.data.groups}
    charts = [_curve_chart(curve, groups.get(curve.group), sensitivity, y) for curve in sensitivity.groups]
    caption = (
        f"Increase of the loss on {sensitivity.samples:,} validation samples while one group shrinks to a quarter, "
        f"without repair or training. The vertical axis of each chart goes from 0 to {highest:.3g} on a square-root "
        "scale. The vertical line is the removed fraction of the group in the shipped model. "
    )
    return Section(
        "sensitivity",
        _TITLE,
        [figure([caption, kind("measured")], element("div", charts, class_="multiples")), _listed(sensitivity)],
    )


def _curve_chart(
    curve: SensitivityCurve, group: ReportGroup | None, sensitivity: ReportSensitivity, y: ChartAxis
) -> Markup:
    x = ChartAxis(0, 1)
    places = [(0.0, 100.0)] + [
        (x.at(1 - point.remaining_units / curve.units), 100 - y.at(math.sqrt(max(0.0, point.loss - sensitivity.loss))))
        for point in curve.points
    ]
    removed_fraction = None if group is None else 1 - group.remaining_units / group.units
    marker = (
        None
        if removed_fraction is None
        else line([(x.at(removed_fraction), 0), (x.at(removed_fraction), 100)], "bound")
    )
    worst = curve.points[-1]
    increase = worst.loss - sensitivity.loss
    description = (
        f"without {curve.units - worst.remaining_units} of {curve.units} units the loss increases by {increase:.3g}"
    )
    base = line([(0, 100), (100, 100)], "grid")
    marks = [base, marker, line(places, "pruned"), dots(places, "pruned small")]
    chart = plot(f"Sensitivity of {curve.group}", description, marks, x=x, y=y, height_rem=4)
    label = (
        None if removed_fraction is None else f" −{100 * removed_fraction:.0f} %" if removed_fraction else " not pruned"
    )
    return element("div", element("p", element("strong", curve.group), label, class_="name"), chart, class_="named")


def _listed(sensitivity: ReportSensitivity) -> Markup:
    ratios = [
        f"−{100 * (1 - point.remaining_units / sensitivity.groups[0].units):.0f} %"
        for point in sensitivity.groups[0].points
    ]
    quantity = "loss" if sensitivity.accuracy is None else "accuracy"
    columns = (Column("group", False), Column("units"), *(Column(f"{quantity}, about {ratio}") for ratio in ratios))
    rows: list[list[Content]] = [
        [curve.group, f"{curve.units:,}", *(_value(point.loss, point.accuracy) for point in curve.points)]
        for curve in sensitivity.groups
    ]
    dense = _value(sensitivity.loss, sensitivity.accuracy)
    return folded("The same as a table", table(f"Dense: {quantity} {dense} (measured)", columns, rows))


def _value(loss: float, accuracy: float | None) -> str:
    return f"{loss:.3g}" if accuracy is None else f"{100 * accuracy:.1f} %"
