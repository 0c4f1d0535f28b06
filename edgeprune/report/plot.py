"""Charts: an SVG that stretches with the page, and its text as HTML around it, which stays as large as other text."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from edgeprune.report.markup import Content, Markup, element

Point = tuple[float, float]
"""In percent of the plot, from the left and from the top."""


@dataclass(frozen=True)
class Axis:
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
        return 50.0 if high <= low else 100 * (value - low) / (high - low)

    def ticks(self, most: int = 5) -> list[float]:
        """Round values within the axis."""
        if self.logarithmic:
            first, last = math.ceil(math.log10(self.low)), math.floor(math.log10(self.high))
            every = -(-(last - first + 1) // most)
            return [10.0**power for power in range(first, last + 1, max(1, every))]
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
class Label:
    """Text in a plot, beside the point ``at``: to its right, where that is in the left part of the plot, else left."""

    at: Point
    text: Content
    look: str = ""


def plot(
    title: str, told: str, marks: Content, *, x: Axis, y: Axis, labels: Iterable[Label] = (), height_rem: float = 12
) -> Markup:
    """A chart.

    Args:
        title: For those who cannot see it, and as a tooltip.
        told: What it shows, likewise.
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
        element("desc", told),
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
    """What lies below a line, down to the axis."""
    closed = [(points[0][0], 100.0), *points, (points[-1][0], 100.0)]
    return element("path", d=f"{_path(closed)}Z", class_=f"fill {look}")


def dots(points: Iterable[Point], look: str) -> Markup:
    """Round however the plot is stretched: they are ends of lines without length."""
    return element("path", d="".join(f"M{_n(x)} {_n(y)}h0" for x, y in points), class_=f"dots {look}")


def ticks(places: Iterable[float], top: float, bottom: float, look: str) -> Markup:
    """Short upright lines; those at one place are drawn once."""
    seen = dict.fromkeys(_n(place, 1) for place in places)
    return element("path", d="".join(f"M{x} {_n(top)}V{_n(bottom)}" for x in seen), class_=f"line {look}")


def stairs(values: Sequence[float], x: Axis, y: Axis) -> list[Point]:
    """A line that keeps each value over its own step: value i from i to i + 1."""
    points: list[Point] = []
    for index, value in enumerate(values):
        height = 100 - y.at(value)
        points += [(x.at(index), height), (x.at(index + 1), height)]
    return points


def _shown(axis: Axis) -> list[float]:
    return axis.ticks() if axis.show is not None else []


def _tick(look: str, style: str, axis: Axis, value: float) -> Markup:
    assert axis.show is not None
    return element("span", axis.show(value), class_=f"tick {look}", style=style, aria_hidden="true")


def _label(label: Label) -> Markup:
    left, top = label.at
    side = "before" if left > 55 else "after"
    place = f"{'right' if side == 'before' else 'left'}:{_n(100 - left if side == 'before' else left)}%;top:{_n(top)}%"
    return element("span", label.text, class_=f"label {side} {label.look}", style=place)


def _path(points: Sequence[Point]) -> str:
    return "".join(f"{'L' if index else 'M'}{_n(x)} {_n(y)}" for index, (x, y) in enumerate(points))


def _n(value: float, digits: int = 2) -> str:
    text = f"{value:.{digits}f}".rstrip("0").rstrip(".")
    return "0" if text in ("-0", "") else text
