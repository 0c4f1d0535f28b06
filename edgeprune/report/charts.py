"""Charts: an SVG that stretches with the page, and its text as HTML around it, which stays as large as other text."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from edgeprune.report.markup import Content, Markup, element

Point = tuple[float, float]
"""In percent of the plot, from the left and from the top."""


_GAP = 0.25
"""Between bars, of the room that each has."""
_EDGE_LEFT, _EDGE_RIGHT = 25, 75
"""Position along the axis beyond which a label would cross the edge of a narrow plot."""
_FEW_DECADES = 2
"""Between ticks at powers of ten; of fewer there are ticks at 2 and 5 as well."""

_TICK_LETTERS = 8
"""Letters of a name at a tick: five names fit side by side on a phone."""


@dataclass(frozen=True)
class ChartAxis:
    """From values to places.

    Attributes:
        low: Value at the left, or at the bottom.
        high: Value at the right, or at the top.
        title: What it counts, with the unit.
        show: A value as its tick has it; None: the axis has no ticks.
        whole: Ticks stand at whole numbers alone.
        logarithmic: Equal distances are equal ratios; ``low`` is above 0.
    """

    low: float
    high: float
    title: str = ""
    show: Callable[[float], str] | None = None
    whole: bool = False
    logarithmic: bool = False

    def at(self, value: float) -> float:
        """Percent of the way from ``low`` to ``high``, no further than either."""
        low, high, value = (math.log(v) for v in self._all(value)) if self.logarithmic else self._all(value)
        return 50.0 if high <= low else 100 * ((value - low) / (high - low))

    def ticks(self, most: int = 5) -> list[float]:
        """Round values within the axis."""
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
    """Text above the point ``at``, or below it; at the sides of the plot it grows inwards.

    Attributes:
        at: What it names.
        text: Few words.
        look: Of the text; ``minor`` text is not there where the plot is narrow.
        below: The point.
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
    """A chart.

    Args:
        title: For those who cannot see it, and as a tooltip.
        description: Text that says what the chart shows, likewise.
        marks: Paths in percent of both axes.
        x: To the right.
        y: Upwards.
        labels: Beside what they name.
        height_rem: In heights of the text.
    """
    grid = [line([(0, 100 - y.at(tick)), (100, 100 - y.at(tick))], "grid") for tick in _shown(y)]
    drawn = element(
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
        *(_tick("y", f"top:{_n(100 - y.at(tick))}%", y, tick) for tick in _shown(y)),
        *(_tick("x", f"left:{_n(x.at(tick))}%", x, tick) for tick in _shown(x)),
        *(_label(label) for label in labels),
    ]
    area = element("div", drawn, texts, class_="area", style=f"height:{height_rem:g}rem")
    above = element("div", y.title, class_="axis", aria_hidden="true") if y.title else None
    below = element("div", x.title, class_="axis below", aria_hidden="true") if x.title else None
    return element("div", above, area, below, class_="plot" + (" scaled" if y.show else ""))


def line(points: Sequence[Point], look: str) -> Markup:
    """Straight from point to point."""
    return element("path", d=_path(points), class_=f"line {look}")


def area(points: Sequence[Point], look: str) -> Markup:
    """The area below a line, down to the axis."""
    closed = [(points[0][0], 100.0), *points, (points[-1][0], 100.0)]
    return element("path", d=f"{_path(closed)}Z", class_=f"fill {look}")


def dots(points: Iterable[Point], look: str) -> Markup:
    """Round however the plot is stretched: they are ends of lines without length."""
    return element("path", d="".join(f"M{_n(x)} {_n(y)}h0" for x, y in points), class_=f"dots {look}")


def ticks(places: Iterable[float], top: float, bottom: float, look: str) -> Markup:
    """Short upright lines; those at one place are drawn once."""
    seen = dict.fromkeys(_n(place, 1) for place in places)
    return element("path", d="".join(f"M{x} {_n(top)}V{_n(bottom)}" for x in seen), class_=f"line {look}")


def stairs(values: Sequence[float], x: ChartAxis, y: ChartAxis) -> list[Point]:
    """A line that keeps each value over its own step; the values are numbered from 1, and each is around its number."""
    points: list[Point] = []
    for number, value in enumerate(values, start=1):
        height = 100 - y.at(value)
        points += [(x.at(number - 0.5), height), (x.at(number + 0.5), height)]
    return points


def bars(values: Sequence[float], x: ChartAxis, y: ChartAxis, look: str) -> Markup:
    """One bar a value, numbered likewise."""
    half = 0.5 - _GAP / 2
    drawn = (
        f"M{_n(x.at(number - half))} 100V{_n(100 - y.at(value))}H{_n(x.at(number + half))}V100Z"
        for number, value in enumerate(values, start=1)
    )
    return element("path", d="".join(drawn), class_=f"bars {look}")


def numbers(count: int, title: str, names: Sequence[str] = ()) -> ChartAxis:
    """The axis of what is numbered from 1; its ticks have the numbers, or the ends of ``names``."""
    show = (lambda value: _end(names[round(value) - 1])) if names else "{:.0f}".format
    return ChartAxis(0.5, count + 0.5, title, show, whole=True)


def _end(name: str) -> str:
    """Last characters of a name, which distinguish layers."""
    return name if len(name) <= _TICK_LETTERS else f"…{name[1 - _TICK_LETTERS :]}"


def _shown(axis: ChartAxis) -> list[float]:
    return axis.ticks() if axis.show is not None else []


def _tick(look: str, style: str, axis: ChartAxis, value: float) -> Markup:
    assert axis.show is not None
    return element("span", axis.show(value), class_=f"tick {look}", style=style, aria_hidden="true")


def _label(label: ChartLabel) -> Markup:
    left, top = label.at
    side = "before" if left > _EDGE_RIGHT else "after" if left < _EDGE_LEFT else "amid"
    place = f"right:{_n(100 - left)}%" if side == "before" else f"left:{_n(left)}%"
    look = f"label {side} {'below' if label.below else 'above'} {label.look}".rstrip()
    return element("span", label.text, class_=look, style=f"{place};top:{_n(top)}%")


def _path(points: Sequence[Point]) -> str:
    return "".join(f"{'L' if index else 'M'}{_n(x)} {_n(y)}" for index, (x, y) in enumerate(points))


def _n(value: float, digits: int = 2) -> str:
    text = f"{value:.{digits}f}".rstrip("0").rstrip(".")
    return "0" if text in ("-0", "") else text
