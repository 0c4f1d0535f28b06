"""Sections on the importance scores of units by group, and on the frozen groups."""

from __future__ import annotations

from dataclasses import replace

from edgeprune.bundle.report_data import ReportGroup
from edgeprune.report.charts import ChartAxis, plot, ticks
from edgeprune.report.components import Column, ReportSource, Section, figure, kind, paragraph, table
from edgeprune.report.markup import Content, Markup, element

_FEW, _ROOM = 20, 10
"""Lower end of the score axis: the lowest score, but at least the 5th percentile (1/20) divided by the factor 10."""


def section(source: ReportSource) -> Section:
    """Return the section with a strip of scores for each group: remaining units above the line, removed ones below."""
    groups = [group for group in source.data.groups if group.frozen is None]
    title = "Importance scores and remaining units"
    if not groups:
        return Section("importance", title, paragraph("No group could be pruned."))
    units, remaining = sum(group.units for group in groups), sum(group.remaining_units for group in groups)
    lede = paragraph(f"{remaining:,} of {units:,} prunable units remain. ", kind("exact"), look="lede")
    scores = [score for group in groups for score in (*group.remaining_scores, *group.removed_scores)]
    if not scores:
        return Section("importance", title, [lede, paragraph("This schedule does not score units."), _counts(groups)])
    x = _axis(scores)
    below = plot("Axis of scores", f"From {x.low:.3g} to {x.high:.3g}", None, x=x, y=ChartAxis(0, 1), height_rem=0)
    rows = [*(_strip(group, x) for group in groups), element("div", below, class_="strip scale")]
    remark = f"; scores below {x.low:.3g} are drawn at the left edge" if min(scores) < x.low else ""
    settings = source.data.settings
    caption = (
        f"Scores by {settings.criterion}, {'logarithmic' if x.logarithmic else 'linear'}, of each unit of each group"
        f"{remark}. Above the line: remaining units. Below: removed units. "
    )
    if len(source.data.steps) > 1:
        caption += "Scores are those of the last selection among all units; later steps computed new scores. "
    return Section("importance", title, [lede, figure([caption, kind("estimated")], rows)])


def frozen(source: ReportSource) -> Section:
    """Return the section with the reason for each frozen group."""
    groups = [group for group in source.data.groups if group.frozen is not None]
    title = "Frozen groups"
    if not groups:
        return Section("frozen", title, paragraph("Every group of the network could be pruned."))
    columns = (Column("group", False), Column("units"), Column("reason", False))
    rows = [[group.name, f"{group.units:,}", group.frozen] for group in groups]
    return Section("frozen", title, table("Groups that cannot be pruned", columns, rows))


def _axis(scores: list[float]) -> ChartAxis:
    """Return the axis of scores: logarithmic if possible, and not dominated by a few units with very low scores."""
    positive = sorted(score for score in scores if score > 0)
    if not positive or min(scores) < 0:
        return ChartAxis(min(scores), max(scores), "score", "{:.3g}".format)
    low = max(positive[0], positive[len(positive) // _FEW] / _ROOM)
    return ChartAxis(low, positive[-1], "score", "{:.3g}".format, logarithmic=True)


def _strip(group: ReportGroup, x: ChartAxis) -> Markup:
    marks: list[Content] = [
        ticks((x.at(score) for score in group.remaining_scores), 6, 50, "pruned"),
        ticks((x.at(score) for score in group.removed_scores), 56, 94, "dense"),
    ]
    description = f"{group.remaining_units:,} of {group.units:,} remain"
    chart = plot(
        f"Scores of {group.name}",
        description,
        marks,
        x=replace(x, title="", show=None),
        y=ChartAxis(0, 1),
        height_rem=2,
    )
    name = element("span", element("strong", group.name), " ", description, class_="name")
    return element("div", name, chart, class_="strip")


def _counts(groups: list[ReportGroup]) -> Markup:
    columns = (Column("group", False), Column("units"), Column("remaining"))
    return table(
        "Units by group", columns, [[group.name, f"{group.units:,}", f"{group.remaining_units:,}"] for group in groups]
    )
