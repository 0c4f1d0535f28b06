"""Building blocks of the report's sections."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from edgeprune.bundle.manifest import BudgetReport, Manifest
from edgeprune.bundle.report_data import ReportData
from edgeprune.profile import Profile
from edgeprune.profile.profile_result import BASE, DENSE
from edgeprune.report import quantity_text
from edgeprune.report.charts import ChartAxis
from edgeprune.report.markup import Content, Markup, element


@dataclass(frozen=True)
class ReportSource:
    """All that a report is made of.

    Attributes:
        manifest: Of the bundle.
        facts: Its ``report.json``.
        profile: Its ``profile.json``; None where nothing was measured.
        verdicts: On all budgets, those on measurements among them.
    """

    manifest: Manifest
    facts: ReportData
    profile: Profile | None
    verdicts: Sequence[BudgetReport]

    @property
    def shipped(self) -> str:
        """The precision that ships."""
        return "float32" if self.manifest.precision is None else self.manifest.precision.shipped

    def accuracy(self, value: float) -> str:
        """``accuracy`` as text with its unit, by the metric of this network."""
        return quantity_text.percent(value) if self.manifest.metric == "accuracy" else f"{value:.4g}"

    def accuracy_tick(self, value: float) -> str:
        """The same on an axis."""
        return f"{100 * value:.4g} %" if self.manifest.metric == "accuracy" else f"{value:.4g}"

    def accuracy_axis(self, values: Sequence[float], *, room: float) -> ChartAxis:
        """An axis of accuracy with ``room`` above and below, as a share of what it spans."""
        spare = room * max(max(values) - min(values), 0.01 * max(map(abs, values)), 1e-6)
        low, high = min(values) - spare, max(values) + spare
        if self.manifest.metric == "accuracy":
            low, high = max(low, 0.0), min(high, 1.0)
        return ChartAxis(low, high, self.manifest.metric, self.accuracy_tick)

    def accuracy_change(self, value: float) -> str:
        return quantity_text.points(value) if self.manifest.metric == "accuracy" else quantity_text.signed(value)


@dataclass(frozen=True)
class Section:
    """A part of a report.

    Attributes:
        name: Its anchor.
        title: Its heading.
        body: What follows.
    """

    name: str
    title: str
    body: Content


@dataclass(frozen=True)
class Column:
    """A column of a table; numbers are aligned to the right."""

    title: str
    number: bool = True


def table(caption: str, columns: Sequence[Column], rows: Iterable[Sequence[Content]]) -> Markup:
    """A table that scrolls by itself where it is wider than the page; the first column names the rows."""
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
    whole = element("table", element("caption", caption), element("thead", element("tr", head)), element("tbody", body))
    return element("div", whole, class_="scroll", tabindex="0", role="region", aria_label=caption)


def terms(pairs: Iterable[tuple[Content, Content]]) -> Markup:
    """Words and what they are here; pairs with nothing to tell are left out."""
    entries = ((element("dt", term), element("dd", value)) for term, value in pairs if value)
    return element("dl", entries)


def paragraph(*content: Content, look: str | None = None) -> Markup:
    return element("p", *content, class_=look)


def kind(name: str) -> Markup:
    """Badge with the provenance of a number."""
    return element("span", name, class_=f"kind {name}")


def folded(summary: str, content: Content, *, open_: bool = False) -> Markup:
    """Content that can be expanded; on paper it always is."""
    return element("details", element("summary", summary), content, open=open_)


def figure(caption: Content, *content: Content) -> Markup:
    return element("figure", element("figcaption", caption), *content)


def bar(share: float, look: str) -> Markup:
    """A bar in a cell, 0 to 1 of its width; what it shows stands beside it in words."""
    width = f"width:{100 * min(max(share, 0.0), 1.0):.4g}%"
    return element("span", element("span", class_=look, style=width), class_="bar", aria_hidden="true")


def model_look(name: str) -> str:
    """How marks of a profiled model look: grey for what the one that ships is held against."""
    return "dense" if name in (DENSE, BASE) else "pruned"


def _look(column: Column) -> str | None:
    return "number" if column.number else None
