"""Section on the candidate plans that the build compared."""

from __future__ import annotations

from edgeprune.report import candidate_table
from edgeprune.report.components import Column, ReportSource, Section, kind, paragraph, table
from edgeprune.report.markup import Content

_COLUMNS = (
    Column("candidate", False),
    Column("MACs"),
    Column("loss"),
    Column("metric"),
    Column("loss, trained"),
    Column("metric, trained"),
    Column("provenance", False),
)


def section(source: ReportSource) -> Section | None:
    """Return the section with loss and metric of each candidate; None without candidates."""
    manifest = source.manifest
    if not manifest.candidates:
        return None
    rows: list[list[Content]] = []
    for plan in manifest.candidates:
        name, *figures = candidate_table.cells(plan, manifest.metric)
        used = "\N{NO-BREAK SPACE}(used)" if plan.chosen else ""
        rows.append([name + used, *(figure or "–" for figure in figures), kind("measured")])
    text = (
        "Each candidate meets the budget. The build repaired each network and used the one with the lowest loss on "
        "validation samples, or a better aligned one whose loss is within one standard error. If affordable, the best "
        "candidates were also trained for a short time, and the better state counts. A later build with the same "
        "edgeprune.lock uses the same plan."
    )
    caption = f"Candidate plans on the same validation samples; the metric is {manifest.metric}"
    return Section("candidates", "Candidate plans", [paragraph(text), table(caption, _COLUMNS, rows)])
