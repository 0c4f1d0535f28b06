"""Activations that are alive from call to call, and the peak that was measured."""

from __future__ import annotations

from edgeprune.report import quantity_text
from edgeprune.report.charts import ChartAxis, ChartLabel, area, line, numbers, plot, stairs
from edgeprune.report.components import Column, ReportSource, Section, figure, folded, kind, paragraph, table
from edgeprune.report.markup import Content, Markup, element

_LINE = 9
"""Height of a line of text, in percent of the plot."""


def section(source: ReportSource) -> Section:
    """The timeline of the float32 network, a microcontroller's arena, and what the process took on the device."""
    body: list[Content] = [_timeline(source), _measured(source)]
    return Section("memory", "Peak memory", body)


def _timeline(source: ReportSource) -> Content:
    calls = source.facts.calls
    if not calls:
        return paragraph("The network makes no activations that were followed.")
    dense, left = [call.bytes[0] for call in calls], [call.bytes[1] for call in calls]
    peaks = [values.index(max(values)) for values in (dense, left)]
    x = numbers(len(calls), "call, in the order of the program", [call.name for call in calls])
    y = ChartAxis(0, 1.4 * max(dense), "bytes alive", quantity_text.size)
    before, after = stairs(dense, x, y), stairs(left, x, y)
    # One above the other over the highest peak, or they would cover the lines.
    tops = [100 - y.at(max(dense)), 100 - y.at(max(dense)) - _LINE]
    labels = [
        ChartLabel((x.at(at + 1), top), [element("strong", name), f" {quantity_text.size(values[at])}"], look)
        for name, at, values, top, look in zip(
            ("dense", "pruned"), peaks, (dense, left), tops, ("dense", ""), strict=True
        )
    ]
    description = (
        f"At most {quantity_text.size(dense[peaks[0]])} in the dense network, at {calls[peaks[0]].name}; "
        f"{quantity_text.size(left[peaks[1]])} in the pruned one, at {calls[peaks[1]].name}."
    )
    marks = [area(before, "dense"), line(before, "dense"), area(after, "pruned"), line(after, "pruned")]
    drawn = plot("Activation bytes by call", description, marks, x=x, y=y, labels=labels)
    caption = [
        "Activations alive at each call for one sample in float32, weights not counted. In front: pruned. ",
        f"{description} ",
        kind("exact"),
    ]
    rows = [
        [str(n), call.name, call.kind, *map(quantity_text.size, call.bytes)] for n, call in enumerate(calls, start=1)
    ]
    columns = (Column("call"), Column("layer", False), Column("operation", False), Column("dense"), Column("pruned"))
    listed = folded(f"All {len(calls)} calls", table("Activation bytes alive by call (exact)", columns, rows))
    return [figure(caption, drawn), listed]


def _measured(source: ReportSource) -> Markup:
    models = {} if source.profile is None else source.profile.models
    rows = [
        [name, what, quantity_text.size(found.value), kind(found.kind)]
        for name, model in models.items()
        for what, found in (
            (f"process, by {model.memory_source}", model.peak_memory_bytes),
            ("GPU", model.gpu_memory_bytes),
            ("tensor arena", model.arena_bytes),
        )
        if found is not None
    ]
    if not rows:
        return paragraph("No device reported the memory of a process.", look="note")
    columns = (Column("model", False), Column("memory", False), Column("peak"), Column("from", False))
    return table("Peak memory on the device; of a process over that of the runtime alone", columns, rows)
