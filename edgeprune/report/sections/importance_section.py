"""The scores of every group's units and which of them stay; and the groups that had to stay whole."""

from __future__ import annotations

from dataclasses import replace

from edgeprune.bundle.report_data import ReportGroup
from edgeprune.report.charts import ChartAxis, plot, ticks
from edgeprune.report.components import Column, ReportSource, Section, figure, kind, paragraph, table
from edgeprune.report.markup import Content, Markup, element

_FEW, _ROOM = 20, 10
"""The axis of scores begins at the lowest, but not further below the lowest twentieth than by this factor."""


def section(source: ReportSource) -> Section:
    """A strip a group: what stays stands above the line, what went below."""
    groups = [group for group in source.facts.groups if group.frozen is None]
    title = "Importance, and what was kept"
    if not groups:
        return Section("importance", title, paragraph("No group could be pruned."))
    units, left = sum(group.units for group in groups), sum(group.left for group in groups)
    lede = paragraph(f"{left:,} of {units:,} units that could go stay. ", kind("exact"), look="lede")
    scores = [score for group in groups for score in (*group.kept, *group.removed)]
    if not scores:
        return Section("importance", title, [lede, paragraph("This schedule gives units no scores."), _counts(groups)])
    x = _axis(scores)
    below = plot("Axis of scores", f"From {x.low:.3g} to {x.high:.3g}", None, x=x, y=ChartAxis(0, 1), height_rem=0)
    rows = [*(_strip(group, x) for group in groups), element("div", below, class_="strip scale")]
    remark = f"; scores below {x.low:.3g} stand at the left edge" if min(scores) < x.low else ""
    asked = source.facts.asked
    caption = (
        f"Scores by {asked.criterion}, {'logarithmic' if x.logarithmic else 'linear'}, of each unit of each group"
        f"{remark}. Above the line: units that stay. Below: units that went. "
    )
    if len(source.facts.steps) > 1:
        caption += "Scores are those of the last choice among all units; later steps scored anew. "
    return Section("importance", title, [lede, figure([caption, kind("estimated")], rows)])


def frozen(source: ReportSource) -> Section:
    """Why what is whole had to stay so."""
    groups = [group for group in source.facts.groups if group.frozen is not None]
    title = "Frozen groups"
    if not groups:
        return Section("frozen", title, paragraph("Every group of the network could be pruned."))
    columns = (Column("group", False), Column("units"), Column("why it stays whole", False))
    rows = [[group.name, f"{group.units:,}", group.frozen] for group in groups]
    return Section("frozen", title, table("Groups that must stay whole", columns, rows))


def _axis(scores: list[float]) -> ChartAxis:
    """Logarithmic where it can be. The few units that do next to nothing must not take all the room."""
    positive = sorted(score for score in scores if score > 0)
    if not positive or min(scores) < 0:
        return ChartAxis(min(scores), max(scores), "score", "{:.3g}".format)
    low = max(positive[0], positive[len(positive) // _FEW] / _ROOM)
    return ChartAxis(low, positive[-1], "score", "{:.3g}".format, logarithmic=True)


def _strip(group: ReportGroup, x: ChartAxis) -> Markup:
    marks: list[Content] = [
        ticks((x.at(score) for score in group.kept), 6, 50, "pruned"),
        ticks((x.at(score) for score in group.removed), 56, 94, "dense"),
    ]
    description = f"{group.left:,} of {group.units:,} stay"
    drawn = plot(
        f"Scores of {group.name}",
        description,
        marks,
        x=replace(x, title="", show=None),
        y=ChartAxis(0, 1),
        height_rem=2,
    )
    name = element("span", element("strong", group.name), " ", description, class_="name")
    return element("div", name, drawn, class_="strip")


def _counts(groups: list[ReportGroup]) -> Markup:
    columns = (Column("group", False), Column("units"), Column("stay"))
    return table("Units by group", columns, [[group.name, f"{group.units:,}", f"{group.left:,}"] for group in groups])
