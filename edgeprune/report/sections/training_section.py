"""Section on accuracy by multiply-adds for each step of the schedule, and by epoch of training."""

from __future__ import annotations

from collections.abc import Sequence

from edgeprune.report import quantity_text, training_text
from edgeprune.report.charts import ChartAxis, ChartLabel, dots, line, plot
from edgeprune.report.components import Column, ReportSource, Section, figure, folded, kind, paragraph, table
from edgeprune.report.markup import Content, Markup, element

_Point = tuple[str, float, float]
"""Name, multiply-adds and accuracy of a network."""
_NAMED = 6
"""Maximum number of points for which all are labeled; otherwise only the first and the last are."""


def section(source: ReportSource) -> Section:
    """Return the section with the steps of the schedule, or else a single step from dense to shipped."""
    metrics, data = source.manifest.metrics, source.data
    steps = [(f"step {n}", step.macs, step.accuracy) for n, step in enumerate(data.steps, start=1)]
    points: list[_Point] = [(name, macs, accuracy) for name, macs, accuracy in steps if accuracy is not None]
    if data.start is not None:
        points.insert(0, ("dense", metrics.dense.macs, data.start))
    split = "validation samples, after the training of each step"
    if not any(name != "dense" for name, *_ in points):
        ends = (("dense", metrics.dense), ("shipped", metrics.shipped))
        points = [(name, network.macs, network.accuracy) for name, network in ends if network.accuracy is not None]
        split = "the reported split; everything was removed in one step"
    body: list[Content] = []
    if points:
        metric = source.manifest.metric.capitalize()
        body += [
            figure([f"{metric} on {split}. ", kind("measured")], _accuracy_chart(source, points)),
            folded(
                "The same as a table",
                table(
                    f"{metric} by step (measured)",
                    (Column("step", False), Column("MACs"), Column("of dense"), Column(source.manifest.metric)),
                    [
                        [
                            name,
                            quantity_text.count(macs),
                            f"{macs / (metrics.dense.macs or 1):.3f}",
                            source.accuracy(accuracy),
                        ]
                        for name, macs, accuracy in points
                    ],
                ),
            ),
        ]
    else:
        body.append(paragraph("No accuracy was recorded."))
    body.append(_training(source))
    return Section("rounds", "Accuracy against multiply-adds", body)


def _accuracy_chart(source: ReportSource, points: Sequence[_Point]) -> Markup:
    dense = source.manifest.metrics.dense.macs or 1
    x = ChartAxis(0, 1.05, "MACs, fraction of dense (0 to 1)", "{:g}".format)
    y = source.accuracy_axis([accuracy for *_, accuracy in points], room=0.5)
    places = [(x.at(macs / dense), 100 - y.at(accuracy)) for _, macs, accuracy in points]
    last = len(points) - 1
    labels = [
        ChartLabel(
            place,
            [element("strong", name), f" {source.accuracy(accuracy)}"],
            "dense" if name == "dense" else "" if index == last else "minor",
            below=0 < index < last and min(points[index - 1][2], points[index + 1][2]) > accuracy,
        )
        for index, (place, (name, _, accuracy)) in enumerate(zip(places, points, strict=True))
        if len(points) <= _NAMED or index in (0, last)
    ]
    description = "; ".join(
        f"{name}: {macs / dense:.3f} of MACs, {source.accuracy(accuracy)}" for name, macs, accuracy in points
    )
    marks = [line(places, "pruned"), dots(places, "pruned")]
    return plot("Accuracy against multiply-adds", description, marks, x=x, y=y, labels=labels)


def _training(source: ReportSource) -> Content:
    epochs = source.data.epochs
    if not epochs:
        return paragraph("The network was not trained after pruning.")
    values = [epoch.validation_accuracy for epoch in epochs]
    x = ChartAxis(0, len(epochs), "epoch", "{:.0f}".format, whole=True)
    y = source.accuracy_axis(values, room=0.1)
    places = [(x.at(index), 100 - y.at(value)) for index, value in enumerate(values, start=1)]
    starts = [index for index in range(1, len(epochs)) if epochs[index].phase != epochs[index - 1].phase]
    bounds = [line([(x.at(at), 0), (x.at(at), 100)], "bound") for at in starts]
    description = (
        f"From {source.accuracy(values[0])} after the first epoch to {source.accuracy(values[-1])} after the last."
    )
    chart = plot(
        "Accuracy by epoch", description, [bounds, line(places, "pruned"), dots(places, "pruned small")], x=x, y=y
    )
    caption = f"{source.manifest.metric.capitalize()} on validation samples after each epoch."
    if bounds:
        caption += " Vertical lines: start of a new step."
    report = source.manifest.training
    advice = None if report is None else training_text.advice(report)
    if advice is not None:
        caption += f" {advice[0].upper()}{advice[1:]}."
    return figure([caption, " ", kind("measured")], chart)
