"""Section on channels and multiply-adds by layer, in the dense and the pruned network."""

from __future__ import annotations

from edgeprune.bundle.report_data import ReportLayer
from edgeprune.report import quantity_text
from edgeprune.report.charts import ChartAxis, bars, numbers, plot
from edgeprune.report.components import Column, ReportSource, Section, bar, figure, folded, kind, paragraph, table
from edgeprune.report.markup import Content

_FEW = 20
"""Maximum number of layers for which the table is initially expanded."""


def section(source: ReportSource) -> Section:
    """Return the section with a bar chart of channels and a table of all layers."""
    layers = source.data.layers
    wide = [(layer.name, *layer.channels) for layer in layers if layer.channels is not None]
    body: list[Content] = []
    if wide:
        dense, pruned = [row[1] for row in wide], [row[2] for row in wide]
        x, y = (
            numbers(len(wide), "layer, in the order of the network", [row[0] for row in wide]),
            ChartAxis(0, 1.05 * max(dense), "channels", quantity_text.count),
        )
        description = f"{sum(pruned):,} of {sum(dense):,} channels of {len(wide)} layers remain."
        marks = [bars(pruned, x, y, "pruned"), bars(dense, x, y, "outline dense")]
        chart = plot("Channels by layer", description, marks, x=x, y=y)
        names = "Filled: pruned network. Outline: dense network. "
        body.append(figure([description, " ", names, kind("exact")], chart))
    else:
        body.append(paragraph("No layer has channels."))
    total = sum(layer.macs[0] for layer in layers) or 1
    figures = map(Column, ("dense", "pruned", "MACs dense", "MACs pruned", "ratio"))
    columns = (Column("layer", False), Column("operation", False), *figures, Column("fraction of dense", False))
    rows = [_row(layer, total) for layer in layers]
    all_layers = table("Output channels and multiply-adds of one sample by layer (exact)", columns, rows)
    body.append(folded(f"All {len(layers)} layers", all_layers, open_=len(layers) <= _FEW))
    return Section("layers", "Channel widths by layer", body)


def _row(layer: ReportLayer, total: int) -> list[Content]:
    widths = ("–", "–") if layer.channels is None else tuple(f"{count:,}" for count in layer.channels)
    dense, pruned = layer.macs
    ratio = f"{pruned / dense:.2f}" if dense else "–"
    bars_of_layer = [bar(dense / total, "dense"), bar(pruned / total, "pruned")]
    return [
        layer.name,
        layer.kind,
        *widths,
        quantity_text.count(dense),
        quantity_text.count(pruned),
        ratio,
        bars_of_layer,
    ]
