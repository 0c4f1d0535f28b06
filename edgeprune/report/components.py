"""HTML components of the report's sections."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from edgeprune.bundle.budget_report import BudgetReport
from edgeprune.bundle.manifest import Manifest
from edgeprune.bundle.report_data import ReportData
from edgeprune.profile import Profile
from edgeprune.profile.profile_result import BASE, DENSE
from edgeprune.report import quantity_text
from edgeprune.report.charts import ChartAxis
from edgeprune.report.markup import Content, Markup, element


@dataclass(frozen=True)
class ReportSource:
    """Inputs of a report.

    Attributes:
        manifest: Manifest of the bundle.
        data: Content of ``report.json``.
        profile: Content of ``profile.json``; None if nothing was measured.
        budgets: Results of all budgets, including those on measurements.
    """

    manifest: Manifest
    data: ReportData
    profile: Profile | None
    budgets: Sequence[BudgetReport]

    @property
    def shipped(self) -> str:
        """Precision of the shipped model."""
        return "float32" if self.manifest.precision is None else self.manifest.precision.shipped

    def accuracy(self, value: float) -> str:
        """Return an accuracy, or a value of the metric that replaces it, as text with its unit."""
        return quantity_text.percent(value) if self.manifest.metric == "accuracy" else f"{value:.4g}"

    def accuracy_tick(self, value: float) -> str:
        """Return an accuracy as a tick label."""
        return f"{100 * value:.4g} %" if self.manifest.metric == "accuracy" else f"{value:.4g}"

    def accuracy_axis(self, values: Sequence[float], *, room: float) -> ChartAxis:
        """Return an axis for accuracies, with a margin of ``room`` above and below as a fraction of their range."""
        margin = room * max(max(values) - min(values), 0.01 * max(map(abs, values)), 1e-6)
        low, high = min(values) - margin, max(values) + margin
        if self.manifest.metric == "accuracy":
            low, high = max(low, 0.0), min(high, 1.0)
        return ChartAxis(low, high, self.manifest.metric, self.accuracy_tick)

    def accuracy_change(self, value: float) -> str:
        return quantity_text.points(value) if self.manifest.metric == "accuracy" else quantity_text.signed(value)


@dataclass(frozen=True)
class Section:
    """One section of a report.

    Attributes:
        name: Anchor of the section.
        title: Heading of the section.
        body: Content below the heading.
    """

    name: str
    title: str
    body: Content


@dataclass(frozen=True)
class Column:
    """A column of a table.

    Attributes:
        title: Header of the column.
        number: Whether the column contains numbers, which are aligned to the right.
    """

    title: str
    number: bool = True


def table(caption: str, columns: Sequence[Column], rows: Iterable[Sequence[Content]]) -> Markup:
    """Return a table whose first column contains row headers, and which scrolls if it is wider than the page."""
    head = (element("th", column.title, scope="col", class_=_look(column)) for column in columns)
    body = [
        element(
            "tr",
            [
                element("td" if index else "th", cell, scope=None if index else "row", class_=_look(column))
                for index, (column, cell) in enumerate(zip(columns, row, strict=True))
            ],
        )
        for row in rows
    ]
    content = element(
        "table", element("caption", caption), element("thead", element("tr", head)), element("tbody", body)
    )
    return element("div", content, class_="scroll", tabindex="0", role="region", aria_label=caption)


def terms(pairs: Iterable[tuple[Content, Content]]) -> Markup:
    """Return a description list without the pairs whose value is empty."""
    entries = ((element("dt", term), element("dd", value)) for term, value in pairs if value)
    return element("dl", entries)


def paragraph(*content: Content, look: str | None = None) -> Markup:
    return element("p", *content, class_=look)


def kind(name: str) -> Markup:
    """Return a badge with the provenance of a number."""
    return element("span", name, class_=f"kind {name}")


def folded(summary: str, content: Content, *, open_: bool = False) -> Markup:
    """Return content that can be expanded, and is always expanded in print."""
    return element("details", element("summary", summary), content, open=open_)


def figure(caption: Content, *content: Content) -> Markup:
    return element("figure", element("figcaption", caption), *content)


def bar(fraction: float, look: str) -> Markup:
    """Return a bar for a table cell with a length of 0 to 1 of its width; another cell contains the value as text."""
    width = f"width:{100 * min(max(fraction, 0.0), 1.0):.4g}%"
    return element("span", element("span", class_=look, style=width), class_="bar", aria_hidden="true")


def model_look(name: str) -> str:
    """Return the CSS class for marks of a profiled model: gray for the reference models."""
    return "dense" if name in (DENSE, BASE) else "pruned"


def _look(column: Column) -> str | None:
    return "number" if column.number else None
