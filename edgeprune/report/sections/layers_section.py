"""Channel widths and multiply-adds by layer, before and after."""

from __future__ import annotations

from edgeprune.bundle.report_data import ReportLayer
from edgeprune.report import quantity_text
from edgeprune.report.charts import ChartAxis, bars, numbers, plot
from edgeprune.report.components import Column, ReportSource, Section, bar, figure, folded, kind, paragraph, table
from edgeprune.report.markup import Content

_FEW = 20
"""Layers whose table is open."""


def section(source: ReportSource) -> Section:
    """A skyline of widths, and a table with every layer."""
    layers = source.facts.layers
    wide = [(layer.name, *layer.channels) for layer in layers if layer.channels is not None]
    body: list[Content] = []
    if wide:
        dense, left = [row[1] for row in wide], [row[2] for row in wide]
        x, y = (
            numbers(len(wide), "layer, in the order of the network", [row[0] for row in wide]),
            ChartAxis(0, 1.05 * max(dense), "channels", quantity_text.count),
        )
        description = f"{sum(left):,} of {sum(dense):,} channels of {len(wide)} layers stay."
        marks = [bars(left, x, y, "pruned"), bars(dense, x, y, "outline dense")]
        drawn = plot("Channels by layer", description, marks, x=x, y=y)
        names = "Filled: what stays. Outline: the dense network. "
        body.append(figure([description, " ", names, kind("exact")], drawn))
    else:
        body.append(paragraph("No layer has channels that were counted."))
    total = sum(layer.macs[0] for layer in layers) or 1
    figures = map(Column, ("dense", "left", "MACs dense", "left", "ratio"))
    columns = (Column("layer", False), Column("operation", False), *figures, Column("share of dense", False))
    rows = [_row(layer, total) for layer in layers]
    most = table("Output channels and multiply-adds of one sample by layer (exact)", columns, rows)
    body.append(folded(f"All {len(layers)} layers", most, open_=len(layers) <= _FEW))
    return Section("layers", "Channel widths by layer", body)


def _row(layer: ReportLayer, total: int) -> list[Content]:
    widths = ("–", "–") if layer.channels is None else tuple(f"{count:,}" for count in layer.channels)
    dense, left = layer.macs
    ratio = f"{left / dense:.2f}" if dense else "–"
    shares = [bar(dense / total, "dense"), bar(left / total, "pruned")]
    return [layer.name, layer.kind, *widths, quantity_text.count(dense), quantity_text.count(left), ratio, shares]
