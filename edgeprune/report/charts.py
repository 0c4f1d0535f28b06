"""Charts as a scalable SVG, with labels in HTML so that their font size does not scale."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from edgeprune.report.markup import Content, Markup, element

Point = tuple[float, float]
"""Position in percent of the plot, from the left and from the top."""


_GAP = 0.25
"""Gap between bars, as a fraction of the width for each bar."""
_EDGE_LEFT, _EDGE_RIGHT = 25, 75
"""Position along the axis beyond which a label would cross the edge of a narrow plot."""
_FEW_DECADES = 2
"""Number of decades below which ticks are also drawn at 2 and 5 times the powers of ten."""

_TICK_LETTERS = 8
"""Maximum number of characters in a tick label, so that five labels fit on a phone."""


@dataclass(frozen=True)
class ChartAxis:
    """Axis of a chart, which maps values to positions.

    Attributes:
        low: Value at the left or bottom end.
        high: Value at the right or top end.
        title: Title with the unit.
        show: Function that formats a tick label; None for an axis without ticks.
        whole: Whether ticks are only drawn at whole numbers.
        logarithmic: Whether the scale is logarithmic; ``low`` must then be above 0.
    """

    low: float
    high: float
    title: str = ""
    show: Callable[[float], str] | None = None
    whole: bool = False
    logarithmic: bool = False

    def at(self, value: float) -> float:
        """Return the position of ``value`` in percent from ``low`` to ``high``, clipped to the axis."""
        low, high, value = (math.log(v) for v in self._all(value)) if self.logarithmic else self._all(value)
        return 50.0 if high <= low else 100 * ((value - low) / (high - low))

    def ticks(self, most: int = 5) -> list[float]:
        """Return the values of up to about ``most`` ticks, which are round numbers."""
        if self.logarithmic:
            first, last = math.ceil(math.log10(self.low)), math.floor(math.log10(self.high))
            if last - first < _FEW_DECADES:
                fine = [factor * 10.0**power for power in range(first - 1, last + 1) for factor in (1, 2, 5)]
                return [value for value in fine if self.low <= value <= self.high]
            return [10.0**power for power in range(first, last + 1, -(-(last - first + 1) // most))]
        span = self.high - self.low
        if span <= 0:
            return [self.low]
        rough = span / most
        scale = 10.0 ** math.floor(math.log10(rough))
        step = next(scale * factor for factor in (1, 2, 5, 10) if scale * factor >= rough * (1 - 1e-9))
        step = max(1.0, step) if self.whole else step
        first, last = math.ceil(self.low / step - 1e-9), math.floor(self.high / step + 1e-9)
        return [round(step * index, 12) for index in range(first, last + 1)]

    def _all(self, value: float) -> tuple[float, float, float]:
        return self.low, self.high, min(max(value, self.low), self.high)


@dataclass(frozen=True)
class ChartLabel:
    """Label of a point; labels near the sides of the plot extend inwards.

    Attributes:
        at: Position of the labeled point.
        text: Short text.
        look: CSS class; text of the class ``minor`` is hidden in narrow plots.
        below: Whether the label is below the point instead of above it.
    """

    at: Point
    text: Content
    look: str = ""
    below: bool = False


def plot(
    title: str,
    description: str,
    marks: Content,
    *,
    x: ChartAxis,
    y: ChartAxis,
    labels: Iterable[ChartLabel] = (),
    height_rem: float = 12,
) -> Markup:
    """Return the markup of a chart.

    Args:
        title: Title for screen readers and for the tooltip.
        description: Description of the content for screen readers and for the tooltip.
        marks: SVG paths with coordinates in percent of both axes.
        x: Horizontal axis.
        y: Vertical axis.
        labels: Labels of points.
        height_rem: Height in units of the font size.
    """
    grid = [line([(0, 100 - y.at(tick)), (100, 100 - y.at(tick))], "grid") for tick in _labelled_ticks(y)]
    chart = element(
        "svg",
        element("title", title),
        element("desc", description),
        grid,
        marks,
        viewBox="0 0 100 100",
        preserveAspectRatio="none",
        role="img",
    )
    texts = [
        *(_tick("y", f"top:{_n(100 - y.at(tick))}%", y, tick) for tick in _labelled_ticks(y)),
        *(_tick("x", f"left:{_n(x.at(tick))}%", x, tick) for tick in _labelled_ticks(x)),
        *(_label(label) for label in labels),
    ]
    area = element("div", chart, texts, class_="area", style=f"height:{height_rem:g}rem")
    above = element("div", y.title, class_="axis", aria_hidden="true") if y.title else None
    below = element("div", x.title, class_="axis below", aria_hidden="true") if x.title else None
    return element("div", above, area, below, class_="plot" + (" scaled" if y.show else ""))


def line(points: Sequence[Point], look: str) -> Markup:
    """Return straight lines from point to point."""
    return element("path", d=_path(points), class_=f"line {look}")


def area(points: Sequence[Point], look: str) -> Markup:
    """Return the filled area between a line and the horizontal axis."""
    closed = [(points[0][0], 100.0), *points, (points[-1][0], 100.0)]
    return element("path", d=f"{_path(closed)}Z", class_=f"fill {look}")


def dots(points: Iterable[Point], look: str) -> Markup:
    """Return dots, drawn as line caps of zero-length lines so that they remain round in a stretched plot."""
    return element("path", d="".join(f"M{_n(x)} {_n(y)}h0" for x, y in points), class_=f"dots {look}")


def ticks(places: Iterable[float], top: float, bottom: float, look: str) -> Markup:
    """Return short vertical lines, without duplicates at the same position."""
    unique_places = dict.fromkeys(_n(place, 1) for place in places)
    return element("path", d="".join(f"M{x} {_n(top)}V{_n(bottom)}" for x in unique_places), class_=f"line {look}")


def stairs(values: Sequence[float], x: ChartAxis, y: ChartAxis) -> list[Point]:
    """Return the points of a step line in which value number n, from 1, is centered at n."""
    points: list[Point] = []
    for number, value in enumerate(values, start=1):
        height = 100 - y.at(value)
        points += [(x.at(number - 0.5), height), (x.at(number + 0.5), height)]
    return points


def bars(values: Sequence[float], x: ChartAxis, y: ChartAxis, look: str) -> Markup:
    """Return a bar for each value, in which value number n, from 1, is centered at n."""
    half = 0.5 - _GAP / 2
    paths = (
        f"M{_n(x.at(number - half))} 100V{_n(100 - y.at(value))}H{_n(x.at(number + half))}V100Z"
        for number, value in enumerate(values, start=1)
    )
    return element("path", d="".join(paths), class_=f"bars {look}")


def numbers(count: int, title: str, names: Sequence[str] = ()) -> ChartAxis:
    """Return an axis for numbers from 1, whose tick labels are the numbers or the ends of ``names``."""
    show = (lambda value: _end(names[round(value) - 1])) if names else "{:.0f}".format
    return ChartAxis(0.5, count + 0.5, title, show, whole=True)


def _end(name: str) -> str:
    """Return the last characters of a name, which distinguish layers."""
    return name if len(name) <= _TICK_LETTERS else f"…{name[1 - _TICK_LETTERS :]}"


def _labelled_ticks(axis: ChartAxis) -> list[float]:
    return axis.ticks() if axis.show is not None else []


def _tick(look: str, style: str, axis: ChartAxis, value: float) -> Markup:
    assert axis.show is not None
    return element("span", axis.show(value), class_=f"tick {look}", style=style, aria_hidden="true")


def _label(label: ChartLabel) -> Markup:
    x, y = label.at
    side = "before" if x > _EDGE_RIGHT else "after" if x < _EDGE_LEFT else "amid"
    place = f"right:{_n(100 - x)}%" if side == "before" else f"left:{_n(x)}%"
    look = f"label {side} {'below' if label.below else 'above'} {label.look}".rstrip()
    return element("span", label.text, class_=look, style=f"{place};top:{_n(y)}%")


def _path(points: Sequence[Point]) -> str:
    return "".join(f"{'L' if index else 'M'}{_n(x)} {_n(y)}" for index, (x, y) in enumerate(points))


def _n(value: float, digits: int = 2) -> str:
    text = f"{value:.{digits}f}".rstrip("0").rstrip(".")
    return "0" if text in ("-0", "") else text
