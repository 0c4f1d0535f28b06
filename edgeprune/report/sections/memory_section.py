"""Section on memory: live activations by operation, and the measured peak."""

from __future__ import annotations

from edgeprune.report import quantity_text
from edgeprune.report.charts import ChartAxis, ChartLabel, area, line, numbers, plot, stairs
from edgeprune.report.components import Column, ReportSource, Section, figure, folded, kind, paragraph, table
from edgeprune.report.markup import Content, Markup, element

_LINE = 9
"""Height of a line of text, in percent of the plot."""


def section(source: ReportSource) -> Section:
    """Return the section with the live activations of the float32 network and the measured memory."""
    body: list[Content] = [_timeline(source), _measured(source)]
    return Section("memory", "Peak memory", body)


def _timeline(source: ReportSource) -> Content:
    calls = source.data.calls
    if not calls:
        return paragraph("The network has no activations in this analysis.")
    dense, pruned = [call.bytes[0] for call in calls], [call.bytes[1] for call in calls]
    peaks = [values.index(max(values)) for values in (dense, pruned)]
    x = numbers(len(calls), "operation, in the order of execution", [call.name for call in calls])
    y = ChartAxis(0, 1.4 * max(dense), "live bytes", quantity_text.size)
    before, after = stairs(dense, x, y), stairs(pruned, x, y)
    # Labels are stacked above the highest peak, so that they do not cover the lines.
    tops = [100 - y.at(max(dense)), 100 - y.at(max(dense)) - _LINE]
    labels = [
        ChartLabel((x.at(at + 1), top), [element("strong", name), f" {quantity_text.size(values[at])}"], look)
        for name, at, values, top, look in zip(
            ("dense", "pruned"), peaks, (dense, pruned), tops, ("dense", ""), strict=True
        )
    ]
    description = (
        f"At most {quantity_text.size(dense[peaks[0]])} in the dense network, at {calls[peaks[0]].name}; "
        f"{quantity_text.size(pruned[peaks[1]])} in the pruned network, at {calls[peaks[1]].name}."
    )
    marks = [area(before, "dense"), line(before, "dense"), area(after, "pruned"), line(after, "pruned")]
    chart = plot("Activation bytes by operation", description, marks, x=x, y=y, labels=labels)
    caption = [
        "Live activations at each operation for one sample in float32, without weights. Front: pruned network. ",
        f"{description} ",
        kind("exact"),
    ]
    rows = [
        [str(n), call.name, call.kind, *map(quantity_text.size, call.bytes)] for n, call in enumerate(calls, start=1)
    ]
    columns = (Column("number"), Column("layer", False), Column("operation", False), Column("dense"), Column("pruned"))
    listed = folded(f"All {len(calls)} operations", table("Live activation bytes by operation (exact)", columns, rows))
    return [figure(caption, chart), listed]


def _measured(source: ReportSource) -> Markup:
    models = {} if source.profile is None else source.profile.models
    rows = [
        [name, memory, quantity_text.size(figure.value), kind(figure.kind)]
        for name, model in models.items()
        for memory, figure in (
            (f"process, by {model.memory_source}", model.peak_memory_bytes),
            ("GPU", model.gpu_memory_bytes),
            ("tensor arena", model.arena_bytes),
        )
        if figure is not None
    ]
    if not rows:
        return paragraph("No device reported the memory of the process.", look="note")
    columns = (Column("model", False), Column("memory", False), Column("peak"), Column("provenance", False))
    return table("Peak memory on the device; for a process, without the memory of the runtime", columns, rows)
